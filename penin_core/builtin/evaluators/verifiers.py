"""Utility of answers that a rule decides about: no reference is needed."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Mapping, Sequence
from functools import cached_property
from typing import Any, NoReturn

from pydantic import field_validator

from penin_core import Completion, ComponentOptions, Evaluator, Task

from .schema import check_schema, conforms


class Regex(Evaluator):
    """1 where a regular expression matches the whole answer, blanks around it aside, else 0.

    A task that has a column ``pattern`` brings its own. Patterns are those of the project, and
    one that takes for ever is a mistake in the project.
    """

    name = "regex"
    axis = "U"
    verifies = True

    class Options(ComponentOptions):
        """The pattern for tasks without one of their own, and the column that brings it."""

        pattern: str = ""
        column: str = "pattern"

        @field_validator("pattern")
        @classmethod
        def _valid(cls, pattern: str) -> str:
            try:
                re.compile(pattern)
            except re.error as error:
                raise ValueError(f"{pattern!r} is no regular expression: {error}") from error
            return pattern

    options: Regex.Options

    def applies(self, task: Task) -> bool:
        """Say whether there is a pattern for the task."""
        return bool(self._pattern(task))

    def score(self, task: Task, completions: Sequence[Completion]) -> float:
        """Return 1.0 or 0.0."""
        return float(re.fullmatch(self._pattern(task), completions[0].text.strip()) is not None)

    def demand(self, task: Task) -> str:
        """Quote the pattern."""
        return f"all of it must match the regular expression {self._pattern(task)}"

    def _pattern(self, task: Task) -> str:
        return str(task.fields.get(self.options.column) or self.options.pattern)


class JsonSchema(Evaluator):
    """1 where the whole answer is JSON that a schema allows, else 0.

    A task that has a column ``schema`` brings its own. Known is a part of JSON Schema 2020-12, see
    :mod:`penin_core.builtin.evaluators.schema`; a keyword outside of it is an error, for a rule
    that is not checked must not look as if it were.
    """

    name = "json_schema"
    axis = "U"
    verifies = True

    class Options(ComponentOptions):
        """The schema for tasks without one of their own, and the column that brings it."""

        rule: dict[str, Any] = {}
        column: str = "schema"

        @field_validator("rule")
        @classmethod
        def _valid(cls, rule: dict[str, Any]) -> dict[str, Any]:
            check_schema(rule)
            return rule

    options: JsonSchema.Options

    def applies(self, task: Task) -> bool:
        """Say whether there is a schema for the task."""
        return bool(self._rule(task))

    def score(self, task: Task, completions: Sequence[Completion]) -> float:
        """Return 1.0 or 0.0; raise ValueError for a schema with a keyword that is not known."""
        rule = self._rule(task)
        key = json.dumps(rule, sort_keys=True)
        if key not in self._checked:
            check_schema(rule)
            self._checked.add(key)
        try:
            value = json.loads(completions[0].text, parse_constant=_refuse, parse_float=_finite)
            return float(conforms(value, rule))
        except (ValueError, RecursionError):
            return 0.0

    def demand(self, task: Task) -> str:
        """Quote the schema."""
        rule = json.dumps(self._rule(task), ensure_ascii=False)
        return f"all of it must be JSON that this schema allows: {rule}"

    @cached_property
    def _checked(self) -> set[str]:
        """The schemas that have been found valid, as text."""
        return set()

    def _rule(self, task: Task) -> Mapping[str, Any]:
        rule = task.fields.get(self.options.column) or self.options.rule
        if not isinstance(rule, Mapping):
            raise ValueError(f"column {self.options.column!r} holds {rule!r}, which is no schema")
        return rule


def _refuse(constant: str) -> NoReturn:
    raise ValueError(f"{constant} is not JSON")


def _finite(literal: str) -> float:
    number = float(literal)
    return number if math.isfinite(number) else _refuse(literal)
