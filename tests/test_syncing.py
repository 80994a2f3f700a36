"""A wheel is what was locked, to the byte, or it is not installed."""

import random
import zipfile

import pytest

from penin_core import PluginError, PluginInvalid, syncing
from penin_core.locking import Lock, Locked, digest_of, file_difference, startup_files
from penin_core.syncing import install, restore, wheel_files

FILES = {
    "penin_acme.py": b"X = 1\n" * 200,
    "penin_acme/data.json": bytes(range(256)),
    "penin_acme-1.0.dist-info/METADATA": b"Name: penin-acme\n" * 20,
    "penin_acme-1.0.dist-info/RECORD": b"whatever",
    "penin_acme-1.0.data/purelib/extra.py": b"Y = 2\n",
    "penin_acme-1.0.data/scripts/acme": b"#!python\n",
}


def write(path, files):
    with zipfile.ZipFile(path, "w") as archive:
        for name, content in files.items():
            archive.writestr(name, content)
    return path


@pytest.fixture
def wheel(tmp_path):
    return write(tmp_path / "penin_acme-1.0-py3-none-any.whl", FILES)


def test_a_wheel_lists_what_it_puts_beside_the_modules(wheel):
    assert set(wheel_files(wheel)) == {
        "penin_acme.py",
        "penin_acme/data.json",
        "penin_acme-1.0.dist-info/METADATA",
        "extra.py",
    }


def test_every_altered_byte_is_found(wheel, tmp_path):
    locked = wheel_files(wheel)
    chance = random.Random(0)
    for name in ("penin_acme.py", "penin_acme/data.json", "penin_acme-1.0.dist-info/METADATA"):
        for _ in range(20):
            content = bytearray(FILES[name])
            content[chance.randrange(len(content))] ^= 1 << chance.randrange(8)
            altered = write(tmp_path / "altered.whl", {**FILES, name: bytes(content)})
            assert file_difference(locked, wheel_files(altered)) == f"{name} is changed"


@pytest.mark.parametrize("extra", ["evil.pth", "penin_acme/hidden.py", "sitecustomize.py"])
def test_every_file_too_many_is_found(wheel, tmp_path, extra):
    altered = write(tmp_path / "altered.whl", {**FILES, extra: b""})
    assert file_difference(wheel_files(wheel), wheel_files(altered)) == f"{extra} is new"


class Pip:
    """Stands where pip would be called; a download puts ``wheel`` into the folder."""

    def __init__(self, wheel):
        self.wheel, self.calls = wheel, []

    def __call__(self, *words):
        self.calls.append(words[0])
        if words[0] == "download":
            folder = words[words.index("--dest") + 1]
            (type(self.wheel)(folder) / self.wheel.name).write_bytes(self.wheel.read_bytes())


def test_an_altered_wheel_is_not_installed(wheel, tmp_path, monkeypatch):
    locked = Locked(name="penin-acme", version="1.0", files=wheel_files(wheel))
    pip = Pip(write(wheel, {**FILES, "penin_acme.py": b"import evil"}))
    monkeypatch.setattr(syncing, "_pip", pip)
    with pytest.raises(PluginInvalid, match=r"not what was locked: penin_acme\.py is changed"):
        install(locked)
    assert pip.calls == ["download"]


def test_a_source_tree_that_is_gone_is_named(tmp_path):
    url = (tmp_path / "gone").as_uri()
    locked = Locked(name="penin-acme", version="1.0", files={"x": "1"}, editable=url)
    with pytest.raises(PluginError, match="gone is gone"):
        install(locked)


def test_without_pip_the_command_is_told(wheel, monkeypatch):
    monkeypatch.setattr(syncing, "find_spec", lambda name: None)
    locked = Locked(name="penin-acme", version="1.0", files=wheel_files(wheel))
    with pytest.raises(PluginError, match="no pip") as caught:
        install(locked)
    assert "penin-acme==1.0" in caught.value.hint


def test_each_step_is_told_before_it_is_taken(wheel, monkeypatch):
    locked = Locked(name="penin-no-such", version="1.0", files=wheel_files(wheel))
    lock = Lock(distributions=(locked,), startup=tuple(startup_files()))
    monkeypatch.setattr(syncing, "install", lambda one: told.append("installed"))
    told = []
    assert restore(lock, lambda one, why: told.append(why)) == 1
    assert told[0].startswith("the metadata of penin-no-such cannot be read")
    assert told[1:] == ["installed"]


def test_a_digest_is_that_of_the_whole_file(tmp_path):
    (tmp_path / "big").write_bytes(b"a" * (3 << 20))
    (tmp_path / "bigger").write_bytes(b"a" * (3 << 20) + b"b")
    assert digest_of(tmp_path / "big") != digest_of(tmp_path / "bigger")
