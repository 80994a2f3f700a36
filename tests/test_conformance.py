"""The kits: first-party components pass, and each planted violation fails the clause it breaks."""

import re
from pathlib import Path

import pytest

from penin_core import (
    ChatCompletionsProvider,
    Completion,
    EthicsEvidence,
    Evaluation,
    GuardEvidence,
    Measurement,
    Message,
    ProviderRefused,
    ProviderUnavailable,
    Request,
    Task,
)
from penin_core.builtin import evaluators, guards, mutators
from penin_core.testing import (
    EvaluatorConformance,
    GuardConformance,
    HttpProviderConformance,
    LocalProviderConformance,
    MutatorConformance,
)
from penin_core.testing.conformance import GOOD, MEASURED
from penin_core.testing.fakes import Echo, Scripted
from penin_core.testing.provider_conformance import with_one_part_missing

pytest_plugins = ["pytester"]

ROOT = Path(__file__).parent.parent


# First-party components


class TestEcho(LocalProviderConformance):
    component = Echo


class TestScripted(LocalProviderConformance):
    component = Scripted
    options = {"default": "yes, it is", "confidence": 0.5, "context_tokens": 40}


class Acme(ChatCompletionsProvider):
    """A service that speaks chat completions."""

    name = "acme"
    base_url = "https://api.acme.example/v1"
    key_env = "ACME_API_KEY"


class TestChatCompletions(HttpProviderConformance):
    component = Acme
    model = "acme-small"
    reply = {
        "model": "acme-small-2",
        "choices": [
            {
                "message": {"role": "assistant", "content": "hello"},
                "finish_reason": "stop",
                "logprobs": {"content": [{"token": "hello", "logprob": -0.2}]},
            }
        ],
        "usage": {"prompt_tokens": 9, "completion_tokens": 1},
    }


class TestParamSweep(MutatorConformance):
    component = mutators.ParamSweep


class TestPromptVariants(MutatorConformance):
    component = mutators.PromptVariants


class TestFewShot(MutatorConformance):
    component = mutators.FewShot


class TestSigma(GuardConformance):
    component = guards.Sigma
    bad = GuardEvidence(
        candidate=MEASURED,
        champion=MEASURED,
        ethics=EthicsEvidence(ece=0.5, rho_bias=1.0, fairness=1.0, consent=True, eco_kg=0.01),
    )


class TestContractive(GuardConformance):
    component = guards.Contractive
    bad = GOOD.model_copy(update={"candidate": Measurement(S=0.2, harm=0.5)})


class TestNearStep(MutatorConformance):
    component = mutators.NearStep


class TestModelSwap(MutatorConformance):
    component = mutators.ModelSwap
    options = {"models": ("echo:other", "scripted:any")}


class AfterRace(mutators.Crossover):
    """The champion crossed with a candidate of a race that it has seen."""

    def __init__(self, options=None):
        super().__init__(options)
        best = MutatorConformance.champion.child("race", system="Be brief.", temperature=0.2)
        self.learn([Evaluation(candidate=best, stage="race", measurement=Measurement(U=0.9))])


class TestCrossover(MutatorConformance):
    component = AfterRace


ANSWERS = [
    {"question": "q", "answer": f"{kind} {n}", "good": kind == "right"}
    for kind in ("right", "wrong")
    for n in range(5)
]
NEEDS = {
    "field_f1": {"task": Task(id="r", input="What?", expected={"colour": "red"})},
    "choice": {"options": {"labels": ("red", "blue")}},
    "numeric": {"task": Task(id="r", input="How many?", expected="12")},
    "regex": {"options": {"pattern": "red|blue"}},
    "json_schema": {"options": {"rule": {"type": "string"}}},
    "block_list": {"options": {"terms": ("red",)}},
    "judge": {
        "options": {"provider": "p", "model": "m", "rubric": "True?", "labelled": ANSWERS},
        "judgement": "PASS",
    },
}


def _evaluator_kits():
    for component in evaluators.penin_register_evaluators():
        needs = NEEDS.get(component.name, {})
        members = {"component": component, "__module__": __name__, **needs}
        yield type(f"Test_{component.name}", (EvaluatorConformance,), members)


globals().update({kit.__name__: kit for kit in _evaluator_kits()})


# The providers that stand in for a model


def ask(text, **changes):
    messages = (Message(role="user", content=text),)
    return Request(provider="scripted", model="m", messages=messages, **changes)


def play(request, **script):
    (answer,) = Scripted(Scripted.Options(**script)).generate([request])
    return answer


def test_echo_answers_its_prompt():
    (answer,) = Echo().generate([ask("two words", logprobs=True)])
    assert (answer.text, answer.tokens_out, answer.confidence) == ("two words", 2, 1.0)


def test_a_script_answers_in_the_order_it_promises():
    script = {
        "errors": {"a": "no"},
        "answers": {"a": "never", "b": "mapped"},
        "answer": lambda request: f"called with {request.model}",
    }
    assert isinstance(play(ask("a"), **script), ProviderRefused)
    assert play(ask("b"), **script).text == "mapped"
    assert play(ask("c"), **script).text == "called with m"
    assert play(ask("c"), default="else").text == "else"
    assert "no answer to 'c'" in str(play(ask("c")))


def test_a_script_may_raise_or_return_errors_and_whole_completions():
    def fail(request):
        raise ProviderUnavailable("down")

    whole = Completion(text="whole", model="m", tokens_in=1, tokens_out=1)
    assert isinstance(play(ask("a"), answer=fail), ProviderUnavailable)
    assert play(ask("a"), answer=lambda request: whole) is whole


@pytest.mark.parametrize("confidence", [1.0, 0.5, 0.01])
def test_a_script_is_as_confident_as_it_is_told(confidence):
    answer = play(ask("a", logprobs=True), default="three short words", confidence=confidence)
    assert answer.confidence == pytest.approx(confidence)
    assert len(answer.logprobs) == 3


def test_a_script_that_is_cut_says_so():
    answer = play(ask("a", max_tokens=2), default="three short words")
    assert (answer.text, answer.finish) == ("three short", "length")


def test_every_part_is_removed_once():
    assert list(with_one_part_missing({"a": [1, {"b": 2}]})) == [
        {},
        {"a": [{"b": 2}]},
        {"a": [1]},
        {"a": [1, {}]},
    ]


# Planted violations: a class, its test class, and the clause that must fail

HEAD = """
import random, itertools
import numpy as np
import pytest
from penin_core import *
from penin_core import ComponentOptions
from penin_core.testing import *
from penin_core.testing.conformance import GOOD, NOTHING
from penin_core.testing.fakes import Echo, FREE
from planted import PlantedFineTuner

def done(request, text="hello world", **changes):
    words = len(text.split())
    fields = dict(text=text, model=request.model, tokens_in=2, tokens_out=words)
    return Completion(**{**fields, **changes})

class Local(Echo):
    "Local."
    name = "local"

class Http(ChatCompletionsProvider):
    "Http."
    name = "http"
    base_url = "https://x.example"
    key_env = "X_KEY"

class Mutates(Mutator):
    "Mutates."
    name = "mutates"
    def propose(self, champion, count, rng):
        return [
            champion.child(self.name, temperature=float(t)) for t in rng.uniform(0, 1, size=count)
        ]

class Evaluates(Evaluator):
    "Evaluates."
    name = "evaluates"
    axis = "U"
    def score(self, task, completions):
        return float(completions[0].text == task.expected)

class Guards(Guard):
    "Guards."
    name = "guards_it"
    def check(self, evidence):
        ok = evidence.ethics.ece is not None and evidence.ethics.ece < 0.01
        return GuardResult(guard=self.name, ok=ok, reason="because")

REPLY = {"model": "m", "choices": [{"message": {"content": "hi"}}],
         "usage": {"prompt_tokens": 1, "completion_tokens": 1}}
BAD = GOOD.model_copy(update={"ethics": EthicsEvidence(ece=0.9)})
counter = itertools.count()
TRAINS = {"model": "small", "job_id": "job-1", "trained": "small-tuned", "replies": {
    "upload_data": [{"id": "file-1"}, {"id": "file-2"}],
    "create_job": [{"id": "job-1"}],
    "find_job": [{"data": [{"id": "job-1", "metadata": {"penin": "{key}"}}]}],
    "get_job": [{"id": "job-1", "status": "running"}],
    "get_model": [{"id": "job-1", "fine_tuned_model": "small-tuned"}],
    "cancel": [{"id": "job-1"}],
}}

class Trains(PlantedFineTuner):
    "Trains."

def twice(self, model, files, hyperparams, key):
    for _ in range(2):
        reply = yield Call(path="/jobs", body={"model": model, "f": files[0], "key": key})
    return reply.body["id"]

def keyless(self, model, files, hyperparams, key):
    reply = yield Call(path="/jobs", body={"model": model, "training_file": files[0]})
    return reply.body["id"]

def relaunches(self, key):
    reply = yield Call(path="/jobs", body={"key": key})
    return reply.body["data"][0]["id"]

def finds_none(self, key):
    yield Call(method="GET", path="/jobs")

def half(self, train, validation):
    reply = yield Call(path="/files", files=(FilePart(name="f", filename="f", content=train),))
    return (reply.body["id"], reply.body["id"])

def raw_state(self, job_id):
    reply = yield Call(method="GET", path=f"/jobs/{job_id}")
    return reply.body

def wrong_name(self, job_id):
    yield Call(method="GET", path=f"/jobs/{job_id}")
    return job_id

def cancels_all(self, job_id):
    yield Call(path="/jobs/cancel")

KIT = {Trains: HttpFineTunerConformance, Local: LocalProviderConformance, Http:
       HttpProviderConformance, Evaluates:
       EvaluatorConformance, Guards: GuardConformance, Mutates: MutatorConformance}

def plant(title, base, **members):
    "Return a test class for a subclass of base that breaks one clause."
    component = type(title, (base,), {"__doc__": "Broken.", **members})
    extra = {"reply": REPLY, "bad": BAD, "component": component, "__module__": __name__}
    extra |= TRAINS if base is Trains else {}
    return type("Test" + title, (KIT[base],), extra)

def tell(key):
    raise ValueError(f"the key {key} was not accepted")

class Loose(ComponentOptions):
    model_config = {"extra": "ignore"}

class Melting(ComponentOptions):
    model_config = {"frozen": False, "extra": "allow"}
"""

VIOLATIONS = [
    # title, base, members, clause
    ("NoDoc", "Local", "__doc__=None", "class_follows_the_contract"),
    ("BadName", "Guards", "name='A B'", "class_follows_the_contract"),
    ("LooseOptions", "Mutates", "Options=Loose", "unknown_option_is_refused"),
    ("MeltingOptions", "Guards", "Options=Melting", "options_cannot_change"),
    (
        "Fickle",
        "Local",
        "capabilities=lambda self, model: Capabilities(price=FREE, batch=next(counter) + 1)",
        "capabilities_are_stated",
    ),
    (
        "NoPrice",
        "Local",
        "capabilities=lambda self, model: Capabilities(logprobs=True)",
        "price_is_stated",
    ),
    (
        "Speechless",
        "Local",
        "generate=lambda self, requests: [None for _ in requests]",
        "question_is_answered",
    ),
    (
        "Nameless",
        "Local",
        "generate=lambda self, requests: [done(r, model='') for r in requests]",
        "question_is_answered",
    ),
    (
        "Uncounted",
        "Local",
        "generate=lambda self, requests: [done(r, tokens_in=0) for r in requests]",
        "question_is_answered",
    ),
    (
        "Single",
        "Local",
        "generate=lambda self, requests: [done(requests[0])]",
        "one_answer_for_each_request",
    ),
    (
        "Reversed",
        "Local",
        "generate=lambda self, requests: [done(r, r.messages[-1].content) for r in requests][::-1]",
        "one_answer_for_each_request",
    ),
    (
        "Random",
        "Local",
        "generate=lambda self, requests: [done(r, str(next(counter))) for r in requests]",
        "same_question_same_answer",
    ),
    (
        "Crowded",
        "Local",
        "generate=lambda self, requests: [done(r, str(len(requests))) for r in requests]",
        "answer_does_not_depend_on_the_batch",
    ),
    (
        "Chatty",
        "Local",
        "generate=lambda self, requests: [done(r, 'a b c') for r in requests]",
        "limit_of_tokens_holds",
    ),
    (
        "NoLogprobs",
        "Local",
        "generate=lambda self, requests: [done(r, 'a') for r in requests]",
        "logprobs_are_what_was_promised",
    ),
    (
        "FewLogprobs",
        "Local",
        "generate=lambda self, requests: [done(r, 'a b', logprobs=(-1.0,)) for r in requests]",
        "logprobs_are_what_was_promised",
    ),
    (
        "Improbable",
        "Local",
        "generate=lambda self, requests: [done(r, 'a', logprobs=(0.5,)) for r in requests]",
        "logprobs_are_what_was_promised",
    ),
    (
        "Secretive",
        "Local",
        "capabilities=lambda self, model: Capabilities(price=FREE)",
        "logprobs_are_what_was_promised",
    ),
    (
        "Endless",
        "Local",
        "capabilities=lambda self, model: "
        "Capabilities(logprobs=True, price=FREE, context_tokens=50)",
        "too_long_a_question_is_refused_alone",
    ),
    ("Nowhere", "Http", "base_url=''", "it_says_where_the_service_is"),
    ("Absolute", "Http", "path='https://x.example/chat'", "call_is_relative_and_json"),
    ("NoSlash", "Http", "path='chat'", "call_is_relative_and_json"),
    (
        "Unwritable",
        "Http",
        "encode=lambda self, request: Call(path='/' + request.model, body="
        "{'x': float('nan'), 'q': request.messages[0].content, 's': request.system})",
        "call_is_relative_and_json",
    ),
    (
        "Forgetful",
        "Http",
        "encode=lambda self, request: Call(path='/c', body={'model': "
        "request.model, 'q': request.messages[0].content})",
        "call_carries_model_and_question",
    ),
    (
        "Numbered",
        "Http",
        "encode=lambda self, request: Call(path='/c', body="
        "{'all': request.model_dump(mode='json')})",
        "same_request_same_call",
    ),
    (
        "Stamped",
        "Http",
        "encode=lambda self, request: Call(path='/c', body={'n': next(counter)})",
        "same_request_same_call",
    ),
    (
        "Deaf",
        "Http",
        "capabilities=lambda self, model: Capabilities(refused=('seed',)), "
        "encode=lambda self, request: Call(path='/c', body={'seed': 1})",
        "refused_parameters_are_left_out",
    ),
    (
        "Illiterate",
        "Http",
        "decode=lambda self, reply: reply.body['nothing']",
        "sample_reply_is_read",
    ),
    (
        "Inventive",
        "Http",
        "decode=lambda self, reply: "
        "Completion(text='made up', model='m', tokens_in=1, tokens_out=1)",
        "reply_of_another_shape_is_an_error",
    ),
    (
        "Careless",
        "Http",
        "decode=lambda self, reply: None if 'usage' not in reply.body else "
        "ChatCompletionsProvider.decode(self, reply)",
        "damaged_reply_is_read_or_named",
    ),
    (
        "Exploding",
        "Http",
        "decode=lambda self, reply: 1 / 0 if 'usage' not in reply.body else "
        "ChatCompletionsProvider.decode(self, reply)",
        "damaged_reply_is_read_or_named",
    ),
    ("Keyless", "Http", "headers=lambda self, key: {}", "key_travels_in_headers_only"),
    (
        "Leaking",
        "Http",
        "encode=lambda self, request: Call(path='/c', body="
        "{'key': __import__('os').environ.get('X_KEY')})",
        "key_travels_in_headers_only",
    ),
    (
        "Pretending",
        "Http",
        "capabilities=lambda self, model: Capabilities(streaming=True)",
        "streams_if_it_says_so",
    ),
    ("Lazy", "Mutates", "propose=lambda self, champion, count, rng: []", "it_proposes_something"),
    (
        "Generous",
        "Mutates",
        "propose=lambda self, champion, count, rng: "
        "[champion.child('g', temperature=t / 10) for t in range(5)]",
        "it_proposes_at_most_count",
    ),
    (
        "Eager",
        "Mutates",
        "propose=lambda self, champion, count, rng: "
        "[champion.child('g', temperature=t / 10) for t in range(max(1, count))]",
        "it_proposes_at_most_count",
    ),
    (
        "Unseeded",
        "Mutates",
        "propose=lambda self, champion, count, rng: "
        "[champion.child('g', temperature=random.SystemRandom().random()) for t in range(count)]",
        "same_seed_same_proposals",
    ),
    (
        "Global",
        "Mutates",
        "propose=lambda self, champion, count, rng: "
        "[champion.child('g', temperature=random.random()) for t in range(count)]",
        "chance_comes_from_rng_only",
    ),
    (
        "GlobalNumpy",
        "Mutates",
        "propose=lambda self, champion, count, rng: "
        "[champion.child('g', temperature=np.random.random()) for t in range(count)]",
        "chance_comes_from_rng_only",
    ),
    (
        "Orphans",
        "Mutates",
        "propose=lambda self, champion, count, rng: "
        "[Candidate(config=champion.child('g', temperature=t / 10).config) for t in range(count)]",
        "lineage_is_kept",
    ),
    (
        "Repeating",
        "Mutates",
        "propose=lambda self, champion, count, rng: "
        "[champion.child('g', temperature=0.1) for t in range(count)]",
        "proposals_differ",
    ),
    (
        "Copying",
        "Mutates",
        "propose=lambda self, champion, count, rng: [champion.child('g')][:count]",
        "proposals_differ",
    ),
    (
        "Vandal",
        "Mutates",
        "propose=lambda self, champion, count, rng: "
        "(champion.config.extra.update(x=next(counter)), [champion.child('g', temperature=0.1)])[1]"
        "[:count]",
        "champion_stays_what_it_is",
    ),
    ("Picky", "Evaluates", "applies=lambda self, task: False", "it_applies_to_its_task"),
    ("Percent", "Evaluates", "score=lambda self, task, completions: 100.0", "score_stays_in_unit"),
    (
        "NotANumber",
        "Evaluates",
        "score=lambda self, task, completions: float('nan')",
        "score_stays_in_unit",
    ),
    (
        "Brittle",
        "Evaluates",
        "score=lambda self, task, completions: 1 / len(completions[0].text.split())",
        "score_stays_in_unit",
    ),
    (
        "Moody",
        "Evaluates",
        "score=lambda self, task, completions: next(counter) % 97 / 97",
        "same_answers_same_score",
    ),
    (
        "Upside",
        "Evaluates",
        "score=lambda self, task, completions: float(completions[0].text != task.expected)",
        "right_answer_is_not_worse",
    ),
    (
        "NoVariant",
        "Evaluates",
        "variants=lambda self, task, rng: (), score=lambda self, task, completions: 1.0",
        "variants_are_tasks",
    ),
    (
        "ChanceVariants",
        "Evaluates",
        "variants=lambda self, task, rng: (task.model_copy(update={'sample': next(counter)}),)",
        "variants_are_tasks",
    ),
    (
        "AsksText",
        "Evaluates",
        "judge=lambda self, task, completions: ['is it good?']",
        "judge_asks_requests",
    ),
    (
        "Summing",
        "Evaluates",
        "score=lambda self, task, completions: 1.0, "
        "aggregate=lambda self, rows: sum(s for _, _, s in rows) * 2 if rows else None",
        "aggregate_stays_in_unit",
    ),
    ("ZeroForNothing", "Evaluates", "aggregate=lambda self, rows: 0.0", "aggregate_stays_in_unit"),
    (
        "AlwaysNo",
        "Guards",
        "check=lambda self, evidence: GuardResult(guard='guards_it', ok=False, reason='no')",
        "good_evidence_passes",
    ),
    (
        "Silent",
        "Guards",
        "check=lambda self, evidence: "
        "GuardResult(guard='guards_it', ok=evidence == GOOD, reason='')",
        "good_evidence_passes",
    ),
    (
        "Impostor",
        "Guards",
        "check=lambda self, evidence: GuardResult(guard='sigma', ok=evidence == GOOD, reason='x')",
        "good_evidence_passes",
    ),
    ("ForgotReturn", "Guards", "check=lambda self, evidence: None", "bad_evidence_is_vetoed"),
    (
        "AlwaysYes",
        "Guards",
        "check=lambda self, evidence: GuardResult(guard='guards_it', ok=True, reason='yes')",
        "bad_evidence_is_vetoed",
    ),
    (
        "FailsOpen",
        "Guards",
        "check=lambda self, evidence: GuardResult(guard='guards_it', "
        "ok=(evidence.ethics.ece or 0.0) < 0.01, reason='x')",
        "missing_evidence_never_counts_as_good",
    ),
    ("LaunchesTwice", "Trains", "create_job=twice", "job_is_created_once"),
    ("Keyless2", "Trains", "create_job=keyless", "job_is_created_once"),
    ("Relaunches", "Trains", "find_job=relaunches", "job_is_found_by_its_key"),
    ("FindsNone", "Trains", "find_job=finds_none", "job_is_found_by_its_key"),
    ("HalfUpload", "Trains", "upload_data=half", "upload_sends_the_data"),
    ("RawState", "Trains", "get_job=raw_state", "state_is_read"),
    ("WrongName", "Trains", "get_model=wrong_name", "model_is_named"),
    ("CancelsAll", "Trains", "cancel=cancels_all", "cancel_is_sent"),
    (
        "TakesAny",
        "Trains",
        "capabilities=lambda self, model: PlantedFineTuner.capabilities(self, 'small')",
        "unknown_model_is_refused",
    ),
    (
        "Constant",
        "Trains",
        "tokens=lambda self, model, example: 7",
        "longer_example_has_more_tokens",
    ),
    ("AnyHyperparam", "Trains", "Hyperparams=Loose", "unknown_hyperparameter_is_refused"),
    (
        "Trusting",
        "Guards",
        "check=lambda self, evidence: GuardResult(guard='guards_it', ok=evidence != NOTHING and "
        "(evidence.ethics.ece or 0.0) < 0.01, reason='x')",
        "part_that_decides_is_never_optional",
    ),
    (
        "Mislabelled",
        "Mutates",
        "propose=lambda self, champion, count, rng: "
        "[champion.child('somebody', temperature=t / 10) for t in range(count)]",
        "proposals_say_who_made_them",
    ),
    (
        "Hungry",
        "Mutates",
        "prepare=lambda self, tasks: setattr(self, 'first', tasks[0])",
        "learning_from_nothing_is_harmless",
    ),
    (
        "Presuming",
        "Evaluates",
        "score=lambda self, task, completions: 0.5 if sum(completions[0].logprobs) < 9 else 0.6",
        "bare_answer_is_scored_or_named",
    ),
    (
        "Boasting",
        "Http",
        "capabilities=lambda self, model: Capabilities(seed=True), "
        "parameters=lambda self, request: {'temperature': request.temperature}",
        "what_is_claimed_is_asked_for",
    ),
    (
        "Claiming",
        "Http",
        "capabilities=lambda self, model: Capabilities(logprobs=True), "
        "parameters=lambda self, request: {'seed': request.seed}",
        "what_is_claimed_is_asked_for",
    ),
    (
        "Blabbing",
        "Http",
        "headers=lambda self, key: setattr(self, 'k', key) or {'x': key}, "
        "decode=lambda self, reply: tell(self.k) if 'usage' not in (reply.body or ()) else "
        "ChatCompletionsProvider.decode(self, reply)",
        "key_is_never_in_an_error",
    ),
    (
        "Showing",
        "Http",
        "headers=lambda self, key: setattr(self, 'k', key) or {'x': key}, "
        "__repr__=lambda self: self.k",
        "key_is_never_in_an_error",
    ),
    (
        "Wavering",
        "Guards",
        "check=lambda self, evidence: GuardResult(guard='guards_it', "
        "ok=evidence == GOOD, reason=str(next(counter)))",
        "same_evidence_same_answer",
    ),
]

SOUND = """
class TestLocal(LocalProviderConformance):
    component = Local

class TestHttp(HttpProviderConformance):
    component = Http
    reply = REPLY

class TestMutates(MutatorConformance):
    component = Mutates

class TestEvaluates(EvaluatorConformance):
    component = Evaluates

class TestGuards(GuardConformance):
    component = Guards
    bad = BAD

class TestTrains(HttpFineTunerConformance):
    component = Trains
    model, job_id, trained, replies = (
        TRAINS[name] for name in ("model", "job_id", "trained", "replies")
    )

class TestDeclared(LocalProviderConformance):
    component = plant("Chatty", Local,
        generate=lambda self, requests: [done(r, "a b", logprobs=(-1.0, -1.0)) for r in requests]
    ).component
    expected_failures = {"test_limit_of_tokens_holds": "the model has no such limit"}

class TestDeclaredInVain(LocalProviderConformance):
    component = Local
    expected_failures = {"test_limit_of_tokens_holds": "so we thought"}

def test_the_fixture_has_built_ins_only(penin_plugins):
    assert "sigma" in penin_plugins.names("guards")
    assert {row["distribution"] for row in penin_plugins.describe()} == {"penin-core"}
"""


@pytest.fixture
def run_kit(pytester, monkeypatch):
    """Run a test file in a process of its own, with the plugin that penin-core installs."""
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    monkeypatch.setenv("PYTEST_DISABLE_PLUGIN_AUTOLOAD", "1")

    def run(source, *options):
        pytester.makepyfile(source)
        return pytester.runpytest_subprocess(
            "-q", "-rA", "--tb=no", "-p", "penin_core.testing.pytest_plugin", *options
        )

    return run


def by_outcome(result, outcome):
    pattern = re.compile(rf"^{outcome}.* \S+::(Test\w+)::test_(\w+)")
    return {match.groups() for line in result.outlines if (match := pattern.match(line))}


def planted_finetuner():
    """The fine-tuner that ``penin plugins new`` writes, under another name of its class."""
    source = (ROOT / "tests" / "data" / "api1" / "old_finetuner.py").read_text(encoding="utf-8")
    return source.replace("OldFinetunerFineTuner", "PlantedFineTuner")


def test_every_planted_violation_fails_its_clause_and_sound_components_none(run_kit, pytester):
    planted = "\n".join(
        f"Test{title} = plant({title!r}, {base}, {members})"
        for title, base, members, _ in VIOLATIONS
    )
    pytester.makepyfile(planted=planted_finetuner())
    result = run_kit(HEAD + SOUND + planted, "-o", "pythonpath=.")
    failed = by_outcome(result, "FAILED")
    expected = {(f"Test{title}", clause) for title, _, _, clause in VIOLATIONS}
    assert expected - failed == set()
    sound = {kit for kit in re.findall(r"class (Test\w+)", SOUND) if kit != "TestDeclaredInVain"}
    assert {pair for pair in failed if pair[0] in sound} == set()
    assert ("TestDeclaredInVain", "limit_of_tokens_holds") in failed
    assert by_outcome(result, "XFAIL") == {("TestDeclared", "limit_of_tokens_holds")}
    assert "PASSED" in result.stdout.str().split("test_the_fixture_has_built_ins_only")[0][-90:]


SOUND_MODULE = """
from penin_core import Guard, GuardResult, hookimpl

penin_api = 1

class Says(Guard):
    "Says no."
    name = "says"
    def check(self, evidence):
        return GuardResult(guard=self.name, ok=False, reason="no")

@hookimpl
def penin_register_guards():
    return [Says]
"""
MODULES = {
    # module: source, clause that must fail
    "heavy": ("import torch\n" + SOUND_MODULE, "import_is_light"),
    "loud": ("print('hello')\n" + SOUND_MODULE, "import_is_light"),
    "speechless": (SOUND_MODULE.replace("penin_api = 1", ""), "it_says_which_api_it_speaks"),
    "future": (SOUND_MODULE.replace("= 1", "= 99"), "it_says_which_api_it_speaks"),
    "thief": (SOUND_MODULE.replace('"says"', '"sigma"'), "it_registers_whole"),
    "empty": ("penin_api = 1", "it_registers_whole"),
    "misspelt": (SOUND_MODULE.replace("_guards()", "_guard()"), "it_registers_whole"),
    "longwinded": (SOUND_MODULE.replace("Says no.", "Says no, " * 20), "summaries_fit_on_a_line"),
    "fragile": (
        SOUND_MODULE + "\n@hookimpl\ndef penin_cycle_finished(report):\n    report.runs[0]\n",
        "watchers_survive_a_cycle",
    ),
}
COMMANDS = {
    "no_command": ("def command():\n    pass\n", "it_is_a_click_command"),
    "unhelpful": ("@click.command()\ndef command():\n    pass\n", "help_explains_it"),
    "unexplained": (
        "@click.command()\n@click.option('--x')\ndef command(x):\n    'Do.'\n",
        "help_explains_it",
    ),
    "careless": (
        "@click.command(context_settings={'ignore_unknown_options': True})\n"
        "@click.argument('words', nargs=-1)\ndef command(words):\n    'Do.'\n",
        "wrong_use_is_no_crash",
    ),
}


def test_every_planted_violation_of_a_module_or_a_command_fails_its_clause(run_kit, pytester):
    pytester.mkdir("torch").joinpath("__init__.py").write_text("")
    tests = ["from penin_core.testing import *"]
    sound = {"sound": (SOUND_MODULE, None)}
    for name, (source, _) in {**MODULES, **sound}.items():
        pytester.makepyfile(**{name: source})
        tests += [f"import {name}", f"class Test{name}(PluginConformance):", f"    plugin = {name}"]
    greet = "@click.command()\ndef command():\n    'Do.'\n"
    for name, (source, _) in {**COMMANDS, "polite": (greet, None)}.items():
        pytester.makepyfile(**{name: "import click\n" + source})
        tests += [f"from {name} import command as {name}_it"]
        tests += [f"class Test{name}(CommandConformance):", f"    command = {name}_it"]
    result = run_kit("\n".join(tests), "-p", "no:cacheprovider", "-o", "pythonpath=.")
    failed = by_outcome(result, "FAILED")
    planted = {**MODULES, **COMMANDS}
    assert {(f"Test{name}", clause) for name, (_, clause) in planted.items()} - failed == set()
    assert {pair for pair in failed if pair[0] in ("Testsound", "Testpolite")} == set()


def test_at_least_sixty_violations_are_planted():
    assert len(VIOLATIONS) + len(MODULES) + len(COMMANDS) >= 60


def test_a_deprecated_hook_argument_is_told_to_its_author(run_kit, pytester):
    pytester.makepyfile(
        old="from penin_core import hookimpl\npenin_api = 1\n"
        "@hookimpl\ndef penin_cycle_started(champion):\n    pass\n"
    )
    source = """
import pytest
from penin_core import hookspecs
from penin_core.testing import PluginConformance
import old

def penin_cycle_started(champion, challengers): pass

@pytest.fixture(autouse=True)
def later(monkeypatch):
    warning = DeprecationWarning("champion goes away")
    spec = hookspecs.hookspec(warn_on_impl_args={"champion": warning})(penin_cycle_started)
    monkeypatch.setattr(hookspecs, "penin_cycle_started", spec)

class TestOld(PluginConformance):
    plugin = old
"""
    result = run_kit(source, "-o", "pythonpath=.")
    assert ("TestOld", "it_takes_no_deprecated_argument") in by_outcome(result, "FAILED")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ("TestMine.test_price_is_stated = lambda self: None", "replaces test_price_is_stated"),
        ("TestMine.ask = lambda self: None", "replaces ask"),
        ("del LocalProviderConformance.test_price_is_stated", "replaces test_price_is_stated"),
        ("LocalProviderConformance.test_price_is_stated = None", "replaces test_price_is_stated"),
        ("TestMine.expected_failures = {'test_price_is_stated': ''}", "needs a reason"),
    ],
    ids=["replaced", "helper", "deleted from the kit", "removed from the kit", "excused"],
)
def test_a_kit_that_is_weakened_later_stops_the_run(run_kit, change, message):
    source = f"""
from penin_core.testing import LocalProviderConformance
from penin_core.testing.fakes import Echo

class TestMine(LocalProviderConformance):
    component = Echo

{change}
"""
    result = run_kit(source)
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    assert message in result.stderr.str()


@pytest.mark.parametrize(
    ("members", "message"),
    [
        ({"test_price_is_stated": lambda self: None}, "replaces test_price_is_stated"),
        ({"test_price_is_stated": None}, "replaces test_price_is_stated"),
        ({"_expect_failure": None}, "replaces _expect_failure"),
        ({"expected_failures": {"test_prize_is_stated": "typo"}}, "no clause test_prize_is_stated"),
        ({"expected_failures": {"test_price_is_stated": " "}}, "needs a reason"),
    ],
    ids=["replaced", "removed", "switched off", "misspelt", "no reason"],
)
def test_a_kit_cannot_be_weakened_in_silence(members, message):
    with pytest.raises(TypeError, match=message):
        type("TestWeak", (LocalProviderConformance,), {"component": Echo, **members})


def test_a_mixin_cannot_weaken_a_kit_either():
    class Mixin:
        def test_price_is_stated(self):
            pass

    with pytest.raises(TypeError, match="replaces test_price_is_stated"):
        type("TestWeak", (Mixin, LocalProviderConformance), {"component": Echo})


def test_clauses_may_be_added():
    kit = type("TestMore", (LocalProviderConformance,), {"test_mine": lambda self: None})
    assert kit.test_mine
