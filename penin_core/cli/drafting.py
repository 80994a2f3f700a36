"""The tables of a new penin.toml: from the answers of its author, and from what was measured."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from penin_core.plugins import Plugins
    from penin_core.projectfiles import Table
    from penin_core.records import Capabilities
    from penin_core.runners import Appraisal
    from penin_core.settings import SuiteDefinition

EMBEDDED = ("tiny", "tiny-5")
DIGITS = 4


@dataclass(frozen=True)
class Answers:
    """What the flags or the questions said; None where the tasks decide."""

    tasks: Path | None = None
    name: str | None = None
    provider: str = EMBEDDED[0]
    model: str | None = None
    system: str | None = None
    prompt: str = "{{input}}"
    temperature: float | None = None
    max_tokens: int | None = None
    options: Mapping[str, Any] = field(default_factory=dict)


def draft(answers: Answers, folder: Path) -> list[Table]:
    """Return the tables of the new file, before anything was measured.

    Raises:
        SuiteError: a task is wrong, or there are too few.
        SettingsError, PluginError: the model cannot be asked.
    """
    from penin_core.errors import SettingsError
    from penin_core.locking import read_lock
    from penin_core.plugins import Plugins
    from penin_core.records import Configuration
    from penin_core.settings import FREE_MARGINS, Margins, validated

    plugins = Plugins.load(lock=read_lock(folder))
    plugins.get("providers", answers.provider)
    model = answers.model or (EMBEDDED[1] if answers.provider == EMBEDDED[0] else None)
    if model is None:
        raise SettingsError(
            f"no model of provider {answers.provider!r} is named", hint="name it with --model"
        )
    capabilities = capabilities_of(plugins, answers.provider, model, answers.options)
    price = capabilities.price
    free = price is not None and price.input_per_million == price.output_per_million == 0.0
    if answers.tasks is None:
        champion, suite = _shipped(answers, model)
    else:
        champion, suite = _own(answers, model, capabilities, folder)
    validated(Configuration, champion, "[champion]")
    return [
        (
            "",
            "penin.toml: what runs today, on which tasks it is judged, and what may be spent.",
            {},
        ),
        ("champion", "What runs today. `penin evolve` looks for something better.", champion),
        *_provider(answers),
        *suite,
        (
            "evolve.margins",
            "How much more an answer may cost than at the start: about 1.2 times as much with C\n"
            "at 0.05, 2.3 times with 0.2. A clearer instruction is a longer one.",
            {"C": (FREE_MARGINS if free else Margins()).C},
        ),
        (
            "budget",
            "Money of a UTC day, for all commands together, and the time of `penin evolve`.",
            {"daily_usd": 5.0, "time": "30m"},
        ),
    ]


def _provider(answers: Answers) -> list[Table]:
    if not answers.options:
        return []
    comment = "How its provider is reached. Keys never stand here: they come from the environment."
    return [(f"providers.{answers.provider}", comment, answers.options)]


def capabilities_of(
    plugins: Plugins, provider: str, model: str, options: Mapping[str, Any]
) -> Capabilities:
    """Ask a provider what a model can do; no call is made."""
    from penin_core.errors import ProviderRefused, SettingsError

    made = plugins.create("providers", provider, options)
    try:
        found: Capabilities = made.capabilities(model)
    except ProviderRefused as error:
        raise SettingsError(str(error), hint=error.hint) from error
    finally:
        made.close()
    return found


def _shipped(answers: Answers, model: str) -> tuple[dict[str, Any], list[Table]]:
    from penin_core.settings import POOR_START

    said = {
        name: value
        for name in ("provider", "system", "prompt", "temperature", "max_tokens")
        if (value := getattr(answers, name)) is not None
    }
    comment = "The tasks that ship with penin: JSON, extraction, headlines, classification."
    return {**POOR_START, "model": model, **said}, [("suite", comment, {"name": "basic"})]


def _own(
    answers: Answers, model: str, capabilities: Capabilities, folder: Path
) -> tuple[dict[str, Any], list[Table]]:
    from penin_core.projectfiles import relative_path, suite_for, tokens_for
    from penin_core.suites import Suite, read_tasks

    assert answers.tasks is not None
    tasks = read_tasks(answers.tasks)
    name = answers.name or answers.tasks.stem
    definition = suite_for(name, tasks, capabilities)
    Suite(definition, tuple(tasks)).require_provable()
    system = answers.system
    if system is None:
        system = "{{system}}" if any(task.system for task in tasks) else ""
    champion = {
        "provider": answers.provider,
        "model": model,
        "system": system,
        "prompt": answers.prompt,
        "temperature": 1.0 if answers.temperature is None else answers.temperature,
        "max_tokens": tokens_for(tasks) if answers.max_tokens is None else answers.max_tokens,
    }
    return champion, suite_tables(definition, relative_path(answers.tasks, folder))


def suite_tables(definition: SuiteDefinition, tasks: str) -> list[Table]:
    """Return the tables that declare a suite."""
    declared = {
        key: value
        for key, value in definition.model_dump(exclude={"tasks", "reasons", "baseline"}).items()
        if key != "gate_tasks" and value is not None and (value or key != "training")
    }
    comment = (
        "The tasks, and what is measured on them. Of the rows without a split, half are searched\n"
        "on and half confirm. Candidates are compared by the first metric that fits a task."
    )
    tables: list[Table] = [
        ("suite", comment, {"name": definition.name, "tasks": tasks, **declared})
    ]
    if definition.reasons:
        why = "Why something is not measured; without a reason, it would be a failing gate."
        tables.append(("suite.reasons", why, definition.reasons))
    return tables


def with_start(tables: list[Table], start: Appraisal) -> list[Table]:
    """Return the tables with what the measurement of the start froze."""
    from .wording import axes

    tau = round(start.tau, DIGITS)
    found = axes(start.measured).items()
    scores = ", ".join(f"{axis} {value:.3f}" for axis, value in found if value is not None)
    comment = f"The threshold of a promotion: the score of the start ({scores})\ncut to 0.5 to 0.7."
    frozen = {name: round(value, DIGITS) for name, value in start.baseline.model_dump().items()}
    *before, margins, budget = tables
    return [
        *before,
        ("suite.baseline", "What an answer cost at the start: a cost of 0.5.", frozen),
        ("evolve", comment, {"tau": tau}),
        margins,
        budget,
    ]
