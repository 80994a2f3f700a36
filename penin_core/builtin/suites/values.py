"""Invented values for the fields of a task: names, addresses, amounts, dates, numbers, places."""

from __future__ import annotations

from collections.abc import Callable
from random import Random

from .chance import between, happens, pick
from .words import (
    CODAS,
    DOMAIN_ENDINGS,
    FIRST_NAMES,
    LAST_NAMES,
    MONTHS,
    ONSETS,
    ORDER_LETTERS,
    VOWELS,
)


def invented_word(rng: Random, syllables: int) -> str:
    """A pronounceable word that no dictionary has, in lower case."""
    sounds = (pick(rng, ONSETS) + pick(rng, VOWELS) for _ in range(syllables))
    return "".join(sounds) + pick(rng, CODAS)


def first_name(rng: Random, group: str) -> str:
    """A first name of the group (``words.COMMON`` or ``words.RARE``)."""
    return pick(rng, FIRST_NAMES[group])


def person(rng: Random, group: str) -> str:
    """First and last name of the group."""
    return f"{first_name(rng, group)} {pick(rng, LAST_NAMES[group])}"


def email(rng: Random, name: str) -> str:
    """A mail address, in half of the cases made of the name."""
    if happens(rng, 0.5):
        first, last = name.lower().split(" ")
        owner = pick(rng, [f"{first}.{last}", f"{first[0]}.{last}", first, last + first[0]])
    else:
        owner = invented_word(rng, 2) + pick(rng, ["", str(between(rng, 1, 999))])
    return f"{owner}@{invented_word(rng, between(rng, 1, 2))}{pick(rng, DOMAIN_ENDINGS)}"


def amount(rng: Random) -> str:
    """An amount of money with its currency, from 10 to 9,999."""
    digits = pick(rng, [2, 3, 4])
    number = str(between(rng, 10 ** (digits - 1), 10**digits - 1))
    if digits == 4 and happens(rng, 0.4):
        number = f"{number[0]},{number[1:]}"
    if happens(rng, 0.6):
        number += f".{between(rng, 0, 99):02d}"
    style = pick(rng, ["${}", "${}", "EUR {}", "{} USD", "{} EUR", "€{}", "£{}", "USD {}"])
    return style.format(number)


def date(rng: Random) -> str:
    """A day between 2019 and 2029 in one of the frequent notations."""
    year, month, day = between(rng, 2019, 2029), between(rng, 1, 12), between(rng, 1, 28)
    written = MONTHS[month - 1]
    return pick(
        rng,
        [
            f"{year}-{month:02d}-{day:02d}",
            f"{year}-{month:02d}-{day:02d}",
            f"{written} {day}, {year}",
            f"{day} {written} {year}",
            f"{day:02d}/{month:02d}/{year}",
        ],
    )


def order(rng: Random) -> str:
    """An order number in one of four styles."""
    number, letter = between(rng, 100, 99999), pick(rng, ORDER_LETTERS)
    return pick(
        rng,
        [
            f"ORD-{number}",
            f"#{number}",
            f"{letter}{pick(rng, ORDER_LETTERS)}{number}",
            f"{letter}{between(rng, 1, 9)}-{number}",
        ],
    )


def phone(rng: Random) -> str:
    """A telephone number with its country code."""
    return f"+{between(rng, 1, 99)} {between(rng, 100, 999)} {between(rng, 1000, 9999)}"


def city(rng: Random) -> str:
    """The name of an invented town."""
    return invented_word(rng, 2).capitalize() + pick(rng, ["", "", "ville", "burg"])


def product(rng: Random) -> str:
    """The name of an invented product and its model."""
    models = [str(between(rng, 2, 99)), f"X{between(rng, 1, 9)}", "Pro", "Mini"]
    return f"{invented_word(rng, 2).capitalize()} {pick(rng, models)}"


def company(rng: Random) -> str:
    """The name of an invented company."""
    return invented_word(rng, 2).capitalize() + pick(rng, ["", " Ltd", " Inc", " Group"])


def iban(rng: Random) -> str:
    """The country code and the first ten digits of an account number, as on a shortened slip."""
    country = pick(rng, ["PT", "DE", "ES", "FR"])
    blocks = f"{between(rng, 1000, 9999)} {between(rng, 1000, 9999)}"
    return f"{country}{between(rng, 10, 99)} {blocks}"


def week(rng: Random) -> str:
    """A calendar week as trade writes it."""
    return f"{pick(rng, ['CW', 'week', 'wk'])} {between(rng, 1, 52)}/{between(rng, 2020, 2028)}"


PLAIN_FIELDS: dict[str, Callable[[Random], str]] = {
    "amount": amount,
    "date": date,
    "order": order,
    "phone": phone,
    "city": city,
    "product": product,
}
FIELDS = ("name", "email", *PLAIN_FIELDS)


def field_values(rng: Random, fields: list[str], group: str) -> dict[str, str]:
    """A value for every field; the mail address belongs to the person who is named."""
    name = person(rng, group)
    values = {"name": name, "email": email(rng, name)}
    return {
        field: values[field] if field in values else PLAIN_FIELDS[field](rng) for field in fields
    }
