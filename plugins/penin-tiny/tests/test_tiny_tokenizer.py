"""Tokens: any text survives, and the pieces are the ones the model was trained with."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from penin_tiny.tokenizer import INPUT, N_CONTROL, OUTPUT, Tokenizer

WORDS = (" order", "Name", " the", " e-mail", "JSON")
TOKENIZER = Tokenizer(WORDS)

#: Text made of the pieces that have tokens of their own, of near misses, and of anything else.
marks = ["\nInput: ", "\nOutput: ", '{"', '": "', "e-mail", " ", "\n", "N"]
pieces = st.sampled_from([*WORDS, *marks])
texts = st.lists(st.one_of(pieces, st.text(max_size=8)), max_size=12).map("".join)


@given(texts)
def test_any_text_survives_the_round_trip(text: str) -> None:
    assert TOKENIZER.decode(TOKENIZER.encode(text)) == text


@given(texts)
def test_ids_are_within_the_vocabulary(text: str) -> None:
    assert all(0 <= index < TOKENIZER.size for index in TOKENIZER.encode(text))


def test_known_words_are_one_token_and_unknown_words_are_bytes() -> None:
    assert len(TOKENIZER.encode("Name the order")) == 3
    assert len(TOKENIZER.encode("Names")) == 5
    assert len(TOKENIZER.encode("é")) == 2


def test_the_longest_glue_wins() -> None:
    assert len(TOKENIZER.encode('": "')) == 1
    assert len(TOKENIZER.encode('": ')) == 1
    assert len(TOKENIZER.encode('", "')) == 1


def test_the_marks_of_a_turn_are_control_tokens() -> None:
    assert TOKENIZER.encode("\nInput: \nOutput: ") == [INPUT, OUTPUT]
    assert INPUT < N_CONTROL
    assert OUTPUT < N_CONTROL


def test_padding_and_begin_cannot_be_written_in_a_text() -> None:
    assert min(TOKENIZER.encode("<pad><bos>")) >= N_CONTROL


def test_the_stop_token_is_the_line_feed() -> None:
    assert TOKENIZER.encode("\n") == [TOKENIZER.stop]


def test_bytes_that_are_not_utf8_become_replacement_characters() -> None:
    half = TOKENIZER.encode("é")[:1]
    assert TOKENIZER.decode(half) == "\N{REPLACEMENT CHARACTER}"


def test_a_lone_surrogate_is_an_error() -> None:
    with pytest.raises(UnicodeEncodeError):
        TOKENIZER.encode("\ud800")
