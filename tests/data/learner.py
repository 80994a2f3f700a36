"""A plugin for tests: a classifier of words that really learns, and a fine-tuner for it.

The base model "l1" knows about half of the colours. A tuned one is naive Bayes over the words of
its examples, in a JSON file. ``LEARNER_SLEEPS`` is the seconds that a step takes, ``LEARNER_FAILS``
what goes wrong, as "step:problem".
"""

import hashlib
import json
import math
import os
import time
from collections import Counter, defaultdict
from pathlib import Path

from pydantic import Field

from penin_core import (
    ComponentOptions,
    FineTuningUnavailable,
    LocalFineTuner,
    LocalProvider,
    ProviderRefused,
    TrainedModel,
    TrainingCapabilities,
    TrainingFailed,
    TrainingProgress,
    hookimpl,
)
from penin_core.testing.fakes import Scripted

penin_api = 1

COLOURS = ("red", "green", "blue")


def words(text):
    return text.lower().replace(".", " ").replace(",", " ").split()


def base(request):
    question = words(request.messages[-1].content)
    right = next((colour for colour in COLOURS if colour in question), "grey")
    chance = hashlib.sha256(f"{request.seed} {question}".encode()).digest()[0] / 256
    return right if chance < 0.5 else "grey"


def predict(counts, text):
    def score(label):
        seen = counts[label]
        total = sum(seen.values())
        return sum(math.log((seen.get(word, 0) + 0.01) / (total + 1)) for word in words(text))

    return max(sorted(counts), key=score)


class Learner(LocalProvider):
    """Names colours; tuned, it names what it learnt."""

    name = "learner"

    def capabilities(self, model):
        if model != "l1":
            raise ProviderRefused(f"there is no model {model!r}")
        return Scripted(Scripted.Options(confidence=0.95)).capabilities(model)

    def generate(self, requests):
        answer = base
        if requests and requests[0].adapter is not None:
            path = Path(requests[0].adapter) / "words.json"
            counts = json.loads(path.read_text(encoding="utf-8"))

            def answer(request):
                return predict(counts, request.messages[-1].content)

        return Scripted(Scripted.Options(answer=answer, confidence=0.95)).generate(requests)


class LearnerTuner(LocalFineTuner):
    """Counts words."""

    name = "learner"

    class Hyperparams(ComponentOptions):
        n_epochs: int = Field(default=6, ge=1)

    def capabilities(self, model):
        if model != "l1":
            raise FineTuningUnavailable(f"{model!r} cannot be trained", hint="l1 can")
        return TrainingCapabilities(context_tokens=40)

    def tokens(self, model, example):
        texts = [example.system, *(m.content for m in example.messages), example.answer]
        return sum(len(words(text)) for text in texts)

    def train(self, job, watch):
        state = job.folder / "state.json"
        done, counts = 0, defaultdict(Counter)
        if state.exists():
            done, kept = json.loads(state.read_text(encoding="utf-8"))
            counts.update((label, Counter(seen)) for label, seen in kept.items())
        steps = job.hyperparams["n_epochs"]
        for step in range(done + 1, steps + 1):
            time.sleep(float(os.environ.get("LEARNER_SLEEPS", "0")))
            self.fail(step)
            for example in job.train:
                counts[example.answer].update(words(example.messages[-1].content))
            aside = job.folder / "state.new"
            aside.write_text(json.dumps([step, counts], sort_keys=True), encoding="utf-8")
            aside.replace(state)
            wrong = [e for e in job.train if predict(counts, e.messages[-1].content) != e.answer]
            watch(
                TrainingProgress(
                    step=step, steps=steps, loss=len(wrong) / len(job.train) + 1 / step
                )
            )
        file = job.folder / "words.json"
        file.write_text(json.dumps(counts, sort_keys=True), encoding="utf-8")
        return TrainedModel(
            files=("words.json",), figures={"wrong": len(wrong) if steps > done else 0}
        )

    def fail(self, now):
        step, _, problem = os.environ.get("LEARNER_FAILS", "0:").partition(":")
        if int(step) == now:
            if problem == "disk":
                raise OSError(28, "No space left on device", "state.new")
            if problem == "nan":
                raise TrainingFailed("the loss is not finite after step 3", hint="lower the rate")
            raise RuntimeError("a bug")


@hookimpl
def penin_register_providers():
    return [Learner]


@hookimpl
def penin_register_finetuners():
    return [LearnerTuner]
