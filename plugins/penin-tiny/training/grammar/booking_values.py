"""How guests write numbers of people, times and days."""

from __future__ import annotations

from collections.abc import Sequence
from random import Random

from .chance import happens, weighted
from .words import MONTHS, NUMBERS, WEEKDAYS

_COMPANY = ("friends", "kids", "others", "colleagues", "guests", "people", "children", "family")
_RELATIVES = (
    "my husband",
    "my wife",
    "my sister",
    "a friend",
    "my mother",
    "my boyfriend",
    "my son",
    "my daughter",
    "my parents",
    "my dad",
    "my grandmother",
    "my boss",
    "my brother",
)
_FEASTS = (
    "new year's eve",
    "Christmas eve",
    "Easter Sunday",
    "Valentine's day",
    "my birthday",
    "New Year's Day",
    "Christmas",
    "Halloween",
    "Mother's day",
    "the weekend",
)


def number(rng: Random) -> str:
    """Return a small number in digits or as a word."""
    return str(rng.randint(1, 20)) if happens(rng, 0.72) else rng.choice(NUMBERS)


def guests(rng: Random) -> str:
    """Return who will come."""
    count, u = number(rng), rng.random()
    if u < 0.45:
        return count
    if u < 0.76:
        nouns = ("people", "people", "people", "person", "persons", "guests", "adults", "men")
        return f"{count} {rng.choice([*nouns, 'women', 'friends', 'diners'])}"
    if u < 0.87:
        adults = rng.choice(["adults", "adult", "women", "men", "grown ups", "boys"])
        link = rng.choice([" and ", " and ", " & ", ", ", " plus "])
        small = rng.choice(["children", "kids", "child", "girls", "babies", "kid", "teenagers"])
        return f"{count} {adults}{link}{number(rng)} {small}"
    return _company(rng, count)


def _company(rng: Random, count: str) -> str:
    """Return people who are named by what they are to the guest."""
    relative = rng.choice(_RELATIVES)
    others = f"{count} {rng.choice(_COMPANY)}"
    return rng.choice(
        [
            f"me and {others}",
            f"myself and {others}",
            f"me and {relative}",
            f"{relative} and I",
            f"me, {relative} and {others}",
            f"{relative} and {others}",
            f"my {others} and I",
            "myself",
            "just me",
            "me",
            f"me and {relative} and {others}",
            f"{rng.choice(['My', 'our'])} {others} and {rng.choice(['I', 'me'])}",
        ]
    )


def clock(rng: Random) -> str:
    """Return a time of day."""
    hour, minute = rng.randint(1, 12), rng.choice([0, 0, 15, 30, 45])
    half = rng.choice(["am", "pm", "PM", "pm", "AM", "PM", "p.m.", "a.m."])
    space = rng.choice(["", " "])
    styles = {
        f"{hour}:{minute:02d}{space}{half}": 0.31,
        f"{hour:02d}:{minute:02d}{space}{half}": 0.11,
        f"{hour}{space}{half}": 0.2,
        f"{hour}:{minute:02d}": 0.14,
        f"{rng.randint(10, 23)}:{minute:02d}": 0.07,
        f"{hour}.{minute:02d}{space}{half}": 0.03,
        str(hour): 0.06,
        rng.choice(["noon", "midnight", "midday"]): 0.03,
        _spoken(rng, hour): 0.04,
        f"{hour} {rng.choice(['in the evening', 'at night', 'in the morning'])}": 0.02,
    }
    return weighted(rng, styles)


def _spoken(rng: Random, hour: int) -> str:
    before = rng.choice(["half past ", "quarter past ", "quarter to ", "10 minutes before "])
    return before + (str(hour) if happens(rng, 0.6) else NUMBERS[hour - 1])


def ordinal(number: int) -> str:
    """Return ``1st``, ``2nd``, ``11th``."""
    endings = {1: "st", 2: "nd", 3: "rd"}
    return f"{number}{'th' if 10 < number < 20 else endings.get(number % 10, 'th')}"


def day(rng: Random) -> str:
    """Return a day as guests name it."""
    u = rng.random()
    if u < 0.12:
        return rng.choice(["", "", "this ", "next ", "this coming "]) + rng.choice(WEEKDAYS)
    if u < 0.26:
        days = ("tomorrow", "tomorrow", "today", "today", "tonight", "tonight", "this evening")
        return rng.choice([*days, "next week", "this weekend", "the day after tomorrow"])
    if u < 0.32:
        count = rng.choice([str(rng.randint(2, 20)), rng.choice(NUMBERS)])
        units = rng.choice(["days", "days", "weeks"])
        now = rng.choice(["now", "now", "today"])
        return rng.choice(
            [f"in {count} {units}", f"in about {count} {units}", f"{count} {units} from {now}"]
        )
    if u < 0.335:
        return rng.choice(_FEASTS)
    return _calendar_day(rng)


def _calendar_day(rng: Random) -> str:
    year, month, count = rng.randint(2017, 2027), rng.choice(MONTHS), rng.randint(1, 30)
    nth, weekday = ordinal(count), rng.choice(WEEKDAYS)
    then = rng.choice(["", "", f" {year}", f", {year}"])
    styles = {
        f"{month} {nth}{then}": 0.24,
        f"{month} {count}{then}": 0.14,
        f"{nth} of {month}{then}": 0.2,
        f"{nth} {month}{then}": 0.08,
        nth: 0.09,
        f"{weekday[:3]}, {count:02d} {month[:3]} {year}": 0.06,
        f"{year}/{MONTHS.index(month) + 1:02d}/{count:02d}": 0.08,
        f"{MONTHS.index(month) + 1:02d}/{count:02d}/{year}": 0.03,
        f"{weekday}, {month} {nth}{then}": 0.06,
        f"{weekday} {month} {nth}{then}": 0.02,
        f"{weekday} the {nth} {month}{then}": 0.02,
        f"{weekday} {month} {count}{then}": 0.02,
        f"{weekday} the {nth} of {month}": 0.02,
        f"{month} the {nth}": 0.01,
        f"{weekday} the {nth}": 0.02,
        f"{weekday[:3]} {month[:3]} {count}": 0.01,
    }
    return weighted(rng, styles)


def day_clause(rng: Random, value: str, clauses: Sequence[str]) -> str:
    """Return a clause that suits the day: nobody says ``on tomorrow``."""
    first = value.split(" ")[0]
    relative = first.lower() in {"this", "next", "tomorrow", "today", "tonight", "in", "the"}
    clause = rng.choice(clauses)
    if relative or " from " in value:
        clause = "{}" if happens(rng, 0.75) else rng.choice(["for {}", "it is {}", "how about {}"])
        if value in ("tomorrow", "today") and happens(rng, 0.25):
            clause += rng.choice([" evening", " night", " afternoon", " morning"])
    elif first[0].isdigit() and first[-1].isalpha():
        clause = clause.replace("the {}", "{}").replace("{}", "the {}", 1)
        if not happens(rng, 0.85):
            clause = clause.replace("the {}", "{}")
    return clause.format(value)
