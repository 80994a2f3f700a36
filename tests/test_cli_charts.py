"""Charts of one line: they say what they were given, in blocks or in ASCII, and fit."""

import contextlib
import importlib.util
import io
import os
import subprocess
import sys
from pathlib import Path

import pytest
from click.testing import CliRunner
from hypothesis import given, settings
from hypothesis import strategies as st

from penin_core.cli import charts, penin

shares = st.floats(0, 1)
widths = st.integers(1, 60)


class Stdout(io.TextIOWrapper):
    """A stdout that is, or is no, terminal."""

    def __init__(self, encoding, terminal):
        super().__init__(io.BytesIO(), encoding=encoding)
        self.terminal = terminal

    def isatty(self):
        return self.terminal


@pytest.fixture
def blocks(monkeypatch):
    monkeypatch.setattr(charts, "has_blocks", lambda: True)


@pytest.mark.parametrize(
    ("encoding", "terminal", "expected"),
    [("utf-8", True, True), ("UTF8", True, True), ("ascii", True, False), ("utf-8", False, False)],
)
def test_blocks_are_for_terminals_that_can_show_them(monkeypatch, encoding, terminal, expected):
    monkeypatch.setattr(sys, "stdout", Stdout(encoding, terminal))
    assert charts.has_blocks() is expected


def test_a_pipe_is_eighty_columns_and_a_terminal_what_it_is(monkeypatch):
    monkeypatch.setenv("COLUMNS", "52")
    assert (charts.room(50), charts.room(20)) == (29, 40)
    monkeypatch.setattr(sys, "stdout", Stdout("utf-8", True))
    assert (charts.room(46), charts.room(45), charts.room(20)) == (0, 6, 31)


@settings(deadline=None)
@given(shares, widths)
def test_a_bar_is_as_long_as_it_has_room_and_as_full_as_its_share(share, width):
    drawn = charts.bar(share, width)
    assert len(drawn) == width
    assert abs(drawn.count("#") - share * width) <= 1
    assert set(drawn) <= {"#", "."}
    assert drawn == drawn.rstrip(".").ljust(width, ".")


@pytest.mark.parametrize(
    ("share", "mark", "ascii_bar", "block_bar"),
    [
        (0.0, None, "........", "········"),
        (1.0, None, "########", "████████"),
        (0.5, None, "####....", "████····"),
        (0.55, 0.25, "##|#....", "██│█▍···"),
        (1.5, 1.0, "#######|", "███████│"),
        (-1.0, 0.0, "|.......", "│·······"),
        (None, 0.5, "", ""),
    ],
)
def test_a_bar_has_a_stroke_where_the_other_one_stood(
    monkeypatch, share, mark, ascii_bar, block_bar
):
    assert charts.bar(share, 8, mark) == ascii_bar
    monkeypatch.setattr(charts, "has_blocks", lambda: True)
    assert charts.bar(share, 8, mark) == block_bar


@settings(deadline=None)
@given(st.lists(st.floats(-1e6, 1e6), min_size=1, max_size=300), widths)
def test_a_sparkline_keeps_first_and_last_and_its_order(values, width):
    drawn = charts.sparkline(sorted(values), width)
    assert len(drawn) == min(width, len(values))
    assert list(drawn) == sorted(drawn)
    if width > 1 and max(values) > min(values):
        assert (drawn[0], drawn[-1]) == ("0", "9")


def test_a_sparkline_in_blocks_and_within_bounds(blocks):
    assert charts.sparkline([0, 1, 2, 3, 4, 5, 6, 7], 8) == "▁▂▃▄▅▆▇█"
    assert charts.sparkline([0.5, 0.5, 2.0, -1.0], 4, (0.0, 1.0)) == "▅▅█▁"
    assert charts.sparkline([], 8) == charts.sparkline([1.0], 0) == ""


# In the commands


@pytest.fixture(scope="module")
def state(tmp_path_factory):
    path = Path(__file__).with_name("test_pages.py")
    spec = importlib.util.spec_from_file_location("pages_of_charts", path)
    pages = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(pages)
    recorded = pages.Recorded(tmp_path_factory.mktemp("state") / ".penin")
    with recorded.ledger() as ledger:
        more = {"cycle_id": "two"}
        recorded.record(ledger, "base-0002", "baseline", recorded.new, 0.5, **more)
        detail = recorded.detail()
        detail["confirmation"]["alpha"] = 0.8
        recorded.record(ledger, "chal-0002", "challenger", recorded.new, 0.9, detail, **more)
    return recorded.state


def said(*words, state):
    found = CliRunner().invoke(penin, [*words, "--state-dir", str(state)], catch_exceptions=False)
    assert found.exit_code == 0, found.output
    return found.output


def test_why_draws_axes_and_evidence_in_plain_text(state):
    lines = said("why", "chal-0001", state=state).splitlines()
    (utility,) = [line for line in lines if line.startswith("U utility")]
    assert utility.endswith("  ###########|##########")
    (path,) = [line for line in lines if "e-value of the utility" in line]
    assert path.split() == [
        *("380449", "e-value", "of", "the", "utility", "over", "6", "looks,", "never", "enough")
    ]
    assert max(len(line) for line in lines if "#" in line) < 80


def test_why_says_when_the_evidence_was_enough(state):
    assert "e-value of the utility over 6 looks, enough after 1" in said(
        "why", "chal-0002", state=state
    )


def test_why_draws_blocks_on_a_terminal(state, blocks):
    shown = said("why", "chal-0001", state=state)
    assert "█" in shown
    assert "│" in shown


def test_status_draws_the_money_and_the_way_of_the_utility(state):
    lines = said("status", state=state).splitlines()
    (spent,) = [line for line in lines if line.startswith("spent")]
    assert spent.endswith("." * 20)
    start = next(n for n, line in enumerate(lines) if line.startswith("utility"))
    assert lines[start].split()[1:] == ["04", "champion,", "from", "0.000", "to", "0.500"]
    assert lines[start + 1].split()[:3] == ["98", "best", "challenger,"]


def on_a_terminal(words, columns):
    """Run penin with a terminal for its stdout, and return what it printed there."""
    ours, theirs = os.openpty()
    code = "import sys; sys.argv[0] = 'penin'; from penin_core.cli import main; main()"
    env = {**os.environ, "COLUMNS": str(columns), "PYTHONIOENCODING": "utf-8"}
    with subprocess.Popen([sys.executable, "-c", code, *words], stdout=theirs, env=env) as process:
        os.close(theirs)
        shown = b""
        # The end of a terminal is an error on Linux, and nothing more to read elsewhere.
        with contextlib.suppress(OSError):
            while data := os.read(ours, 4096):
                shown += data
        os.close(ours)
    assert process.returncode == 0
    return shown.decode()


@pytest.mark.parametrize("columns", [40, 200])
def test_no_line_of_a_chart_is_wider_than_the_terminal(state, columns):
    lines = on_a_terminal(["why", "chal-0001", "--state-dir", str(state)], columns).splitlines()
    assert any("█" in line for line in lines) is (columns > 60)
    assert all(len(line) < columns for line in lines if "█" in line)
