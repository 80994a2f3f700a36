"""What a call costs, and the most that it can cost. Money is integer micro-USD, rounded up.

A price in US dollars for a million tokens is a price in micro-USD for one token.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Iterator, Mapping
from decimal import ROUND_CEILING, Decimal
from fractions import Fraction
from functools import lru_cache

from penin_core.errors import ProviderRefused
from penin_core.records import Capabilities, Price, Request

#: Where the price table calls a service by another name than its plugin does.
_TABLE_NAMES = {"grok": "x-ai"}
#: What a service adds around a message, and around a whole prompt, in tokens, counted high.
_PER_MESSAGE = 8
_PER_PROMPT = 16
#: Prompts are priced in steps of so many tokens where long ones are dearer.
_STEP = 1000
#: Names under which ``extra`` can change how much is written, or how often.
_LIMITS = ("max_tokens", "max_completion_tokens", "max_output_tokens", "max_new_tokens")
_REPEATS = ("n", "best_of")


def price_of(provider: str, model: str, capabilities: Capabilities, tokens_in: int = 1) -> Price:
    """Return the price of ``model`` for a prompt of ``tokens_in`` tokens.

    What the provider declares wins; else the offline price table of ``genai-prices`` decides, where
    long prompts can be dearer.

    Raises:
        ProviderRefused: nobody knows the price.
    """
    if capabilities.price is not None:
        return capabilities.price
    # Rounded up, so that a handful of look-ups serves a whole run.
    size = math.ceil(max(1, tokens_in) / _STEP) * _STEP
    price = _table_price(_TABLE_NAMES.get(provider, provider), model, size)
    if price is None:
        raise ProviderRefused(
            f"no price is known for model '{model}' of provider '{provider}'",
            hint=f'state it in penin.toml: [prices."{provider}:{model}"] with input_per_million '
            "and output_per_million, zero where it is free",
        )
    return price


def price_table() -> str:
    """Return the price table by name and version, which stands for its date, for the record."""
    import genai_prices

    return f"genai-prices {genai_prices.__version__}"


def usage_cost_micro_usd(price: Price, tokens_in: int, tokens_out: int) -> int:
    """Return what ``tokens_in`` and ``tokens_out`` cost, rounded up."""
    read, wrote, part = _rates(price.input_per_million, price.output_per_million)
    return -(-(tokens_in * read + tokens_out * wrote) // part)


def usd_to_micro(usd: float) -> int:
    """Return a price that a service reported itself, rounded up."""
    return int((_decimal(usd) * 1_000_000).to_integral_value(ROUND_CEILING))


def upper_bound_micro_usd(
    request: Request, price: Price, capabilities: Capabilities | None = None
) -> int:
    """Return the most that ``request`` can cost: the prompt counted high, the answer in full.

    Raises:
        ProviderRefused: nothing bounds how much the model may write.
    """
    if not (price.input_per_million or price.output_per_million):
        return 0
    tokens_out = output_bound(request, capabilities or Capabilities())
    return usage_cost_micro_usd(price, prompt_bound(request), tokens_out)


def prompt_bound(request: Request) -> int:
    """Return a high count of the tokens of the prompt.

    Half a token for each UTF-8 byte, and at least one for each character: a tokenizer that falls
    back to bytes writes no more than that for text in ASCII.
    """
    tokens = _PER_PROMPT
    for text in _texts(request):
        length = len(text)
        # Of ASCII a byte is a character, so that half the bytes are never more.
        if not text.isascii():
            length = max(math.ceil(len(_utf8(text)) / 2), length)
        tokens += length + _PER_MESSAGE
    return tokens


def output_bound(request: Request, capabilities: Capabilities) -> int:
    """Return the most tokens that the model can write for ``request``.

    Raises:
        ProviderRefused: the model takes no ``max_tokens``, and its context is unknown.
    """
    limit = max([request.max_tokens, *_counts(request.extra, _LIMITS)])
    if "max_tokens" in capabilities.refused:
        if capabilities.context_tokens is None:
            raise ProviderRefused(
                f"model '{request.model}' of provider '{request.provider}' takes no max_tokens, "
                "so nothing bounds the price of an answer",
                hint="let capabilities() of the provider state context_tokens",
            )
        limit = capabilities.context_tokens
    return limit * math.prod(_counts(request.extra, _REPEATS))


def _texts(request: Request) -> Iterator[str]:
    if request.system:
        yield request.system
    for message in request.messages:
        yield message.content
    if request.extra:
        yield json.dumps(request.extra, ensure_ascii=False, default=str)


def _utf8(text: str) -> bytes:
    return text.encode(errors="surrogatepass")


def _counts(extra: Mapping[str, object], names: Iterable[str]) -> list[int]:
    """Return what ``extra`` says under ``names``, where that is a number of things."""
    if not extra:
        return []
    values = [extra[name] for name in names if name in extra]
    return [value for value in values if type(value) is int and value > 0]


@lru_cache(maxsize=1024)
def _rates(per_input: float, per_output: float) -> tuple[int, int, int]:
    """Return what a token read and one written cost in parts of a micro-USD, and the parts."""
    read, wrote = Fraction(_decimal(per_input)), Fraction(_decimal(per_output))
    part = math.lcm(read.denominator, wrote.denominator)
    return int(read * part), int(wrote * part), part


def _decimal(value: float) -> Decimal:
    # By way of repr, so that 0.15 is 15/100 and not the binary number next to it.
    return Decimal(repr(float(value)))


@lru_cache(maxsize=1024)
def _table_price(provider: str, model: str, tokens_in: int) -> Price | None:
    # Here, because the table takes a quarter of a second to load and free models never need it.
    from genai_prices import Usage, calc_price

    usage = Usage(input_tokens=tokens_in, output_tokens=1_000_000)
    try:
        found = calc_price(usage, model, provider_id=provider)
    except LookupError:
        return None
    price = Price(
        input_per_million=float(found.input_price * 1_000_000 / tokens_in),
        output_per_million=float(found.output_price),
    )
    # A model that the table lists without a price is not a free one.
    return price if price.input_per_million or price.output_per_million else None
