"""xAI trains nothing: said before anything is read, sent or paid.

There is no such service in xAI's REST reference, its protocol buffers or xai-sdk 1.21.0.
"""

from __future__ import annotations

from typing import NoReturn

from penin_core import FineTuner, FineTuningUnavailable, TrainingExample


class GrokFineTuner(FineTuner):
    """xAI offers no fine-tuning; this says so."""

    name = "grok"

    def capabilities(self, model: str) -> NoReturn:
        """Refuse."""
        raise FineTuningUnavailable(
            f"xAI offers no fine-tuning, of {model!r} or any other model",
            hint="evolve the prompt and the examples instead, or train an open model yourself "
            "(penin-hf, or the embedded model)",
        )

    def tokens(self, model: str, example: TrainingExample) -> NoReturn:
        """Refuse."""
        self.capabilities(model)
