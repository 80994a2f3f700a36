"""What is to be trained: all that decides which training it is, and the most that it can cost."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from penin_core.canonical import digest
from penin_core.records import Configuration
from penin_core.training.data import TrainingData

#: Hex digits of a job's key.
KEY_DIGITS = 32


@dataclass(frozen=True)
class Plan:
    """What is to be trained: all of it decides the key of the job."""

    provider: str
    model: str
    local: bool
    hyperparams: Mapping[str, Any]
    seed: int
    #: What a trained model is proposed as: the configuration whose prompt the data carry.
    config: Configuration
    data: TrainingData
    #: What says which weights stand behind the model; empty where its name says it.
    weights: str = ""
    #: The most that the training can cost.
    bound_micro_usd: int = 0

    @property
    def fingerprint(self) -> str:
        """Identify the training, whatever comes of it."""
        about = [self.provider, self.model, dict(self.hyperparams), self.seed, self.data.hash]
        return digest([*about, self.weights] if self.weights else about)

    def about(self, attempt: int, plugin: str) -> dict[str, Any]:
        """Return the body of the entry that begins the job."""
        data = self.data
        return {
            "job": digest([self.fingerprint, attempt])[:KEY_DIGITS],
            "fingerprint": self.fingerprint,
            "attempt": attempt,
            "provider": self.provider,
            "model": self.model,
            "local": self.local,
            "plugin": plugin,
            "hyperparams": dict(self.hyperparams),
            "seed": self.seed,
            "data_sha256": data.hash,
            "train": len(data.train.rows),
            "validation": len(data.validation.rows),
            "tokens": data.tokens,
            "consent": data.rights.consent,
            "licenses": data.rights.licenses,
            "config": self.config.model_dump(mode="json"),
            "bound_micro_usd": self.bound_micro_usd,
            **({"weights": self.weights} if self.weights else {}),
        }


def left_of(max_usd: float | None, plan: Plan) -> float | None:
    """Return what a limit of money leaves for a cycle after the training, counted at its most."""
    return None if max_usd is None else max(0.0, max_usd - plan.bound_micro_usd / 1e6)
