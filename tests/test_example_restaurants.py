"""The example on restaurant messages: what it trains on is not what it proves with.

Where the published rows are at hand (PENIN_SHARED names their folder), they are divided as well.
"""

import importlib.util
import json
import os
from pathlib import Path

import pytest

from penin_core.settings import SuiteDefinition
from penin_core.suites import load_suite

SCRIPT = Path(__file__).parent.parent / "examples" / "restaurants" / "restaurants.py"


@pytest.fixture(scope="module")
def story():
    spec = importlib.util.spec_from_file_location("restaurants_example", SCRIPT)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture
def rows_file(tmp_path):
    """Made-up rows; every tenth message is disputed."""
    rows = [
        {
            "id": f"r{n}",
            "input": f"{n} of us come on day {n % 31} at {n % 24} o'clock with {n * 7} bags",
            "requested": ["time", "time"] if n % 3 else [],
            "expected": {"time": f"{n % 24} o'clock", "people": str(n)},
        }
        for n in range(600)
    ]
    rows += [{**row, "id": f"x{row['id']}", "expected": {}} for row in rows[::10]]
    path = tmp_path / "rows.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return path


def divided(story, place, path, sizes):
    story.write_files(place, story.read_rows(path), sizes)
    names = ["tasks", "test", *(f"train-{size}" for size in sizes)]
    return {name: lines(place / f"{name}.jsonl") for name in names}


def lines(path):
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


def check(parts, place, sizes):
    texts = {name: {row["input"] for row in rows} for name, rows in parts.items()}
    small, large = sizes
    assert parts[f"train-{large}"][:small] == parts[f"train-{small}"]
    confirm = [row for row in parts["tasks"] if row["split"] == "confirm"]
    assert confirm
    training = (f"train-{large}.jsonl",)
    definition = SuiteDefinition(name="s", tasks="tasks.jsonl", training=training)
    assert load_suite(definition, place, {}).leaks() == []
    ids = [{row["id"] for row in rows} for name, rows in parts.items() if name != f"train-{small}"]
    assert sum(map(len, ids)) == len(set().union(*ids))
    answers = {row["input"]: row["expected"] for row in parts[f"train-{large}"]}
    assert all(answers[row["input"]] == row["expected"] for row in parts[f"train-{large}"])
    assert all(texts.values())


def test_parts_do_not_overlap(story, tmp_path, rows_file, monkeypatch):
    monkeypatch.setattr(story, "TEST", 60)
    monkeypatch.setattr(story, "SELECT", 50)
    check(divided(story, tmp_path, rows_file, (20, 200)), tmp_path, (20, 200))


def test_slots_stand_in_the_order_of_the_instruction(story, rows_file):
    row = story.read_rows(rows_file)[0]
    assert list(row["expected"]) in ([], ["people", "time"])
    assert story.SYSTEM.startswith("Extract people, time, date, first_name and last_name from")
    asked = [row for row in story.read_rows(rows_file) if row["requested"]]
    assert all(row["input"].startswith("(asked: time) ") for row in asked)


def test_slot_f1_counts_slots(story, tmp_path, monkeypatch):
    class Row:
        def __init__(self, task, text):
            self.task, self.text = task, text

    class Measured:
        rows = (Row("a", '{"people": "2", "time": "7"}'), Row("b", "nonsense"), Row("c", None))

    monkeypatch.chdir(tmp_path)
    truth = {"a": {"people": "2", "time": "8"}, "b": {"date": "today"}, "c": {}}
    story.write(tmp_path / "test.jsonl", [{"id": n, "expected": e} for n, e in truth.items()])
    assert story.slot_f1(Measured()) == 2 * 1 / (2 + 3)


def test_the_published_rows_are_divided(story, tmp_path):
    beside = SCRIPT.parents[3] / "shared"
    path = Path(os.environ.get("PENIN_SHARED", beside)) / "data" / "restaurants8k.train.jsonl"
    if not path.exists():
        pytest.skip(f"the published rows are not here: {path}")
    check(divided(story, tmp_path, path, (64, 2049)), tmp_path, (64, 2049))
