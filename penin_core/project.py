"""A project: its settings, its plugins, its suite and its state directory, opened together."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from itertools import islice
from pathlib import Path
from typing import Any

from penin_core.canonical import canonical_json
from penin_core.contracts import Evaluator, FineTuner, Guard, Mutator, Provider
from penin_core.errors import SettingsError
from penin_core.grading import require_graded
from penin_core.league.promotion import LeagueOrchestrator
from penin_core.ledger.store import WORMLedger
from penin_core.omega.tuner import DEFAULTS
from penin_core.plugins import Plugins, shipped_suites
from penin_core.records import Configuration, PluginFailure
from penin_core.settings import (
    Baseline,
    Settings,
    SuiteDefinition,
    load_settings,
    read_toml,
    state_dir,
    validated,
)
from penin_core.state import prepare
from penin_core.suites import Suite, load_suite

#: A configuration stands whole in the entry that makes it champion.
MAX_CONFIG_BYTES = 24_000
#: A guard sees so many of the risks that were measured before the present one.
LAST_RISKS = 9


@dataclass
class Project:
    """What every command works on. Components are built once, when they are first needed."""

    settings: Settings
    state: Path
    plugins: Plugins
    suite: Suite
    _made: dict[tuple[str, str], Any] = field(default_factory=dict, repr=False)

    def provider(self, name: str) -> Provider:
        """Return a provider, built with its table of penin.toml."""
        made = self._make("providers", name, self.settings.providers.get(name, {}))
        assert isinstance(made, Provider)
        return made

    def require_provable(self) -> None:
        """Refuse a suite on which nothing can be proved.

        Raises:
            SuiteError: it is too small, leaks, or has tasks that no metric can grade.
            EvaluationFailed: a metric failed, or a task names one that the suite lacks.
        """
        self.suite.require_provable()
        require_graded(self.suite, self.evaluators())

    def evaluators(self) -> list[Evaluator]:
        """Return the evaluators that the suite names."""
        definition = self.suite.definition
        names = dict.fromkeys((*definition.metrics, *definition.evaluators))
        options = dict(self.settings.evaluators)
        if definition.perturbations:
            table = {"perturbations": list(definition.perturbations)}
            options["robustness"] = {**table, **options.get("robustness", {})}
        if definition.calibration == "stated":
            options["calibration"] = {"source": "stated", **options.get("calibration", {})}
        if definition.calibration == "not_applicable":
            names.pop("calibration", None)
        if not any(task.split == "composed" for task in self.suite.tasks):
            names.pop("composition", None)
        made = [self._make("evaluators", name, options.get(name, {})) for name in names]
        return [e for e in made if isinstance(e, Evaluator) and e.axis in definition.axes]

    def guards(self) -> list[Guard]:
        """Return the guards; a cycle without one promotes nothing."""
        return [self._make("guards", name, {}) for name in self.settings.guards.use]

    def mutators(self) -> list[Mutator]:
        """Return the mutators in the order of the settings."""
        options = self.settings.mutators
        names = self.settings.evolve.mutators
        return [self._make("mutators", name, options.get(name, {})) for name in names]

    def finetuner(self, name: str) -> FineTuner:
        """Return the fine-tuner of the provider ``name``."""
        made = self._make("finetuners", name, self.settings.finetuners.get(name, {}))
        assert isinstance(made, FineTuner)
        return made

    def _make(self, kind: str, name: str, options: Mapping[str, Any]) -> Any:
        if (kind, name) not in self._made:
            self._made[kind, name] = self.plugins.create(kind, name, options)
        return self._made[kind, name]

    def close(self) -> None:
        """Close every component that was built."""
        while self._made:
            self._made.popitem()[1].close()

    def ledger(self) -> WORMLedger:
        """Open the ledger."""
        return WORMLedger(self.state / "ledger.db")

    def league(self, ledger: WORMLedger) -> LeagueOrchestrator:
        """Return the orchestrator of this project's champion."""
        return LeagueOrchestrator(
            self.state,
            ledger,
            owner=self.settings.ledger.owner,
            loaded=self.plugins.loaded(),
        )

    def failure(self, kind: str, name: str, error: object, consequence: str) -> PluginFailure:
        """Return the record of a plugin that failed, with its distribution and version."""
        return PluginFailure(
            component=f"{kind.removesuffix('s')} {name}",
            plugin=str(self.plugins.origin(kind, name)),
            error=f"{type(error).__name__}: {error}"
            if isinstance(error, Exception)
            else str(error),
            consequence=consequence,
        )


def open_project(
    *,
    config: Path | None = None,
    state: Path | None = None,
    suite: str | None = None,
    settings: Settings | None = None,
    create_state: bool = True,
) -> Project:
    """Read and check everything; nothing is spent, and only the state directory is created.

    Raises:
        SettingsError, SuiteError, PluginError: something is wrong in words that name it.
        StateError: the state directory cannot be used.
    """
    settings = settings or load_settings(config)
    definition, folder = settings.suite, settings.folder
    if suite is not None:
        definition, folder = _named_suite(suite)
    loaded = load_suite(definition, folder, shipped_suites())
    path = state_dir(state, settings.folder)
    return Project(
        settings=settings,
        state=prepare(path) if create_state else path,
        plugins=Plugins.of(settings),
        suite=loaded,
    )


def _named_suite(name: str) -> tuple[SuiteDefinition, Path]:
    path = Path(name)
    if path.suffix == ".toml":
        return validated(SuiteDefinition, read_toml(path), path), path.parent
    if name not in shipped_suites():
        raise SettingsError(
            f"no suite {name!r}",
            hint=f"shipped: {', '.join(sorted(shipped_suites()))}; or a .toml file",
        )
    return SuiteDefinition(name=name), Path()


def require_recordable(config: Configuration) -> None:
    """Raise SettingsError for a configuration that is too long for an entry of the ledger."""
    size = len(canonical_json(config.model_dump(mode="json")))
    if size > MAX_CONFIG_BYTES:
        raise SettingsError(
            f"the configuration has {size:,} bytes, at most {MAX_CONFIG_BYTES:,} can be recorded",
            hint="shorten its prompt, or show fewer examples",
        )


def with_baseline(suite: Suite, baseline: Mapping[str, Any]) -> Suite:
    """Return the suite with a frozen cost baseline."""
    frozen = {"baseline": Baseline.model_validate(dict(baseline))}
    return replace(suite, definition=suite.definition.model_copy(update=frozen))


def champion_risks(ledger: WORMLedger, before: int | None = None) -> list[float]:
    """Return the last measured risks of the champions, oldest first; up to entry ``before``."""
    bodies = (ledger.entry(idx).body for idx in ledger.baselines(before=before))
    risks = (body.get("detail", {}).get("risk") for body in bodies)
    return [*islice((risk for risk in risks if risk is not None), LAST_RISKS)][::-1]


def parameters(ledger: WORMLedger, before: int | None = None) -> tuple[int, dict[str, float]]:
    """Return version and values of the tuned parameters, as the ledger says up to ``before``."""
    entries = ledger.events(("BOOTSTRAP", "TUNE"), limit=1 if before is None else None)
    entries = [entry for entry in entries if before is None or entry.idx < before]
    body = entries[-1].body if entries else {}
    # An entry that somebody else wrote may say nothing about them.
    return int(body.get("param_version") or 0), {**DEFAULTS, **(body.get("params") or {})}
