"""Server-sent events: the same events, however the bytes are cut."""

from __future__ import annotations

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from penin_core.engine import events as events_module
from penin_core.engine.events import EVENT_LIMIT, Event, EventParser, Objects


def parse(data: bytes, *cuts: int) -> list[Event]:
    parser, events = EventParser(), list[Event]()
    places = sorted({0, len(data), *(cut % (len(data) + 1) for cut in cuts)})
    for start, end in itertools.pairwise(places):
        events += parser.feed(data[start:end])
    return events + parser.end()


CASES = [
    (b"data: one\n\ndata: two\n\n", [Event("one"), Event("two")]),
    (b"data: a\r\ndata: b\r\n\r\n", [Event("a\nb")]),
    (b"data: a\rdata: b\r\rdata: c\r\r", [Event("a\nb"), Event("c")]),
    (b"\xef\xbb\xbfdata: bom\n\n", [Event("bom")]),
    (b"data: \xef\xbb\xbfinside\n\n", [Event("\ufeffinside")]),
    (b": comment\n\n:\ndata:x\n\n", [Event("x")]),
    (b"data\n\ndata\ndata\n\ndata:", [Event(""), Event("\n")]),
    (b"data:test\n\ndata: test\n\ndata:  test\n\n", [Event("test")] * 2 + [Event(" test")]),
    (b"event: add\ndata: 1\n\nevent: add\n\ndata: 2\n\n", [Event("1", "add"), Event("2")]),
    (b"id: 1\ndata: x\n\ndata: y\n\n", [Event("x", id="1", named=True), Event("y", id="1")]),
    (b"id: 1\n\ndata: x\n\n", [Event("x", id="1")]),
    (b"id: a\x00b\nretry: 10\nfoo: bar\ndata: x\n\n", [Event("x")]),
    (b"data: unfinished\n", []),
    (b"data: \xff\n\n", [Event("\ufffd")]),
    ("data: \u2028\x85\x0b\n\n".encode(), [Event("\u2028\x85\x0b")]),
]


@pytest.mark.parametrize(("data", "events"), CASES)
@given(cuts=st.lists(st.integers(0, 99), max_size=9))
def test_events_are_those_of_the_standard_wherever_the_stream_is_cut(
    data: bytes, events: list[Event], cuts: list[int]
) -> None:
    assert parse(data, *cuts) == events
    assert parse(data, *range(len(data))) == events


@given(
    st.lists(st.text(st.characters(exclude_characters="\r\n", exclude_categories=["Cs"]))),
    st.sampled_from(["\n", "\r", "\r\n"]),
    st.lists(st.integers(0, 999), max_size=9),
)
def test_what_is_written_as_events_is_read_as_events(
    texts: list[str], end: str, cuts: list[int]
) -> None:
    data = "".join(f"data: {text}{end}{end}" for text in texts).encode()
    assert [event.data for event in parse(data, *cuts)] == texts


def test_an_endless_event_is_refused() -> None:
    parser = EventParser()
    for _ in range(7):
        parser.feed(b"data: " + b"x" * (EVENT_LIMIT // 8) + b"\n")
    with pytest.raises(ValueError, match="over"):
        parser.feed(b"data: " + b"x" * (EVENT_LIMIT // 4))


def test_what_is_said_of_an_endless_event_counts_however_little_it_is(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(events_module, "EVENT_LIMIT", 100)
    parser = EventParser()
    parser.feed(b"data:\n" * 100)
    with pytest.raises(ValueError, match="over"):
        parser.feed(b"data:\n")


def test_events_of_any_number_are_under_the_limit() -> None:
    parser, event = EventParser(), b"data: " + b"x" * (EVENT_LIMIT // 4) + b"\n\n"
    assert sum(len(parser.feed(event)) for _ in range(9)) == 9


def test_every_character_is_searched_once_however_small_the_pieces(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    searched = []

    class Counting:
        def split(self, text: str) -> list[str]:
            searched.append(len(text))
            return lines.split(text)

    lines = events_module._LINE
    monkeypatch.setattr(events_module, "_LINE", Counting())
    data = b"data: " + b"x" * 10_000 + b"\r\n\r\n"
    (event,) = parse(data, *range(len(data)))
    assert event.data == "x" * 10_000
    assert sum(searched) <= len(data) + 4


def test_an_event_has_the_id_of_the_last_that_said_one_and_is_no_repetition() -> None:
    objects = Objects()
    assert objects.feed(b'id: 1\ndata: {"a": 1}\n\ndata: {"a": 2}\n\nid: 2\ndata: {"a": 3}\n\n')
    assert objects.feed(b"data: {}\n\n") == [{}]
    with pytest.raises(ValueError, match="event '1' came twice"):
        objects.feed(b"id: 1\ndata: {}\n\n")


def test_objects_end_with_done_and_come_once() -> None:
    objects = Objects()
    assert objects.feed(b'data: {"a": 1}\n\ndata: [DONE]\n\n') == [{"a": 1}]
    assert objects.done
    with pytest.raises(ValueError, match="after the end"):
        objects.feed(b"data: {}\n\n")
    again = Objects()
    with pytest.raises(ValueError, match="twice"):
        again.feed(b"id: 7\ndata: {}\n\nid: 7\ndata: {}\n\n")
    with pytest.raises(ValueError, match="no JSON object"):
        Objects().feed(b"data: 3\n\n")
