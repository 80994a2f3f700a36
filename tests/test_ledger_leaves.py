"""Leaves are RFC 8785 JSON: one way to write an entry, and no other is read."""

import hashlib
import json
from datetime import UTC, datetime, timedelta, timezone

import pytest
import rfc8785
from hypothesis import example, given
from hypothesis import strategies as st

from penin_core.ledger.leaves import (
    DEPTH_LIMIT,
    LEAF_LIMIT,
    digest,
    encode,
    make,
    parse,
    read,
    timestamp,
)

TS = "2026-11-22T07:35:01.123456Z"
TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=12)
NUMBERS = st.integers(-(2**53) + 1, 2**53 - 1) | st.floats(allow_nan=False, allow_infinity=False)
VALUES = st.recursive(
    st.none() | st.booleans() | NUMBERS | TEXT,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(TEXT, inner, max_size=4),
    max_leaves=12,
)


def nested(levels):
    value = 1
    for _ in range(levels):
        value = [value]
    return value


@given(st.dictionaries(TEXT, VALUES, max_size=5))
@example({"a": 1e16, "b": 1e21, "c": 5e-324, "d": 1e-5, "e": 1e-7, "f": -0.0, "g": 1.0, "h": 2e20})
@example({"\U0001f600": 1, "\ufb33": 2, "€": "\x07\x7f\u2028"})
def test_a_leaf_is_the_reference_encoding_and_reads_back(body):
    data = make("TUNE", TS, body)
    assert data == rfc8785.dumps({"v": 1, "kind": "TUNE", "ts": TS, "body": body})
    leaf = read(data)
    assert (leaf.kind, leaf.ts, leaf.body) == ("TUNE", TS, body)
    assert leaf.body_json.encode() == rfc8785.dumps(body)


@given(VALUES, st.data())
def test_only_canonical_bytes_are_read(value, data):
    canonical = bytearray(rfc8785.dumps({"v": value}))
    at = data.draw(st.integers(0, len(canonical) - 1))
    canonical[at] ^= 1 << data.draw(st.integers(0, 7))
    try:
        changed = parse(bytes(canonical))
    except ValueError:
        return
    assert rfc8785.dumps(changed) == bytes(canonical)


@pytest.mark.parametrize(
    "text",
    [
        '{"b":1,"a":2}',
        '{"a":1,"a":1}',
        '{"a": 1}',
        '{"a":1.0}',
        '{"a":0.10}',
        '{"a":-0}',
        '{"a":1e-05}',
        '{"a":1e5}',
        '{"a":9007199254740993}',
        '{"a":"\\u0041"}',
        '{"a":"\\ud800"}',
        '{"a":NaN}',
        '{"a":1}\n',
        '{"\ufb33":1,"\U0001f600":2}',
        "",
    ],
)
def test_another_way_to_write_it_is_refused(text):
    with pytest.raises(ValueError):  # noqa: PT011
        parse(text.encode())


@pytest.mark.parametrize(
    ("body", "words"),
    [
        ({"a": [1, {"b": float("nan")}]}, r"TUNE\.a\[1\]\.b is nan"),
        ({"a": float("-inf")}, r"TUNE\.a is -inf"),
        ({"a": 2**53}, r"TUNE\.a is 9007199254740992, beyond"),
        ({"a": "\ud800"}, r"TUNE\.a holds a lone surrogate"),
        ({"\udfff": 1}, "TUNE has a key with a lone surrogate"),
        ({"a": {1: 2}}, r"TUNE\.a has the key 1, which is not a string"),
        ({"a": {1, 2}}, r"TUNE\.a is a set"),
        ({"a": b"x"}, r"TUNE\.a is a bytes"),
        ({"a": nested(DEPTH_LIMIT)}, "nested deeper than 64 levels"),
        ({"a": nested(100_000)}, "nested deeper than 64 levels"),
    ],
)
def test_what_has_no_canonical_form_is_refused_by_its_path(body, words):
    with pytest.raises(ValueError, match=words):
        make("TUNE", TS, body)


def test_the_deepest_body_reads_back():
    body = {"a": nested(DEPTH_LIMIT - 1)}
    assert read(make("TUNE", TS, body)).body == body


def test_many_brackets_are_not_depth():
    body = {"a": [[]] * 500}
    assert read(make("TUNE", TS, body)).body == body


def test_a_leaf_may_have_65535_bytes_and_no_more():
    frame = len(make("TUNE", TS, {"a": ""}))
    longest = make("TUNE", TS, {"a": "x" * (LEAF_LIMIT - frame)})
    assert len(longest) == 65_535
    assert read(longest).kind == "TUNE"
    with pytest.raises(ValueError, match="the TUNE entry has 65536 bytes, more than 65535"):
        make("TUNE", TS, {"a": "x" * (LEAF_LIMIT - frame + 1)})
    with pytest.raises(ValueError, match="a leaf of 65536 bytes"):
        read(longest + b" ")


@pytest.mark.parametrize(
    "change",
    [
        {"v": 2},
        {"v": True},
        {"v": "1"},
        {"extra": 1},
        {"ts": "2026-11-22T07:35:01Z"},
        {"ts": "2026-11-22T07:35:01.123456+00:00"},
        {"ts": 5},
        {"kind": None},
        {"body": []},
    ],
)
def test_an_entry_of_another_shape_is_refused(change):
    good = {"v": 1, "kind": "TUNE", "ts": TS, "body": {}}
    assert read(rfc8785.dumps(good)).kind == "TUNE"
    with pytest.raises(ValueError, match=r"leaf|ts is|kind is"):
        read(rfc8785.dumps(good | change))


def test_a_bottomless_leaf_is_refused_not_a_crash():
    with pytest.raises(ValueError, match="nested too deeply"):
        read(b"[" * 60_000)


def test_the_digest_ignores_the_order_of_keys_and_the_way_to_write_numbers():
    assert digest({"a": 1.0, "b": 2}) == digest({"b": 2, "a": 1})
    assert digest({"a": 1}) == hashlib.sha256(b'{"a":1}').hexdigest()


@given(st.datetimes(min_value=datetime(1900, 1, 1), max_value=datetime(2900, 1, 1)))  # noqa: DTZ001
def test_a_timestamp_is_utc_with_microseconds_and_loses_nothing(moment):
    aware = moment.replace(tzinfo=timezone(timedelta(hours=5, minutes=30)))
    text = timestamp(aware)
    assert len(text) == 27
    assert datetime.fromisoformat(text) == aware
    assert datetime.fromisoformat(text).tzinfo == UTC


def test_encode_names_the_value_as_it_is_told():
    assert json.loads(encode({"a": [1, None]})) == {"a": [1, None]}
    with pytest.raises(ValueError, match=r"config\.temperature is inf"):
        encode({"temperature": float("inf")}, "config")


@given(VALUES, st.sampled_from([1.0, 1e-5, 9.999e-6, 1e15, 1e16, 1e21, -0.0, 10**15, 2**53 - 1]))
def test_numbers_at_the_edges_of_the_fast_road_are_written_and_read_alike(value, edge):
    body = {"value": value, "edge": [edge, {"edge": edge}]}
    data = make("TUNE", TS, body)
    assert data == rfc8785.dumps({"v": 1, "kind": "TUNE", "ts": TS, "body": body})
    assert read(data).body == body
