"""The example that makes its own Llama: what the model has seen is not what it is proved with.

Where the published rows are at hand (PENIN_SHARED names their folder), they are divided as well.
"""

import importlib.util
import json
import os
from pathlib import Path

import pytest

from penin_core.leaks import find_leaks, question_key
from penin_core.records import Task

torch = pytest.importorskip("torch")
pytest.importorskip("transformers")

SCRIPT = Path(__file__).parent.parent / "examples" / "small-llama" / "small_llama.py"


@pytest.fixture(scope="module")
def story():
    spec = importlib.util.spec_from_file_location("small_llama_example", SCRIPT)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture
def rows_file(tmp_path):
    rows = [
        {
            "id": f"r{n}",
            "input": f"{n} of us come on day {n % 31} at {n % 24} o'clock with {n * 7} bags",
            "requested": ["time"] if n % 3 else [],
            "expected": {"time": f"{n % 24} o'clock", "people": str(n)},
        }
        for n in range(600)
    ]
    path = tmp_path / "rows.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return path


def lines(path):
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


def check(story, place, path):
    beside = story.restaurants()
    base = story.write_files(beside, place, beside.read_rows(path))
    names = ("train", "validation", "tasks", "test")
    train, validation, tasks, test = (lines(place / f"{name}.jsonl") for name in names)
    confirm = [row for row in tasks if row["split"] == "confirm"]
    parts = [base, train, validation, tasks, test]
    ids = [{row["id"] for row in part} for part in parts]
    assert all(ids)
    assert confirm
    assert sum(map(len, ids)) == len(set().union(*ids))
    asked = [Task(id=row["id"], input=row["input"]) for row in confirm]
    taught = [*base, *train, *validation]
    seen = [(row["id"], question_key(Task(id="s", input=row["input"]))) for row in taught]
    assert not {row["input"] for row in train} & {row["input"] for row in validation}
    assert find_leaks(asked, seen) == []


def test_parts_do_not_overlap(story, tmp_path, rows_file, monkeypatch):
    sizes = {"TEST": 50, "BASE": 100, "TRAIN": 100, "VALIDATION": 20, "SELECT": 40}
    for name, count in sizes.items():
        monkeypatch.setattr(story, name, count)
    check(story, tmp_path, rows_file)


def test_the_published_rows_are_divided(story, tmp_path):
    beside = SCRIPT.parents[3] / "shared"
    path = Path(os.environ.get("PENIN_SHARED", beside)) / "data" / "restaurants8k.train.jsonl"
    if not path.exists():
        pytest.skip(f"the published rows are not here: {path}")
    check(story, tmp_path, path)


def test_what_is_settled_is_read(story, tmp_path):
    from penin_core.settings import load_settings

    path = tmp_path / "penin.toml"
    path.write_text(
        '[suite]\nname = "s"\ntasks = "t.jsonl"\naxes = ["U", "S", "C", "L"]\n'
        'evaluators = ["cost", "reuse", "agreement"]\n[evolve]\ntau = 0.5\n'
    )
    story.settle(path)
    settings = load_settings(path)
    assert settings.suite.axes == ("U", "S")
    assert settings.suite.evaluators == ("agreement",)
    assert (settings.evolve.race_tasks, settings.evolve.confirm_max) == (100, 1100)
    with pytest.raises(SystemExit):
        story.settle(path)


def test_the_base_never_sees_what_was_asked(story):
    assert story.unasked("(asked: time, date) at 7 (sharp) please") == "at 7 (sharp) please"
    assert story.unasked("no (brackets) here") == "no (brackets) here"


def test_slots_are_exchanged_in_message_and_answer_alike(story):
    import random

    row = {"input": "2 of us at 7", "expected": {"people": "2", "time": "7"}}
    values = {"people": ["two", "5"], "time": ["noon", "6"]}
    found = {json.dumps(story.exchanged(row, values, random.Random(n))) for n in range(40)}
    assert len(found) > 3
    for each in map(json.loads, found):
        wanted = f"{each['expected']['people']} of us at {each['expected']['time']}"
        assert each["input"] == wanted


def test_a_model_is_made_and_answers(story, tmp_path):
    """Few steps, so the answer is nonsense; but the folder is one that penin-hf serves."""
    provider = pytest.importorskip("penin_hf.provider").HFProvider()
    from penin_core import Completion, Message, Request

    rows = [
        {"input": f"{n} of us at {n % 9}", "expected": {"people": str(n)}} for n in range(600)
    ]  # fmt: skip
    with torch.random.fork_rng():
        story.make_model(tmp_path / "llama", rows, steps=2)
    messages = (Message(role="user", content="2 of us"),)
    request = Request(
        provider="hf", model=str(tmp_path / "llama"), messages=messages, max_tokens=4, seed=1
    )
    assert isinstance(provider.generate([request])[0], Completion)
