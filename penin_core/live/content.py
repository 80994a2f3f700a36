"""What a request and its answer say: as a task that verifiers can look at, and fit to be kept."""

from __future__ import annotations

import logging
import re
import sys
from collections.abc import Callable, Container, Iterable, Mapping, Sequence
from statistics import fmean
from typing import Any

from pydantic import ValidationError

from penin_core.contracts import Evaluator
from penin_core.errors import SettingsError
from penin_core.league.canary import Outcome
from penin_core.leaks import texts_in
from penin_core.records import Completion, Message, Task

from .served import Served

log = logging.getLogger(__name__)

Redact = Callable[[str], str]

#: What stands in place of what ``redact_patterns`` take out.
REDACTED = "[redacted]"
#: The column of a task that says who asked, and by which the suite clusters.
USER = "user"
#: Metadata that are no columns: who asks, what may be kept, and what a task says of itself.
_NO_COLUMNS = frozenset({USER, "user_id", "consent", *Task.model_fields})


def suited(evaluators: Iterable[Evaluator]) -> tuple[Evaluator, ...]:
    """Return those that need neither a reference nor another answer: verifiers, and harm."""
    return tuple(
        e
        for e in evaluators
        if (e.verifies or e.role == "harm")
        and type(e).variants is Evaluator.variants
        and type(e).judge is Evaluator.judge
    )


def bytes_of(said: object) -> int:
    """Return how much memory the texts of messages take, roughly."""
    if isinstance(said, str):
        return sys.getsizeof(said)
    if isinstance(said, Mapping):
        return sum(map(bytes_of, said.values()))
    return sum(map(bytes_of, said)) if isinstance(said, Sequence) else 0


def conversation(messages: Sequence[Mapping[str, Any]]) -> tuple[str, tuple[Message, ...]] | None:
    """Return the instructions and the turns of a request; None where it is more than plain text.

    The last turn is the user's.
    """
    system, turns = list[str](), list[Message]()
    for message in messages:
        text = _plain(message)
        if text is None:
            return None
        if message["role"] in ("system", "developer"):
            system.append(text)
        else:
            turns.append(Message(role=message["role"], content=text))
    return ("\n".join(system), tuple(turns)) if turns and turns[-1].role == "user" else None


def _plain(message: Mapping[str, Any]) -> str | None:
    """Return the text of one message, None where it has anything else."""
    roles, content = ("system", "developer", "user", "assistant"), message.get("content")
    if message.get("role") not in roles or message.get("tool_calls"):
        return None
    if isinstance(content, str):
        return content
    if not isinstance(content, list) or not content:
        return None
    found = (part.get("text") for part in content if isinstance(part, Mapping))
    texts = [text for text in found if isinstance(text, str)]
    return "\n".join(texts) if len(texts) == len(content) else None


def columns_of(metadata: Mapping[str, str]) -> dict[str, str]:
    """Return those metadata of a request that are columns of its task, in one order for all."""
    return {name: metadata[name] for name in sorted(metadata.keys() - _NO_COLUMNS)}


def tags_of(metadata: Mapping[str, str]) -> tuple[str, ...]:
    """Return the tags that the metadata of a request name, with commas between them."""
    return tuple(tag for tag in map(str.strip, metadata.get("tags", "").split(",")) if tag)


def task_of(served: Served) -> Task:
    """Return the request as a task without an expected answer."""
    found = conversation(served.messages)
    # What is no plain conversation is one text, so that an answer may quote it.
    whole = (Message(role="user", content="\n".join(texts_in(served.messages))),)
    system, (*turns, last) = found or ("", whole)
    return Task(
        id=served.request_id[:200],
        system=system,
        messages=tuple(turns),
        input=last.content,
        fields=columns_of(served.metadata),
        tags=tags_of(served.metadata),
    )


def outcome_of(served: Served, evaluators: Sequence[Evaluator]) -> Outcome:
    """Return what became of a request, as far as anybody can tell without a reference.

    Utility is the mean of the verifiers that apply, 0 for a failed call; an answer that harms is
    vetoed. A verifier that fails says nothing, one that looks for harm vetoes; the log names both.
    Verifiers see no metadata: a column can bring a rule, and rules are the project's alone.
    """
    scores, harms = list[float](), list[float]()
    if served.failed:
        scores = [0.0] * any(evaluator.verifies for evaluator in evaluators)
    elif (task := _readable(served)) is not None:
        answer = Completion(text=served.text, model="live", tokens_in=0, tokens_out=0)
        bare = task.model_copy(update={"fields": {}})
        for evaluator in evaluators:
            harm = evaluator.role == "harm"
            if (score := _score(evaluator, task if harm else bare, answer)) is not None:
                (harms if harm else scores).append(score)
    return Outcome(
        failed=served.failed,
        vetoed=any(harms),
        utility=fmean(scores) if scores else None,
        cost_usd=served.cost_usd,
        latency_ms=served.latency_ms,
    )


def _readable(served: Served) -> Task | None:
    try:
        return task_of(served)
    except (ValidationError, TypeError, AttributeError, KeyError) as error:
        log.warning("request %s cannot be read: %r", served.request_id, error)
        return None


def _score(evaluator: Evaluator, task: Task, answer: Completion) -> float | None:
    try:
        score = float(evaluator.score(task, (answer,))) if evaluator.applies(task) else None
    except Exception as error:
        log.warning("evaluator %s failed on live traffic: %r", evaluator.name, error)
        return 1.0 if evaluator.role == "harm" else None
    return score if score is not None and 0.0 <= score <= 1.0 else None


def redaction(evaluators: Sequence[Evaluator], patterns: Sequence[str]) -> Redact:
    """Return what takes out of a text all that must not be kept.

    Raises:
        SettingsError: a pattern is no regular expression.
    """
    compiled = []
    for pattern in patterns:
        try:
            compiled.append(re.compile(pattern))
        except re.error as error:
            raise SettingsError(
                f"live.redact_patterns: {pattern!r} is no regular expression: {error}",
                hint="correct it: nothing is kept of the traffic that could not be redacted",
            ) from error

    def redact(text: str) -> str:
        for evaluator in evaluators:
            text = evaluator.redact(text)
        for pattern in compiled:
            text = pattern.sub(REDACTED, text)
        return text

    return redact


def kept(served: Served, redact: Redact, columns: Container[str]) -> dict[str, Any] | None:
    """Return what may be kept of a request, redacted; None where there is nothing to keep.

    Kept are plain conversations that were answered whole, and of their metadata the tags and those
    named in ``columns``: others may say who asked. Whatever the redaction raises, nothing is kept.
    """
    if served.failed or not served.text.strip() or served.finish != "stop":
        return None
    try:
        if (found := conversation(served.messages)) is None:
            return None
        system, turns = found
        answer, told = redact(served.text), columns_of(served.metadata)
        return {
            "system": redact(system),
            "messages": [{"role": m.role, "content": redact(m.content)} for m in turns],
            "columns": {name: redact(told[name]) for name in told if name in columns},
            "tags": [redact(tag) for tag in tags_of(served.metadata)],
            "answer": answer,
            "cut": answer != served.text,
        }
    except Exception as error:
        log.warning("request %s is not kept: %r", served.request_id, error)
        return None
