"""The contract of an evaluator, and what this one is for."""

import penin_brevity

from penin_core import Completion, Task
from penin_core.testing import EvaluatorConformance, PluginConformance

SKY = Task(id="sky", input="What colour is the sky?", expected="blue")
LONG = Completion(text="deepblue", model="any", tokens_in=5, tokens_out=1)


class TestPlugin(PluginConformance):
    plugin = penin_brevity


class TestBrevity(EvaluatorConformance):
    component = penin_brevity.Brevity


def test_an_answer_of_twice_the_length_scores_a_half():
    assert penin_brevity.Brevity().score(SKY, [LONG]) == 0.5


def test_a_tolerance_allows_longer_answers():
    options = penin_brevity.Brevity.Options(tolerance=2.0)
    assert penin_brevity.Brevity(options).score(SKY, [LONG]) == 1.0
