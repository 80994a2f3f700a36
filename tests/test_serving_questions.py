"""How live requests are asked: as the configuration asks its tasks, and no other way."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from penin_core import Configuration, Example, Message, Task
from penin_core.rendering import render
from penin_core.serving.questions import Asking, Question
from penin_core.serving.refusals import Refusal

EXAMPLES = (
    Example(input="a", output="b"),
    Example(input="c", output="d", tags=("t",)),
    Example(input="e", output="f", fields={"city": "Graz", "input": "forged"}),
)


def asked(*turns, **more):
    return Question(id="x", turns=[{"role": role, "content": text} for role, text in turns], **more)


@given(
    st.text(max_size=30),
    st.text(max_size=30),
    st.sampled_from(["{{system}}", "Fixed.", "A {{system}} B"]),
    st.sampled_from(
        ["{{input}}", "Q: {{input}}", "{{ input }}{{input}}", "{{system}} {{input}}", "{{city}}?"]
    ),
    st.booleans(),
    st.sampled_from([(), ("t",), ("u",), ("u", "t")]),
)
def test_a_request_is_asked_like_a_task(text, told, system, prompt, examples, tags):
    shown = EXAMPLES if examples else ()
    config = Configuration(
        provider="p", model="m", system=system, prompt=prompt, examples=shown, max_tokens=9
    )
    before = (Message(role="user", content="before"),)
    columns = {"city": "Oslo"}
    task = Task(id="t", input=text, system=told, messages=before, fields=columns, tags=tags)
    wanted = render(config, task, seed=0)
    said = {**columns, "tags": ", ".join(tags)} if tags else columns
    question = asked(("system", told), ("user", "before"), ("user", text), metadata=said)
    found = Asking(config).request(question)
    same = {"seed": None, "logprobs": False}
    assert found == wanted.model_copy(update=same)
    turns = [{"role": one.role, "content": one.content} for one in wanted.messages]
    assert Asking(config).turns(question) == turns
    assert Asking(config).system(question) == wanted.system


def test_what_a_user_writes_is_never_read_as_a_prompt():
    config = Configuration(provider="p", model="m", prompt="Q: {{input}}")
    turns = Asking(config).turns(asked(("user", "{{input}} {{secret}} {x.__init__} %s")))
    assert turns[-1]["content"] == "Q: {{input}} {{secret}} {x.__init__} %s"


def test_the_last_message_of_the_user_is_put_into_the_prompt_also_amid_tools():
    config = Configuration(provider="p", model="m", prompt="Q: {{input}}", system="S")
    question = asked(("user", "one"), ("assistant", "two"), ("user", "three"), ("tool", "four"))
    said = [turn["content"] for turn in Asking(config).turns(question)]
    assert said == ["one", "two", "Q: three", "four"]


def test_columns_come_from_metadata():
    config = Configuration(provider="p", model="m", prompt="{{input}} in {{city}}")
    found = Asking(config).turns(asked(("user", "rain"), metadata={"city": "Graz"}))
    assert found[-1]["content"] == "rain in Graz"
    with pytest.raises(Refusal) as caught:
        Asking(config).turns(asked(("user", "rain")))
    assert (caught.value.status, caught.value.code) == (400, "missing_column")


@pytest.mark.parametrize(("wanted", "given"), [(None, 50), (7, 7), (50, 50), (51, 50)])
def test_a_request_can_only_lower_the_limit(wanted, given):
    config = Configuration(provider="p", model="m", max_tokens=50)
    assert Asking(config).room(asked(("user", "x"), max_tokens=wanted)) == given
