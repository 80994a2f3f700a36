"""Records are frozen, refuse what they do not know, and identify themselves by their content."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import BaseModel, ValidationError

from penin_core import (
    Candidate,
    Completion,
    Configuration,
    Confirmation,
    Example,
    GuardResult,
    Measurement,
    Message,
    Record,
    Request,
    RunRecord,
    Task,
    TaskRow,
)
from penin_core import records as module
from penin_core.canonical import digest

CONFIG = Configuration(provider="p", model="m")
REQUEST = Request(provider="p", model="m", messages=(Message(role="user", content="hi"),))
RECORDS = [
    kind
    for kind in vars(module).values()
    if isinstance(kind, type) and issubclass(kind, Record) and kind is not Record
]


@pytest.mark.parametrize("kind", RECORDS, ids=lambda kind: kind.__name__)
def test_every_record_is_frozen_and_refuses_unknown_fields_and_nan(kind):
    assert kind.model_config["frozen"]
    assert kind.model_config["extra"] == "forbid"
    assert kind.model_config["allow_inf_nan"] is False


def test_a_field_cannot_be_assigned():
    with pytest.raises(ValidationError, match="frozen"):
        CONFIG.model = "other"


@pytest.mark.parametrize(
    ("kind", "fields"),
    [
        (Task, {"id": "", "input": "x"}),
        (Task, {"id": "a", "input": "x", "expected": []}),
        (Task, {"id": "a", "input": "x", "consent": "yes"}),
        (Task, {"id": "a", "input": "x", "split": "train"}),
        (Configuration, {"provider": "p", "model": "m", "temperature": 2.1}),
        (Configuration, {"provider": "p", "model": "m", "top_p": 0.0}),
        (Configuration, {"provider": "p", "model": "m", "max_tokens": 0}),
        (Configuration, {"provider": "p", "model": "m", "temperature": math.nan}),
        (Request, {"provider": "p", "model": "m", "messages": ()}),
        (Measurement, {"U": 1.01}),
        (Measurement, {"S": math.nan}),
        (Measurement, {"groups": {"a": math.inf}}),
        (TaskRow, {"task": "a", "utility": -0.1}),
        (GuardResult, {"guard": "g", "ok": 1, "reason": ""}),
        (GuardResult, {"guard": "g", "ok": "true", "reason": ""}),
        (GuardResult, {"guard": "g", "ok": True, "reason": "", "measured": 1}),
        (Completion, {"text": "", "model": "m", "tokens_in": -1, "tokens_out": 0}),
    ],
)
def test_what_makes_no_sense_is_refused(kind, fields):
    with pytest.raises(ValidationError):
        kind(**fields)


def confirmation(**changes):
    fields = {"claim": "better", "t": 1, "alpha": 0.025, "n": 300, "log_e": 4.0, "proved": True}
    return Confirmation(**{**fields, **changes})


@pytest.mark.parametrize(
    "changes", [{"proved": 1}, {"proved": "yes"}, {"alpha": 0.0}, {"t": 0}, {"log_e": math.nan}]
)
def test_a_confirmation_says_yes_only_as_true(changes):
    assert confirmation().proved is True
    with pytest.raises(ValidationError):
        confirmation(**changes)


@pytest.mark.parametrize(
    "changes",
    [
        {"provider": "q"},
        {"model": "n"},
        {"messages": (Message(role="user", content="hi "),)},
        {"system": "s"},
        {"temperature": 0.5},
        {"top_p": 0.5},
        {"max_tokens": 5},
        {"seed": 0},
        {"logprobs": True},
        {"adapter": "a"},
        {"extra": {"stop": "x"}},
        {"sample": 1},
    ],
    ids=lambda changes: next(iter(changes)),
)
def test_every_field_of_a_request_is_part_of_its_key(changes):
    other = Request(**{**REQUEST.model_dump(), **changes})
    assert other.key != REQUEST.key
    assert Request(**other.model_dump()).key == other.key


@pytest.mark.parametrize("field", [f for f in Configuration.model_fields if f != "examples"])
def test_every_field_of_a_configuration_is_part_of_its_hash(field):
    other = {
        "temperature": 0.3,
        "top_p": 0.3,
        "max_tokens": 3,
        "extra": {"a": 1},
    }.get(field, "other")
    assert Configuration(**{**CONFIG.model_dump(), field: other}).hash != CONFIG.hash


def test_a_copy_has_the_hash_of_its_own_values():
    before = CONFIG.hash, REQUEST.key
    config, request = (r.model_copy(update={"provider": "q"}) for r in (CONFIG, REQUEST))
    assert config.hash == Configuration(provider="q", model="m").hash
    assert request.key == Request(**request.model_dump()).key
    assert {config.hash, request.key}.isdisjoint(before)
    assert (CONFIG.hash, REQUEST.key) == before


@pytest.mark.parametrize("value", [float("nan"), [float("inf")], {"a": 2**60}, "\ud800"])
def test_a_configuration_holds_nothing_that_no_hash_could_be_made_of(value):
    with pytest.raises(ValidationError, match="no canonical JSON"):
        Configuration(provider="p", model="m", extra={"x": value})


def test_columns_of_an_example_are_part_of_the_hash_and_their_absence_is_none():
    known = {"input": "1", "output": "2", "tags": []}
    plain = CONFIG.model_copy(update={"examples": (Example(input="1", output="2"),)})
    # What examples looked like before they had columns: such configurations are in ledgers.
    assert plain.model_dump(mode="json")["examples"] == [known]
    assert plain.hash == digest({**CONFIG.model_dump(mode="json"), "examples": [known]})
    own = Example(input="1", output="2", fields={"city": ["Oslo"]})
    with_own = CONFIG.model_copy(update={"examples": (own,)})
    assert with_own.hash != plain.hash
    assert Configuration.model_validate_json(with_own.model_dump_json()) == with_own
    assert len({own, own.model_copy(), Example(input="1", output="2")}) == 2


def test_examples_and_their_order_are_part_of_the_hash():
    one, two = Example(input="1", output="2"), Example(input="3", output="4")
    hashes = {
        Configuration(provider="p", model="m", examples=shown).hash
        for shown in [(), (one,), (one, two), (two, one)]
    }
    assert len(hashes) == 4


def test_bookkeeping_is_no_part_of_a_candidates_hash():
    first = Candidate(config=CONFIG, origin="a", note="x")
    assert first.hash == Candidate(config=CONFIG, parent="b", note="y").hash == CONFIG.hash


def test_a_child_differs_in_what_was_said_and_names_its_parent():
    parent = Candidate(config=Configuration(provider="p", model="m", extra={"a": 1}))
    child = parent.child("sweep", "hotter", temperature=1.5)
    assert child.config == parent.config.model_copy(update={"temperature": 1.5})
    assert (child.origin, child.note, child.parent) == ("sweep", "hotter", parent.hash)


def test_a_child_is_validated():
    with pytest.raises(ValidationError):
        Candidate(config=CONFIG).child("sweep", temperature=9.0)
    with pytest.raises(ValidationError):
        Candidate(config=CONFIG).child("sweep", temprature=1.0)


@given(st.lists(st.floats(-5, 0), min_size=1, max_size=6))
def test_the_confidence_of_an_answer_is_the_product_of_its_probabilities(logprobs):
    answer = Completion(text="", model="m", tokens_in=0, tokens_out=1, logprobs=tuple(logprobs))
    assert answer.confidence == pytest.approx(math.prod(math.exp(p) for p in logprobs))


def test_without_log_probabilities_there_is_no_confidence():
    assert Completion(text="", model="m", tokens_in=0, tokens_out=1).confidence is None


@pytest.mark.parametrize(
    ("S", "harm", "risk"), [(0.9, 0.0, 0.1), (0.9, 0.5, 0.55), (None, 0.0, None), (0.9, None, None)]
)
def test_the_risk_is_one_minus_stability_without_harm(S, harm, risk):
    assert Measurement(S=S, harm=harm).risk == (None if risk is None else pytest.approx(risk))


def test_a_run_record_has_exactly_the_columns_of_the_ledger():
    from penin_core.ledger.rows import BODY_COLUMNS

    assert set(RunRecord.model_fields) == {column.name for column in BODY_COLUMNS} | {"detail"}


@pytest.mark.parametrize("update", [None, {}, {"utility": 0.5}, {"text": "b", "model": "n"}])
def test_a_copy_is_the_one_that_pydantic_makes(update):
    made = Completion(text="a", model="m", tokens_in=1, tokens_out=2, logprobs=(-0.1,))
    copied, theirs = made.model_copy(update=update), BaseModel.model_copy(made, update=update)
    assert (copied, copied.model_fields_set) == (theirs, theirs.model_fields_set)
    assert copied.model_dump(exclude_unset=True) == theirs.model_dump(exclude_unset=True)
    assert made == Completion(text="a", model="m", tokens_in=1, tokens_out=2, logprobs=(-0.1,))
    assert made.model_fields_set == {"text", "model", "tokens_in", "tokens_out", "logprobs"}


def test_a_deep_copy_shares_nothing_and_takes_updates():
    made = REQUEST.model_copy(update={"extra": {"stop": ["a"]}})
    copied = made.model_copy(update={"seed": 7}, deep=True)
    copied.extra["stop"].append("b")
    assert (made.extra, copied.seed) == ({"stop": ["a"]}, 7)
