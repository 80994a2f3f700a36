"""The grammar that the training data come from, and the held-out texts that it must not write."""

import json
import sys
from pathlib import Path
from random import Random

import pytest

from penin_tiny.tokenizer import Tokenizer

sys.path.append(str(Path(__file__).parents[1]))  # The folder training is not in the wheel.

from training import heldout, styles, suite, transfer, vocabulary
from training.encoding import AFTER, FIRST, TASK_WEIGHTS, Encoder
from training.grammar import booking_values, tasks
from training.grammar.chance import expand, phrases
from training.grammar.documents import Document
from training.grammar.samples import Sample, sample, samples
from training.grammar.tasks import TASKS, Ask, answer

MANY = [*samples("test", 1000)]


def by_form(*forms: str) -> list[Sample]:
    return [drawn for drawn in MANY if drawn.form in forms]


def test_a_seed_decides_the_samples() -> None:
    assert [*samples(3, 50)] == [*samples(3, 50)]
    assert [*samples(3, 50)] != [*samples(4, 50)]


def test_every_task_level_and_form_is_written() -> None:
    assert {drawn.task for drawn in MANY} == set(TASKS)
    assert {drawn.level for drawn in MANY} == {"clear", "partial", "vague"}
    assert {drawn.form for drawn in MANY} >= {"json", "line", "plain", "sentence", "capital"}


@pytest.mark.parametrize("task", TASKS)
def test_what_is_given_is_not_drawn(task: str) -> None:
    drawn = sample(Random(1), task, "clear", 2)
    assert (drawn.task, drawn.level, len(drawn.pairs)) == (task, "clear", 3)


def test_every_value_of_an_object_stands_in_its_text() -> None:
    copied = [drawn for drawn in by_form("json", "single") if drawn.task in ("json", "booking")]
    assert len(copied) > 120
    for drawn in copied:
        for text, given in drawn.pairs:
            assert all(value in text for value in json.loads(given).values()), drawn.text


def test_every_value_that_is_asked_for_stands_in_its_text() -> None:
    asked = [drawn for drawn in by_form("plain") if drawn.task == "extract"]
    assert len(asked) > 20
    assert all(given in text for drawn in asked for text, given in drawn.pairs)


def test_no_answer_holds_a_line_break_because_it_would_end_there() -> None:
    assert not any("\n" in given for drawn in MANY for _, given in drawn.pairs)


def test_clear_instructions_for_an_object_name_the_format() -> None:
    clear = [drawn for drawn in by_form("json") if drawn.level == "clear"]
    assert all("json" in drawn.instruction.lower() for drawn in clear)


def test_vague_instructions_do_not_name_a_key_or_label() -> None:
    vague = {drawn.instruction.lower() for drawn in MANY if drawn.level == "vague"}
    assert not any(word in text for text in vague for word in ("json", "email", "positive"))


def test_the_forms_of_an_answer() -> None:
    document = Document("A 1", {"name": "A", "amount": "1"}, "A", "name", "A 1")
    ask = Ask("json", ("amount", "name"))
    assert answer(document, ask, "json") == '{"amount": "1", "name": "A"}'
    assert answer(document, ask, "single") == '{"amount": "1"}'
    assert answer(document, ask, "renamed") == '{"total": "1", "customer": "A"}'
    assert answer(document, ask, "line") == "amount: 1, name: A"
    assert answer(document, ask, "values") == "1, A"
    assert answer(document, ask, "sentence") == "The name is A."
    assert answer(document, ask, "plain") == "A"


def test_slots_that_do_not_occur_are_left_out() -> None:
    ask = Ask("booking", ("people", "time"))
    assert answer(Document("no"), ask, "json") == "{}"
    assert answer(Document("no"), ask, "values") == "none"


def test_rules_are_expanded_to_the_end() -> None:
    rules = {"a": ("<b> <c>",), "b": ("x",)}
    assert expand(Random(0), "<a>!", rules, {"c": "y"}) == "x y!"
    assert not any("<" in drawn.instruction for drawn in MANY)


def test_phrases_are_told_apart_by_bars() -> None:
    assert phrases("one\n   two | three |") == ("one two", "three", "")


@pytest.mark.parametrize(
    ("number", "written"),
    [(1, "1st"), (2, "2nd"), (3, "3rd"), (11, "11th"), (13, "13th"), (22, "22nd")],
)
def test_ordinals(number: int, written: str) -> None:
    assert booking_values.ordinal(number) == written


# What is held out


def test_no_heldout_wording_is_ever_written() -> None:
    heldouts = {w.lower().strip(" .") for group in heldout.WORDINGS.values() for w in group}
    written = {drawn.instruction.lower().strip(" .") for drawn in MANY}
    assert not heldouts & written
    assert sum(map(len, heldout.WORDINGS.values())) == len(heldouts)


@pytest.mark.parametrize("task", TASKS)
def test_no_wording_is_a_line_of_the_rules(task: str) -> None:
    from training.grammar.wording_rules import RULES

    rules = {line.lower().strip(" .") for lines in RULES.values() for line in lines}
    assert not rules & {wording.lower().strip(" .") for wording in heldout.WORDINGS[task]}


def test_no_unseen_clause_is_a_clause_of_the_grammar() -> None:
    from training.grammar.booking_words import SLOT_CLAUSES
    from training.grammar.note_words import CLAUSES, KEYS
    from training.grammar.record_words import CLAUSES as RECORDS

    for ours, theirs in (
        (heldout.NOTE, CLAUSES),
        (heldout.NOTE_KEYS, KEYS),
        (heldout.RECORD, RECORDS),
        (heldout.BOOKINGS, SLOT_CLAUSES),
    ):
        known = {clause for group in theirs.values() for clause in group}
        assert not known & {clause for group in ours.values() for clause in group}


@pytest.mark.parametrize("write", heldout.UNSEEN.values(), ids=heldout.UNSEEN)
def test_unseen_texts_hold_their_answers(write: object) -> None:
    for seed in range(30):
        text, expected = write(Random(seed))  # type: ignore[operator]
        if expected.startswith("{"):
            assert all(value in text for value in json.loads(expected).values())


@pytest.mark.parametrize("style", styles.STYLES)
def test_styles_hold_their_answers(style: str) -> None:
    task, write = styles.STYLES[style]
    assert task in suite.PROMPTS
    for seed in range(30):
        text, expected = write(Random(seed))
        assert all(value in text for value in json.loads(expected).values())


def test_the_cases_of_a_suite_follow_from_their_seed_and_number() -> None:
    assert suite.cases("a", 3) == {task: found[:3] for task, found in suite.cases("a", 5).items()}
    assert suite.cases("a", 3) != suite.cases("b", 3)
    assert set(suite.PROMPTS) == set(TASKS)


# Ids and weights


WORDS = (" the", " name", "JSON", " as")


def test_only_answers_are_learned_from() -> None:
    encoder = Encoder(WORDS)
    drawn = Sample("Name?", (("I am Bo", "Bo"), ("I am Al", "Al")), "extract", "clear", "plain")
    encoded = encoder.encode(drawn)
    learned = [i for i, weight in zip(encoded.ids, encoded.weights, strict=True) if weight]
    assert encoder.tokenizer.decode(learned) == "Bo\nAl\n"
    assert encoder.tokenizer.decode(encoded.ids[1:]) == drawn.text


def test_a_weight_never_depends_on_its_own_token() -> None:
    encoder = Encoder(WORDS)

    def weights(given: str) -> tuple[float, ...]:
        drawn = Sample("", (("", given),), "json", "clear", "json")
        return tuple(weight for weight in encoder.encode(drawn).weights if weight)

    base = TASK_WEIGHTS["json"]
    found = weights('{"a": "b", "c": "d"}')
    assert found[0] == base * FIRST
    assert found[1] == base * AFTER['{"']
    assert weights('{"a": "xyz"}')[:4] == weights('{"q": "r"}')[:4]
    assert (
        weights('{"ab": "c"}')[1]
        == weights(
            '{"',
        )[1]
    )


def test_words_that_are_spelled_still_read_the_same() -> None:
    encoder = Encoder(WORDS)
    drawn = Sample("Give the name as JSON", (("the name", "name"),), "json", "clear", "json")
    spelled = [encoder.encode(drawn, Random(seed)).ids for seed in range(200)]
    assert len({len(ids) for ids in spelled}) > 2
    assert {encoder.tokenizer.decode(ids[1:]) for ids in spelled} == {drawn.text}


def test_the_word_list_holds_no_name_and_no_filler(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(vocabulary, "SAMPLES", 1500)
    found = vocabulary.build((" zebra",), limit=100)
    assert found[0] == " zebra"
    assert len(found) == len(set(found)) == 100
    assert not {" William", " Smith", " kettle"} & set(found)
    assert len(Tokenizer(found).encode(" name")) == 1


# Real messages


def test_slots_are_read_from_objects_only() -> None:
    assert transfer.slots('{"time": 7}') == {"time": "7"}
    assert transfer.slots("[1]") is None
    assert transfer.slots("{") is None


def test_the_f1_of_slots() -> None:
    truth = [{"time": "7", "people": "2"}, {}, {"date": "May 1st"}]
    assert transfer.score(['{"time": "7", "people": "3"}', "{}", "?"], truth) == (1 / 3, 2 / 5)
    assert transfer.score(["{}"], [{}]) == (1.0, 1.0)


def test_what_was_asked_for_leads_a_message() -> None:
    assert transfer.message({"input": "7", "requested": ["time", "time"]}) == "(asked: time) 7"
    assert transfer.message({"input": "7", "requested": []}) == "7"


def test_an_ask_for_a_label_lists_what_the_task_knows() -> None:
    assert tasks.LABELS["sentiment"] == ("positive", "negative", "neutral")
    assert len(tasks.LABELS["intent"]) == 5
