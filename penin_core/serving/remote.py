"""What the ways to ask a service share: its connections, its price and the billing."""

from __future__ import annotations

from penin_core.contracts import HttpProvider
from penin_core.engine.prices import output_bound, price_of, usage_cost_micro_usd, usd_to_micro
from penin_core.engine.replies import capabilities_of
from penin_core.records import Configuration, Message, Price, Request

from .billing import Billing, Charge
from .pieces import Tally
from .questions import Asking
from .upstream import Upstream

#: Stands for a request where only its form matters.
PROBE = Message(role="user", content="probe")


class Remote:
    """What both ways to ask a service share: its connections, its price and the billing."""

    def __init__(
        self,
        config: Configuration,
        provider: HttpProvider,
        upstream: Upstream,
        billing: Billing,
        price: Price | None,
    ) -> None:
        self.config, self.provider, self.upstream, self.billing = (
            config,
            provider,
            upstream,
            billing,
        )
        self.asking = Asking(config)
        found = capabilities_of(provider, config.model)
        self.capabilities = found.model_copy(update={"price": price}) if price else found
        self._price(1)

    def _price(self, tokens_in: int) -> Price:
        return price_of(
            self.config.provider, self.config.model, self.capabilities, max(1, tokens_in)
        )

    def bound(self, request: Request, tokens_in: int) -> int:
        """Return the most that a call can cost, in micro-USD.

        Raises:
            ProviderRefused: nothing bounds how much the model may write.
        """
        price = self._price(tokens_in)
        if not (price.input_per_million or price.output_per_million):
            return 0
        return usage_cost_micro_usd(price, tokens_in, output_bound(request, self.capabilities))

    def count(
        self, read: int, wrote: int, cost_usd: float | None, charge: Charge, tally: Tally
    ) -> None:
        """Count the tokens of an answer, and what it cost: as the service says, or by its price."""
        tally.tokens_in, tally.tokens_out = read, wrote
        if cost_usd is not None:
            cost = usd_to_micro(cost_usd)
        else:
            cost = usage_cost_micro_usd(self._price(read), read, wrote)
        charge.spent = tally.micro_usd = cost


def sample_of(config: Configuration) -> Request:
    """Return a request with ``config`` that asks for nothing."""
    return Request(
        provider=config.provider,
        model=config.model,
        messages=(PROBE,),
        system="system",
        temperature=config.temperature,
        top_p=config.top_p,
        max_tokens=config.max_tokens,
        adapter=config.adapter,
        extra=config.extra,
    )
