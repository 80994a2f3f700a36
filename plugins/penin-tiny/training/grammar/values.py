"""Invented values: people, addresses, amounts, dates, numbers, places, goods."""

from __future__ import annotations

from collections.abc import Callable
from random import Random

from .chance import happens
from .words import (
    CODAS,
    FILLERS,
    FIRST_ENDINGS,
    FIRST_NAMES,
    LAST_ENDINGS,
    LAST_NAMES,
    MONTHS,
    ONSETS,
    RARE_ONSETS,
    RARE_VOWELS,
    SMALL_WORDS,
    VOWELS,
)

_DOMAINS = (".com", ".org", ".net", ".io", ".example", ".co.uk", ".de", ".eu", ".info", ".fr")
_LETTERS = "ABCDEFGHJKLMNPQRSTUVWXYZ"


def invented_word(rng: Random, syllables: int) -> str:
    """Return a pronounceable word that no dictionary has."""
    sounds = (rng.choice(ONSETS) + rng.choice(VOWELS) for _ in range(syllables))
    return "".join(sounds) + rng.choice(CODAS)


def filler(rng: Random) -> str:
    """Return one word that says nothing about the task."""
    return (
        rng.choice(FILLERS) if happens(rng, 0.6) else invented_word(rng, rng.choice([1, 2, 2, 3]))
    )


def chatter(rng: Random, length: int) -> str:
    """Return that many words that say nothing about the task."""
    return " ".join(
        rng.choice(SMALL_WORDS) if happens(rng, 0.45) else filler(rng) for _ in range(length)
    )


def _rare_sounds(rng: Random) -> str:
    def syllable() -> str:
        onsets = ONSETS if happens(rng, 0.7) else RARE_ONSETS
        return rng.choice(onsets) + rng.choice(RARE_VOWELS)

    return "".join(syllable() for _ in range(rng.choice([1, 1, 2])))


def first_name(rng: Random) -> str:
    """Return a first name: listed, of simple syllables, or of rarer sounds."""
    u = rng.random()
    if u < 0.26:
        return rng.choice(FIRST_NAMES)
    if u < 0.6:
        return invented_word(rng, rng.choice([1, 2, 2])).capitalize()
    return (_rare_sounds(rng) + rng.choice(FIRST_ENDINGS)).capitalize()


def last_name(rng: Random) -> str:
    """Return a last name, now and then a double or a prefixed one."""
    u = rng.random()
    if u < 0.16:
        return rng.choice(LAST_NAMES)
    if u < 0.5:
        return invented_word(rng, 2).capitalize()
    if u < 0.52:
        return rng.choice(["O'", "Mc", "De", "Van"]) + invented_word(rng, 2).capitalize()
    return (_rare_sounds(rng) + rng.choice(LAST_ENDINGS)).capitalize()


def person(rng: Random) -> str:
    """Return first and last name."""
    return f"{first_name(rng)} {last_name(rng)}"


def email(rng: Random, owner: str = "") -> str:
    """Return a mail address, in half of the cases made of its owner's name."""
    if owner and happens(rng, 0.5):
        first, last = owner.lower().split(" ")[:2]
        user = rng.choice(
            [
                f"{first}.{last}",
                f"{first[0]}.{last}",
                first,
                last + first[0],
                f"{first}{rng.randint(1, 99)}",
                f"{first}_{last}",
            ]
        )
    else:
        ends = ["", str(rng.randint(1, 999)), f"_{invented_word(rng, 1)}"]
        user = invented_word(rng, 2) + rng.choice([*ends, f".{invented_word(rng, 1)}"])
    if happens(rng, 0.75):
        host = invented_word(rng, rng.choice([1, 2]))
    else:
        host = rng.choice(FILLERS) + rng.choice(["", f"-{rng.choice(FILLERS)}"])
    return f"{user}@{host}{rng.choice(_DOMAINS)}"


def amount(rng: Random) -> str:
    """Return an amount of money with its currency, from 1 to 9,999."""
    whole = rng.choice([rng.randint(1, 99), rng.randint(100, 999), rng.randint(1000, 9999)])
    if happens(rng, 0.02):
        return f"R$ {whole},{rng.randint(0, 99):02d}"
    number = f"{whole:,}" if happens(rng, 0.4) else str(whole)
    if happens(rng, 0.6):
        number += f".{rng.randint(0, 99):02d}"
    style = rng.choice(
        ["${}", "${}", "EUR {}", "{} USD", "{} EUR", "€{}", "£{}", "USD {}", "{} GBP"]
    )
    return style.format(number)


def date(rng: Random) -> str:
    """Return a day in one of the frequent notations, now and then a rare one."""
    year, month, day = rng.randint(2019, 2029), rng.randint(1, 12), rng.randint(1, 28)
    name, u = MONTHS[month - 1], rng.random()
    if u < 0.015:
        return f"{rng.choice(['week', 'week', 'CW'])} {rng.randint(1, 52)}/{year}"
    if u < 0.03:
        return f"{day}.{month}.{year}"
    if u < 0.42:
        return f"{year}-{month:02d}-{day:02d}"
    if u < 0.56:
        return f"{name} {day}, {year}"
    if u < 0.76:
        return f"{day} {name} {year}"
    return f"{day:02d}/{month:02d}/{year}"


def order(rng: Random) -> str:
    """Return an order number in one of several styles."""
    number, letter = rng.randint(100, 99999), rng.choice(_LETTERS)
    return rng.choice(
        [
            f"ORD-{number}",
            f"#{number}",
            f"{letter}{rng.choice(_LETTERS)}{number}",
            f"{letter}{rng.randint(1, 9)}-{number}",
        ]
    )


def phone(rng: Random) -> str:
    """Return a telephone number with its country code."""
    return f"+{rng.randint(1, 99)} {rng.randint(100, 999)} {rng.randint(1000, 9999)}"


def city(rng: Random) -> str:
    """Return the name of an invented town."""
    return invented_word(rng, 2).capitalize() + rng.choice(["", "", "ville", "burg"])


def product(rng: Random) -> str:
    """Return the name of an invented product and its model."""
    model = rng.choice([str(rng.randint(2, 99)), f"X{rng.randint(1, 9)}", "Pro", "Mini"])
    return f"{invented_word(rng, 2).capitalize()} {model}"


def company(rng: Random) -> str:
    """Return the name of an invented company."""
    return invented_word(rng, 2).capitalize() + rng.choice(["", " Ltd", " Inc", " Group"])


def iban(rng: Random) -> str:
    """Return the beginning of an account number."""
    blocks = f"{rng.randint(1000, 9999)} {rng.randint(1000, 9999)}"
    return f"{rng.choice(['GB', 'NL', 'BE', 'IT'])}{rng.randint(10, 99)} {blocks}"


_PLAIN: dict[str, Callable[[Random], str]] = {
    "amount": amount,
    "date": date,
    "order": order,
    "phone": phone,
    "city": city,
    "product": product,
}
FIELDS = ("name", "email", *_PLAIN)


def field_values(rng: Random, fields: list[str]) -> dict[str, str]:
    """Return a value for each field; the mail address is the named person's."""
    name = person(rng)
    owned = {"name": name, "email": email(rng, name if "name" in fields else "")}
    return {field: owned[field] if field in owned else _PLAIN[field](rng) for field in fields}
