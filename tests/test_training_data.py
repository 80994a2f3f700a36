"""Training data: what is read, how it is rendered, and everything that is refused."""

import json
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from penin_core import Configuration, Example, SuiteError, Task, TrainingCapabilities
from penin_core.canonical import digest
from penin_core.training.data import chat_lines, read_training_data
from penin_core.training.files import Terms

CONFIG = Configuration(provider="p", model="m", system="Name it.", prompt="Text: {{input}}")
COLOURS = ("red", "green", "blue")


def terms(**changes):
    given = {"config": CONFIG, "capabilities": TrainingCapabilities(), "consent": "ours"}
    return Terms(**{**given, "tokens": lambda e: len(e.messages[-1].content.split()), **changes})


def task(number, **changes):
    colour = COLOURS[number % 3]
    return {
        "input": f"paint door number {number} in {colour} please",
        "expected": colour,
        **changes,
    }


def chat(*turns, **changes):
    messages = [{"role": role, "content": content} for role, content in turns]
    return {"messages": messages, **changes}


GOOD = [task(number) for number in range(12)]


@pytest.fixture
def read(tmp_path):
    def read(rows, validation=None, **changes):
        paths = []
        for name, found in (("train.jsonl", rows), ("val.jsonl", validation)):
            lines = [r if isinstance(r, str) else json.dumps(r) for r in found or ()]
            (tmp_path / name).write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")
            paths.append(tmp_path / name if found is not None else None)
        return read_training_data(*paths, terms(**changes))

    return read


def reasons(data):
    return [(problem.line, problem.reason) for problem in data.problems]


# What is read


def test_tasks_are_asked_as_the_configuration_asks_them(read):
    config = CONFIG.model_copy(update={"examples": (Example(input="a", output="b"),)})
    example = read(GOOD, config=config).train.examples[0]
    assert example.system == "Name it."
    assert [(m.role, m.content) for m in example.messages] == [
        ("user", "Text: a"),
        ("assistant", "b"),
        ("user", "Text: paint door number 0 in red please"),
    ]
    assert example.answer == "red"


def test_chats_are_taken_as_they_are(read):
    rows = [
        chat(
            ("system", "S"),
            ("user", f"u{n}"),
            ("assistant", "a"),
            ("user", "v"),
            ("assistant", "w"),
        )
        for n in range(10)
    ]
    example = read(rows).train.examples[3]
    assert (example.system, example.answer) == ("S", "w")
    assert [m.content for m in example.messages] == ["u3", "a", "v"]


def test_an_object_is_learnt_as_json(read):
    rows = [task(number, expected={"colour": "rot", "n": number}) for number in range(10)]
    assert json.loads(read(rows).train.examples[2].answer) == {"colour": "rot", "n": 2}


def test_of_several_accepted_answers_the_first_is_learnt(read):
    rows = [task(number, expected=["one", "two"]) for number in range(10)]
    assert {example.answer for example in read(rows).train.examples} == {"one"}


def test_services_get_chat_lines_that_are_read_back_alike(read, tmp_path):
    first = read(GOOD)
    (tmp_path / "again.jsonl").write_bytes(chat_lines(first.train.examples))
    again = read_training_data(tmp_path / "again.jsonl", None, terms())
    assert again.train.examples == first.train.examples
    assert again.hash == first.hash


def test_a_mark_at_the_beginning_and_blank_lines_do_no_harm(read):
    rows = ["\ufeff" + json.dumps(GOOD[0]), "", *GOOD[1:], "   "]
    assert reasons(read(rows)) == []


def test_the_hash_follows_answers_order_and_parts(read):
    other = [{**GOOD[0], "expected": "pink"}, *GOOD[1:]]
    hashes = [read(GOOD).hash, read(other).hash, read(GOOD[::-1]).hash]
    hashes += [read(GOOD, GOOD[:0]).hash, read(GOOD, [task(99)]).hash]
    assert len(set(hashes)) == 4
    assert hashes[0] == hashes[3]


def test_rights_are_counted(read):
    rows = [task(n, consent=True, license="CC0") for n in range(7)]
    rows += [task(n, license=None) for n in range(7, 11)]
    data = read(rows, [task(50)], licence="ours, too")
    assert data.rights.consent == {"row": 7, "ours": 5}
    assert data.rights.licenses == {"CC0": 7, "ours, too": 5}
    assert data.tokens == 11 * 8


# What is refused


BROKEN = {
    '{"input": 3': "not JSON: Expecting ',' delimiter, at character 12",
    "[1]": "not a JSON object",
    '{"expected": "x"}': "it has neither messages nor input",
    '{"input": 3, "expected": "x"}': "input: input should be a valid string",
    '{"input": "x"}': "it has no expected answer to learn from",
    '{"input": "x", "expected": " "}': "it has no expected answer to learn from",
    '{"messages": []}': "messages is not a list of messages",
    '{"messages": "hello"}': "messages is not a list of messages",
    json.dumps(chat(("user", "x"))): "the last message is not an answer of the assistant",
    json.dumps(chat(("user", "x"), ("assistant", " "))): (
        "the last message is not an answer of the assistant"
    ),
    json.dumps(chat(("system", "x"))): "the last message is not an answer of the assistant",
    json.dumps(chat(("assistant", "x"))): "there is no message of the user before the answer",
    json.dumps(chat(("user", ""), ("assistant", "x"))): "a message of the user is empty",
    json.dumps(chat(("user", "x"), ("system", "y"), ("user", "z"), ("assistant", "a"))): (
        "a system message stands after the first one"
    ),
    json.dumps(chat(("tool", "x"), ("assistant", "y"))): (
        "role: input should be 'system', 'user' or 'assistant'"
    ),
    json.dumps(task(1, consent=False)): "consent is false: whom it concerns did not allow this",
    json.dumps(task(1, consent="yes")): "consent: input should be a valid boolean",
    json.dumps(chat(("user", "x"), ("assistant", "y"), consent="yes")): (
        "consent: 'yes' is neither true nor false"
    ),
    json.dumps(chat(("user", "x"), ("assistant", "y"), consent=0)): (
        "consent: 0 is neither true nor false"
    ),
    json.dumps(chat(("user", "x"), ("assistant", "y"), consent=1.0)): (
        "consent: 1.0 is neither true nor false"
    ),
    json.dumps(chat(("user", "x"), ("assistant", "y"), license=3)): "license: 3 is not a text",
    '{"input": "x", "input": "y", "expected": "z"}': "it names 'input' more than once",
    '{"input": "x", "expected": {"a": "b", "a": "c"}}': "it names 'a' more than once",
    "[" * 100_000: "nested too deeply",
}


@pytest.mark.parametrize("line", BROKEN, ids=lambda line: line[:40])
def test_a_line_that_cannot_be_used_is_named_with_its_number(read, line):
    data = read([*GOOD[:5], line, *GOOD[5:]])
    assert reasons(data) == [(6, BROKEN[line])]
    assert len(data.train.rows) == 12


def test_every_broken_line_is_listed(read):
    data = read(["x", *GOOD, "y", "z"])
    assert [line for line, _ in reasons(data)] == [1, 14, 15]
    with pytest.raises(SuiteError, match=r"line 1: not JSON.* \(and 2 more\)") as caught:
        data.require_usable()
    assert "nothing was sent" in caught.value.hint


def test_usable_data_pass(read):
    read(GOOD).require_usable()


def test_a_placeholder_that_a_task_lacks_is_named(read):
    config = CONFIG.model_copy(update={"prompt": "{{city}}: {{input}}"})
    data = read([task(n, city="Rome") for n in range(11)] + [task(11)], config=config)
    ((line, reason),) = reasons(data)
    assert line == 12
    assert "{{city}}" in reason


def test_too_few_rows_are_counted_without_the_broken_ones(read):
    data = read([*GOOD[:9], "broken"])
    assert (0, "train.jsonl has 9 usable rows, a training needs at least 10") in reasons(data)


def test_rows_that_repeat_each_other_are_not_enough(read):
    data = read([GOOD[0]] * 12)
    reason = "train.jsonl has 1 different usable rows, a training needs at least 10"
    assert reasons(data) == [(0, reason)]


def test_a_validation_file_without_rows_is_refused(read):
    assert reasons(read(GOOD, [])) == [(0, "val.jsonl has no usable row")]


def test_a_fine_tuner_may_want_more_rows(read):
    data = read(GOOD, capabilities=TrainingCapabilities(min_examples=20))
    assert reasons(data) == [(0, "train.jsonl has 12 usable rows, a training needs at least 20")]


def test_rows_longer_than_the_window_are_counted_and_named(read):
    rows = [*GOOD, task(77, input="word " * 50)]
    data = read(rows, capabilities=TrainingCapabilities(context_tokens=50))
    assert reasons(data) == [(13, "it has 51 tokens, m trains on at most 50")]


def test_silence_about_consent_needs_a_reason(read):
    data = read([task(0, consent=True), *GOOD[1:]], consent="")
    ((line, reason),) = reasons(data)
    assert line == 0
    assert "11 rows say nothing of consent (lines 2, 3, 4, 5, 6, ...)" in reason


def test_contradictory_answers_are_named_with_both_lines(read):
    again = {**GOOD[3], "expected": "pink"}
    data = read([*GOOD, again], [{**GOOD[4], "expected": "x" * 60}])
    assert reasons(data) == [
        (13, "it contradicts line 4: the same question, answered 'pink' and 'red'"),
        (
            1,
            "it contradicts line 5 of train.jsonl: the same question, answered "
            f"'{'x' * 37}...' and 'green'",
        ),
    ]


def test_text_that_is_not_utf_8_is_named_with_its_line(tmp_path):
    path = tmp_path / "rows.jsonl"
    path.write_bytes(
        b"".join(json.dumps(row).encode() + b"\n" for row in GOOD) + b'{"input": "\xe9"'
    )
    with pytest.raises(
        SuiteError, match=r"rows\.jsonl, line 13: cannot be read as UTF-8"
    ) as caught:
        read_training_data(path, None, terms())
    assert "save" in caught.value.hint


def test_two_files_of_one_name_are_told_apart(tmp_path):
    paths = [tmp_path / folder / "rows.jsonl" for folder in ("train", "val")]
    for path, found in zip(paths, (GOOD, [{**GOOD[4], "expected": "pink"}]), strict=True):
        path.parent.mkdir()
        path.write_text("".join(json.dumps(row) + "\n" for row in found), encoding="utf-8")
    (problem,) = read_training_data(*paths, terms()).problems
    assert problem.file == str(paths[1])
    assert f"it contradicts line 5 of {paths[0]}:" in problem.reason


def test_a_repeated_row_is_only_noted(read):
    data = read([*GOOD, GOOD[0]])
    assert reasons(data) == []
    assert data.notes == ("1 rows of train.jsonl repeat an earlier one",)


def test_what_is_trained_on_does_not_validate(read):
    data = read(GOOD, [task(90), GOOD[7]])
    assert reasons(data) == [(2, "it stands in train.jsonl, line 8, too")]


def test_unknown_columns_of_chats_are_noted(read):
    rows = [
        chat(("system", "Name it."), ("user", f"u{n}"), ("assistant", "a"), tools=[], weight=1)
        for n in range(10)
    ]
    assert read(rows).notes == ("columns of train.jsonl that are not used: tools, weight",)


def test_conversations_under_another_instruction_are_noted(read):
    rows = [*GOOD, chat(("system", "Count."), ("user", "u"), ("assistant", "a"))]
    rows.append(chat(("system", " Name it.\n"), ("user", "v"), ("assistant", "a")))
    expected = "1 rows of train.jsonl have another instruction than the champion has"
    assert read(rows).notes == (expected,)
    own = CONFIG.model_copy(update={"system": "{{system}}"})
    assert read(rows, config=own).notes == ()


def test_columns_of_tasks_that_no_prompt_asks_for_are_noted(read):
    config = CONFIG.model_copy(update={"prompt": "{{city}}: {{input}}"})
    rows = [task(n, city="Rome", Consent=False, lineage={}) for n in range(10)]
    assert read(rows, config=config).notes == ("columns of train.jsonl that are not used: Consent",)


def test_a_file_that_is_not_there_is_an_error(tmp_path):
    with pytest.raises(SuiteError, match="cannot be read"):
        read_training_data(tmp_path / "none.jsonl", None, terms())


# The tasks that are kept for proof


@pytest.mark.parametrize("as_chat", [False, True], ids=["task", "chat"])
@pytest.mark.parametrize("part", [0, 1], ids=["train", "validation"])
def test_confirm_tasks_must_not_be_trained_on(read, as_chat, part):
    text = "Paint door number 3 in RED please"
    row = (
        chat(("system", "Hello."), ("user", text), ("assistant", "red"))
        if as_chat
        else task(3, input=text)
    )
    files = [[*GOOD[:3], *GOOD[4:]], [task(40)]]
    files[part] = [*files[part], row]
    unseen = [
        Task(id="kept-3", split="confirm", input="paint door number 3 in red please"),
        Task(id="b", input="x y"),
    ]
    data = read(*files, unseen=unseen)
    ((line, reason),) = reasons(data)
    assert line == len(files[part])
    assert "confirm task 'kept-3'" in reason


def test_the_prompt_around_a_task_hides_no_leak(read):
    config = CONFIG.model_copy(update={"prompt": "A long preamble of many more words. {{input}}"})
    unseen = [Task(id="kept", split="confirm", input=GOOD[2]["input"])]
    assert [line for line, _ in reasons(read(GOOD, config=config, unseen=unseen))] == [3]


# Laws

TEXTS = st.text(min_size=1, max_size=20)


@settings(
    max_examples=50, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None
)
@given(lines=st.lists(TEXTS | st.sampled_from([json.dumps(row) for row in GOOD]), max_size=15))
def test_whatever_the_lines_are_each_is_used_or_named_or_blank(tmp_path: Path, lines):
    lines = [line.replace("\n", " ").replace("\r", " ") for line in lines]
    path = tmp_path / "any.jsonl"
    path.write_text("\n".join(lines), encoding="utf-8", errors="surrogatepass", newline="")
    try:
        data = read_training_data(path, None, terms())
    except SuiteError:
        with pytest.raises(UnicodeDecodeError):
            path.read_text(encoding="utf-8")
        return
    used = {row.line for row in data.train.rows}
    named = {problem.line for problem in data.train.problems}
    blank = {number for number, line in enumerate(lines, 1) if not line.strip()}
    assert used | named | blank == set(range(1, len(lines) + 1)) | blank
    assert not used & named


# Preferences


def pair(number, **changes):
    return {
        "prompt": f"which colour has door number {number} please",
        "chosen": "red",
        "rejected": "blue",
        **changes,
    }


PAIRS = [pair(number) for number in range(12)]


def test_preferences_are_taken_as_they_are(read):
    turns = [{"role": "system", "content": "S"}, {"role": "user", "content": "u"}]
    turns += [{"role": "assistant", "content": "a"}, {"role": "user", "content": "v"}]
    data = read([*PAIRS, pair(12, prompt=turns)], preferences=True)
    assert reasons(data) == []
    first, last = data.train.examples[0], data.train.examples[-1]
    assert (first.answer, first.rejected, first.system) == ("red", "blue", "")
    assert first.messages[0].content == PAIRS[0]["prompt"]
    assert last.system == "S"
    assert [m.content for m in last.messages] == ["u", "a", "v"]


def test_a_task_with_two_answers_is_asked_as_the_configuration_asks_it(read):
    rows = [{**task(n), "chosen": "red", "rejected": "{}"} for n in range(10)]
    example = read(rows, preferences=True).train.examples[1]
    assert example.messages[-1].content == "Text: paint door number 1 in green please"
    assert (example.system, example.answer, example.rejected) == ("Name it.", "red", "{}")


def test_what_two_answers_are_for_the_prompt_cannot_say(read):
    config = CONFIG.model_copy(update={"prompt": "{{input}} {{chosen}}"})
    rows = [{**task(n), "chosen": "red", "rejected": "blue"} for n in range(10)]
    found = reasons(read(rows, preferences=True, config=config))
    assert "chosen" in found[0][1]


@pytest.mark.parametrize(
    ("row", "reason"),
    [
        ({"prompt": "hello"}, "chosen is not a text"),
        (pair(1, rejected=""), "rejected is not a text"),
        (pair(1, chosen=["red"]), "chosen is not a text"),
        (pair(1, rejected="red"), "the same"),
        (pair(1, prompt=7), "prompt is neither"),
        (pair(1, prompt=""), "a message of the user is empty"),
        (pair(1, prompt=[]), "no message of the user"),
        (pair(1, prompt=[{"role": "assistant", "content": "x"}]), "no message of the user"),
        (pair(1, prompt=[{"role": "chief", "content": "x"}]), "role"),
        (pair(1, consent=False), "consent is false"),
        (task(1), "chosen is not a text"),
        ({"chosen": "a", "rejected": "b"}, "neither prompt nor input"),
        ({**chat(("user", "u")), "chosen": "a", "rejected": "b"}, "neither prompt nor input"),
    ],
)
def test_a_preference_that_cannot_be_used_is_named_with_its_line(read, row, reason):
    ((line, said),) = reasons(read([*PAIRS, row], preferences=True))
    assert line == 13
    assert reason in said


@pytest.mark.parametrize("row", [PAIRS[0], {"input": "x", "chosen": "a", "rejected": "b"}])
def test_a_preference_is_no_example_for_other_methods(read, row):
    ((line, said),) = reasons(read([*GOOD, row]))
    assert line == 13
    assert "method dpo" in said


def test_opposite_preferences_contradict_each_other_and_other_pairs_do_not(read):
    rows = [*PAIRS, pair(3, rejected="green"), pair(3, chosen="green"), pair(4, **_turned)]
    ((line, said),) = reasons(read(rows, preferences=True))
    assert line == 15
    assert "it contradicts line 5: the same question, answered 'blue' and 'red'" in said


_turned = {"chosen": "blue", "rejected": "red"}


def test_a_pair_that_validates_is_not_trained_on(read):
    data = read(PAIRS, [pair(3), pair(99)], preferences=True)
    assert reasons(data) == [(1, "it stands in train.jsonl, line 4, too")]


@pytest.mark.parametrize("where", ["prompt", "chosen", "rejected", "input"])
def test_no_part_of_a_preference_may_give_away_a_confirm_task(read, where):
    secret = "paint the seventh boat in the old harbour green today"
    row = {**task(1), "chosen": "a", "rejected": "b"} if where == "input" else pair(1)
    data = read(
        [*PAIRS, {**row, where: secret}],
        preferences=True,
        unseen=(Task(id="c", split="confirm", input=secret),),
    )
    assert [line for line, said in reasons(data) if "confirm task 'c'" in said] == [13]


def test_the_worse_answer_counts_in_the_hash_and_its_absence_does_not(read):
    plain, pairs = read(GOOD), read(PAIRS, preferences=True)
    other = read([*PAIRS[:-1], pair(11, rejected="pink")], preferences=True)
    assert pairs.hash != other.hash
    dumped = [e.model_dump(mode="json", exclude={"rejected"}) for e in plain.train.examples]
    assert plain.hash == digest([dumped, []])
