"""Discovery reads metadata, and its cache can do no harm."""

import importlib.metadata
import json
import os
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from penin_core.installed import COMMANDS, PLUGINS, Entry, installed
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


def test_names_that_could_drive_a_terminal_are_made_plain(site):
    write_distribution(site, "penin-red", "1\x1b[31m", plugins={"red\x07": "red"})
    (entry,) = [entry for entry in installed(PLUGINS) if entry.distribution == "penin-red"]
    assert "".join(entry).isprintable()


def test_two_copies_of_a_distribution_in_one_folder_are_both_told(site):
    write_distribution(site, "penin-acme", "3.0", plugins={"acme": "penin_acme"})
    assert sorted(entry.version for entry in installed(PLUGINS)) == ["2.5", "3.0"]


def test_a_distribution_without_metadata_goes_by_its_folder_and_has_no_version(site):
    (site / "penin_acme-2.5.dist-info" / "METADATA").unlink()
    (entry,) = installed(PLUGINS)
    assert (entry.distribution, entry.version) == ("penin_acme", "")
