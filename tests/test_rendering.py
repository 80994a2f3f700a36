"""A prompt is filled in once, by plain substitution, and a request means the same bytes always."""

import itertools
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from penin_core import Configuration, Example, Message, SuiteError, Task
from penin_core.rendering import as_text, draw_seed, render, substitute

#: What substitution, %-formatting, string.Template, Jinja and re.sub would react to.
ours = ("{{input}}", "{{ other }}", "{{", "}}")
theirs = ("{0}", "{x!r}", "%s", "%(input)s", "$x", "${input}", "{% for x in y %}", "{# c #}")
nasty = st.lists(
    st.sampled_from([*ours, *theirs, "{{ 7*7 }}", r"\1", r"\g<0>", "{", "}", "a", " ", "é"]),
    max_size=8,
).map("".join)


def config(**changes):
    return Configuration(**{"provider": "p", "model": "m", **changes})


def task(**changes):
    return Task(**{"id": "a", "input": "the input", **changes})


def last(request):
    return request.messages[-1].content


@given(nasty, nasty)
def test_values_are_inserted_as_they_are_and_never_read_again(first, second):
    values = {"input": first, "other": second}
    assert substitute("<{{input}}|{{other}}|{{ input }}>", values) == f"<{first}|{second}|{first}>"


@given(nasty, nasty)
def test_a_rendered_task_holds_input_and_system_untouched(text, instruction):
    request = render(config(), task(input=text, system=instruction), 0)
    assert last(request) == text
    assert request.system == instruction.strip()


@given(st.text("{}%$ab ", max_size=20))
def test_a_template_without_placeholders_is_left_alone(text):
    if not re.search(r"\{\{\s*[ab]\w*\s*\}\}", text):
        assert substitute(text, {}) == text


@pytest.mark.parametrize("template", ["{{missing}}", "{{ missing }}", "x {{\tmissing\n}} y"])
def test_a_placeholder_without_a_value_is_an_error_that_says_what_there_is(template):
    with pytest.raises(SuiteError, match=r"the prompt uses \{\{missing\}\}") as caught:
        substitute(template, {"input": "", "city": ""})
    assert "city, input" in caught.value.hint


@pytest.mark.parametrize("template", ["{{1}}", "{{a-b}}", "{{}}", "{{a b}}", "{ {input} }"])
def test_what_is_no_name_in_braces_is_plain_text(template):
    assert substitute(template, {"input": "x"}) == template


def test_columns_of_a_task_can_stand_in_system_and_prompt():
    fields = {"city": "Oslo", "guests": 3, "when": {"day": "mån"}}
    asked = config(system="In {{city}}", prompt="{{guests}} {{when}}: {{input}}")
    request = render(asked, task(fields=fields), 0)
    assert request.system == "In Oslo"
    assert last(request) == '3 {"day": "mån"}: the input'


def test_a_column_cannot_pass_for_the_input():
    assert last(render(config(), task(fields={"input": "forged", "system": "forged"}), 0)) == (
        "the input"
    )


@pytest.mark.parametrize(
    ("value", "text"), [("x", "x"), (1, "1"), (None, "null"), (True, "true"), ([1], "[1]")]
)
def test_a_value_that_is_no_text_stands_there_as_json(value, text):
    assert as_text(value) == text


def test_examples_come_before_earlier_turns_and_those_before_the_question():
    own, added = Example(input="i1", output="o1"), Example(input="i2", output="o2 {{input}}")
    turns = (Message(role="user", content="u"), Message(role="assistant", content="a {{input}}"))
    asked = render(
        config(prompt="Q: {{input}}", examples=(own,)), task(examples=(added,), messages=turns), 0
    )
    assert [(m.role, m.content) for m in asked.messages] == [
        ("user", "Q: i1"),
        ("assistant", "o1"),
        ("user", "Q: i2"),
        ("assistant", "o2 {{input}}"),
        ("user", "u"),
        ("assistant", "a {{input}}"),
        ("user", "Q: the input"),
    ]


def test_an_example_is_shown_with_its_own_columns():
    prompt, fields = "{{about}} {{system}} {{city}}: {{input}}", {"about": ["x"], "input": "forged"}
    whole = Example(input="i1", output="o1", fields={**fields, "system": "forged", "city": "Rome"})
    lacking = Example(input="i2", output="o2")
    asked = task(system="S", examples=(lacking,), fields={"about": "y", "city": "Oslo"})
    request = render(config(prompt=prompt, examples=(whole,)), asked, 0)
    assert [turn.content for turn in request.messages if turn.role == "user"] == [
        '["x"] S Rome: i1',
        "y S Oslo: i2",
        "y S Oslo: the input",
    ]


@pytest.mark.parametrize(
    ("of_example", "of_task", "shown"),
    [
        ((), (), True),
        ((), ("x",), True),
        (("x",), ("x", "y"), True),
        (("x",), ("y",), False),
        (("x",), (), False),
    ],
)
def test_an_example_with_tags_is_shown_only_to_tasks_that_share_one(of_example, of_task, shown):
    example = Example(input="i", output="o", tags=of_example)
    request = render(config(examples=(example,)), task(tags=of_task), 0)
    assert len(request.messages) == (3 if shown else 1)


def test_everything_that_the_configuration_says_is_in_the_request():
    said = {"temperature": 0.3, "top_p": 0.7, "max_tokens": 9, "adapter": "l", "extra": {"a": 1}}
    request = render(config(**said), task(sample=4), 0)
    assert {name: getattr(request, name) for name in said} == said
    assert (request.provider, request.model, request.sample) == ("p", "m", 4)
    assert request.logprobs


def test_the_same_question_is_the_same_request_and_key():
    first, second = (render(config(), task(), 7) for _ in range(2))
    assert first == second
    assert first.key == second.key


def test_seeds_differ_by_cycle_sample_task_input_and_candidate():
    variants = {
        "itself": (config(), task(), 0),
        "cycle": (config(), task(), 1),
        "sample": (config(), task(sample=1), 0),
        "task": (config(), task(id="b"), 0),
        "input": (config(), task(input="other"), 0),
        "candidate": (config(temperature=0.5), task(), 0),
    }
    requests = [render(*variant) for variant in variants.values()]
    assert len({request.seed for request in requests}) == len(variants)
    assert len({request.key for request in requests}) == len(variants)


def test_bookkeeping_columns_do_not_change_what_is_asked():
    plain, marked = task(), task(group="g", consent=True, license="l", metric="m", expected="x")
    assert render(config(), plain, 0).key == render(config(), marked, 0).key


@given(st.lists(st.text(max_size=3) | st.integers(0, 9), min_size=1, max_size=3))
def test_a_seed_has_31_bits_and_is_the_same_again(purpose):
    seed = draw_seed(*purpose)
    assert 0 <= seed < 2**31
    assert draw_seed(*purpose) == seed


def test_the_borders_between_the_parts_of_a_purpose_count():
    parts = ["a", "b", "ab", ""]
    seeds = {draw_seed(x, y) for x, y in itertools.product(parts, repeat=2)}
    assert len(seeds) == 16
