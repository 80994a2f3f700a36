"""What verifiers see of live traffic, and what may be kept of it."""

import pytest

from penin_core import SettingsError
from penin_core.builtin.evaluators.harm import PersonalData, Secrets
from penin_core.builtin.evaluators.utility import ExactMatch
from penin_core.builtin.evaluators.verifiers import JsonSchema, Regex
from penin_core.league.canary import Outcome
from penin_core.live.content import conversation, kept, outcome_of, redaction, suited, task_of
from penin_core.live.served import PLAIN, Served

ASKED = ({"role": "system", "content": "Be kind."}, {"role": "user", "content": "Who?"})
KEY = "sk-abcdefghijklmnopqrstuv123456"


def served(text="hello", **fields):
    return Served("r1", "ann", PLAIN, text=text, **{"messages": ASKED, **fields})


def schema():
    return JsonSchema(JsonSchema.Options(rule={"type": "object", "required": ["a"]}))


def test_a_conversation_is_instructions_and_turns():
    system, turns = conversation(
        (
            {"role": "developer", "content": "Be brief."},
            *ASKED[:1],
            {"role": "user", "content": [{"type": "text", "text": "One"}]},
            {"role": "assistant", "content": "two"},
            {"role": "user", "content": "three"},
        )
    )
    assert system == "Be brief.\nBe kind."
    assert [(turn.role, turn.content) for turn in turns] == [
        ("user", "One"),
        ("assistant", "two"),
        ("user", "three"),
    ]


@pytest.mark.parametrize(
    "messages",
    [
        (),
        ASKED[:1],
        ({"role": "user", "content": [{"type": "image_url", "image_url": {"url": "x"}}]},),
        ({"role": "user", "content": None},),
        ({"role": "user", "content": []},),
        ({"role": "tool", "content": "4"},),
        ({"role": "user", "content": "x"}, {"role": "assistant", "content": "y"}),
        ({"role": "assistant", "content": "", "tool_calls": [{}]}, *ASKED),
    ],
)
def test_what_is_more_than_plain_text_is_no_conversation(messages):
    assert conversation(messages) is None


def test_only_evaluators_that_need_no_reference_are_used():
    mine = [ExactMatch(), Regex(Regex.Options(pattern="a")), schema(), Secrets(), PersonalData()]
    assert [e.name for e in suited(mine)] == ["regex", "json_schema", "secrets", "personal_data"]


def test_utility_is_what_the_verifiers_say():
    both = [Regex(Regex.Options(pattern=".*a.*")), schema()]
    assert outcome_of(served('{"a": 1}'), both).utility == 1.0
    assert outcome_of(served("a"), both).utility == 0.5
    assert outcome_of(served("a"), []).utility is None
    assert outcome_of(served("", failed=True, cost_usd=0.1), both) == Outcome(
        failed=True, utility=0.0, cost_usd=0.1
    )
    assert outcome_of(served("", failed=True), [Secrets()]).utility is None


def test_an_answer_that_leaks_is_vetoed_but_not_one_that_repeats_the_question():
    assert outcome_of(served(f"use {KEY}"), [Secrets()]).vetoed
    told = ({"role": "user", "content": f"my key is {KEY}"},)
    assert not outcome_of(served(f"use {KEY}", messages=told), [Secrets()]).vetoed
    tool = ({"role": "tool", "content": f"key {KEY}"},)
    assert not outcome_of(served(f"use {KEY}", messages=tool), [Secrets()]).vetoed


@pytest.mark.parametrize(
    ("text", "redacted"),
    [
        (f"key {KEY}.", "key [secret]."),
        ("write to ann.lee@example.org now", "write to [e-mail] now"),
        ("card 4111 1111 1111 1111, ok", "card [card], ok"),
        ("not a card 4111 1111 1111 1112", "not a card 4111 1111 1111 1112"),
        ("to DE89 3704 0044 0532 0130 00 please", "to [iban] please"),
        ("IBAN DE89370400440532013000 NOW", "IBAN [iban] NOW"),
        ("call +49 30 901820 or (212) 555-0123", "call [phone] or [phone]"),
        ("at ann\uff20example.org", "at [e-mail]"),
        (
            "-----BEGIN RSA PRIVATE KEY-----\nMIIB/x+=\n-----END RSA PRIVATE KEY-----",
            "[secret]",
        ),
        ("nothing to hide: 12, 3.5 ½", "nothing to hide: 12, 3.5 ½"),
        ("order 77-1234", "order [redacted]"),
    ],
)
def test_redaction_takes_out_what_harm_looks_for_and_what_the_project_adds(text, redacted):
    redact = redaction([Secrets(), PersonalData()], [r"\d{2}-\d{4}"])
    assert redact(text) == redacted
    assert redact(redacted) == redacted


def test_a_pattern_that_is_none_is_an_error_of_the_settings():
    with pytest.raises(SettingsError, match=r"'\(' is no regular expression"):
        redaction([], ["("])


def test_every_text_of_a_request_is_redacted():
    asked = (
        {"role": "system", "content": f"s {KEY}"},
        {"role": "user", "content": f"u {KEY}"},
        {"role": "assistant", "content": f"a {KEY}"},
        {"role": "user", "content": "fine"},
    )
    found = kept(served(f"answer {KEY}", messages=asked), redaction([Secrets()], []), ())
    assert KEY not in str(found)
    assert str(found).count("[secret]") == 4
    assert found["cut"] is True
    assert kept(served("fine"), redaction([Secrets()], []), ())["cut"] is False


@pytest.mark.parametrize(
    "fields",
    [{"failed": True}, {"text": "  "}, {"finish": "length"}, {"messages": ()}],
)
def test_what_is_no_whole_answer_to_plain_text_is_not_kept(fields):
    assert kept(served(**fields), str, ()) is None


def test_what_could_not_be_redacted_is_not_kept():
    def broken(text):
        raise RuntimeError("out of order")

    assert kept(served(), broken, ()) is None


def test_a_request_that_cannot_be_read_is_no_harm_and_no_score(caplog):
    found = outcome_of(served(messages=[None]), [Regex(Regex.Options(pattern="a"))])
    assert found == Outcome()
    assert "cannot be read" in caplog.text


def test_what_looks_for_harm_and_fails_vetoes():
    class Broken(Secrets):
        def score(self, task, completions):
            raise RuntimeError("out of order")

    assert outcome_of(served(), [Broken()]).vetoed


@pytest.mark.parametrize("method", ["judge", "variants"])
def test_what_has_to_ask_somebody_is_not_used(method):
    asking = type("Asking", (Secrets,), {method: lambda self, *_: ()})
    assert suited([asking()]) == ()


@pytest.mark.parametrize("score", [2.0, float("nan"), -1.0])
def test_a_score_that_is_none_says_nothing(score):
    class Wild(Regex):
        def score(self, task, completions):
            return score

    assert outcome_of(served(), [Wild(Regex.Options(pattern="a"))]) == Outcome()


TOLD = {"plan": f"pro {KEY}", "tags": "billing, refunds,", "user_id": "ann", "consent": "true"}


def test_metadata_are_columns_and_tags_of_the_task():
    task = task_of(served(metadata={**TOLD, "expected": "hello", "user": "ann"}))
    assert (task.fields, task.tags) == ({"plan": TOLD["plan"]}, ("billing", "refunds"))
    assert task.expected is None


def test_metadata_that_a_prompt_uses_are_kept_redacted_and_no_others():
    told = {**TOLD, "session": "s-1"}
    found = kept(served(metadata=told), redaction([Secrets()], []), {"plan", "user_id", "tags"})
    assert KEY not in str(found)
    assert list(found["columns"]) == ["plan"]
    assert found["tags"] == ["billing", "refunds"]


def test_who_asks_brings_no_rule_for_the_answer():
    whatever = served("no number", metadata={"pattern": ".*", "schema": "{}"})
    assert outcome_of(whatever, [Regex(Regex.Options(pattern="[0-9]+"))]).utility == 0.0
    assert outcome_of(whatever, [Regex(Regex.Options())]).utility is None
    assert outcome_of(whatever, [schema()]).utility == 0.0


def test_what_an_answer_repeats_of_the_metadata_is_no_leak():
    assert not outcome_of(served(f"use {KEY}", metadata={"key": KEY}), [Secrets()]).vetoed
