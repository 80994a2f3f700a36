"""xAI trains nothing, and the plugin says so."""

import pytest

from penin_core import FineTuningUnavailable, Message, TrainingExample
from penin_grok.finetuner import GrokFineTuner


def test_the_answer_is_plain_and_names_a_way_out():
    with pytest.raises(FineTuningUnavailable, match="xAI offers no fine-tuning") as caught:
        GrokFineTuner().capabilities("grok-4.7")
    assert "penin-hf" in caught.value.hint


def test_nothing_is_reckoned_either():
    example = TrainingExample(messages=(Message(role="user", content="Hi"),), answer="Hello")
    with pytest.raises(FineTuningUnavailable):
        GrokFineTuner().tokens("grok-4.7", example)
