"""Short messages to a restaurant, from one bare value to several sentences.

The spans follow the habits of people who mark such messages: ``five`` of ``a party of five``, but
``five people``; ``tomorrow`` of ``tomorrow evening``; ``9`` of ``around 9 ish``.
"""

from __future__ import annotations

from random import Random

from .booking_values import clock, day, day_clause, guests
from .booking_words import ENDINGS, INTERJECTIONS, OPENINGS, SLOT_CLAUSES, TALK
from .chance import expand, happens, weighted
from .documents import Document
from .values import chatter, filler, first_name, invented_word, last_name
from .words import NUMBERS

SLOTS = ("people", "time", "date", "first_name", "last_name")

Facts = dict[str, str]


def booking(rng: Random) -> Document:
    """Write one message; ``facts`` holds only the slots that occur in it."""
    while True:
        facts, text, asked = _message(rng)
        text = _ended(rng, text, facts)
        text, facts = _dressed(rng, text, facts)
        if all(value in text for value in facts.values()):
            return Document(asked + text, {slot: facts[slot] for slot in SLOTS if slot in facts})


def _message(rng: Random) -> tuple[Facts, str, str]:
    """Return the slots, the message, and what the restaurant had asked for, in brackets."""
    count = weighted(rng, {0: 0.34, 1: 0.36, 2: 0.17, 3: 0.09, 4: 0.04})
    topics = rng.sample(["people", "time", "date", "name"], count)
    bare = count == 1 and happens(rng, 0.4)
    facts: Facts = {}
    clauses = [_clause(rng, topic, bare, facts) for topic in topics]
    if count == 1 and happens(rng, 0.05):
        clauses = _changed(rng, topics[0], facts) or clauses
    text = rng.choice([" ", " ", " ", ", ", " and "]).join(clauses) if count else talk(rng)
    if count:
        text = _framed(rng, text, bare)
    if happens(rng, 0.2):
        text = f"{rng.choice(INTERJECTIONS)} {text}"
    shown = happens(rng, 0.8 if bare else 0.2)
    if bare and not shown and text in (facts.get("people"), facts.get("time")) and _is_number(text):
        facts.clear()  # A number alone says nothing where nothing was asked.
    return facts, text, f"(asked: {', '.join(_asked(rng, facts))}) " if shown else ""


def _is_number(text: str) -> bool:
    return text.isdigit() or text in NUMBERS


def _asked(rng: Random, facts: Facts) -> list[str]:
    """Return the slots that the restaurant asked for, mostly those that the guest tells."""
    if facts and happens(rng, 0.9):
        names = [slot for slot in ("first_name", "last_name") if slot in facts]
        return list(facts) if len(names) != 1 or happens(rng, 0.4) else ["first_name", "last_name"]
    return rng.sample(SLOTS, rng.choice([1, 1, 2, 3]))


def talk(rng: Random) -> str:
    """Return a message that holds no slot."""
    tail = ["", f" {_place(rng)}", f" {_place(rng)}", f" & {_place(rng)}", " House", " Kitchen"]
    values = {
        "word": filler(rng),
        "talk": chatter(rng, rng.choice([2, 3, 4, 5])),
        "place": _place(rng) + rng.choice(["", "", f" {_place(rng)}"]),
        "restaurant": rng.choice(["", "", "The "]) + _place(rng) + rng.choice([*tail, " Bar"]),
    }
    return expand(rng, "<message>", TALK, values)


def _place(rng: Random) -> str:
    word = invented_word(rng, 2) if happens(rng, 0.5) else filler(rng)
    return word.capitalize()


def _clause(rng: Random, topic: str, bare: bool, facts: Facts) -> str:
    """Write the clause of one topic and add what it says to the facts."""
    if topic == "name":
        return _name_clause(rng, bare, facts)
    value = {"people": guests, "time": clock, "date": day}[topic](rng)
    if bare and topic == "time" and happens(rng, 0.3):
        value = str(rng.randint(1, 23))
    facts[topic] = value
    if bare and (topic == "people" or happens(rng, 0.55)):
        return value
    if topic == "date":
        return day_clause(rng, value, SLOT_CLAUSES["date"])
    counted = topic == "people" and " " not in value and happens(rng, 0.45)
    clause = rng.choice(SLOT_CLAUSES["count" if counted else topic])
    if not value.isdigit() and clause.endswith(("o'clock", "ish")):
        clause = "at {}"
    if topic != "people" and happens(rng, 0.04):
        clause = f"{chatter(rng, 1)} {{}}"
    return clause.format(value)


def _name_clause(rng: Random, bare: bool, facts: Facts) -> str:
    given = {"first_name": first_name(rng), "last_name": last_name(rng)}
    manner = weighted(rng, {"full_name": 0.8, "last_name": 0.11, "first_name": 0.09})
    told = given if manner == "full_name" else {manner: given[manner]}
    facts.update(told)
    clause = "{}" if bare else rng.choice(SLOT_CLAUSES[manner])
    return clause.format(" ".join(told.values()))


def _changed(rng: Random, topic: str, facts: Facts) -> list[str]:
    """Return a change from an old value to the one that counts."""
    makers = {"time": clock, "people": guests}
    if topic not in makers:
        return []
    old, new = makers[topic](rng), facts[topic]
    return [rng.choice([f"from {old} to {new}", f"not {old} but {new}", f"{new} instead of {old}"])]


def _framed(rng: Random, text: str, bare: bool) -> str:
    """Add an opening, small talk, or a sentence without a slot."""
    u = rng.random()
    if u < (0.05 if bare else 0.5):
        opening = rng.choice(OPENINGS)
        text = f"{opening} {text}" if happens(rng, 0.85) else f"{text} {opening}"
    elif u < 0.56 and not bare:
        text = f"{chatter(rng, rng.choice([2, 3, 4]))} {text}"
    if not bare and happens(rng, 0.14):
        other = talk(rng)
        text = f"{text}. {other}" if happens(rng, 0.6) else f"{other}. {text}"
    return text


def _ended(rng: Random, text: str, facts: Facts) -> str:
    if happens(rng, 0.18):
        text += rng.choice([" ", ", "]) + rng.choice(ENDINGS)
    if happens(rng, 0.62):
        text += rng.choice([".", ".", ".", "?", "!", ".."])
    time = facts.get("time", "")
    if time[-1:] in ("m", "M") and text.endswith(f"{time}.") and happens(rng, 0.75):
        facts["time"] = f"{time}."  # As in "p.m."
    return text


def _dressed(rng: Random, text: str, facts: Facts) -> tuple[str, Facts]:
    """Vary upper and lower case, and mistype a word that is not part of a value."""
    if happens(rng, 0.6):
        capital = text[0].upper() + text[1:]
        facts = {slot: _as_written(value, capital) for slot, value in facts.items()}
        text = capital
    u = rng.random()
    if u < 0.14:
        return text.lower(), {slot: value.lower() for slot, value in facts.items()}
    if u < 0.15:
        return text.upper(), {slot: value.upper() for slot, value in facts.items()}
    if u < 0.24:
        return _mistyped(rng, text, facts), facts
    return text, facts


def _as_written(value: str, text: str) -> str:
    """Return the value with the capital that the beginning of the text may have given it."""
    return value if value in text else value[0].upper() + value[1:]


def _mistyped(rng: Random, text: str, facts: Facts) -> str:
    words = text.split(" ")
    index = rng.randrange(len(words))
    word = words[index]
    if len(word) < 4 or not word.isalpha() or any(word in value for value in facts.values()):
        return text
    at = rng.randrange(1, len(word) - 1)
    typo = rng.choice(["", word[at] * 2, word[at + 1] + word[at]])
    words[index] = word[:at] + typo + word[at + 1 :]
    return " ".join(words)
