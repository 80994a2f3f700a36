"""An experiment climbs without harm, ends with it, and says nothing where nothing was shown."""

import json
import math

import pytest
from pydantic import ValidationError

from penin_core import LedgerInvalid, WORMLedger
from penin_core.league.canary import Outcome
from penin_core.live.experiment import Experiment, running
from penin_core.live.trial import CONTROL, Climb, End, Trial
from penin_core.settings import LiveSettings

GOOD = Outcome(utility=1.0)
POOR = Outcome(utility=0.0, failed=True)


def experiment(**fields):
    usual = {
        "id": "live-1",
        "run_id": "run-b",
        "champion": "a",
        "challenger": "b",
        "mode": "canary",
        "ramp": (0.1, 0.5),
        "step_requests": 50,
        "duration_s": 100.0,
    }
    return Experiment(**{**usual, **fields})


def seen(trial, count, mine=GOOD, other=POOR):
    for _ in range(count):
        trial.observe("champion", other)
        trial.observe("challenger", mine)
    return trial


def test_a_step_takes_its_requests():
    trial = seen(Trial(experiment()), 49)
    assert trial.due() is None
    seen(trial, 1)
    assert trial.due() == Climb(2, 0.5)
    assert trial.fraction == 0.1
    trial.climbed(2)
    assert (trial.fraction, trial.in_step, trial.due()) == (0.5, 0, None)
    trial.climbed(2)
    seen(trial, 50)
    assert trial.due().verdict == "safe"


def test_the_end_of_the_ramp_waits_for_safety():
    trial = seen(Trial(experiment(ramp=(0.1,))), 400, Outcome(), Outcome())
    assert trial.due() is None


def test_harm_comes_before_everything_else():
    trial = seen(Trial(experiment()), 60, POOR, GOOD)
    trial.served_s, trial.deaths = 1e9, 9
    assert trial.due().verdict == "harmful"


def test_time_and_deaths_end_it_without_a_verdict():
    late, dead = Trial(experiment(), served_s=100.0), Trial(experiment())
    assert late.due() == End("inconclusive", "time is up after 0 requests")
    for _ in range(3):
        assert dead.due() is None
        dead.died()
    assert dead.due() == End(
        "inconclusive", "the server died 3 times while it served the challenger"
    )
    assert dead.monitor.challenger == 3


def test_what_is_safe_after_all_deaths_is_not_called_so():
    trial = seen(Trial(experiment(ramp=(0.1,))), 60)
    assert trial.monitor.verdict == "safe"
    trial.deaths = 3
    assert trial.due().verdict == "inconclusive"


def heard(trial, count, champion=0.0, challenger=1.0):
    for _ in range(count):
        trial.monitor.vote("champion", champion)
        trial.monitor.vote("challenger", challenger)
    return trial


def test_a_claim_takes_a_hundred_users_of_either_side_and_its_level():
    assert experiment(t=2).alpha == pytest.approx(0.05 / 6)
    assert not heard(Trial(experiment(t=1)), 99).proved
    assert heard(Trial(experiment(t=1)), 100).proved
    assert not heard(Trial(experiment()), 100).proved
    uneven = heard(Trial(experiment(t=1)), 99)
    for _ in range(200):
        uneven.monitor.vote("champion", 0.0)
    assert not uneven.proved
    assert not heard(Trial(experiment(t=1)), 100, 0.5, 0.5).proved


def test_the_end_of_the_ramp_waits_for_a_claim():
    trial = seen(Trial(experiment(ramp=(0.1,), t=1)), 60)
    assert trial.due() is None
    assert heard(trial, 100).due().verdict == "safe"


def test_once_promoted_all_but_a_control_share_is_the_challengers():
    trial = seen(Trial(experiment()), 60)
    trial.became_champion()
    assert trial.fraction == 1 - CONTROL
    assert trial.due() is None
    trial.became_champion()
    seen(trial, 50)
    assert trial.due().verdict == "safe"


def test_the_state_of_a_trial_is_all_of_it():
    trial = heard(seen(Trial(experiment(t=3)), 30), 7)
    trial.served_s = math.pi
    trial.died()
    state = json.loads(json.dumps(trial.export_state()))
    again = Trial.from_state(trial.experiment, state)
    assert again.export_state() == trial.export_state()


@pytest.mark.parametrize("state", [{}, {"monitor": {}}, {"monitor": None, "step": 1}])
def test_what_is_no_state_is_refused(state):
    with pytest.raises(ValueError, match="no state"):
        Trial.from_state(experiment(), state)


@pytest.fixture
def ledger(tmp_path):
    with WORMLedger(tmp_path / "ledger.db") as made:
        yield made


def test_what_the_ledger_declares_is_read_back(ledger):
    made = experiment(t=1)
    assert running(ledger) is None
    ledger.record_event("CANARY_START", made.declaration())
    found = running(ledger)
    assert (found.experiment, found.step, found.idx) == (made, 1, 0)
    ledger.record_event("CANARY_START", {**made.about(), "step": 2, "fraction": 0.5})
    assert running(ledger).step == 2
    ledger.record_event("CANARY_STOP", {**experiment(id="live-0").about()})
    assert running(ledger).step == 2
    ledger.record_event("CANARY_STOP", made.about())
    assert running(ledger) is None


def test_a_canary_on_stored_traffic_is_no_experiment(ledger):
    ledger.record_event("CANARY_START", {"experiment": "canary-1", "fraction": 0.1})
    assert running(ledger) is None


def test_a_declaration_that_lacks_something_is_no_experiment(ledger):
    body = experiment().declaration()
    del body["step_requests"]
    ledger.record_event("CANARY_START", body)
    with pytest.raises(LedgerInvalid, match="entry 0 declares no experiment"):
        running(ledger)


@pytest.mark.parametrize("ramp", [(), (0.0,), (0.6,), (0.2, 0.1), (0.1, 0.1)])
def test_a_ramp_climbs_and_leaves_the_champion_half(ramp):
    with pytest.raises(ValidationError):
        LiveSettings(ramp=ramp)
