"""Three rollbacks in a row freeze the parameters that answer for them, and the ledger says so."""

import pytest

from penin_core import Configuration
from penin_core.cli.tune import tuning
from penin_core.league.fates import fate_entries, restored
from penin_core.league.promotion import LeagueOrchestrator, promotion_body
from penin_core.ledger.champion import current_champion
from penin_core.ledger.store import WORMLedger
from penin_core.omega.tuner import DEFAULTS, OnlineTuner
from penin_core.project import parameters


def config_of(name):
    return Configuration(provider="p", model=name)


def tuned(*steps):
    tuner = OnlineTuner(warmup=0)
    for gradients in steps:
        tuner.update(0.0, gradients)
    return tuner


class House:
    """A ledger whose champions come and go; τ was moved by version 1, κ by version 2."""

    def __init__(self, place):
        self.place = place
        self.ledger = WORMLedger(place / "ledger.db")
        self.count = 0
        self.crown("first", kind="BOOTSTRAP", version=0, params=dict(DEFAULTS))

    def tune(self, tuner=None):
        tuner = tuner or tuned({"tau": 1.0}, {"kappa": 1.0})
        body = {"param_version": tuner.version, "params": tuner.get_params()}
        self.ledger.record_event("TUNE", {**body, "state": tuner.export_state()})

    def crown(self, name, *, version=2, kind="PROMOTE", forced=False, **more):
        """Make a configuration champion, promoted under ``version`` of the parameters."""
        self.count += 1
        config, run_id = config_of(name), f"run-{self.count}"
        row = {
            "id": run_id,
            "kind": "challenger",
            "candidate_cfg_hash": config.hash,
            "dry_run": False,
        }
        self.ledger.record_run({**row, "verdict": "promote", "param_version": version})
        before = current_champion(self.ledger)
        body = {**promotion_body(config.model_dump(mode="json"), run_id, before), **more}
        if kind == "BOOTSTRAP":
            body["param_version"] = version
        entries = [(kind, body), *fate_entries(self.ledger, before, "promoted")]
        if forced:
            entries.insert(0, ("OVERRIDE", {"run_id": run_id, "reason": "x", "objections": []}))
        self.ledger.record_many(entries)
        return run_id

    def take_back(self):
        LeagueOrchestrator(self.place, self.ledger).rollback()

    def fall(self, times, **more):
        for n in range(times):
            self.crown(f"bad-{self.count}-{n}", **more)
            self.take_back()

    def reopened(self):
        self.ledger.close()
        self.ledger = WORMLedger(self.place / "ledger.db")

    def last(self):
        return self.ledger.events("TUNE")[-1].body

    def kinds(self):
        return [event.kind for event in self.ledger.events()]


@pytest.fixture
def house(tmp_path):
    made = House(tmp_path)
    yield made
    made.ledger.close()


def test_three_rollbacks_in_a_row_freeze_what_answers_for_them(house):
    house.tune()
    house.fall(2)
    assert house.last()["frozen"] == []
    house.reopened()
    house.fall(1)
    assert house.last()["frozen"] == ["kappa", "tau"]
    assert house.last()["outcome"] == {"run_id": "run-4", "fate": "rolled_back", "param_version": 2}
    assert house.ledger.verify().valid
    tuner = restored(house.ledger, {})
    before = tuner.get_params()
    assert tuner.update(0.0, {"tau": 1.0, "kappa": 1.0}) == before
    assert tuner.update(0.0, {"beta_min": 1.0})["beta_min"] > before["beta_min"]


def test_the_rollback_and_what_it_teaches_are_one_step_that_moves_no_parameter(house):
    house.tune()
    version, params = parameters(house.ledger)
    house.fall(1)
    assert house.kinds()[-2:] == ["ROLLBACK", "TUNE"]
    assert parameters(house.ledger) == (version, params)


def test_a_champion_whose_run_names_no_version_teaches_nothing(house):
    house.tune()
    before = house.kinds().count("TUNE")
    house.fall(1, version=None)
    assert house.kinds().count("TUNE") == before


def test_only_what_had_moved_by_then_answers(house):
    house.tune()
    house.fall(3, version=1)
    assert house.last()["frozen"] == ["tau"]


def test_a_champion_that_stood_starts_the_count_afresh(house):
    house.tune()
    house.fall(2)
    house.crown("good")
    house.crown("better")
    assert house.last()["outcome"]["fate"] == "promoted"
    house.fall(2)
    assert house.last()["state"]["frozen"] == []
    house.fall(1)
    assert house.last()["frozen"] == ["kappa", "tau"]


def test_who_was_forced_into_office_or_never_promoted_says_nothing(house):
    house.tune()
    house.fall(4, forced=True)
    assert house.kinds().count("TUNE") == 1
    house.crown("next")
    # What stands before it is the first champion, for which no tuned parameter answers.
    assert house.kinds().count("TUNE") == 1


def test_before_anything_was_tuned_nobody_answers(house):
    house.fall(4)
    assert "TUNE" not in house.kinds()
    assert fate_entries(house.ledger, None, "promoted") == []


def test_tune_show_says_what_is_frozen_and_counts_only_steps(house):
    house.tune()
    house.fall(3)
    data = tuning(house.ledger)
    assert data["frozen"] == ["kappa", "tau"]
    assert [step["outcome"] is None for step in data["steps"]] == [True, True, False, False, False]


def test_the_tuner_begins_with_the_parameters_of_the_project(tmp_path):
    params = {**DEFAULTS, "tau": 0.61}
    with WORMLedger(tmp_path / "empty.db") as ledger:
        begun = restored(ledger, params)
    assert (begun.get_params(), begun.version) == (OnlineTuner(params).get_params(), 0)
    assert begun.get_params()["tau"] == 0.61
