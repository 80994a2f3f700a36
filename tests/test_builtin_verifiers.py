"""Labels, numbers, patterns and schemas: what counts as right, and what never does."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from penin_core import Completion, Task
from penin_core.builtin.evaluators import Choice, JsonSchema, Numeric, Regex
from penin_core.builtin.evaluators.choice import last_number
from penin_core.builtin.evaluators.schema import check_schema, conforms, equal


def said(text):
    return [Completion(text=text, model="m", tokens_in=1, tokens_out=1)]


def task(expected=None, **more):
    return Task(**{"id": "t", "input": "q", "expected": expected, **more})


def choice(*labels):
    made = Choice(Choice.Options(labels=labels))
    made.prepare([], {})
    return made


# Choice


@pytest.mark.parametrize(
    ("answer", "score"),
    [
        ("not spam", 1),
        ("Not Spam.", 1),
        ("**NOT SPAM**", 1),
        ("This message is not spam, I think.", 1),
        ("spam", 0),
        ("It is spam", 0),
        ("spam or not spam", 0),
        ("not spam; surely not spam", 1),
        ("spammy, not spamming", 0),
        ("", 0),
        ("unclear", 0),
    ],
)
def test_an_answer_is_right_if_it_names_the_label_and_no_other(answer, score):
    assert choice("spam", "not spam", "unsure").score(task("not spam"), said(answer)) == score


def test_neighbouring_labels_are_both_seen():
    assert choice("A", "B").score(task("A"), said("A B")) == 0
    assert choice("A", "B").score(task("B"), said("(B)")) == 1
    assert (
        choice("card_arrival", "card_linking").score(task("card_arrival"), said("Card arrival"))
        == 1
    )


def test_any_accepted_label_is_right():
    made = choice("a", "b", "c")
    assert made.score(task(["a", "b"]), said("B")) == 1
    assert made.score(task(["a", "b"]), said("c")) == 0


def test_labels_are_the_answers_that_repeat_among_tasks_of_a_kind():
    made = Choice()
    labelled = [task(("yes", "no")[n % 2], tags=("yn",)) for n in range(4)]
    free = [task(f"text {n}", tags=("free",)) for n in range(4)]
    made.prepare([*labelled, *free], {})
    assert made.applies(task("yes", tags=("yn",)))
    assert not made.applies(task("maybe", tags=("yn",)))
    assert not made.applies(task("text 1", tags=("free",)))
    assert not made.applies(task("yes"))
    assert not made.applies(task({"a": 1}, tags=("yn",)))
    assert not made.applies(task(None, tags=("yn",)))


@pytest.mark.parametrize("labels", [("C", "c."), ("C", "C#"), ("...",), ("",)])
def test_labels_that_cannot_be_told_apart_are_refused(labels):
    with pytest.raises(ValueError, match="without case and punctuation"):
        Choice.Options(labels=labels)


@given(st.lists(st.sampled_from(["a", "b", "b c", "x"]), max_size=6))
def test_a_choice_agrees_with_a_reading_word_by_word(words):
    seen, at = set(), 0
    text = " ".join(words).split()
    while at < len(text):
        pair = text[at : at + 2] == ["b", "c"]
        seen.add("b c" if pair else text[at])
        at += 2 if pair else 1
    right = seen & {"a", "b", "b c"} == {"b c"}
    assert choice("a", "b", "b c").score(task("b c"), said(" ".join(words))) == right


# Numbers


@pytest.mark.parametrize(
    ("text", "number"),
    [
        ("72", "72"),
        ("The answer is 72.", "72"),
        ("48 + 24 = 72", "72"),
        ("$1,234.50", "1234.50"),
        ("1,234,567 people", "1234567"),
        ("1'234'567", "1234567"),
        ("-5", "-5"),
        ("\u22125 degrees", "-5"),
        ("-$5", "-5"),
        ("it went 3-4", "4"),
        ("45kg", "45"),
        ("5%", "5"),
        (".5", "0.5"),
        ("1e3", "1000"),
        ("6.02E-3", "0.00602"),
        ("**18**", "18"),
        ("#### 18", "18"),
        ("(12)", "12"),
        ("x=4,", "4"),
    ],
)
def test_the_last_number_is_read(text, number):
    assert str(float(last_number(text))) == str(float(number))


@pytest.mark.parametrize(
    "text",
    [
        "",
        "none",
        "1,5",
        "3/4",
        "12:30",
        "1.2.3",
        "2024/01/01",
        "1,23,456",
        "1234,567",
        "H2O",
        "1e999",
    ],
)
def test_what_cannot_be_read_for_sure_is_no_number(text):
    assert last_number(text) is None


@pytest.mark.parametrize(
    ("expected", "answer", "score"),
    [
        ("4.5", "45", 0),
        ("4.5", "4.50", 1),
        ("45", "4.5", 0),
        ("1,000", "1000", 1),
        ("1000", "first 1,000 then 1,00", 0),
        ("72", "72 clips, or 73", 0),
        ("0.1", "0.1000000000000000055", 0),
        ("18", "9 * 2 = $18", 1),
        ("-3", "3", 0),
    ],
)
def test_numbers_are_compared_exactly(expected, answer, score):
    assert Numeric().score(task(expected), said(answer)) == score


def test_a_tolerance_is_the_larger_of_both():
    made = Numeric(Numeric.Options(absolute=0.5, relative=0.01))
    assert [made.score(task("10"), said(a)) for a in ("10.5", "10.6", "9.5")] == [1, 0, 1]
    assert [made.score(task("1000"), said(a)) for a in ("1010", "1011")] == [1, 0]


def test_a_number_is_expected_only_where_the_whole_text_is_one():
    texts = ["12", "$1,200", "12 apples", "twelve", "1/2", ""]
    assert [Numeric().applies(task(text)) for text in texts] == [True, True, *[False] * 4]
    assert Numeric().applies(task(["1", "2"]))
    assert not Numeric().applies(task(["1", "two"]))
    assert not Numeric().applies(task(None))


@given(
    st.decimals(
        allow_nan=False, allow_infinity=False, places=3, min_value=-(10**9), max_value=10**9
    )
)
def test_every_decimal_is_read_as_itself_with_and_without_separators(number):
    assert last_number(f"so {number:f}") == number
    assert last_number(f"so {number:,f}.") == number


# Patterns


def test_a_pattern_must_match_the_whole_answer():
    made = Regex(Regex.Options(pattern=r"\d{4}-\d\d"))
    assert made.applies(task())
    answers = ["2024-05", " 2024-05\n", "on 2024-05", "2024-055"]
    assert [made.score(task(), said(a)) for a in answers] == [1, 1, 0, 0]


def test_a_task_brings_its_own_pattern():
    own = task(fields={"pattern": "a+"})
    assert not Regex().applies(task())
    assert Regex().applies(own)
    assert Regex(Regex.Options(pattern="b")).score(own, said("aa")) == 1


def test_a_broken_pattern_is_refused():
    with pytest.raises(ValueError, match="no regular expression"):
        Regex.Options(pattern="(")


# Schemas

#: (schema, values that it allows, values that it does not), from the text of the specification.
SCHEMAS = [
    ({"type": "integer"}, [1, 1.0, -3], [1.5, "1", True, None]),
    ({"type": "number"}, [1, 1.5], [True, "1"]),
    ({"type": ["string", "null"]}, ["", None], [0, []]),
    ({"enum": [1, "a", None]}, [1, 1.0, "a", None], [True, "b"]),
    ({"const": {"a": [1]}}, [{"a": [1.0]}], [{"a": [True]}, {"a": [1], "b": 2}]),
    ({"minLength": 2, "maxLength": 3}, ["ab", "äöü", 7], ["a", "abcd"]),
    ({"pattern": "b"}, ["abc", 4], ["ac"]),
    ({"minimum": 2, "exclusiveMaximum": 3}, [2, 2.9, "x"], [1.9, 3]),
    ({"maximum": 2, "exclusiveMinimum": 1}, [2, 1.1], [1, 2.1]),
    ({"multipleOf": 0.1}, [0.3, 7, 1e300, "x"], [0.25]),
    (
        {"items": {"type": "string"}, "minItems": 1, "maxItems": 2},
        [["a"], "x"],
        [[], [1], ["a"] * 3],
    ),
    ({"uniqueItems": True}, [[1, True, "1"]], [[1, 1.0], [{"a": 1}, {"a": 1}]]),
    ({"required": ["a"]}, [{"a": None}, 3], [{}, {"b": 1}]),
    ({"properties": {"a": {"type": "string"}}}, [{}, {"a": "x", "b": 1}], [{"a": 1}]),
    (
        {"properties": {"a": True}, "additionalProperties": False},
        [{}, {"a": 1}],
        [{"b": 1}, {"a": 1, "b": 1}],
    ),
    ({"additionalProperties": {"type": "null"}}, [{"x": None}, []], [{"x": 1}]),
    ({"minProperties": 1, "maxProperties": 1}, [{"a": 1}], [{}, {"a": 1, "b": 1}]),
    ({"allOf": [{"minimum": 1}, {"maximum": 2}]}, [1, 2], [0, 3]),
    ({"anyOf": [{"type": "null"}, {"minimum": 5}]}, [None, 5, "x"], [4]),
    ({"oneOf": [{"minimum": 1}, {"minimum": 5}]}, [1, 4], [5, 0]),
    ({"not": {"type": "string"}}, [1], ["a"]),
    ({"properties": {"a": False}}, [{}], [{"a": 1}]),
    ({"title": "t", "description": "d"}, [None, 1], []),
]


@pytest.mark.parametrize(("rule", "good", "bad"), SCHEMAS, ids=lambda value: None)
def test_a_schema_allows_what_the_specification_says(rule, good, bad):
    check_schema(rule)
    made = JsonSchema(JsonSchema.Options(rule=rule))
    assert [made.score(task(), said(json.dumps(value))) for value in good] == [1] * len(good)
    assert [made.score(task(), said(json.dumps(value))) for value in bad] == [0] * len(bad)


@pytest.mark.parametrize(
    "answer", ["", "{", "Here: {}", "NaN", '{"a": Infinity}', '{"a": 1e999}', "{} {}", "[" * 9999]
)
def test_what_is_no_json_conforms_to_nothing(answer):
    assert (
        JsonSchema(JsonSchema.Options(rule={"title": "anything"})).score(task(), said(answer)) == 0
    )


@pytest.mark.parametrize(
    "rule",
    [
        {"format": "email"},
        {"$ref": "#/a"},
        {"type": "text"},
        {"type": 3},
        {"properties": {"a": {"minimun": 1}}},
        {"items": [{"type": "string"}]},
        {"anyOf": []},
        {"anyOf": {}},
        {"not": "x"},
        {"pattern": "("},
        {"minLength": -1},
        {"minLength": True},
        {"minimum": "1"},
        {"multipleOf": 0},
        {"required": "a"},
        {"enum": 1},
        {"uniqueItems": 1},
        {"properties": []},
    ],
)
def test_a_schema_that_is_not_checked_whole_is_refused(rule):
    with pytest.raises(ValueError, match="schema"):
        JsonSchema.Options(rule=rule)
    with pytest.raises(ValueError, match="schema"):
        JsonSchema().score(task(fields={"schema": rule}), said("1"))


def test_a_task_brings_its_own_schema():
    own = task(fields={"schema": {"type": "null"}})
    assert JsonSchema().applies(own)
    assert not JsonSchema().applies(task())
    assert JsonSchema().score(own, said("null")) == 1
    assert JsonSchema().score(own, said("1")) == 0
    with pytest.raises(ValueError, match="no schema"):
        JsonSchema().applies(task(fields={"schema": "null"}))


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=3),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=2), inner, max_size=3)
    ),
    max_leaves=6,
)


@given(JSON, JSON)
def test_equality_of_json_is_equality_of_its_canonical_text(first, second):
    def text(value):
        return json.dumps(value, sort_keys=True)

    assert equal(first, second) == (text(first) == text(second))
    assert conforms(first, {"const": first})
