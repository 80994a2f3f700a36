"""One line of training data: a conversation with its answer, a task of penin, or a preference."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any, NamedTuple

from pydantic import ValidationError

from penin_core.canonical import canonical_json
from penin_core.errors import SuiteError
from penin_core.leaks import question_key, taught_texts
from penin_core.omega.metrics import normalize_text
from penin_core.records import Configuration, Message, Task, TrainingExample
from penin_core.rendering import columns, render
from penin_core.suites import example_of

_OF_PAIRS = frozenset({"id", "prompt", "chosen", "rejected", "consent", "license", "lineage"})
_OF_CHATS = frozenset({"id", "messages", "consent", "license", "lineage"})
_OF_TASKS = frozenset(Task.model_fields) - {"fields", "examples", "sample"}


class Row(NamedTuple):
    """One usable line: the example, the texts that a suite must not ask for, and its rights."""

    line: int
    example: TrainingExample
    seen: tuple[str, ...]
    consent: bool | None
    license: str | None


def read_row(
    number: int, line: str, config: Configuration, preferences: bool = False
) -> tuple[Row, list[str]]:
    """Return a row and its columns that mean nothing here; ValueError says what is wrong."""
    given = _parsed(line)
    try:
        canonical_json(given)
        if preferences:
            example, seen, unknown = _of_preference(given, config)
        elif "messages" in given and "input" not in given:
            example, seen = _of_chat(given), tuple(taught_texts(given["messages"]))
            unknown = sorted(given.keys() - _OF_CHATS)
        else:
            example, seen = _of_task(given, config)
            asked = columns(config.system) + columns(config.prompt)
            unknown = sorted(given.keys() - _OF_TASKS - {"lineage", *asked})
    except ValidationError as error:
        problem = error.errors(include_url=False)[0]
        place = ".".join(str(part) for part in problem["loc"])
        raise ValueError(f"{place}: {problem['msg'].lower()}") from None
    consent, license_ = _declared(given)
    return Row(number, example, seen, consent, license_), unknown


def _parsed(line: str) -> dict[str, Any]:
    try:
        given = json.loads(line, object_pairs_hook=_named_once)
    except json.JSONDecodeError as error:
        raise ValueError(f"not JSON: {error.msg}, at character {error.pos + 1}") from None
    except RecursionError:
        raise ValueError("nested too deeply") from None
    if not isinstance(given, dict):
        raise ValueError("not a JSON object")
    return given


def _named_once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """Return an object of JSON; of a name that stands in it twice one value would get lost."""
    found = dict(pairs)
    if len(found) < len(pairs):
        names = [name for name, _ in pairs]
        twice = next(name for name in names if names.count(name) > 1)
        raise ValueError(f"it names {twice!r} more than once")
    return found


def _of_preference(
    given: Mapping[str, Any], config: Configuration
) -> tuple[TrainingExample, tuple[str, ...], list[str]]:
    """Return the example of a preference, the texts to look for, and the columns without use."""
    for name in ("chosen", "rejected"):
        if not isinstance(given.get(name), str) or not given[name].strip():
            raise ValueError(f"{name} is not a text: a preference has a better and a worse answer")
    if given["chosen"] == given["rejected"]:
        raise ValueError("chosen and rejected are the same")
    if "prompt" not in given and "input" not in given:
        raise ValueError("it has neither prompt nor input")
    if "prompt" not in given:
        task = {k: v for k, v in given.items() if k not in ("chosen", "rejected")}
        example, seen = _of_task({**task, "expected": given["chosen"]}, config)
        return example.model_copy(update={"rejected": given["rejected"]}), seen, []
    prompt = given["prompt"]
    turns = [{"role": "user", "content": prompt}] if isinstance(prompt, str) else prompt
    if not isinstance(turns, list):
        raise ValueError("prompt is neither a text nor a list of messages")
    example = _of_chat({"messages": [*turns, {"role": "assistant", "content": given["chosen"]}]})
    answers = {"chosen": given["chosen"], "rejected": given["rejected"]}
    seen = tuple(taught_texts([turns, answers]))
    unknown = sorted(given.keys() - _OF_PAIRS)
    return example.model_copy(update={"rejected": given["rejected"]}), seen, unknown


def _of_chat(given: Mapping[str, Any]) -> TrainingExample:
    """Return the example of a chat row."""
    messages = given["messages"]
    if not isinstance(messages, list) or not messages:
        raise ValueError("messages is not a list of messages")
    turns = [Message.model_validate(message) for message in messages]
    system, turns = _split_system(turns)
    if not turns or turns[-1].role != "assistant" or not turns[-1].content.strip():
        raise ValueError("the last message is not an answer of the assistant")
    if len(turns) < 2 or turns[-2].role != "user":
        raise ValueError("there is no message of the user before the answer")
    for turn in turns[:-1]:
        if turn.role == "system":
            raise ValueError("a system message stands after the first one")
        if not turn.content.strip():
            raise ValueError(f"a message of the {turn.role} is empty")
    return TrainingExample(system=system, messages=tuple(turns[:-1]), answer=turns[-1].content)


def _split_system(turns: list[Message]) -> tuple[str, list[Message]]:
    if turns[0].role == "system":
        return turns[0].content.strip(), turns[1:]
    return "", turns


def _of_task(given: Mapping[str, Any], config: Configuration) -> tuple[TrainingExample, Any]:
    """Return the example of a task, asked as ``config`` asks it, and the texts to look for."""
    if "input" not in given:
        raise _unanswered(given, "it has neither messages nor input")
    known = {key: value for key, value in given.items() if key in _OF_TASKS}
    fields = {key: value for key, value in given.items() if key not in _OF_TASKS}
    task = Task.model_validate({"id": "row", **known, "fields": fields})
    solved = example_of(task)
    if solved is None or not solved.output.strip():
        raise _unanswered(given, "it has no expected answer to learn from")
    try:
        request = render(config, task, 0)
    except SuiteError as error:
        raise ValueError(str(error)) from None
    example = TrainingExample(
        system=request.system, messages=request.messages, answer=solved.output
    )
    return example, (question_key(task), normalize_text(task.input))


def _unanswered(given: Mapping[str, Any], reason: str) -> ValueError:
    if {"chosen", "rejected"} <= given.keys():
        return ValueError("it is a preference, for the method dpo: chosen and rejected")
    return ValueError(reason)


def _declared(given: Mapping[str, Any]) -> tuple[bool | None, str | None]:
    """Return what a row says of consent and licence; ValueError where it may not be used."""
    consent, license_ = given.get("consent"), given.get("license")
    # 0 and 1 equal False and True, and say neither.
    if not isinstance(consent, bool | None):
        raise ValueError(f"consent: {consent!r} is neither true nor false")
    if not isinstance(license_, str | None):
        raise ValueError(f"license: {license_!r} is not a text")
    if consent is False:
        raise ValueError("consent is false: whom it concerns did not allow this")
    return consent, license_
