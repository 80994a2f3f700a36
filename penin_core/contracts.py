"""What a plugin can provide: the base class of every kind of component.

Plugins are pure. A provider writes requests and reads replies, an evaluator says what to ask and
how to score the answers; neither calls a model. The engine owns the wire, the clock and the money.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Generator, Iterable, Mapping, Sequence
from statistics import fmean
from typing import TYPE_CHECKING, Any, ClassVar, Literal

from pydantic import BaseModel, ConfigDict

from .errors import ProviderError
from .records import (
    Axis,
    Call,
    Candidate,
    Capabilities,
    Completion,
    Evaluation,
    GuardEvidence,
    GuardResult,
    Progress,
    Reply,
    Request,
    Task,
    TrainedModel,
    TrainingCapabilities,
    TrainingExample,
    TrainingJob,
    TrainingProgress,
    Wait,
)
from .uploads import delete_files, high_count, upload_files

if TYPE_CHECKING:
    import numpy as np

#: A multi-step operation: it yields what it wants done, and is sent the Reply to each Call.
Steps = Generator[Call | Wait | Progress, Any, Any]


class ComponentOptions(BaseModel):
    """A component's table in ``penin.toml``; an unknown key, NaN or infinity is an error."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


class Component(ABC):  # noqa: B024 - each kind adds its own abstract methods
    """Named, built once from its options, closed once.

    The first line of the docstring of a component is what ``penin plugins`` shows.
    """

    name: ClassVar[str] = ""
    Options: ClassVar[type[ComponentOptions]] = ComponentOptions

    def __init__(self, options: ComponentOptions | None = None) -> None:
        self.options = options if options is not None else self.Options()

    def close(self) -> None:
        """Release what ``__init__`` acquired. Called exactly once."""
        return


class Provider(Component):
    """Knows one service or one local model. Derive from one of the two kinds below."""

    @abstractmethod
    def capabilities(self, model: str) -> Capabilities:
        """Say what ``model`` can do; raise ProviderRefused for a model that does not exist."""


class LocalProvider(Provider):
    """A model in this process; called in one worker thread, with micro-batches."""

    @abstractmethod
    def generate(self, requests: Sequence[Request]) -> Sequence[Completion | ProviderError]:
        """Answer all ``requests``, in their order.

        A request that cannot be answered yields a ProviderError in its place, so that it does
        not take the others with it. Answers must not depend on what else is in the batch.
        """

    def fingerprint(self, model: str) -> str:
        """Return what changes whenever the weights behind ``model`` do; "" where the code says it.

        Answers are kept under it, so that changed weights never answer with what the old ones
        said. Raise ProviderRefused for a model that does not exist.
        """
        return ""


class HttpProvider(Provider):
    """A service behind HTTP: says how to write a request and how to read a reply."""

    #: Where the service lives; an option ``base_url`` or ``base_url_env`` moves it.
    base_url: ClassVar[str] = ""
    base_url_env: ClassVar[str] = ""
    #: The environment variable that holds the key; empty for a service without keys.
    key_env: str = ""
    #: What a request for a stream has beside the others; most services must be asked for the usage.
    streaming: Mapping[str, Any] = {"stream": True, "stream_options": {"include_usage": True}}

    @abstractmethod
    def encode(self, request: Request) -> Call:
        """Write ``request`` as this service wants it."""

    @abstractmethod
    def decode(self, reply: Reply) -> Completion:
        """Read a 200 reply. A field that is missing needs no code: the engine names the error."""

    def decode_event(self, event: Mapping[str, Any]) -> str:
        """Return the text that one event of a stream adds."""
        raise NotImplementedError(f"{self.name} does not stream")

    def shutdown_dates(self) -> Steps:
        """Return the models that the service will shut down, and when (``YYYY-MM-DD``); a dict.

        An operation (see ``Steps``), for services that say so: it costs nothing. What it says wins
        over what ``capabilities`` knew when the plugin was written.
        """
        return {}
        yield

    def headers(self, key: str) -> dict[str, str]:
        """Headers that carry ``key``; a bearer token unless the service wants something else."""
        return {"Authorization": f"Bearer {key}"} if key else {}


class Mutator(Component):
    """Proposes candidates near the champion."""

    @abstractmethod
    def propose(
        self, champion: Candidate, count: int, rng: np.random.Generator
    ) -> Iterable[Candidate]:
        """Return at most ``count`` children of ``champion``; chance comes from ``rng`` only.

        Where runs have measured most of them before, it is asked again for more, with equal chance.
        """

    def prepare(self, tasks: Sequence[Task]) -> None:
        """Look at the tasks of the ``select`` split, once, before the first proposal."""
        return

    def learn(self, evaluations: Sequence[Evaluation]) -> None:
        """Look at how the proposals did in the race."""
        return


class Evaluator(Component):
    """Measures one part of one axis, one task at a time."""

    axis: ClassVar[Axis]
    #: Name of the part in a measurement's ``raw``; evaluators of one family are pooled.
    family: ClassVar[str] = ""
    #: What the value is for: a part of its axis, the harm in IR→IC's risk, or the record alone.
    role: ClassVar[Literal["axis", "harm", "record"]] = "axis"
    #: Asked only of finalist and champion, on a fixed subset, because it needs several answers.
    deep: ClassVar[bool] = False
    #: Whether the value counts as 1 - value in its axis (an error, such as ECE).
    lower_is_better: ClassVar[bool] = False
    #: Whether a score of 1 says that one answer keeps to a form, which needs no reference; see
    #: ``demand``.
    verifies: ClassVar[bool] = False

    def prepare(self, tasks: Sequence[Task], baseline: Mapping[str, float]) -> None:
        """Look, once, at the tasks of the ``select`` split and the frozen baseline of the costs."""
        return

    @abstractmethod
    def score(self, task: Task, completions: Sequence[Completion]) -> float:
        """Return a score in [0, 1] for the answers to ``variants`` and then to ``judge``.

        Raise ProviderBadReply where an answer lacks what it was asked for: the task then counts as
        an error, not as a zero.
        """

    def applies(self, task: Task) -> bool:
        """Say whether this evaluator can score ``task`` at all."""
        return True

    def demand(self, task: Task) -> str:
        """Say in a sentence, to the model, which form an answer must have; for verifiers."""
        return "it does not have the form that was asked for."

    def variants(self, task: Task, rng: np.random.Generator) -> Sequence[Task]:
        """Return the forms of ``task`` to ask; the task itself unless overridden.

        Only the engine knows how a candidate renders a task, so variants are tasks. Forms that
        several evaluators ask for are asked once and the answer is shared.
        """
        return (task,)

    def judge(self, task: Task, completions: Sequence[Completion]) -> Sequence[Request]:
        """Return questions about the answers for another model; none unless overridden."""
        return ()

    def redact(self, text: str) -> str:
        """Return ``text`` without what this evaluator finds harmful in it; the text itself unless
        overridden.

        Called for every text of a request that is kept as a possible task (``[live] redact``).
        """
        return text

    def aggregate(self, rows: Sequence[tuple[Task, Sequence[Completion], float]]) -> float | None:
        """Turn the scored tasks into the value of the whole set; their mean unless overridden."""
        return fmean(score for _, _, score in rows) if rows else None

    def details(
        self, rows: Sequence[tuple[Task, Sequence[Completion], float]]
    ) -> Mapping[str, float]:
        """Return further figures for the record, by name; they decide nothing."""
        return {}


class Guard(Component):
    """Says whether a finalist may go to production. Raising is a veto."""

    @abstractmethod
    def check(self, evidence: GuardEvidence) -> GuardResult:
        """Return a GuardResult; anything else, an exception included, is a veto."""


class FineTuner(Component):
    """Trains models. Derive from one of the two kinds below.

    A fine-tuner has the name of the provider that serves what it trains. The core reads and checks
    the data, keeps the books and the ledger, and asks for nothing but this: what can be trained,
    how long an example is, and the training itself.
    """

    #: What can be set for a training: a frozen model with defaults; an unknown name is refused.
    #: The number of passes over the data, where there is one, is called ``n_epochs``; the way to
    #: train, where there are several, ``method``: "dpo" learns from rows with a worse answer, too.
    Hyperparams: ClassVar[type[ComponentOptions]] = ComponentOptions

    @abstractmethod
    def capabilities(self, model: str) -> TrainingCapabilities:
        """Say what can be trained on ``model``.

        Raises:
            FineTuningUnavailable: nothing can, or not this model; the message says why, and since
                when. Raised before anything is sent.
        """

    @abstractmethod
    def tokens(self, model: str, example: TrainingExample) -> int:
        """Return how long ``example`` is for ``model``, prompt and answer; high rather than low.

        The core refuses every row that is longer than ``capabilities(model).context_tokens``, by
        its line, and reckons the price of a training with it.
        """


class LocalFineTuner(FineTuner):
    """Trains in this process, and leaves files that the LocalProvider of the same name can load.

    The trained files become an artifact of the project, named by a hash that covers their content
    and their lineage. A configuration names it as ``adapter = "sha256:..."``. Before a request
    reaches ``generate`` of the provider, the core has checked those files against the hash and put
    the absolute path of their folder in place of the name: ``Path(request.adapter)`` holds what
    ``TrainedModel.files`` listed, under the same names. A batch has one adapter only. The core
    says nothing of formats, except that nothing in a file may run when it is loaded.
    """

    @abstractmethod
    def train(self, job: TrainingJob, watch: Callable[[TrainingProgress], None]) -> TrainedModel:
        """Train ``job.model`` on ``job.train`` and return which files in ``job.folder`` to keep.

        ``watch`` is called after every step of optimisation, or once a second where steps are
        shorter, always from the thread that called ``train``. It raises TrainingStopped when the
        user interrupts or cancels: write a checkpoint if that is quick, and let it pass.

        ``job.folder`` exists, belongs to this job alone and survives a killed process. Write a
        checkpoint into it now and then (a minute's work is what may be lost), aside and renamed,
        so that it is whole or absent. A call with the same job goes on from there: with the same
        seed the result is the one that an uninterrupted training has.

        ``job.validation`` may be empty: then hold back what early stopping and calibration need
        from ``job.train``, by ``job.seed``. Nothing is drawn but by that seed.

        Raises:
            TrainingStopped: passed on from ``watch``.
            TrainingFailed: the loss is not finite, say; checkpoints stay for whoever looks.
            OSError: the disk is full; the core explains it. What was written before stays whole.
        """


class HttpFineTuner(FineTuner):
    """Trains at the service of the HttpProvider of the same name; all but two are operations.

    An operation is a generator (see ``Steps``), carried out with the base URL and the key of that
    provider. It makes no more calls than it must: the core polls, waits and remembers.
    """

    def tokens(self, model: str, example: TrainingExample) -> int:
        """Return a high count, half a token for each byte; services say later what they counted."""
        return high_count(example)

    def upload_data(self, train: bytes, validation: bytes | None) -> Steps:
        """Upload JSON Lines of ``{"messages": [...]}``; return the ids of the files, a tuple."""
        return (yield from upload_files(train, validation))

    def delete_data(self, files: Sequence[str]) -> Steps:
        """Delete uploaded files; return the ids of those that are left, a tuple.

        Asked where the service takes the data and then refuses the job.
        """
        return (yield from delete_files(files))

    @abstractmethod
    def create_job(
        self, model: str, files: Sequence[str], hyperparams: Mapping[str, Any], key: str
    ) -> Steps:
        """Start one job and return its id.

        ``hyperparams`` are those of ``Hyperparams``, complete. ``key`` (32 hex digits) identifies
        the job for ever: store it with the job (as metadata, as suffix), for ``find_job``.
        """

    @abstractmethod
    def find_job(self, key: str) -> Steps:
        """Return the id of the job that carries ``key``, or None where the service has none.

        Asked where a process died between creating a job and writing down its id. Raise
        FineTuningUnavailable where the service cannot be asked: nothing is then created again.
        """

    @abstractmethod
    def get_job(self, job_id: str) -> Steps:
        """Return a JobState. A status that the service invented yesterday reads as "unknown"."""

    @abstractmethod
    def get_model(self, job_id: str) -> Steps:
        """Return the name under which the provider serves the trained model."""

    @abstractmethod
    def cancel(self, job_id: str) -> Steps:
        """Ask the service to stop the job; it is over when ``get_job`` says so."""


#: Hook suffix -> base class.
CONTRACTS: Mapping[str, type[Component]] = {
    "providers": Provider,
    "mutators": Mutator,
    "evaluators": Evaluator,
    "guards": Guard,
    "finetuners": FineTuner,
}
