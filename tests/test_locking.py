"""With penin.lock, what is loaded is what was locked: to the version, the file and the byte."""

import json
import shutil
import sys

import pytest

from penin_core import PluginInvalid, PluginNotFound, SettingsError
from penin_core.installed import PLUGINS, installed
from penin_core.locking import (
    FILE_NAME,
    Lock,
    Locked,
    difference,
    make_lock,
    read_lock,
    snapshot,
    startup_files,
)
from penin_core.plugins import Plugins
from penin_core.settings import Settings
from penin_core.testing.fakes import write_distribution

GUARD = """
from penin_core import Guard, GuardResult, hookimpl

penin_api = 1

class Nod(Guard):
    "Agrees."
    name = "acme"
    def check(self, evidence):
        return GuardResult(guard=self.name, ok=True, reason="always")

@hookimpl
def penin_register_guards():
    return [Nod]
"""


@pytest.fixture
def site(tmp_path, monkeypatch):
    """The only place of third parties: one plugin, of two modules."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    folder = tmp_path / "site"
    write_distribution(
        folder,
        "penin-acme",
        "1.0",
        plugins={"acme": "penin_acme_l"},
        modules={"penin_acme_l": GUARD, "penin_acme_m": "X = 1\n"},
    )
    Plugins.load(discover=False)  # what penin itself needs is imported while it can be found
    kept = [path for path in sys.path if "site-packages" not in path]
    monkeypatch.setattr(sys, "path", [str(folder), *kept])
    yield folder
    for name in [name for name in sys.modules if name.startswith("penin_acme_")]:
        del sys.modules[name]


def load(lock):
    return Plugins.load(lock=lock).get("guards", "acme")


def refusal(lock):
    plugins = Plugins.load(lock=lock)
    with pytest.raises(PluginNotFound) as caught:
        plugins.get("guards", "acme")
    assert "penin_acme_l" not in sys.modules
    return caught.value.hint


def test_the_lock_names_distribution_version_and_every_file(site):
    (locked,) = make_lock().distributions
    assert (locked.name, locked.version, locked.editable) == ("penin-acme", "1.0", None)
    assert set(locked.files) == {
        "penin_acme_l.py",
        "penin_acme_m.py",
        "penin_acme-1.0.dist-info/METADATA",
        "penin_acme-1.0.dist-info/entry_points.txt",
    }
    assert all(len(digest) == 64 for digest in locked.files.values())


def test_what_is_locked_is_loaded(site):
    assert load(make_lock()).name == "acme"


@pytest.mark.parametrize("name", ["penin_acme_l.py", "penin_acme_m.py"])
def test_a_changed_file_is_refused_by_name_before_it_is_imported(site, name):
    lock = make_lock()
    (site / name).write_text("raise SystemExit('never run')")
    assert f"{name} of penin-acme is not what its RECORD says" in refusal(lock)


def test_a_changed_file_is_refused_when_its_record_was_changed_too(site):
    lock = make_lock()
    shutil.rmtree(site)
    modules = {"penin_acme_l": GUARD + "# poisoned", "penin_acme_m": "X = 1\n"}
    write_distribution(site, "penin-acme", "1.0", plugins={"acme": "penin_acme_l"}, modules=modules)
    assert "penin-acme is not what penin.lock says: penin_acme_l.py is changed" in refusal(lock)


def test_another_version_is_refused(site):
    lock = make_lock()
    shutil.rmtree(site)
    write_distribution(site, "penin-acme", "1.1", plugins={"acme": "penin_acme_l"})
    assert "version 1.1 instead of 1.0" in refusal(lock)


def test_a_file_that_is_gone_is_refused(site):
    lock = make_lock()
    (site / "penin_acme_m.py").unlink()
    assert "penin_acme_m.py of penin-acme is missing" in refusal(lock)


@pytest.mark.parametrize("name", ["penin_acme_l.so", "penin_acme_m/__init__.py"])
def test_a_file_that_could_be_imported_instead_is_refused(site, name):
    lock = make_lock()
    (site / name).parent.mkdir(exist_ok=True)
    (site / name).write_text("")
    assert f"{name} of penin-acme is not in its RECORD" in refusal(lock)


@pytest.mark.parametrize("name", ["evil.pth", "sitecustomize.py", "usercustomize.py"])
def test_what_runs_at_every_start_and_is_new_refuses_every_plugin(site, name):
    lock = make_lock()
    (site / name).write_text("import os\n")
    assert f"{name} is not in penin.lock" in refusal(lock)


def test_a_path_file_that_was_there_may_stay_but_not_change(site):
    (site / "known.pth").write_text("# nothing\n")
    lock = make_lock()
    assert "known.pth" in dict(startup_files())
    assert load(lock)
    (site / "known.pth").write_text("import evil\n")
    again = Lock.model_validate_json(lock.written())
    with pytest.raises(PluginInvalid, match=r"known.pth is not in penin.lock"):
        again.check(installed(PLUGINS)[0])


def test_a_plugin_that_the_lock_does_not_name_is_refused(site):
    lock = make_lock()
    write_distribution(site, "penin-more", plugins={"more": "penin_acme_more"})
    with pytest.raises(PluginNotFound) as caught:
        Plugins.load(["more"], lock=lock)
    assert "penin.lock does not name penin-more" in caught.value.hint


def test_bytecode_and_notes_of_installers_do_not_count(site):
    lock = make_lock()
    info = site / "penin_acme-1.0.dist-info"
    (info / "INSTALLER").write_text("other")
    (site / "__pycache__").mkdir()
    (site / "__pycache__" / "penin_acme_l.cpython-311.pyc").write_bytes(b"")
    assert load(lock)


# What must not be locked


def test_a_distribution_without_a_record_is_not_locked(site):
    (site / "penin_acme-1.0.dist-info" / "RECORD").unlink()
    with pytest.raises(PluginInvalid, match="penin-acme has no RECORD"):
        make_lock()


@pytest.mark.parametrize("text", ["\x00\x01", "no commas", "a,b\nc,d,e,f\n", "x.py,md5=1,2\n"])
def test_a_broken_record_is_named(site, text):
    (site / "penin_acme-1.0.dist-info" / "RECORD").write_text(text)
    with pytest.raises(PluginInvalid, match="penin-acme"):
        make_lock()


def test_a_plugin_that_installs_into_penin_is_not_locked(site):
    record = site / "penin_acme-1.0.dist-info" / "RECORD"
    record.write_text(record.read_text() + "penin_core/plugins.py,,\n")
    (site / "penin_core").mkdir()
    (site / "penin_core" / "plugins.py").write_text("")
    with pytest.raises(PluginInvalid, match="into penin itself"):
        snapshot("penin-acme")


def test_a_distribution_that_is_not_there_is_named(site):
    with pytest.raises(PluginInvalid, match="metadata of penin-none cannot be read"):
        snapshot("penin-none")


# Editable installs


@pytest.fixture
def editable(site):
    """The plugin as an editable install: its modules lie in a source tree."""
    tree = site.parent / "tree"
    tree.mkdir()
    (site / "penin_acme_l.py").rename(tree / "penin_acme_l.py")
    sys.path.append(str(tree))
    info = site / "penin_acme-1.0.dist-info"
    direct = {"url": tree.as_uri(), "dir_info": {"editable": True}}
    (info / "direct_url.json").write_text(json.dumps(direct))
    return tree


def test_an_editable_install_is_locked_by_its_source_tree_and_marked(editable):
    (locked,) = make_lock().distributions
    assert locked.editable == editable.as_uri()
    assert set(locked.files) == {"penin_acme_l.py"}
    assert load(make_lock())


def test_a_changed_source_tree_is_refused(editable):
    lock = make_lock()
    (editable / "penin_acme_l.py").write_text(GUARD + "# edited")
    assert "penin_acme_l.py is changed" in refusal(lock)


# The file


def test_the_lock_beside_the_settings_is_in_force(site, tmp_path):
    (tmp_path / FILE_NAME).write_text(make_lock().written())
    plugins = Plugins.of(Settings(folder=tmp_path))
    assert plugins.loaded()["lock"] == read_lock(tmp_path).digest() == make_lock().digest()
    (site / "penin_acme_m.py").write_text("")
    with pytest.raises(PluginNotFound):
        Plugins.of(Settings(folder=tmp_path)).get("guards", "acme")


def test_no_file_is_no_lock(tmp_path):
    assert read_lock(tmp_path) is None


@pytest.mark.parametrize(
    "text",
    ["", "{", "[]", "{}", '{"format": 2, "distributions": [], "startup": []}', "\x00"],
)
def test_a_damaged_lock_loads_nothing(tmp_path, text):
    (tmp_path / FILE_NAME).write_text(text)
    with pytest.raises(SettingsError, match=r"penin\.lock") as caught:
        Plugins.of(Settings(folder=tmp_path))
    assert caught.value.hint == "make it anew: penin plugins lock"


def test_a_lock_reads_back_as_it_was_written(site, tmp_path):
    lock = make_lock()
    (tmp_path / FILE_NAME).write_text(lock.written())
    assert read_lock(tmp_path) == lock
    assert read_lock(tmp_path).written() == lock.written()


def test_a_difference_is_said_in_order():
    locked = Locked(name="a", version="1", files={"x": "1"})
    assert difference(locked, locked) == ""
    assert "version 2" in difference(locked, locked.model_copy(update={"version": "2"}))
    assert "editable" not in difference(locked, locked)
    away = locked.model_copy(update={"editable": "file:///x"})
    assert difference(locked, away) == "installed from file:///x, not a wheel"
    assert difference(locked, Locked(name="a", version="1", files={"y": "1"})) == "x is missing"


def test_the_same_distribution_by_another_spelling_is_the_same(site):
    lock = Lock(distributions=(snapshot("Penin_Acme"),), startup=tuple(startup_files()))
    (entry,) = installed(PLUGINS)
    lock.check(entry)
