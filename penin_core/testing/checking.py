"""The kits for a plugin that is installed, with what can be known without its author.

Only the author has a real answer of the service, or evidence that a guard must veto. Clauses that
need such a sample are reported as unchecked, with what is missing; they are never counted as met.
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from penin_core import (
    Evaluator,
    FineTuner,
    HttpProvider,
    LocalProvider,
    Mutator,
    PluginInvalid,
    PluginNotFound,
    ProviderError,
)
from penin_core.plugins import Plugins, options_of
from penin_core.settings import load_settings

from .conformance import (
    TASKS,
    Conformance,
    EvaluatorConformance,
    GuardConformance,
    MutatorConformance,
)
from .finetuner_conformance import FineTunerConformance
from .plugin_conformance import PluginConformance
from .provider_conformance import HttpProviderConformance, LocalProviderConformance

#: Where the outcome of each clause is written.
REPORT_VARIABLE = "PENIN_CHECK_REPORT"

#: Clause -> what only the author of the component has.
_REPLY = "a real reply of the service"
_GOOD_AND_BAD = "evidence that it must pass, and evidence that it must veto"
_HTTP = {
    "test_sample_reply_is_read": _REPLY,
    "test_damaged_reply_is_read_or_named": _REPLY,
    "test_key_is_never_in_an_error": _REPLY,
    "test_streams_if_it_says_so": "real events of a stream",
}
_GUARD = {
    "test_good_evidence_passes": _GOOD_AND_BAD,
    "test_bad_evidence_is_vetoed": _GOOD_AND_BAD,
    "test_part_that_decides_is_never_optional": _GOOD_AND_BAD,
    "test_same_evidence_same_answer": _GOOD_AND_BAD,
}
_MODEL = "a model that can be trained"
_FINETUNER = {
    "test_capabilities_are_stated": _MODEL,
    "test_longer_example_has_more_tokens": _MODEL,
}
_MUTATOR = {"test_it_proposes_something": "a champion for which it has a proposal"}
#: These need nothing but the class.
_STATIC = {
    "test_class_follows_the_contract",
    "test_import_is_light",
    "test_hyperparameters_have_defaults",
    "test_unknown_hyperparameter_is_refused",
}


def kits_for(name: str) -> dict[str, type]:
    """Return test classes for plugin ``name`` and its components, as penin.toml sets them up.

    Raises:
        PluginInvalid, SettingsError: it cannot be loaded; the message says why.
    """
    settings = load_settings()
    plugins = Plugins.of(settings)
    try:
        module = plugins.module(name)
    except PluginNotFound as error:
        raise PluginInvalid(f"{error}: {error.hint}") from error
    kits: dict[str, type] = {"TestPlugin": _kit("TestPlugin", PluginConformance, plugin=module)}
    row = next(row for row in plugins.describe() if row["name"] == name)
    for part in row["components"]:
        component = plugins.get(part["kind"], part["name"])
        options = options_of(settings, part["kind"], part["name"])
        model = settings.champion.model if settings.champion.provider == part["name"] else "any"
        title = f"Test_{part['kind']}_{part['name'].replace('-', '_')}"
        kits[title] = _component_kit(title, component, options, model)
    return kits


def _kit(title: str, kit: type, **members: Any) -> type:
    return type(title, (kit,), {"__module__": __name__.partition(".")[0], **members})


def _component_kit(
    title: str, component: type[Any], options: Mapping[str, Any], model: str
) -> type[Conformance]:
    """Return the kit of one component, and in ``unchecked`` what it cannot be asked here."""
    kit, unchecked = _choice(component)
    members: dict[str, Any] = {"component": component, "options": options, "model": model}
    missing = _missing(component, options, model)
    if missing:
        unchecked = dict.fromkeys((n for n in dir(kit) if n not in _STATIC), missing)
    return _kit(title, kit, unchecked=unchecked, **members)


def _choice(component: type[Any]) -> tuple[type[Any], dict[str, str]]:
    if issubclass(component, HttpProvider):
        return HttpProviderConformance, _HTTP
    if issubclass(component, LocalProvider):
        return LocalProviderConformance, {}
    if issubclass(component, Mutator):
        return MutatorConformance, _MUTATOR
    if issubclass(component, Evaluator):
        return EvaluatorConformance, {}
    if issubclass(component, FineTuner):
        return FineTunerConformance, _FINETUNER
    return GuardConformance, _GUARD


def _missing(component: type[Any], options: Mapping[str, Any], model: str) -> str:
    """Say what is missing to build the component or to ask it anything, "" where nothing is."""
    try:
        made = component(component.Options(**options))
    except Exception as error:
        return f"options in penin.toml ({type(error).__name__})"
    try:
        if issubclass(component, Evaluator) and not made.applies(TASKS[0]):
            return "a task that it can score"
        if isinstance(made, HttpProvider | LocalProvider):
            made.capabilities(model)
    except ProviderError:
        return "a model that it serves: make it the champion of penin.toml"
    except Exception:
        return ""  # the clause that asks the same will say so
    finally:
        made.close()
    return ""


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Skip what is unchecked, with what is missing as the reason."""
    for item in items:
        unchecked = getattr(getattr(item, "cls", None), "unchecked", {})
        if missing := unchecked.get(getattr(item, "originalname", "")):
            item.add_marker(pytest.mark.skip(reason=f"needs {missing}"))


def pytest_runtest_logreport(report: pytest.TestReport) -> None:
    """Write down how a clause ended, one line of JSON, for whoever asked."""
    if report.when != "call" and report.outcome == "passed":
        return
    reason = ""
    if report.outcome == "skipped" and isinstance(report.longrepr, tuple):
        reason = report.longrepr[2].removeprefix("Skipped: ")
    elif report.outcome == "failed":
        crash = getattr(report.longrepr, "reprcrash", None)
        reason = str(getattr(crash, "message", report.longrepr)).partition("\n")[0]
    _, kit, clause = report.nodeid.split("::")
    row = {"kit": kit, "clause": clause, "outcome": report.outcome, "reason": reason}
    with Path(os.environ[REPORT_VARIABLE]).open("a", encoding="utf-8") as file:
        file.write(json.dumps(row) + "\n")
