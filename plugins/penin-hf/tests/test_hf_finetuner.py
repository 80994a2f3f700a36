"""The contract of a local fine-tuner, over a small Llama: from examples to answers."""

import json
import os
import resource
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from pydantic import ValidationError

from penin_core import (
    FineTuningUnavailable,
    Message,
    ProviderRefused,
    Request,
    SettingsError,
    TrainingExample,
    TrainingFailed,
    TrainingJob,
    TrainingStopped,
)
from penin_core.settings import validated
from penin_core.testing import LocalFineTunerConformance

torch = pytest.importorskip("torch")
pytest.importorskip("trl")
from safetensors.torch import load_file  # noqa: E402

from penin_hf import finetuner as finetuner_module  # noqa: E402
from penin_hf import training as training_module  # noqa: E402
from penin_hf.course import HFHyperparams  # noqa: E402
from penin_hf.finetuner import HELD_BACK, HFFineTuner  # noqa: E402
from penin_hf.options import ModelOptions  # noqa: E402
from penin_hf.provider import HFProvider  # noqa: E402
from penin_hf.scoring import Score  # noqa: E402

TUNER = HFFineTuner()
KINDS = [("refund my order", "P1"), ("where is my parcel", "P2"), ("thank you", "P3")]
QUICK = {"learning_rate": 1e-2, "batch_size": 4, "n_epochs": 2, "rank": 4}


def example(text, answer, rejected=""):
    messages = (Message(role="user", content=text),)
    return TrainingExample(system="Rank it.", messages=messages, answer=answer, rejected=rejected)


EXAMPLES = tuple(example(f"{text} {n}", answer) for n in range(6) for text, answer in KINDS)
PAIRS = tuple(e.model_copy(update={"rejected": f"{e.answer}!"}) for e in EXAMPLES)


@pytest.fixture(autouse=True, scope="module")
def _one_thread():
    """So small a model gains nothing from a second one, and the processes here have one, too."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@pytest.fixture
def job(llama, tmp_path):
    """Return what makes a job; its folder is new unless it is given."""
    made = 0

    def make(folder=None, settings=QUICK, **changes):
        nonlocal made
        made += 1
        folder = folder or tmp_path / f"job{made}"
        folder.mkdir(exist_ok=True)
        given = {"model": llama, "train": EXAMPLES, "validation": EXAMPLES[:3], "seed": 3}
        settings = HFHyperparams(**settings).model_dump(mode="json")
        return TrainingJob(**{**given, "hyperparams": settings, "folder": folder, **changes})

    return make


def silent(progress):
    """Watch in silence."""


def files(job, names=("adapter_model.safetensors", "adapter_config.json", "penin.json")):
    return [(job.folder / name).read_bytes() for name in names]


class _Kit(LocalFineTunerConformance):
    component = HFFineTuner

    @pytest.fixture(autouse=True)
    def _trained(self, llama, monkeypatch):
        monkeypatch.setattr(_Kit, "model", llama, raising=False)


class TestExamples(_Kit):
    hyperparams = {"n_epochs": 2, "batch_size": 4, "dropout": 0.2, "rank": 4}


class TestPreferences(_Kit):
    hyperparams = {"method": "dpo", "n_epochs": 2, "batch_size": 8, "rank": 4}
    examples = PAIRS[:12]


# What is learnt


def test_a_tuned_model_answers_what_it_was_taught_and_the_base_does_not(job, llama):
    given = job(settings={**QUICK, "n_epochs": 60, "patience": 60, "batch_size": 6, "rank": 8})
    trained = TUNER.train(given, silent)
    assert trained.figures["validation_right"] == 1.0 > trained.figures["validation_right_before"]
    assert trained.figures["validation_loss"] < trained.figures["validation_loss_before"]
    provider = HFProvider()
    about = {"provider": "hf", "model": llama, "system": "Rank it.", "max_tokens": 8}
    answers = []
    for adapter in (None, str(given.folder)):
        asked = [
            Request(
                **about,
                messages=(Message(role="user", content=f"{text} 3"),),
                temperature=0.0,
                adapter=adapter,
            )
            for text, _ in KINDS
        ]
        answers.append([found.text for found in provider.generate(asked)])
    assert answers[1] == [answer for _, answer in KINDS]
    assert answers[0] != answers[1]


def test_preferences_move_probability_from_the_worse_to_the_better_answer(job):
    settings = {**QUICK, "method": "dpo", "n_epochs": 4, "learning_rate": 5e-3}
    figures = TUNER.train(job(train=PAIRS, validation=PAIRS[:3], settings=settings), silent).figures
    assert figures["validation_loss_before"] == pytest.approx(0.693147, abs=1e-5)
    assert figures["validation_right_before"] == 0.0
    assert figures["validation_right"] == 1.0
    assert figures["validation_loss"] < 0.6


def test_only_the_answer_is_learnt(job, llama):
    """A prompt that cannot be predicted adds nothing to the loss of an answer that can."""
    course = TUNER._course(job())
    first = course.train[0]
    tokenizer = TUNER._tokenizer(llama)
    assert tokenizer.decode(first.answer) == "P1</s>"
    assert (
        tokenizer.decode(first.prompt) == "<system>Rank it.\n<user>refund my order 0\n<assistant>"
    )
    from penin_hf.learners import _answers

    row = _answers([first])[0]
    assert row["labels"][: len(first.prompt)] == [-100] * len(first.prompt)
    assert row["labels"][len(first.prompt) :] == list(first.answer)


def test_the_prompt_is_the_one_that_the_provider_asks(job, llama):
    tokens = TUNER.tokens(llama, EXAMPLES[0])
    (found,) = HFProvider().generate(
        [Request(provider="hf", model=llama, system="Rank it.", messages=EXAMPLES[0].messages,
                 max_tokens=1, seed=1)]
    )  # fmt: skip
    assert tokens == found.tokens_in + len("P1") + 1


@pytest.mark.filterwarnings("ignore::FutureWarning", "ignore::UserWarning")
def test_the_loss_is_that_of_the_model(job, llama):
    """Recomputed from the whole logits, without any of the training's code."""
    from penin_hf.learners import learner

    course = TUNER._course(job())
    from penin_hf import scoring

    trainer = learner(course, job().folder, lambda loss: False)
    score = scoring.answers(trainer.model, course.validation)
    from transformers import AutoModelForCausalLM

    model = AutoModelForCausalLM.from_pretrained(llama)
    total = count = 0
    for each in course.validation:
        ids = torch.tensor([[*each.prompt, *each.answer]])
        labels = ids.clone()
        labels[0, : len(each.prompt)] = -100
        total += float(model(ids, labels=labels).loss) * len(each.answer)
        count += len(each.answer)
    assert score.loss == pytest.approx(total / count, rel=1e-5)


# The adapter


@pytest.mark.filterwarnings("ignore::FutureWarning")
def test_the_adapter_is_a_folder_that_peft_reads(job, llama):
    from peft import PeftModel
    from transformers import AutoModelForCausalLM

    given = job(settings={**QUICK, "target_modules": ["q_proj", "v_proj"], "alpha": 10})
    trained = TUNER.train(given, silent)
    assert trained.files == ("adapter_model.safetensors", "adapter_config.json", "penin.json")
    config = json.loads((given.folder / "adapter_config.json").read_text())
    assert (config["r"], config["lora_alpha"]) == (4, 10)
    assert config["target_modules"] == ["q_proj", "v_proj"]
    base = AutoModelForCausalLM.from_pretrained(llama)
    model = PeftModel.from_pretrained(base, given.folder)
    count = sum(v.numel() for n, v in model.named_parameters() if "lora_" in n)
    assert count == trained.figures["trained_parameters"]


def test_an_adapter_says_which_base_it_belongs_to(job, llama):
    from penin_hf.folders import weights_digest

    given = job()
    TUNER.train(given, silent)
    about = json.loads((given.folder / "penin.json").read_text())
    assert about == {"format": 1, "base": weights_digest(Path(llama))}


# What is refused


@pytest.mark.parametrize(
    ("name", "value", "words"),
    [
        ("rank", 0, "at least 1 and at most 512"),
        ("alpha", 0.0, "more than 0 and at most 4096"),
        ("dropout", 1.0, "at least 0 and at most 0.9"),
        ("learning_rate", 1.0, "at least 1e-08 and at most 0.1"),
        ("n_epochs", 0, "at least 1 and at most 1000"),
        ("batch_size", 5000, "at least 1 and at most 1024"),
        ("patience", 0, "at least 1 and at most 1000"),
        ("beta", 0.0, "at least 0.001 and at most 10"),
    ],
)
def test_a_setting_out_of_range_is_refused_with_its_range(name, value, words):
    with pytest.raises(SettingsError, match=name) as caught:
        validated(HFHyperparams, {name: value}, "hyperparameters of hf")
    assert words in caught.value.hint


@pytest.mark.parametrize("settings", [{"method": "ppo"}, {"epochs": 3}, {"target_modules": 3}])
def test_a_setting_that_does_not_exist_is_refused(settings):
    with pytest.raises(ValidationError, match=next(iter(settings))):
        HFHyperparams(**settings)


def test_unknown_target_modules_are_refused_with_those_that_there_are(job):
    settings = {**QUICK, "target_modules": ["q_proj", "lm_head"]}
    with pytest.raises(TrainingFailed, match="lm_head") as caught:
        TUNER.train(job(settings=settings), silent)
    assert "down_proj, gate_proj, k_proj, o_proj, q_proj, up_proj, v_proj" in caught.value.hint


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU here")
def test_a_gpu_that_is_not_there_is_one_error_before_anything(llama):
    tuner = HFFineTuner(ModelOptions(device="cuda"))
    with pytest.raises(FineTuningUnavailable, match="finds no GPU here") as caught:
        tuner.capabilities(llama)
    assert "[finetuners.hf]" in caught.value.hint


def test_a_second_gpu_is_not_trained_on(llama, monkeypatch):
    second = torch.device("cuda:1")
    monkeypatch.setattr(finetuner_module, "device_of", lambda options: second)
    with pytest.raises(FineTuningUnavailable, match="cuda:1") as caught:
        TUNER.capabilities(llama)
    assert "CUDA_VISIBLE_DEVICES=1" in caught.value.hint


def test_missing_libraries_are_named(llama, monkeypatch):
    import importlib.util

    find = importlib.util.find_spec
    monkeypatch.setattr(importlib.util, "find_spec", lambda n: None if n == "trl" else find(n))
    with pytest.raises(FineTuningUnavailable, match="not installed: trl") as caught:
        TUNER.capabilities(llama)
    assert "penin-hf[train]" in caught.value.hint


def test_rows_longer_than_the_window_are_counted_and_named(job):
    long = example("7" * 300, "P1")
    with pytest.raises(TrainingFailed, match=r"2 training examples \(rows 19, 20\).*256 tokens"):
        TUNER.train(job(train=(*EXAMPLES, long, long)), silent)


@pytest.mark.parametrize(("method", "rows"), [("dpo", EXAMPLES), ("sft", PAIRS)])
def test_rows_of_the_other_method_are_refused(job, method, rows):
    with pytest.raises(TrainingFailed, match="18 training examples"):
        TUNER.train(job(train=rows, settings={**QUICK, "method": method}), silent)


def test_a_loss_that_is_not_finite_ends_the_training(job, monkeypatch):
    monkeypatch.setattr(training_module, "learner", _broken(training_module.learner))
    with pytest.raises(TrainingFailed, match="the loss is nan at step 3") as caught:
        TUNER.train(job(), silent)
    assert "learning_rate" in caught.value.hint


def _broken(learner):
    def made(course, folder, after_step):
        steps = iter([1.0, 1.0, float("nan")])
        return learner(course, folder, lambda loss: after_step(next(steps)))

    return made


def test_too_little_memory_is_said(job, monkeypatch):
    def full(self, *args, **given):
        raise torch.OutOfMemoryError("CUDA out of memory")

    trl = pytest.importorskip("trl")
    monkeypatch.setattr(trl.SFTTrainer, "training_step", full)
    with pytest.raises(TrainingFailed, match="a batch of 4 do not fit") as caught:
        TUNER.train(job(), silent)
    assert "batch_size" in caught.value.hint


# Early stopping and validation


def test_without_validation_examples_a_share_is_held_back_by_the_seed(job):
    courses = [TUNER._course(job(validation=(), seed=seed)) for seed in (1, 1, 2)]
    assert courses[0].validation == courses[1].validation != courses[2].validation
    for course in courses:
        assert len(course.validation) == len(EXAMPLES) // HELD_BACK
        assert not set(course.train) & set(course.validation)
        assert len(course.train) + len(course.validation) == len(EXAMPLES)


def test_what_is_held_back_is_not_learnt_where_examples_repeat(job):
    course = TUNER._course(job(train=(*EXAMPLES, *EXAMPLES), validation=(), seed=1))
    assert not set(course.train) & set(course.validation)
    assert len(set(course.validation)) == len(course.validation)
    with pytest.raises(TrainingFailed, match="all training examples are alike"):
        TUNER._course(job(train=EXAMPLES[:1] * 30, validation=(), seed=1))


def test_training_ends_early_and_keeps_the_best(job):
    """Trained to answer otherwise than the validation examples, it never gets better than base."""
    wrong = tuple(e.model_copy(update={"answer": "nonsense"}) for e in EXAMPLES)
    given = job(train=wrong, settings={**QUICK, "n_epochs": 9, "patience": 1})
    right = (example("x", "x"),)
    figures = TUNER.train(given.model_copy(update={"validation": right}), silent).figures
    assert figures["epochs"] < 9
    assert figures["validation_loss"] <= figures["validation_loss_before"]


# Interruptions


@pytest.mark.parametrize("after", range(1, 10))
def test_whatever_step_it_is_stopped_after_the_result_is_the_same(job, after):
    """Ten steps, dropout on: the state of the generator, of the optimiser and the order count."""
    settings = {**QUICK, "dropout": 0.3}
    whole = job(settings=settings)
    TUNER.train(whole, silent)

    def stop(progress):
        if progress.step == after:
            raise TrainingStopped("on request")

    stopped = job(settings=settings)
    with pytest.raises(TrainingStopped):
        TUNER.train(stopped, stop)
    assert len(list(stopped.folder.glob("checkpoint-*"))) == 1
    TUNER.train(stopped, silent)
    assert files(stopped) == files(whole)


def test_the_best_adapter_so_far_survives_an_interruption(job, monkeypatch):
    """The first epoch is the best one, and the training is stopped in the third."""

    def worse_and_worse(self):
        return Score(float(self._step or 100), 0.0)

    monkeypatch.setattr(training_module.Training, "_score", worse_and_worse)
    settings = {**QUICK, "n_epochs": 3, "patience": 3}
    whole, stopped, first = job(settings=settings), job(settings=settings), job(settings=settings)
    TUNER.train(whole, silent)

    def stop_at(last):
        def stop(progress):
            if progress.step == last:
                raise TrainingStopped("on request")

        return stop

    with pytest.raises(TrainingStopped):
        TUNER.train(stopped, stop_at(12))
    TUNER.train(stopped, silent)
    assert files(stopped) == files(whole)
    with pytest.raises(TrainingStopped):
        TUNER.train(first, stop_at(5))
    (checkpoint,) = first.folder.glob("checkpoint-*")
    kept = load_file(checkpoint / "best.safetensors")
    found = load_file(whole.folder / "adapter_model.safetensors")
    assert all(torch.equal(kept[name], found[name]) for name in found)


def test_a_killed_training_goes_on_to_the_same_adapter(job, llama, tmp_path):
    settings = {**QUICK, "dropout": 0.3, "n_epochs": 40, "patience": 40}
    whole, killed = job(settings=settings), job(settings=settings)
    TUNER.train(whole, silent)
    script = tmp_path / "train.py"
    script.write_text(
        "import sys, torch\n"
        "torch.set_num_threads(1)\n"
        "from penin_core import TrainingJob\n"
        "from penin_hf import training\n"
        "from penin_hf.finetuner import HFFineTuner\n"
        "training.SECONDS = 0.2\n"
        "job = TrainingJob.model_validate_json(sys.stdin.read())\n"
        "HFFineTuner().train(job, lambda progress: None)\n",
        encoding="utf-8",
    )
    process = subprocess.Popen([sys.executable, str(script)], stdin=subprocess.PIPE, text=True)
    process.stdin.write(killed.model_dump_json())
    process.stdin.close()
    deadline = time.monotonic() + 120
    while not list(killed.folder.glob("checkpoint-*")) and process.poll() is None:
        assert time.monotonic() < deadline
        time.sleep(0.02)
    os.kill(process.pid, signal.SIGKILL)
    assert process.wait() == -signal.SIGKILL
    seen = []
    TUNER.train(killed, seen.append)
    assert seen[0].step > 0
    assert files(killed) == files(whole)


def test_a_full_disk_is_an_os_error_and_the_checkpoint_before_stays(job, llama, tmp_path):
    """No file may grow beyond a few bytes: what torch says of it is no OSError by itself."""
    given = job()

    def stop(progress):
        if progress.step == 2:
            raise TrainingStopped("on request")

    with pytest.raises(TrainingStopped):
        TUNER.train(given, stop)
    (kept,) = given.folder.glob("checkpoint-*")
    script = tmp_path / "train.py"
    script.write_text(
        "import resource, sys, torch\n"
        "torch.set_num_threads(1)\n"
        "from penin_core import TrainingJob\n"
        "from penin_hf import training\n"
        "from penin_hf.finetuner import HFFineTuner\n"
        "training.SECONDS = 0.0\n"
        "job = TrainingJob.model_validate_json(sys.stdin.read())\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (4096, resource.RLIM_INFINITY))\n"
        "try:\n"
        "    HFFineTuner().train(job, lambda progress: None)\n"
        "except OSError as error:\n"
        "    print('OSError', error.filename)\n",
        encoding="utf-8",
    )
    done = subprocess.run(
        [sys.executable, str(script)], input=given.model_dump_json(), text=True,
        capture_output=True, check=True,
    )  # fmt: skip
    assert done.stdout.startswith("OSError"), done
    assert list(given.folder.glob("*")) == [kept]
    whole = job()
    TUNER.train(whole, silent)
    TUNER.train(given, silent)
    assert files(given) == files(whole)
    assert resource.getrlimit(resource.RLIMIT_FSIZE)[0] == resource.RLIM_INFINITY


@pytest.mark.parametrize("harm", ["cut", "job", "notes"])
def test_a_checkpoint_that_does_not_fit_is_refused(job, harm):
    given = job()

    def stop(progress):
        if progress.step == 2:
            raise TrainingStopped("on request")

    with pytest.raises(TrainingStopped):
        TUNER.train(given, stop)
    (path,) = given.folder.glob("checkpoint-*")
    if harm == "cut":
        file = path / "optimizer.pt"
        file.write_bytes(file.read_bytes()[:-9])
    elif harm == "notes":
        (path / "notes.json").write_text("{")
    else:
        given = given.model_copy(update={"seed": 4})
    reason = "another training" if harm == "job" else "damaged"
    with pytest.raises(TrainingFailed, match=reason) as caught:
        TUNER.train(given, silent)
    assert "begin again" in caught.value.hint


def test_another_base_is_refused_by_the_provider(job, new_model, tmp_path):
    given = job()
    TUNER.train(given, silent)
    other = str(new_model(tmp_path / "other", seed=9))
    messages = (Message(role="user", content="hello"),)
    request = Request(provider="hf", model=other, messages=messages, adapter=str(given.folder))
    (found,) = HFProvider().generate([request])
    assert isinstance(found, ProviderRefused), found
