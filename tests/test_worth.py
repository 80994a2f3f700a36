"""Which finalists are worth a confirmation, and when the race has to ask more tasks to tell."""

import numpy as np
import pytest
from scipy import stats

from penin_core.league.worth import is_undecided, why_not_worth, worthwhile_gain
from penin_core.records import Measurement, TaskRow

NEEDED = worthwhile_gain(500, 1)


def test_a_gain_too_small_to_be_proved_is_not_worth_a_confirmation():
    least = worthwhile_gain(500, 1)
    assert least == pytest.approx(0.5 * 0.0807)
    assert worthwhile_gain(3000, 1) == worthwhile_gain(2000, 1) < worthwhile_gain(2000, 5)
    before = Measurement(U=0.5, C=0.5)
    few = why_not_worth(Measurement(U=0.5 + least - 0.001, C=0.5, n_tasks=120), before, 1.0, 500, 1)
    assert few == "a gain of 0.039 on 120 tasks, a confirmation takes 0.040"
    assert why_not_worth(Measurement(U=0.541, C=0.5), before, 0.0, 500, 1) == ""
    exactly, nothing = Measurement(U=least, C=0.5), Measurement(U=None, C=0.5)
    assert why_not_worth(exactly, Measurement(U=0.0, C=0.5), 0.0, 500, 1) == ""
    assert why_not_worth(exactly, nothing, 0.0, 500, 1) == ""
    assert why_not_worth(nothing, Measurement(U=0.9, C=0.5), 0.0, 500, 1).startswith("a gain of -")


def test_where_nothing_is_provable_only_half_of_all_there_is_is_worth_it():
    assert worthwhile_gain(2, 1) == 0.5


@pytest.mark.parametrize(("gained", "worth"), [(0.0099, False), (0.01, True)])
def test_a_saving_too_small_to_matter_is_not_worth_a_confirmation(gained, worth):
    old = Measurement(U=0.5, C=0.5, tokens_out=9)
    said = why_not_worth(Measurement(U=0.5, C=0.4), old, gained, 500, 1)
    few = f"L∞ rose by {gained:.3f}, a confirmation that it is cheaper takes 0.01"
    assert said == ("" if worth else few)


# When the race asks more


def pair(gains, *, cost=0.5, utility=0.5):
    """Return a finalist that gains so much on each task, and its champion."""

    def measured(values, C):
        rows = tuple(TaskRow(task=f"t{n}", utility=value) for n, value in enumerate(values))
        U = float(np.mean(values))
        return Measurement(U=U, C=C, n_tasks=len(rows), rows=rows, tokens_out=round(1000 * C))

    return measured([utility + gain for gain in gains], cost), measured([utility] * len(gains), 0.5)


def spread(mean, deviation, count=120):
    """Return gains of exactly this mean and sample deviation."""
    draws = stats.zscore(np.random.default_rng(1).normal(size=count), ddof=1)
    return np.clip(mean + deviation * draws, -0.5, 0.5).tolist()


@pytest.mark.parametrize(
    ("missing", "undecided"), [(0.99, True), (1.01, False), (0.01, True), (-0.01, False)]
)
def test_the_race_is_undecided_within_one_standard_error_of_what_is_needed(missing, undecided):
    gains = np.array(spread(0.0, 0.1))
    gains += NEEDED - missing * float(stats.sem(gains)) - gains.mean()
    assert is_undecided(*pair(gains.tolist()), 500, 1) is undecided


def test_a_race_never_asks_more_tasks_than_the_confirmation_would():
    close = pair(spread(NEEDED - 0.01, 0.2, 250))
    assert is_undecided(*close, 500, 1)
    assert not is_undecided(*close, 499, 1)


def test_a_saving_hangs_on_no_chance_and_is_never_undecided():
    finalist, champion = pair(spread(0.001, 0.1), cost=0.1)
    assert why_not_worth(finalist, champion, 0.0099, 500, 1)
    assert not is_undecided(finalist, champion, 500, 1)


def test_tasks_without_a_score_of_both_count_for_nothing():
    finalist, champion = pair(spread(NEEDED - 0.01, 0.2))
    blank = TaskRow(task="blank", error="timeout")
    longer = finalist.model_copy(update={"rows": (*finalist.rows, blank)})
    assert is_undecided(longer, champion, 500, 1)
    for rows in ((), finalist.rows[:1], (blank, blank)):
        few = finalist.model_copy(update={"rows": rows})
        assert not is_undecided(few, champion, 500, 1)
    assert not is_undecided(finalist, champion.model_copy(update={"rows": ()}), 500, 1)


def test_the_gain_that_is_missing_is_the_one_that_was_found_too_small():
    # With several metrics U weighs tasks otherwise than one by one.
    finalist, champion = pair(spread(NEEDED + 0.01, 0.2))
    finalist = finalist.model_copy(update={"U": 0.5 + NEEDED - 0.01})
    assert why_not_worth(finalist, champion, 1.0, 500, 1)
    assert is_undecided(finalist, champion, 500, 1)
