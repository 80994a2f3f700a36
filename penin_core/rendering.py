"""How a configuration asks a task: plain substitution, one pass, no template language."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping

from .canonical import digest
from .errors import SuiteError
from .records import Configuration, Example, Message, Request, Task

_PLACEHOLDER = re.compile(r"\{\{\s*([A-Za-z_][A-Za-z0-9_]*)\s*\}\}")


def substitute(template: str, values: Mapping[str, str]) -> str:
    """Replace every ``{{name}}``; values are inserted as they are and never read again.

    Raises:
        SuiteError: a name that has no value.
    """
    if "{{" not in template:
        return template

    def value(match: re.Match[str]) -> str:
        if match[1] not in values:
            raise SuiteError(
                f"the prompt uses {{{{{match[1]}}}}}, which the task does not have",
                hint=f"a task offers: {', '.join(sorted(values))}",
            )
        return values[match[1]]

    return _PLACEHOLDER.sub(value, template)


def columns(prompt: str) -> list[str]:
    """Return the names that stand as ``{{name}}`` in a prompt."""
    return _PLACEHOLDER.findall(prompt)


def as_text(value: object) -> str:
    """Return a task's value as the text that stands for it in a prompt."""
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)


def as_texts(fields: Mapping[str, object]) -> dict[str, str]:
    """Return the columns of a task as the texts that stand for them in a prompt."""
    return {name: as_text(value) for name, value in fields.items()}


def of_example(example: Example, values: Mapping[str, str]) -> dict[str, str]:
    """Return ``values`` of the question that is asked with those of an example in their place."""
    own = as_texts(example.fields)
    return {**values, **own, "system": values["system"], "input": example.input}


def render(config: Configuration, task: Task, seed: int) -> Request:
    """Return the request with which ``config`` asks ``task``.

    Examples of the configuration come first, then those that an evaluator added to the task, then
    the turns before its input. Independent draws differ in ``task.sample``, hence in seed.
    """
    values = {**as_texts(task.fields), "system": task.system, "input": task.input}
    turns: list[Message] = []
    for example in (*config.examples, *task.examples):
        if not example.tags or set(example.tags) & set(task.tags):
            shown = substitute(config.prompt, of_example(example, values))
            turns.append(Message(role="user", content=shown))
            turns.append(Message(role="assistant", content=example.output))
    turns.extend(task.messages)
    turns.append(Message(role="user", content=substitute(config.prompt, values)))
    return Request(
        provider=config.provider,
        model=config.model,
        system=substitute(config.system, values).strip(),
        messages=tuple(turns),
        temperature=config.temperature,
        top_p=config.top_p,
        max_tokens=config.max_tokens,
        seed=draw_seed(seed, config.hash, task.id, task.input, task.sample),
        logprobs=True,
        adapter=config.adapter,
        extra=config.extra,
        sample=task.sample,
    )


def draw_seed(*purpose: str | int) -> int:
    """Return a 31-bit seed that depends on all of ``purpose`` and shares no stream with another."""
    return int(digest([str(part) for part in purpose])[:8], 16) & 0x7FFFFFFF
