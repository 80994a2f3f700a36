"""Notes about customers and orders: lists of keys and values, prose, and prose of unknown words."""

from __future__ import annotations

from random import Random

from .chance import happens, phrases, sentence_case, shuffled, weighted
from .documents import Document
from .note_words import ASIDES, BYSTANDERS, CLAUSES, KEYS, PORTUGUESE, QUESTIONED
from .values import FIELDS, chatter, email, field_values, filler, iban, invented_word, person

CONTACT = ("name", "email", "amount")

#: Fields whose values show what they are, so that any words may stand around them.
_TELLING = frozenset(FIELDS) - {"city", "product"}
_SEPARATORS = (" | ", "; ", ", ", " - ", " , ", "  ", ". ", " / ", " ; ", "\n", " || ", " * ", "; ")
_SIGNS = (": ", "=", ": ", " ", " = ", " is ", "->", ":", " - ", " := ")
_QUESTIONS = phrases(
    """
    Question: what is the {}? | What is the {}? | Q: {}? | Which is the {}? | Question: {}? |
    Tell me the {}. | Which {} is given? | What {} is mentioned? | Question: which {}? |
    The question: what is the {}? | Give the {}. | Asked: the {}. | {}? | Q: what is the {}? |
    What was the {}? | Please tell me the {}. | I need the {}. | So what is the {}?
    """
)


def note(rng: Random, fields: list[str]) -> Document:
    """Write a note that mentions each of the fields once."""
    facts = field_values(rng, fields)
    order = shuffled(rng, fields)
    u = rng.random()
    if u < 0.3:
        text = _list(rng, facts, order)
    elif u < 0.312:
        parts = [rng.choice(PORTUGUESE[field]).format(facts[field]) for field in order]
        text = rng.choice(["; ", ", ", ". "]).join(parts)
    else:
        text = _prose(rng, facts, order)
    return Document(text, facts)


def _list(rng: Random, facts: dict[str, str], order: list[str]) -> str:
    usual = happens(rng, 0.6)
    separator = rng.choice(_SEPARATORS[:3] if usual else _SEPARATORS)
    sign = rng.choice(_SIGNS[:2] if usual else _SIGNS)
    if separator in (", ", " ", "  ", " - ") and sign.isspace():
        sign = ": "
    foreign = happens(rng, 0.18)
    entries = [_key(rng, field, foreign) + sign + facts[field] for field in order]
    for _ in range(rng.choice([0, 0, 0, 0, 1, 2])):
        entry = rng.choice([filler(rng), str(rng.randint(1, 9999)), chatter(rng, 2)])
        key = filler(rng)
        key = key.capitalize() if happens(rng, 0.6) else key
        entries.insert(rng.randint(0, len(entries)), key + sign + entry)
    leads = ["INFO ", "WARN ", "Note: ", "New entry: ", f"{filler(rng).capitalize()}: ", "[new] "]
    return (rng.choice(leads) if happens(rng, 0.25) else "") + separator.join(entries)


def _key(rng: Random, field: str, foreign: bool) -> str:
    """Return a usual key, or one that only its value explains."""
    if not foreign or field not in _TELLING or happens(rng, 0.2):
        return rng.choice(KEYS[field])
    short = rng.choice([field[0], field[:2], field[:3], field[0] + field[-1], filler(rng)])
    short = rng.choice([short, f"{invented_word(rng, 1)}", f"{short}_{filler(rng)}"])
    return rng.choice([short, short, short.upper(), short.capitalize()])


def _prose(rng: Random, facts: dict[str, str], order: list[str]) -> str:
    manner = weighted(
        rng, {"plain": 0.44, "led": 0.14, "chatty": 0.14, "mixed": 0.14, "open": 0.14}
    )
    unknown = {"mixed": 0.4, "open": 0.9}.get(manner, 0.02)
    parts = []
    for field in order:
        if field in _TELLING and happens(rng, unknown):
            parts.append(_open_clause(rng, facts[field]))
        else:
            parts.append(rng.choice(CLAUSES[field]).format(facts[field]))
        if manner == "led" and happens(rng, 0.5):
            parts[-1] = _surrounded(rng, parts[-1])
    if manner == "chatty":
        for _ in range(rng.choice([1, 1, 2])):
            parts.insert(rng.randint(0, len(parts)), chatter(rng, rng.choice([2, 3, 4, 5, 7])))
    if happens(rng, 0.3):
        parts.insert(rng.randint(0, len(parts)), rng.choice(ASIDES))
    if happens(rng, 0.04):
        parts.insert(rng.randint(0, len(parts)), _bystander(rng))
    separator = rng.choice([", ", ", ", ". ", "; ", " and ", " - "])
    starts = range(len(parts)) if separator == ". " else range(1)
    for index in starts:  # A value keeps its letters wherever it stands.
        if not parts[index].startswith(tuple(facts.values())) and happens(rng, 0.9):
            parts[index] = sentence_case(parts[index])
    return separator.join(parts) + rng.choice([".", ".", "", "!"])


def _surrounded(rng: Random, clause: str) -> str:
    if happens(rng, 0.6):
        return f"{chatter(rng, rng.choice([1, 2, 3]))} {clause}"
    return f"{clause} {chatter(rng, 2)}"


def _open_clause(rng: Random, value: str) -> str:
    """Surround the value with words that say nothing about it."""
    before = chatter(rng, rng.choice([1, 1, 2, 2, 3]))
    if happens(rng, 0.25):  # As before a name in a language of capital nouns.
        before = before.title() if happens(rng, 0.5) else sentence_case(before)
    u = rng.random()
    if u < 0.7:
        return f"{before}{rng.choice([' ', ' ', ' ', ': ', ' to ', ' is '])}{value}"
    if u < 0.85:
        return f"{value} {before}"
    return f"{before} {value} {chatter(rng, rng.choice([1, 2]))}"


def _bystander(rng: Random) -> str:
    """Name somebody who is not meant."""
    other = rng.choice(BYSTANDERS)
    return other.format(email(rng) if "cc" in other else person(rng))


def question(rng: Random, field: str | None = None) -> Document:
    """Write a note that ends on a question for one of its fields; a rare one if none is named."""
    if field is None and happens(rng, 0.015):
        return _account_question(rng)
    document, field, name = questioned(rng, field)
    separator = "\n" if happens(rng, 0.05) else " "
    text = document.text + separator + rng.choice(_QUESTIONS).format(name)
    return Document(text, {field: document.facts[field]}, document.facts[field], name)


def questioned(rng: Random, field: str | None = None) -> tuple[Document, str, str]:
    """Write a note, and choose a field of it and what to call the field."""
    field = field or rng.choice(FIELDS)
    others = [other for other in FIELDS if other != field]
    document = note(rng, [field, *rng.sample(others, rng.choice([1, 2, 2, 3]))])
    return document, field, rng.choice(QUESTIONED[field])


def _account_question(rng: Random) -> Document:
    account, document = iban(rng), note(rng, rng.sample(FIELDS, 2))
    parts = shuffled(rng, [f"IBAN {account}", document.text.rstrip(".!")])
    text = f"{', '.join(parts)}. Question: what is the IBAN?"
    return Document(text, {"iban": account}, account, "IBAN")
