"""The loop: the same result whatever happened on the way, and nothing lost when something did."""

import errno
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

import penin_tiny
from penin_core import TrainingFailed, TrainingProgress, TrainingStopped
from penin_tiny import archives, calibration, training, tuned
from penin_tiny.gradients import Parameters
from penin_tiny.lessons import Row
from penin_tiny.optimizer import Optimizer
from penin_tiny.training import CHECKPOINT, Course, Training

ASK = "Give the priority: P1, P2 or P3. Answer with one word."
TEXTS = [
    ("refund me now", "P1"),
    ("I cannot log in", "P1"),
    ("where is my parcel", "P2"),
    ("please cancel it", "P2"),
    ("you are great", "P3"),
    ("thanks a lot", "P3"),
]
ROWS = tuple(Row(ASK, text, answer) for text, answer in TEXTS)
COURSE = Course(
    rows=ROWS,
    replay=ROWS[:1],
    validation=ROWS[:2],
    method="full",
    rank=2,
    members=2,
    epochs=2,
    patience=3,
    rate=4e-4,
    batch=3,
    spelling=0.5,
    exchange=0.5,
    seed=7,
)


def nothing(_: TrainingProgress) -> None:
    """Watch in silence."""


def stop_at(step: int) -> Callable[[TrainingProgress], None]:
    def watch(progress: TrainingProgress) -> None:
        if progress.step == step:
            raise TrainingStopped("asked to")

    return watch


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a training that nobody interrupted."""
    folder = tmp_path_factory.mktemp("whole")
    Training(COURSE, folder).run(nothing)
    return folder


def tuned_bytes(folder: Path) -> bytes:
    return (folder / tuned.FILE).read_bytes()


def test_training_learns(whole: Path) -> None:
    figures = Training(COURSE, whole).run(nothing)
    assert figures["validation_loss"] < figures["validation_loss_before"]
    assert figures["epochs"] == 4
    assert figures["steps"] == 12
    assert figures["trained_parameters"] == 896_190


@pytest.mark.parametrize("step", [1, 6, 8])
def test_a_training_that_was_stopped_ends_as_if_it_had_not_been(
    whole: Path, tmp_path: Path, step: int
) -> None:
    with pytest.raises(TrainingStopped):
        Training(COURSE, tmp_path).run(stop_at(step))
    seen: list[int] = []
    Training(COURSE, tmp_path).run(lambda progress: seen.append(progress.step))
    assert seen[0] == step
    assert tuned_bytes(tmp_path) == tuned_bytes(whole)


def test_a_training_that_was_killed_ends_as_if_it_had_not_been(whole: Path, tmp_path: Path) -> None:
    code = (
        "import sys, json; sys.path[:0] = json.loads(sys.argv[1])\n"
        "from pathlib import Path\n"
        "import test_tiny_training as case\n"
        "case.training.SECONDS = 0.0\n"
        "case.Training(case.COURSE, Path(sys.argv[2])).run(case.nothing)\n"
    )
    places = [str(Path(__file__).parent), str(Path(penin_tiny.__file__).parents[1]), *sys.path]
    command = [sys.executable, "-c", code, json.dumps(places), str(tmp_path)]
    for _ in range(2):
        child = subprocess.Popen(command)
        before = steps_done(tmp_path)
        while steps_done(tmp_path) == before and child.poll() is None:
            time.sleep(0.01)
        child.send_signal(signal.SIGKILL)
        child.wait()
    assert 0 < steps_done(tmp_path) <= 12
    Training(COURSE, tmp_path).run(nothing)
    assert tuned_bytes(tmp_path) == tuned_bytes(whole)


def steps_done(folder: Path) -> int:
    """Read how far a training is. A checkpoint is whole or absent, at any moment."""
    try:
        meta, _ = archives.read(folder / CHECKPOINT)
        return int(meta["steps"]) + len(meta["curve"]) // COURSE.epochs * 6
    except FileNotFoundError:
        return 0


def test_another_seed_gives_another_model(whole: Path, tmp_path: Path) -> None:
    Training(replace(COURSE, seed=8), tmp_path).run(nothing)
    assert tuned_bytes(tmp_path) != tuned_bytes(whole)


def test_what_is_kept_is_the_mean_of_the_members(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ends: list[dict[str, np.ndarray]] = []

    class Watched(Optimizer):
        def step(self, gradients: Parameters, rate: float) -> None:
            super().step(gradients, rate)
            if self.steps == 6:
                ends.append({name: value.copy() for name, value in self.average.items()})

    monkeypatch.setattr(training, "Optimizer", Watched)
    monkeypatch.setattr(training, "WAY", np.float32(1.0))
    run = Training(COURSE, tmp_path)
    run.run(nothing)
    kept = archives.read(tmp_path / tuned.FILE)[1]
    first, second = ends
    assert np.abs(first["emb"] - second["emb"]).max() > 1e-4
    for name, value in kept.items():
        assert value == pytest.approx((first[name] + second[name]) / 2, abs=2e-3)


@pytest.mark.parametrize(
    ("rights", "kept"),
    [
        ([0.5, 0.9, 0.89], 3),
        ([0.5, 0.9, 0.5], 2),
        ([0.4, 0.3], 0),
        ([0.5], 0),
    ],
    ids=["as good as the best", "worse", "below the base", "as right as the base, and surer"],
)
def test_the_last_epoch_that_is_as_good_as_the_best_is_kept(
    tmp_path: Path, rights: list[float], kept: int
) -> None:
    run = Training(replace(COURSE, validation=ROWS * 10), tmp_path)
    run._before = replace(run._before, right=0.5, loss=0.2)
    run._curve = [(0.0, 0.3, right) for right in rights]
    assert run._kept() == kept


def test_low_rank_training_leaves_a_small_file(tmp_path: Path) -> None:
    figures = Training(replace(COURSE, method="lora", rate=6e-4), tmp_path).run(nothing)
    assert figures["trained_parameters"] < 20_000
    assert figures["validation_loss"] < figures["validation_loss_before"]
    assert len(tuned_bytes(tmp_path)) < 70_000
    assert tuned.load(tmp_path).temperature == pytest.approx(figures["temperature"])


def test_training_stops_when_validation_gets_no_better(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    same = calibration.Fit(temperature=1.0, loss=0.5, right=0.5)
    monkeypatch.setattr(calibration, "fit", lambda *_: same)
    course = replace(COURSE, epochs=30, patience=3)
    seen: list[TrainingProgress] = []
    figures = Training(course, tmp_path).run(seen.append)
    assert (figures["epochs"], figures["kept_epoch"]) == (3, 0)
    assert seen[-1].note == "no epoch beats the base"
    assert seen[-1].step == seen[-1].steps == seen[-2].step


def test_what_answers_fewer_validation_examples_than_the_base_is_not_kept(tmp_path: Path) -> None:
    ask = "Classify the intent: refund, delivery, login, cancel or praise. Answer with one word."
    known = (Row(ask, "I want my money back", "refund"), Row(ask, "where is my parcel", "delivery"))
    spoilt = tuple(Row(ask, text, "P3") for text, _ in TEXTS)
    course = replace(COURSE, rows=spoilt, replay=(), validation=known, epochs=6, rate=2e-3)
    figures = Training(course, tmp_path).run(nothing)
    assert figures["validation_right"] == figures["validation_right_before"] == 1.0
    assert figures["validation_loss"] == figures["validation_loss_before"]
    assert figures["epochs"] < 6


def test_a_temperature_is_fitted_on_enough_validation_answers_only(
    whole: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert tuned.load(whole).temperature == 1.0
    monkeypatch.setattr(training, "ENOUGH", len(COURSE.validation))
    figures = Training(COURSE, tmp_path).run(nothing)
    assert figures["temperature"] == tuned.load(tmp_path).temperature != 1.0


def test_progress_counts_steps_and_tells_losses(tmp_path: Path) -> None:
    seen: list[TrainingProgress] = []
    figures = Training(COURSE, tmp_path).run(seen.append)
    assert [progress.step for progress in seen] == [*range(13), 12]
    assert {progress.steps for progress in seen} == {12}
    assert all(progress.loss is not None and progress.loss > 0 for progress in seen[1:-1])
    assert seen[3].validation_loss is None
    assert seen[4].validation_loss is not None
    assert seen[4].note == "epoch 2 of at most 4"
    kept = figures["kept_epoch"]
    assert seen[-1].note == f"epoch {kept:.0f} of 4 is kept"
    assert seen[-1].validation_loss is not None


def test_a_full_disk_leaves_the_last_checkpoint_whole(
    whole: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(TrainingStopped):
        Training(COURSE, tmp_path).run(stop_at(2))

    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as patched:
        patched.setattr(os, "fsync", full)
        patched.setattr(training, "SECONDS", 0.0)
        with pytest.raises(OSError, match="No space left"):
            Training(COURSE, tmp_path).run(nothing)
    assert steps_done(tmp_path) == 2
    assert [path.name for path in tmp_path.iterdir()] == [CHECKPOINT]
    Training(COURSE, tmp_path).run(nothing)
    assert tuned_bytes(tmp_path) == tuned_bytes(whole)


def test_a_cancel_on_a_full_disk_is_still_a_cancel(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(TrainingStopped):
        Training(COURSE, tmp_path).run(stop_at(1))


def test_a_checkpoint_of_another_training_is_refused(tmp_path: Path) -> None:
    with pytest.raises(TrainingStopped):
        Training(COURSE, tmp_path).run(stop_at(1))
    with pytest.raises(TrainingFailed, match="another training") as caught:
        Training(replace(COURSE, rate=1e-3), tmp_path)
    assert "penin finetune start" in caught.value.hint


def test_a_damaged_checkpoint_is_refused_by_name(tmp_path: Path) -> None:
    with pytest.raises(TrainingStopped):
        Training(COURSE, tmp_path).run(stop_at(1))
    path = tmp_path / CHECKPOINT
    path.write_bytes(path.read_bytes()[:1000])
    with pytest.raises(TrainingFailed, match=str(path)):
        Training(COURSE, tmp_path)


def test_a_training_that_diverges_says_so(tmp_path: Path) -> None:
    with pytest.raises(TrainingFailed, match=r"loss is (nan|inf)|too large") as caught:
        Training(replace(COURSE, rate=1e30), tmp_path).run(nothing)
    assert "learning_rate" in caught.value.hint


def test_a_loss_that_is_not_finite_names_its_step(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(training, "loss_and_gradients", lambda *_: (float("nan"), {}))
    with pytest.raises(TrainingFailed, match="the loss is nan at step 1"):
        Training(COURSE, tmp_path).run(nothing)
