"""What a cycle will take is known before the first call."""

import pytest

from penin_core import Capabilities, Configuration, Price, ProviderRefused, SuiteError, Task
from penin_core.forecast import Forecast, forecast, overtime_calls, provable, race_calls
from penin_core.league.campaign import Campaign, closing, task_mark
from penin_core.league.worth import MOST_FOR_POWER
from penin_core.omega.evidence import campaign_alpha, smallest_provable_gain
from penin_core.plugins import Plugins
from penin_core.project import Project
from penin_core.settings import Baseline, EvolveSettings, Settings, SuiteDefinition
from penin_core.suites import Suite
from penin_core.testing import fakes

ECHO = Configuration(provider="echo", model="m")


def project(tmp_path, *, select=60, confirm=300, clusters=None, size=1, provider=fakes, **evolve):
    """A project with as many tasks, no special splits, and nothing measured but U and C."""
    tasks = [
        Task(
            id=f"{split}-{n}",
            input=f"{split} {n}",
            expected="x",
            split=split,
            group="g",
            fields={"doc": f"{split}-{n // size}"},
        )
        for split, count in (("select", select), ("confirm", confirm))
        for n in range(count)
    ]
    definition = SuiteDefinition(
        axes=("U", "C"),
        metrics=("exact_match",),
        evaluators=("cost",),
        gate_tasks=20,
        clusters=clusters,
    )
    settings = Settings(suite=definition, evolve=EvolveSettings(**evolve))
    plugins = Plugins.load(discover=False)
    plugins.add(provider, "fakes")
    return Project(settings, tmp_path, plugins, Suite(definition, tuple(tasks)))


def foreseen(found, config=ECHO, challengers=8, campaign=None, baseline=None, has_champion=True):
    return forecast(
        found, config, challengers, campaign or Campaign(), baseline, has_champion=has_champion
    )


@pytest.mark.parametrize(
    ("challengers", "first", "available", "calls"),
    [
        # (8 + 1) x 30, then (4 + 1) x 30 more, then (2 + 1) x 60 more.
        (8, 30, 240, 270 + 150 + 180),
        # One or two are raced on four times the first round at once.
        (1, 30, 240, 2 * 120),
        (2, 30, 240, 3 * 120),
        # The third round has no more tasks than there are.
        (8, 30, 100, 270 + 150 + 3 * 40),
        (8, 30, 20, 9 * 20),
        (3, 10, 240, 4 * 10 + 2 * 30),
        (0, 30, 240, 0),
    ],
)
def test_the_calls_of_a_race_are_those_of_its_rounds(challengers, first, available, calls):
    assert race_calls(challengers, first, available) == calls


@pytest.mark.parametrize(
    ("challengers", "available", "units", "calls"),
    [
        # From 120 tasks to 240 and 480, for two and the champion; 960 are more than 500 units.
        (8, 2000, 500, 3 * (480 - 120)),
        (8, 300, 500, 3 * (300 - 120)),
        (1, 2000, 500, 2 * 360),
        (8, 2000, 239, 0),
        (8, 120, 500, 0),
        (0, 2000, 500, 0),
    ],
)
def test_last_rounds_are_run_again_up_to_what_the_confirmation_would_ask(
    challengers, available, units, calls
):
    assert overtime_calls(challengers, 30, available, units) == calls


def test_what_is_provable_follows_from_tasks_and_alpha():
    assert provable(0, 0.025) is None
    assert provable(100, 0.025) == smallest_provable_gain(100, 0.025)
    assert provable(500, 0.025) == smallest_provable_gain(500, 0.025)
    assert provable(3000, 0.025) == provable(MOST_FOR_POWER, 0.025) < provable(500, 0.025)


def test_it_foresees_the_next_confirmation_of_the_campaign(tmp_path):
    found = project(tmp_path, confirm=400, confirm_min=100, confirm_max=250)
    marks = [task_mark(f"confirm-{n}") for n in range(130)]
    campaign = Campaign(({"t": 1, "marks": marks},), {1: closing(1, proved=True, asked=130)})
    told = foreseen(found, campaign=campaign)
    assert (told.fresh, told.tasks, told.t) == (270, 250, 2)
    assert (told.alpha, told.mode) == (campaign_alpha(2), "anytime")
    assert told.gain == smallest_provable_gain(250, campaign_alpha(2))
    assert told.more == tuple(
        (n, smallest_provable_gain(n, campaign_alpha(2))) for n in (500, 1000, 2000)
    )


def test_a_confirmation_that_stands_open_is_the_next_one_at_its_own_level(tmp_path):
    told = foreseen(project(tmp_path), campaign=Campaign(({"t": 1, "marks": []},), {}))
    assert (told.t, told.alpha, told.stands_open) == (1, campaign_alpha(1), True)
    assert not foreseen(project(tmp_path)).stands_open


@pytest.mark.parametrize(("select", "confirm"), [(0, 300), (19, 300), (60, 99)])
def test_a_suite_that_can_promote_nothing_is_refused(tmp_path, select, confirm):
    with pytest.raises(SuiteError, match="a promotion needs at least"):
        foreseen(project(tmp_path, select=select, confirm=confirm))


def test_a_proof_that_comes_at_once_asks_the_minimum_and_the_further_tasks(tmp_path):
    told = foreseen(project(tmp_path, confirm=300, confirm_min=100, confirm_max=250))
    # The fixed subset is asked by nobody here: neither U nor C needs several answers.
    assert told.confirm_calls == (2 * (100 + 100), 2 * 250)
    few = foreseen(project(tmp_path, confirm=150, confirm_min=120, confirm_max=150))
    assert few.confirm_calls == (2 * (120 + 30), 2 * 150)


def test_the_first_champion_takes_calls_of_its_own(tmp_path):
    found = project(tmp_path)
    assert foreseen(found).first_calls == 0
    assert foreseen(found, has_champion=False).first_calls == 60


def test_least_and_most_calls_are_those_without_and_with_a_confirmation():
    told = Forecast(
        fresh=1,
        tasks=1,
        units=1,
        clusters=None,
        t=1,
        alpha=0.025,
        mode="anytime",
        gain=None,
        more=(),
        first_calls=5,
        race_calls=70,
        overtime_calls=20,
        confirm_calls=(900, 600),
        usd=None,
        seconds=None,
    )
    assert told.calls == (75, 995)


def test_money_and_time_follow_from_what_the_champion_took(tmp_path):
    free = foreseen(project(tmp_path), baseline=Baseline(cost_usd=0.5, latency_ms=100.0))
    assert free.usd == (0.0, 0.0), "the echo costs nothing by its own price list"
    assert free.seconds == pytest.approx([0.1 * calls for calls in free.calls])
    dear = foreseen(
        project(tmp_path, provider=dealer(Price(input_per_million=1.0, output_per_million=0.0))),
        Configuration(provider="dealer", model="m"),
        baseline=Baseline(cost_usd=0.5, latency_ms=0.0),
    )
    assert dear.usd == pytest.approx([0.5 * calls for calls in dear.calls])
    assert dear.seconds is None


def test_money_is_unknown_where_nothing_was_measured_and_no_price_is_known(tmp_path):
    for price in (None, ProviderRefused("no such model")):
        found = project(tmp_path, provider=dealer(price))
        told = foreseen(found, Configuration(provider="dealer", model="m"))
        assert (told.usd, told.seconds) == (None, None)


@pytest.mark.parametrize(("size", "units"), [(1, 500), (5, 100), (7, 71), (20, 25)])
def test_what_is_provable_follows_from_the_clusters_where_there_are_any(tmp_path, size, units):
    told = foreseen(project(tmp_path, confirm=700, clusters="doc", size=size, confirm_max=500))
    assert (told.fresh, told.tasks, told.units) == (700, units * size, units)
    assert (told.clusters, told.gain) == ("doc", smallest_provable_gain(units, 0.025))
    alone = foreseen(project(tmp_path, confirm=600, size=size, confirm_max=500))
    assert (alone.tasks, alone.units, alone.clusters) == (500, 500, None)
    assert alone.gain == smallest_provable_gain(500, 0.025)


def test_without_a_confirmation_that_can_promote_nothing_is_provable(tmp_path):
    found = project(tmp_path, confirm=150)
    marks = [task_mark(f"confirm-{n}") for n in range(51)]
    spent = Campaign(({"t": 1, "marks": marks},), {1: closing(1, proved=True, asked=51)})
    assert (foreseen(found, campaign=spent).tasks, foreseen(found, campaign=spent).gain) == (
        99,
        None,
    )


def test_a_suite_with_tasks_that_cannot_be_graded_is_refused(tmp_path):
    found = project(tmp_path)
    tasks = [*found.suite.tasks, Task(id="open", input="say something", split="confirm")]
    refused = Project(
        found.settings, tmp_path, found.plugins, Suite(found.suite.definition, tuple(tasks))
    )
    with pytest.raises(SuiteError, match=r"can grade 1 of its 361 .* tasks: 'open'"):
        foreseen(refused)


def test_a_suite_that_cannot_be_clustered_is_refused(tmp_path):
    with pytest.raises(SuiteError, match="group 'g' has select and confirm tasks"):
        foreseen(project(tmp_path, clusters="group"))


def dealer(price):
    """A plugin whose provider has that price, or does not know the model."""

    class Dealer(fakes.Echo):
        """Echoes for money."""

        name = "dealer"

        def capabilities(self, model):
            if isinstance(price, Exception):
                raise price
            return Capabilities(price=price)

    class plugin:  # noqa: N801
        penin_api = 1

        @staticmethod
        @fakes.hookimpl
        def penin_register_providers():
            return [Dealer]

    return plugin
