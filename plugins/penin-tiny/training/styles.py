"""Whole manners of writing that training never saw; the instruction is the usual one."""

from __future__ import annotations

from collections.abc import Callable
from random import Random

from .grammar import booking_values, values
from .grammar.chance import phrases, sentence_case, shuffled
from .grammar.tasks import as_json

Case = tuple[str, str]

_CONTACT = ("name", "email", "amount")
_MEMO = {
    "name": phrases("we acknowledge {} | the undersigned is {} | with regard to {}"),
    "email": phrases("correspondence to {} | notify {} | electronic replies to {}"),
    "amount": phrases("a sum of {} | balance {} | remittance of {}"),
}
_PORTUGUESE = {
    "name": phrases("O cliente {} fez o pedido | Comprador: {} | Quem pagou foi {}"),
    "email": phrases("correio {} | contato {} | responder para {}"),
    "amount": phrases("valor {} | pagou {} | custou {}"),
    "city": phrases("entregar em {} | cidade {}"),
    "product": phrases("produto {} | um {} novo"),
}
_GERMAN = {
    "name": phrases("Kunde {} | gekauft von {} | Herr {}"),
    "email": phrases("Mail {} | Antwort an {} | erreichbar unter {}"),
    "amount": phrases("Betrag {} | bezahlt {} | zusammen {}"),
    "date": phrases("am {} | Datum {}"),
}
_CODES = {
    "name": phrases("nm | N | cust"),
    "email": phrases("em | E | mbx"),
    "amount": phrases("am | A | amt"),
    "date": phrases("dt | D | ref"),
}
_FERRY = phrases(
    """
    Ferry for {people} departing {time}, passenger {name} | {name} wants the boat of {time},
    {people} aboard | Skipper, {people} on board at {time}; charged to {name} | Sailing {time}:
    {people}, ticket holder {name}
    """
)


def memo(rng: Random) -> Case:
    """Formal letters."""
    return _clauses(rng, _MEMO, _CONTACT, ", ")


def portuguese(rng: Random) -> Case:
    """Another language, two clauses of it that say something else."""
    return _clauses(rng, _PORTUGUESE, (*_CONTACT, "city", "product"), "; ")


def german(rng: Random) -> Case:
    """A language that occurs nowhere in training."""
    return _clauses(rng, _GERMAN, (*_CONTACT, "date"), ", ")


def codes(rng: Random) -> Case:
    """Short codes as keys."""
    facts = values.field_values(rng, [*_CONTACT, "date"])
    parts = [f"{rng.choice(_CODES[field])}:{fact}" for field, fact in facts.items()]
    return " / ".join(shuffled(rng, parts)), _contact(facts)


def log_entry(rng: Random) -> Case:
    """A note about a customer as a log line."""
    facts = values.field_values(rng, [*_CONTACT, "order", "date"])
    keys = {"name": "cust", "email": "mbox", "amount": "amt"}
    parts = [f"{key}={facts[field]}" for field, key in keys.items()]
    parts.append(rng.choice([f"ref={facts['order']}", f"ts={facts['date']}"]))
    line = rng.choice(["INFO ", "WARN ", ""]) + " / ".join(shuffled(rng, parts))
    return line, _contact(facts)


def ferry(rng: Random) -> Case:
    """Bookings of another trade."""
    first, last = values.first_name(rng), values.last_name(rng)
    people, time = booking_values.guests(rng), booking_values.clock(rng)
    facts = {"people": people, "time": time, "first_name": first, "last_name": last}
    text = rng.choice(_FERRY).format(people=people, time=time, name=f"{first} {last}")
    return f"{text}.", as_json(facts)


def _clauses(
    rng: Random, clauses: dict[str, tuple[str, ...]], fields: tuple[str, ...], separator: str
) -> Case:
    facts = values.field_values(rng, list(fields))
    parts = [rng.choice(clauses[field]).format(facts[field]) for field in fields]
    return sentence_case(separator.join(shuffled(rng, parts))) + ".", _contact(facts)


def _contact(facts: dict[str, str]) -> str:
    return as_json({field: facts[field] for field in _CONTACT})


#: Each style, and the task whose clear instruction it comes with.
STYLES: dict[str, tuple[str, Callable[[Random], Case]]] = {
    "memo": ("json", memo),
    "portuguese": ("json", portuguese),
    "german": ("json", german),
    "codes": ("json", codes),
    "log entry": ("json", log_entry),
    "ferry": ("booking", ferry),
}
