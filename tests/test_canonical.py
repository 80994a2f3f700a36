"""One canonical form, so that equal values have equal hashes everywhere and for ever."""

import hashlib
import json
import math

import pytest
import rfc8785
from hypothesis import given
from hypothesis import strategies as st

from penin_core.canonical import canonical_json, digest

scalars = (
    st.none()
    | st.booleans()
    | st.integers(-(2**53) + 1, 2**53 - 1)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(st.characters(exclude_categories=["Cs"]), max_size=8)
)
keys = st.text(st.characters(exclude_categories=["Cs"]), max_size=5)
values = st.recursive(
    scalars, lambda v: st.lists(v, max_size=4) | st.dictionaries(keys, v, max_size=4), max_leaves=12
)


def test_the_example_of_rfc_8785_section_3_2_3_is_sorted_by_utf16():
    value = {
        "\u20ac": "Euro Sign",
        "\r": "Carriage Return",
        "\ufb33": "Hebrew Letter Dalet With Dagesh",
        "1": "One",
        "\U0001f600": "Emoji: Grinning Face",
        "\u0080": "Control",
        "\u00f6": "Latin Small Letter O With Diaeresis",
    }
    names = list(json.loads(canonical_json(value)).values())
    assert names == [
        "Carriage Return",
        "One",
        "Control",
        "Latin Small Letter O With Diaeresis",
        "Euro Sign",
        "Emoji: Grinning Face",
        "Hebrew Letter Dalet With Dagesh",
    ]


@pytest.mark.parametrize(
    ("number", "text"),
    [
        (-0.0, b"0"),
        (1.0, b"1"),
        (4.50, b"4.5"),
        (2e-3, b"0.002"),
        (1e30, b"1e+30"),
        (0.000000000000000000000000001, b"1e-27"),
        (333333333.33333329, b"333333333.3333333"),
        (5e-324, b"5e-324"),
        (1.7976931348623157e308, b"1.7976931348623157e+308"),
    ],
)
def test_numbers_are_written_as_ecmascript_writes_them(number, text):
    assert canonical_json(number) == text


def test_the_digest_is_the_sha256_of_the_canonical_bytes():
    assert digest({}) == hashlib.sha256(b"{}").hexdigest()
    assert digest({"b": 1, "a": [True, None]}) == (
        hashlib.sha256(b'{"a":[true,null],"b":1}').hexdigest()
    )


@pytest.mark.parametrize(
    "value",
    [math.nan, math.inf, -math.inf, 2**53, -(2**53), {1: 2}, "\ud800", ["\udfff"], {"\ud800": 1}],
    ids=repr,
)
def test_a_value_without_a_canonical_form_is_refused(value):
    with pytest.raises(ValueError, match="no canonical JSON"):
        canonical_json(value)


@given(values)
def test_the_form_survives_being_read_again(value):
    read = json.loads(canonical_json(value), parse_int=float)
    assert canonical_json(read) == canonical_json(value)


@given(st.dictionaries(keys, scalars, max_size=6), st.randoms())
def test_the_order_in_which_keys_were_inserted_does_not_matter(value, chance):
    shuffled = list(value.items())
    chance.shuffle(shuffled)
    assert digest(dict(shuffled)) == digest(value)


def test_a_tuple_is_a_list_and_true_is_not_one():
    assert digest((1, 2)) == digest([1, 2])
    assert digest(True) != digest(1)
    assert digest("1") != digest(1)


@given(values)
def test_the_short_way_writes_what_the_library_writes(value):
    assert canonical_json(value) == rfc8785.dumps(value)


@pytest.mark.parametrize("number", [1e-4, 9.9e-5, 1e15, 1e16, 1e21, 2.0**53, 0.1 + 0.2, -1.0])
def test_numbers_at_the_edges_of_the_short_way(number):
    assert canonical_json([number]) == rfc8785.dumps([number])
