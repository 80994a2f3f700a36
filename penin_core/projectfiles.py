"""A new project: what its tasks allow to measure, and the penin.toml that says so."""

from __future__ import annotations

import json
import os
import secrets
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from statistics import median
from typing import Any

from .errors import SettingsError, SuiteError
from .records import Capabilities, Task
from .settings import SuiteDefinition

#: Expected texts with more words than this are compared by what they share, not for equality.
LONG_ANSWER = 12
#: Solved select tasks of one kind that the evaluator ``reuse`` needs: two to show, one to ask.
KIND_AT_LEAST = 3
LEAST_TOKENS, MOST_TOKENS, STEP = 64, 1024, 32
PERTURBATIONS = ("whitespace", "typo", "case", "greeting")
NEW_NAME = "name a new file"

#: One table of a TOML file: its name, a comment above it, and its keys.
Table = tuple[str, str, Mapping[str, Any]]


def suite_for(name: str, tasks: Sequence[Task], capabilities: Capabilities) -> SuiteDefinition:
    """Return what can be measured on ``tasks`` with such a model; what cannot has its reason.

    Raises:
        SuiteError: a task has no answer to compare with.
    """
    unsolved = next((task for task in tasks if task.expected is None), None)
    if unsolved is not None:
        raise SuiteError(
            f"task {unsolved.id!r} has no 'expected': there is nothing to compare answers with",
            hint="add the expected answer, or take the task out",
        )
    reasons = {}
    if not capabilities.logprobs:
        reasons["calibration"] = "the model reports no log-probabilities"
    if len({task.group for task in tasks if task.group is not None}) < 2:
        reasons["groups"] = "the tasks do not tell groups of people apart"
    if all(task.consent is None for task in tasks):
        reasons["consent"] = "the tasks carry no consent register"
    has_l = any(count >= KIND_AT_LEAST for count in _kinds(tasks).values())
    composed = any(task.split == "composed" for task in tasks)
    return SuiteDefinition(
        name=name,
        axes=("U", "S", "C", "L") if has_l or composed else ("U", "S", "C"),
        metrics=metrics_for(tasks),
        evaluators=(
            *(("calibration",) if capabilities.logprobs else ()),
            *("robustness", "cost"),
            *(("reuse",) if has_l else ()),
            *(("composition",) if composed else ()),
            *("agreement", "secrets"),
        ),
        calibration="not_applicable" if "calibration" in reasons else "logprobs",
        groups="not_applicable" if "groups" in reasons else "measured",
        consent="not_applicable" if "consent" in reasons else "register",
        reasons=reasons,
        perturbations=PERTURBATIONS,
    )


def metrics_for(tasks: Sequence[Task]) -> tuple[str, ...]:
    """Return the metrics of utility that fit the expected answers.

    Candidates are compared by the first one that applies to a task: field F1 for objects, equality
    for short texts, shared words for long ones. Metrics that tasks name themselves come last.
    """
    objects = [task for task in tasks if isinstance(task.expected, dict)]
    texts = [_text(task) for task in tasks if not isinstance(task.expected, dict)]
    found: list[str] = []
    if objects:
        found += ["field_f1"]
    if texts and median(len(text.split()) for text in texts) > LONG_ANSWER:
        found += ["token_f1", "rouge_l"]
    elif texts:
        found += ["exact_match", "token_f1"]
    if objects and "exact_match" not in found:
        found += ["exact_match"]
    found += sorted({task.metric for task in tasks if task.metric is not None})
    return tuple(dict.fromkeys(found))


def tokens_for(tasks: Sequence[Task]) -> int:
    """Return room for the longest expected answer, even where every character is a token."""
    longest = max(len(_text(task)) for task in tasks)
    return min(MOST_TOKENS, max(LEAST_TOKENS, -(-longest // STEP) * STEP))


def _kinds(tasks: Iterable[Task]) -> Counter[tuple[str, ...]]:
    return Counter(task.tags for task in tasks if task.split == "select")


def _text(task: Task) -> str:
    expected = task.expected
    if isinstance(expected, tuple):
        expected = max(expected, key=len, default="")
    return expected if isinstance(expected, str) else json.dumps(expected, ensure_ascii=False)


def toml(tables: Iterable[Table]) -> str:
    """Return the text of a TOML file. Values are strings, numbers, booleans and lists of them.

    Raises:
        SettingsError: a string that no TOML file can hold, such as bytes that are not UTF-8.
    """
    parts = []
    for name, comment, keys in tables:
        lines = [f"# {line}" for line in comment.splitlines()]
        lines += [f"[{name}]"] if name else []
        lines += [f"{key} = {toml_value(value)}" for key, value in keys.items()]
        parts.append("\n".join(lines) + "\n")
    return "\n".join(parts)


def toml_value(value: Any) -> str:
    """Return one value as TOML writes it."""
    if isinstance(value, list | tuple):
        return f"[{', '.join(map(toml_value, value))}]"
    if isinstance(value, str):
        try:
            value.encode()
        except UnicodeEncodeError as error:
            raise SettingsError(
                f"{value!r} cannot be written into a file: it is not valid Unicode",
                hint="write it in UTF-8",
            ) from error
        # A JSON string is a TOML string, but for the one control character that JSON leaves as is.
        return json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007f")
    return json.dumps(value)


def relative_path(target: Path, folder: Path) -> str:
    """Return how ``target`` is named in a file that lies in ``folder``."""
    return os.path.relpath(Path.cwd() / target, folder.resolve())


def write_whole(path: Path, text: str, *, replace: bool) -> None:
    """Write a file whole or not at all; an existing one only if ``replace`` says so.

    Raises:
        SettingsError: the file exists, or cannot be written.
    """
    aside = path.with_name(f".{path.name}-{secrets.token_hex(4)}")
    try:
        try:
            aside.write_text(text, encoding="utf-8")
            if replace:
                aside.replace(path)
            else:
                path.hardlink_to(aside)
        finally:
            aside.unlink(missing_ok=True)
    except FileExistsError:
        raise _already_there(path) from None
    except OSError as error:
        raise SettingsError(
            f"{str(path)!r} cannot be written ({error.strerror})",
            hint="check the folder and its permissions",
        ) from error


def require_place(path: Path, *, replace: bool, hint: str = NEW_NAME) -> None:
    """Refuse early what ``write_whole`` would refuse; ``hint`` says what to do about a file there.

    Raises:
        SettingsError: the file exists and ``replace`` is not set, or its folder does not.
    """
    if path.exists() and not replace:
        raise _already_there(path, hint)
    if not path.absolute().parent.is_dir():
        raise SettingsError(
            f"{str(path)!r} cannot be written: there is no such folder", hint="make the folder"
        )


def _already_there(path: Path, hint: str = NEW_NAME) -> SettingsError:
    return SettingsError(f"{str(path)!r} exists already", hint=hint)
