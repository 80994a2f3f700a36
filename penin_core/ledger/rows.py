"""The tables ``runs`` and ``events``: views of the entries, and the only way to fill them.

``derive`` turns a leaf into the row that belongs to it. The store fills the tables with it and
the verification compares the tables with it, so a row can never say anything but its entry.
"""

from __future__ import annotations

import re
from datetime import datetime
from functools import lru_cache
from types import NoneType
from typing import Any, NamedTuple

from .leaves import Leaf, digest, read
from .merkle import leaf_hash

RUN = "RUN"
EVENT_KINDS = (
    "BOOTSTRAP",
    "CONFIRM",
    "PROMOTE",
    "CANARY_START",
    "CANARY_STOP",
    "ROLLBACK",
    "TUNE",
    "FINETUNE_CREATED",
    "FINETUNE_FINISHED",
    "OVERRIDE",
    "BUDGET",
    "CHECKPOINT",
)
#: Events after which the configuration in their body is the champion.
CHAMPION_KINDS = ("BOOTSTRAP", "PROMOTE", "ROLLBACK")
#: Runs, cycles and everything else that becomes part of a path.
ID = re.compile(r"[a-z0-9][a-z0-9_-]{0,63}")

_HEX = re.compile(r"[0-9a-f]{64}")


class Column(NamedTuple):
    """A column of ``runs`` that is copied from the body of a run entry."""

    name: str
    type: str
    required: bool = False
    check: str = ""


class Row(NamedTuple):
    """A row of one of the two views: the values of all its columns but ``idx``, in order."""

    table: str
    values: tuple[str | int | float | None, ...]


_UNIT = "{0} BETWEEN 0 AND 1"
_POSITIVE = "{0} >= 0"

#: ``None`` in a column that is not required means "not measured", never zero.
BODY_COLUMNS = (
    Column("id", "TEXT", True),
    Column("cycle_id", "TEXT"),
    Column("kind", "TEXT", True, "{0} IN ('challenger', 'baseline')"),
    Column("git_sha", "TEXT"),
    Column("seed", "INTEGER"),
    Column("provider_id", "TEXT"),
    Column("candidate_cfg_hash", "TEXT", True),
    Column("parent_run_id", "TEXT"),
    Column("u_score", "REAL", False, _UNIT),
    Column("s_score", "REAL", False, _UNIT),
    Column("c_score", "REAL", False, _UNIT),
    Column("l_score", "REAL", False, _UNIT),
    Column("linf", "REAL", False, _UNIT),
    Column("score", "REAL"),
    Column("cost_micro_usd", "INTEGER", False, _POSITIVE),
    Column("latency_ms", "REAL", False, _POSITIVE),
    Column("sigma_guard_ok", "FLAG"),
    Column("ir_ic_ok", "FLAG"),
    Column("sr", "REAL", False, _UNIT),
    Column("caos_phi", "REAL", False, _UNIT),
    Column("verdict", "TEXT", True, "{0} IN ('promote', 'canary', 'rollback', 'fail')"),
    Column("reason", "TEXT"),
    Column("delta_linf", "REAL"),
    Column("delta_score", "REAL"),
    Column("artifacts_path", "TEXT", False, "{0} = 'runs/' || id"),
    Column("manifest_sha256", "TEXT", False, "length({0}) = 64"),
    Column("ethics_attest_hash", "TEXT"),
    Column("config_hash", "TEXT"),
    Column("dry_run", "FLAG", True),
    Column("param_version", "INTEGER"),
    Column("threshold_profile", "TEXT"),
    Column("suite_hash", "TEXT"),
    Column("n_tasks", "INTEGER", False, _POSITIVE),
)
#: Every column of the two tables in order. ``ts`` is in Unix seconds, ``leaf_hash`` in hex; the
#: last of both is ``idx``, the index of the entry.
COLUMNS = {
    "runs": (*(column.name for column in BODY_COLUMNS), "ts", "cost_usd", "leaf_hash", "idx"),
    "events": ("ts", "kind", "run_id", "body", "leaf_hash", "idx"),
}

#: The columns of ``runs`` that say yes or no.
FLAGS = tuple(column.name for column in BODY_COLUMNS if column.type == "FLAG")

_NAMES = tuple(column.name for column in BODY_COLUMNS)
# ``detail`` is kept in the entry only.
_ALLOWED = frozenset(_NAMES) | {"detail"}
#: What a column accepts, by exact type as JSON gives it; SQLite stores a whole number in a REAL
#: column as a float, and a bool as 0 or 1.
_TYPES: dict[str, tuple[type, ...]] = {
    "TEXT": (str,),
    "REAL": (float, int),
    "INTEGER": (int,),
    "FLAG": (bool,),
}


def derive(data: bytes, hashed: bytes | None = None) -> Row:
    """Return the row that belongs to a leaf; ``hashed`` is its leaf hash where that is known.

    Raises:
        ValueError: the bytes are not a canonical leaf, or its body lacks what its kind demands.
    """
    return row_of(read(data), leaf_hash(data) if hashed is None else hashed)


def row_of(leaf: Leaf, hashed: bytes) -> Row:
    """Return the row that belongs to a leaf that was read, and to its hash.

    Raises:
        ValueError: its body lacks what its kind demands.
    """
    ts, hexadecimal = datetime.fromisoformat(leaf.ts).timestamp(), hashed.hex()
    if leaf.kind == RUN:
        cost = leaf.body.get("cost_micro_usd")
        values = _run_values(leaf.body)
        return Row("runs", (*values, ts, None if cost is None else cost / 1e6, hexadecimal))
    if leaf.kind not in EVENT_KINDS:
        raise ValueError(f"kind {leaf.kind!r} is neither {RUN} nor an event kind")
    if leaf.kind in CHAMPION_KINDS:
        _check_champion(leaf)
    return Row("events", (ts, leaf.kind, _event_run_id(leaf), leaf.body_json, hexadecimal))


def _run_values(body: dict[str, Any]) -> tuple[str | int | float | None, ...]:
    if not body.keys() <= _ALLOWED:
        name = min(body.keys() - _ALLOWED)
        hint = "; money is an integer: cost_micro_usd" if name == "cost_usd" else ""
        raise ValueError(f"run field {name!r} is unknown{hint}")
    if not isinstance(body.get("detail", {}), dict):
        raise ValueError("run field 'detail' is not an object")
    values = tuple(map(body.get, _NAMES))
    wrong = _wrong_column(tuple(map(type, values)))
    if wrong is not None:
        raise ValueError(_refused(BODY_COLUMNS[wrong], values[wrong]))
    if not ID.fullmatch(body["id"]):
        raise ValueError(f"run id {body['id']!r} does not match {ID.pattern}")
    if (body.get("artifacts_path") is None) != (body.get("manifest_sha256") is None):
        raise ValueError("artifacts_path and manifest_sha256 go together")
    return values


# The runs of a ledger have the same few combinations of types over and over.
@lru_cache(maxsize=256)
def _wrong_column(types: tuple[type, ...]) -> int | None:
    """Return the first column whose value has a type that it does not accept."""
    for at, (column, found) in enumerate(zip(BODY_COLUMNS, types, strict=True)):
        if column.required if found is NoneType else found not in _TYPES[column.type]:
            return at
    return None


def _refused(column: Column, value: Any) -> str:
    if value is None:
        return f"run field {column.name!r} is missing"
    return f"run field {column.name!r} is {value!r}, expected {column.type.lower()}"


def _event_run_id(leaf: Leaf) -> str | None:
    run_id = leaf.body.get("run_id")
    if run_id is not None and not (isinstance(run_id, str) and ID.fullmatch(run_id)):
        raise ValueError(f"{leaf.kind}: run_id is {run_id!r}, expected an id ({ID.pattern})")
    return run_id


def _check_champion(leaf: Leaf) -> None:
    config, named = leaf.body.get("config"), leaf.body.get("config_hash")
    if not isinstance(config, dict):
        raise ValueError(f"{leaf.kind}: config is missing or not an object")
    if not isinstance(named, str) or not _HEX.fullmatch(named) or digest(config) != named:
        raise ValueError(
            f"{leaf.kind}: config_hash is {named!r}, the SHA-256 of config is {digest(config)}"
        )
    if leaf.kind == "PROMOTE" and leaf.body.get("run_id") is None:
        raise ValueError(f"{leaf.kind}: run_id is missing")
