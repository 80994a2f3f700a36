"""A second try is asked where a form can be checked, and its success is SR's autocorrection."""

import asyncio

import pytest

from penin_core import Candidate, Completion, Configuration, ProviderUnavailable, Suite, Task
from penin_core.battery import TaskBattery
from penin_core.builtin.evaluators import Agreement, ExactMatch, FieldF1, JsonSchema, Regex
from penin_core.correcting import autocorrection, demanded, well_formed
from penin_core.settings import SuiteDefinition

CANDIDATE = Candidate(config=Configuration(provider="p", model="m", max_tokens=10))
DIGITS = Regex(Regex.Options(pattern="[0-9]+"))
EVALUATORS = (ExactMatch(), FieldF1(), DIGITS, Agreement())


def said(text, tokens_out=3):
    return Completion(text=text, model="m", tokens_in=1, tokens_out=tokens_out)


def task(n, expected="7", split="select", **more):
    return Task(id=f"t{n}", input=f"q{n}", expected=expected, split=split, **more)


class Model:
    """Answers by what was asked first; ``again`` are the answers to a second try."""

    def __init__(self, first, again=None):
        self.first, self.again, self.retries = first, again or {}, []

    async def answer(self, requests):
        return [self._answer(request) for request in requests]

    def _answer(self, request):
        question = request.messages[0].content
        if len(request.messages) == 1:
            return said(self.first[question])
        self.retries.append(request)
        found = self.again.get(question, "still wrong")
        return said(found) if isinstance(found, str) else found


def measure(model, tasks, evaluators=EVALUATORS, **more):
    suite = Suite(SuiteDefinition(**more), tuple(tasks))
    battery = TaskBattery(model, suite, evaluators, seed=0)
    return asyncio.run(battery.measure(CANDIDATE, tasks, deep=tasks))


def test_only_answers_of_the_wrong_form_are_asked_again_with_what_is_wrong():
    model = Model({"q0": "7", "q1": "seven", "q2": "8"}, {"q1": "7"})
    measured = measure(model, [task(n) for n in range(3)])
    (retry,) = model.retries
    assert [m.role for m in retry.messages] == ["user", "assistant", "user"]
    assert [m.content for m in retry.messages[:2]] == ["q1", "seven"]
    assert "all of it must match the regular expression [0-9]+" in retry.messages[2].content
    # The wrong number has the right form: nothing could tell the model that it is wrong.
    assert [row.well_formed for row in measured.rows] == [True, False, True]
    found = measured.raw["S"]
    assert (found["malformed"], found["mended"], found["autocorrection"]) == (1.0, 1.0, 1.0)


def test_a_second_try_that_fails_again_is_not_mended():
    model = Model({"q0": "", "q1": "no"}, {"q1": "12"})
    found = measure(model, [task(0), task(1)]).raw["S"]
    assert (found["malformed"], found["mended"]) == (2.0, 1.0)
    assert found["autocorrection"] == pytest.approx(2 / 3)
    assert model.retries[0].messages[1].content == "(no answer)"


def test_a_second_call_that_fails_says_nothing():
    model = Model({"q0": "no", "q1": "7"}, {"q0": ProviderUnavailable("gone")})
    found = measure(model, [task(0), task(1)]).raw["S"]
    assert (found["malformed"], found["autocorrection"]) == (0.0, 1.0)
    alone = Model({"q0": "no"}, {"q0": ProviderUnavailable("gone")})
    assert "autocorrection" not in measure(alone, [task(0)]).raw["S"]


def test_special_splits_are_not_asked_again():
    model = Model({"q0": "no", "q1": "no", "q2": "no"}, {"q0": "7"})
    special = [task(1, split="composed"), task(2, split="ood")]
    assert measure(model, [task(0), *special]).raw["S"]["autocorrection"] == 1.0
    assert len(model.retries) == 1


def test_an_object_is_demanded_where_one_is_expected_and_nothing_elsewhere():
    evaluators = (ExactMatch(), FieldF1(), Agreement())
    model = Model({"q0": "a: 1", "q1": "plain"}, {"q0": '{"a": 2}'})
    measured = measure(model, [task(0, expected={"a": "1"}), task(1)], evaluators)
    assert [row.well_formed for row in measured.rows] == [False, None]
    assert measured.raw["S"]["autocorrection"] == 1.0
    assert "must be a single JSON object" in model.retries[0].messages[2].content
    assert "autocorrection" not in measure(model, [task(1)], evaluators).raw["S"]


def test_every_demand_counts_and_every_complaint_is_made():
    schema = JsonSchema(JsonSchema.Options(rule={"required": ["b"]}))
    asked = task(0, expected={"a": "1"})
    forms = {"x": False, '{"a": 1}': False, '{"b": 1}': True, '{"b"': False}
    for text, formed in forms.items():
        assert well_formed(asked, said(text), [schema]) is formed
    model = Model({"q0": "x"})
    measure(model, [asked], (FieldF1(), schema, Agreement()))
    told = model.retries[0].messages[2].content
    assert "single JSON object" in told
    assert '{"required": ["b"]}' in told
    assert demanded(asked, [])
    assert demanded(task(0), [DIGITS])
    assert not demanded(task(0), [ExactMatch()])


def test_a_stated_confidence_is_no_part_of_the_form():
    model = Model(
        {f"q0{ASKED}": "7\nConfidence: 90%", f"q1{ASKED}": "no\nConfidence: 20%"},
        {f"q1{ASKED}": "8\nConfidence: 60%"},
    )
    found = measure(model, [task(0), task(1)], calibration="stated").raw["S"]
    assert (found["malformed"], found["mended"]) == (1.0, 1.0)


ASKED = (
    "\n\nAfter your answer, write one more line that says how likely the answer is right, "
    "from 0% to 100%:\nConfidence: N%"
)


def test_nothing_is_asked_again_in_a_race_or_where_stability_is_not_measured():
    model, asked = Model({"q0": "no"}), [task(0)]
    battery = TaskBattery(model, Suite(SuiteDefinition(), tuple(asked)), [DIGITS], seed=0)
    for options in ({}, {"deep": asked, "axes": ("U", "C")}):
        measured = asyncio.run(battery.measure(CANDIDATE, asked, **options))
        assert measured.raw["S"] == {}
    assert model.retries == []
    assert measured.rows[0].well_formed is False


def test_tokens_beyond_the_limit_are_recorded_where_a_model_takes_none():
    class Wordy(Model):
        async def answer(self, requests):
            return [said("7", tokens_out=40) for _ in requests]

    assert measure(Wordy({}), [task(0)]).raw["S"]["excess"] == pytest.approx(0.75)
    assert "excess" not in measure(Model({"q0": "7"}), [task(0)]).raw["S"]


@pytest.mark.parametrize(
    ("mended", "expected"),
    [([], None), ([None], 1.0), ([None, False], 0.5), ([True, False], 2 / 3), ([False] * 3, 0.25)],
)
def test_autocorrection_counts_what_failed_and_what_was_mended(mended, expected):
    assert autocorrection(mended).get("autocorrection") == expected
