"""What `penin finetune` shows: a training while it goes on, and what became of it."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, nullcontext
from typing import TYPE_CHECKING, Any

from . import wording
from .output import is_quiet, printable, progress

if TYPE_CHECKING:
    from rich.live import Live

    from penin_core.ledger.store import WORMLedger
    from penin_core.records import JobState, TrainingProgress
    from penin_core.training.jobs import Job
    from penin_core.training.plan import Plan

#: Strongest verdict first.
_STRENGTH = ("promote", "canary", "rollback", "fail")
_BARS = "▁▂▃▄▅▆▇█"
_WIDTH = 32
#: Without a terminal, a training is reported this often, in seconds.
EVERY = 10.0


def sparkline(values: Sequence[float], width: int = _WIDTH) -> str:
    """Return a curve of at most ``width`` characters; each is the mean of its share."""
    if not values:
        return ""
    cells = min(width, len(values))
    shares = [
        values[len(values) * cell // cells : len(values) * (cell + 1) // cells]
        for cell in range(cells)
    ]
    means = [sum(share) / len(share) for share in shares]
    low, high = min(means), max(means)
    scale = (len(_BARS) - 1) / (high - low) if high > low else 0.0
    return "".join(_BARS[round((mean - low) * scale)] for mean in means)


class Curve:
    """Follows a training: the losses so far, and a line that says how it stands."""

    def __init__(self) -> None:
        self._losses: dict[int, float] = {}
        self.last: TrainingProgress | None = None
        self.validation: float | None = None
        self.status = ""
        self.begun = time.monotonic()
        self.first = 0

    def job(self, job: Job) -> None:
        """Take over what is known of a job that goes on."""
        self._losses = {}
        for point in job.curve():
            self.step(point)
        self.begun, self.first = time.monotonic(), self.last.step if self.last else 0

    @property
    def losses(self) -> list[float]:
        """The losses so far, one of each step."""
        return list(self._losses.values())

    def step(self, point: TrainingProgress) -> None:
        """Take over one step. Those since the last checkpoint come again after a crash."""
        if self.last is not None and point.step < self.last.step:
            self.begun, self.first = time.monotonic(), point.step
            self._losses = {s: loss for s, loss in self._losses.items() if s < point.step}
        self.last = point
        if point.loss is not None:
            self._losses[point.step] = point.loss
        if point.validation_loss is not None:
            self.validation = point.validation_loss

    def text(self) -> str:
        """Return how the training stands, on one line, without its curve."""
        parts = [self.status] if self.status else []
        if self.last is not None:
            of = f" of {self.last.steps:,}" if self.last.steps else ""
            parts.append(f"step {self.last.step:,}{of}")
        if self.losses:
            parts.append(f"loss {self.losses[-1]:.3f}")
        if self.validation is not None:
            parts.append(f"validation {self.validation:.3f}")
        if (left := self._left()) is not None:
            parts.append(f"{wording.duration(left)} to go")
        if self.last is not None and self.last.note:
            parts.append(wording.clipped(self.last.note, 60))
        return ", ".join(parts)

    def _left(self) -> int | None:
        """Return the seconds that the steps ahead will take, where that can be told."""
        if self.last is None or not self.last.steps or self.last.step <= self.first:
            return None
        pace = (time.monotonic() - self.begun) / (self.last.step - self.first)
        return round(pace * (self.last.steps - self.last.step))


class Follower:
    """Follows the events of a training; ``draw`` is for a terminal, plain lines for the rest."""

    def __init__(self, live: bool) -> None:
        self.curve = Curve()
        self.live = live
        self._said = 0.0

    def __call__(self, event: str, about: Mapping[str, Any]) -> None:
        """Follow one event."""
        if event == "job":
            self._begin(about["job"])
        elif event == "created":
            progress(f"the service calls it {printable(about['service_job'])}")
        elif event == "progress":
            self.curve.step(about["progress"])
            self._tell()
        elif event == "state":
            self._state(about["state"])

    def draw(self) -> str:
        """Return the curve and the line below it."""
        line = self.curve.text()
        return f"{sparkline(self.curve.losses)}  {line}" if self.curve.losses else line

    def _begin(self, job: Job) -> None:
        self.curve.job(job)
        if job.finished is not None:
            progress(f"job {job.short} is known: it {printable(job.status)}")
        elif self.curve.last is not None or job.begun:
            progress(f"job {job.short} goes on: {self.curve.text() or 'from its beginning'}")
        else:
            progress(f"job {job.short} begins")

    def _state(self, state: JobState) -> None:
        known = self.curve.status
        self.curve.status = state.status
        for point in state.points:
            if self.curve.last is None or point.step > self.curve.last.step:
                self.curve.step(point)
        if state.status != known:
            self._said = 0.0
        self._tell()

    def _tell(self) -> None:
        last = self.curve.last
        ends = last is not None and last.step == last.steps
        if not self.live and (ends or time.monotonic() - self._said >= EVERY):
            self._said = time.monotonic()
            progress(self.curve.text())


@contextmanager
def following() -> Iterator[Follower]:
    """Give what follows one training, and restore the terminal however it ends.

    What plugins print meanwhile goes to stderr.
    """
    from penin_core.loading import prints_on_stderr

    live = sys.stderr.isatty() and not is_quiet()
    follower = Follower(live)
    with prints_on_stderr(), _live(follower) if live else nullcontext():
        yield follower


def _live(follower: Follower) -> Live:
    from rich.console import Console
    from rich.live import Live
    from rich.text import Text

    return Live(
        console=Console(stderr=True),
        get_renderable=lambda: Text(follower.draw()),
        refresh_per_second=4,
    )


def planned(plan: Plan) -> dict[str, Any]:
    """Return what a training would be, as data."""
    data = plan.data
    return {
        "provider": plan.provider,
        "model": plan.model,
        "hyperparams": dict(plan.hyperparams),
        "seed": plan.seed,
        "train": len(data.train.rows),
        "validation": len(data.validation.rows),
        "tokens": data.tokens,
        "usd": plan.bound_micro_usd / 1e6,
        "data_sha256": data.hash,
        "consent": data.rights.consent,
        "licenses": data.rights.licenses,
        "problems": [problem._asdict() for problem in data.problems],
        "notes": list(data.notes),
    }


def plan_in_words(data: Mapping[str, Any]) -> str:
    """Return what a training would be, in lines."""
    line, lines = wording.line, wording.lines
    shown = [
        line("model", wording.clipped(f"{data['provider']}:{data['model']}")),
        line("examples", f"{data['train']:,} to train on, {data['validation']:,} to validate"),
        line("tokens", f"{data['tokens']:,} for each pass"),
        line("price", f"at most {wording.usd(data['usd'])}" if data["usd"] else "none"),
        line("settings", _pairs(data["hyperparams"])),
        line("data", data["data_sha256"]),
        line("consent", _pairs(data["consent"])),
        line("licences", _pairs(data["licenses"])),
        *lines("notes", map(printable, data["notes"])),
    ]
    return "\n".join(shown)


def job_row(ledger: WORMLedger, job: Job) -> dict[str, Any]:
    """Return a job as data: what was asked, what came of it, and how it did at its best."""
    from penin_core.training.tuned import proposals

    about, finished = job.about, job.finished or {}
    done = finished.get("status") == "succeeded"
    tuned = (job.config.adapter or job.config.model) if done else None
    hashes = proposals(job) if done else {}
    tried = [run for key in hashes for run in ledger.runs(candidate=key)]
    best = min(tried, key=lambda run: _STRENGTH.index(run["verdict"]), default=None)
    names = ("provider", "model", "train", "validation", "seed", "hyperparams", "data_sha256")
    return {
        "job": job.key,
        **{name: about[name] for name in (*names, "consent", "licenses")},
        "service_job": job.service_job,
        "status": job.status,
        "reason": finished.get("reason", ""),
        "figures": finished.get("figures", {}),
        "tuned": tuned,
        "verdict": best and best["verdict"],
        "run": best and best["id"],
    }


def job_in_words(data: Mapping[str, Any]) -> str:
    """Return a job in lines."""
    line = wording.line
    losses = [point["loss"] for point in data.get("curve", []) if "loss" in point]
    shown = [
        line("job", f"{data['job'][:8]}, {printable(data['status'])}"),
        line("trains", wording.clipped(f"{data['provider']}:{data['model']}")),
        line("examples", f"{data['train']:,} to train on, {data['validation']:,} to validate"),
        line("settings", _pairs(data["hyperparams"])),
    ]
    optional = (
        ("service", data["service_job"]),
        ("reason", data["reason"]),
        ("event", data.get("event")),
        ("reached", _reached(data.get("curve", ()))),
        ("kept", ", ".join(found["model"] for found in data.get("checkpoints", ()))),
        ("loss", f"{sparkline(losses)} {losses[-1]:.3f}" if losses else ""),
        ("figures", ", ".join(f"{n} {_figure(value)}" for n, value in data["figures"].items())),
        ("tuned", data["tuned"]),
        ("verdict", f"{data['verdict']}, in run {data['run']}" if data["verdict"] else ""),
        ("next", _next(data)),
    )
    return "\n".join([*shown, *(line(n, printable(str(text))) for n, text in optional if text)])


def _reached(curve: Sequence[Mapping[str, Any]]) -> str:
    """Return how far a curve goes."""
    if not curve:
        return ""
    last = curve[-1]
    of = f" of {last['steps']:,}" if last.get("steps") else ""
    note = f", {wording.clipped(last['note'], 60)}" if last.get("note") else ""
    return f"step {last['step']:,}{of}{note}"


def _next(data: Mapping[str, Any]) -> str:
    if data["service_job"] and data["status"] not in ("failed", "cancelled") and not data["tuned"]:
        return "penin finetune resume follows it to its end"
    if data["status"] == "paused":
        return "penin finetune resume goes on with it"
    if data["tuned"] and not data["verdict"]:
        return "penin evolve lets it compete with the champion"
    return ""


def _figure(value: float) -> str:
    return f"{value:,.0f}" if float(value).is_integer() else f"{value:.4g}"


def _pairs(values: Mapping[str, Any]) -> str:
    shown = (f"{n} {'by default' if value is None else value}" for n, value in values.items())
    return wording.clipped(", ".join(shown)) or "none"
