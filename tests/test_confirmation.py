"""A confirmation is fixed before its first call, and proves nothing that is not so."""

import asyncio
import math
from itertools import pairwise
from types import SimpleNamespace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from penin_core import (
    Candidate,
    Configuration,
    EvaluationFailed,
    GuardResult,
    Measurement,
    Suite,
    SuiteError,
    Task,
    TaskRow,
)
from penin_core.canonical import digest
from penin_core.league.campaign import (
    FEEDBACK,
    Campaign,
    campaign_of,
    closing,
    fresh_tasks,
    question_mark,
    require_fresh,
    task_mark,
)
from penin_core.league.confirmation import FinalistFailed, concluded, confirm
from penin_core.league.decision import decide
from penin_core.league.looks import MARGIN
from penin_core.league.plans import (
    FURTHER,
    Plan,
    claim_for,
    continued,
    plan_confirmation,
)
from penin_core.omega.evidence import campaign_alpha, log_e_path, smallest_provable_gain
from penin_core.omega.tuner import DEFAULTS
from penin_core.settings import Margins, SuiteDefinition
from penin_core.suites import seeded_order

CHAMPION = Candidate(config=Configuration(provider="p", model="champion"))
FINALIST = CHAMPION.child("test", model="finalist")
BASELINE = {"tokens": 10.0}


def suite_of(count):
    tasks = [Task(id=f"c{n}", input="q", expected="x", split="confirm") for n in range(count)]
    return Suite(SuiteDefinition(), (Task(id="s0", input="q", split="select"), *tasks))


def campaign(*confirmations, promoted_on=()):
    """Confirmations as (task ids, proved, asked), or as task ids that stand open."""
    declared, closed = [], {}
    for t, about in enumerate(confirmations, 1):
        ids, *over = about if isinstance(about, tuple) else (about,)
        declared.append({"t": t, "marks": [task_mark(task) for task in ids]})
        if over:
            closed[t] = closing(t, proved=over[0], asked=over[1])
    return Campaign(tuple(declared), closed, frozenset(map(task_mark, promoted_on)))


def failed(count):
    """A campaign of failed confirmations that asked nothing."""
    return campaign(*[([], False, 0)] * count)


def plan(suite, *, claim="better", of=None, at_most=500, mode="anytime"):
    return plan_confirmation(
        suite, claim=claim, campaign=of or Campaign(), at_most=at_most, mode=mode
    )


class Bench:
    """Stands for the battery: answers each side from a function of task and place in the order."""

    def __init__(self, plan, champion, finalist):
        self.place = {task.id: n for n, task in enumerate((*plan.tasks, *plan.reserve))}
        self.sides = {CHAMPION.hash: champion, FINALIST.hash: finalist}
        self.asked = []

    async def rows(self, candidate, tasks):
        self.asked.append((candidate.config.model, [task.id for task in tasks]))
        return [self.row(candidate, task) for task in tasks]

    def row(self, candidate, task):
        found = self.sides[candidate.hash](self.place[task.id])
        if isinstance(found, str):
            return TaskRow(task=task.id, error=found)
        score, tokens = found if isinstance(found, tuple) else (found, 10)
        return TaskRow(task=task.id, utility=score, tokens_in=tokens)


def run(plan, champion, finalist, at_least=100, watch=lambda *_: None, bench=Bench):
    """Confirm; the sides are functions from the place of a task to a score, pair or error."""
    bench = bench(plan, champion, finalist)
    outcome = asyncio.run(
        confirm(
            bench,
            CHAMPION,
            FINALIST,
            plan,
            at_least=at_least,
            baseline=BASELINE,
            watch=watch,
        )
    )
    return outcome, bench


def right(n):
    return 1.0


def wrong(n):
    return 0.0


def often(n):
    return float(n % 5 > 0)


def half(n):
    return float(n % 2)


def seldom(n):
    """Beats what is always wrong too rarely for a proof, and too often to be given up."""
    return float(n % 25 == 0)


# What is fixed before the first call


def test_the_order_can_be_computed_again_by_anybody_who_has_the_tasks():
    made = plan(suite_of(150), at_most=120)
    ids = [task.id for task in seeded_order(suite_of(150).split("confirm"), 0)]
    assert [task.id for task in made.tasks] == ids[:120]
    assert [task.id for task in made.reserve] == ids[120:]
    assert made.order_digest == digest(ids[:120])


def test_what_failed_is_asked_again_in_the_same_order_and_a_proof_changes_it():
    suite = suite_of(400)
    first = [task.id for task in plan(suite).tasks]
    again = plan(suite, of=campaign((first, False, 400)))
    assert [task.id for task in again.tasks] == first
    fresh = plan(suite, of=campaign((first, True, 100)))
    left = seeded_order([t for t in suite.split("confirm") if t.id not in first[:100]], 1)
    assert [task.id for task in fresh.tasks] == [task.id for task in left]
    assert fresh.seed == run(fresh, wrong, right)[0].confirmation.seed == 1


def test_the_declaration_names_all_that_decides():
    suite = suite_of(150)
    made = plan(suite, claim="cheaper", of=failed(2), at_most=120)
    assert made.declaration(CHAMPION, FINALIST, suite, 7) == {
        "rule": "betting-e-process/1",
        "mode": "anytime",
        "claim": "cheaper",
        "t": 3,
        "alpha": 0.05 / 12,
        "seed": 0,
        "answer_seed": 7,
        "order_digest": made.order_digest,
        "n_tasks": 120,
        "n_units": 120,
        "further": FURTHER,
        "marks": [task_mark(task.id) for task in (*made.tasks, *made.reserve)],
        "questions": [""] * 150,
        "suite_hash": suite.hash,
        "champion": CHAMPION.hash,
        "finalist": FINALIST.hash,
    }


def test_what_is_asked_is_what_was_declared_in_that_order_and_once_of_each():
    made = plan(suite_of(130))
    outcome, bench = run(made, wrong, seldom)
    for side in ("champion", "finalist"):
        asked = [task for name, batch in bench.asked if name == side for task in batch]
        assert len(asked) == len(set(asked))
        assert digest(asked) == made.order_digest
    assert outcome.confirmation.order_digest == made.order_digest
    assert [pair.task for pair in outcome.pairs] == [task.id for task in outcome.tasks]


def test_the_two_take_turns_in_being_asked_first():
    _, bench = run(plan(suite_of(200)), wrong, seldom)
    assert [name for name, _ in bench.asked] == [
        *("champion", "finalist", "finalist", "champion"),
        *("champion", "finalist", "finalist", "champion"),
    ]


def test_all_confirmations_of_a_campaign_spend_less_than_a_twentieth():
    suite = suite_of(100)
    alphas = [plan(suite, of=failed(n)).alpha for n in range(200)]
    assert alphas[:3] == pytest.approx([0.025, 0.05 / 6, 0.05 / 12])
    assert 0.0497 < math.fsum(alphas) < 0.05


def test_whoever_names_no_mode_may_look_at_any_time():
    made = plan_confirmation(suite_of(100), claim="better", campaign=Campaign(), at_most=500)
    assert (made.mode, made.evidence().log_e) == ("anytime", 0.0)


# Which tasks are fresh


def test_tasks_that_proved_or_promoted_somebody_are_spent():
    suite = suite_of(250)
    first = [task.id for task in plan(suite, at_most=120).tasks]
    proved = campaign((first, True, 110))
    second = plan(suite, of=proved)
    assert len(second.tasks) == 140
    assert not set(first[:110]) & {t.id for t in second.tasks}
    assert len(fresh_tasks(suite, campaign(promoted_on=first))) == 130


def test_a_task_is_remembered_by_eight_hex_digits_of_its_digest():
    assert task_mark("c0") == digest("c0")[:8]


def asking(questions, ids="c{}", **more):
    tasks = [
        Task(id=ids.format(n), input=text, expected=f"x{n % 2}", split="confirm", **more)
        for n, text in enumerate(questions)
    ]
    return Suite(SuiteDefinition(), (Task(id="s0", input="q", split="select"), *tasks))


def proof_on(suite, asked):
    made = plan(suite, at_most=150)
    declared = made.declaration(CHAMPION, FINALIST, suite, 7)
    proved = Campaign((declared,), {1: closing(1, proved=True, asked=asked)})
    return [task.input for task in made.tasks[:asked]], proved


QUESTIONS = [f"what became of my order {n}" for n in range(150)]


def test_a_question_that_was_spent_is_not_fresh_under_another_id():
    suite = asking(QUESTIONS)
    asked, proved = proof_on(suite, 110)
    again = asking([*QUESTIONS, "where do you deliver"], "row-{}")
    left = {task.input for task in fresh_tasks(again, proved)}
    assert left == {*QUESTIONS, "where do you deliver"} - set(asked)
    assert {task.input for task in fresh_tasks(suite, proved)} == set(QUESTIONS) - set(asked)
    upper = asking([text.upper() + "?" for text in QUESTIONS], "row-{}")
    assert len(fresh_tasks(upper, proved)) == 40


def test_an_entry_of_an_older_version_spends_ids_alone():
    suite = asking(QUESTIONS)
    made = plan(suite, at_most=150)
    declared = made.declaration(CHAMPION, FINALIST, suite, 7)
    del declared["questions"]
    proved = Campaign((declared,), {1: closing(1, proved=True, asked=110)})
    assert len(fresh_tasks(suite, proved)) == 40
    assert len(fresh_tasks(asking(QUESTIONS, "row-{}"), proved)) == 150
    same = continued(made, Campaign((declared,), {}), 7, CHAMPION, FINALIST, suite)
    assert same is not None


def test_short_questions_and_shared_instructions_are_spent_by_id_alone():
    short = [f"{n} pm" for n in range(150)]
    _, proved = proof_on(asking(short), 110)
    assert len(fresh_tasks(asking(short, "row-{}"), proved)) == 150
    shared = ["sort this article into a folder"] * 150
    _, proved = proof_on(asking(shared), 110)
    assert len(fresh_tasks(asking(shared, "row-{}", fields={"title": "Shoe"}), proved)) == 150
    assert len(fresh_tasks(asking(shared, "row-{}"), proved)) == 0


def test_a_question_is_remembered_by_eight_hex_digits_of_its_digest():
    mark = question_mark(Task(id="a", input="Where is my parcel?"))
    assert mark == digest("where is my parcel")[:8]
    assert question_mark(Task(id="a", input="6 a.m.")) == ""


def test_a_proof_spends_what_failed_and_open_confirmations_before_it_asked():
    ids = [f"c{n}" for n in range(250)]
    before = [(ids[:50], False, 20), ids[50:60], (ids[60:100], False, 40)]
    assert campaign(*before).spent() == frozenset()
    assert campaign(*before).proofs == 0
    after = campaign(*before, (ids[100:200], True, 30), (ids[200:], False, 50))
    asked = [*ids[:20], *ids[50:60], *ids[60:100], *ids[100:130]]
    assert after.spent() == {task_mark(task) for task in asked}
    assert (after.proofs, after.earlier) == (1, 5)


class Entries:
    """Stands for the ledger: entries as (kind, body), oldest first."""

    def __init__(self, *entries):
        self.entries = [SimpleNamespace(kind=kind, body=body) for kind, body in entries]

    def events(self, kinds):
        return [entry for entry in self.entries if entry.kind in kinds]


def test_the_campaign_is_read_from_declarations_closings_and_promotions():
    declared = {"t": 1, "marks": ["a", "b"]}
    ended = closing(1, proved=True, asked=1)
    assert ended == {"closes": 1, "proved": True, "asked": 1}
    found = campaign_of(
        Entries(
            ("BOOTSTRAP", {"spent": ["x"]}),
            ("CONFIRM", declared),
            ("RUN", {"t": 9}),
            ("CONFIRM", ended),
            ("PROMOTE", {"spent": ["m"]}),
            ("PROMOTE", {}),
            ("CONFIRM", {"t": 2, "marks": ["c"]}),
        )
    )
    assert found == Campaign((declared, {"t": 2, "marks": ["c"]}), {1: ended}, frozenset("m"))
    assert (found.earlier, found.proofs, found.open["t"]) == (2, 1, 2)
    assert found.spent() == {"m", "a"}
    assert campaign_of(Entries()) == Campaign((), {}, frozenset())


def test_which_plugins_were_loaded_is_no_part_of_what_was_declared():
    found = campaign_of(Entries(("CONFIRM", {"t": 1, "loaded": ["p"], "claim": "better"})))
    assert found.declared == ({"t": 1, "claim": "better"},)


def test_what_is_not_true_is_no_proof_of_a_campaign():
    closed = {1: {"proved": 1, "asked": 1}, 2: {"proved": "yes", "asked": 1}}
    found = Campaign(({"t": 1, "marks": ["a"]}, {"t": 2, "marks": ["b"]}), closed)
    assert (found.proofs, found.spent()) == (0, frozenset())


def test_a_declaration_without_tasks_spends_none():
    assert Campaign(({"t": 1},), {1: closing(1, proved=True, asked=9)}).spent() == frozenset()


def test_only_the_last_confirmation_can_stand_open():
    assert campaign().open is None
    assert campaign(["a"], (["b"], False, 1)).open is None
    assert campaign((["a"], True, 1), ["b"]).open["t"] == 2


def test_an_interrupted_confirmation_is_continued_only_if_it_is_the_same():
    suite = suite_of(150)
    made = plan(suite)
    standing = Campaign((made.declaration(CHAMPION, FINALIST, suite, 7),), {})
    again = plan(suite, of=standing)
    assert (again.t, again.alpha) == (2, 0.05 / 6)
    same = continued(again, standing, 7, CHAMPION, FINALIST, suite)
    assert (same.t, same.alpha) == (1, 0.025)
    assert same.order_digest == made.order_digest
    assert continued(again, standing, 8, CHAMPION, FINALIST, suite) is None
    assert continued(again, standing, 7, FINALIST, CHAMPION, suite) is None
    assert continued(again, standing, 7, CHAMPION, FINALIST, suite_of(151)) is None
    other = plan(suite, claim="cheaper", of=standing)
    assert continued(other, standing, 7, CHAMPION, FINALIST, suite) is None
    assert continued(again, Campaign(), 7, CHAMPION, FINALIST, suite) is None


def test_other_splits_are_never_confirmed_on():
    assert {task.split for task in plan(suite_of(120)).tasks} == {"confirm"}


@pytest.mark.parametrize("fresh", [0, 99])
def test_fewer_than_a_hundred_fresh_tasks_are_refused(fresh):
    suite = suite_of(150)
    spent = campaign(promoted_on=[f"c{n}" for n in range(150 - fresh)])
    for refuse in (lambda: plan(suite, of=spent), lambda: require_fresh(suite, spent)):
        with pytest.raises(SuiteError, match=f"{fresh} fresh confirm tasks are left") as caught:
            refuse()
        assert caught.value.hint == (
            "tasks that proved something cannot prove the next thing: add new tasks"
        )
    assert len(require_fresh(suite_of(100), Campaign())) == 100


# What is proved


def test_a_better_finalist_is_proved_and_the_evidence_is_that_of_the_pairs():
    outcome, _ = run(plan(suite_of(300)), half, often)
    found = outcome.confirmation
    path = log_e_path([pair.difference for pair in outcome.pairs])
    assert found.log_e == max(path)
    assert found.log_e >= math.log(1 / 0.025)
    assert (found.proved, found.stopped, found.claim) == (True, "proved", "better")
    assert found.gain == pytest.approx(0.3, abs=0.02)
    assert found.interval[0] < found.gain < found.interval[1]
    assert (found.log_e_cost, found.errors) == (None, 0)
    assert found.wins - found.losses == pytest.approx(found.gain * found.n)


@pytest.mark.parametrize(("at_least", "n"), [(100, 100), (101, 150), (240, 250), (999, 300)])
def test_it_goes_on_to_the_minimum_and_then_stops_at_once(at_least, n):
    outcome, _ = run(plan(suite_of(300)), wrong, right, at_least)
    assert (outcome.confirmation.n, outcome.confirmation.proved) == (n, True)
    assert len(outcome.tasks) == n


def test_fewer_than_a_hundred_pairs_never_prove():
    tasks = suite_of(99).split("confirm")
    outcome, _ = run(Plan("better", 1, 0.025, 0, tasks), wrong, right, at_least=10)
    assert outcome.confirmation.log_e > 20
    assert outcome.confirmation.proved is False


@pytest.mark.parametrize("score", [right, wrong, half])
def test_equals_prove_nothing_and_are_given_up_on_the_way(score):
    outcome, _ = run(plan(suite_of(500)), score, score)
    found = outcome.confirmation
    assert (found.proved, found.stopped, found.n) == (False, "hopeless", 250)
    assert (found.log_e, found.gain, found.wins, found.losses) == (0.0, 0.0, 0, 0)
    assert (outcome.asked, outcome.further, len(outcome.order)) == (250, [], 500)


def test_what_could_still_be_proved_is_asked_to_the_last_task():
    found = run(plan(suite_of(220)), wrong, seldom)[0].confirmation
    assert (found.proved, found.stopped, found.n) == (False, "tasks", 220)


def test_a_worse_finalist_proves_nothing():
    found = run(plan(suite_of(200)), right, wrong)[0].confirmation
    assert (found.proved, found.gain, found.losses) == (False, -1.0, 50)


def test_once_across_the_line_stays_proved():
    made = plan(suite_of(200))
    outcome, _ = run(made, lambda n: float(n >= 60), lambda n: float(n < 60))
    path = log_e_path([pair.difference for pair in outcome.pairs])
    assert path[-1] < math.log(40) < max(path)
    assert outcome.confirmation.proved, "Ville's inequality is about ever crossing"


def test_the_later_confirmation_needs_more_evidence():
    first, later = (
        run(plan(suite_of(100), of=failed(earlier)), lambda n: float(n % 7 > 0), right)[0]
        for earlier in (0, 30)
    )
    assert first.confirmation.log_e == later.confirmation.log_e
    assert (first.confirmation.proved, later.confirmation.proved) == (True, False)


def test_a_watcher_sees_evidence_and_what_is_needed():
    seen = []
    outcome, _ = run(plan(suite_of(120)), wrong, seldom, watch=lambda *what: seen.append(what))
    assert [n for n, _, _ in seen] == [50, 100, 120]
    path = log_e_path([pair.difference for pair in outcome.pairs])
    assert [log_e for _, log_e, _ in seen] == [max(0.0, *path[:n]) for n in (50, 100, 120)]
    assert [needed for _, _, needed in seen] == pytest.approx([math.log(40)] * 3)


# Errors


def test_errors_enter_at_their_worst():
    def champion(n):
        return "gone" if n in (0, 1) else 0.5

    def finalist(n):
        return "gone" if n in (1, 2) else 0.75

    outcome, _ = run(plan(suite_of(120)), champion, finalist)
    assert [pair.difference for pair in outcome.pairs[:4]] == [-0.25, -1.0, -0.5, 0.25]
    assert outcome.confirmation.errors == 3
    assert outcome.pairs[0].champion is None
    assert [pair.saving for pair in outcome.pairs[:4]] == [-1.0, -1.0, -1.0, 0.0]


@settings(max_examples=15, deadline=None)
@given(st.sets(st.integers(0, 119), max_size=20), st.booleans())
def test_an_error_never_helps_the_finalist(lost, of_champion):
    def sometimes(score):
        return lambda n: "gone" if n in lost else score(n)

    made = plan(suite_of(120))
    sides = (sometimes(half), often) if of_champion else (half, sometimes(often))
    try:
        with_errors = run(made, *sides)[0].confirmation
    except EvaluationFailed:
        return
    clean = run(made, half, often)[0].confirmation
    path = [pair.difference for pair in run(made, half, often)[0].pairs]
    assert with_errors.gain <= clean.gain
    assert with_errors.log_e <= max(clean.log_e, *log_e_path(path))


def test_one_error_in_a_small_last_batch_is_one_error():
    def promising(n):
        return "gone" if n == 100 else float(n % 16 == 0)

    outcome, _ = run(plan(suite_of(101)), wrong, promising)
    assert (outcome.confirmation.n, outcome.confirmation.errors) == (101, 1)


def test_over_a_fifth_of_errors_so_far_ends_it_and_says_whose_they_are():
    def flaky(n):
        return "no line" if n % 4 == 0 else 1.0

    with pytest.raises(EvaluationFailed, match="13 of 50 calls failed") as caught:
        run(plan(suite_of(200)), flaky, right)
    assert not isinstance(caught.value, FinalistFailed)
    with pytest.raises(FinalistFailed, match="13 of 50 calls failed; the first: no line") as theirs:
        run(plan(suite_of(200)), right, flaky)
    assert theirs.value.hint == caught.value.hint != ""


def test_answers_that_got_lost_are_not_paired_with_others():
    class Forgetful(Bench):
        async def rows(self, candidate, tasks):
            found = await super().rows(candidate, tasks)
            return found[1:] if candidate == FINALIST else found

    with pytest.raises(ValueError, match="zip"):
        run(plan(suite_of(200)), half, half, bench=Forgetful)


def test_a_task_without_a_metric_counts_against_the_finalist():
    outcome, _ = run(plan(suite_of(100)), lambda n: (None, 10), lambda n: (None, 10))
    assert {pair.difference for pair in outcome.pairs} == {-1.0}


# Cheaper


@pytest.mark.parametrize(
    ("quality", "tokens", "proved"),
    [
        (often, 4, True),
        (often, 10, False),
        (often, 11, False),
        (lambda n: 0.8 * often(n), 4, False),
    ],
    ids=["as good and cheaper", "as good", "as good and dearer", "cheaper and worse"],
)
def test_cheaper_means_cheaper_and_not_worse(quality, tokens, proved):
    made = plan(suite_of(400), claim="cheaper")
    outcome, _ = run(made, lambda n: (often(n), 10), lambda n: (quality(n), tokens))
    found = outcome.confirmation
    assert found.proved is proved
    assert found.log_e == max(log_e_path([p.difference for p in outcome.pairs], MARGIN))
    assert found.log_e_cost == max(0.0, *log_e_path([p.saving for p in outcome.pairs]))


def test_of_the_two_processes_the_last_to_cross_decides_when_to_stop():
    made = plan(suite_of(400), claim="cheaper")
    outcome, _ = run(made, lambda n: (0.9, 10), lambda n: (0.9, 3))
    paths = log_e_path([7 / 13] * 400), log_e_path([0.0] * 400, MARGIN)
    saving, quality = (next(n for n, e in enumerate(p, 1) if e > math.log(40)) for p in paths)
    assert saving < 50 < quality
    assert outcome.confirmation.n == 50 * math.ceil(quality / 50)
    assert outcome.confirmation.proved


@pytest.mark.parametrize(
    ("gain", "usd", "tokens", "claim"),
    [
        (0.04, 0.1, 100, "cheaper"),
        (MARGIN, 0.1, 100, "better"),
        (-0.1, 0.1, 100, "cheaper"),
        (0.001, 0.2, 80, "cheaper"),
        (0.01, 0.2, 80, "better"),
        (0.0, 0.2, 100, "better"),
        (-0.1, 0.2, 100, "better"),
        (-0.1, 0.2, 101, "better"),
        (0.0, 0.21, 80, "better"),
        (0.0, 0.19, 120, "cheaper"),
    ],
)
def test_the_claim_is_cheaper_where_money_and_tokens_save_more_than_a_small_gain(
    gain, usd, tokens, claim
):
    old = Measurement(U=0.5, C=0.5, cost_usd=0.2, tokens_in=900, tokens_out=100)
    # Its time alone, which is part of C, would make every one of them cheaper.
    new = Measurement(U=0.5 + gain, C=0.3, cost_usd=usd, tokens_in=900, tokens_out=tokens)
    assert claim_for(new, old) == claim


def test_what_was_not_measured_or_was_free_is_not_claimed_to_be_cheaper():
    old = Measurement(U=0.5, C=0.5, cost_usd=0.2, tokens_in=900, tokens_out=100)
    new = old.model_copy(update={"cost_usd": 0.1})
    for missing in ({"C": None}, {"C": None, "U": None}):
        assert claim_for(new.model_copy(update=missing), old) == "better"
        assert claim_for(new, old.model_copy(update=missing)) == "better"
    assert claim_for(new.model_copy(update={"U": None}), old) == "cheaper"
    free = {"cost_usd": 0.0}
    assert claim_for(new.model_copy(update={"tokens_out": 10}), old.model_copy(update=free)) == (
        "better"
    )
    nothing = Measurement(U=0.5, C=0.5)
    assert claim_for(nothing, nothing) == "better"


# How often equals are promoted


def promotions_of_equals(campaigns, suite, rate=0.7, flip=0.25):
    """Confirm and decide between equally good sides; count proofs, promotions and naive ones."""
    rng = np.random.default_rng(20_260)
    proofs = promoted = naive = peeked = 0
    guard = GuardResult(guard="g", ok=True, reason="")
    for _ in range(campaigns):
        made = plan(suite)
        size = len(made.tasks)
        base = rng.random(size) < rate
        sides = []
        for _side in range(2):
            change = rng.random(size) < flip / 2
            sides.append(np.where(change, rng.random(size) < rate, base).astype(float))
        champion, finalist = sides
        outcome, _ = run(
            made, lambda n, s=champion: float(s[n]), lambda n, s=finalist: float(s[n]), size
        )
        found = [Measurement(U=float(s.mean()), S=0.9, C=0.5, L=0.9) for s in (finalist, champion)]
        decision = decide(
            *found,
            axes=("U", "S", "C", "L"),
            params=DEFAULTS,
            guards=(guard,),
            confirmation=outcome.confirmation,
            margins=Margins(),
        )
        gains = np.cumsum(finalist - champion) / np.arange(1, size + 1)
        proofs += outcome.confirmation.proved
        promoted += decision.verdict == "promote"
        naive += gains[-1] >= 0.02
        peeked += bool((gains[24::25] >= 0.02).any())
    return proofs, promoted, naive, peeked


def test_equals_are_proved_at_most_as_often_as_declared_and_far_more_often_by_a_naive_rule():
    campaigns = 200
    proofs, promoted, naive, peeked = promotions_of_equals(campaigns, suite_of(120))
    # 13 or more of 200 have a probability below 0.002 at a rate of 0.025.
    assert promoted <= proofs < 13
    assert naive > 0.15 * campaigns
    assert peeked > 0.4 * campaigns
    assert campaign_alpha(1) == 0.025


# The gain after the proof


def test_after_a_proof_further_tasks_estimate_the_gain_and_nothing_else():
    made = plan(suite_of(400), at_most=300)
    outcome, _ = run(made, lambda n: 0.0, lambda n: 1.0 if n < 100 else 0.25)
    order = [task.id for task in (*made.tasks, *made.reserve)]
    assert [pair.task for pair in outcome.further] == order[100:200]
    assert outcome.asked == 200
    found = outcome.confirmation
    assert (found.n, found.gain, found.wins) == (100, 1.0, 100)
    assert (found.further.n, found.further.gain) == (FURTHER, 0.25)
    assert found.further.interval[0] < 0.25 < found.further.interval[1]
    assert outcome.order == order[:300]


def test_the_reserve_serves_the_estimate_where_the_plan_was_used_up():
    made = plan(suite_of(220), at_most=120)
    outcome, _ = run(made, wrong, right, at_least=120)
    assert [pair.task for pair in outcome.further] == [task.id for task in made.reserve]


@pytest.mark.parametrize(("left", "estimated"), [(0, False), (19, False), (20, True)])
def test_too_few_further_tasks_estimate_nothing(left, estimated):
    outcome, _ = run(plan(suite_of(100 + left)), wrong, right)
    assert (outcome.confirmation.further is not None) is estimated
    assert outcome.confirmation.proved


def test_without_a_proof_nothing_further_is_asked():
    outcome, bench = run(plan(suite_of(300), at_most=120), wrong, seldom)
    assert (outcome.further, outcome.confirmation.further) == ([], None)
    assert sum(len(batch) for _, batch in bench.asked) == 240


def test_the_same_conclusion_follows_from_the_pairs_alone():
    for mode in ("anytime", "horizon"):
        for claim in ("better", "cheaper"):
            made = plan(suite_of(300), claim=claim, mode=mode)
            outcome, _ = run(made, lambda n: (half(n), 10), lambda n: (often(n), 5))
            assert concluded(made, outcome.pairs, outcome.further) == outcome.confirmation
            assert outcome.confirmation.proved


# Planned looks


def test_in_horizon_mode_there_are_five_looks_and_no_other():
    made = plan(suite_of(500), mode="horizon")
    seen = []
    run(made, wrong, lambda n: float(n % 200 == 0), watch=lambda n, *_: seen.append(n))
    assert seen == made.stops() == [100, 200, 300, 400, 500]
    assert made.declaration(CHAMPION, FINALIST, suite_of(500), 1)["rule"] == "planned-looks/2"


def test_a_planned_look_proves_what_it_finds_significant():
    better, _ = run(plan(suite_of(500), mode="horizon"), half, often)
    found = better.confirmation
    assert (found.proved, found.mode, found.n) == (True, "horizon", 200)
    assert run(plan(suite_of(500), mode="horizon"), often, half)[0].confirmation.proved is False
    dear = plan(suite_of(500), claim="cheaper", mode="horizon")
    assert not run(dear, lambda n: (half(n), 5), lambda n: (half(n), 9))[0].confirmation.proved
    assert run(dear, lambda n: (half(n), 9), lambda n: (half(n), 5))[0].confirmation.proved


@pytest.mark.parametrize(("mode", "n"), [("anytime", 250), ("horizon", 300)])
def test_a_confirmation_of_equals_ends_early_in_both_modes(mode, n):
    outcome, bench = run(plan(suite_of(500), mode=mode), half, half)
    assert (outcome.confirmation.stopped, outcome.confirmation.n) == ("hopeless", n)
    assert sum(len(batch) for _, batch in bench.asked) == 2 * n


def test_a_claim_of_two_parts_is_given_up_where_one_of_them_is():
    made = plan(suite_of(500), claim="cheaper")
    dear, _ = run(made, lambda n: (1.0, 10), lambda n: (1.0, 11))
    assert (dear.confirmation.stopped, dear.confirmation.n) == ("hopeless", 50)
    assert dear.confirmation.log_e_cost == 0.0
    worse, _ = run(made, lambda n: (1.0, 10), lambda n: (0.9, 1))
    assert (worse.confirmation.stopped, worse.confirmation.n) == ("hopeless", 50)


def test_what_was_proved_is_not_given_up_for_what_came_later():
    made = plan(suite_of(500))
    outcome, _ = run(made, lambda n: float(n >= 60), lambda n: float(n < 60), at_least=500)
    assert (outcome.confirmation.stopped, outcome.confirmation.n) == ("proved", 500)


# Clusters


def clustered(sizes, **more):
    """A suite with one source for each size."""
    tasks = [
        Task(id=f"{source}-{n}", input="q", split="confirm", fields={"doc": f"d{source}"})
        for source, size in enumerate(sizes)
        for n in range(size)
    ]
    return Suite(SuiteDefinition(clusters="doc"), (*tasks, *more.get("select", ())))


def test_tasks_of_one_source_stand_together_and_are_never_cut():
    made = plan(clustered([7] * 40), at_most=150)
    assert len(made.tasks) == 147
    assert made.ends == list(range(7, 148, 7))
    sources = [task.fields["doc"] for task in made.tasks]
    assert sum(a != b for a, b in pairwise(sources)) == 20
    assert set(made.stops()) <= set(made.ends)
    assert len(plan(clustered([7] * 40), at_most=147).tasks) == 147


def test_the_order_of_the_sources_too_can_be_computed_again():
    for seed in (0, 1):
        of = campaign(*[([], True, 0)] * seed)
        sources = [task.fields["doc"] for task in plan(clustered([4] * 30), of=of).tasks]
        known = sorted(set(sources), key=lambda source: digest([seed, "cluster", source]))
        assert sources[::4] == known


def test_the_evidence_sees_the_mean_of_a_source():
    made = plan(clustered([10] * 30))
    outcome, _ = run(made, wrong, lambda n: float(n % 10 < 5), at_least=300)
    found = outcome.confirmation
    assert found.log_e == max(log_e_path([0.5] * 30))
    assert {pair.cluster for pair in outcome.pairs} == {f"d{n}" for n in range(30)}
    alone = plan(suite_of(300))
    assert found.log_e < run(alone, wrong, lambda n: 0.5, at_least=300)[0].confirmation.log_e


def test_a_source_is_spent_as_a_whole():
    suite = clustered([2] * 150)
    used = campaign(promoted_on=["0-0", "3-1"])
    assert {t.fields["doc"] for t in fresh_tasks(suite, used)} == {
        f"d{n}" for n in range(150) if n not in (0, 3)
    }


def test_a_source_in_both_splits_is_refused():
    leak = Task(id="s", input="q", split="select", fields={"doc": "d4"})
    with pytest.raises(SuiteError, match=r"what is searched on proves nothing$") as caught:
        plan(clustered([2] * 150, select=[leak, Task(id="o", input="q", split="select")]))
    assert str(caught.value).startswith("doc 'd4' has select and confirm tasks: ")
    assert caught.value.hint == 'give all tasks of one doc the same "split"'


def test_a_confirm_task_without_its_source_is_refused():
    suite = Suite(SuiteDefinition(clusters="doc"), suite_of(150).tasks)
    with pytest.raises(SuiteError, match="'c0' has no 'doc'") as caught:
        plan(suite)
    assert caught.value.hint == (
        "give every confirm task a 'doc', or remove clusters from the suite"
    )


def test_a_protected_group_can_be_the_source():
    tasks = [Task(id=f"{n}", input="q", split="confirm", group=f"g{n % 50}") for n in range(200)]
    assert len(plan(Suite(SuiteDefinition(clusters="group"), tuple(tasks))).ends) == 50


def test_planned_looks_need_three_hundred_units():
    hint = (
        'set evidence = "anytime" in [evolve], which holds with any number; or add confirm tasks, '
        "and look at confirm_max"
    )
    few = (
        'evidence = "horizon" takes at least 300 {} to confirm on, and one confirmation would '
        "have {}"
    )
    for suite, at_most, many, found in (
        (clustered([2] * 299), 598, "clusters", "299 clusters with 598 tasks"),
        (suite_of(299), 500, "tasks", "299 tasks"),
        (suite_of(500), 299, "tasks", "299 tasks"),
    ):
        with pytest.raises(SuiteError) as caught:
            plan(suite, at_most=at_most, mode="horizon")
        assert (str(caught.value), caught.value.hint) == (few.format(many, found), hint)
        assert plan(suite, at_most=at_most).mode == "anytime"
    assert len(plan(clustered([2] * 300), at_most=600, mode="horizon").ends) == 300
    assert len(plan(suite_of(300), mode="horizon").ends) == 300


def test_clusters_that_hold_too_much_leave_nothing_to_confirm_on():
    for sources in ([300, 300], [300]):
        with pytest.raises(SuiteError, match="0 clusters with 0 tasks cannot be confirmed on") as e:
            plan(clustered(sources), at_most=200)
        assert e.value.hint == "at least 100 tasks are needed"


def test_sources_so_few_that_no_gain_would_show_are_refused():
    assert smallest_provable_gain(9, campaign_alpha(1)) is None
    few = "9 clusters with 180 tasks can prove nothing in confirmation 1, however large the gain"
    with pytest.raises(SuiteError) as caught:
        plan(clustered([20] * 9))
    hint = "tasks of one 'doc' count as one: add confirm tasks of others"
    assert (str(caught.value), caught.value.hint) == (few, hint)
    assert len(plan(clustered([20] * 10)).ends) == 10
    with pytest.raises(SuiteError, match=r"^10 clusters .* nothing in confirmation 5"):
        plan(clustered([20] * 10), of=failed(4))


def test_cheaper_is_declared_and_looked_at_anytime_in_every_mode():
    made = plan(suite_of(500), claim="cheaper", mode="horizon")
    assert (made.mode, made.stops()) == ("anytime", list(range(50, 501, 50)))
    assert made == plan(suite_of(500), claim="cheaper")


@pytest.mark.parametrize("claim", ["better", "cheaper"])
def test_losses_that_come_late_are_not_outrun_by_the_first_look(claim):
    made = plan(suite_of(300), claim=claim, mode="horizon", of=failed(4))
    # Nothing is lost on the first 60 tasks, a fifth of all; then one in ten, which is 8 % in all.
    lost = range(69, 300, 10)
    small = 0.95 if claim == "better" else 1.0
    outcome, _ = run(made, lambda n: (small, 10), lambda n: (float(n not in lost), 5))
    assert not outcome.confirmation.proved
    assert len(lost) == 24


def test_a_claim_that_feedback_decides_takes_a_number_and_spends_no_task():
    asked = {"t": 1, "marks": ["a", "b"]}
    heard = {"t": 2, "source": FEEDBACK}
    proved = Campaign((asked, heard), {2: closing(2, proved=True, asked=0)})
    assert proved.earlier == 2
    assert (proved.proofs, proved.spent()) == (0, frozenset())
    assert proved.open == asked
    closed = {1: closing(1, proved=True, asked=1), 2: closing(2, proved=False, asked=0)}
    both = Campaign((asked, heard), closed)
    assert (both.proofs, both.spent(), both.open) == (1, frozenset("a"), None)
    assert Campaign((heard,), {}).open is None
