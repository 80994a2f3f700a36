"""The race halves the field on growing numbers of tasks, and sends on one or none."""

import asyncio
import math

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from penin_core import Candidate, Configuration, EvaluationFailed, Measurement, Task
from penin_core.league.race import RaceResult, race, rounds

CHAMPION = Candidate(config=Configuration(provider="p", model="champion"))
TASKS = [Task(id=f"t{n}", input="q", split="select") for n in range(200)]


def challenger(name):
    return CHAMPION.child("test", model=name)


class Track:
    """Measures from a table: model -> utility, or (utility, cost), or an error."""

    def __init__(self, table):
        self.table = table
        self.log = []

    async def measure(self, candidate, tasks, *, axes):
        assert axes == ("U", "C")
        self.log.append((candidate.config.model, len(tasks)))
        found = self.table[candidate.config.model]
        if isinstance(found, Exception):
            raise found
        U, C = found if isinstance(found, tuple) else (found, 0.5)
        return Measurement(U=U, C=C, n_tasks=len(tasks))

    def rounds(self, name):
        return [count for model, count in self.log if model == name]


def run(
    table,
    first_round=10,
    tasks=TASKS,
    margin=0.05,
    champion=0.5,
    worth=lambda *_: "",
    undecided=lambda *_: False,
):
    """Race everybody in ``table``; return the track, the result and the finalist's name."""
    track, result, seen = Track({"champion": champion, **table}), RaceResult(), []
    asyncio.run(
        race(
            track,
            CHAMPION,
            [challenger(name) for name in table],
            tasks,
            first_round=first_round,
            lambda_c=0.5,
            margin=margin,
            worth=worth,
            undecided=undecided,
            watch=seen.append,
            result=result,
        )
    )
    assert [e.stage for e in seen] == ["race"] * len(seen)
    return track, result, result.finalist and result.finalist.config.model


def named(table, outcomes):
    """Translate hashes back to names."""
    names = {challenger(name).hash: name for name in table}
    return {names[key]: reason for key, reason in outcomes.items()}


def test_eight_are_halved_on_doubled_numbers_of_tasks():
    table = {f"c{n}": 0.51 + n / 100 for n in range(8)}
    track, result, finalist = run(table)
    assert finalist == "c7"
    assert track.rounds("champion") == [10, 20, 40]
    assert [track.rounds(f"c{n}") for n in (0, 3, 4, 5, 6, 7)] == [
        [10],
        [10],
        [10, 20],
        [10, 20],
        [10, 20, 40],
        [10, 20, 40],
    ]
    out = named(table, result.raced_out)
    assert set(out) == set(table) - {"c7"}
    assert out["c0"] == "raced_out: place 8 of 8 after 10 tasks"
    assert out["c4"] == "raced_out: place 4 of 4 after 20 tasks"
    assert out["c6"] == "raced_out: place 2 of 2 in the last round"


def test_the_champion_is_measured_on_the_very_tasks_of_every_round():
    track, result, _ = run({"a": 0.6, "b": 0.7, "c": 0.8})
    assert sorted(set(track.rounds("champion"))) == sorted({count for _, count in track.log})
    assert result.measured[CHAMPION.hash].n_tasks == track.log[-1][1]


@pytest.mark.parametrize(("count", "rounds"), [(1, 1), (2, 1), (3, 2), (4, 2), (8, 3)])
def test_every_number_of_challengers_comes_to_an_end(count, rounds):
    track, _, finalist = run({f"c{n}": 0.6 + n / 100 for n in range(count)})
    assert finalist == f"c{count - 1}"
    assert len(track.rounds("champion")) == rounds


def test_nobody_races_when_nobody_is_there():
    track, result, finalist = run({})
    assert (track.log, result, finalist) == ([], RaceResult(), None)


@pytest.mark.parametrize("utility", [0.5, 0.49, 0.0])
def test_who_is_not_above_the_champion_is_no_finalist(utility):
    _, result, finalist = run({"a": utility})
    assert finalist is None
    assert "the champion has" in named(["a"], result.raced_out)["a"]


def test_equal_utility_at_a_lower_cost_is_above_the_champion():
    assert run({"a": (0.5, 0.4)})[2] == "a"


def test_l_infinity_over_utility_and_cost_decides():
    # 0.70 exp(-0.5 · 0.54) = 0.534 against 0.68 exp(-0.5 · 0.40) = 0.557.
    assert run({"dear": (0.70, 0.54), "cheap": (0.68, 0.40)})[2] == "cheap"


@pytest.mark.parametrize(("cost", "finalist"), [(0.55, "a"), (0.56, None)])
def test_the_cost_margin_is_checked_before_anything_is_confirmed(cost, finalist):
    _, result, found = run({"a": (0.9, cost)})
    assert found == finalist
    if finalist is None:
        assert "cost 0.560, at most 0.550 is allowed" in named(["a"], result.raced_out)["a"]


def test_the_second_goes_on_where_the_first_is_too_dear():
    _, result, finalist = run({"dear": (0.9, 0.6), "good": (0.7, 0.5)})
    assert finalist == "good"
    assert "cost" in named(["dear", "good"], result.raced_out)["dear"]


def test_ties_are_broken_by_hash_whatever_the_order():
    names = ["a", "b", "c", "d", "e"]
    first = run(dict.fromkeys(names, 0.6))
    second = run(dict.fromkeys(reversed(names), 0.6))
    assert first[2] == second[2] == min(names, key=lambda name: challenger(name).hash)
    assert first[1].raced_out == second[1].raced_out


def test_fewer_tasks_than_a_round_wants_are_all_used():
    track, _, finalist = run({f"c{n}": 0.6 + n / 100 for n in range(8)}, 10, TASKS[:15])
    assert finalist == "c7"
    assert track.rounds("c7") == [10, 15, 15]
    assert run({"a": 0.6}, 10, TASKS[:4])[0].rounds("a") == [4]


@pytest.mark.parametrize("count", range(1, 12))
def test_the_last_round_asks_four_times_the_tasks_of_the_first(count):
    track, result, _ = run({f"c{n}": 0.6 + n / 100 for n in range(count)})
    asked = {}
    for name, tasks in track.log:
        asked.setdefault(tasks, []).append(name)
    assert [(len(who) - 1, tasks) for tasks, who in asked.items()] == rounds(count, 10, 200)
    assert max(asked) >= 40
    assert set(result.gains) == {challenger(f"c{n}").hash for n in range(count)}


def test_a_finalist_that_is_not_worth_a_confirmation_is_raced_out_and_the_next_may_be():
    def worth(found, before, gain):
        assert before.U == 0.5
        assert gain == pytest.approx((found.U - 0.5) * math.exp(-0.25))
        return "too little" if found.U > 0.7 else ""

    table = {"a": 0.8, "b": 0.6}
    _, result, finalist = run(table, worth=worth)
    assert finalist == "b"
    assert named(table, result.raced_out) == {"a": "raced_out: too little"}


@pytest.mark.parametrize(
    ("enough", "asked", "finalist"),
    [(80, [10, 40, 80], "c3"), (160, [10, 40, 80, 160], "c3"), (300, [10, 40, 80, 160, 200], None)],
)
def test_the_last_round_is_run_again_with_twice_the_tasks_while_it_is_undecided(
    enough, asked, finalist
):
    def worth(found, before, gain):
        return "" if found.n_tasks >= enough else f"too little on {found.n_tasks} tasks"

    table = {f"c{n}": 0.6 + n / 100 for n in range(4)}
    track, result, best = run(table, worth=worth, undecided=lambda *_: True)
    assert best == finalist
    assert track.rounds("champion") == asked
    assert track.rounds("c3") == track.rounds("champion")
    assert track.rounds("c1") == [10]
    left = {"c2": "raced_out: place 2 of 2 in the last round"}
    none = dict.fromkeys(("c2", "c3"), "raced_out: too little on 200 tasks")
    out = named(table, result.raced_out)
    assert {name: out[name] for name in out if name in ("c2", "c3")} == (left if best else none)


def test_who_is_no_better_or_too_dear_is_not_asked_again():
    table = {"worse": 0.4, "close": 0.6}
    undecided = lambda found, champion: found.n_tasks < 80  # noqa: E731
    track, result, best = run(table, worth=lambda *_: "too little", undecided=undecided)
    assert best is None
    assert (track.rounds("close"), track.rounds("worse")) == ([40, 80], [40])
    assert "L∞" in named(table, result.raced_out)["worse"]
    dear = {"dear": (0.9, 0.56), "close": (0.6, 0.5)}
    track, _, _ = run(dear, worth=lambda *_: "too little", undecided=undecided)
    assert (track.rounds("close"), track.rounds("dear")) == ([40, 80], [40])


def test_a_challenger_that_cannot_be_measured_fails_and_the_race_goes_on():
    table = {"bad": EvaluationFailed("30 of 100 calls failed"), "blank": (None, 0.5), "good": 0.6}
    _, result, finalist = run(table)
    assert finalist == "good"
    assert named(table, result.failed) == {
        "bad": "30 of 100 calls failed",
        "blank": "utility could not be measured",
    }
    assert not result.raced_out


def test_where_all_challengers_fail_there_is_no_finalist():
    _, result, finalist = run({"a": EvaluationFailed("x"), "b": EvaluationFailed("y")})
    assert finalist is None
    assert len(result.failed) == 2


@pytest.mark.parametrize("champion", [EvaluationFailed("no line"), (None, 0.5)])
def test_a_champion_that_cannot_be_measured_ends_the_race(champion):
    with pytest.raises(EvaluationFailed):
        run({"a": 0.9}, champion=champion)


def test_without_a_cost_axis_utility_alone_decides():
    _, _, finalist = run({"a": (0.6, None), "b": (0.7, None)}, champion=(0.5, None))
    assert finalist == "b"


utilities = st.floats(0, 1, allow_subnormal=False)


@settings(max_examples=60, deadline=None)
@given(st.dictionaries(st.text("abcdef", min_size=1, max_size=3), utilities, max_size=12))
def test_everybody_is_accounted_for_exactly_once_and_the_best_wins(table):
    _, result, finalist = run(table, champion=0.5)
    best = max(table.values(), default=0.0)
    assert (finalist is not None) == (best * math.exp(-0.25) > 0.5 * math.exp(-0.25))
    assert finalist is None or table[finalist] == best
    final = [] if finalist is None else [finalist]
    assert sorted([*named(table, result.raced_out), *final]) == sorted(table)
    assert result.measured.keys() == {challenger(name).hash for name in table} | (
        {CHAMPION.hash} if table else set()
    )
