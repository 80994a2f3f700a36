"""What a cycle looks like while it works."""

import io
import sys

import click
import pytest
from rich.console import Console

from penin_core import Candidate, Configuration, Evaluation, Measurement
from penin_core.cli import terminal
from penin_core.cli.output import progress, quiet_option
from penin_core.cli.terminal import Field, LiveView, Pace, PlainView, following

CHAMPION = Candidate(config=Configuration(provider="echo", model="e", system="Say \x1b[31mit."))
SHORTER = CHAMPION.child("prompt_variants", system="Say it.\n" + "Please. " * 40)
COLDER = CHAMPION.child("param_sweep", temperature=0.1)


def raced(candidate, tasks, utility):
    measured = Measurement(U=utility, C=0.5, n_tasks=tasks)
    return {"evaluation": Evaluation(candidate=candidate, stage="race", measurement=measured)}


def events():
    yield "answered", {"done": 10, "total": 100, "calls": 10, "usd": 0.1}
    yield "started", {"champion": CHAMPION, "challengers": [SHORTER, COLDER]}
    yield "answered", {"done": 3, "total": 30, "calls": 3, "usd": 0.03}
    yield "evaluated", raced(SHORTER, 30, 0.75)
    yield "evaluated", raced(COLDER, 30, 0.25)
    reference = Measurement(U=0.4, C=0.5, n_tasks=30)
    yield "ranked", {"tasks": 30, "champion": reference, "out": {COLDER.hash: "place 2 of 2"}}
    yield "confirming", {"finalist": SHORTER, "of": 200, "needed": 3.7}
    yield "answered", {"done": 50, "total": 50, "calls": 50, "usd": 0.5}
    for n in (50, 100, 150, 200):
        yield "looked", {"n": n, "of": 200, "log_e": n / 25, "needed": 3.7}
    yield "answered", {"done": 1, "total": 9, "calls": 1, "usd": 0.01}
    yield "something new", {"of": "a later version"}


def drawn(view, width):
    stream = io.StringIO()
    console = Console(file=stream, width=width, height=40, color_system=None)
    console.print(view.draw())
    return stream.getvalue()


def follow(view):
    for event, about in events():
        view(event, about)


@pytest.mark.parametrize("width", [60, 80, 120])
def test_the_table_fits_its_terminal_at_every_moment(width):
    view = LiveView(Field())
    for event, about in events():
        view(event, about)
        lines = drawn(view, width).splitlines()
        assert all(len(line) <= width for line in lines)
        assert len(lines) <= 8


def test_the_table_shows_who_is_how_far_and_nothing_that_drives_a_terminal():
    view = LiveView(Field())
    follow(view)
    text = drawn(view, 100)
    assert "\x1b" not in text
    rows = {line.split()[0]: line.split() for line in text.splitlines() if line.strip()}
    assert rows["prompt_variants"][-4:] == ["30", "0.750", "0.500", "finalist"]
    assert rows["param_sweep"][-4:] == ["30", "0.250", "0.500", "out"]
    assert rows["champion"][-3:] == ["30", "0.400", "0.500"]
    assert "200 of 200 tasks, log e 8.0, needed 3.7" in text
    assert "gates: repeats, perturbations, examples: 1 of 9 answers, 1 call, $0.01" in text


def test_pace_money_and_the_best_so_far_stand_below_the_table(monkeypatch):
    now = 100.0
    monkeypatch.setattr(terminal.time, "monotonic", lambda: now)
    view = LiveView(Field(most_usd=5.0, started=now))
    for event, about in list(events())[:4]:
        view(event, about)
    now = 104.0
    view("answered", {"done": 11, "total": 30, "calls": 21, "usd": 0.25})
    assert drawn(view, 120).splitlines()[-1].rstrip() == (
        "race: 11 of 30 answers, 2/s, 10 s to go, best so far prompt_variants, U 0.750, 21 calls, "
        "$0.25 of $5.00, 4 s"
    )


def test_what_the_cache_knew_says_nothing_about_the_pace(monkeypatch):
    now = 0.0
    monkeypatch.setattr(terminal.time, "monotonic", lambda: now)
    pace = Pace()
    pace.count(60, 100)
    assert pace.per_second() is None
    now = 2.0
    pace.count(61, 100)
    assert pace.per_second() == 0.5
    pace.count(1, 100)
    assert pace.per_second() is None


def test_quiet_says_nothing_about_progress(capsys):
    @click.command()
    @quiet_option
    def command():
        with following() as view:
            follow(view)
        progress("never")

    command(["--quiet"], standalone_mode=False)
    assert capsys.readouterr() == ("", "")
    command([], standalone_mode=False)
    assert "never" in capsys.readouterr().err


def test_a_candidate_waits_races_and_drops_out():
    view, states = LiveView(Field()), []
    for event, about in events():
        view(event, about)
        row = view.field.rows.get(COLDER.hash)
        if row is not None and row.state not in states[-1:]:
            states.append(row.state)
    assert states == ["waiting", "racing", "out"]


def test_without_a_terminal_there_are_a_few_plain_lines(capsys):
    follow(PlainView(Field()))
    said = capsys.readouterr()
    assert said.out == ""
    assert said.err.splitlines() == [
        "measuring what runs today",
        "race: 2 challengers against echo:e",
        "race: after 30 tasks, 1 out, 1 left",
        "confirmation: prompt_variants against the champion, at most 200 tasks",
        "confirmation: 100 of 200 tasks, log e 4.0, needed 3.7",
        "confirmation: 200 of 200 tasks, log e 8.0, needed 3.7",
        "gates: repeats, perturbations, examples",
    ]


def test_a_reader_that_is_gone_does_not_end_the_cycle(monkeypatch):
    class Gone(io.StringIO):
        def write(self, text):
            raise BrokenPipeError

    monkeypatch.setattr(sys, "stderr", Gone())
    follow(PlainView(Field()))


def test_the_view_depends_on_the_terminal(monkeypatch):
    class Terminal(io.StringIO):
        def isatty(self):
            return True

    monkeypatch.setattr(sys, "stderr", io.StringIO())
    with following() as view:
        assert isinstance(view, PlainView)
    monkeypatch.setattr(sys, "stderr", Terminal())
    monkeypatch.setenv("TERM", "xterm")
    with following() as view:
        assert isinstance(view, LiveView)
