"""A canary without a gateway: traffic that was stored or made, answered by both configurations."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Any

from penin_core.canonical import digest
from penin_core.engine.wire import Engine
from penin_core.errors import ProviderError
from penin_core.ledger.artifacts import new_run_id
from penin_core.ledger.store import WORMLedger
from penin_core.records import Completion, Configuration, Task
from penin_core.rendering import render

from .canary import LEVELS, Arm, Monitor, Outcome, Verdict, arm_of

Score = Callable[[Task, Completion], float | None]

#: So many requests are answered at a time; each batch is looked at before the next one.
_BATCH = 32


@dataclass(frozen=True)
class CanaryReport:
    """How a canary ended. ``log_e`` has the natural logarithm of every e-value by its name."""

    experiment: str
    verdict: Verdict
    reason: str
    champion_requests: int
    challenger_requests: int
    log_e: dict[str, float]


async def try_on_traffic(
    ledger: WORMLedger,
    engine: Engine,
    champion: Configuration,
    challenger: Configuration,
    traffic: Iterable[Task],
    *,
    fraction: float,
    duration_s: float,
    score: Score | None = None,
    stamp: Mapping[str, Any] | None = None,
    clock: Callable[[], float] = time.monotonic,
) -> CanaryReport:
    """Send a share of ``traffic`` to the challenger until it harms, time is up or traffic ends.

    Both ends are entries of the ledger. The champion stays what it is, whatever comes out: a
    canary that survives is evidence of safety and of nothing else. ``score`` says how good an
    answer is, in [0, 1], or None where it cannot tell. ``stamp`` is repeated in both entries.

    Raises:
        ValueError: ``fraction`` is not in (0, 1), or ``duration_s`` is not above 0.
        BudgetExceeded, PluginError, SettingsError: by the engine; the ledger then says that the
            canary was inconclusive.
    """
    if not 0.0 < fraction < 1.0:
        raise ValueError(f"fraction = {fraction!r} must lie in (0, 1)")
    if not duration_s > 0.0:
        raise ValueError(f"duration_s = {duration_s!r} must be above 0")
    experiment = f"canary-{new_run_id()}"
    about = {
        "experiment": experiment,
        "champion": champion.hash,
        "challenger": challenger.hash,
        "fraction": fraction,
        "levels": LEVELS,
        **(stamp or {}),
    }
    ledger.record_event("CANARY_START", about)
    monitor, ends, left, seen = Monitor(), clock() + duration_s, iter(traffic), set[str]()
    try:
        while not monitor.taken_back and clock() < ends and (batch := list(islice(left, _BATCH))):
            arms = [arm_of(task.id, experiment, fraction) for task in batch]
            configs = [challenger if arm == "challenger" else champion for arm in arms]
            answers = await _answered(engine, configs, batch, _seed(experiment))
            _observe(monitor, seen, arms, batch, answers, score)
    finally:
        report = _closed(experiment, monitor)
        ledger.record_event("CANARY_STOP", {**about, **vars(report)})
    return report


async def _answered(
    engine: Engine, configs: Sequence[Configuration], batch: Sequence[Task], seed: int
) -> list[Completion | ProviderError]:
    """Ask one by one: in a batch, the time of an answer depends on who else is in it."""
    asked = [render(config, task, seed) for config, task in zip(configs, batch, strict=True)]
    found = await asyncio.gather(
        *(engine.answer([request]) for request in asked), return_exceptions=True
    )
    answers = []
    for answered in found:
        if isinstance(answered, BaseException):
            raise answered
        answers += answered
    return answers


def _closed(experiment: str, monitor: Monitor) -> CanaryReport:
    monitor.end()
    return CanaryReport(
        experiment=experiment,
        verdict=monitor.verdict or "inconclusive",
        reason=monitor.reason,
        champion_requests=monitor.champion,
        challenger_requests=monitor.challenger,
        log_e=monitor.log_e(),
    )


def _observe(
    monitor: Monitor,
    seen: set[str],
    arms: Sequence[Arm],
    batch: Sequence[Task],
    answers: Sequence[Completion | ProviderError],
    score: Score | None,
) -> None:
    for arm, task, answer in zip(arms, batch, answers, strict=True):
        if isinstance(answer, ProviderError):
            outcome = Outcome(failed=True, utility=0.0 if score else None)
        else:
            outcome = Outcome(
                utility=score(task, answer) if score else None,
                cost_usd=answer.cost_usd,
                latency_ms=answer.latency_ms,
            )
        # A task that comes again stays on its side, and says nothing new of either.
        monitor.observe(arm, outcome, first=task.id not in seen)
        seen.add(task.id)


def _seed(experiment: str) -> int:
    return int(digest(experiment)[:8], 16) & 0x7FFFFFFF
