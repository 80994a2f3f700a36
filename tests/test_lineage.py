"""The free lineage: parents are the best of earlier races against today's champion, unproved."""

import json
import shutil

import numpy as np
import pytest

from penin_core import Candidate, Configuration, WORMLedger
from penin_core.league.lineage import LATEST, PARENTS, parent
from penin_core.ledger.artifacts import write_run

CHAMPION = Candidate(config=Configuration(provider="p", model="champion"))


class First:
    """A generator that always draws the same place, and remembers of how many."""

    def __init__(self, place=0):
        self.place, self.of = place, []

    def integers(self, high):
        self.of.append(high)
        return self.place


@pytest.fixture
def archive(tmp_path):
    with WORMLedger(tmp_path / "ledger.db") as ledger:
        yield Archive(tmp_path, ledger)


class Archive:
    """A ledger of races."""

    def __init__(self, state, ledger):
        self.state, self.ledger, self.count = state, ledger, 0

    def add(self, model, gain, *, cycle="one", champion=CHAMPION, **row):
        """Record that ``model`` gained so much in a race; None: it was not ranked."""
        self.count += 1
        config = Configuration(provider="p", model=model)
        run_id = f"run-{self.count}"
        text = json.dumps(config.model_dump(mode="json")).encode()
        manifest = write_run(self.state, run_id, {"config.json": text})
        detail = {"champion": champion.hash} | ({} if gain is None else {"race_gain": gain})
        self.ledger.record_run(
            {
                "id": run_id,
                "cycle_id": cycle,
                "kind": "challenger",
                "candidate_cfg_hash": config.hash,
                "verdict": "rollback",
                "reason": "raced_out",
                "dry_run": False,
                "n_tasks": 30,
                "artifacts_path": f"runs/{run_id}",
                "manifest_sha256": manifest,
                "detail": detail,
                **row,
            }
        )
        return config.hash

    def parent(self, rng=None, barred=(), champion=CHAMPION):
        return parent(self.state, self.ledger, champion, barred, rng or First())

    def models(self):
        """The models of all parents, best first."""
        first = First()
        self.parent(first)
        return [self.parent(First(n)).config.model for n in range(*(first.of or [0]))]


def test_without_races_there_is_no_parent_and_no_chance_is_used(archive):
    rng = First()
    assert archive.parent(rng) is None
    assert rng.of == []


def test_the_best_of_the_races_are_parents_best_first(archive):
    for n, gain in enumerate((0.01, 0.05, 0.03, 0.02, 0.06, 0.04)):
        archive.add(f"m{n}", gain)
    assert archive.models() == ["m4", "m1", "m5", "m2"]
    assert len(archive.models()) == PARENTS
    found = archive.parent()
    assert (found.origin, found.note) == ("lineage", "run run-5")


@pytest.mark.parametrize("gain", [None, 0.0, -0.01])
def test_who_did_not_beat_the_champion_in_the_race_is_no_parent(archive, gain):
    archive.add("m", gain)
    assert archive.parent() is None


def test_races_against_another_champion_do_not_count(archive):
    other = CHAMPION.child("t", model="other")
    archive.add("m", 0.1, champion=other)
    assert archive.parent() is None
    assert archive.parent(champion=other).config.model == "m"


def test_the_champion_itself_and_who_is_barred_are_no_parents(archive):
    archive.add("champion", 0.2)
    bad = archive.add("bad", 0.1)
    archive.add("good", 0.05)
    assert archive.models() == ["bad", "good"]
    assert archive.parent(barred={bad}).config.model == "good"


def test_a_baseline_is_no_parent(archive):
    archive.add("m", 0.1, kind="baseline")
    assert archive.parent() is None


def test_a_cycle_that_was_cut_short_leaves_no_parents(archive):
    archive.add("a", 0.1, cycle="cut")
    archive.add("b", None, cycle="cut", verdict="fail", reason="budget_exhausted: time")
    archive.add("c", 0.05, cycle="whole", reason=None)
    assert archive.models() == ["c"]


def test_of_two_races_the_latest_counts(archive):
    archive.add("a", 0.5)
    archive.add("b", 0.2)
    archive.add("a", 0.1)
    assert archive.models() == ["b", "a"]


def test_equal_gains_are_ranked_by_hash_whoever_came_first(archive):
    hashes = {archive.add(model, 0.1): model for model in ("x", "y", "z")}
    assert archive.models() == [hashes[key] for key in sorted(hashes)]


def test_only_the_latest_runs_are_looked_at(archive):
    archive.add("old", 0.9)
    archive.ledger.record_many(
        [
            (
                "RUN",
                {
                    "id": f"filler-{n}",
                    "cycle_id": "later",
                    "kind": "challenger",
                    "candidate_cfg_hash": "0" * 64,
                    "verdict": "rollback",
                    "dry_run": False,
                    "n_tasks": 1,
                },
            )
            for n in range(LATEST - 1)
        ]
    )
    assert archive.models() == ["old"]
    archive.add("new", 0.1)
    assert archive.models() == ["new"]


def test_a_parent_whose_files_are_gone_or_changed_is_none(archive):
    archive.add("m", 0.1)
    archive.add("n", 0.2)
    shutil.rmtree(archive.state / "runs" / "run-1")
    config = archive.state / "runs" / "run-2" / "config.json"
    config.chmod(0o600)
    config.write_text("{}")
    assert [archive.parent(First(n)) for n in (0, 1)] == [None, None]


def test_chance_decides_among_the_parents(archive):
    for n in range(6):
        archive.add(f"m{n}", 0.1 + n / 100)
    rng = np.random.default_rng(1)
    drawn = {archive.parent(rng).config.model for _ in range(60)}
    assert drawn == {"m2", "m3", "m4", "m5"}
