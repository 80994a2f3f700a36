"""A stored decision can be derived again, to the last bit, and nothing in it can be changed."""

import asyncio
import json
import math
import re
from contextlib import contextmanager

import pytest
from click.testing import CliRunner
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from penin_core import (
    Capabilities,
    Completion,
    Configuration,
    Guard,
    GuardResult,
    LocalProvider,
    Mutator,
    Price,
    Task,
    WORMLedger,
    evolve_one_cycle,
    hookimpl,
)
from penin_core.canonical import digest
from penin_core.cli.replay import command
from penin_core.errors import LedgerInvalid, PluginNotFound, StateError
from penin_core.ledger.artifacts import read_run
from penin_core.plugins import Plugins
from penin_core.project import Project
from penin_core.replay import stored
from penin_core.replay.replaying import replay
from penin_core.settings import (
    Baseline,
    EvolveSettings,
    GuardSettings,
    Margins,
    Settings,
    SuiteDefinition,
)
from penin_core.state import prepare
from penin_core.suites import Suite

START = Configuration(provider="adder", model="m", system="skill=0.6", max_tokens=4)
SKILLS = (0.3, 0.95)


def sums(split, count):
    """Sums of two numbers; composed ones have three."""
    terms = [
        [n + 1000 * len(split), 7 * n + 3, 5][: 3 if split == "composed" else 2]
        for n in range(count)
    ]
    return [
        Task(
            id=f"{split}-{n}",
            input=f"add {' and '.join(map(str, found))}",
            expected=str(sum(found)),
            split=split,
            consent=True,
            group=("even", "odd")[n % 2],
        )
        for n, found in enumerate(terms)
    ]


class Adder(LocalProvider):
    """Adds up, as often right as its instruction says."""

    name = "adder"

    def capabilities(self, model):
        price = Price(input_per_million=1.0, output_per_million=1.0)
        return Capabilities(logprobs=True, seed=True, price=price, batch=64)

    def generate(self, requests):
        return [self.answer(request) for request in requests]

    def answer(self, request):
        terms = [int(digits) for digits in re.findall(r"\d+", request.messages[-1].content)]
        skill, luck = re.search(r"skill=(\S+) ?(.*)", request.system).groups()
        right = int(digest([*terms, luck] if luck else terms)[:8], 16) / 2**32 < float(skill)
        return Completion(
            text=str(sum(terms)) if right else "unknown",
            model="m",
            tokens_in=4,
            tokens_out=2,
            logprobs=(math.log(0.98 if right else 0.02),),
        )


class Moves(Mutator):
    """Proposes other skills."""

    name = "moves"
    skills = SKILLS

    def propose(self, champion, count, rng):
        for skill in self.skills:
            yield champion.child(self.name, system=f"skill={skill}")


class Patient(Guard):
    """Lets everything pass."""

    name = "patient"

    def check(self, evidence):
        return GuardResult(guard=self.name, ok=True, reason="why not", details={"n": 1.5})


class AdderPlugin:
    penin_api = 1

    @hookimpl
    def penin_register_providers(self):
        return [Adder]

    @hookimpl
    def penin_register_mutators(self):
        return [Moves]

    @hookimpl
    def penin_register_guards(self):
        return [Patient]


def evolved(state, skills=SKILLS, *, dry_run=False, declared=None, confirm=240, **evolve):
    """A project after one cycle, and its report."""
    suite = SuiteDefinition(gate_tasks=20, baseline=Baseline(tokens=8.0), **declared or {})
    chosen = Settings(
        champion=START,
        suite=suite,
        evolve=EvolveSettings(
            mutators=("moves",),
            race_tasks=20,
            **{"confirm_min": 100, "confirm_max": 120, **evolve},
        ),
        guards=GuardSettings(use=("sigma", "contractive", "patient")),
    )
    tasks = [*sums("select", 40), *sums("confirm", confirm), *sums("composed", 12), *sums("ood", 4)]
    if declared:
        tasks = [task.model_copy(update={"consent": None, "group": None}) for task in tasks]
    plugins = Plugins.load(discover=False)
    plugins.add(AdderPlugin(), "lab", "penin-lab", "1.0")
    project = Project(chosen, prepare(state), plugins, Suite(suite, tuple(tasks)))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Moves, "skills", skills)
        report = asyncio.run(evolve_one_cycle(len(skills), project=project, dry_run=dry_run))
    return project, report


class Lab:
    """The cycle, its ledger, and replays of its runs."""

    def __init__(self, state, *args, **options):
        self.project, self.report = evolved(state, *args, **options)
        self.state = self.project.state
        self.ledger = WORMLedger(self.state / "ledger.db")
        self.promoted = self.report.best_challenger
        self.baseline = self.report.runs[0].run_id

    def guard(self, name):
        return self.project.plugins.create("guards", name, {})

    def replay(self, run_id=None):
        return replay(self.state, self.ledger, run_id or self.promoted, self.guard)

    @contextmanager
    def tampered(self, change, run_id=None):
        """Let ``change`` edit the files of a run as they are read, manifest and all."""
        target = run_id or self.promoted

        def read(state, wanted, manifest):
            files = read_run(state, wanted, manifest)
            if wanted == target:
                change(files)
            return files

        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(stored, "read_run", read)
            yield


@pytest.fixture(scope="module")
def lab(tmp_path_factory):
    made = Lab(tmp_path_factory.mktemp("lab") / "state")
    assert made.report.verdict == "promote", made.report.reason
    yield made
    made.ledger.close()


def test_what_a_suite_declares_not_applicable_is_derived_again(tmp_path):
    gates = ("calibration", "groups", "consent")
    declared = dict.fromkeys(gates, "not_applicable") | {"reasons": dict.fromkeys(gates, "none")}
    lab = Lab(tmp_path / "state", declared=declared)
    assert lab.report.verdict == "promote", lab.report.reason
    assert lab.replay().verdict == "promote"
    lab.ledger.close()


def edited(name, *path, value):
    """A change of one value in a JSON file."""

    def change(files):
        content = json.loads(files[name])
        inner = content
        for key in path[:-1]:
            inner = inner[key]
        inner[path[-1]] = value(inner[path[-1]]) if callable(value) else value
        files[name] = json.dumps(content).encode()

    return change


def edited_line(name, number, **changes):
    """A change of one line in a JSON Lines file."""

    def change(files):
        lines = files[name].splitlines()
        lines[number] = json.dumps(json.loads(lines[number]) | changes).encode()
        files[name] = b"\n".join(lines)

    return change


def test_every_run_of_a_cycle_is_derived_again(lab):
    found = {run["id"]: lab.replay(run["id"]) for run in lab.ledger.runs()}
    assert [found[run["id"]].verdict for run in lab.ledger.runs()] == [
        run["verdict"] for run in lab.ledger.runs()
    ]
    assert all(replayed.notes == () for replayed in found.values())


def test_of_a_promotion_everything_is_derived(lab):
    text = "\n".join(lab.replay().checks)
    for part in ("champion and parameters", "pairs in the declared order", "ethics attestation"):
        assert part in text
    assert "guards: sigma, contractive, patient" in text
    assert "the decision: promote" in text
    assert "the promotion names this configuration" in text


@pytest.mark.parametrize(
    ("skills", "options", "verdict"),
    [
        ((0.95, 0.3), {"evidence": "horizon", "confirm": 300, "confirm_max": 300}, "promote"),
        (("0.72 with luck",), {}, "canary"),
        ((0.95,), {"dry_run": True}, "promote"),
        ((0.95,), {"margins": Margins(C=0.0, group=0.0)}, "promote"),
        ((0.3,), {}, "rollback"),
    ],
)
def test_every_kind_of_cycle_is_derived_again(tmp_path, skills, options, verdict):
    lab = Lab(tmp_path / "state", skills, **options)
    assert lab.report.verdict == verdict, lab.report.reason
    for run in lab.ledger.runs():
        assert lab.replay(run["id"]).verdict == run["verdict"]
    lab.ledger.close()


def test_a_confirmation_that_was_given_up_is_derived_again_with_the_moment(tmp_path):
    lab = Lab(tmp_path / "state", ("0.65 perhaps",))
    found = lab.report.confirmation
    assert (found.stopped, found.n, lab.report.verdict) == ("hopeless", 100, "canary")
    assert lab.report.reason == "not proved on 100 tasks, and more were not likely to: parked"
    run_id = lab.report.best_challenger
    assert "the decision: canary" in "\n".join(lab.replay(run_id).checks)
    (ended,) = [e.body for e in lab.ledger.events("CONFIRM") if "closes" in e.body]
    assert (ended["proved"], ended["asked"]) == (False, 100)
    lab.ledger.close()


def pairs(lab):
    files = read_run(lab.state, lab.promoted)
    return [json.loads(line) for line in files["pairs.jsonl"].splitlines()]


@settings(max_examples=40, deadline=None, suppress_health_check=list(HealthCheck))
@given(
    which=st.integers(0, 99),
    side=st.sampled_from(["champion", "challenger"]),
    score=st.sampled_from([0.0, 0.25, 1.0, None]),
    consistent=st.booleans(),
)
def test_one_changed_score_is_found(lab, which, side, score, consistent):
    pair = pairs(lab)[which]
    if pair[side] == score:
        score = 0.5
    changed = pair | {side: score}
    if consistent:
        old = 1.0 if changed["champion"] is None else changed["champion"]
        changed["difference"] = (changed["challenger"] or 0.0) - old
    with (
        lab.tampered(edited_line("pairs.jsonl", which, **changed)),
        pytest.raises(LedgerInvalid, match="differs: recorded"),
    ):
        lab.replay()


@settings(max_examples=20, deadline=None, suppress_health_check=list(HealthCheck))
@given(which=st.integers(0, 98))
def test_two_pairs_that_changed_places_are_found(lab, which):
    def swap(files):
        lines = files["pairs.jsonl"].splitlines()
        lines[which], lines[which + 1] = lines[which + 1], lines[which]
        files["pairs.jsonl"] = b"\n".join(lines)

    with lab.tampered(swap), pytest.raises(LedgerInvalid, match="tasks in their order differs"):
        lab.replay()


CHANGES = {
    "verdict": edited("decision.json", "verdict", value="canary"),
    "score": edited("decision.json", "score", value=lambda score: math.nextafter(score, 1.0)),
    "u_score": edited("evaluation.json", "U", value=0.5),
    "candidate_cfg_hash": edited("config.json", "temperature", value=0.25),
    "order_digest of the declaration": edited("trial.json", "order", value=lambda ids: ids[::-1]),
    "champion's measurement": edited("trial.json", "champion", "U", value=0.1),
    "ece of the ethics": edited("ethics.json", "ece", value=0.001),
    "details of guard 'sigma'": edited("gates.json", 0, "details", "ece", "value", value=0.001),
    "ok of guard 'patient'": edited("gates.json", 2, "ok", value=False),
    "guards": edited("trial.json", "guards", "use", value=["sigma"]),
    "profile": edited("trial.json", "guards", "profile", value="strict"),
    "caos_phi": edited("trial.json", "spent_share", value=0.75),
}


@pytest.mark.parametrize("what", CHANGES)
def test_one_changed_value_is_named(lab, what):
    with lab.tampered(CHANGES[what]), pytest.raises(LedgerInvalid) as caught:
        lab.replay()
    assert f": {what} differs: recorded" in str(caught.value)


def test_a_changed_file_is_found_by_its_hash(lab):
    path = lab.state / "runs" / lab.promoted / "pairs.jsonl"
    content = path.read_bytes()
    path.chmod(0o644)
    try:
        path.write_bytes(content.replace(b"1.0", b"0.0", 1))
        with pytest.raises(LedgerInvalid, match="differs from its manifest"):
            lab.replay()
    finally:
        path.write_bytes(content)
    assert lab.replay().verdict == "promote"


@pytest.mark.parametrize("name", ["decision.json", "pairs.jsonl", "trial.json"])
def test_a_file_that_cannot_be_read_is_one_clear_error(lab, name):
    with (
        lab.tampered(lambda files: files.update({name: b"{"})),
        pytest.raises(LedgerInvalid, match="cannot be replayed: JSONDecodeError"),
    ):
        lab.replay()


def test_a_run_that_was_not_confirmed_cannot_have_promoted(lab):
    other = next(run for run in lab.ledger.runs() if run["verdict"] == "rollback")

    def promote(files):
        decision = json.loads(files["decision.json"])
        files["decision.json"] = json.dumps(decision | {"verdict": "promote"}).encode()

    with (
        lab.tampered(promote, other["id"]),
        pytest.raises(LedgerInvalid, match="verdict differs: recorded 'rollback'"),
    ):
        lab.replay(other["id"])


def test_a_guard_that_is_gone_is_taken_as_recorded_and_noted(lab):
    def make(name):
        if name == "patient":
            raise PluginNotFound("no guard 'patient'")
        return lab.guard(name)

    found = replay(lab.state, lab.ledger, lab.promoted, make)
    assert found.notes == ("guard 'patient' is not installed; its answer is taken as recorded",)


def test_a_reason_in_other_words_is_noted_and_what_it_says_still_counts(lab):
    def worded(ok, reason, n):
        class Reworded(Patient):
            def check(self, evidence):
                details = {"n": n, "gate": {"reason": reason, "value": 1.0}}
                return GuardResult(guard=self.name, ok=ok, reason=reason, details=details)

        return Reworded()

    def asked(guard):
        def make(name):
            return guard if name == "patient" else lab.guard(name)

        return replay(lab.state, lab.ledger, lab.promoted, make)

    details = {"n": 1.5, "gate": {"reason": "why not", "value": 1.0}}
    with lab.tampered(edited("gates.json", 2, "details", value=details)):
        found = asked(worded(True, "because", 1.5))
        assert found.notes == (
            "reason of guard 'patient' is worded otherwise: recorded 'why not', derived 'because'",
            "details of guard 'patient' is worded otherwise",
        )
        for other in (worded(False, "why not", 1.5), worded(True, "why not", 2.5)):
            with pytest.raises(LedgerInvalid, match="of guard 'patient' differs"):
                asked(other)
        with pytest.raises(LedgerInvalid, match="reason of guard 'patient' differs"):
            asked(worded(True, "", 1.5))


@pytest.mark.parametrize(
    ("name", "path", "noted"),
    [
        ("gates.json", (0, "reason"), ["reason of guard 'sigma' is worded otherwise"]),
        ("gates.json", (0, "details", "ece", "reason"), ["details of guard 'sigma' is worded"]),
    ],
)
def test_the_words_of_an_older_version_are_no_difference(lab, name, path, noted):
    with lab.tampered(edited(name, *path, value="said otherwise in those days")):
        found = lab.replay()
    assert found.verdict == "promote"
    assert [note[: len(start)] for note, start in zip(found.notes, noted, strict=True)] == noted


def test_a_guard_that_answers_otherwise_today_is_a_difference(lab):
    class Impatient(Patient):
        """Lets nothing pass."""

        def check(self, evidence):
            return GuardResult(guard=self.name, ok=False, reason="today I would not")

    def make(name):
        return Impatient() if name == "patient" else lab.guard(name)

    with pytest.raises(LedgerInvalid, match="of guard 'patient' differs"):
        replay(lab.state, lab.ledger, lab.promoted, make)


def test_a_run_that_does_not_exist_is_named(lab):
    with pytest.raises(StateError, match="run 'nothing' is not in the ledger"):
        lab.replay("nothing")


@pytest.fixture
def console(lab, tmp_path):
    """The command, in a place whose plugin is a file."""
    plugin = tmp_path / "lab.py"
    plugin.write_text(
        "from penin_core import Guard, GuardResult, hookimpl\n"
        "penin_api = 1\n"
        "class Patient(Guard):\n"
        '    """Lets everything pass."""\n'
        '    name = "patient"\n'
        "    def check(self, evidence):\n"
        '        details = {"n": 1.5}\n'
        '        return GuardResult(guard="patient", ok=True, reason="why not", details=details)\n'
        "@hookimpl\n"
        "def penin_register_guards():\n"
        "    return [Patient]\n"
    )
    config = tmp_path / "penin.toml"
    config.write_text('plugins = ["./lab.py"]\n')
    place = ["--config", str(config), "--state-dir", str(lab.state)]
    return lambda *args: CliRunner().invoke(command, [*args, *place], catch_exceptions=True)


def test_the_command_takes_the_end_of_an_id(lab, console):
    done = console(lab.promoted[-8:])
    assert done.exit_code == 0, done.output
    assert "promote, derived again without a difference" in done.output
    assert json.loads(console(lab.promoted, "--json").output)["run_id"] == lab.promoted


def test_the_command_raises_what_exits_with_5(lab, console):
    with lab.tampered(edited_line("pairs.jsonl", 3, champion=0.5)):
        assert isinstance(console(lab.promoted).exception, LedgerInvalid)
    assert LedgerInvalid.exit_code == 5
