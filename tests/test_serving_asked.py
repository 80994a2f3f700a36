"""What a request came to, as an experiment hears of it."""

import pytest

from penin_core import Configuration
from penin_core.live.served import Assignment
from penin_core.serving.asked import Asked
from penin_core.serving.questions import Asking, Question
from penin_core.serving.refusals import Refusal

PLAIN = {"turns": [{"role": "user", "content": "hello"}]}
IMAGE = {"turns": [{"role": "user", "content": [{"type": "image_url", "image_url": {}}]}]}


def outcome(prompt="{{input}}", **asked):
    """Return what is recorded of a question that a challenger with ``prompt`` cannot be asked."""
    config = Configuration(provider="p", model="m", prompt=prompt)
    question = Question(id="r1", key="ann", **asked)
    assigned = Assignment("exp-1", "challenger", config)
    with pytest.raises(Refusal) as caught:
        Asking(config).request(question)
    assert caught.value.status == 400
    return Asked(question, assigned, None, config.provider).failed(caught.value)


@pytest.mark.parametrize(
    "unable",
    [{**PLAIN, "prompt": "{{plan}}: {{input}}"}, {**PLAIN, "options": {"tools": [{}]}}, IMAGE],
)
def test_who_cannot_be_asked_what_another_one_can_does_not_fail_unseen(unable):
    found = outcome(**unable)
    assert (found.arm, found.failed, found.refused) == ("challenger", True, True)


def test_what_nobody_could_answer_is_the_fault_of_who_asks():
    assert outcome(turns=[{"role": "system", "content": "x"}]) is None
