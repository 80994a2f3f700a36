"""Whether answers keep to the form that is demanded of them, and whether a second try mends it.

A form needs no reference: production could check it, and ask again. Demanded are a JSON object
where one is expected, and whatever the verifiers of a suite (``Evaluator.verifies``) say.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

from .contracts import Evaluator
from .measuring import Blame
from .omega.metrics import parse_json_object
from .omega.sr import sr_autocorrection
from .records import Completion, Message, Request, Task

#: What a model is told about an answer of the wrong form, before and after what is wrong.
RETRY = ("Your answer cannot be used:", "Answer the question again, in the right form.")
_OBJECT = "it must be a single JSON object."


def complaints(
    task: Task, answer: Completion, evaluators: Iterable[Evaluator]
) -> Iterator[str | None]:
    """Yield for every demand what is wrong with ``answer``, None where it is met."""
    if isinstance(task.expected, dict):
        yield _OBJECT if parse_json_object(answer.text) is None else None
    for evaluator in evaluators:
        if evaluator.verifies and evaluator.applies(task):
            with Blame(evaluator, task):
                met = evaluator.score(task, (answer,)) == 1.0
                yield None if met else evaluator.demand(task)


def demanded(task: Task, evaluators: Iterable[Evaluator]) -> bool:
    """Say whether a form is demanded of the answers to ``task``."""
    return isinstance(task.expected, dict) or any(
        e.verifies and e.applies(task) for e in evaluators
    )


def well_formed(task: Task, answer: Completion, evaluators: Sequence[Evaluator]) -> bool | None:
    """Say whether ``answer`` meets every demand; None where there is none."""
    found = list(complaints(task, answer, evaluators))
    return not any(found) if found else None


def asked_again(request: Request, answer: Completion, found: Iterable[str | None]) -> Request:
    """Return the request that shows the model its answer, and says what is wrong with it."""
    told = " ".join([RETRY[0], *filter(None, found), RETRY[1]])
    turns = (
        Message(role="assistant", content=answer.text.strip() or "(no answer)"),
        Message(role="user", content=told),
    )
    return request.model_copy(update={"messages": (*request.messages, *turns)})


def autocorrection(mended: Sequence[bool | None]) -> dict[str, float]:
    """Return SR's autocorrection and what it is made of, for the record.

    ``mended`` says of every task on which a form is demanded None where the first answer had it,
    else whether the second one did. Nothing without such tasks.
    """
    if not mended:
        return {}
    failed, fixed = len(mended) - mended.count(None), mended.count(True)
    return {
        "autocorrection": sr_autocorrection(failed, fixed),
        "malformed": float(failed),
        "mended": float(fixed),
    }
