"""Read and check all that a training needs, before anything is sent, spent or recorded."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from penin_core.contracts import FineTuner, LocalFineTuner, LocalProvider
from penin_core.errors import FineTuningUnavailable, PeninError
from penin_core.league.campaign import campaign_of, fresh_tasks
from penin_core.ledger.champion import current_champion
from penin_core.ledger.store import WORMLedger
from penin_core.loading import contained
from penin_core.measuring import SPECIAL_SPLITS
from penin_core.project import Project, require_recordable
from penin_core.records import Configuration, TrainingCapabilities, TrainingExample
from penin_core.settings import validated
from penin_core.training.charges import price_bound
from penin_core.training.data import read_training_data
from penin_core.training.files import Terms
from penin_core.training.plan import Plan

#: The method that learns from rows with a better and a worse answer.
PREFERENCES = "dpo"


def plan_training(
    project: Project,
    training: Path,
    validation: Path | None = None,
    *,
    provider: str | None = None,
    model: str | None = None,
    hyperparams: Mapping[str, Any] | None = None,
    seed: int = 0,
    consent: str = "",
    licence: str = "",
) -> Plan:
    """Read and check everything, and reckon what it can cost; nothing is sent or written.

    What is wrong with the data stands in ``plan.data.problems``.

    Raises:
        SuiteError: a file cannot be read.
        SettingsError: a hyperparameter does not exist, or cannot have that value.
        FineTuningUnavailable: nothing of the kind can be trained there.
        ValueError: ``seed`` is negative.
    """
    if seed < 0:
        raise ValueError(f"seed = {seed} must not be negative")
    with project.ledger() as ledger:
        config = _untrained(project, ledger, provider, model)
        unseen = [*fresh_tasks(project.suite, campaign_of(ledger))]
    # What these measure is how a model does on what nobody taught it.
    unseen += [task for task in project.suite.tasks if task.split in SPECIAL_SPLITS]
    tuner = fine_tuner(project, config.provider)
    local = isinstance(tuner, LocalFineTuner)
    capabilities = _capabilities(tuner, config.model)
    named = f"hyperparameters of {tuner.name}"
    chosen = validated(type(tuner).Hyperparams, hyperparams or {}, named).model_dump(mode="json")
    terms = Terms(
        config,
        capabilities,
        _counter(tuner, config.model),
        unseen,
        consent.strip(),
        licence.strip(),
        preferences=_learns_preferences(tuner, chosen),
    )
    data = read_training_data(training, validation, terms)
    return Plan(
        provider=config.provider,
        model=config.model,
        local=local,
        hyperparams=chosen,
        seed=seed,
        config=config,
        data=data,
        weights=_weights(project, config) if local else "",
        bound_micro_usd=0 if local else price_bound(capabilities, data.tokens, chosen),
    )


def _capabilities(tuner: FineTuner, model: str) -> TrainingCapabilities:
    with contained(f"fine-tuner {tuner.name!r}: ", passing=PeninError):
        return tuner.capabilities(model)


def _counter(tuner: FineTuner, model: str) -> Callable[[TrainingExample], int]:
    """Return what counts the tokens of an example."""

    def tokens(example: TrainingExample) -> int:
        with contained(f"fine-tuner {tuner.name!r}: ", passing=PeninError):
            return tuner.tokens(model, example)

    return tokens


def _weights(project: Project, config: Configuration) -> str:
    """Return what changes with the weights of a local model: its name alone may not."""
    provider = project.provider(config.provider)
    if not isinstance(provider, LocalProvider):
        return ""
    with contained(f"provider {provider.name!r}: ", passing=PeninError):
        return provider.fingerprint(config.model)


def _learns_preferences(tuner: FineTuner, chosen: Mapping[str, Any]) -> bool:
    if chosen.get("method") != PREFERENCES:
        return False
    if not isinstance(tuner, LocalFineTuner):
        # What is uploaded are conversations: the worse answers would get lost on the way.
        raise FineTuningUnavailable(
            f"penin sends no preferences to a service, and {tuner.name} is one",
            hint="try --provider hf, which trains in this process",
        )
    return True


def _untrained(
    project: Project, ledger: WORMLedger, provider: str | None, model: str | None
) -> Configuration:
    """Return the configuration that runs, on the model that is to be trained."""
    champion = current_champion(ledger)
    running = project.settings.champion
    if champion is not None:
        running = Configuration.model_validate(champion.config)
    names = {"provider": provider or running.provider, "model": model or running.model}
    config = running.model_copy(update={**names, "adapter": None})
    require_recordable(config)
    return config


def fine_tuner(project: Project, provider: str) -> FineTuner:
    """Return the fine-tuner of a provider.

    Raises:
        FineTuningUnavailable: it has none; the hint names the providers that have one.
    """
    known = project.plugins.names("finetuners")
    if provider not in known and provider not in project.plugins.broken:
        names = ", ".join(f"--provider {name}" for name in known)
        raise FineTuningUnavailable(
            f"provider {provider!r} has no fine-tuner",
            hint=f"try {names}" if known else "install a plugin that has one, such as penin-tiny",
        )
    return project.finetuner(provider)
