"""Who may ask: the name under which the server is called, the page that asks, and the token."""

from __future__ import annotations

import hashlib
import hmac
import re
import secrets
import stat
from collections.abc import Iterable
from ipaddress import ip_address
from pathlib import Path

from starlette.types import Scope

from penin_core import Refusal, SettingsError, StateError

#: Whose requests these are where no token is asked for.
ANYONE = "local"
#: No token is asked for here.
OPEN = ("/healthz",)
_LINE = re.compile(r"([a-z0-9][a-z0-9_-]{0,63}):([0-9a-f]{64})")
_USER = re.compile(r"[a-z0-9][a-z0-9_-]{0,63}")
_LEAD = b"bearer "


class Tokens:
    """The tokens of a file: one line ``user:SHA-256`` for each; a change takes effect at once."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._mark: tuple[int, int, int] | None = None
        self._known: list[tuple[str, str]] = []
        self.refresh()

    def refresh(self) -> None:
        """Read the file again if it has changed.

        Raises:
            SettingsError: it cannot be read, holds no token, or others may write to it.
        """
        try:
            found = self.path.stat()
            mark = found.st_ino, found.st_mtime_ns, found.st_size
            if mark == self._mark:
                return
            lines = self.path.read_text(encoding="ascii").splitlines()
        except (OSError, UnicodeDecodeError) as error:
            raise SettingsError(
                f"token file {str(self.path)!r} cannot be read ({error})",
                hint="make one with: penin serve --token-file FILE --new-token USER",
            ) from error
        if found.st_mode & (stat.S_IWGRP | stat.S_IWOTH):
            raise SettingsError(
                f"token file {str(self.path)!r} can be written by others",
                hint=f"chmod 600 {self.path}",
            )
        self._known, self._mark = _read_lines(self.path, lines), mark

    def user(self, token: bytes) -> str | None:
        """Return whose token it is. All are compared, in constant time."""
        hashed = hashlib.sha256(token).hexdigest()
        owner = None
        for user, known in self._known:
            if hmac.compare_digest(hashed, known):
                owner = user
        return owner


def new_token(path: Path, user: str) -> str:
    """Add a token of 256 bits for ``user`` to a file, and return it: it is kept nowhere else.

    Raises:
        SettingsError: the name is none.
        StateError: the file cannot be written.
    """
    if not _USER.fullmatch(user):
        raise SettingsError(
            f"{user!r} is no name of a user", hint="lower-case letters, digits, - and _, at most 64"
        )
    token = f"penin-{secrets.token_urlsafe(32)}"
    try:
        path.touch(mode=0o600)
        # Whoever edits the file by hand may leave its last line without an end.
        lead = "" if path.read_bytes()[-1:] in (b"", b"\n") else "\n"
        with path.open("a", encoding="ascii") as file:
            file.write(f"{lead}{user}:{hashlib.sha256(token.encode()).hexdigest()}\n")
    except OSError as error:
        raise StateError(
            f"token file {str(path)!r} cannot be written ({error})", hint="name another file"
        ) from error
    return token


class Guard:
    """Lets a request in, or says why not.

    ``names`` are the host names, without a port, under which the server is reached beside the
    loopback names; a name of somebody else that leads here (DNS rebinding) is turned away.
    """

    def __init__(self, host: str, port: int, names: Iterable[str], tokens: Tokens | None) -> None:
        own = {"127.0.0.1", "localhost", "[::1]", f"[{host}]" if ":" in host else host}
        ends = ["", f":{port}"] if port == 80 else [f":{port}"]
        self._hosts = {f"{name}{end}".lower().encode() for name in own for end in ends}
        self._names = {name.lower().encode() for name in names}
        self.tokens = tokens

    def admit(self, scope: Scope) -> str:
        """Return the user who asks.

        Raises:
            Refusal: 421 for another's name, 403 for another's page, 401 without a known token.
        """
        hosts, origins, tokens = [], [], []
        for name, value in scope["headers"]:
            if name == b"host":
                hosts.append(value.lower())
            elif name == b"origin":
                origins.append(value.lower())
            elif name == b"authorization":
                tokens.append(value)
        if len(hosts) != 1 or not self._is_ours(hosts[0]):
            words = "this server is not called that; start it with --allow-host NAME"
            raise Refusal(421, "wrong_host", words)
        if any(origin.partition(b"://")[2] != hosts[0] for origin in origins):
            raise Refusal(403, "wrong_origin", "this server does not answer to web pages")
        if self.tokens is None or scope["path"] in OPEN:
            return ANYONE
        return self._user(tokens)

    def _is_ours(self, host: bytes) -> bool:
        if host in self._hosts or host in self._names:
            return True
        name, _, port = host.rpartition(b":")
        return name in self._names and port.isdigit()

    def _user(self, given: list[bytes]) -> str:
        assert self.tokens is not None
        if len(given) == 1 and given[0][: len(_LEAD)].lower() == _LEAD:
            user = self.tokens.user(given[0][len(_LEAD) :].strip())
            if user is not None:
                return user
        words = "a token of this deployment is needed: Authorization: Bearer TOKEN"
        raise Refusal(401, "invalid_api_key", words)


def is_loopback(host: str) -> bool:
    """Say whether only this computer can reach what listens on ``host``."""
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def _read_lines(path: Path, lines: list[str]) -> list[tuple[str, str]]:
    found = []
    for number, line in enumerate(lines, 1):
        if not line or line.startswith("#"):
            continue
        match = _LINE.fullmatch(line)
        if match is None:
            # The line itself is not shown: it may hold a token.
            raise SettingsError(
                f"line {number} of token file {str(path)!r} is not 'user:SHA-256 of the token'",
                hint="make it with: penin serve --token-file FILE --new-token USER",
            )
        found.append((match[1], match[2]))
    if not found:
        raise SettingsError(
            f"token file {str(path)!r} holds no token",
            hint="make one with: penin serve --token-file FILE --new-token USER",
        )
    return found
