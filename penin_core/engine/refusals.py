"""Parameters that a model turns out to refuse: left out from then on, and reported."""

from __future__ import annotations

from collections.abc import Collection

from penin_core.errors import ProviderRefused
from penin_core.records import Call

#: How services say that they take no such parameter, or not this value of it.
_CODES = {"unsupported_parameter", "unsupported_value"}
#: What only shapes an answer. Without a limit of its tokens nothing would bound its price.
OPTIONAL = frozenset({"temperature", "top_p", "seed", "logprobs", "top_logprobs", "include"})


def refused_parameter(error: ProviderRefused, call: Call) -> str | None:
    """Return which parameter of ``call`` the service refused, if it can be left out."""
    name = error.param
    known = error.code in _CODES and name in OPTIONAL and name in (call.body or {})
    return name if known else None


def without(call: Call, names: Collection[str]) -> Call:
    """Return ``call`` without the parameters ``names``."""
    if not names or call.body is None:
        return call
    kept = {name: value for name, value in call.body.items() if name not in names}
    return call.model_copy(update={"body": kept})
