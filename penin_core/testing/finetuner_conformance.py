"""The kits for fine-tuners; see :mod:`penin_core.testing.conformance` for how kits work."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar

import pytest

from penin_core import (
    Call,
    ComponentOptions,
    FineTuningUnavailable,
    JobState,
    Message,
    Reply,
    Steps,
    TrainedModel,
    TrainingCapabilities,
    TrainingExample,
    TrainingJob,
    TrainingProgress,
    TrainingStopped,
)

from .conformance import Conformance

COLOURS = ("red", "green", "blue", "white")
EXAMPLES = tuple(
    TrainingExample(
        system="Name the colour.",
        messages=(Message(role="user", content=f"Paint {thing} {colour}, please."),),
        answer=colour,
    )
    for thing in ("the door", "my boat", "that old fence")
    for colour in COLOURS
)
KEY = "0123456789abcdef0123456789abcdef"
JOB_ID = "job-conformance-1"


class FineTunerConformance(Conformance):
    """Shared by the two kinds; ``model`` can be trained, ``hyperparams`` make it quick."""

    kind = "finetuners"
    model: ClassVar[str]
    hyperparams: ClassVar[Mapping[str, Any]] = {}
    examples: ClassVar[Sequence[TrainingExample]] = EXAMPLES

    def complete(self) -> dict[str, Any]:
        """Return the hyperparameters with their defaults, as the core passes them on."""
        chosen: ComponentOptions = self.component.Hyperparams(**self.hyperparams)
        return chosen.model_dump(mode="json")

    def test_capabilities_are_stated(self, made: Any) -> None:
        """The same model can be trained in the same way each time it is asked."""
        assert isinstance(made.capabilities(self.model), TrainingCapabilities)
        assert made.capabilities(self.model) == made.capabilities(self.model)

    def test_unknown_model_is_refused(self, made: Any) -> None:
        """In words, before anything is sent."""
        with pytest.raises(FineTuningUnavailable, match="no-such-model"):
            made.capabilities("no-such-model")

    def test_hyperparameters_have_defaults(self) -> None:
        """A training needs none; what is recorded is JSON."""
        json.dumps(self.component.Hyperparams().model_dump(mode="json"), allow_nan=False)

    def test_unknown_hyperparameter_is_refused(self) -> None:
        """A misspelt name must not be dropped in silence."""
        with pytest.raises(ValueError, match="no_such_thing"):
            self.component.Hyperparams(**{**self.hyperparams, "no_such_thing": 1})

    def test_longer_example_has_more_tokens(self, made: Any) -> None:
        """Prompt and answer both count."""
        short = self.examples[0]
        turns = (Message(role="user", content=9 * f"{short.messages[-1].content} "),)
        longer = [short.model_copy(update={"messages": turns})]
        longer += [short.model_copy(update={"answer": 9 * f"{short.answer} "})]
        for example in longer:
            assert 0 < made.tokens(self.model, short) < made.tokens(self.model, example)


class LocalFineTunerConformance(FineTunerConformance):
    """For subclasses of LocalFineTuner. Every clause trains, so ``hyperparams`` should be few."""

    def job(self, folder: Path, **changes: Any) -> TrainingJob:
        """Return a job that may use ``folder``."""
        folder.mkdir(parents=True, exist_ok=True)
        given = {"model": self.model, "train": tuple(self.examples), "folder": folder, "seed": 7}
        return TrainingJob(**{**given, "hyperparams": self.complete(), **changes})

    def train(
        self, job: TrainingJob, watch: Callable[[TrainingProgress], None] = lambda progress: None
    ) -> tuple[TrainedModel, dict[str, bytes]]:
        """Train with a new instance; return what it says, and the files that it left."""
        made = self.component(self.component.Options(**self.options))
        try:
            trained = made.train(job, watch)
        finally:
            made.close()
        assert isinstance(trained, TrainedModel)
        return trained, {name: (job.folder / name).read_bytes() for name in trained.files}

    def test_files_lie_in_the_folder(self, tmp_path: Path) -> None:
        """They are plain and not empty; figures are finite."""
        trained, files = self.train(self.job(tmp_path))
        assert all(files.values())
        assert not any((tmp_path / name).is_symlink() for name in files)
        assert all(math.isfinite(value) for value in trained.figures.values())

    def test_progress_is_told(self, tmp_path: Path) -> None:
        """Steps go up, and losses are numbers."""
        seen: list[TrainingProgress] = []
        self.train(self.job(tmp_path), seen.append)
        steps = [progress.step for progress in seen]
        assert steps == sorted(steps)
        assert any(progress.loss is not None for progress in seen)

    def test_same_job_same_files(self, tmp_path: Path) -> None:
        """The seed fixes the result, to the byte."""
        assert self.train(self.job(tmp_path / "a"))[1] == self.train(self.job(tmp_path / "b"))[1]

    def test_other_data_other_files(self, tmp_path: Path) -> None:
        """The data are what it learns from."""
        others = tuple(
            example.model_copy(update={"answer": example.answer[::-1]}) for example in self.examples
        )
        job = self.job(tmp_path / "b", train=others)
        assert self.train(self.job(tmp_path / "a"))[1] != self.train(job)[1]

    def test_validation_is_taken(self, tmp_path: Path) -> None:
        """With a validation split of its own a job trains as well."""
        assert self.train(self.job(tmp_path, validation=tuple(self.examples[:4])))[1]

    def test_stop_is_passed_on_and_resumed(self, tmp_path: Path) -> None:
        """Stopped half way and called again, it ends where an uninterrupted training ends."""
        seen: list[TrainingProgress] = []
        whole = self.train(self.job(tmp_path / "whole"), seen.append)[1]
        half, count = len(seen) // 2, 0

        def stop(progress: TrainingProgress) -> None:
            nonlocal count
            count += 1
            if count > half:
                raise TrainingStopped("on request")

        job = self.job(tmp_path / "stopped")
        with pytest.raises(TrainingStopped):
            self.train(job, stop)
        assert self.train(job)[1] == whole

    def test_finished_job_is_not_damaged_by_another_call(self, tmp_path: Path) -> None:
        """Called once more after its end, a job has the same files."""
        job = self.job(tmp_path)
        assert self.train(job)[1] == self.train(job)[1]


class HttpFineTunerConformance(FineTunerConformance):
    """For subclasses of HttpFineTuner; ``replies`` are real ones of the service, by operation.

    ``replies["create_job"]`` is the list of bodies that the calls of ``create_job`` are answered
    with, in their order; so for the other operations. The job in them is ``job_id``, the trained
    model ``trained``, and ``{key}`` stands where the reply to ``find_job`` repeats the key.
    """

    replies: ClassVar[Mapping[str, Sequence[Any]]]
    job_id: ClassVar[str] = JOB_ID
    trained: ClassVar[str]

    def drive(self, operation: str, steps: Steps) -> tuple[Any, list[Call]]:
        """Carry out ``steps`` with the sample replies; return the result, and the calls."""
        return _driven(self.replies[operation], steps)

    def create(self, made: Any) -> tuple[Any, list[Call]]:
        """Create a job."""
        files = ("file-1", "file-2")
        return self.drive("create_job", made.create_job(self.model, files, self.complete(), KEY))

    def test_upload_sends_the_data(self, made: Any) -> None:
        """Both files whole; their ids come back."""
        train, validation = b'{"messages": [1]}\n', b'{"messages": [2]}\n'
        ids, calls = self.drive("upload_data", made.upload_data(train, validation))
        sent = [part.content for call in calls for part in call.files]
        assert train in sent
        assert validation in sent
        assert len(tuple(ids)) == 2

    def test_job_is_created_once(self, made: Any) -> None:
        """With the model, the file and the key that finds it again; its id comes back."""
        job_id, calls = self.create(made)
        assert job_id == self.job_id
        sent = json.dumps([call.body for call in calls if call.method == "POST"])
        assert {text for text in (self.model, "file-1", KEY) if text not in sent} == set()

    def test_job_is_found_by_its_key(self, made: Any) -> None:
        """So a job whose id was never written down is adopted, not created again."""
        bodies = json.loads(json.dumps(self.replies["find_job"]).replace("{key}", KEY))
        found, calls = _driven(bodies, made.find_job(KEY))
        assert found == self.job_id
        assert all(call.method == "GET" for call in calls)

    def test_state_is_read(self, made: Any) -> None:
        """As a JobState; reading it changes nothing."""
        state, calls = self.drive("get_job", made.get_job(self.job_id))
        assert isinstance(state, JobState)
        assert all(call.method == "GET" for call in calls)

    def test_model_is_named(self, made: Any) -> None:
        """Under the name that the provider serves it by."""
        name, _ = self.drive("get_model", made.get_model(self.job_id))
        assert name == self.trained

    def test_cancel_is_sent(self, made: Any) -> None:
        """To the job that is meant."""
        _, calls = self.drive("cancel", made.cancel(self.job_id))
        assert any(self.job_id in call.path for call in calls)


def _driven(bodies: Sequence[Any], steps: Steps) -> tuple[Any, list[Call]]:
    left = list(bodies)
    calls: list[Call] = []
    reply: Reply | None = None
    while True:
        try:
            step = steps.send(reply)
        except StopIteration as stop:
            return stop.value, calls
        reply = None
        if isinstance(step, Call):
            calls.append(step)
            reply = Reply(status=200, body=left.pop(0))
