"""What the model is measured on: fresh texts with one fixed instruction for each task and level."""

from __future__ import annotations

from random import Random

from .grammar import records
from .grammar.tasks import TASKS, USUAL_KEYS, Ask, answer, write
from .grammar.values import FIELDS
from .heldout import Case

PROMPTS = {
    "json": {
        "clear": "Extract name, email and amount as JSON. No extra text.",
        "partial": "Extract the details as JSON.",
        "vague": "Process this text.",
    },
    "extract": {
        "clear": "Answer the question. Return only the value.",
        "partial": "Answer the question.",
        "vague": "Help with this.",
    },
    "headline": {
        "clear": "Write a short headline for the text.",
        "partial": "Summarise the text.",
        "vague": "Process this text.",
    },
    "sentiment": {
        "clear": "Classify the sentiment: positive, negative or neutral. Answer with one word.",
        "partial": "Classify the sentiment.",
        "vague": "Help with this.",
    },
    "intent": {
        "clear": "Classify the intent: refund, delivery, login, cancel or praise. "
        "Answer with one word.",
        "partial": "Classify the intent.",
        "vague": "Help with this.",
    },
    "booking": {
        "clear": "Extract people, time, date, first_name and last_name from the message as JSON. "
        "Only the slots that occur.",
        "partial": "Extract the booking details.",
        "vague": "Process this text.",
    },
    "record": {
        "clear": "Extract level, service and ms from the log line as JSON. No extra text.",
        "partial": "Extract the details as JSON.",
        "vague": "Help with this.",
    },
}


def case(rng: Random, task: str) -> Case:
    """Write one text and its right answer."""
    ask = Ask(task)
    if task == "json":
        keys = USUAL_KEYS["json"]
        others = [field for field in FIELDS if field not in keys]
        ask = Ask(task, keys, tuple(rng.sample(others, rng.choice([0, 1, 1]))))
    elif task == "record":
        ask = Ask(task, USUAL_KEYS["record"], group=next(iter(records.GROUPS)))
    form = "json" if task in ("json", "record", "booking") else "plain"
    return answered(rng, ask, form)


def answered(rng: Random, ask: Ask, form: str) -> Case:
    """Write a text for the ask and answer it."""
    document = write(rng, ask)
    return document.text, answer(document, ask, form)


def cases(seed: str, count: int) -> dict[str, list[Case]]:
    """Write that many cases for every task."""
    return {
        task: [case(Random(f"{seed}/{task}/{n}"), task) for n in range(count)] for task in TASKS
    }


def prompt(instruction: str, text: str, examples: list[Case] | None = None) -> str:
    """Lay out a prompt as in training."""
    shown = "".join(f"\nInput: {asked}\nOutput: {given}\n" for asked, given in examples or [])
    return f"{instruction}{shown}\nInput: {text}\nOutput: "
