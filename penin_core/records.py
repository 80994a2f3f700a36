"""The values that flow through a cycle. All are frozen; unknown fields are refused.

Probabilities, scores and axis values lie in [0, 1]. Higher is better, except for the cost C.
``None`` means "not measured", never zero.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sized
from functools import cached_property
from hashlib import sha256
from pathlib import Path
from typing import Annotated, Any, Literal, Self, cast, get_args

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    StrictBool,
    StringConstraints,
)

from .canonical import canonical_json, digest

Unit = Annotated[float, Field(ge=0.0, le=1.0)]
#: Of one answer. No model reads or writes so many, and their price still fits into a database.
TokenCount = Annotated[int, Field(ge=0, le=2**31)]
Name = Annotated[str, StringConstraints(min_length=1, max_length=200)]
Accepted = Annotated[tuple[str, ...], Field(min_length=1)]
Axis = Literal["U", "S", "C", "L"]
Verdict = Literal["promote", "canary", "rollback", "fail"]
Split = Literal["select", "confirm", "ood", "composed"]
Claim = Literal["better", "cheaper"]
EvidenceMode = Literal["anytime", "horizon"]
#: A file's name without any folder; it starts with no dot, so that it is never hidden.
PlainName = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9][A-Za-z0-9_.-]{0,127}$")]
JobStatus = Literal[
    "queued",
    "validating",
    "validated",
    "running",
    "cancelling",
    "paused",
    "succeeded",
    "failed",
    "cancelled",
    "unknown",
]

#: Records are frozen against the usual way.
_put = object.__setattr__


def _with_canonical_form(value: dict[str, Any]) -> dict[str, Any]:
    canonical_json(value)
    return value


def _empty(value: Sized) -> bool:
    return not value


class Record(BaseModel):
    """Base of all records: frozen, no unknown fields, no NaN, no infinity."""

    # What checks a record is built with the first one: a command uses few of all these kinds.
    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False, defer_build=True)

    def model_copy(self, *, update: Mapping[str, Any] | None = None, deep: bool = False) -> Self:
        """Return a copy with ``update``, which is not validated."""
        if deep:
            return super().model_copy(deep=True).model_copy(update=update)
        kind = type(self)
        values, given = self.__dict__.copy(), self.__pydantic_fields_set__
        if update:
            values.update(update)
            given = given | update.keys()
        if len(values) > len(kind.__pydantic_fields__):
            # A cached hash belongs to the values that it was computed from.
            for name in values.keys() - kind.__pydantic_fields__.keys():
                del values[name]
        # What pydantic does, without what only other kinds of models need: many are copied.
        copied = kind.__new__(kind)
        _put(copied, "__dict__", values)
        _put(copied, "__pydantic_fields_set__", set(given))
        _put(copied, "__pydantic_extra__", None)
        _put(copied, "__pydantic_private__", None)
        return copied


# What is asked, and what comes back


class Message(Record):
    """One turn of a conversation."""

    role: Literal["system", "user", "assistant"]
    content: str


class Request(Record):
    """One question to one model, complete: the same request always means the same bytes.

    ``sample`` numbers independent draws of the same question; it is part of the identity of the
    request and is never sent.
    """

    provider: Name
    model: Name
    messages: tuple[Message, ...] = Field(min_length=1)
    system: str = ""
    temperature: float = Field(default=1.0, ge=0.0, le=2.0)
    top_p: float = Field(default=1.0, gt=0.0, le=1.0)
    max_tokens: int = Field(default=256, gt=0)
    seed: int | None = None
    logprobs: bool = False
    adapter: str | None = None
    extra: dict[str, Any] = {}
    sample: int = Field(default=0, ge=0)

    @cached_property
    def key(self) -> str:
        """SHA-256 that identifies this request, its sample number included."""
        if self.extra:
            # Its keys may stand in any order.
            return digest(self.model_dump(mode="json"))
        return sha256(self.model_dump_json().encode()).hexdigest()


class Completion(Record):
    """One answer.

    ``logprobs`` are natural logarithms of the probabilities, at temperature 1, of the tokens that
    were sampled. ``latency_ms`` and ``cost_usd`` are filled in by the engine, ``utility`` (the
    score of the answer by its task's own metric) by the task battery before evaluators of S, C
    and L see it. ``dropped`` names the parameters that the model does not take. ``stated`` is the
    confidence that the answer itself stated, where the suite asks for it; it is then no longer part
    of ``text``.
    """

    text: str
    model: str
    tokens_in: TokenCount
    tokens_out: TokenCount
    logprobs: tuple[float, ...] | None = None
    finish: Literal["stop", "length", "other"] = "stop"
    cost_usd: float | None = Field(default=None, ge=0.0, le=1e9)
    latency_ms: float = Field(default=0.0, ge=0.0)
    dropped: tuple[str, ...] = ()
    utility: Unit | None = None
    stated: Unit | None = None

    @property
    def confidence(self) -> float | None:
        """What the answer stated, else its probability: exp of the summed log-probabilities."""
        if self.stated is not None:
            return self.stated
        return None if self.logprobs is None else min(1.0, math.exp(math.fsum(self.logprobs)))


class Price(Record):
    """US dollars for a million tokens."""

    input_per_million: float = Field(ge=0.0)
    output_per_million: float = Field(ge=0.0)


class Capabilities(Record):
    """What a model can do. ``price`` None means that the price table must know it."""

    logprobs: bool = False
    seed: bool = False
    json_mode: bool = False
    streaming: bool = False
    context_tokens: int | None = Field(default=None, gt=0)
    refused: tuple[str, ...] = ()
    price: Price | None = None
    shutdown_date: str | None = None
    batch: int = Field(default=1, gt=0)


# The wire: what a provider writes and reads; the engine alone moves it


class FilePart(Record):
    """One file of a multipart upload."""

    name: str
    filename: str
    content: bytes
    content_type: str = "application/octet-stream"


class Call(Record):
    """One HTTP call, relative to the provider's base URL.

    ``outside`` leaves out the ``/v1`` at the end of the base URL, beside which some servers say how
    they are. A reply that is no JSON is an error unless ``text`` expects one.
    ``asks`` is the question that a step of an operation puts to a model, where that costs money:
    the engine reserves what the answer can cost, and settles it with what the operation returns.
    """

    method: Literal["GET", "POST", "PUT", "DELETE"] = "POST"
    path: str
    body: dict[str, Any] | None = None
    files: tuple[FilePart, ...] = ()
    outside: bool = False
    text: bool = False
    asks: Request | None = None


class Reply(Record):
    """The answer to a :class:`Call`; ``body`` is its JSON or text, or None where it has none."""

    status: int
    headers: dict[str, str] = {}
    body: Any = None


class Wait(Record):
    """A multi-step operation asks to be resumed after so many seconds."""

    seconds: float = Field(ge=0.0)


class Progress(Record):
    """A multi-step operation says how far it is (``done`` of ``total``, if known)."""

    message: str
    done: float | None = None
    total: float | None = None


# Tasks and candidates


class Example(Record):
    """A solved task that is shown in the prompt. With tags, only to tasks that share one.

    ``fields`` are its own columns, for a prompt that uses ``{{column}}``; a column that it lacks is
    that of the task that is asked.
    """

    input: str
    output: str
    tags: tuple[str, ...] = ()
    # Left out where there are none: configurations without them keep their hashes.
    fields: dict[str, Any] = Field(default={}, exclude_if=_empty)

    def __hash__(self) -> int:
        """Return a hash without the columns, which may hold lists; equal examples have the same."""
        return hash((self.input, self.output, self.tags))


class Task(Record):
    """One thing to ask, and how to tell a good answer.

    ``expected`` is a string, a list of accepted strings, an object, or None where a verifier
    decides. ``system`` is the instruction that the task itself carries (``{{system}}`` in a
    configuration). ``messages`` are turns before the input. Columns that penin does not know are
    kept in ``fields`` and can stand in a prompt as ``{{column}}``. ``examples`` are those that an
    evaluator adds, ``sample`` numbers repeats.
    """

    id: Name
    input: str
    expected: str | Accepted | dict[str, Any] | None = None
    system: str = ""
    messages: tuple[Message, ...] = ()
    group: str | None = None
    split: Split | None = None
    metric: str | None = None
    tags: tuple[str, ...] = ()
    consent: StrictBool | None = None
    license: str | None = None
    fields: dict[str, Any] = {}
    examples: tuple[Example, ...] = ()
    sample: int = Field(default=0, ge=0)


class Configuration(Record):
    """What runs in production: this, and nothing else, is what evolves."""

    provider: Name
    model: Name
    system: str = "{{system}}"
    prompt: str = "{{input}}"
    examples: tuple[Example, ...] = ()
    temperature: float = Field(default=1.0, ge=0.0, le=2.0)
    top_p: float = Field(default=1.0, gt=0.0, le=1.0)
    max_tokens: int = Field(default=256, gt=0)
    adapter: str | None = None
    extra: Annotated[dict[str, Any], AfterValidator(_with_canonical_form)] = {}

    @cached_property
    def hash(self) -> str:
        """SHA-256 of the canonical configuration."""
        return digest(self.model_dump(mode="json"))


class Candidate(Record):
    """A configuration and where it comes from.

    ``refused`` names the parameters that its model does not take, as the engine learned from the
    provider: what they are set to changes nothing, for it is not sent.
    """

    config: Configuration
    origin: str = "settings"
    parent: str | None = None
    note: str = ""
    refused: tuple[str, ...] = ()

    @property
    def hash(self) -> str:
        """Hash of the configuration; bookkeeping does not count."""
        return self.config.hash

    def child(self, origin: str, note: str = "", **changes: Any) -> Candidate:
        """Return a candidate that differs from this one in ``changes``, validated.

        On the same model, changes of what it refuses are left out.
        """
        same = {name: getattr(self.config, name) for name in Configuration.model_fields}
        moved = any(changes.get(name, same[name]) != same[name] for name in ("provider", "model"))
        refused = () if moved else self.refused
        kept = {name: value for name, value in changes.items() if name not in refused}
        config = Configuration.model_validate({**same, **kept})
        return Candidate(config=config, origin=origin, parent=self.hash, note=note, refused=refused)


# Training


class TrainingExample(Record):
    """One conversation, and the answer that a model shall learn to give to it.

    ``messages`` are the turns before the answer, the last one the user's; as in a Request.
    ``rejected`` is a worse answer to them, for methods that learn from preferences, else empty.
    """

    system: str = ""
    messages: tuple[Message, ...] = Field(min_length=1)
    answer: str = Field(min_length=1)
    rejected: str = ""


class TrainingCapabilities(Record):
    """What a fine-tuner can do with one model.

    ``context_tokens`` is the longest example, prompt and answer, that it trains on whole.
    ``usd_per_million`` is the price of a million tokens trained, once for each pass over the data;
    None where it is not known. ``min_examples`` is the least that it takes.
    """

    context_tokens: int | None = Field(default=None, gt=0)
    usd_per_million: float | None = Field(default=None, ge=0.0)
    min_examples: int = Field(default=10, ge=10)


class TrainingJob(Record):
    """All that a local training depends on, and the folder where it may leave files.

    ``hyperparams`` are complete: those of the fine-tuner's ``Hyperparams``, defaults filled in.
    """

    model: Name
    train: tuple[TrainingExample, ...] = Field(min_length=10)
    validation: tuple[TrainingExample, ...] = ()
    hyperparams: dict[str, Any] = {}
    seed: int = Field(default=0, ge=0)
    folder: Path


class TrainingProgress(Record):
    """How far a training is: ``step`` of ``steps``, and the mean loss in nats for one token.

    ``steps`` may shrink when the training stops early. ``note`` is one short line for the user.
    """

    step: int = Field(ge=0)
    steps: int | None = Field(default=None, gt=0)
    loss: float | None = None
    validation_loss: float | None = None
    note: str = ""


class TrainedModel(Record):
    """What a local training leaves: ``files`` in its folder, and figures for the record.

    Names of files are plain (``adapter.safetensors``). Figures may be losses, steps, seconds, the
    fitted temperature, what was forgotten.
    """

    files: Annotated[tuple[PlainName, ...], Field(min_length=1)]
    figures: dict[str, float] = {}


#: What services call a status that we call otherwise.
_STATUSES: Mapping[str, JobStatus] = {
    "validating_files": "validating",
    "failed_validation": "failed",
    "started": "running",
    "in_progress": "running",
    "expired": "failed",
    "success": "succeeded",
    "cancellation_requested": "cancelling",
    "canceled": "cancelled",
}


def job_status(text: object) -> JobStatus:
    """Return which of ours a status of a service is; "unknown" for one that nobody has seen."""
    name = str(text).strip().lower()
    if name in get_args(JobStatus):
        return cast(JobStatus, name)
    return _STATUSES.get(name, "unknown")


class TrainedCheckpoint(Record):
    """A model that a service keeps from an earlier step of a training; it can be asked by name."""

    model: Name
    step: int = Field(ge=0)
    loss: float | None = None
    validation_loss: float | None = None


class JobState(Record):
    """What a service says about a training job.

    ``status`` takes what the known services write ("SUCCESS", "validating_files") and becomes one
    of JobStatus. ``points`` is the loss curve so far, oldest first; ``tokens`` how many tokens were
    trained, where the service counts them. ``events`` are the service's own words, oldest first;
    ``checkpoints`` are models of earlier steps, and ``files`` the ids of files with results.
    """

    status: Annotated[JobStatus, BeforeValidator(job_status)]
    message: str = ""
    points: tuple[TrainingProgress, ...] = ()
    tokens: int | None = Field(default=None, ge=0, le=2**50)
    events: tuple[str, ...] = ()
    checkpoints: tuple[TrainedCheckpoint, ...] = ()
    files: tuple[str, ...] = ()


# Measurements


class TaskRow(Record):
    """How one candidate did on one task. ``error`` says why there is no score.

    ``well_formed`` says whether the answer meets every demand on its form: a JSON object where one
    is expected, and what the verifiers of the suite say; None where nothing is demanded.
    """

    task: str
    split: Split | None = None
    utility: Unit | None = None
    scores: dict[str, float] = {}
    confidence: Unit | None = None
    tokens_in: int = 0
    tokens_out: int = 0
    cost_usd: float = 0.0
    latency_ms: float = 0.0
    group: str | None = None
    harmful: bool | None = None
    well_formed: bool | None = None
    text: str | None = None
    error: str | None = None


class AxisResult(Record):
    """One axis: its value, the parts it is made of, and how many tasks could not be scored."""

    axis: Axis
    value: Unit | None
    raw: dict[str, float | None] = {}
    n_tasks: int = 0
    n_errors: int = 0


class Measurement(Record):
    """The four axes of one candidate on one set of tasks.

    ``raw`` holds the parts (U: em, f1, rouge; S: ece, robustness; C: tokens, cost_usd, latency_ms;
    L: reuse, composition). ``harm`` is the share of harmful answers, ``groups`` the mean utility
    of each protected group. ``not_applied`` names the parameters that the model does not take.
    """

    U: Unit | None = None
    S: Unit | None = None
    C: Unit | None = None
    L: Unit | None = None
    raw: dict[str, dict[str, float | None]] = {}
    groups: dict[str, float] = {}
    harm: Unit | None = None
    n_tasks: int = 0
    n_errors: int = 0
    tokens_in: int = 0
    tokens_out: int = 0
    latency_ms: float = 0.0
    cost_usd: float = 0.0
    suite_hash: str = ""
    not_applied: tuple[str, ...] = ()
    rows: tuple[TaskRow, ...] = ()

    @property
    def risk(self) -> float | None:
        """1 - S (1 - harm): the measured risk of IR→IC; None where either is missing."""
        if self.S is None or self.harm is None:
            return None
        return 1.0 - self.S * (1.0 - self.harm)


class Evaluation(Record):
    """One measurement of one candidate, as the watchers of a cycle see it."""

    candidate: Candidate
    stage: Literal["race", "gates", "confirm"]
    measurement: Measurement


# Gates, evidence, decision


class EthicsEvidence(Record):
    """What Σ-Guard looks at, worst values where it is missing.

    ``not_applicable`` maps what the suite declared (calibration, consent, groups) to its written
    reason; the value is then neutral. ``details`` says how every number came about.
    """

    ece: float | None = None
    rho_bias: float | None = None
    fairness: float | None = None
    consent: StrictBool | None = None
    eco_kg: float | None = None
    eco_max_kg: float = 1.0
    not_applicable: dict[str, str] = {}
    attestation_hash: str = ""
    evidence_hash: str = ""
    details: dict[str, Any] = {}


class GuardEvidence(Record):
    """All that a guard may look at, for one finalist."""

    candidate: Measurement
    champion: Measurement
    ethics: EthicsEvidence
    risk_history: tuple[float, ...] = ()
    profile: Literal["strict", "standard"] = "standard"


class GuardResult(Record):
    """A guard's answer. ``measured`` is False where too little is known and policy allows it."""

    guard: str
    ok: StrictBool
    reason: str
    details: dict[str, Any] = {}
    measured: StrictBool = True


class PluginFailure(Record):
    """A plugin that failed while a cycle ran, and what that cost it."""

    component: str
    plugin: str
    error: str
    consequence: str


class Estimate(Record):
    """A gain on tasks that played no part in a decision, with a 95 % interval."""

    n: int = Field(ge=1)
    gain: float
    interval: tuple[float, float]


class Confirmation(Record):
    """The evidence of one confirmation: finalist against champion, paired, on fresh tasks.

    ``log_e`` is the natural logarithm of the largest e-value of all looks, ``alpha`` the share of
    the campaign's 0.05 that this confirmation may spend. ``gain`` is the mean paired difference of
    utility on the tasks of the proof, which is too high where the proof came early, ``interval`` an
    anytime-valid 95 % interval for it. ``further`` is the gain on tasks asked after the proof.
    """

    claim: Claim
    mode: EvidenceMode = "anytime"
    t: int = Field(ge=1)
    alpha: float = Field(gt=0.0, lt=1.0)
    n: int = Field(ge=0)
    log_e: float
    log_e_cost: float | None = None
    proved: StrictBool
    gain: float | None = None
    interval: tuple[float, float] | None = None
    wins: int = 0
    losses: int = 0
    errors: int = 0
    seed: int = 0
    order_digest: str = ""
    stopped: Literal["proved", "hopeless", "tasks", "budget"] = "tasks"
    further: Estimate | None = None


class Decision(Record):
    """What happens to one candidate, and why."""

    verdict: Verdict
    reason: str
    score: float | None = None
    tau: float | None = None
    linf: float | None = None
    delta_linf: float | None = None
    delta_score: float | None = None
    worst_axis: str | None = None


class RunRecord(Record):
    """One row of the ledger's table ``runs``: a candidate, measured and decided in one cycle.

    ``detail`` holds what explains the row: origin, guards, confirmation, risk, parameters.
    """

    id: str
    cycle_id: str
    kind: Literal["challenger", "baseline"]
    git_sha: str | None = None
    seed: int
    provider_id: str
    candidate_cfg_hash: str
    parent_run_id: str | None = None
    u_score: float | None = None
    s_score: float | None = None
    c_score: float | None = None
    l_score: float | None = None
    linf: float | None = None
    score: float | None = None
    cost_micro_usd: int = 0
    latency_ms: float | None = None
    sigma_guard_ok: bool | None = None
    ir_ic_ok: bool | None = None
    sr: float | None = None
    caos_phi: float | None = None
    verdict: Verdict
    reason: str
    delta_linf: float | None = None
    delta_score: float | None = None
    artifacts_path: str
    manifest_sha256: str
    ethics_attest_hash: str | None = None
    config_hash: str
    dry_run: bool
    param_version: int
    threshold_profile: str
    suite_hash: str
    n_tasks: int
    detail: dict[str, Any] = {}


class RunSummary(Record):
    """One line of a cycle's report."""

    run_id: str
    candidate: Candidate
    decision: Decision
    measurement: Measurement


class CycleReport(Record):
    """What one cycle did. ``verdict`` is the strongest outcome: promote, canary, rollback, fail."""

    cycle_id: str
    verdict: Verdict
    reason: str
    champion: Candidate
    best_challenger: str | None
    metrics: dict[str, float | None]
    runs: tuple[RunSummary, ...]
    guards: tuple[GuardResult, ...] = ()
    confirmation: Confirmation | None = None
    failures: tuple[PluginFailure, ...] = ()
    spend_usd: float = 0.0
    calls: int = 0
    elapsed_s: float = 0.0
    dry_run: bool = False
    param_version: int = 0
