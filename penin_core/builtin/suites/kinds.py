"""The kinds of task: what each asks for, and how one task of it is written.

A kind runs through its ``variants`` (labels, fields, shapes) in turn, so that a suite is balanced
over them whatever its size.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from random import Random
from typing import NamedTuple

from . import documents, values
from .chance import happens, pick, sample, shuffled
from .clauses import (
    FIELD_CLAUSES,
    FIELD_QUESTIONS,
    IBAN_CLAUSES,
    PORTUGUESE_CLAUSES,
    QUESTION_OPENINGS,
    WISHES,
)
from .words import VERDICTS

CONTACT = ("name", "email", "amount")
OTHER_FIELDS = tuple(field for field in values.FIELDS if field not in CONTACT)

EXTRACT_CONTACT = "Extract name, email and amount as JSON. No extra text."
ANSWER = "Answer the question. Return only the value."
WRITE_HEADLINE = "Write a short headline for the text."
SENTIMENT_LABELS = "Classify the sentiment: positive, negative or neutral."
INTENT_LABELS = "Classify the intent: refund, delivery, login, cancel or praise."


class Draft(NamedTuple):
    """One task before it has an identity: text, right answer and instruction."""

    input: str
    expected: str | dict[str, str]
    system: str


@dataclass(frozen=True)
class Kind:
    """A kind of task, and how one is written.

    The first tag is the kind itself, a second one says in what its tasks are unusual. ``write``
    takes a generator, a variant and the group of the people to be named.
    """

    tags: tuple[str, ...]
    variants: Sequence[str]
    write: Callable[[Random, str, str], Draft]
    names_people: bool = True


def contact_as_json(rng: Random, extra: str, group: str) -> Draft:
    """A note about a customer, turned into JSON with three keys."""
    others = sample(rng, OTHER_FIELDS, int(extra))
    facts = values.field_values(rng, [*CONTACT, *others], group)
    expected = {field: facts[field] for field in CONTACT}
    return Draft(documents.note(rng, facts), expected, EXTRACT_CONTACT)


def field_by_question(rng: Random, field: str, group: str) -> Draft:
    """A note that ends on a question for one of its fields."""
    fields = dict.fromkeys(["name", field, *sample(rng, values.FIELDS, 2)])
    facts = values.field_values(rng, list(fields)[:3], group)
    question = pick(rng, QUESTION_OPENINGS).format(pick(rng, FIELD_QUESTIONS[field]))
    return Draft(documents.note(rng, facts) + question, facts[field], ANSWER)


def headline(rng: Random, _variant: str, _group: str) -> Draft:
    """A short report and its headline."""
    report, title, _facts = documents.news(rng)
    return Draft(report, title, WRITE_HEADLINE)


def sentiment(rng: Random, label: str, group: str) -> Draft:
    """A review and the feeling that it voices."""
    text = documents.review(rng, label, group)
    return Draft(text, label, f"{SENTIMENT_LABELS} Answer with one word.")


def intent(rng: Random, label: str, group: str) -> Draft:
    """A message to a service desk and what its writer wants."""
    text = documents.message(rng, label, group)
    return Draft(text, label, f"{INTENT_LABELS} Answer with one word.")


def portuguese_contact(rng: Random, extra: str, group: str) -> Draft:
    """The customer's note in another language, with English values."""
    facts = values.field_values(rng, [*CONTACT, extra], group)
    clauses = (pick(rng, PORTUGUESE_CLAUSES[field]) for field in facts)
    parts = [clause.format(fact) for clause, fact in zip(clauses, facts.values(), strict=True)]
    text = pick(rng, ["; ", ", ", ". "]).join(shuffled(rng, parts))
    return Draft(text, {field: facts[field] for field in CONTACT}, EXTRACT_CONTACT)


def week_by_question(rng: Random, other: str, group: str) -> Draft:
    """A question for a date that is given as a calendar week."""
    facts = values.field_values(rng, ["name", other], group) | {"date": values.week(rng)}
    text = documents.prose_note(rng, facts, FIELD_CLAUSES)
    return Draft(f"{text} Question: what is the date?", facts["date"], ANSWER)


def iban_by_question(rng: Random, other: str, group: str) -> Draft:
    """A question for an account number."""
    account = values.iban(rng)
    note = documents.note(rng, values.field_values(rng, ["name", other], group)).rstrip(".!")
    clause = pick(rng, IBAN_CLAUSES).format(account)
    parts = [clause, note] if happens(rng, 0.5) else [note, clause]
    question = pick(rng, ["Question: what is the IBAN?", "Q: IBAN?"])
    return Draft(f"{documents.sentence_case(', '.join(parts))}. {question}", account, ANSWER)


def other_fields_as_json(rng: Random, count: str, group: str) -> Draft:
    """Reading any fields and writing JSON: a set of keys that no everyday task asks for."""
    fields = sample(rng, values.FIELDS, int(count) + 1)
    facts = values.field_values(rng, fields, group)
    asked = shuffled(rng, fields[1:])
    system = f"Extract {', '.join(asked[:-1])} and {asked[-1]} as JSON. No extra text."
    text = documents.prose_note(rng, facts, FIELD_CLAUSES)
    return Draft(text, {field: facts[field] for field in asked}, system)


def news_as_json(rng: Random, _variant: str, _group: str) -> Draft:
    """Reading a report and writing its facts as JSON."""
    report, _title, facts = documents.news(rng)
    return Draft(report, facts, "Extract company, count and city as JSON. No extra text.")


def sentiment_as_json(rng: Random, label: str, group: str) -> Draft:
    """Judging a review and writing the label as JSON."""
    text = documents.review(rng, label, group)
    return Draft(text, {"sentiment": label}, f"{SENTIMENT_LABELS} Answer as JSON.")


def intent_as_json(rng: Random, label: str, group: str) -> Draft:
    """Judging a message and writing the label as JSON."""
    text = documents.message(rng, label, group)
    return Draft(text, {"intent": label}, f"{INTENT_LABELS} Answer as JSON.")


JSON = Kind(("json",), ("0", "1"), contact_as_json)
EXTRACT = Kind(("extract",), values.FIELDS, field_by_question)
HEADLINE = Kind(("headline",), ("",), headline, names_people=False)
SENTIMENT = Kind(("sentiment",), tuple(VERDICTS), sentiment)
INTENT = Kind(("intent",), tuple(WISHES), intent)
EVERYDAY = (JSON, EXTRACT, HEADLINE, SENTIMENT, JSON, EXTRACT, HEADLINE, INTENT)

UNUSUAL = (
    Kind(("json", "portuguese"), ("order", "city", "product"), portuguese_contact),
    Kind(("extract", "week"), ("amount", "order", "city"), week_by_question),
    Kind(("extract", "iban"), ("amount", "phone", "city"), iban_by_question),
)

FIELDS_AS_JSON = Kind(("fields_json",), ("2", "3"), other_fields_as_json)
NEWS_AS_JSON = Kind(("news_json",), ("",), news_as_json, names_people=False)
SENTIMENT_AS_JSON = Kind(("sentiment_json",), tuple(VERDICTS), sentiment_as_json)
INTENT_AS_JSON = Kind(("intent_json",), tuple(WISHES), intent_as_json)
COMPOSED = (
    FIELDS_AS_JSON,
    NEWS_AS_JSON,
    SENTIMENT_AS_JSON,
    FIELDS_AS_JSON,
    NEWS_AS_JSON,
    INTENT_AS_JSON,
)
