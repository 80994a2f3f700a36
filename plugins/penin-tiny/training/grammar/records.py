"""Log lines and invoice lines."""

from __future__ import annotations

from collections.abc import Callable
from random import Random

from .chance import happens, shuffled
from .documents import Document
from .record_words import CLAUSES
from .values import amount, chatter, date, filler, first_name, invented_word, last_name, product

_STATUS = (200, 201, 204, 301, 304, 400, 401, 403, 404, 409, 429, 500, 502, 503)


def _level(rng: Random) -> str:
    return rng.choice(["INFO", "WARN", "ERROR", "DEBUG", "FATAL", "WARNING", "CRITICAL", "TRACE"])


def _service(rng: Random) -> str:
    return filler(rng) + rng.choice(["", "-api", "-db", "-svc", "d", "-worker", "-web"])


def _code(rng: Random) -> str:
    return rng.choice([str(rng.choice(_STATUS)), f"E{rng.randint(10, 9999)}"])


def _user(rng: Random) -> str:
    return rng.choice([invented_word(rng, 2), f"u{rng.randint(1, 9999)}", first_name(rng).lower()])


def _host(rng: Random) -> str:
    address = ".".join(str(rng.randint(0, 254)) for _ in range(4))
    return rng.choice([address, f"{filler(rng)}{rng.randint(1, 20)}"])


def _vendor(rng: Random) -> str:
    ends = [" Ltd", " Inc", " GmbH", "", " Co", f" & {last_name(rng)}"]
    return invented_word(rng, 2).capitalize() + rng.choice(ends)


def _item(rng: Random) -> str:
    return f"{filler(rng)} {filler(rng)}" if happens(rng, 0.5) else product(rng)


_LOG: dict[str, Callable[[Random], str]] = {
    "level": _level,
    "service": _service,
    "code": _code,
    "ms": lambda rng: str(rng.randint(1, 9999)),
    "user": _user,
    "host": _host,
}
_INVOICE: dict[str, Callable[[Random], str]] = {
    "invoice": lambda rng: rng.choice(["INV-", "RE", "", "#"]) + str(rng.randint(100, 99999)),
    "vendor": _vendor,
    "item": _item,
    "quantity": lambda rng: str(rng.randint(1, 500)),
    "total": amount,
    "due": date,
}
#: Parts that show what they are, so that any words may stand before them.
_TELLING = frozenset({"level", "service", "ms", "total", "due"})
GROUPS = {"log": _LOG, "invoice": _INVOICE}


def record(rng: Random, group: str, needed: list[str]) -> Document:
    """Write a line of the group (``log`` or ``invoice``) that holds at least the needed parts."""
    makers = GROUPS[group]
    more = rng.sample(list(makers), rng.choice([1, 2, 3]))
    facts = {key: makers[key](rng) for key in dict.fromkeys([*needed, *more])}
    order = _order(rng, group, list(facts))
    if happens(rng, 0.3):
        separator = rng.choice([" ", ",", ", ", " | ", " ; ", "; ", " / "])
        sign = rng.choice(["=", ": ", ":"]) if separator != " " else "="
        text = separator.join(_key(rng, key) + sign + facts[key] for key in order)
    else:
        separators = [" ", ", ", "; ", " - "] if group == "log" else [", ", "; ", " | ", " - "]
        unknown = 0.5 if happens(rng, 0.12) else 0.0
        parts = (_clause(rng, key, facts[key], unknown) for key in order)
        text = rng.choice(separators).join(parts)
    if happens(rng, 0.25):
        text += rng.choice([" ", ", ", " - "]) + chatter(rng, rng.choice([2, 3, 4]))
    if group == "log" and happens(rng, 0.6):
        text = f"{_timestamp(rng)} {text}"
    return Document(text, facts)


def _clause(rng: Random, key: str, value: str, unknown: float) -> str:
    """Mention the part in a usual way, or among words and signs that say nothing about it."""
    if key not in _TELLING or not happens(rng, unknown):
        return rng.choice(CLAUSES[key]).format(value)
    if key == "ms":
        return f"{chatter(rng, rng.choice([1, 2]))}{rng.choice([' ', '=', ': '])}{value} ms"
    if key == "level" and happens(rng, 0.6):
        before, after = rng.choice(["()", "{}", "||", "**", "~~", "# ", "__", '""', "--"])
        return f"{before}{value}{after}".strip()
    return f"{filler(rng)}{rng.choice([' ', ' ', '=', ':', ': '])}{value}"


def _order(rng: Random, group: str, keys: list[str]) -> list[str]:
    """Put level and service first in most log lines, and nothing first elsewhere."""
    if group != "log" or happens(rng, 0.06):
        return shuffled(rng, keys)
    first = [key for key in ("level", "service") if key in keys]
    return first + shuffled(rng, [key for key in keys if key not in first])


def _key(rng: Random, key: str) -> str:
    return rng.choice([key, key, key, key, key, key.upper(), key[:3], key.capitalize()])


def _timestamp(rng: Random) -> str:
    clock = f"{rng.randint(0, 23):02d}:{rng.randint(0, 59):02d}:{rng.randint(0, 59):02d}"
    day = f"{rng.randint(2019, 2027)}-{rng.randint(1, 12):02d}-{rng.randint(1, 28):02d}"
    return rng.choice([clock, f"{day} {clock}", f"{day}T{clock}Z", f"[{clock}]"])
