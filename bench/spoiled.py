"""Decisions in which something is missing, stale, no number or of the wrong type.

    python bench/spoiled.py [--runs 1000000] [--seed 0]

Takes a decision that promotes, spoils one to three of the things that it rests on, and decides
again through ``penin_core.league.decision.decide``. None of them may promote, none may raise.
"""

from __future__ import annotations

import argparse
import math
import random
import time
from dataclasses import dataclass
from typing import Any

from penin_core.league.decision import decide
from penin_core.records import Confirmation, GuardResult, Measurement
from penin_core.settings import Margins

AXES = ("U", "S", "C", "L")
PARAMS = {"wU": 0.3, "wS": 0.3, "wC": 0.2, "wL": 0.2, "tau": 0.5, "beta_min": 0.02, "lambda_c": 0.5}
#: What is never a number in [0, 1].
ODD: tuple[Any, ...] = (
    *(None, math.nan, math.inf, -math.inf, True, False, "0.9", "", b"1", -0.2, 1.2, 10**400),
    *([], [0.9], {}, {"U": 0.9}, (0.5,), 0.5j, object(), float, {1}),
)
NOT_TRUE: tuple[Any, ...] = (None, False, 0, 1, 1.0, "True", "yes", [], [True], {}, math.nan)


@dataclass
class Tried:
    """What came out. ``clean`` decisions had nothing spoiled: they show that others could."""

    clean: int = 0
    clean_promoted: int = 0
    spoiled: int = 0
    spoiled_promoted: int = 0


class Case:
    """The arguments of a decision that promotes."""

    def __init__(self, rng: random.Random) -> None:
        self.rng = rng
        before = rng.uniform(0.3, 0.6)
        gain = rng.uniform(0.2, 0.3)
        self.champion = {"U": before, "S": 0.8, "C": 0.5, "L": 0.8, "groups": {"a": before}}
        self.finalist = {**self.champion, "U": before + gain, "groups": {"a": before + gain}}
        self.axes: Any = AXES
        self.params: dict[str, Any] = dict(PARAMS)
        self.margins: dict[str, Any] = dict(Margins())
        self.guards: list[Any] = [
            {"guard": name, "ok": True, "reason": ""} for name in ("sigma", "mine")
        ]
        self.lost: Any = 0.0
        t = rng.randrange(1, 9)
        alpha = 0.05 / (t * (t + 1))
        self.evidence: Any = {
            **dict(Confirmation(claim="better", t=t, alpha=alpha, n=300, log_e=0.0, proved=True)),
            "log_e": -math.log(alpha) + rng.uniform(0.0, 9.0),
        }

    def spoil(self) -> None:
        """Make one thing of it wrong."""
        rng = self.rng
        odd, what = rng.choice(ODD), rng.randrange(9)
        if what == 0:
            rng.choice((self.finalist, self.champion))[rng.choice(AXES)] = odd
        elif what == 1:
            wrong = rng.choice((None, [("a", 0.5)], "a", {"a": odd}, {"b": odd, "a": 0.9}))
            rng.choice((self.finalist, self.champion))["groups"] = wrong
        elif what == 2:
            wrong = rng.choice((None, math.nan, math.inf, -math.inf, "0.3", [], True, 1j))
            self.params[rng.choice(list(PARAMS))] = wrong
        elif what == 3:
            self.params.pop(rng.choice(list(PARAMS)), None)
        elif what == 4:
            self.margins[rng.choice(list(self.margins))] = rng.choice(ODD[:-3])
        elif what == 5:
            self._spoil_guards()
        elif what == 6:
            self._spoil_evidence(odd)
        elif what == 7:
            self.finalist["suite_hash"] = rng.choice(("stale", None, 7))
        else:
            self.lost = rng.choice((None, math.nan, math.inf, -1.0, "0", []))

    def _spoil_guards(self) -> None:
        how = self.rng.randrange(4)
        if how == 0 or not self.guards:
            self.guards = []
        elif how == 1:
            self.guards.append(self.rng.choice((None, True, "ok", {"ok": True})))
        else:
            at = self.rng.randrange(len(self.guards))
            if isinstance(self.guards[at], dict):
                self.guards[at] = {**self.guards[at], "ok": self.rng.choice(NOT_TRUE)}

    def _spoil_evidence(self, odd: Any) -> None:
        if not isinstance(self.evidence, dict):
            return
        changes: tuple[dict[str, Any], ...] = (
            {"proved": self.rng.choice(NOT_TRUE)},
            {"n": self.rng.choice((None, math.nan, "300", 0, 99, -300, True))},
            {"log_e": self.rng.choice((None, math.nan, -math.inf, "9", 0.0, True, []))},
            {"alpha": self.rng.choice((None, math.nan, "0.025", 0.05, 0.5, 1.0, 0.0))},
            {"t": self.rng.choice((None, 0, -1, math.nan, "1", 99, 0.5))},
            {"claim": self.rng.choice((None, "cheaper", "best", 1, []))},
            {"mode": self.rng.choice((None, "later", 1))},
        )
        self.evidence.update(self.rng.choice(changes))
        if self.rng.random() < 0.1:
            self.evidence = odd if not isinstance(odd, dict) else None

    def verdict(self) -> str:
        """Decide."""
        evidence = self.evidence
        if isinstance(evidence, dict):
            evidence = Confirmation.model_construct(**evidence)
        guards = [g if not _is_guard(g) else GuardResult.model_construct(**g) for g in self.guards]
        return decide(
            Measurement().model_copy(update=self.finalist),
            Measurement().model_copy(update=self.champion),
            axes=self.axes,
            params=self.params,
            guards=guards,
            confirmation=evidence,
            margins=Margins().model_copy(update=self.margins),
            lost=self.lost,
        ).verdict


def _is_guard(found: Any) -> bool:
    return isinstance(found, dict) and "guard" in found


def fuzz(runs: int, seed: int) -> Tried:
    """Decide ``runs`` times, one of 25 with nothing spoiled."""
    rng, tried = random.Random(seed), Tried()
    for run in range(runs):
        case = Case(rng)
        if run % 25 == 0:
            tried.clean += 1
            tried.clean_promoted += case.verdict() == "promote"
            continue
        for _ in range(rng.randrange(1, 4)):
            case.spoil()
        tried.spoiled += 1
        tried.spoiled_promoted += case.verdict() == "promote"
    return tried


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--runs", type=int, default=1_000_000)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    started = time.perf_counter()
    tried = fuzz(options.runs, options.seed)
    print(
        f"{tried.spoiled:,} spoiled decisions, {tried.spoiled_promoted} promoted; "
        f"{tried.clean:,} clean ones, {tried.clean_promoted:,} promoted; "
        f"{time.perf_counter() - started:.0f} s"
    )
    raise SystemExit(tried.spoiled_promoted > 0 or tried.clean_promoted < tried.clean)


if __name__ == "__main__":
    main()
