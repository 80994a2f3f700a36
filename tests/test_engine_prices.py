"""Prices: exact money, an upper bound that is one, and no price out of thin air."""

from __future__ import annotations

import subprocess
import sys
from decimal import Decimal
from fractions import Fraction
from math import ceil
from pathlib import Path

import genai_prices
import pytest
from hypothesis import given
from hypothesis import strategies as st

import penin_core
from penin_core.engine.prices import (
    output_bound,
    price_of,
    price_table,
    prompt_bound,
    upper_bound_micro_usd,
    usage_cost_micro_usd,
    usd_to_micro,
)
from penin_core.errors import ProviderRefused
from penin_core.records import Capabilities, Message, Price, Request

TEN = Price(input_per_million=10.0, output_per_million=30.0)


def request(text: str = "hello", **fields: object) -> Request:
    turn = (Message(role="user", content=text),)
    return Request.model_validate({"provider": "p", "model": "m", "messages": turn, **fields})


def test_the_declared_price_wins_over_the_table() -> None:
    assert price_of("openai", "gpt-4o-mini", Capabilities(price=TEN)) == TEN


@pytest.mark.parametrize(
    ("provider", "model", "price"),
    [
        ("openai", "gpt-4o-mini", (0.15, 0.6)),
        ("grok", "grok-4", (3.0, 15.0)),
        ("mistral", "mistral-small-latest", (0.15, 0.6)),
    ],
)
def test_the_table_knows_the_services(provider: str, model: str, price: tuple[float, ...]) -> None:
    found = price_of(provider, model, Capabilities())
    assert (found.input_per_million, found.output_per_million) == price


def test_a_long_prompt_is_dearer_where_the_service_says_so() -> None:
    short, long = (price_of("grok", "grok-4.20", Capabilities(), n) for n in (1_000, 500_000))
    assert long.input_per_million > short.input_per_million


@pytest.mark.parametrize(
    ("provider", "model"),
    [("nobody", "gpt-4o-mini"), ("openai", "no-such-model"), ("openai", "tts-1")],
)
def test_an_unknown_price_is_refused_by_name(provider: str, model: str) -> None:
    with pytest.raises(ProviderRefused, match=f"'{model}' of provider '{provider}'") as refused:
        price_of(provider, model, Capabilities())
    assert f'[prices."{provider}:{model}"]' in refused.value.hint


@given(
    st.decimals(0, 1000, places=4),
    st.decimals(0, 1000, places=4),
    st.integers(0, 10**7),
    st.integers(0, 10**7),
)
def test_cost_is_the_exact_one_rounded_up(
    price_in: Decimal, price_out: Decimal, tokens_in: int, tokens_out: int
) -> None:
    price = Price(input_per_million=float(price_in), output_per_million=float(price_out))
    exact = tokens_in * Fraction(price_in) + tokens_out * Fraction(price_out)
    assert usage_cost_micro_usd(price, tokens_in, tokens_out) == ceil(exact)


def test_a_reported_cost_is_rounded_up() -> None:
    assert [usd_to_micro(usd) for usd in (0.0, 1e-9, 0.15, 2.0000001)] == [0, 1, 150_000, 2_000_001]


@given(st.text(st.characters(codec="utf-8")), st.text(st.characters(codec="utf-8")))
def test_the_prompt_counts_every_character_and_half_of_every_byte(text: str, system: str) -> None:
    bound = prompt_bound(request(text, system=system))
    assert bound >= len(text) + len(system)
    assert bound >= (len(text.encode()) + len(system.encode())) / 2


def test_the_bound_is_prompt_plus_the_longest_answer() -> None:
    asked = request("x" * 1000, max_tokens=500)
    assert upper_bound_micro_usd(asked, TEN) == 10 * prompt_bound(asked) + 30 * 500
    assert 1000 < prompt_bound(asked) < 1100


@pytest.mark.parametrize(
    ("extra", "tokens"),
    [
        ({"max_completion_tokens": 9000}, 9000),
        ({"max_tokens": 10}, 256),
        ({"n": 4}, 1024),
        ({"n": 2, "max_tokens": 1000}, 2000),
        ({"n": True}, 256),
        ({"max_tokens": "many"}, 256),
    ],
)
def test_extra_parameters_raise_the_bound(extra: dict[str, object], tokens: int) -> None:
    assert output_bound(request(extra=extra), Capabilities()) == tokens


def test_extra_parameters_count_as_prompt() -> None:
    assert prompt_bound(request(extra={"tools": "x" * 500})) > prompt_bound(request()) + 500


def test_without_max_tokens_the_context_bounds_the_answer() -> None:
    refused = Capabilities(refused=("max_tokens",), context_tokens=8000)
    assert output_bound(request(), refused) == 8000


def test_without_any_bound_a_paid_call_is_refused_and_a_free_one_passes() -> None:
    unbounded, free = (
        Capabilities(refused=("max_tokens",)),
        Price(input_per_million=0, output_per_million=0),
    )
    with pytest.raises(ProviderRefused, match="nothing bounds"):
        upper_bound_micro_usd(request(), TEN, unbounded)
    assert upper_bound_micro_usd(request(), free, unbounded) == 0


def test_the_table_is_loaded_only_for_a_price_that_nobody_declared() -> None:
    code = (
        "import sys; from penin_core.engine.prices import price_of;"
        "from penin_core.records import Capabilities, Price;"
        "price_of('p', 'm', Capabilities(price=Price(input_per_million=0, output_per_million=0)));"
        "print('genai_prices' in sys.modules)"
    )
    root = Path(penin_core.__file__).parent.parent
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=root)
    assert done.stdout.strip() == "False", done.stderr


def test_the_price_table_has_a_name_for_the_record() -> None:
    assert price_table() == f"genai-prices {genai_prices.__version__}"
