"""Where a provider's answers come from: part of the identity of every answer."""

from __future__ import annotations

import hashlib
import os
import re
import sys
from collections.abc import Mapping
from pathlib import Path

from penin_core.canonical import digest
from penin_core.contracts import HttpProvider, LocalProvider, Provider
from penin_core.errors import PluginInvalid, ProviderAuthError, ProviderError, ProviderRefused
from penin_core.records import Call, Request

from .addresses import is_loopback
from .replies import Redactor, plugin_failure

_TOKEN = re.compile(r"[A-Za-z0-9!#$%&'*+.^_`|~-]+")


def base_url(provider: HttpProvider) -> str:
    """Return the base URL without its last slash: the option, the variable, or the class's own."""
    moved = getattr(provider.options, "base_url", None)
    variable = os.environ.get(provider.base_url_env, "") if provider.base_url_env else ""
    return str(moved or variable.strip() or provider.base_url).rstrip("/")


def checked_headers(headers: Mapping[str, str]) -> dict[str, str]:
    """Return the headers of a provider; a line break in one would start another request.

    Raises:
        ProviderRefused: HTTP has no such header.
    """
    for name, value in headers.items():
        if not (_TOKEN.fullmatch(name) and value.isprintable() and value.isascii()):
            raise ProviderRefused(f"headers() returned a header {name!r} that HTTP does not know")
    return {name.lower(): value for name, value in headers.items()}


def key_of(provider: HttpProvider) -> str:
    """Return the key from its environment variable; nothing where there is none."""
    return os.environ.get(provider.key_env, "").strip() if provider.key_env else ""


def key_headers(provider: HttpProvider) -> dict[str, str]:
    """Return the headers that carry the key, checked.

    Raises:
        ProviderAuthError: the variable that holds the key is empty or holds no key.
        ProviderRefused: HTTP has no such header.
    """
    variable, key = provider.key_env, key_of(provider)
    if variable and not key:
        raise ProviderAuthError(
            f"provider '{provider.name}': the environment variable {variable} holds no key",
            hint=f"set {variable}; keys are read from nowhere else",
        )
    if not (key.isascii() and key.isprintable()):
        raise ProviderAuthError(
            f"provider '{provider.name}': {variable} holds characters that no key has",
            hint=f"set {variable}",
        )
    return checked_headers(provider.headers(key))


def proxy_for(host: str) -> str | None:
    """Return the proxy that the environment names for https to ``host``, if it names one."""
    # Here, because it takes a while to load.
    from urllib.request import getproxies, proxy_bypass

    proxies = getproxies()
    found = proxies.get("https") or proxies.get("all")
    if not found or is_loopback(host) or proxy_bypass(host):
        return None
    return found if "://" in found else f"http://{found}"


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


def origin(provider: Provider, model: str) -> str:
    """Return ``identity``, and what tells the weights of ``model`` from others of the same name.

    Raises:
        ProviderRefused: a model in this process does not exist, or cannot be read.
    """
    known = identity(provider)
    if not isinstance(provider, LocalProvider):
        return known
    try:
        weights = provider.fingerprint(model)
    except ProviderError:
        raise
    except Exception as error:
        raise ProviderRefused(
            f"provider '{provider.name}' cannot read model '{model}': {plugin_failure(error)}",
            hint="this is a defect of the provider; report it to its author",
        ) from error
    return digest({"provider": known, "weights": weights}) if weights else known


def answer_key(endpoint: str, request: Request) -> str:
    """Return the key under which the answer to ``request`` is kept.

    Raises:
        ValueError: the request has no canonical form (a lone surrogate, NaN in ``extra``).
    """
    return hashlib.sha256(f"{endpoint}\n{request.key}".encode()).hexdigest()


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


def encoded(provider: HttpProvider, request: Request) -> Call:
    """Let ``provider`` write a request.

    Raises:
        ProviderError: it cannot, and says why.
        PluginInvalid: it fails; that is no fault of who asks.
    """
    try:
        call = provider.encode(request)
        if isinstance(call, Call):
            return call
        problem = f"encode() returned {type(call).__name__}, not Call"
    except ProviderError:
        raise
    except Exception as error:
        problem = Redactor(key_of(provider)).text(plugin_failure(error))
    raise PluginInvalid(
        f"provider '{provider.name}' cannot write a request: {problem}",
        hint="this is a defect of the provider; report it to its author",
    )
