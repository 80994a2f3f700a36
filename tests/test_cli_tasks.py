"""penin tasks names what leaks, and writes splits down without touching anything else."""

import json

import pytest

from penin_core.cli import run
from penin_core.suites import read_tasks

LONG = "Please book a table for two people tomorrow at eight in the quiet corner by the window"


@pytest.fixture
def rows(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)

    def write(name, *found):
        (tmp_path / name).write_text("".join(json.dumps(row) + "\n" for row in found))

    return write


def test_a_leak_is_named_and_the_exit_code_is_1(rows, capsys):
    rows(
        "t.jsonl",
        {"id": "a", "input": LONG, "split": "select"},
        {"id": "b", "input": LONG + "!", "split": "confirm"},
        {"id": "c", "input": "6 a.m.", "split": "confirm"},
        {"id": "d", "input": "6 AM", "split": "select"},
    )
    assert run(["tasks", "check", "t.jsonl"]) == 1
    said = capsys.readouterr().out
    assert "2 confirm, 2 select" in said
    assert "b ~ a, 100% of 5-grams" in said
    assert run(["tasks", "check", "t.jsonl", "--json"]) == 1
    data = json.loads(capsys.readouterr().out)
    assert data["leaks"] == [{"task": "b", "seen": "a", "overlap": 1.0}]
    assert data["splits"] == {"confirm": 2, "select": 2}
    assert data["repeated"] == 2


def test_training_data_can_be_named(rows, capsys):
    rows("t.jsonl", {"id": "b", "input": LONG, "split": "confirm"})
    rows("train.jsonl", {"prompt": "other"}, {"prompt": LONG})
    assert run(["tasks", "check", "t.jsonl"]) == 0
    assert "none" in capsys.readouterr().out
    assert run(["tasks", "check", "t.jsonl", "--training", "train.jsonl"]) == 1
    assert "b ~ train.jsonl:2" in capsys.readouterr().out


def test_a_file_that_is_not_there_is_one_clear_error(rows, capsys):
    assert run(["tasks", "check", "none.jsonl"]) == 2
    assert "none.jsonl: cannot be read" in capsys.readouterr().err


def test_splits_are_written_down_and_everything_else_is_kept(rows, tmp_path, capsys):
    given = [{"id": f"t{n}", "input": f"question {n}", "é": [n]} for n in range(60)]
    rows("t.jsonl", *given)
    assert run(["tasks", "split", "t.jsonl", "--output", "new.jsonl"]) == 0
    written = [json.loads(line) for line in (tmp_path / "new.jsonl").read_text().splitlines()]
    assert {row["split"] for row in written} == {"select", "confirm"}
    assert [{k: v for k, v in row.items() if k != "split"} for row in written] == given
    before, after = (read_tasks(tmp_path / name) for name in ("t.jsonl", "new.jsonl"))
    assert before == after
    assert run(["tasks", "split", "t.jsonl", "--output", "new.jsonl"]) == 2
    assert "exists already" in capsys.readouterr().err
