"""Keys: made once, for their owner alone, never shown; and no key is no pretence."""

import copy
import pickle
import stat
import subprocess
import sys

import pytest

from penin_core.ledger import keys
from penin_core.ledger.keys import SigningKey, find_key, signer_text
from penin_core.ledger.notes import ED25519, VerifierKey, sign_note
from penin_core.ledger.signatures import ed25519_signer, ed25519_verify, mldsa44_verify

SEED = bytes(range(32))
NAME = "penin.example/ledger/test"

# RFC 8032, section 7.1, tests 1 to 3: seed, public key, message, signature.
RFC8032 = [
    (
        "9d61b19deffd5a60ba844af492ec2cc44449c5697b326919703bac031cae7f60",
        "d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a",
        "",
        "e5564300c360ac729086e2cc806e828a84877f1eb8e5d974d873e065224901555fb8821590a33bacc61e3970"
        "1cf9b46bd25bf5f0595bbe24655141438e7a100b",
    ),
    (
        "4ccd089b28ff96da9db6c346ec114e0f5b8a319f35aba624da8cf6ed4fb8a6fb",
        "3d4017c3e843895a92b70aa74d1b7ebc9c982ccf2ec4968cc0cd55f12af4660c",
        "72",
        "92a009a9f0d4cab8720e820b5f642540a2b27b5416503f8fb3762223ebdb69da085ac1e43e15996e458f3613"
        "d0f11d8c387b2eaeb4302aeeb00d291612bb0c00",
    ),
    (
        "c5aa8df43f9f837bedb7442f31dcb7b166d38535076f094b85ce3a2e0b4458f7",
        "fc51cd8e6218a1a38da47ed00230f0580816ed13ba3303ac5deb911548908025",
        "af82",
        "6291d657deec24024827e69c3abe01a30ce548a284743a445e3680d7db5ac3ac18ff9b538d16f290ae67f760"
        "984dc6594a7c15e9716ed28dc027beceea1ec40a",
    ),
]


@pytest.fixture(autouse=True)
def _no_key_in_the_environment(monkeypatch):
    monkeypatch.delenv(keys.VARIABLE, raising=False)


@pytest.mark.parametrize(("seed", "public", "message", "signature"), RFC8032)
def test_published_signatures_are_made_and_accepted(seed, public, message, signature):
    made, sign = ed25519_signer(bytes.fromhex(seed))
    data = bytes.fromhex(message)
    assert made.hex() == public
    assert sign(data).hex() == signature
    assert ed25519_verify(made, bytes.fromhex(signature), data)
    assert not ed25519_verify(made, bytes.fromhex(signature), data + b"x")


def test_keys_and_signatures_of_a_wrong_size_verify_nothing():
    assert not ed25519_verify(b"short", bytes(64), b"")
    assert not mldsa44_verify(b"short", bytes(2420), b"")
    assert not mldsa44_verify(bytes(1312), b"short", b"")
    with pytest.raises(ValueError, match="32 bytes"):
        ed25519_signer(b"short")


def test_a_signer_key_is_read_as_it_was_written():
    text = signer_text(NAME, SEED)
    key = SigningKey.parse(text)
    assert key.public == SigningKey(NAME, SEED).public
    assert text.startswith(f"PRIVATE+KEY+{NAME}+{key.public.key_id.hex()}+")


@pytest.mark.parametrize(
    "change",
    [
        lambda text: "",
        lambda text: text.removeprefix("PRIVATE+KEY+"),
        lambda text: text[:-4],
        lambda text: text.replace(NAME, NAME + "x"),
        lambda text: text.replace(NAME, ""),
        lambda text: text.replace("+A", "+B"),
        lambda text: text + "\n",
    ],
)
def test_what_is_no_signer_key_is_refused_without_quoting_it(change):
    text = change(signer_text(NAME, SEED))
    with pytest.raises(ValueError, match=r"^it(s id| is)") as error:
        SigningKey.parse(text)
    assert signer_text(NAME, SEED)[-40:] not in str(error.value)
    assert error.value.__cause__ is None


def test_a_signing_key_does_not_show_itself():
    key = SigningKey(NAME, SEED)
    assert repr(key) == f"SigningKey('{NAME}', id {key.public.key_id.hex()})"
    assert not hasattr(key, "__dict__")
    for take in (pickle.dumps, copy.copy, copy.deepcopy):
        with pytest.raises(TypeError, match="neither copied nor pickled"):
            take(key)


def test_the_first_use_makes_a_key_that_only_its_owner_can_read(tmp_path):
    first = find_key(tmp_path, owner="acme.example").key
    path = tmp_path / keys.KEY_FILE
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700
    assert [name.name for name in path.parent.iterdir()] == [path.name]
    assert first.public.name.startswith("penin.acme.example/ledger/")
    assert first.public.algorithm == ED25519
    assert find_key(tmp_path).key.public == first.public
    note = sign_note("text\n", first)
    assert note.signers([VerifierKey.parse(str(first.public))])


def test_two_ledgers_get_different_keys(tmp_path):
    names = {
        find_key(tmp_path / name).key.public for name in "ab" if (tmp_path / name).mkdir() is None
    }
    assert len({key.name for key in names}) == len({key.public for key in names}) == 2


def test_the_first_of_two_processes_makes_the_key(tmp_path, monkeypatch):
    mine = find_key(tmp_path).key
    monkeypatch.setattr(keys, "_file_key", _blind_once(keys._file_key))
    assert find_key(tmp_path).key.public == mine.public
    assert len(list((tmp_path / "keys").iterdir())) == 1


def _blind_once(real):
    seen = []

    def read(state):
        seen.append(state)
        return None if len(seen) == 1 else real(state)

    return read


def test_the_environment_goes_before_the_file(tmp_path, monkeypatch):
    find_key(tmp_path)
    monkeypatch.setenv(keys.VARIABLE, f" {signer_text(NAME, SEED)}\n")
    assert find_key(tmp_path).key.public == SigningKey(NAME, SEED).public


def test_a_wrong_key_in_the_environment_is_told_and_not_shown(tmp_path, monkeypatch):
    secret = signer_text(NAME, SEED)[:-2]
    monkeypatch.setenv(keys.VARIABLE, secret)
    found = find_key(tmp_path)
    assert found.key is None
    assert found.reason.startswith("PENIN_SIGNING_KEY: it is not a note signer key")
    assert secret not in repr(found)
    assert not (tmp_path / "keys").exists()


def test_a_key_that_others_can_read_is_not_used(tmp_path):
    find_key(tmp_path)
    path = tmp_path / keys.KEY_FILE
    path.chmod(0o640)
    found = find_key(tmp_path)
    assert found.key is None
    assert found.reason.endswith("can be read by others (mode 0640)")


@pytest.mark.parametrize("content", ["", "PRIVATE+KEY+a+b+c\n", "\xff"])
def test_a_damaged_key_file_is_told_and_left_alone(tmp_path, content):
    path = tmp_path / keys.KEY_FILE
    path.parent.mkdir()
    path.write_text(content)
    path.chmod(0o600)
    found = find_key(tmp_path)
    assert found.key is None
    assert str(path) in found.reason
    assert path.read_text() == content


def test_a_link_is_no_key_file(tmp_path):
    (tmp_path / "keys").mkdir()
    (tmp_path / "real").write_text(signer_text(NAME, SEED))
    (tmp_path / "real").chmod(0o600)
    (tmp_path / keys.KEY_FILE).symlink_to(tmp_path / "real")
    assert find_key(tmp_path).key is None


def test_where_a_key_is_known_no_other_is_made_or_used(tmp_path, monkeypatch):
    known = (SigningKey(NAME, SEED).public,)
    found = find_key(tmp_path, known)
    assert (found.key, found.reason) == (
        None,
        f"the key of {NAME} is not here; set PENIN_SIGNING_KEY",
    )
    assert not (tmp_path / "keys").exists()
    monkeypatch.setenv(keys.VARIABLE, signer_text(NAME, bytes(32)))
    found = find_key(tmp_path, known)
    assert found.key is None
    assert "no log of ledger/policy.txt" in found.reason
    monkeypatch.setenv(keys.VARIABLE, signer_text(NAME, SEED))
    assert find_key(tmp_path, known).key.public == known[0]


def test_a_folder_where_no_key_can_be_made_is_told(tmp_path):
    (tmp_path / "keys").write_text("a file")
    found = find_key(tmp_path)
    assert found.key is None
    assert "keys" in found.reason


def test_the_library_is_not_imported_before_it_is_needed():
    code = (
        "import sys, penin_core.ledger.verify, penin_core.ledger.witness, penin_core.cli.ledger;"
        "sys.exit('cryptography' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_without_the_library_nothing_is_signed(tmp_path, monkeypatch):
    def absent(seed):
        raise ImportError("No module named 'cryptography'")

    monkeypatch.setattr(keys, "ed25519_signer", absent)
    found = find_key(tmp_path)
    assert (found.key, found.reason) == (None, "No module named 'cryptography'")
