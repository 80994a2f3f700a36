"""penin tasks names what leaks, and writes splits down without touching anything else."""

import json
from collections import Counter

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
    assert "b ~ a (equal)" in said
    assert run(["tasks", "check", "t.jsonl", "--json"]) == 1
    data = json.loads(capsys.readouterr().out)
    assert data["leaks"] == [{"task": "b", "seen": "a", "overlap": 1.0, "short": False}]
    assert data["splits"] == {"confirm": 2, "select": 2}
    assert data["repeated"] == 2


def test_training_data_can_be_named(rows, capsys):
    rows("t.jsonl", {"id": "b", "input": LONG, "split": "confirm"})
    rows("train.jsonl", {"prompt": "other"}, {"prompt": LONG})
    assert run(["tasks", "check", "t.jsonl"]) == 0
    assert "none" in capsys.readouterr().out
    assert run(["tasks", "check", "t.jsonl", "--training", "train.jsonl"]) == 1
    assert "b ~ train.jsonl:2" in capsys.readouterr().out


def test_what_may_be_a_mistake_is_noted(rows, tmp_path, capsys):
    rows(
        "t.jsonl",
        {"id": "a", "input": LONG, "expectd": "x", "split": "select"},
        {"id": "b", "input": " ", "expected": "x", "colour": "red", "split": "confirm"},
    )
    with (tmp_path / "t.jsonl").open("a") as file:
        file.write('{"id": "c", "input": "1", "input": "2", "expected": {"k": 1, "k": 2}}\n')
    assert run(["tasks", "check", "t.jsonl"]) == 0
    said = capsys.readouterr().out
    assert "note       column 'expectd' of 1 task is one of your own" in said
    assert run(["tasks", "check", "t.jsonl", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["notes"] == [
        "column 'expectd' of 1 task is one of your own, which only prompts may use; "
        "did you mean 'expected'?",
        "line 3 names 'k' more than once; the last value counts",
        "line 3 names 'input' more than once; the last value counts",
        "task 'b' has an empty input",
        "1 task, 'a' first, without 'expected' and 'metric': only a metric of your own could "
        "grade them",
    ]


def test_tasks_that_no_metric_of_their_suite_can_grade_are_named(rows, tmp_path, capsys):
    given = [{"id": f"t{n}", "input": f"question {n}", "expected": "x"} for n in range(30)]
    del given[4]["expected"], given[9]["expected"]
    rows("t.jsonl", *(row | {"split": ("select", "confirm")[n % 2]} for n, row in enumerate(given)))
    (tmp_path / "penin.toml").write_text('[suite]\ntasks = "t.jsonl"\nmetrics = ["exact_match"]\n')
    assert run(["tasks", "check", "t.jsonl"]) == 1
    said = capsys.readouterr().out
    assert "no metric  line 5: task 't4'\n           line 10: task 't9'\n" in said
    assert 'give each an "expected", or a "metric" that the suite names' in said
    assert run(["tasks", "check", "t.jsonl", "--json"]) == 1
    data = json.loads(capsys.readouterr().out)
    assert data["ungraded"] == [{"task": "t4", "line": 5}, {"task": "t9", "line": 10}]
    assert data["notes"] == []


def test_a_file_of_no_suite_may_be_graded_by_metrics_that_are_not_known_yet(rows, capsys):
    rows("t.jsonl", {"id": "a", "input": "x"}, {"id": "b", "input": "y", "metric": "mine"})
    assert run(["tasks", "check", "t.jsonl", "--json"]) == 0
    data = json.loads(capsys.readouterr().out)
    assert data["ungraded"] == []
    assert [note.split(",")[0] for note in data["notes"]] == ["1 task"]


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


def test_tasks_of_one_cluster_stay_in_one_split(rows, tmp_path):
    given = [{"id": f"t{n}", "input": f"question {n}", "doc": f"d{n % 12}"} for n in range(120)]
    rows("t.jsonl", *given)
    (tmp_path / "penin.toml").write_text('[suite]\ntasks = "t.jsonl"\nclusters = "doc"\n')
    assert run(["tasks", "split", "t.jsonl", "--output", "named.jsonl"]) == 0
    assert run(["tasks", "split", "t.jsonl", "--output", "n.jsonl", "--clusters", "doc"]) == 0
    assert (tmp_path / "n.jsonl").read_text() == (tmp_path / "named.jsonl").read_text()
    splits = {}
    for task in read_tasks(tmp_path / "n.jsonl"):
        splits.setdefault(task.fields["doc"], set()).add(task.split)
    assert {len(found) for found in splits.values()} == {1}
    assert {split for found in splits.values() for split in found} == {"select", "confirm"}


def test_a_file_is_checked_as_its_clusters_divide_it(rows, tmp_path, capsys):
    given = [
        {"id": f"t{n}", "input": f"question {n}", "expected": "x", "doc": f"d{n % 12}"}
        for n in range(120)
    ]
    rows("t.jsonl", *given)
    assert run(["tasks", "split", "t.jsonl", "--output", "n.jsonl", "--clusters", "doc"]) == 0
    splits = Counter(task.split for task in read_tasks(tmp_path / "n.jsonl"))
    (tmp_path / "penin.toml").write_text('[suite]\ntasks = "t.jsonl"\nclusters = "doc"\n')
    for args in (["t.jsonl"], ["t.jsonl", "--clusters", "doc"], ["n.jsonl", "--clusters", "doc"]):
        capsys.readouterr()
        assert run(["tasks", "check", *args, "--json"]) == 0
        assert json.loads(capsys.readouterr().out)["splits"] == splits


def test_clusters_that_a_cycle_would_refuse_are_named(rows, capsys):
    splits = {"a": "select", "b": "confirm", "c": "confirm", "d": "confirm"}
    docs = {"a": "d1", "b": "d1", "c": "d2"}
    rows(
        "t.jsonl",
        *(
            {"id": name, "input": f"{name} {LONG[n:]}", "split": split}
            | ({"doc": docs[name]} if name in docs else {})
            for n, (name, split) in enumerate(splits.items())
        ),
    )
    assert run(["tasks", "check", "t.jsonl", "--clusters", "doc"]) == 1
    said = capsys.readouterr().out.splitlines()
    assert "in both    d1" in said
    assert "no cluster d" in said


def test_the_clusters_of_another_suite_do_not_count(rows, tmp_path):
    rows("t.jsonl", *({"id": f"t{n}", "input": f"question {n}", "doc": "d"} for n in range(40)))
    (tmp_path / "penin.toml").write_text('[suite]\ntasks = "other.jsonl"\nclusters = "doc"\n')
    assert run(["tasks", "split", "t.jsonl", "--output", "n.jsonl"]) == 0
    assert {task.split for task in read_tasks(tmp_path / "n.jsonl")} == {"select", "confirm"}


def test_a_mark_of_the_byte_order_is_no_part_of_the_first_task(rows, tmp_path):
    (tmp_path / "t.jsonl").write_text('\ufeff{"id": "a", "input": "x"}\n')
    assert run(["tasks", "split", "t.jsonl", "--output", "n.jsonl"]) == 0
    assert read_tasks(tmp_path / "n.jsonl")[0].id == "a"
