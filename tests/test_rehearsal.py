"""A rehearsal takes equals through the real rule, and promotes hardly any of them."""

import asyncio
import math

import numpy as np
import pytest

from penin_core import Suite, SuiteError, Task, TaskRow
from penin_core.rehearsal import bounds, rehearse, require_rehearsable
from penin_core.settings import EvolveSettings, SuiteDefinition

SETTINGS = EvolveSettings(confirm_min=100, confirm_max=200)
PLANNED = EvolveSettings(confirm_min=100, confirm_max=300, evidence="horizon")


def tasks(count, **fields):
    return [Task(id=f"s{n}", input="q", split="select", **fields) for n in range(count)]


def answers(count, repeats=3, rate=0.6, seed=5):
    """Answers whose score is chance, every time anew."""
    rng = np.random.default_rng(seed)
    return [
        [TaskRow(task=f"s{n}", utility=float(rng.random() < rate)) for n in range(count)]
        for _ in range(repeats)
    ]


def rehearsed(found, count, **options):
    options = {"trials": 60, "seed": 1, **options}
    settings = options.pop("settings", SETTINGS)
    return asyncio.run(rehearse(found, tasks(count), settings, **options))


def test_equals_are_hardly_ever_promoted():
    found = rehearsed(answers(200), 200)
    assert (found.trials, found.tasks, found.gain) == (60, 200, 0.0)
    # 7 or more of 60 have a probability below 0.001 at a rate of 0.025.
    assert found.promoted < 7
    assert found.lower <= found.promoted / 60 <= found.upper
    assert found.varies == pytest.approx(1 - 0.6**3 - 0.4**3, abs=0.1)
    assert found.alpha == 0.025


def test_a_large_true_gain_is_promoted_and_a_small_one_seldom():
    large = rehearsed(answers(200), 200, gain=0.3)
    small = rehearsed(answers(200), 200, gain=0.02)
    assert large.promoted >= 57
    assert small.promoted < 20


def test_planned_looks_are_rehearsed_where_the_settings_say_so():
    assert rehearsed(answers(300), 300, gain=0.3, settings=PLANNED).promoted >= 57
    assert rehearsed(answers(300), 300, settings=PLANNED).promoted < 8


def test_planned_looks_are_refused_where_a_cycle_would_refuse_them():
    too_few = 'evidence = "horizon" takes at least 300 tasks'
    with pytest.raises(SuiteError, match=f"{too_few}, and one confirmation on select tasks would"):
        rehearsed(answers(299), 299, settings=PLANNED)
    definition = SuiteDefinition(name="s", metrics=("exact_match",))
    for select, confirm, split in ((299, 400, "select"), (400, 299, "confirm")):
        found = tasks(400)
        asked = [
            *found[:select],
            *(task.model_copy(update={"split": "confirm"}) for task in found[:confirm]),
        ]
        suite = Suite(definition, tuple(asked))
        with pytest.raises(SuiteError, match=f"on {split} tasks would have 299") as caught:
            require_rehearsable(suite, PLANNED)
        assert f"or add {split} tasks" in caught.value.hint
        require_rehearsable(suite, SETTINGS)


def test_answers_that_never_vary_promote_nothing():
    one = answers(150, repeats=1)
    found = rehearsed(one * 3, 150)
    assert (found.promoted, found.varies, found.lower) == (0, 0.0, 0.0)


def test_the_same_seed_rehearses_the_same():
    first, again = (rehearsed(answers(150), 150, gain=0.15, trials=20) for _ in range(2))
    assert first == again
    assert rehearsed(answers(150), 150, gain=0.15, trials=20, seed=2).trials == 20


def test_it_says_how_far_it_is():
    seen = []
    rehearsed(answers(120), 120, trials=3, watch=seen.append)
    assert seen == [1, 2, 3]


def test_failed_calls_count_against_whoever_they_are_dealt_to():
    found = answers(150)
    for rows in found:
        for n in range(0, 150, 10):
            rows[n] = TaskRow(task=f"s{n}", error="gone")
    assert rehearsed(found, 150).promoted == 0


def test_too_few_tasks_and_impossible_gains_are_refused():
    with pytest.raises(SuiteError, match="99 select tasks are too few"):
        rehearsed(answers(99), 99)
    with pytest.raises(SuiteError, match=r"a gain of 0\.500 is not possible"):
        rehearsed(answers(150, rate=0.9), 150, gain=0.5)


@pytest.mark.parametrize(
    ("hits", "trials", "lower", "upper"),
    [
        # Clopper and Pearson: (tail / 2)^(1 / n) and, for 4 of 20, the tables of the binomial law.
        (0, 100, 0.0, 1 - 0.025 ** (1 / 100)),
        (100, 100, 0.025 ** (1 / 100), 1.0),
        (4, 20, 0.0573, 0.4366),
        (25, 1000, 0.01624, 0.03668),
    ],
)
def test_the_bounds_are_exact(hits, trials, lower, upper):
    found = bounds(hits, trials)
    assert found == (pytest.approx(lower, abs=1e-4), pytest.approx(upper, abs=1e-4))
    assert math.isclose(bounds(trials - hits, trials)[0], 1 - found[1], abs_tol=1e-9)
