"""What a file of tasks allows to measure, and the TOML that says so."""

import json
import tomllib
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from penin_core import Capabilities, SettingsError, SuiteError, Task
from penin_core.projectfiles import (
    metrics_for,
    relative_path,
    suite_for,
    tokens_for,
    toml,
    toml_value,
    write_whole,
)

TALKATIVE = Capabilities(logprobs=True)
SILENT = Capabilities(logprobs=False)


def tasks(expected, count=6, **fields):
    return [
        Task(id=str(n), input=f"question {n}", expected=expected, split="select", **fields)
        for n in range(count)
    ]


# What is measured


@pytest.mark.parametrize(
    ("expected", "metrics"),
    [
        ({"name": "Ada"}, ("field_f1", "exact_match")),
        ("yes", ("exact_match", "token_f1")),
        (("yes", "yes indeed"), ("exact_match", "token_f1")),
        ("a long answer " * 6, ("token_f1", "rouge_l")),
    ],
)
def test_metrics_follow_the_expected_answers(expected, metrics):
    assert metrics_for(tasks(expected)) == metrics


def test_objects_and_texts_together_have_the_metrics_of_both():
    found = metrics_for([*tasks({"a": "b"}), *tasks("yes")])
    assert found == ("field_f1", "exact_match", "token_f1")


def test_metrics_that_tasks_name_are_added():
    assert metrics_for(tasks("yes", metric="mine"))[-1] == "mine"


def test_what_the_tasks_do_not_say_is_declared_with_a_reason():
    suite = suite_for("s", tasks("yes"), TALKATIVE)
    assert (suite.calibration, suite.groups, suite.consent) == (
        "logprobs",
        "not_applicable",
        "not_applicable",
    )
    assert set(suite.reasons) == {"groups", "consent"}
    assert all(suite.reasons.values())


def test_a_model_without_log_probabilities_has_no_calibration():
    suite = suite_for("s", tasks("yes"), SILENT)
    assert suite.calibration == "not_applicable"
    assert "calibration" in suite.reasons
    assert "calibration" not in suite.evaluators


def test_groups_and_consent_are_measured_where_tasks_have_them():
    both = [*tasks("yes", group="a", consent=True), *tasks("no", group="b", consent=True)]
    suite = suite_for("s", both, TALKATIVE)
    assert (suite.groups, suite.consent, suite.reasons) == ("measured", "register", {})


def test_a_single_group_compares_nobody():
    assert suite_for("s", tasks("yes", group="a"), TALKATIVE).groups == "not_applicable"


def test_one_row_with_a_consent_field_makes_a_register():
    suite = suite_for("s", [*tasks("yes"), *tasks("no", 1, consent=False)], TALKATIVE)
    assert suite.consent == "register"


def test_composition_needs_composed_tasks():
    assert "composition" not in suite_for("s", tasks("yes"), TALKATIVE).evaluators
    composed = Task(id="c", input="both", expected="yes", split="composed")
    assert "composition" in suite_for("s", [*tasks("yes"), composed], TALKATIVE).evaluators


def test_learning_needs_several_tasks_of_a_kind():
    apart = [t.model_copy(update={"tags": (t.id,)}) for t in tasks("yes")]
    suite = suite_for("s", apart, TALKATIVE)
    assert suite.axes == ("U", "S", "C")
    assert "reuse" not in suite.evaluators
    assert "reuse" in suite_for("s", tasks("yes"), TALKATIVE).evaluators


def test_a_task_without_an_answer_is_named():
    with pytest.raises(SuiteError, match="task '0' has no 'expected'"):
        suite_for("s", tasks(None), TALKATIVE)


@pytest.mark.parametrize(
    ("longest", "room"), [(1, 64), (64, 64), (65, 96), (300, 320), (9000, 1024)]
)
def test_answers_get_room_for_the_longest_one(longest, room):
    assert tokens_for([*tasks("x"), *tasks("x" * longest, 1)]) == room


# TOML


@given(st.text(alphabet=st.characters(codec="utf-8")))
def test_every_text_survives_toml(text):
    assert tomllib.loads(f"x = {toml_value(text)}")["x"] == text


@given(st.characters(max_codepoint=0x9F))
def test_every_control_character_survives_toml(character):
    assert tomllib.loads(f"x = {toml_value(character)}")["x"] == character


@given(st.floats(allow_nan=False, allow_infinity=False) | st.integers(-(2**60), 2**60))
def test_every_number_survives_toml(number):
    found = tomllib.loads(f"x = {toml_value(number)}")["x"]
    assert (found, type(found)) == (number, type(number))


def test_lists_and_booleans_survive_toml():
    found = tomllib.loads(f"x = {toml_value(['a', 'b'])}\ny = {toml_value(True)}")
    assert found == {"x": ["a", "b"], "y": True}


def test_a_file_has_its_tables_and_comments():
    text = toml([("", "first", {}), ("a.b", "one\ntwo", {"k": 'quote " and \\ and \n'})])
    assert tomllib.loads(text) == {"a": {"b": {"k": 'quote " and \\ and \n'}}}
    assert text.startswith("# first\n")
    assert "# one\n# two\n[a.b]\n" in text


def test_bytes_that_are_no_text_are_refused():
    with pytest.raises(SettingsError, match="not valid Unicode"):
        toml_value("a\udcff")


# Files


def test_a_file_is_written_whole_or_not_at_all(tmp_path):
    path = tmp_path / "penin.toml"
    write_whole(path, "one", replace=False)
    with pytest.raises(SettingsError, match="exists already"):
        write_whole(path, "two", replace=False)
    assert path.read_text() == "one"
    write_whole(path, "three", replace=True)
    assert path.read_text() == "three"
    assert [p.name for p in tmp_path.iterdir()] == ["penin.toml"]


def test_a_folder_that_is_not_there_is_an_error_of_two_lines(tmp_path):
    with pytest.raises(SettingsError, match="cannot be written") as caught:
        write_whole(tmp_path / "none" / "penin.toml", "x", replace=False)
    assert caught.value.hint


def test_a_path_is_relative_to_the_file_that_names_it(tmp_path, monkeypatch):
    (tmp_path / "a b").mkdir()
    (tmp_path / "link").symlink_to(tmp_path / "a b")
    (tmp_path / "tasks.jsonl").write_text(json.dumps({"id": "1"}))
    monkeypatch.chdir(tmp_path)
    for folder in (tmp_path / "a b", tmp_path / "link", Path("a b")):
        name = relative_path(Path("tasks.jsonl"), folder)
        assert name == "../tasks.jsonl"
        assert (folder / name).read_text() == (tmp_path / "tasks.jsonl").read_text()
