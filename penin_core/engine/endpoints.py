"""Where a provider's answers come from: part of the identity of every answer."""

from __future__ import annotations

import hashlib
import os
import sys
from pathlib import Path

from penin_core.canonical import digest
from penin_core.contracts import HttpProvider, Provider
from penin_core.records import Request


def base_url(provider: HttpProvider) -> str:
    """Return the base URL without its last slash: the option, the variable, or the class's own."""
    moved = getattr(provider.options, "base_url", None)
    variable = os.environ.get(provider.base_url_env, "") if provider.base_url_env else ""
    return str(moved or variable.strip() or provider.base_url).rstrip("/")


def identity(provider: Provider) -> str:
    """Return what tells this source of answers from another one with the same name.

    For a service it is the base URL. For a model in this process it is the source code next to
    its class, and its options: a provider that names the checksum of its weights in its code, as
    it should, gets a new identity together with new weights.
    """
    if isinstance(provider, HttpProvider):
        return base_url(provider)
    options = provider.options.model_dump(mode="json")
    return digest({"source": _source_hash(type(provider)), "options": options})


def answer_key(endpoint: str, request: Request) -> str:
    """Return the key under which the answer to ``request`` is kept.

    Raises:
        ValueError: the request has no canonical form (a lone surrogate, NaN in ``extra``).
    """
    # Not request.key: a changed copy of a request carries the key of its original.
    return digest({"endpoint": endpoint, "request": request.model_dump(mode="json")})


def _source_hash(component: type[Provider]) -> str:
    # A class without a file (typed into a prompt, say) is told apart by its name alone.
    file = getattr(sys.modules.get(component.__module__), "__file__", None)
    total = hashlib.sha256(component.__qualname__.encode())
    for path in _sources(Path(file)) if file else ():
        total.update(path.name.encode() + b"\0" + hashlib.sha256(path.read_bytes()).digest())
    return total.hexdigest()


def _sources(file: Path) -> list[Path]:
    if (file.parent / "__init__.py").exists():
        return sorted(file.parent.glob("*.py"))
    return [file] if file.exists() else []
