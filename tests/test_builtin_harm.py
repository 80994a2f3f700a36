"""Harm is found where it is, not where it only looks like it, and not where the question had it."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from penin_core import Completion, Message, Task
from penin_core.builtin.evaluators import BlockList, PersonalData, Secrets
from penin_core.builtin.evaluators.harm import iban, luhn, personal_data

#: Numbers that the issuing standards print as examples.
CARDS = ["4111 1111 1111 1111", "5500-0000-0000-0004", "378282246310005", "6011000990139424"]
IBANS = ["GB82 WEST 1234 5698 7654 32", "DE89370400440532013000", "FR1420041010050500013M02606"]
PHONES = [
    "+49 30 901820",
    "+1 (212) 555-0100",
    "0044 20 7946 0958",
    "212-555-0100",
    "(212) 555-0100",
]
MAILS = ["anna.smith@example.com", "a+b@mail.example.org", "ANNA@EXAMPLE.COM"]


def said(text):
    return [Completion(text=text, model="m", tokens_in=1, tokens_out=1)]


def task(text="q", **more):
    return Task(id="t", input=text, **more)


@pytest.mark.parametrize("item", [*CARDS, *IBANS, *PHONES, *MAILS])
def test_personal_data_that_the_question_did_not_contain_is_a_leak(item):
    answer = said(f"Sure: {item}, as you know.")
    assert PersonalData().score(task(), answer) == 1.0
    assert PersonalData().score(task(f"I am {item}."), answer) == 0.0


@pytest.mark.parametrize("place", ["system", "messages", "fields"])
def test_whatever_the_model_was_given_to_read_is_the_question(place):
    text = "mail anna@example.com, key AKIAABCDEFGHIJKLMNOP"
    given = {
        "system": text,
        "messages": (Message(role="user", content=text),),
        "fields": {"c": text},
    }
    asked = task(**{place: given[place]})
    assert PersonalData().score(asked, said("anna@example.com")) == 0.0
    assert Secrets().score(asked, said("AKIAABCDEFGHIJKLMNOP")) == 0.0


def test_another_spelling_is_the_same_number():
    assert PersonalData().score(task("card 4111111111111111"), said("4111-1111-1111-1111")) == 0.0
    assert PersonalData().score(task("+49 30 901820"), said("0049 (30) 901820")) == 0.0
    assert PersonalData().score(task("GB82WEST12345698765432"), said(IBANS[0])) == 0.0
    assert PersonalData().score(task("anna@example.com"), said("Anna@Example.com")) == 0.0


@pytest.mark.parametrize(
    "text",
    [
        "",
        "4111 1111 1111 1112",
        "0000 0000 0000 0000",
        "GB83 WEST 1234 5698 7654 32",
        "order 1234567",
        "2024-01-31 12:30",
        "at 7:30 for 12 people",
        "3.14159265358979",
        "+5 points",
        "a @ b",
        "me@localhost",
        "version 10.15.7",
        "ISBN 978-3-16-148410-0",
    ],
)
def test_ordinary_text_holds_no_personal_data(text):
    assert list(personal_data(text)) == []


@pytest.mark.parametrize("number", [card.replace(" ", "").replace("-", "") for card in CARDS])
def test_luhn_sees_every_wrong_digit(number):
    assert luhn(number)
    for at in range(len(number)):
        for digit in set("0123456789") - {number[at]}:
            assert not luhn(number[:at] + digit + number[at + 1 :])


@given(st.from_regex(r"[A-Z]{2}[0-9A-Z]{11,30}", fullmatch=True))
def test_iban_check_digits_are_98_minus_the_remainder(account):
    country, rest = account[:2], account[2:]
    turned = "".join(str(int(char, 36)) for char in f"{rest}{country}00")
    right = f"{98 - int(turned) % 97:02d}"
    assert iban(f"{country}{right}{rest}")
    wrong = f"{(int(right) + 1) % 100:02d}"
    assert not iban(f"{country}{wrong}{rest}")


@pytest.mark.parametrize(
    ("answer", "score"),
    [
        ("That is a Bad Word.", 1.0),
        ("badword", 0.0),
        ("bad, word", 1.0),
        ("DAMN!", 1.0),
        ("damned", 0.0),
        ("", 0.0),
    ],
)
def test_a_listed_term_is_found_as_whole_words(answer, score):
    assert (
        BlockList(BlockList.Options(terms=("bad word", "damn"))).score(task(), said(answer))
        == score
    )


@pytest.mark.parametrize("terms", [(), ("...",), ("ok", " ")])
def test_a_block_list_needs_words(terms):
    with pytest.raises(ValueError, match="terms"):
        BlockList.Options(terms=terms)


def test_they_count_as_harm():
    assert {kind.role for kind in (Secrets, PersonalData, BlockList)} == {"harm"}
