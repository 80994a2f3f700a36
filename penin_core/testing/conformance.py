"""The contracts as tests: derive a test class from a kit, and every clause runs against yours.

::

    class TestAcme(HttpProviderConformance):
        component = Acme
        reply = {"text": "hello", "usage": {"in": 3, "out": 1}}

A clause that a component cannot meet is declared with its reason, and must then fail::

    expected_failures = {"test_same_question_same_answer": "the model takes no seed"}

A clause that is replaced, removed or excused without a reason stops the collection of the tests.
"""

from __future__ import annotations

import math
import random
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, ClassVar

import numpy as np
import pytest

from penin_core import (
    Candidate,
    Completion,
    Configuration,
    EthicsEvidence,
    GuardEvidence,
    GuardResult,
    Measurement,
    PeninError,
    Request,
    Task,
)

from .kits import Conformance as Conformance

TASKS = (
    Task(id="red", input="What colour is blood?", expected="red", group="a", consent=True),
    Task(id="blue", input="What colour is the sky?", expected="blue", group="b", consent=True),
    Task(id="green", input="What colour is grass?", expected="green", group="a", consent=True),
)
BASELINE = {"cost_usd": 0.002, "latency_ms": 40.0, "tokens": 30.0}
CHAMPION = Candidate(
    config=Configuration(provider="echo", model="any", system="Answer.", temperature=0.7)
)
MEASURED = Measurement(U=0.9, S=0.95, C=0.9, L=0.9, harm=0.0, n_tasks=500)
GOOD = GuardEvidence(
    candidate=MEASURED,
    champion=MEASURED,
    ethics=EthicsEvidence(ece=0.005, rho_bias=1.0, fairness=1.0, consent=True, eco_kg=0.01),
    risk_history=tuple(0.5 * 0.8**step for step in range(10)),
)
NOTHING = GuardEvidence(candidate=Measurement(), champion=Measurement(), ethics=EthicsEvidence())


class MutatorConformance(Conformance):
    """For subclasses of Mutator; ``tasks`` are what ``prepare`` sees before each proposal."""

    kind = "mutators"
    champion: ClassVar[Candidate] = CHAMPION
    tasks: ClassVar[Sequence[Task]] = TASKS

    def propose(self, count: int = 4, seed: int = 7) -> list[Candidate]:
        """Return the proposals of a new instance."""
        mutator = self.component(self.component.Options(**self.options))
        mutator.prepare(self.tasks)
        proposals = list(mutator.propose(self.champion, count, np.random.default_rng(seed)))
        mutator.close()
        return proposals

    def test_it_proposes_something(self) -> None:
        """And nothing but candidates."""
        proposals = self.propose()
        assert proposals
        assert {type(candidate) for candidate in proposals} == {Candidate}

    @pytest.mark.parametrize("count", [0, 1, 3])
    def test_it_proposes_at_most_count(self, count: int) -> None:
        """Each proposal costs the user money."""
        assert len(self.propose(count)) <= count

    def test_same_seed_same_proposals(self) -> None:
        """A cycle can be replayed."""
        assert self.propose() == self.propose()

    def test_chance_comes_from_rng_only(self) -> None:
        """Global generators are neither read nor moved."""
        first = self.propose()
        before = random.getstate(), repr(np.random.get_state())
        random.seed(1)
        np.random.seed(1)
        seeded = random.getstate(), repr(np.random.get_state())
        assert self.propose() == first
        assert (random.getstate(), repr(np.random.get_state())) == seeded
        random.setstate(before[0])

    def test_lineage_is_kept(self) -> None:
        """Every proposal is a child of the champion."""
        assert {candidate.parent for candidate in self.propose()} <= {self.champion.hash}

    def test_proposals_differ(self) -> None:
        """From each other and from the champion: measuring the same twice is waste."""
        hashes = [candidate.hash for candidate in self.propose()]
        assert len({*hashes, self.champion.hash}) == len(hashes) + 1

    def test_proposals_say_who_made_them(self) -> None:
        """The ledger and ``penin why`` name the origin of every candidate."""
        assert {candidate.origin for candidate in self.propose()} <= {self.component.name}

    def test_learning_from_nothing_is_harmless(self, made: Any) -> None:
        """A race may end before anything was measured."""
        made.prepare(())
        made.learn(())
        assert len(list(made.propose(self.champion, 2, np.random.default_rng(7)))) <= 2

    def test_champion_stays_what_it_is(self) -> None:
        """Its nested values, too."""
        before = self.champion.model_dump_json()
        self.propose()
        assert self.champion.model_dump_json() == before


class EvaluatorConformance(Conformance):
    """For subclasses of Evaluator: ``task`` is one that it can score.

    ``tasks`` and ``baseline`` are what ``prepare`` sees, ``judgement`` is what another model
    answers to ``judge``.
    """

    kind = "evaluators"
    task: ClassVar[Task] = TASKS[0]
    tasks: ClassVar[Sequence[Task]] = TASKS
    baseline: ClassVar[Mapping[str, float]] = BASELINE
    judgement: ClassVar[str] = "1"

    @pytest.fixture
    def made(self) -> Iterator[Any]:
        """The evaluator under test, prepared."""
        made = self.component(self.component.Options(**self.options))
        made.prepare(self.tasks, self.baseline)
        yield made
        made.close()

    def variants(self, made: Any) -> list[Task]:
        """Return the forms of ``task`` to ask, under one seed."""
        return list(made.variants(self.task, np.random.default_rng(7)))

    def answers(self, made: Any, text: str) -> list[Completion]:
        """Return ``text`` as the answer to every variant, then the judge's answers."""
        given = [completion(text) for _ in self.variants(made)]
        return given + [completion(self.judgement) for _ in made.judge(self.task, given)]

    def score(self, made: Any, text: str) -> float:
        """Score ``text`` as the answer to ``task``."""
        return float(made.score(self.task, self.answers(made, text)))

    def test_it_applies_to_its_task(self, made: Any) -> None:
        """``task`` must be one that it can score."""
        assert made.applies(self.task) is True

    @pytest.mark.parametrize(
        "text",
        ["red", "", "no idea", "{", "red " * 2000, "κόκκινο \U0001f534", "\x00\n"],
        ids=["right", "empty", "wrong", "brace", "long", "foreign", "control"],
    )
    def test_score_stays_in_unit(self, made: Any, text: str) -> None:
        """Whatever the model says."""
        score = self.score(made, text)
        assert math.isfinite(score)
        assert 0.0 <= score <= 1.0

    def test_bare_answer_is_scored_or_named(self, made: Any) -> None:
        """Without log-probabilities, costs and all else that is optional in a Completion.

        The error says in words what is missing: a PeninError or a ValueError, not a TypeError that
        came about.
        """
        bare = [
            Completion(text=answer.text, model=answer.model, tokens_in=1, tokens_out=1)
            for answer in self.answers(made, "red")
        ]
        try:
            score = float(made.score(self.task, bare))
        except (PeninError, ValueError):
            return
        assert 0.0 <= score <= 1.0

    def test_same_answers_same_score(self, made: Any) -> None:
        """A verdict can be derived again."""
        assert self.score(made, "blood red") == self.score(made, "blood red")

    def test_right_answer_is_not_worse(self, made: Any) -> None:
        """Of utility evaluators: more is better."""
        if made.axis == "U" and isinstance(self.task.expected, str):
            assert self.score(made, self.task.expected) >= self.score(made, "no idea")

    def test_variants_are_tasks(self, made: Any) -> None:
        """At least one, and the same under the same seed."""
        assert {type(task) for task in self.variants(made)} == {Task}
        assert self.variants(made) == self.variants(made)

    def test_judge_asks_requests(self, made: Any) -> None:
        """Or nothing; it never calls a model itself."""
        asked = made.judge(self.task, [completion("red") for _ in self.variants(made)])
        assert all(isinstance(request, Request) for request in asked)

    def test_aggregate_stays_in_unit(self, made: Any) -> None:
        """And nothing measured is None, never zero."""
        answers = self.answers(made, "red")
        total = made.aggregate([(self.task, answers, made.score(self.task, answers))])
        assert total is None or 0.0 <= total <= 1.0
        assert made.aggregate([]) is None


class GuardConformance(Conformance):
    """For subclasses of Guard: ``good`` must pass, ``bad`` must not."""

    kind = "guards"
    good: ClassVar[GuardEvidence] = GOOD
    bad: ClassVar[GuardEvidence]

    def test_good_evidence_passes(self, made: Any) -> None:
        """The guard says who it is, and why."""
        result = made.check(self.good)
        assert isinstance(result, GuardResult)
        assert result.ok, result.reason
        assert result.guard == made.name
        assert result.reason

    def test_bad_evidence_is_vetoed(self, made: Any) -> None:
        """With a reason."""
        result = made.check(self.bad)
        assert isinstance(result, GuardResult)
        assert not result.ok
        assert result.reason

    def test_missing_evidence_never_counts_as_good(self, made: Any) -> None:
        """A veto, an error, or an answer that says that nothing was measured."""
        try:
            result = made.check(NOTHING)
        except Exception:
            return
        assert isinstance(result, GuardResult)
        assert not (result.ok and result.measured)

    def test_part_that_decides_is_never_optional(self, made: Any) -> None:
        """What alone turns ``good`` into a veto must, when it is missing, not count as good."""
        for place in differing(self.good, self.bad):
            if _passes(made, replaced(self.good, place, part_of(self.bad, place))):
                continue
            missing = () if place == ("risk_history",) else None
            assert not _passes(made, replaced(self.good, place, missing)), f"without {place}"

    def test_same_evidence_same_answer(self, made: Any) -> None:
        """A verdict can be derived again."""
        assert made.check(self.good) == made.check(self.good)
        assert made.check(self.bad) == made.check(self.bad)


#: Where a part of the evidence stands: ("ethics", "ece"), ("risk_history",).
Place = tuple[str, ...]


def differing(good: GuardEvidence, bad: GuardEvidence) -> list[Place]:
    """Return the parts in which ``bad`` differs and that may be missing in an evidence."""
    places: list[Place] = [("ethics", name) for name in EthicsEvidence.model_fields]
    optional = [n for n, field in Measurement.model_fields.items() if field.default is None]
    places += [(owner, name) for owner in ("candidate", "champion") for name in optional]
    places += [("risk_history",)]
    may_miss = [p for p in places if part_of(NOTHING, p) in (None, ())]
    return [place for place in may_miss if part_of(good, place) != part_of(bad, place)]


def part_of(evidence: GuardEvidence, place: Place) -> Any:
    """Return one part of an evidence."""
    value: Any = evidence
    for name in place:
        value = getattr(value, name)
    return value


def replaced(evidence: GuardEvidence, place: Place, value: Any) -> GuardEvidence:
    """Return ``evidence`` with another value at ``place``."""
    name, *inner = place
    changed = getattr(evidence, name).model_copy(update={inner[0]: value}) if inner else value
    return evidence.model_copy(update={name: changed})


def _passes(made: Any, evidence: GuardEvidence) -> bool:
    try:
        result = made.check(evidence)
    except Exception:
        return False
    return bool(result.ok and result.measured)


def completion(text: str) -> Completion:
    """Return an answer with all that an evaluator may look at."""
    words = max(1, len(text.split()))
    return Completion(
        text=text,
        model="any",
        tokens_in=12,
        tokens_out=words,
        logprobs=(-0.1,) * words,
        cost_usd=0.001,
        latency_ms=20.0,
        utility=1.0,
    )
