"""What a training at a service can cost, and the money that is held back for it meanwhile."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from penin_core.engine.budget import Budget
from penin_core.errors import ProviderRefused, SettingsError
from penin_core.records import TrainingCapabilities


def price_bound(capabilities: TrainingCapabilities, tokens: int, given: Mapping[str, Any]) -> int:
    """Return the most micro-USD that a training on ``tokens`` can cost.

    Raises:
        ProviderRefused: nobody knows the price.
        SettingsError: the number of passes over the data is not bounded.
    """
    price = capabilities.usd_per_million
    if price is None:
        raise ProviderRefused(
            "no price is known for training this model",
            hint="let capabilities() of the fine-tuner state usd_per_million, 0 where it is free",
        )
    epochs = given.get("n_epochs", 1)
    if price and (isinstance(epochs, bool) or not isinstance(epochs, int | float)):
        raise SettingsError(
            f"n_epochs = {epochs!r} bounds no price: every pass over the data is paid",
            hint="say how many passes, such as --set n_epochs=3",
        )
    return math.ceil(tokens * epochs * price) if price else 0


class Charge:
    """The money of one job: held back before anything is sent, settled when the job is over."""

    def __init__(self, budget: Budget, job_key: str) -> None:
        self._budget = budget
        self._purpose = f"finetune {job_key}"

    def reserve(self, bound_micro_usd: int) -> None:
        """Hold back the most that it can cost; again is the same as once.

        Raises:
            BudgetExceeded: there is not so much left.
        """
        if not self._reserved():
            self._budget.reserve(bound_micro_usd, self._purpose)

    def release(self) -> None:
        """Give everything back."""
        for reservation in self._reserved():
            self._budget.release(reservation)

    def settle(self, tokens: int | None, price: float | None) -> None:
        """Charge ``tokens`` at ``price`` a million; all that was held back where one is None."""
        paid = None if tokens is None or price is None else math.ceil(tokens * price)
        for reservation in self._reserved():
            self._budget.settle(reservation, paid)

    def _reserved(self) -> list[int]:
        return [r.id for r in self._budget.open_reservations() if r.key == self._purpose]
