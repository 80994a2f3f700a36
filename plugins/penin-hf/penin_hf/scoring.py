"""How well a model does on the validation examples."""

from __future__ import annotations

import inspect
from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

import torch

from .lessons import Lesson

#: The temperatures that are tried, .82 to 3.07 in steps of 5 %.
TEMPERATURES = tuple(1.05**step for step in range(-4, 24))


class Score(NamedTuple):
    """``loss`` in nats, for one token of an answer or for one pair; ``right``: a share of rows.

    A row is right where the model would write the whole answer just so, taking the most likely
    token each time; a pair where it has learnt to prefer the better answer.
    """

    loss: float
    right: float

    @property
    def rank(self) -> tuple[float, float]:
        """Higher is better. The loss alone would choose too early: it grows with a few rows that
        the model gets wrong and is ever surer of, while it gets others right."""
        return (self.right, -self.loss)


def answers(model: Any, lessons: Sequence[Lesson]) -> Score:
    """Return how well ``model`` writes the answers of ``lessons``."""
    loss, tokens, right = 0.0, 0, 0
    for logits, wanted in _read(model, lessons):
        log_p = logits.log_softmax(-1)
        loss -= float(log_p.gather(-1, wanted[:, None]).sum())
        right += bool((log_p.argmax(-1) == wanted).all())
        tokens += len(wanted)
    return Score(loss / tokens, right / len(lessons))


def preferences(trainer: Any) -> Score:
    """Return how well a trainer's model tells the better answers from the worse ones.

    Right are the pairs whose better answer has gained more probability over the base model than
    the worse one; before the first step none has.
    """
    found = trainer.evaluate()
    return Score(found["eval_loss"], found["eval_rewards/accuracies"])


def temperature(model: Any, lessons: Sequence[Lesson]) -> float:
    """Return the temperature t at which p^(1/t), normalised, gives ``lessons`` the least loss.

    Source: Guo et al., "On Calibration of Modern Neural Networks", ICML 2017 (arXiv 1706.04599),
    section 4.2.
    """
    totals = [0.0] * len(TEMPERATURES)
    for logits, wanted in _read(model, lessons):
        for index, value in enumerate(TEMPERATURES):
            log_p = (logits / value).log_softmax(-1)
            totals[index] -= float(log_p.gather(-1, wanted[:, None]).sum())
    return TEMPERATURES[totals.index(min(totals))]


def _read(model: Any, lessons: Sequence[Lesson]) -> Iterator[tuple[torch.Tensor, torch.Tensor]]:
    """Yield, for each answer, the logits in front of its tokens, and those tokens.

    One at a time: what is learnt of one row must not depend on those beside it.
    """
    model.eval()
    keeps = "logits_to_keep" in inspect.signature(model.get_base_model().forward).parameters
    for each in lessons:
        count = len(each.answer)
        ids = torch.tensor([[*each.prompt, *each.answer]], device=model.device)
        given = {"logits_to_keep": count + 1} if keeps else {}
        with torch.no_grad():
            logits = model(input_ids=ids, **given).logits[0, -count - 1 : -1]
        yield logits.float(), ids[0, -count:]
