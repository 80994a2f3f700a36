"""What a plugin can provide: the base class of every kind of component.

Plugins are pure. A provider writes requests and reads replies, an evaluator says what to ask and
how to score the answers; neither calls a model. The engine owns the wire, the clock and the money.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Generator, Iterable, Mapping, Sequence
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
    Wait,
)

if TYPE_CHECKING:
    import numpy as np

#: A multi-step operation: it yields what it wants done and is sent the reply to each call.
Steps = Generator[Call | Wait | Progress, Reply | None, Any]


class ComponentOptions(BaseModel):
    """A component's table in ``penin.toml``; an unknown key is an error."""

    model_config = ConfigDict(frozen=True, extra="forbid")


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


class HttpProvider(Provider):
    """A service behind HTTP: says how to write a request and how to read a reply."""

    #: Where the service lives; an option ``base_url`` or ``base_url_env`` moves it.
    base_url: ClassVar[str] = ""
    base_url_env: ClassVar[str] = ""
    #: The environment variable that holds the key; empty for a service without keys.
    key_env: ClassVar[str] = ""

    @abstractmethod
    def encode(self, request: Request) -> Call:
        """Write ``request`` as this service wants it."""

    @abstractmethod
    def decode(self, reply: Reply) -> Completion:
        """Read a 200 reply. A field that is missing needs no code: the engine names the error."""

    def decode_event(self, event: Mapping[str, Any]) -> str:
        """Return the text that one event of a stream adds."""
        raise NotImplementedError(f"{self.name} does not stream")

    def headers(self, key: str) -> dict[str, str]:
        """Headers that carry ``key``; a bearer token unless the service wants something else."""
        return {"Authorization": f"Bearer {key}"} if key else {}


class Mutator(Component):
    """Proposes candidates near the champion."""

    @abstractmethod
    def propose(
        self, champion: Candidate, count: int, rng: np.random.Generator
    ) -> Iterable[Candidate]:
        """Return at most ``count`` children of ``champion``; chance comes from ``rng`` only."""

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

    def variants(self, task: Task, rng: np.random.Generator) -> Sequence[Task]:
        """Return the forms of ``task`` to ask; the task itself unless overridden.

        Only the engine knows how a candidate renders a task, so variants are tasks. Forms that
        several evaluators ask for are asked once and the answer is shared.
        """
        return (task,)

    def judge(self, task: Task, completions: Sequence[Completion]) -> Sequence[Request]:
        """Return questions about the answers for another model; none unless overridden."""
        return ()

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
    """Trains a model at a service; every method but the first is a multi-step operation."""

    @abstractmethod
    def capabilities(self, model: str) -> Capabilities:
        """Say what can be trained; raise ProviderRefused with the reason where nothing can."""

    @abstractmethod
    def upload_data(self, train: bytes, validation: bytes | None) -> Steps:
        """Upload JSON Lines; return the ids of the files."""

    @abstractmethod
    def create_job(self, model: str, files: Sequence[str], hyperparams: Mapping[str, Any]) -> Steps:
        """Start a job; return its id."""

    @abstractmethod
    def get_job(self, job_id: str) -> Steps:
        """Return the job's state as a mapping with ``status``."""

    @abstractmethod
    def get_model(self, job_id: str) -> Steps:
        """Return the name of the trained model."""

    @abstractmethod
    def cancel(self, job_id: str) -> Steps:
        """Stop the job."""


#: Hook suffix -> base class.
CONTRACTS: Mapping[str, type[Component]] = {
    "providers": Provider,
    "mutators": Mutator,
    "evaluators": Evaluator,
    "guards": Guard,
    "finetuners": FineTuner,
}
