"""Who answers a request, and what became of it: what a gateway asks and tells."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from penin_core.league.canary import Arm
from penin_core.records import Configuration


@dataclass(frozen=True, slots=True)
class Assignment:
    """Who answers one request.

    ``configuration`` None means the champion of the pointer. ``shadow`` gets a copy of the request,
    too, and its answer is thrown away once it is recorded.
    """

    experiment: str | None = None
    arm: Arm = "champion"
    configuration: Configuration | None = None
    shadow: Configuration | None = None


#: The champion answers, and nobody is tried.
PLAIN = Assignment()


@dataclass(slots=True)
class Served:
    """One request that has ended, or one copy of it that a shadow answered.

    ``failed`` means that the configuration or its service did wrong, not the client; a request that
    the client gave up, or sent wrongly, is not recorded at all. ``refused`` says that it failed
    because the service found the request wrong, or the configuration cannot be asked it, which may
    be the client's doing, too: that counts once for each key. ``cost_usd`` is None where it is not
    known. ``messages`` are those of chat completions, as the client sent them; ``metadata`` fill
    columns of a prompt. ``consent`` says that the request may be kept. ``at`` is in Unix seconds.
    """

    request_id: str
    key: str
    assignment: Assignment
    shadow: bool = False
    messages: Sequence[Mapping[str, Any]] = ()
    metadata: Mapping[str, str] = field(default_factory=dict)
    text: str = ""
    failed: bool = False
    refused: bool = False
    cost_usd: float | None = None
    latency_ms: float | None = None
    finish: str = "stop"
    consent: bool = False
    at: float = field(default_factory=time.time)

    @property
    def arm(self) -> Arm:
        """Whose answer it is."""
        return "challenger" if self.shadow else self.assignment.arm
