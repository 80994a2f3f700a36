"""What is about to be appended: leaves and rows that are made before any lock is taken."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Self

from .leaves import compose, timestamp
from .merkle import leaf_hash
from .queries import Entry
from .rows import RUN, Row, row_of


@dataclass(frozen=True, slots=True)
class Draft:
    """Entries that belong together: all of them are appended, in this order, or none."""

    ts: str
    leaves: list[bytes]
    hashes: list[bytes]
    rows: list[Row]

    @classmethod
    def of(cls, items: Iterable[tuple[str, Mapping[str, Any]]]) -> Self:
        """Return the draft of ``(kind, body)`` pairs.

        Raises:
            ValueError: an item has no canonical form, is longer than 65,535 bytes, has an unknown
                kind or field, or lacks a required one.
        """
        ts = timestamp(datetime.now(UTC))
        made = [compose(kind, ts, body) for kind, body in items]
        hashes = [leaf_hash(data) for data, _ in made]
        rows = [row_of(leaf, hashed) for (_, leaf), hashed in zip(made, hashes, strict=True)]
        return cls(ts, [data for data, _ in made], hashes, rows)

    def entries(self, first: int) -> list[Entry]:
        """Return what the entries are when the first of them has the index ``first``."""
        return [Entry(idx, hashed.hex(), self.ts) for idx, hashed in enumerate(self.hashes, first)]


class Appendable(ABC):
    """The ways to append."""

    @abstractmethod
    def record_many(self, items: Iterable[tuple[str, Mapping[str, Any]]]) -> list[Entry]:
        """Append ``(kind, body)`` pairs, all or none; when this returns they are on the disk."""

    def record_run(self, run: Mapping[str, Any]) -> Entry:
        """Append a run: the columns of ``runs`` by name, and optionally an object ``detail``.

        Money is ``cost_micro_usd``, an integer. A field that is missing or ``None`` was not
        measured; ``id``, ``kind``, ``candidate_cfg_hash``, ``verdict`` and ``dry_run`` must be
        there.

        Raises: as ``record_many``.
        """
        return self.record_many([(RUN, run)])[0]

    def record_event(self, kind: str, body: Mapping[str, Any], run_id: str | None = None) -> Entry:
        """Append an event of one of ``EVENT_KINDS``; ``run_id`` becomes part of the body.

        BOOTSTRAP, PROMOTE and ROLLBACK carry ``config``, ``config_hash`` and ``run_id`` of the
        configuration that is the champion after the event.

        Raises: as ``record_many``.
        """
        if run_id is not None:
            if body.get("run_id", run_id) != run_id:
                raise ValueError(f"run_id is {run_id!r}, but {body['run_id']!r} in the body")
            body = {**body, "run_id": run_id}
        return self.record_many([(kind, body)])[0]
