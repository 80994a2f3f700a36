"""xAI trains nothing: said before anything is read, sent or paid.

There is no such service in xAI's REST reference, its protocol buffers or xai-sdk 1.21.0.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NoReturn

from penin_core import FineTuningUnavailable, HttpFineTuner, TrainingExample


class GrokFineTuner(HttpFineTuner):
    """xAI offers no fine-tuning; this says so."""

    name = "grok"

    def capabilities(self, model: str) -> NoReturn:
        """Refuse, before anything is sent; so does everything else here."""
        raise FineTuningUnavailable(
            f"xAI offers no fine-tuning, of {model!r} or any other model",
            hint="try --provider hf, which trains an open model in this process (penin-hf), or "
            "evolve the prompt and the examples",
        )

    def tokens(self, model: str, example: TrainingExample) -> NoReturn:
        """Refuse."""
        self.capabilities(model)

    def upload_data(self, train: bytes, validation: bytes | None) -> NoReturn:
        """Refuse."""
        self.capabilities("any")

    def create_job(
        self, model: str, files: Sequence[str], hyperparams: Mapping[str, Any], key: str
    ) -> NoReturn:
        """Refuse."""
        self.capabilities(model)

    def find_job(self, key: str) -> NoReturn:
        """Refuse."""
        self.capabilities("any")

    def get_job(self, job_id: str) -> NoReturn:
        """Refuse."""
        self.capabilities("any")

    def get_model(self, job_id: str) -> NoReturn:
        """Refuse."""
        self.capabilities("any")

    def cancel(self, job_id: str) -> NoReturn:
        """Refuse."""
        self.capabilities("any")
