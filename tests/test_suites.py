"""Suites: every mistake is named with its line, and every task has one place for ever."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from penin_core import Example, SettingsError, Suite, SuiteError, Task, example_of
from penin_core.settings import Baseline, SuiteDefinition
from penin_core.suites import divided, load_suite, read_tasks, seeded_order


def lines(*rows):
    return "\n".join(row if isinstance(row, str) else json.dumps(row) for row in rows)


def read(tmp_path, *rows):
    path = tmp_path / "tasks.jsonl"
    path.write_text(lines(*rows), encoding="utf-8")
    return read_tasks(path)


def task(n, split="confirm", **more):
    return Task(id=f"t{n}", input=f"question {n}", expected="x", split=split, **more)


def row(n, **more):
    return {"id": f"t{n}", "input": "q", "expected": "x", **more}


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        ('{"id": "t2", "input": "q"', "delimiter"),
        ("[1, 2]", "not a JSON object"),
        ('"text"', "not a JSON object"),
        ('{"input": "q"}', "id: field required"),
        ('{"id": "t2"}', "input: field required"),
        ('{"id": "", "input": "q"}', "id: "),
        ('{"id": "t2", "input": "q", "expected": 42}', "expected"),
        ('{"id": "t2", "input": "q", "expected": []}', "expected"),
        ('{"id": "t2", "input": "q", "consent": "yes"}', "consent"),
        ('{"id": "t2", "input": "q", "split": "train"}', "split"),
        ('{"id": "t2", "input": "q", "messages": [{"role": "judge"}]}', "messages.0"),
        ('{"id": "t2", "input": "q", "weight": NaN}', "canonical"),
        ('{"id": "t2", "input": "q", "user": 12345678901234567890}', "canonical"),
        ('{"id": "t2", "input": "\\ud800"}', "canonical"),
        ("[" * 100_000, "recursion"),
    ],
    ids=lambda value: value[:24],
)
def test_a_broken_line_is_named_with_file_number_and_reason(tmp_path, line, reason):
    with pytest.raises(SuiteError) as caught:
        read(tmp_path, row(1), "", line)
    message = str(caught.value)
    assert message.startswith(f"{tmp_path / 'tasks.jsonl'}, line 3: ")
    assert reason in message
    assert isinstance(caught.value, SettingsError)


def test_an_id_that_occurs_twice_is_refused(tmp_path):
    with pytest.raises(SuiteError, match="id 't1' occurs twice"):
        read(tmp_path, row(1), row(2), row(1))


@pytest.mark.parametrize("content", ["", "\n\n", "  \n\t\n"])
def test_a_file_without_tasks_is_refused(tmp_path, content):
    (tmp_path / "empty").write_text(content)
    with pytest.raises(SuiteError, match="holds no task"):
        read_tasks(tmp_path / "empty")


def test_a_file_that_is_missing_or_no_text_is_refused(tmp_path):
    (tmp_path / "binary").write_bytes(b"\xff\xfe\x00")
    for name in ("missing", "binary", "."):
        with pytest.raises(SuiteError, match="cannot be read"):
            read_tasks(tmp_path / name)


@pytest.mark.parametrize("separator", ["\u2028", "\u2029", "\x85", "\x0b", "\x0c", "\x1c"])
def test_only_a_newline_ends_a_line(tmp_path, separator):
    text = f"one{separator}two"
    plain = json.dumps(row(1, input=text), ensure_ascii=False)
    if separator < " ":
        plain = json.dumps(row(1, input=text))
    assert [t.input for t in read(tmp_path, plain, row(2))] == [text, "q"]


def test_carriage_returns_before_newlines_are_no_part_of_a_task(tmp_path):
    path = tmp_path / "windows"
    path.write_bytes(b"\r\n".join(json.dumps(row(n)).encode() for n in (1, 2)) + b"\r\n")
    assert [t.id for t in read_tasks(path)] == ["t1", "t2"]


def test_columns_that_penin_does_not_know_are_kept(tmp_path):
    (found,) = read(tmp_path, row(1, customer={"tier": 2}, sample=7, examples=["x"], fields="f"))
    assert found.fields == {"customer": {"tier": 2}, "sample": 7, "examples": ["x"], "fields": "f"}
    assert (found.sample, found.examples) == (0, ())


@pytest.mark.parametrize("expected", ["text", ["a", "b"], {"name": "x", "n": [1, None]}, None])
def test_what_is_expected_is_kept_in_its_form(tmp_path, expected):
    (found,) = read(tmp_path, row(1, expected=expected))
    assert found.expected == (tuple(expected) if isinstance(expected, list) else expected)


def test_tasks_without_a_split_are_divided_for_ever_and_in_halves(tmp_path):
    rows = [row(n, input=f"question {n}") for n in range(1000)]
    found = {t.id: t.split for t in read(tmp_path, *rows)}
    again = {t.id: t.split for t in read(tmp_path, *reversed(rows[:300]))}
    assert again == {task_id: found[task_id] for task_id in again}
    assert set(found.values()) == {"select", "confirm"}
    assert 430 < sum(split == "select" for split in found.values()) < 570
    # These three fix the rule: another one would move tasks from select to confirm.
    assert [found[f"t{n}"] for n in (0, 1, 2)] == ["select", "select", "confirm"]


def test_a_split_in_the_file_is_not_overruled(tmp_path):
    rows = [row(n, split=split) for n, split in enumerate(("ood", "composed", "confirm") * 20)]
    assert [t.split for t in read(tmp_path, *rows)] == ["ood", "composed", "confirm"] * 20


@given(st.permutations(range(12)), st.integers(0, 2**31))
def test_a_seeded_order_does_not_depend_on_the_order_of_the_file(order, seed):
    tasks = [task(n) for n in range(12)]
    assert seeded_order([tasks[n] for n in order], seed) == seeded_order(tasks, seed)


def test_another_seed_gives_another_order():
    tasks = [task(n) for n in range(30)]
    assert len({tuple(t.id for t in seeded_order(tasks, seed)) for seed in range(20)}) == 20


def test_a_sample_is_the_beginning_of_the_seeded_order_of_its_split():
    tasks = tuple(task(n, "confirm" if n % 2 else "select") for n in range(40))
    suite = Suite(SuiteDefinition(), tasks)
    whole = suite.sample("confirm", 1000, 5)
    assert {t.id for t in whole} == {t.id for t in suite.split("confirm")}
    assert suite.sample("confirm", 7, 5) == whole[:7]


@pytest.mark.parametrize("gate", ["calibration", "groups", "consent"])
def test_what_is_declared_not_applicable_needs_a_reason(tmp_path, gate):
    (tmp_path / "t.jsonl").write_text(lines(row(1)))
    definition = SuiteDefinition(tasks="t.jsonl", **{gate: "not_applicable"})
    for reasons in ({}, {gate: ""}):
        with pytest.raises(SuiteError, match=f"declares {gate} not applicable without a reason"):
            load_suite(definition.model_copy(update={"reasons": reasons}), tmp_path, {})
    written = definition.model_copy(update={"reasons": {gate: "no people in it"}})
    assert load_suite(written, tmp_path, {}).definition.reasons[gate]


def test_a_suite_is_a_file_or_one_that_ships(tmp_path):
    shipped = {"tiny": lambda: [row(1, split="select")]}
    assert [t.id for t in load_suite(SuiteDefinition(name="tiny"), tmp_path, shipped).tasks] == [
        "t1"
    ]
    with pytest.raises(SuiteError, match="no suite named 'other'") as caught:
        load_suite(SuiteDefinition(name="other"), tmp_path, shipped)
    assert "tiny" in caught.value.hint


def test_the_hash_covers_tasks_and_definition_but_neither_baseline_nor_path():
    tasks = (task(1), task(2))
    base = Suite(SuiteDefinition(), tasks).hash
    assert Suite(SuiteDefinition(baseline=Baseline(tokens=3), tasks="x.jsonl"), tasks).hash == base
    assert Suite(SuiteDefinition(axes=("U",)), tasks).hash != base
    assert Suite(SuiteDefinition(), tasks[:1]).hash != base
    changed = tasks[0].model_copy(update={"expected": "y"})
    assert Suite(SuiteDefinition(), (changed, tasks[1])).hash != base


@pytest.mark.parametrize(
    ("select", "confirm", "missing"), [(19, 100, "19 select"), (20, 99, "99 confirm")]
)
def test_a_suite_too_small_to_prove_anything_says_what_is_missing(select, confirm, missing):
    def suite(select, confirm):
        tasks = [task(n, "select") for n in range(select)]
        return Suite(SuiteDefinition(), (*tasks, *(task(n + 999) for n in range(confirm))))

    suite(20, 100).require_provable()
    with pytest.raises(SuiteError, match=missing):
        suite(select, confirm).require_provable()


@pytest.mark.parametrize(
    ("expected", "output"),
    [("a", "a"), (("a", "b"), "a"), ({"é": 1, "b": [2]}, '{"é": 1, "b": [2]}')],
)
def test_a_solved_task_becomes_an_example(expected, output):
    solved = Task(id="a", input="q", expected=expected, tags=("k",))
    assert example_of(solved) == Example(input="q", output=output, tags=("k",))


def test_a_task_without_an_answer_is_no_example():
    assert example_of(Task(id="a", input="q")) is None


# Clusters


def documents(count, size=4):
    """Rows of ``count`` documents, ``size`` questions about each."""
    return [
        row(f"{doc}-{n}", input=f"{doc} asks {n}", doc=doc)
        for doc in range(count)
        for n in range(size)
    ]


def splits_of_documents(tasks):
    found = {}
    for one in tasks:
        found.setdefault(one.fields["doc"], set()).add(one.split)
    return found


def test_all_questions_about_one_document_stand_in_the_same_half(tmp_path):
    (tmp_path / "tasks.jsonl").write_text(lines(*documents(80)))
    clustered = SuiteDefinition(tasks="tasks.jsonl", clusters="doc")
    splits = splits_of_documents(load_suite(clustered, tmp_path, {}).tasks)
    assert all(len(found) == 1 for found in splits.values())
    assert 20 <= sum(found == {"confirm"} for found in splits.values()) <= 60
    plain = load_suite(SuiteDefinition(tasks="tasks.jsonl"), tmp_path, {}).tasks
    assert any(len(found) == 2 for found in splits_of_documents(plain).values())


def test_the_groups_can_be_the_clusters_of_a_file_without_splits():
    tasks = [Task(id=f"{n}", input=f"question {n}", group=f"g{n % 30}") for n in range(120)]
    made = divided(tasks, "group")
    halves = {}
    for one in made:
        halves.setdefault(one.group, set()).add(one.split)
    assert {len(found) for found in halves.values()} == {1}
    assert len({min(found) for found in halves.values()}) == 2


def test_a_document_that_is_given_away_goes_to_select_as_a_whole():
    shared = "is the kitchen still open at this late hour of the day"
    tasks = [
        Task(id=f"{doc}-{n}", input=f"{doc} asks {n}", expected="x", fields={"doc": doc})
        for doc in range(40)
        for n in range(3)
    ]
    tasks += [Task(id=f"{doc}-s", input=shared, fields={"doc": doc}) for doc in range(40)]
    made = divided(tasks, "doc")
    assert {t.split for t in made} == {"select"}, "every document holds the shared question"
    halves = splits_of_documents(divided(tasks[:-40], "doc")).values()
    assert {"confirm"} in halves
