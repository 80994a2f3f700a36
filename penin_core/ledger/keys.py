"""The key of a ledger: made on first use, or taken from the environment.

It is written as a note signer key, ``PRIVATE+KEY+name+id+base64(0x01 || seed)``, in the file
``keys/ledger.key`` of the state directory (mode 0600) or in ``PENIN_SIGNING_KEY``. Its name is the
origin of the ledger, ``penin.OWNER/ledger/ID``. The public half stands in ``ledger/policy.txt``:
where there is one already, no second key is ever made.
"""

from __future__ import annotations

import os
import secrets
import stat
from dataclasses import dataclass
from pathlib import Path
from typing import NoReturn

from penin_core.errors import StateError

from .files import read_regular, sync_folder, write_new
from .notes import ED25519, VerifierKey, check_name, tobase64, unbase64
from .signatures import SEED_SIZE, ed25519_signer

VARIABLE = "PENIN_SIGNING_KEY"
KEY_FILE = "keys/ledger.key"
#: The owner's domain in an origin, where nobody named one.
DEFAULT_OWNER = "local"

_PREFIX = "PRIVATE+KEY+"


class SigningKey:
    """An Ed25519 key that signs and never shows itself: no repr and no pickle holds its secret."""

    __slots__ = ("_sign", "public")

    def __init__(self, name: str, seed: bytes) -> None:
        public, self._sign = ed25519_signer(seed)
        self.public = VerifierKey(name, ED25519, public)

    @classmethod
    def parse(cls, text: str) -> SigningKey:
        """Read a note signer key.

        Raises:
            ValueError: it is not one. The message quotes nothing of it.
        """
        name, _, rest = text.removeprefix(_PREFIX).partition("+")
        identifier, _, material = rest.partition("+")
        try:
            data = unbase64(material)
            check_name(name)
        except ValueError:
            data = b""
        if not text.startswith(_PREFIX) or len(data) != SEED_SIZE + 1 or data[0] != ED25519:
            raise ValueError("it is not a note signer key with an Ed25519 seed") from None
        key = cls(name, data[1:])
        if key.public.key_id.hex() != identifier:
            raise ValueError("its id does not belong to its name and seed")
        return key

    def sign(self, message: bytes) -> bytes:
        """Return the Ed25519 signature over ``message``, 64 bytes."""
        return self._sign(message)

    def __repr__(self) -> str:
        return f"SigningKey({self.public.name!r}, id {self.public.key_id.hex()})"

    def __reduce__(self) -> NoReturn:
        raise TypeError("a signing key is neither copied nor pickled")


@dataclass(frozen=True, slots=True)
class KeyFound:
    """The key that may sign for a ledger, or, where there is none, why."""

    key: SigningKey | None
    reason: str = ""


def signer_text(name: str, seed: bytes) -> str:
    """Return the note signer key of a name and a seed: a secret."""
    identifier = SigningKey(name, seed).public.key_id.hex()
    return f"{_PREFIX}{name}+{identifier}+{tobase64(bytes([ED25519]) + seed)}"


def find_key(
    state_dir: Path, known: tuple[VerifierKey, ...] = (), *, owner: str = DEFAULT_OWNER
) -> KeyFound:
    """Return the key of a ledger: that of the environment, that of its file, or a new one.

    ``known`` are the public keys that the ledger was signed with so far. A key that is none of
    them is not used, and a new one is made only where there are none.
    """
    try:
        key = _environment_key() or _file_key(state_dir)
        if key is None and not known:
            key = _make(state_dir, owner)
    except (ValueError, ImportError, OSError, StateError) as error:
        return KeyFound(None, str(error))
    if key is None:
        return KeyFound(None, f"the key of {known[0].name} is not here; set {VARIABLE}")
    if known and key.public not in known:
        return KeyFound(
            None,
            f"the key at hand is {key.public}, which is no log of ledger/policy.txt; "
            "to go on with it, add it there on a line that begins with 'log'",
        )
    return KeyFound(key)


def _environment_key() -> SigningKey | None:
    text = os.environ.get(VARIABLE, "").strip()
    if not text:
        return None
    try:
        return SigningKey.parse(text)
    except ValueError as error:
        raise ValueError(f"{VARIABLE}: {error}") from None


def _file_key(state_dir: Path) -> SigningKey | None:
    path = state_dir / KEY_FILE
    try:
        mode = path.lstat().st_mode
        data = read_regular(path)
    except FileNotFoundError:
        return None
    if stat.S_IMODE(mode) & 0o077:
        raise StateError(f"{path} can be read by others (mode {stat.S_IMODE(mode):04o})")
    try:
        return SigningKey.parse(data.decode("utf-8", "replace").removesuffix("\n"))
    except ValueError as error:
        raise ValueError(f"{path}: {error}") from None


def _make(state_dir: Path, owner: str) -> SigningKey:
    """Write a new key and return it, or the one that another process wrote first."""
    path = state_dir / KEY_FILE
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    name = check_name(f"penin.{owner}/ledger/{secrets.token_hex(8)}")
    aside = path.with_name(f".{path.name}-{secrets.token_hex(8)}")
    write_new(aside, f"{signer_text(name, secrets.token_bytes(SEED_SIZE))}\n".encode(), 0o600)
    try:
        os.link(aside, path)
    except FileExistsError:
        pass
    finally:
        aside.unlink()
    sync_folder(path.parent)
    sync_folder(state_dir)
    key = _file_key(state_dir)
    assert key is not None
    return key
