"""Two streams become blocks: nothing is lost but what waits too long, and nothing is used twice."""

from hypothesis import given
from hypothesis import strategies as st

from penin_core.league.streams import WAITING, Streams


@given(st.lists(st.sampled_from(["champion", "challenger"]), max_size=200))
def test_every_item_is_in_one_block_at_most_and_in_its_order(arms):
    streams, blocks = Streams(), []
    for number, arm in enumerate(arms):
        if (block := streams.add(arm, number)) is not None:
            blocks.append(block)
    for side in ("champion", "challenger"):
        used = [item for block in blocks for item in getattr(block, side)]
        assert used == sorted(set(used))
        assert {arms[item] for item in used} <= {side}
        assert not set(used) & set(getattr(streams, side))
    assert all(block.champion and block.challenger for block in blocks)
    assert not (streams.champion and streams.challenger)


def test_one_answer_stands_against_all_that_waited():
    streams = Streams()
    assert [streams.add("champion", n) for n in range(5)] == [None] * 5
    assert streams.add("challenger", "x") == (["x"], [0, 1, 2, 3, 4])


def test_a_long_queue_of_the_challenger_goes_in_larger_parts():
    streams = Streams()
    for number in range(9):
        streams.add("challenger", number)
    assert streams.add("champion", "a") == ([0, 1, 2], ["a"])
    assert streams.challenger == [3, 4, 5, 6, 7, 8]


def test_what_waits_too_long_goes():
    for side in ("champion", "challenger"):
        streams = Streams()
        for number in range(WAITING + 10):
            streams.add(side, number)
        assert getattr(streams, side) == [*range(10, WAITING + 10)]


def test_the_queue_stays_short_where_the_challenger_has_nine_tenths():
    streams = Streams()
    longest = 0
    for number in range(5000):
        streams.add("champion" if number % 10 == 0 else "challenger", number)
        longest = max(longest, len(streams.challenger))
    assert longest < WAITING
