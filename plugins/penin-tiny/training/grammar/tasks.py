"""The seven tasks: what is asked, the texts it is asked about, and the answers in every form."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from random import Random

from . import bookings, news, notes, opinions, records, wishes
from .chance import happens, shuffled
from .documents import Document
from .note_words import QUESTIONED
from .values import FIELDS

TASKS = ("json", "extract", "headline", "sentiment", "intent", "booking", "record")
LABELS = {"sentiment": opinions.LABELS, "intent": wishes.LABELS}
NEWS_KEYS = ("company", "count", "city")
#: What a vague instruction most likely wants of a note or a log line.
USUAL_KEYS = {"json": notes.CONTACT, "record": ("level", "service", "ms")}

_RENAMED = {
    "name": "customer",
    "email": "mail",
    "amount": "total",
    "date": "day",
    "order": "order_id",
    "phone": "tel",
    "city": "town",
    "product": "item",
    "people": "guests",
    "time": "hour",
    "first_name": "first",
    "last_name": "last",
    "level": "severity",
    "service": "component",
    "code": "status",
    "ms": "latency",
    "user": "account",
    "host": "source",
    "invoice": "number",
    "vendor": "supplier",
    "item": "goods",
    "quantity": "qty",
    "total": "sum",
    "due": "deadline",
}


@dataclass(frozen=True)
class Ask:
    """What all examples of a prompt have in common.

    ``keys`` are the fields wanted, in order. A question stands in the text unless ``question``
    says what the instruction calls the one field. ``group`` is the kind of record.
    """

    task: str
    keys: tuple[str, ...] = ()
    extra: tuple[str, ...] = ()
    question: str = ""
    group: str = ""


def draw_ask(rng: Random, task: str, vague: bool) -> Ask:
    """Draw what a prompt asks for."""
    if task == "json":
        return _draw_note_ask(rng, vague)
    if task == "booking":
        return Ask(task, _some_slots(rng))
    if task == "record":
        group = "log" if happens(rng, 0.55) else "invoice"
        keys = rng.sample(list(records.GROUPS[group]), rng.choice([2, 3, 3, 4]))
        usual = USUAL_KEYS[task] if group == "log" and happens(rng, 0.7 if vague else 0.1) else ()
        return Ask(task, usual or tuple(keys), group=group)
    if task == "extract" and happens(rng, 0.35):
        field = rng.choice(FIELDS)
        return Ask(task, (field,), question=rng.choice(QUESTIONED[field]))
    return Ask(task, NEWS_KEYS if task == "headline" else ())


def _draw_note_ask(rng: Random, vague: bool) -> Ask:
    if happens(rng, 0.7 if vague else 0.15):
        others = [field for field in FIELDS if field not in notes.CONTACT]
        return Ask("json", notes.CONTACT, tuple(rng.sample(others, rng.choice([0, 1, 1]))))
    fields = rng.sample(FIELDS, rng.choice([2, 3, 3, 4]))
    wanted = len(fields) - (len(fields) > 2 and happens(rng, 0.25))
    return Ask("json", tuple(fields[:wanted]), tuple(fields[wanted:]))


def _some_slots(rng: Random) -> tuple[str, ...]:
    slots: tuple[str, ...] = bookings.SLOTS
    if happens(rng, 0.15):
        slots = tuple(shuffled(rng, slots))
    return slots[: rng.choice([1, 2, 3, 4])] if happens(rng, 0.1) else slots


def write(rng: Random, ask: Ask) -> Document:
    """Write a text that the ask can be answered from."""
    if ask.task == "json":
        return notes.note(rng, [*ask.keys, *ask.extra])
    if ask.task == "record":
        return records.record(rng, ask.group, list(ask.keys))
    if ask.task == "extract" and ask.question:
        document, field, _ = notes.questioned(rng, ask.keys[0])
        fact = document.facts[field]
        return Document(document.text, {field: fact}, fact, ask.question)
    plain = {
        "extract": notes.question,
        "booking": bookings.booking,
        "headline": news.report,
        "sentiment": opinions.review,
        "intent": wishes.message,
    }
    return plain[ask.task](rng)


def answer(document: Document, ask: Ask, form: str) -> str:
    """Return the answer in one of its forms.

    ``plain`` is the value, headline or label alone; ``json`` an object of the keys, ``renamed`` one
    with other keys and ``single`` one with the first key only; ``line`` names keys and values,
    ``values`` values only; ``sentence``, ``labelled`` and ``capital`` dress the plain answer;
    ``key_sentence`` and ``first_sentence`` are copied from a report.
    """
    facts = {
        key: document.facts[key] for key in ask.keys or document.facts if key in document.facts
    }
    if form in ("json", "renamed", "single"):
        if form == "renamed":
            facts = {_RENAMED[key]: value for key, value in facts.items()}
        return as_json(dict(list(facts.items())[:1]) if form == "single" else facts)
    if form == "line":
        return ", ".join(f"{key}: {value}" for key, value in facts.items()) or "none"
    if form == "values":
        return ", ".join(facts.values()) or "none"
    return _short(document, form)


def _short(document: Document, form: str) -> str:
    if form == "key_sentence":
        return document.key_sentence
    if form == "first_sentence":
        return document.text.split(". ")[0].rstrip(".") + "."
    if form == "sentence":
        return f"The {document.asked} is {document.answer}."
    if form == "labelled":
        return f"{next(iter(document.facts))}: {document.answer}"
    return document.answer.capitalize() if form == "capital" else document.answer


def as_json(facts: Mapping[str, str]) -> str:
    """Return a JSON object on one line, its letters as they are."""
    return json.dumps(dict(facts), ensure_ascii=False)
