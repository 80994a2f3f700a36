"""Discovery reads metadata, and its cache can do no harm."""

import importlib.metadata
import json
import os
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from penin_core import PluginInvalid
from penin_core.installed import COMMANDS, PLUGINS, Entry, contained, installed, load, load_file
from penin_core.testing.fakes import write_distribution

HOUR = 3_600_000_000_000


@pytest.fixture
def cache(tmp_path, monkeypatch):
    """A cache directory that is not the user's."""
    folder = tmp_path / "cache"
    monkeypatch.setenv("XDG_CACHE_HOME", str(folder))
    return folder / "penin"


@pytest.fixture
def site(tmp_path, monkeypatch, cache):
    """The only folder of sys.path, with one plugin, last changed an hour ago."""
    folder = tmp_path / "site"
    write_distribution(
        folder,
        "penin-acme",
        "2.5",
        plugins={"acme": "penin_acme"},
        commands={"greet": "penin_acme.cli:greet"},
    )
    settle(folder)
    monkeypatch.setattr(sys, "path", [str(folder)])
    return folder


def settle(folder: Path) -> None:
    """Make ``folder`` look as if nothing had happened in it for an hour."""
    then = folder.stat().st_mtime_ns - HOUR
    os.utime(folder, ns=(then, then))


def count_scans(monkeypatch):
    calls = []
    real = importlib.metadata.distributions
    monkeypatch.setattr(
        importlib.metadata, "distributions", lambda: calls.append(1) or list(real())
    )
    return calls


def test_names_values_distributions_and_versions_come_from_metadata(site):
    assert installed(PLUGINS) == (Entry("penin", "acme", "penin_acme", "penin-acme", "2.5"),)
    assert installed(COMMANDS) == (
        Entry("penin.commands", "greet", "penin_acme.cli:greet", "penin-acme", "2.5"),
    )
    assert "penin_acme" not in sys.modules


def test_a_second_look_scans_nothing(site, monkeypatch):
    scans = count_scans(monkeypatch)
    first = installed(PLUGINS)
    assert installed(PLUGINS) == first
    assert len(scans) == 1


def test_a_new_distribution_is_seen(site):
    installed(PLUGINS)
    write_distribution(site, "penin-more", plugins={"more": "penin_more"})
    assert [entry.name for entry in installed(PLUGINS)] == ["acme", "more"]


def test_a_folder_that_changed_just_now_is_not_trusted(site, cache):
    write_distribution(site, "penin-more", plugins={"more": "penin_more"})
    installed(PLUGINS)
    assert not cache.exists()


@pytest.mark.parametrize(
    "content",
    [
        "",
        "{",
        "[]",
        "null",
        '{"key": 1, "entries": []}',
        '{"entries": [[1, 2]]}',
        "[" * 100_000,
        '{"key": null, "entries": [["penin", "evil", "os", "x", "1"]]}',
    ],
    ids=["empty", "cut", "list", "null", "key", "row", "deep", "foreign"],
)
def test_a_damaged_cache_is_as_good_as_none(site, cache, content):
    expected = installed(PLUGINS)
    (file,) = cache.iterdir()
    file.write_text(content)
    assert installed(PLUGINS) == expected


def test_entries_that_are_not_text_are_read_again(site, cache):
    expected = installed(PLUGINS)
    (file,) = cache.iterdir()
    stored = json.loads(file.read_text())
    stored["entries"] = [["penin", "acme", None, "penin-acme", 2.5]]
    file.write_text(json.dumps(stored))
    assert installed(PLUGINS) == expected


def test_a_cache_that_cannot_be_written_does_no_harm(site, cache):
    cache.parent.write_text("a file stands where the folder should be")
    assert [entry.name for entry in installed(PLUGINS)] == ["acme"]


def test_the_cache_leaves_no_drafts(site, cache):
    installed(PLUGINS)
    (file,) = cache.iterdir()
    assert file.name.startswith("installed-")
    assert stat.S_ISREG(file.stat().st_mode)


def test_a_relative_cache_home_is_ignored(site, tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", "relative")
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.chdir(tmp_path)
    installed(PLUGINS)
    assert not (tmp_path / "relative").exists()
    assert (tmp_path / "home" / ".cache" / "penin").is_dir()


def test_damaged_metadata_of_a_stranger_hide_nothing(site):
    broken = site / "broken-1.0.dist-info"
    broken.mkdir()
    (broken / "METADATA").write_bytes(b"\xff\xfe")
    (broken / "entry_points.txt").write_bytes(b"[penin]\n\xff")
    assert [entry.name for entry in installed(PLUGINS)] == ["acme"]


def test_the_first_of_two_copies_on_the_path_counts(site, tmp_path, monkeypatch):
    other = tmp_path / "other"
    write_distribution(other, "Penin_Acme", "1.0", plugins={"acme": "old"})
    monkeypatch.setattr(sys, "path", [str(site), str(other)])
    assert [entry.version for entry in installed(PLUGINS)] == ["2.5"]


def test_a_warm_cache_needs_no_importlib_metadata(site, cache):
    code = (
        "import sys; sys.path[:] = [p for p in sys.path if p] + sys.argv[1:]\n"
        "from penin_core.installed import installed\n"
        "print([e.name for e in installed('penin')], 'importlib.metadata' in sys.modules)"
    )
    outputs = []
    root = Path(__file__).parent.parent
    env = {**os.environ, "PYTHONPATH": str(root)}
    for _ in range(40):
        run = subprocess.run(
            [sys.executable, "-c", code, str(site)], capture_output=True, text=True, env=env
        )
        assert run.returncode == 0, run.stderr
        outputs.append(run.stdout)
        if "False" in run.stdout:
            break
    assert "'acme'" in outputs[-1]
    assert outputs[-1].endswith("False\n")


def entry(value: str) -> Entry:
    return Entry("penin", "x", value, "penin-x", "1.0")


def test_load_follows_attributes_and_ignores_extras():
    assert load(entry("os.path:join")) is os.path.join
    assert load(entry("os.path")) is os.path
    assert load(entry("json [extra]")) is json


@pytest.mark.parametrize("value", ["no_such_module_x", "os:no_such", "", ":x", "os:path.nothing"])
def test_load_names_what_is_wrong(value):
    with pytest.raises(PluginInvalid, match="Error"):
        load(entry(value))


def test_what_a_plugin_prints_goes_to_stderr(tmp_path, capsys):
    (tmp_path / "loud.py").write_text("print('hello')")
    load_file(tmp_path / "loud.py")
    assert capsys.readouterr() == ("", "hello\n")


def test_a_failed_file_leaves_no_module(tmp_path):
    (tmp_path / "half.py").write_text("raise SystemExit(3)")
    with pytest.raises(PluginInvalid, match="SystemExit: 3"):
        load_file(tmp_path / "half.py")
    assert not [name for name in sys.modules if name.endswith("_half")]


def test_two_files_of_one_name_are_two_modules(tmp_path):
    for folder in ("a", "b"):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / "metric.py").write_text(f"WHERE = {folder!r}")
    first, second = (load_file(tmp_path / folder / "metric.py") for folder in ("a", "b"))
    assert (first.WHERE, second.WHERE) == ("a", "b")
    assert first.__name__ != second.__name__


def test_ctrl_c_is_never_contained():
    with pytest.raises(KeyboardInterrupt), contained():
        raise KeyboardInterrupt


def test_an_error_whose_message_fails_is_contained():
    class Nasty(Exception):
        def __str__(self):
            raise RuntimeError("no message for you")

    with pytest.raises(PluginInvalid, match=r"^Nasty$"), contained():
        raise Nasty
