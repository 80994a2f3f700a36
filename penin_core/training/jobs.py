"""Training jobs: their folders, and what the ledger says became of them.

``finetune/<key>/`` of a state directory holds what one job trains on, its loss curve, and ``work/``
for the checkpoints of a local training. The key follows from data, model, hyperparameters and seed,
so that asking twice for the same training finds the first. Two entries frame a job:
FINETUNE_CREATED before its first step or poll, FINETUNE_FINISHED with what came of it.
"""

from __future__ import annotations

import json
import os
import shutil
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

from pydantic import ValidationError

from penin_core.canonical import digest
from penin_core.errors import StateError
from penin_core.leaks import Leak, find_leaks
from penin_core.ledger.files import sync_folder
from penin_core.ledger.store import WORMLedger
from penin_core.records import (
    Configuration,
    JobStatus,
    Task,
    TrainingExample,
    TrainingProgress,
)
from penin_core.training.files import as_data
from penin_core.training.locks import is_held, lock
from penin_core.training.plan import Plan

CREATED, FINISHED = "FINETUNE_CREATED", "FINETUNE_FINISHED"
OVER: tuple[JobStatus, ...] = ("succeeded", "failed", "cancelled")
#: So many of them name a job in a message; four are enough to find one.
SHORT, LEAST = 8, 4
LONGEST_REASON = 500
#: A folder that is being written has this beginning; after so many seconds nobody does any more.
_ASIDE, _ABANDONED_S = ".aside-", 3600.0

_ABOUT, _DATA, _SEEN, _CURVE, _CANCEL = (
    "job.json",
    "data.json",
    "seen.json",
    "curve.jsonl",
    "cancel",
)


@dataclass(frozen=True)
class Job:
    """One job as the ledger and its folder know it."""

    folder: Path
    about: Mapping[str, Any]
    #: Whether the ledger knows it; before that, a process died between folder and entry.
    begun: bool = False
    #: The service's own id of the job; None before it is known, and for a local training.
    service_job: str | None = None
    finished: Mapping[str, Any] | None = None

    @property
    def key(self) -> str:
        """What identifies the job."""
        return str(self.about["job"])

    @property
    def short(self) -> str:
        """The first digits of the key, as messages name the job."""
        return self.key[:SHORT]

    @property
    def config(self) -> Configuration:
        """The configuration that is proposed: after success, with the trained model in it."""
        trained = (self.finished or {}).get("config")
        return Configuration.model_validate(trained or self.about["config"])

    @property
    def status(self) -> str:
        """What became of it: "running" and "paused" are told apart by the lock."""
        if self.finished is not None:
            return str(self.finished["status"])
        if not is_held(self.folder):
            return "paused"
        return "cancelling" if self.cancelling else "running"

    @property
    def work(self) -> Path:
        """Where a local training keeps its checkpoints."""
        return self.folder / "work"

    def examples(self) -> tuple[tuple[TrainingExample, ...], tuple[TrainingExample, ...]]:
        """Return what is trained and what is validated on.

        Raises:
            StateError: the folder was removed, or its data are not those of the job.
        """
        train, validation = self._read(_DATA, "penin finetune cancel, then start again")
        if digest([train, validation]) != self.about["data_sha256"]:
            raise StateError(
                f"{self.folder / _DATA} is not what the job was started with",
                hint="penin finetune cancel, then start again",
            )
        return tuple(map(_example, train)), tuple(map(_example, validation))

    def leaks(self, tasks: Sequence[Task]) -> list[Leak]:
        """Return which tasks the trained model has seen.

        Raises:
            StateError: the folder was removed, so nobody can tell.
        """
        seen = self._read(_SEEN, "train again with another --seed")
        return find_leaks(tasks, [(name, text) for name, text in seen])

    def curve(self) -> list[TrainingProgress]:
        """Return the loss curve so far; a line that a crash cut off does not count."""
        path = self.folder / _CURVE
        return _latest(_points(path.read_bytes() if path.exists() else b""))

    def note(self, progress: TrainingProgress) -> None:
        """Write down one point of the loss curve."""
        line = progress.model_dump_json(exclude_defaults=True).encode() + b"\n"
        with (self.folder / _CURVE).open("ab+") as file:
            _drop_half_a_line(file)
            file.write(line)

    def ask_to_cancel(self) -> None:
        """Leave a mark that the process which works on the job will find."""
        # A folder that is gone belongs to a job that nobody works on any more.
        with suppress(FileNotFoundError):
            (self.folder / _CANCEL).touch()

    @property
    def cancelling(self) -> bool:
        """Whether somebody asked to cancel it."""
        return (self.folder / _CANCEL).exists()

    def _read(self, name: str, otherwise: str) -> Any:
        try:
            return json.loads((self.folder / name).read_text(encoding="utf-8"))
        except (OSError, ValueError) as error:
            raise StateError(
                f"{self.folder / name} cannot be read: {error}",
                hint=f"restore the folder from a copy; otherwise {otherwise}",
            ) from error


def home(state: Path) -> Path:
    """Return the folder of all jobs."""
    return state / "finetune"


def jobs(state: Path, ledger: WORMLedger) -> list[Job]:
    """Return every job, oldest first; one that was never begun in the ledger comes last.

    Raises:
        StateError: what was written down of one cannot be read.
    """
    begun: dict[str, Mapping[str, Any]] = {}
    over: dict[str, Mapping[str, Any]] = {}
    for event in ledger.events((CREATED, FINISHED)):
        (begun if event.kind == CREATED else over)[event.body["job"]] = event.body
    known = [
        Job(home(state) / key, body, True, body.get("service_job"), over.get(key))
        for key, body in begun.items()
    ]
    # A name with a dot in front is a folder that was never finished.
    intended = sorted(path.parent for path in home(state).glob(f"[!.]*/{_ABOUT}"))
    return known + [Job(path, _about(path)) for path in intended if path.name not in begun]


def find_job(state: Path, ledger: WORMLedger, text: str | None) -> Job:
    """Return the job whose key begins with ``text``; None means the one that is not over.

    Raises:
        StateError: none fits, or several do.
    """
    known = jobs(state, ledger)
    if text is None:
        fits = [job for job in known if job.finished is None]
        what = "is unfinished"
    else:
        fits = [job for job in known if len(text) >= LEAST and job.key.startswith(text)]
        what = f"has a key that begins with {text!r}"
        if len(text) < LEAST:
            what = f"can be told by {text!r}: it takes the first {LEAST} characters at least"
    if len(fits) == 1:
        return fits[0]
    names = ", ".join(job.short for job in fits[:5])
    problem = f"{len(fits)} jobs fit: {names}" if fits else f"no training job {what}"
    raise StateError(problem, hint="penin finetune list shows all of them")


def prepare_job(state: Path, ledger: WORMLedger, plan: Plan, plugin: str) -> Job:
    """Return the job of a plan: the one that is there, unless it failed; else a new one.

    The folder is whole or absent, whenever the process dies.
    """
    alike = [job for job in jobs(state, ledger) if job.about["fingerprint"] == plan.fingerprint]
    if alike and alike[-1].status not in ("failed", "cancelled"):
        return alike[-1]
    about = plan.about(len(alike) + 1, plugin)
    folder = home(state) / str(about["job"])
    texts = [*plan.data.train.texts(), *plan.data.validation.texts()]
    sets = (plan.data.train.examples, plan.data.validation.examples)
    data = [as_data(examples) for examples in sets]
    try:
        _write_folder(folder, {_DATA: data, _SEEN: texts, _ABOUT: about})
    except OSError as error:
        if folder.exists():
            # Somebody else was quicker: it is the same job.
            return Job(folder, about)
        raise StateError(
            f"{folder} cannot be written: {error.strerror}",
            hint="make room on the disk; nothing was sent, spent or recorded",
        ) from error
    return Job(folder, about)


def _write_folder(folder: Path, files: Mapping[str, Any]) -> None:
    """Write the folder of a job, aside, and give it its name; ``OSError`` leaves nothing."""
    folder.parent.mkdir(mode=0o700, exist_ok=True)
    aside = Path(tempfile.mkdtemp(prefix=_ASIDE, dir=folder.parent))
    try:
        (aside / "work").mkdir()
        for name, value in files.items():
            write_whole(aside / name, value)
        sync_folder(aside)
        aside.rename(folder)
    except BaseException:
        shutil.rmtree(aside, ignore_errors=True)
        raise
    sync_folder(folder.parent)


def finish(
    ledger: WORMLedger,
    job: Job,
    status: JobStatus,
    reason: str = "",
    *,
    config: Configuration | None = None,
    figures: Mapping[str, float] | None = None,
    tokens: int | None = None,
) -> None:
    """Write down what came of a job, and remove what only an unfinished one needs."""
    body = {
        "job": job.key,
        "status": status,
        "reason": reason[:LONGEST_REASON],
        "config": None if config is None else config.model_dump(mode="json"),
        "figures": dict(figures or {}),
        "tokens": tokens,
    }
    ledger.record_event(FINISHED, body)
    _clear(job)


def clear_finished(state: Path, ledger: WORMLedger) -> None:
    """Remove what processes that died left: checkpoints of jobs that are over, unfinished folders.

    An unfinished folder that is younger than an hour may be another process's work.
    """
    for job in jobs(state, ledger):
        if job.finished is not None:
            _clear(job)
    for folder in home(state).glob(f"{_ASIDE}*"):
        with suppress(FileNotFoundError):
            if time.time() - folder.stat().st_mtime > _ABANDONED_S:
                shutil.rmtree(folder, ignore_errors=True)


def _clear(job: Job) -> None:
    shutil.rmtree(job.work, ignore_errors=True)


@contextmanager
def held(job: Job) -> Iterator[None]:
    """Hold the folder of a job for one process; the lock goes with the process.

    Raises:
        StateError: another process works on it.
    """
    if job.begun:
        # Without its folder, too, a job can be cancelled, and one at a service followed.
        job.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    with lock(job.folder) as free:
        if not free:
            raise StateError(
                f"training job {job.short} is being worked on by another process",
                hint="penin finetune status shows how far it is; penin finetune cancel stops it",
            )
        yield


def _about(folder: Path) -> dict[str, Any]:
    try:
        about: dict[str, Any] = json.loads((folder / _ABOUT).read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise StateError(
            f"{folder / _ABOUT} cannot be read: {error}",
            hint="its training never began: remove the folder",
        ) from error
    return about


def _example(given: Any) -> TrainingExample:
    return TrainingExample.model_validate(given)


def _points(curve: bytes) -> Iterator[TrainingProgress]:
    """Yield the points that can be read: a crash may have cut off any line, not only the last."""
    for line in curve.split(b"\n")[:-1]:
        with suppress(ValidationError):
            yield TrainingProgress.model_validate_json(line)


def _drop_half_a_line(file: BinaryIO) -> None:
    """Cut a file back to its last whole line, so that the next one is not glued to half of one."""
    if not file.seek(0, os.SEEK_END):
        return
    file.seek(-1, os.SEEK_END)
    if file.read(1) != b"\n":
        file.seek(0)
        file.truncate(file.read().rfind(b"\n") + 1)


def _latest(points: Iterator[TrainingProgress]) -> list[TrainingProgress]:
    """Return the points in order of their steps; what was trained again replaces what was lost.

    A training that goes on may say once more where it stands.
    """
    kept: list[TrainingProgress] = []
    for point in points:
        while kept and (kept[-1].step > point.step or kept[-1] == point):
            kept.pop()
        kept.append(point)
    return kept


def write_whole(path: Path, value: Any) -> None:
    """Write ``value`` as JSON, to the disk: whole or not at all."""
    aside = path.with_name(f".{path.name}-new")
    with aside.open("w", encoding="utf-8") as file:
        json.dump(value, file, ensure_ascii=False)
        file.flush()
        os.fsync(file.fileno())
    aside.replace(path)
    sync_folder(path.parent)
