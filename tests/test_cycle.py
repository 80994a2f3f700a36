"""Whole cycles with a scripted model: the better prompt wins, and nothing else ever does."""

import asyncio
import json
import math
import re
from datetime import datetime
from itertools import count as counting
from types import SimpleNamespace

import numpy as np
import pytest

from penin_core import (
    Candidate,
    Capabilities,
    Completion,
    Configuration,
    EvaluationFailed,
    Example,
    Guard,
    GuardResult,
    LocalProvider,
    Mutator,
    Price,
    ProviderUnavailable,
    SettingsError,
    StateError,
    SuiteError,
    Task,
    WORMLedger,
    __version__,
    evolve_one_cycle,
    hookimpl,
)
from penin_core.canonical import digest
from penin_core.cli.reporting import report_in_words
from penin_core.cycle import Cycle
from penin_core.engine import budget
from penin_core.forecast import forecast, race_calls
from penin_core.league.campaign import Campaign, campaign_of, task_mark
from penin_core.league.lineage import parent
from penin_core.league.promotion import promotion_body, utility_lost
from penin_core.league.worth import worthwhile_gain
from penin_core.ledger import artifacts, drafts
from penin_core.ledger import champion as pointer_module
from penin_core.ledger.artifacts import orphans, read_run
from penin_core.ledger.champion import champions
from penin_core.omega.evidence import smallest_provable_gain
from penin_core.plugins import Plugins
from penin_core.project import Project, parameters
from penin_core.proposing import propose
from penin_core.rehearsal import repeated
from penin_core.runners import open_cycle
from penin_core.settings import Baseline, EvolveSettings, GuardSettings, Settings, SuiteDefinition
from penin_core.state import prepare
from penin_core.suites import Suite, seeded_order

CHAMPION = Configuration(provider="adder", model="m", system="skill=0.6 today", max_tokens=4)
SKILLS = (0.4, 0.9, 0.6)


def tasks(confirm):
    """Sums; composed ones have three terms."""
    made = []
    for split, count in (("select", 40), ("confirm", confirm), ("composed", 12), ("ood", 4)):
        for n in range(count):
            terms = [n + 1000 * len(split), 7 * n + 3, 5][: 3 if split == "composed" else 2]
            question = f"Please compute the sum of {' and '.join(map(str, terms))} now"
            made.append(
                Task(
                    id=f"{split}-{n}",
                    input=question,
                    expected=str(sum(terms)),
                    split=split,
                    consent=True,
                    group=("even", "odd")[n % 2],
                )
            )
    return tuple(made)


def terms_of(text):
    return [int(digits) for digits in re.findall(r"\d+", text)]


def difficulty(terms):
    """Return how hard a sum is, in [0, 1): the same for everybody."""
    return int(digest(terms)[:8], 16) / 2**32


def skilled(request):
    """Say whether the answer is right: as often as the system prompt says."""
    skill = float(re.search(r"skill=(\S+)", request.system)[1])
    return difficulty(terms_of(request.messages[-1].content)) < skill


class Lab:
    """A project around a scripted model, and a log of what was asked."""

    def __init__(self, state, *, right=skilled, confirm=120, skills=SKILLS, price=0.0, **more):
        self.right, self.price, self.skills = right, price, skills
        self.asked, self.learned, self.heard = [], [], []
        self.refused = more.get("refused", ())
        self.state = prepare(state)
        guards, mutators = more.get("guards", []), more.get("mutators", [])
        self.settings = Settings(
            champion=CHAMPION,
            suite=SuiteDefinition(gate_tasks=20, baseline=Baseline(tokens=8.0)),
            evolve=EvolveSettings(
                mutators=("moves", *(mutator.name for mutator in mutators)),
                race_tasks=20,
                confirm_min=100,
                confirm_max=120,
            ),
            guards=GuardSettings(use=("sigma", "contractive", *(guard.name for guard in guards))),
        )
        self.tasks = tasks(confirm)
        self.by_terms = {tuple(terms_of(task.input)): task for task in self.tasks}
        plugins = Plugins.load(discover=False)
        plugins.add(self.plugin([*guards], [*mutators]), "lab", "penin-lab", "1.0")
        self.project = Project(
            self.settings, self.state, plugins, Suite(self.settings.suite, self.tasks)
        )

    def plugin(self, guards, mutators):
        lab = self

        class Adder(LocalProvider):
            """Adds up."""

            name = "adder"

            def capabilities(self, model):
                price = Price(input_per_million=lab.price, output_per_million=lab.price)
                return Capabilities(
                    logprobs=True,
                    seed=True,
                    price=price,
                    batch=1 if lab.price else 64,
                    refused=lab.refused,
                )

            def generate(self, requests):
                return [lab.answer(request) for request in requests]

        class Moves(Mutator):
            """Proposes other skills."""

            name = "moves"

            def propose(self, champion, count, rng):
                for skill in lab.skills:
                    yield champion.child(self.name, system=f"skill={skill} tomorrow")

            def learn(self, evaluations):
                lab.learned += evaluations

        @hookimpl
        def providers():
            return [Adder]

        @hookimpl
        def all_mutators():
            return [Moves, *mutators]

        @hookimpl
        def all_guards():
            return guards

        @hookimpl
        def evaluated(evaluation):
            lab.heard.append(evaluation)

        return SimpleNamespace(
            penin_api=1,
            penin_register_providers=providers,
            penin_register_mutators=all_mutators,
            penin_register_guards=all_guards,
            penin_candidate_evaluated=evaluated,
        )

    def answer(self, request):
        self.asked.append(request)
        right = self.right(request)
        if not isinstance(right, bool):
            return right
        return Completion(
            text=str(sum(terms_of(request.messages[-1].content)) + (not right)),
            model=request.model,
            tokens_in=6 + len(request.system.split()),
            tokens_out=1,
            logprobs=(math.log(0.98 if right else 0.02),),
        )

    def evolve(self, n=3, **options):
        return asyncio.run(evolve_one_cycle(n, project=self.project, **options))

    def ledger(self):
        return WORMLedger(self.state / "ledger.db")

    def kinds(self):
        with self.ledger() as ledger:
            assert ledger.verify().valid
            return [ledger.entry(n).kind for n in range(ledger.size)]

    def events(self, kind):
        with self.ledger() as ledger:
            return [entry.body for entry in ledger.events(kind)]

    def rows(self, **wanted):
        """Rows of ``runs``, oldest first."""
        with self.ledger() as ledger:
            rows = list(reversed(ledger.runs()))
        return [row for row in rows if all(row[key] == value for key, value in wanted.items())]

    def pointer(self):
        path = self.state / "champion.json"
        return json.loads(path.read_text()) if path.exists() else None

    def task_of(self, request):
        """Return the task that a request asks, in whatever form."""
        return self.by_terms[tuple(terms_of(request.messages[-1].content))]

    def asked_of(self, split, skill=""):
        """Return the ids of the tasks of a split that were asked, of prompts with ``skill``."""
        found = [self.task_of(request) for request in self.asked if skill in request.system]
        return [task.id for task in found if task.split == split]


def plain(report):
    """What must be the same when a cycle is repeated."""
    return {
        "verdict": (report.verdict, report.reason),
        "runs": [(run.candidate.hash, run.decision) for run in report.runs],
        "axes": [
            [getattr(run.measurement, axis) for axis in "USCL"] + [run.measurement.n_errors]
            for run in report.runs
        ],
        "confirmation": report.confirmation,
        "guards": report.guards,
        "failures": report.failures,
    }


@pytest.fixture(scope="module")
def won(tmp_path_factory):
    """A lab after one cycle in which the better prompt won; nothing here changes it."""
    lab = Lab(tmp_path_factory.mktemp("won"))
    lab.report = lab.evolve(seed=11)
    return lab


# A better prompt


def test_the_better_prompt_is_promoted(won):
    report = won.report
    assert (report.verdict, report.reason) == ("promote", "better, proved on 100 tasks")
    assert report.champion.config.system == "skill=0.9 tomorrow"
    assert [run.decision.verdict for run in report.runs] == [
        "rollback",
        "rollback",
        "promote",
        "rollback",
    ]
    assert report.best_challenger == report.runs[2].run_id
    assert all(guard.ok for guard in report.guards)
    assert report.failures == ()


def test_the_pointer_follows_the_ledger(won):
    runs = ["RUN"] * 4
    assert won.kinds() == ["RUN", "BOOTSTRAP", "CONFIRM", *runs, "CONFIRM", "PROMOTE"]
    pointer = won.pointer()
    assert pointer["config"]["system"] == "skill=0.9 tomorrow"
    assert pointer["run_id"] == won.report.best_challenger
    assert pointer["idx"] == 8


def test_every_candidate_has_a_row_and_a_complete_run_directory(won):
    rows = won.rows()
    assert [row["kind"] for row in rows] == ["baseline"] * 2 + ["challenger"] * 3
    assert [row["id"] for row in rows[1:]] == [run.run_id for run in won.report.runs]
    for row in rows:
        files = read_run(won.state, row["id"], row["manifest_sha256"])
        config = Configuration.model_validate_json(files["config.json"])
        assert config.hash == row["candidate_cfg_hash"]
        assert json.loads(files["decision.json"])["verdict"] == row["verdict"]
    assert orphans(won.state, {row["id"] for row in rows}) == {}


def test_the_finalists_row_says_what_it_was_decided_on(won):
    row = won.rows(verdict="promote", kind="challenger")[0]
    found = won.report.runs[2].measurement
    assert (row["u_score"], row["s_score"], row["c_score"], row["l_score"]) == (
        found.U,
        found.S,
        found.C,
        found.L,
    )
    assert row["sigma_guard_ok"] is True
    assert row["delta_linf"] >= 0.02
    assert row["score"] >= 0.5
    assert row["seed"] == 11
    assert len(row["ethics_attest_hash"]) == 64
    with won.ledger() as ledger:
        detail = ledger.entry(row["idx"]).body["detail"]
    assert detail["confirmation"]["proved"] is True
    assert {guard["guard"] for guard in detail["guards"]} == {"sigma", "contractive"}
    pairs = read_run(won.state, row["id"])["pairs.jsonl"].splitlines()
    assert len(pairs) == row["n_tasks"] - 12 - 4 == 100


def test_the_gain_is_that_of_the_confirm_tasks(won):
    asked = set(won.asked_of("confirm"))
    hard = [difficulty(terms_of(task.input)) for task in won.tasks if task.id in asked]
    share = sum(0.6 <= draw < 0.9 for draw in hard) / len(hard)
    assert won.report.confirmation.gain == pytest.approx(share)
    assert won.report.confirmation.losses == 0


def test_what_was_declared_can_be_computed_again(won):
    declared, closed = won.events("CONFIRM")
    assert closed.items() >= {"closes": 1, "proved": True, "asked": 120}.items()
    order = seeded_order([t for t in won.tasks if t.split == "confirm"], 0)[:120]
    assert declared["order_digest"] == digest([task.id for task in order])
    assert declared["order_digest"] == won.report.confirmation.order_digest
    assert (declared["t"], declared["alpha"], declared["claim"]) == (1, 0.025, "better")
    assert declared["champion"] == CHAMPION.hash
    assert declared["finalist"] == won.report.runs[2].candidate.hash


def test_the_tasks_that_proved_it_are_spent(won):
    (promotion,) = won.events("PROMOTE")
    order = seeded_order([t for t in won.tasks if t.split == "confirm"], 0)[:120]
    assert promotion["spent"] == [task_mark(task.id) for task in order]
    with won.ledger() as ledger:
        assert campaign_of(ledger).spent() == set(promotion["spent"])


def test_the_gain_is_estimated_again_on_tasks_after_the_proof(won):
    run_id = won.report.best_challenger
    files = read_run(won.state, run_id)
    further = [json.loads(line) for line in files["further.jsonl"].splitlines()]
    found = won.report.confirmation.further
    assert found.n == len(further) == 20
    assert found.gain == pytest.approx(sum(pair["difference"] for pair in further) / 20)
    decided = {json.loads(line)["task"] for line in files["pairs.jsonl"].splitlines()}
    assert not decided & {pair["task"] for pair in further}


def test_search_never_asks_a_confirm_task_and_only_the_finalist_is_confirmed(won):
    assert won.asked_of("confirm", "skill=0.4") == []
    assert set(won.asked_of("confirm", "skill=0.9")) == set(won.asked_of("confirm", "skill=0.6"))


def test_nobody_who_searches_sees_an_answer_to_a_confirm_task(won):
    assert {e.stage for e in won.learned} == {"race"}
    shown = [row.split for e in (*won.learned, *won.heard) for row in e.measurement.rows]
    assert set(shown) == {"select"}
    assert [e.stage for e in won.heard].count("confirm") == 1


def test_the_confirmation_stands_in_the_ledger_before_the_first_confirm_question(tmp_path):
    declared = []

    def right(request):
        if lab.task_of(request).split == "confirm" and not declared:
            declared.append(len(lab.events("CONFIRM")))
        return skilled(request)

    lab = Lab(tmp_path, right=right)
    lab.evolve()
    assert declared == [1]


# What never promotes


def test_a_dry_run_decides_and_records_but_makes_and_moves_nothing(tmp_path):
    lab = Lab(tmp_path, confirm=600)
    report = lab.evolve(dry_run=True)
    assert report.verdict == "promote"
    assert report.champion.config == CHAMPION
    assert lab.kinds() == ["CONFIRM", "RUN", "RUN", "RUN", "RUN", "CONFIRM"]
    assert {row["dry_run"] for row in lab.rows()} == {True}
    assert lab.pointer() is None
    assert lab.evolve().verdict == "promote"
    moved = lab.pointer()
    assert lab.evolve(dry_run=True).dry_run
    assert lab.pointer() == moved
    assert lab.kinds().count("PROMOTE") == 1


def test_a_confirmation_that_another_cycle_left_open_counts_as_one_more(tmp_path):
    lab, rest = Lab(tmp_path), dict.fromkeys(("league", "engine", "watch"))
    with lab.ledger() as ledger:
        cycle = Cycle(
            project=lab.project,
            ledger=ledger,
            suite=lab.project.suite,
            seed=9,
            dry_run=False,
            profile="",
            id="",
            **rest,
        )
        ledger.record_event("CONFIRM", {"t": 1, "answer_seed": 7, "marks": []})
        unbroken = cycle._next_confirmation()
        ledger.record_event("CONFIRM", {"t": 2, "answer_seed": 9, "marks": []})
        assert cycle._next_confirmation() == unbroken == (120, 2)


def test_challengers_that_answer_alike_are_raced_out(tmp_path):
    lab = Lab(tmp_path, skills=(0.6, "0.60", "0.600"))
    report = lab.evolve()
    assert report.verdict == "rollback"
    assert all("raced_out" in run.decision.reason for run in report.runs[1:])
    assert lab.kinds() == ["RUN", "BOOTSTRAP", "RUN", "RUN", "RUN", "RUN"]
    assert lab.pointer()["run_id"] == lab.rows()[0]["id"]


@pytest.mark.parametrize("seed", range(3))
def test_equals_with_luck_of_their_own_are_not_promoted(tmp_path, seed):
    lab = Lab(tmp_path, right=lambda request: request.seed % 10 < 6, skills=("a", "b", "c"))
    report = lab.evolve(seed=seed)
    assert report.verdict in ("rollback", "canary")
    assert "PROMOTE" not in lab.kinds()


def test_worse_challengers_are_not_promoted(tmp_path):
    lab = Lab(tmp_path, skills=(0.1, 0.3, 0.5))
    assert lab.evolve().verdict == "rollback"
    assert "CONFIRM" not in lab.kinds()


def guard(called, behaviour):
    class Odd(Guard):
        """Does what a test says."""

        name = called

        def check(self, evidence):
            return behaviour()

    return Odd


def explode():
    raise RuntimeError("no opinion")


#: What a guard may do instead of saying yes, and the error that is recorded.
NO_YES = {
    "raises": (explode, "RuntimeError: no opinion"),
    "nothing": (lambda: None, "TypeError: it answered None"),
    "true": (lambda: True, "TypeError: it answered True"),
    "mapping": (lambda: {"guard": "mapping", "ok": True, "reason": "trust me"}, "TypeError"),
    "no": (lambda: GuardResult(guard="sigma", ok=False, reason="too blue"), ""),
}


def test_a_guard_that_does_not_clearly_say_yes_vetoes(tmp_path):
    lab = Lab(tmp_path, guards=[guard(name, what) for name, (what, _) in NO_YES.items()])
    report = lab.evolve()
    assert report.confirmation.proved
    assert report.verdict == "rollback"
    assert report.reason == f"vetoed by {', '.join(NO_YES)}"
    said = {result.guard: result.ok for result in report.guards}
    assert said == {"sigma": True, "contractive": True, **dict.fromkeys(NO_YES, False)}
    errors = {failure.component: failure.error for failure in report.failures}
    for name, (_, error) in NO_YES.items():
        assert error in errors.get(f"guard {name}", "")
    assert {failure.plugin for failure in report.failures} == {"lab (penin-lab 1.0)"}
    assert {failure.consequence for failure in report.failures} == {"it vetoes"}
    assert "PROMOTE" not in lab.kinds()
    assert lab.rows(kind="challenger")[1]["sigma_guard_ok"] is True


def test_one_veto_is_enough(tmp_path):
    lab = Lab(tmp_path, guards=[guard("nothing", lambda: None)])
    assert lab.evolve().reason == "vetoed by nothing"
    assert "PROMOTE" not in lab.kinds()


def test_without_any_guard_nothing_is_promoted(tmp_path):
    lab = Lab(tmp_path)
    lab.project.settings = lab.settings.model_copy(update={"guards": GuardSettings(use=())})
    assert lab.evolve().reason == "vetoed by no guard at all"


# Mutators


def proposals(lab, count):
    """Open a cycle and ask the mutators only; return the challengers and the failures."""

    async def ask():
        what = {"seconds": 9.0, "max_usd": None, "dry_run": False, "profile": None}
        async with open_cycle(lab.project, seed=0, watch=lambda *_: None, **what) as cycle:
            return propose(cycle, Candidate(config=CHAMPION), count), cycle.failures

    return asyncio.run(ask())


def proposing(behaviour):
    class Odd(Mutator):
        """Does what a test says."""

        name = "odd"

        def propose(self, champion, count, rng):
            return behaviour(champion)

    return Odd


@pytest.mark.parametrize(
    "behaviour",
    [
        lambda champion: explode(),
        lambda champion: None,
        lambda champion: ["no candidate"],
        lambda champion: [champion.child("odd", prompt="{{input}} {{nowhere}}")],
        lambda champion: [champion.child("odd", provider="nobody")],
        lambda champion: [champion.child("odd", temperature=9)],
    ],
    ids=["raises", "none", "no candidate", "placeholder", "provider", "invalid"],
)
def test_a_mutator_that_fails_loses_its_proposals_and_nothing_else(tmp_path, behaviour):
    lab = Lab(tmp_path, mutators=[proposing(behaviour)], skills=(0.9,))
    challengers, (failure,) = proposals(lab, 2)
    assert [challenger.origin for challenger in challengers] == ["moves"]
    assert (failure.component, failure.plugin) == ("mutator odd", "lab (penin-lab 1.0)")
    assert failure.consequence in ("its proposals are lost", "one of its proposals is lost")


def test_the_cycle_goes_on_without_the_mutator_that_failed(tmp_path):
    lab = Lab(tmp_path, mutators=[proposing(lambda champion: explode())], skills=(0.9,))
    report = lab.evolve(2)
    assert report.verdict == "promote"
    assert [failure.component for failure in report.failures] == ["mutator odd"]


def test_one_bad_proposal_does_not_lose_the_good_ones(tmp_path):
    def mixed(champion):
        yield champion.child("odd", prompt="{{input}} {{nowhere}}")
        yield champion.child("odd", system="skill=0.7")

    lab = Lab(tmp_path, mutators=[proposing(mixed)], skills=())
    challengers, (failure,) = proposals(lab, 4)
    assert [challenger.config.system for challenger in challengers] == ["skill=0.7"]
    assert failure.consequence == "one of its proposals is lost"


def test_a_configuration_too_long_for_the_ledger_is_no_challenger(tmp_path):
    def long(champion):
        return [champion.child("odd", system="x" * 30_000)]

    lab = Lab(tmp_path, mutators=[proposing(long)], skills=())
    challengers, (failure,) = proposals(lab, 4)
    assert challengers == []
    assert "at most 24,000" in failure.error


def test_no_challenger_differs_only_in_what_the_model_does_not_take(tmp_path):
    def hot(champion):
        assert champion.refused == ("temperature",)
        for heat in (0.1, 0.2):
            system = f"skill={heat}" if heat > 0.1 else champion.config.system
            config = champion.config.model_copy(update={"temperature": heat, "system": system})
            yield Candidate(config=config, origin="odd", parent=champion.hash)
            # The same question a second time.
            yield Candidate(config=config.model_copy(update={"temperature": 0.3}), origin="odd")
        yield champion.child("odd", temperature=0.4)

    lab = Lab(tmp_path, mutators=[proposing(hot)], skills=(), refused=("temperature",))
    (challenger,), failures = proposals(lab, 9)
    assert challenger.config.system == "skill=0.2"
    assert challenger.refused == ("temperature",)
    assert {failure.error for failure in failures} == {
        "ProviderRefused: m does not take temperature, and nothing else changed"
    }


def test_a_run_says_which_parameters_were_not_applied(tmp_path):
    lab = Lab(tmp_path, refused=("temperature",))
    report = lab.evolve()
    assert {run.measurement.not_applied for run in report.runs} == {("temperature",)}
    assert re.search(
        "not applied *temperature: not taken by the model", report_in_words(report, ())
    )
    with lab.ledger() as ledger:
        details = [ledger.entry(row["idx"]).body["detail"] for row in lab.rows()]
    assert [detail["not_applied"] for detail in details] == [["temperature"]] * len(details)


def test_mutators_propose_in_turn(tmp_path):
    def many(champion):
        return (champion.child("odd", system=f"skill=0.{n}") for n in range(9))

    lab = Lab(tmp_path, mutators=[proposing(many)])
    assert [c.origin for c in proposals(lab, 4)[0]] == ["moves", "odd", "moves", "odd"]
    assert [c.origin for c in proposals(lab, 1)[0]] == ["moves"]
    assert proposals(lab, 0)[0] == []


def test_the_champion_itself_and_repeats_are_no_challengers(tmp_path):
    def repeats(champion):
        return [champion, champion.child("odd", system="skill=0.9 tomorrow")]

    lab = Lab(tmp_path, mutators=[proposing(repeats)], skills=(0.9,))
    assert [c.config.system for c in proposals(lab, 4)[0]] == ["skill=0.9 tomorrow"]


def test_what_was_measured_is_proposed_again_only_where_nothing_new_is_left(tmp_path):
    listed = [f"skill=0.{n} listed" for n in range(5)]
    behaviour = proposing(lambda champion: [champion.child("odd", system=text) for text in listed])
    lab = Lab(tmp_path, mutators=[behaviour], skills=())
    tried = []
    for _ in range(3):
        reports = lab.evolve(2).runs
        tried.append([run.candidate.config.system for run in reports if run.candidate.parent])
    assert tried == [listed[:2], listed[2:4], [listed[4], listed[0]]]


def test_examples_keep_only_the_columns_that_the_prompt_uses(tmp_path):
    example = Example(input="1 and 2", output="3", fields={"unit": "m", "user": "ann@example.org"})

    def solved(champion):
        yield champion.child("odd", examples=(example,))
        yield champion.child("odd", prompt="{{input}} in {{ unit }}", examples=(example,))

    lab = Lab(tmp_path, mutators=[proposing(solved)], skills=())
    lab.tasks = tuple(task.model_copy(update={"fields": {"unit": "m"}}) for task in lab.tasks)
    lab.project.suite = Suite(lab.settings.suite, lab.tasks)
    found, _ = proposals(lab, 2)
    assert [c.config.examples[0].fields for c in found] == [{}, {"unit": "m"}]


def test_where_nobody_proposes_anything_the_cycle_says_so(tmp_path):
    lab = Lab(tmp_path, skills=())
    report = lab.evolve()
    assert (report.verdict, report.reason) == ("fail", "no mutator proposed a challenger")
    assert report.best_challenger is None
    assert lab.kinds() == ["RUN", "BOOTSTRAP", "RUN"]


# Models that fail


def silent(request):
    """Answer as ``skilled`` does, without log-probabilities."""
    text = str(sum(terms_of(request.messages[-1].content)) + (not skilled(request)))
    return Completion(text=text, model=request.model, tokens_in=8, tokens_out=1)


def test_calls_that_fail_say_what_to_do_about_the_first(tmp_path):
    refusal = ProviderUnavailable("no line", hint="plug it in")
    with pytest.raises(EvaluationFailed, match="of 56 calls failed") as caught:
        Lab(tmp_path, right=lambda request: refusal).evolve()
    assert caught.value.hint == "plug it in"


def test_a_champion_without_log_probabilities_is_told_what_to_declare(tmp_path):
    lab = Lab(tmp_path, right=silent)
    with pytest.raises(EvaluationFailed, match=r"could not be measured on S \(ece\)") as caught:
        lab.evolve()
    assert 'set calibration = "stated" in the suite' in caught.value.hint
    assert lab.kinds() == []


def test_a_few_answers_without_log_probabilities_are_left_out(tmp_path):
    def right(request):
        lacks = difficulty(terms_of(request.messages[-1].content)) < 0.05
        return silent(request) if lacks else skilled(request)

    report = Lab(tmp_path, right=right).evolve(seed=11)
    best = report.runs[2]
    assert best.measurement.S is not None
    assert (report.verdict, report.reason) == ("rollback", "vetoed by sigma")
    assert "calibration needs at least 100 samples, got 9" in report.guards[0].reason


def test_a_champion_that_cannot_be_measured_at_all_makes_no_champion(tmp_path):
    lab = Lab(tmp_path, right=lambda request: ProviderUnavailable("no line"))
    with pytest.raises(EvaluationFailed, match="calls failed"):
        lab.evolve()
    assert lab.kinds() == []
    assert lab.pointer() is None


@pytest.mark.parametrize("split", ["select", "confirm"])
def test_a_champion_that_cannot_be_measured_any_more_ends_the_cycle(tmp_path, split):
    def right(request):
        task = lab.task_of(request)
        if lab.broken and "today" in request.system and (task.split, task.group) == (split, "odd"):
            return ProviderUnavailable("no line")
        return skilled(request)

    lab = Lab(tmp_path, right=right, skills=())
    lab.broken = False
    lab.evolve()
    lab.broken, lab.skills = True, SKILLS
    before = lab.pointer()
    with pytest.raises(EvaluationFailed, match="calls failed"):
        lab.evolve(seed=5)
    assert "PROMOTE" not in lab.kinds()
    assert lab.pointer() == before
    assert len(lab.rows()) == 2


def test_a_finalist_that_stops_answering_fails_and_the_cycle_is_recorded(tmp_path):
    def right(request):
        if "skill=0.9" in request.system and lab.task_of(request).split == "confirm":
            return ProviderUnavailable("overloaded")
        return skilled(request)

    lab = Lab(tmp_path, right=right)
    decision = lab.evolve().runs[2].decision
    assert decision.verdict == "fail"
    assert decision.reason.startswith("50 of 50 calls failed; the first: ProviderUnavailable")
    assert lab.kinds() == ["RUN", "BOOTSTRAP", "CONFIRM", "RUN", "RUN", "RUN", "RUN", "CONFIRM"]
    closing = {"closes": 1, "proved": False, "asked": 120}
    assert lab.events("CONFIRM")[-1].items() >= closing.items()
    assert len(lab.rows(kind="challenger")) == 3


def test_a_challenger_that_never_answers_fails_alone(tmp_path):
    def right(request):
        return ProviderUnavailable("x") if "skill=0.4" in request.system else skilled(request)

    report = Lab(tmp_path, right=right).evolve()
    assert [run.decision.verdict for run in report.runs[1:]] == ["fail", "promote", "rollback"]


# Time and money


def test_time_that_is_used_up_fails_what_was_not_measured(tmp_path):
    lab = Lab(tmp_path, skills=())
    lab.evolve()
    lab.skills = SKILLS
    report = lab.evolve(budget_minutes=1e-9)
    assert report.verdict == "fail"
    assert report.reason.startswith("budget_exhausted: the time")
    assert {row["reason"][:17] for row in lab.rows(kind="challenger")} == {"budget_exhausted:"}
    assert report.calls == 0
    assert "PROMOTE" not in lab.kinds()


@pytest.fixture(scope="module")
def price_of_a_cycle(tmp_path_factory):
    """US dollars that a cycle takes that promotes, the first champion left out."""
    lab = Lab(tmp_path_factory.mktemp("priced"), price=10.0, skills=())
    lab.evolve(seed=1)
    lab.skills = SKILLS
    report = lab.evolve(seed=1)
    assert report.verdict == "promote"
    return report.spend_usd


@pytest.mark.parametrize("share", [0.1, 0.9])
def test_money_that_is_used_up_promotes_nothing_however_far_the_cycle_came(
    tmp_path, share, price_of_a_cycle
):
    lab = Lab(tmp_path, price=10.0, skills=())
    lab.evolve(seed=1)
    lab.skills = SKILLS
    cut = lab.evolve(seed=1, max_usd=share * price_of_a_cycle)
    assert cut.reason.startswith("budget_exhausted: the next call can cost")
    assert 0 < cut.spend_usd <= share * price_of_a_cycle
    assert {run.decision.verdict for run in cut.runs[1:]} <= {"fail", "rollback"}
    assert "fail" in {run.decision.verdict for run in cut.runs[1:]}
    assert "PROMOTE" not in lab.kinds()
    if share == 0.9:
        # Who was about to be confirmed is the one to look at, though it is the one that failed.
        best = next(run for run in cut.runs if run.run_id == cut.best_challenger)
        assert best.candidate.config.system == "skill=0.9 tomorrow"
        assert best.decision.verdict == "fail"
    # With more money it goes on where it was: what was answered is not asked again.
    again = lab.evolve(seed=1)
    assert again.verdict == "promote"
    assert len(lab.asked) == len({request.key for request in lab.asked})


def test_a_confirmation_that_cannot_go_on_is_said_to_be_left_behind(tmp_path):
    lab, heard = Lab(tmp_path, skills=()), []
    lab.evolve(seed=1)
    lab.skills = SKILLS
    body = {"t": 1, "alpha": 0.025, "claim": "better", "n_tasks": 120, "answer_seed": 7}
    with lab.ledger() as ledger:
        ledger.record_event("CONFIRM", {**body, "marks": [], "finalist": "f" * 64})
    report = lab.evolve(seed=1, watch=lambda event, about: heard.append((event, about)))
    assert ("left_behind", {"t": 1}) in heard
    assert report.confirmation.t == 2


# Again, and again


def test_a_clock_that_jumps_changes_nothing_but_the_times(tmp_path, monkeypatch, won):
    class Jumping(datetime):
        """Says another year every time."""

        jumps = counting(1)

        @classmethod
        def now(cls, tz=None):
            return datetime(1971 + 37 * next(cls.jumps) % 60, 2, 3, tzinfo=tz)

    for module in (drafts, artifacts, budget):
        monkeypatch.setattr(module, "datetime", Jumping)
    lab = Lab(tmp_path)
    assert plain(lab.evolve(seed=11)) == plain(won.report)
    with lab.ledger() as ledger:
        assert ledger.verify().valid
        times = [ledger.entry(n).ts for n in range(ledger.size)]
        assert times != sorted(times)
    assert lab.pointer()["config"]["system"] == "skill=0.9 tomorrow"


def test_the_same_seed_in_a_fresh_place_decides_the_same(tmp_path, won):
    again = Lab(tmp_path)
    assert plain(again.evolve(seed=11)) == plain(won.report)
    assert {r.key for r in again.asked} == {r.key for r in won.asked}


def test_a_second_cycle_starts_from_the_new_champion_and_uses_no_spent_task(tmp_path):
    lab = Lab(tmp_path, confirm=400, skills=(0.8,))
    assert lab.evolve(1, seed=1).verdict == "promote"
    first = set(lab.asked_of("confirm"))
    lab.asked.clear()
    lab.skills = (0.99,)
    report = lab.evolve(1, seed=2)
    assert report.verdict == "promote"
    assert report.runs[0].candidate.config.system == "skill=0.8 tomorrow"
    second = set(lab.asked_of("confirm"))
    assert len(first) == 200
    assert len(second) >= 100
    assert not first & second
    assert [body["t"] for body in lab.events("CONFIRM") if "t" in body] == [1, 2]


def test_a_spent_pool_is_refused_before_anything_is_asked(tmp_path):
    lab = Lab(tmp_path, confirm=250, skills=(0.8,))
    lab.evolve(1)
    lab.asked.clear()
    assert lab.kinds()[-1] == "PROMOTE"
    with pytest.raises(SuiteError, match="50 fresh confirm tasks are left"):
        lab.evolve(1)
    assert lab.asked == []


def changed(lab, *, evolve=None, suite=None, tasks=()):
    """Give the lab's project other settings, and ``tasks`` in place of its own."""
    definition = lab.settings.suite.model_copy(update=suite or {})
    changes = {"suite": definition, "evolve": lab.settings.evolve.model_copy(update=evolve or {})}
    settings = lab.settings.model_copy(update=changes)
    found = Suite(definition, tuple(tasks) or lab.tasks)
    lab.project = Project(settings, lab.state, lab.project.plugins, found)


def test_planned_looks_on_too_few_tasks_are_refused_before_anything_is_asked(tmp_path):
    lab = Lab(tmp_path, confirm=299)
    changed(lab, evolve={"evidence": "horizon", "confirm_max": 500})
    with pytest.raises(SuiteError, match=r"takes at least 300 tasks .* would have 299 tasks"):
        lab.evolve()
    assert (lab.asked, lab.kinds()) == ([], [])


def test_tasks_that_cannot_be_graded_are_refused_before_anything_is_asked(tmp_path):
    lab = Lab(tmp_path)
    lost = [task.model_copy(update={"expected": None}) for task in lab.tasks[:1]]
    changed(lab, tasks=[*lost, *lab.tasks[1:]])
    with pytest.raises(SuiteError, match=r"can grade 1 of its 160 .* tasks: 'select-0'"):
        lab.evolve()
    assert (lab.asked, lab.kinds()) == ([], [])


def test_what_is_worth_a_confirmation_follows_from_clusters_where_there_are_any(tmp_path):
    reasons = {}
    for size in (1, 10):
        lab = Lab(tmp_path / str(size), skills=(0.8,))
        sources = [
            task.model_copy(update={"fields": {"doc": f"{task.split}{n // size}"}})
            for n, task in enumerate(lab.tasks)
        ]
        changed(lab, suite={"clusters": "doc"}, tasks=sources)
        reasons[size] = lab.evolve(1).runs[-1].decision.reason
    few = worthwhile_gain(12, 1)
    assert worthwhile_gain(120, 1) < 0.1 < few < 0.5
    assert f"a confirmation takes {few:.3f}" in reasons[10]
    assert "a confirmation takes" not in reasons[1]


def test_a_failed_confirmation_spends_alpha_and_no_task(tmp_path):
    lab = Lab(tmp_path, confirm=110, skills=(0.63,))
    assert lab.evolve(1, seed=3).verdict in ("canary", "rollback")
    confirmed = len(lab.events("CONFIRM")) // 2
    assert all(not body["proved"] for body in lab.events("CONFIRM") if "closes" in body)
    lab.skills = (0.9,)
    report = lab.evolve(1, seed=4)
    assert report.verdict == "promote"
    assert report.confirmation.t == confirmed + 1


def test_what_was_rolled_back_is_not_proposed_again(tmp_path):
    lab = Lab(tmp_path, confirm=400)
    lab.evolve()
    with lab.ledger() as ledger:
        lab.project.league(ledger).rollback(reason="complaints")
    assert lab.pointer()["config"]["system"] == CHAMPION.system
    report = lab.evolve()
    assert "skill=0.9 tomorrow" not in {run.candidate.config.system for run in report.runs}
    assert report.verdict == "rollback"


def test_a_finalist_is_not_promoted_over_a_champion_it_was_not_measured_against(tmp_path):
    def right(request):
        if lab.task_of(request).split == "confirm" and not lab.events("ROLLBACK"):
            with lab.ledger() as ledger:
                lab.project.league(ledger).rollback(reason="harm on live traffic")
        return skilled(request)

    lab = Lab(tmp_path, confirm=400, skills=(0.8,))
    assert lab.evolve(1, seed=1).verdict == "promote"
    lab.right, lab.skills = right, (0.99,)
    with pytest.raises(StateError, match="the champion changed while the cycle ran: run"):
        lab.evolve(1, seed=2)
    assert lab.pointer()["config"]["system"] == CHAMPION.system
    assert [body["verdict"] for body in lab.rows(kind="challenger")] == ["promote", "promote"]
    assert lab.kinds().count("PROMOTE") == 1


def test_another_provider_than_the_champions_is_refused(tmp_path):
    lab = Lab(tmp_path, skills=())
    lab.evolve()
    lab.asked.clear()
    for name in ("adder", None):
        lab.evolve(provider_id=name)
    lab.project.plugins.add(
        SimpleNamespace(penin_api=1, penin_register_providers=hookimpl(other_providers)), "other"
    )
    with pytest.raises(SettingsError, match="runs on 'adder', not on 'echo'"):
        lab.evolve(provider_id="echo")


def other_providers():
    from penin_core.testing.fakes import Echo

    return [Echo]


# Crashes


class Crash(BaseException):
    """The process dies."""


def test_a_crash_between_ledger_and_pointer_is_repaired(tmp_path, monkeypatch):
    lab = Lab(tmp_path, skills=())
    lab.evolve()
    before = lab.pointer()
    lab.skills = SKILLS

    def die(*_):
        raise Crash

    with monkeypatch.context() as patched:
        patched.setattr(pointer_module, "_replace", die)
        with pytest.raises(Crash):
            lab.evolve()
    assert lab.kinds()[-1] == "PROMOTE"
    assert lab.pointer() == before
    with lab.ledger() as ledger:
        assert lab.project.league(ledger).champion().config["system"] == "skill=0.9 tomorrow"
    assert lab.pointer()["config"]["system"] == "skill=0.9 tomorrow"
    assert lab.kinds().count("PROMOTE") == 1


def test_a_crash_before_the_ledger_leaves_nothing_and_is_taken_up_again(tmp_path, monkeypatch):
    lab = Lab(tmp_path, skills=())
    lab.evolve()
    before = lab.pointer()
    lab.skills = SKILLS

    with monkeypatch.context() as patched:
        patched.setattr(WORMLedger, "record_many", die_on_runs(WORMLedger.record_many))
        with pytest.raises(Crash):
            lab.evolve()
    assert lab.kinds() == ["RUN", "BOOTSTRAP", "RUN", "CONFIRM"]
    assert lab.pointer() == before
    assert len(orphans(lab.state, {row["id"] for row in lab.rows()})) == 4
    lab.asked.clear()
    report = lab.evolve()
    assert report.verdict == "promote"
    assert lab.asked == []
    assert lab.kinds().count("PROMOTE") == 1
    assert report.confirmation.t == 1
    assert len(lab.events("CONFIRM")) == 2


def test_an_interrupted_cycle_is_resumed_with_its_own_options_and_at_its_own_level(tmp_path):
    lab = Lab(tmp_path, skills=(), confirm=300)
    lab.evolve()
    lab.skills, right = SKILLS, lab.right

    def interrupt(request):
        if len(lab.asked_of("confirm")) > 150:
            raise KeyboardInterrupt
        return skilled(request)

    lab.right = interrupt
    with pytest.raises(KeyboardInterrupt):
        lab.evolve(2, seed=77)
    lab.right = right
    answered = len(lab.asked)
    assert [body["t"] for body in lab.events("CONFIRM")] == [1]
    report = lab.evolve(resume=True)
    assert report.verdict == "promote"
    assert (report.confirmation.t, len(report.runs)) == (1, 3)
    assert {row["seed"] for row in lab.rows(cycle_id=report.cycle_id)} == {77}
    assert len(lab.asked) > answered
    # The batch that was interrupted had no answers yet.
    repeated = len(lab.asked) - len({request.key for request in lab.asked})
    assert repeated <= 64
    with pytest.raises(StateError, match="no cycle was interrupted"):
        lab.evolve(resume=True)


def test_a_cycle_that_money_cut_short_can_be_resumed(tmp_path, price_of_a_cycle):
    lab = Lab(tmp_path, price=10.0, skills=())
    lab.evolve(seed=1)
    lab.skills = SKILLS
    lab.evolve(seed=1, max_usd=0.9 * price_of_a_cycle)
    assert ["t" in body for body in lab.events("CONFIRM")] == [True]
    report = lab.evolve(resume=True)
    assert (report.verdict, report.confirmation.t) == ("promote", 1)
    assert len(lab.asked) == len({request.key for request in lab.asked})


def test_another_cycle_leaves_the_interrupted_confirmation_behind(tmp_path, price_of_a_cycle):
    lab = Lab(tmp_path, price=10.0, skills=(), confirm=300)
    lab.evolve(seed=1)
    lab.skills = SKILLS
    lab.evolve(seed=1, max_usd=0.9 * price_of_a_cycle)
    report = lab.evolve(seed=2)
    assert report.confirmation.t == 2
    with lab.ledger() as ledger:
        campaign = campaign_of(ledger)
    declared = lab.events("CONFIRM")[0]
    assert set(declared["marks"]) <= campaign.spent()


# Proofs that promote nobody


def test_a_proof_that_a_guard_vetoes_spends_its_tasks_too(tmp_path):
    lab = Lab(tmp_path, confirm=300, guards=[guard("nothing", lambda: None)])
    assert lab.evolve().confirmation.proved
    assert "PROMOTE" not in lab.kinds()
    first = set(lab.asked_of("confirm"))
    with lab.ledger() as ledger:
        assert campaign_of(ledger).spent() == {task_mark(task) for task in first}
    assert len(first) == 200
    lab.asked.clear()
    lab.evolve()
    assert not first & set(lab.asked_of("confirm"))


def test_small_losses_of_utility_do_not_add_up_beyond_the_margin(tmp_path):
    lab = Lab(tmp_path)
    lab.evolve()
    with lab.ledger() as ledger:
        assert utility_lost(ledger) == 0.0
        previous = champions(ledger)[-1]
        for n, (before, after) in enumerate([(0.8, 0.77), (0.7, 0.75), (0.75, 0.74)]):
            run = {**plain_run(f"c-{n}"), "u_score": after, "detail": {"before": {"U": before}}}
            ledger.record_run(run)
            config = {**CHAMPION.model_dump(mode="json"), "system": f"skill=0.6 number {n}"}
            ledger.record_event("PROMOTE", promotion_body(config, f"c-{n}", previous))
            previous = champions(ledger)[-1]
        assert utility_lost(ledger) == pytest.approx(0.04)
        lab.project.league(ledger).rollback("c-1")
        assert utility_lost(ledger) == pytest.approx(0.03)


def plain_run(run_id):
    return {
        "id": run_id,
        "cycle_id": "made",
        "kind": "challenger",
        "candidate_cfg_hash": CHAMPION.hash,
        "verdict": "promote",
        "dry_run": False,
        "n_tasks": 100,
    }


# The free lineage


def test_mutators_also_start_from_the_best_of_earlier_races(tmp_path):
    starts = []

    def note(champion):
        starts.append(champion)
        return []

    lab = Lab(tmp_path, confirm=400, mutators=[proposing(note)], skills=(0.65, 0.3))
    lab.evolve()
    assert [start.config.system for start in starts] == ["skill=0.6 today"]
    starts.clear()
    lab.evolve()
    assert [(s.config.system, s.origin) for s in starts] == [
        ("skill=0.6 today", "champion"),
        ("skill=0.65 tomorrow", "lineage"),
    ]


def test_what_a_race_cut_short_measured_is_no_parent(tmp_path, price_of_a_cycle):
    lab = Lab(tmp_path, price=10.0, skills=())
    lab.evolve(seed=1)
    lab.skills = SKILLS
    lab.evolve(seed=1, max_usd=0.9 * price_of_a_cycle)
    found = []
    for barred in ((), {lab.project.settings.champion.hash}):
        with lab.ledger() as ledger:
            rng = np.random.default_rng(0)
            found.append(parent(lab.state, ledger, Candidate(config=CHAMPION), barred, rng))
    assert found == [None, None]


def die_on_runs(record_many):
    def record(ledger, items):
        items = list(items)
        if len(items) > 1:
            raise Crash
        return record_many(ledger, items)

    return record


# Tuning


def test_tuning_starts_when_enough_finalists_are_in_the_ledger(tmp_path):
    lab = Lab(tmp_path, skills=(0.9,), confirm=400)
    with lab.ledger() as ledger:
        for n in range(9):
            for kind, utility in (("baseline", 0.6), ("challenger", 0.7)):
                ledger.record_run(
                    {
                        "id": f"{kind}-{n}",
                        "cycle_id": f"old-{n}",
                        "kind": kind,
                        "candidate_cfg_hash": "0" * 64,
                        "verdict": "rollback",
                        "u_score": utility,
                        "s_score": 0.9,
                        "c_score": 0.5,
                        "l_score": 0.8,
                        "score": 0.7,
                        "dry_run": False,
                        "n_tasks": 100,
                    }
                )
    lab.evolve(1, dry_run=True)
    assert "TUNE" not in lab.kinds()
    lab.evolve(1)
    assert lab.kinds()[-2:] == ["PROMOTE", "TUNE"]
    with lab.ledger() as ledger:
        assert parameters(ledger)[0] == 0, "the warm-up only counts"


def test_without_enough_finalists_nothing_is_tuned(won):
    assert "TUNE" not in won.kinds()


# What is foreseen, and what is rehearsed


def foreseen(lab, **changes):
    options = {"challengers": 3, "campaign": Campaign(), "baseline": lab.settings.suite.baseline}
    return forecast(lab.project, CHAMPION, **{**options, **changes}, has_champion=True)


def test_the_forecast_counts_the_calls_that_a_cycle_makes(tmp_path):
    lab = Lab(tmp_path, skills=(), confirm=300)
    lab.evolve()
    lab.skills = SKILLS
    told = foreseen(lab)
    lab.asked.clear()
    report = lab.evolve(seed=3)
    assert report.confirmation.n == 100
    assert told.race_calls == race_calls(3, 20, 40) == 4 * 20 + 2 * 20
    assert abs(report.calls - told.race_calls - told.confirm_calls[0]) <= 0.01 * report.calls


def test_the_forecast_says_what_can_be_proved_and_what_it_costs(tmp_path):
    lab = Lab(tmp_path, price=10.0, confirm=300)
    told = foreseen(lab, baseline=Baseline(cost_usd=0.002, latency_ms=500.0))
    assert (told.fresh, told.tasks, told.t, told.alpha) == (300, 120, 1, 0.025)
    assert told.gain == smallest_provable_gain(120, 0.025)
    assert [n for n, _ in told.more] == [500, 1000, 2000]
    assert told.usd == pytest.approx([0.002 * calls for calls in told.calls])
    assert told.seconds == pytest.approx([0.5 * calls for calls in told.calls])
    assert foreseen(lab, baseline=None).usd is None
    assert foreseen(Lab(tmp_path)).usd == (0.0, 0.0)
    assert lab.asked == []
    assert lab.kinds() == []


def test_before_the_first_champion_its_calls_are_foreseen_too(tmp_path):
    lab = Lab(tmp_path, skills=())
    told = forecast(
        lab.project, CHAMPION, 3, Campaign(), lab.settings.suite.baseline, has_champion=False
    )
    lab.evolve()
    assert told.first_calls == len(lab.asked)


def test_the_champion_is_rehearsed_on_select_tasks_with_chance_of_its_own(tmp_path):
    lab = Lab(tmp_path, right=lambda request: request.seed % 10 < 6)

    async def ask():
        what = {"seconds": 9.0, "max_usd": None, "dry_run": True, "profile": None}
        async with open_cycle(lab.project, seed=0, watch=lambda *_: None, **what) as cycle:
            return await repeated(cycle, Candidate(config=CHAMPION), 3)

    rows = asyncio.run(ask())
    assert {lab.task_of(request).split for request in lab.asked} == {"select"}
    assert len({tuple(row.utility for row in of) for of in rows}) == 3
    assert lab.kinds() == []


def test_every_entry_of_a_cycle_says_which_plugins_were_loaded(won):
    with won.ledger() as ledger:
        bodies = [ledger.entry(idx).body for idx in range(ledger.size)]
    loaded = [(body.get("detail") or body)["loaded"] for body in bodies]
    expected = {"core": __version__, "plugins": ["lab (penin-lab 1.0)"], "lock": None}
    assert loaded == [expected] * len(won.kinds())
