"""The server: a socket, an event loop, and an end that lets requests finish."""

from __future__ import annotations

import contextlib
import gc
import re
import signal
import socket
import sys
import threading
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import NoReturn

import uvicorn

from penin_core import Deployment, SettingsError, StateError

from .app import Gateway
from .guard import Guard, Tokens, is_loopback
from .protocol import MOST_CONNECTIONS, Connection

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._:/-]{0,127}")
#: So long may requests take to finish when the server is told to stop.
DRAIN_S = 30
#: So long does one thread compute before another one gets its turn.
SWITCH_S = 0.0005
#: An idle connection is closed after so long.
IDLE_S = 75


def listening(host: str, port: int) -> socket.socket:
    """Return a socket that listens on ``host``.

    Raises:
        StateError: there is no such address, or the port is taken.
    """
    try:
        family = socket.AF_INET6 if ":" in host else socket.AF_INET
        return socket.create_server((host, port), family=family, backlog=MOST_CONNECTIONS)
    except OSError as error:
        raise StateError(
            f"port {port} of {host} cannot be used: {error.strerror}",
            hint="name another address or port; --port 0 takes any that is free",
        ) from error


def require_name(name: str) -> None:
    """Refuse a deployment that no request could name.

    Raises:
        SettingsError: ``name`` is empty, too long, or has characters that no model's name has.
    """
    if not _NAME.fullmatch(name):
        raise SettingsError(
            f"--name {name!r} is no name of a model",
            hint="letters, digits, and . _ : / - after the first one; at most 128",
        )


def require_token(host: str, tokens: Path | None) -> None:
    """Refuse to be reachable by others without asking for a token.

    Raises:
        SettingsError: ``host`` is no loopback address, and there is no file of tokens.
    """
    if tokens is None and not is_loopback(host):
        raise SettingsError(
            f"--host {host} can be reached by others, and there is no --token-file",
            hint="make one with: penin serve --token-file FILE --new-token USER",
        )


def serve_until_stopped(
    deployment: Deployment,
    *,
    host: str,
    port: int,
    names: Iterable[str],
    token_file: Path | None,
    most: int,
    announce: Callable[[str], None],
) -> None:
    """Serve until SIGINT or SIGTERM; requests that have begun are answered first.

    ``announce`` is told the address when it can be asked.

    Raises:
        SettingsError: the address is public and no token is asked for, or the tokens are wrong.
        StateError: the port cannot be used, or another gateway serves this state directory.
    """
    require_token(host, token_file)
    tokens = None if token_file is None else Tokens(token_file)
    with _stopping(), deployment, listening(host, port) as one:
        port = one.getsockname()[1]
        server = server_of(Gateway(deployment, Guard(host, port, names, tokens), most))
        # What is there now stays: to look through it again and again would only delay requests.
        gc.collect()
        gc.freeze()
        # Threads that write and score must not keep the event loop from its turn.
        sys.setswitchinterval(SWITCH_S)
        announce(f"http://{f'[{host}]' if ':' in host else host}:{port}/v1")
        server.run(sockets=[one])


@contextlib.contextmanager
def _stopping() -> Iterator[None]:
    """Make SIGTERM, like SIGINT, end what is inside in good order, and nothing more.

    uvicorn raises the signal again after its own end. Left alone, SIGTERM would kill the process
    before the deployment is closed, which looks like a death of whatever it served.
    """
    with contextlib.suppress(KeyboardInterrupt):
        if threading.current_thread() is not threading.main_thread():
            yield
            return
        former = signal.signal(signal.SIGTERM, _interrupt)
        try:
            yield
        finally:
            signal.signal(signal.SIGTERM, former)


def _interrupt(*_: object) -> NoReturn:
    raise KeyboardInterrupt


def server_of(gateway: Gateway) -> uvicorn.Server:
    """Return the server of a gateway, with its deadlines."""
    config = uvicorn.Config(
        gateway,
        http=Connection,
        ws="none",
        lifespan="on",
        log_config=None,
        access_log=False,
        server_header=False,
        proxy_headers=False,
        timeout_keep_alive=IDLE_S,
        timeout_graceful_shutdown=DRAIN_S,
        backlog=MOST_CONNECTIONS,
    )
    return uvicorn.Server(config)
