"""An experiment as the ledger declares it: who, on what share, for how long, with which claim."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any, Literal

from penin_core.errors import LedgerInvalid
from penin_core.league.campaign import FEEDBACK
from penin_core.league.canary import LEVELS, MARGIN
from penin_core.ledger.store import WORMLedger
from penin_core.omega.evidence import campaign_alpha

Mode = Literal["canary", "shadow"]

#: Of a claim that users' feedback decides.
RULE = "betting-two-streams/1"


@dataclass(frozen=True)
class Experiment:
    """What stands in the ledger before the first request; ``id`` is the salt of the split, too.

    ``champion`` and ``challenger`` are hashes of configurations. A shadow gets copies of the
    share of ``ramp`` that it is at and answers nobody; a canary answers. ``t`` is the number of the
    confirmation that declares "feedback is better", None without such a claim.
    """

    id: str
    run_id: str
    champion: str
    challenger: str
    mode: Mode
    ramp: tuple[float, ...]
    step_requests: int
    duration_s: float
    t: int | None = None

    @property
    def alpha(self) -> float | None:
        """The level of the claim, its share of the campaign's error."""
        return None if self.t is None else campaign_alpha(self.t)

    def about(self) -> dict[str, Any]:
        """Return what every entry about the experiment repeats."""
        return {"experiment": self.id, "run_id": self.run_id, "mode": self.mode}

    def declaration(self) -> dict[str, Any]:
        """Return the body of the entry that begins it."""
        about = {name: value for name, value in asdict(self).items() if name != "id"}
        return {
            **about,
            **self.about(),
            "ramp": [*self.ramp],
            "step": 1,
            "fraction": self.ramp[0],
            "levels": LEVELS,
            "margin": MARGIN,
        }

    def claim(self) -> dict[str, Any]:
        """Return the body of the CONFIRM entry that declares the claim before its first look.

        Raises:
            ValueError: nothing is claimed.
        """
        if self.t is None:
            raise ValueError(f"experiment {self.id} claims nothing")
        return {
            "rule": RULE,
            "source": FEEDBACK,
            "experiment": self.id,
            "claim": "better",
            "mode": "anytime",
            "t": self.t,
            "alpha": self.alpha,
            "champion": self.champion,
            "finalist": self.challenger,
        }


@dataclass(frozen=True)
class Running:
    """An experiment that began and did not end: its first entry, and its step, from 1."""

    experiment: Experiment
    idx: int
    step: int = 1


def running(ledger: WORMLedger) -> Running | None:
    """Return the experiment that runs, as the ledger says.

    Raises:
        LedgerInvalid: an entry about it cannot be read.
    """
    found: Running | None = None
    for entry in ledger.events(("CANARY_START", "CANARY_STOP")):
        body = entry.body
        if "mode" not in body:
            # A canary on stored traffic began and ended within one call.
            continue
        if entry.kind == "CANARY_STOP":
            found = None if found and found.experiment.id == body["experiment"] else found
        elif "ramp" in body:
            found = Running(_read(body, entry.idx), entry.idx)
        elif found is not None and found.experiment.id == body["experiment"]:
            found = replace(found, step=body["step"])
    return found


def _read(body: Mapping[str, Any], idx: int) -> Experiment:
    try:
        ramp: Sequence[float] = body["ramp"]
        return Experiment(
            id=body["experiment"],
            ramp=tuple(ramp),
            **{
                name: body[name]
                for name in Experiment.__dataclass_fields__
                if name not in ("id", "ramp")
            },
        )
    except (KeyError, TypeError) as error:
        raise LedgerInvalid(f"entry {idx} declares no experiment: {error!r}") from error
