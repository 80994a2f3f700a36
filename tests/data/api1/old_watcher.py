"""A local model and a watcher of cycles."""

from __future__ import annotations

from collections.abc import Sequence

from penin_core import (
    Candidate,
    Capabilities,
    Completion,
    CycleReport,
    Evaluation,
    LocalProvider,
    Price,
    Provider,
    ProviderError,
    Request,
    hookimpl,
)

penin_api = 1

heard: list[str] = []


class OldWatcher(LocalProvider):
    """Answers every question with yes."""

    name = "old-watcher"

    def capabilities(self, model: str) -> Capabilities:
        """Every model says yes."""
        price = Price(input_per_million=0.0, output_per_million=0.0)
        return Capabilities(seed=True, price=price, batch=8)

    def generate(self, requests: Sequence[Request]) -> Sequence[Completion | ProviderError]:
        """Say yes to each."""
        return [
            Completion(text="yes", model=request.model, tokens_in=1, tokens_out=1)
            for request in requests
        ]


@hookimpl
def penin_register_providers() -> list[type[Provider]]:
    """Return the model."""
    return [OldWatcher]


@hookimpl
def penin_cycle_started(champion: Candidate) -> None:
    """Take one argument of two."""
    heard.append(f"started on {champion.config.model}")


@hookimpl
def penin_candidate_evaluated(evaluation: Evaluation) -> None:
    """Take the only argument."""
    heard.append(f"evaluated in {evaluation.stage}")


@hookimpl
def penin_cycle_finished(report: CycleReport) -> None:
    """Take the only argument."""
    heard.append(f"finished: {report.verdict}")
