"""The built-in components agree with what other people wrote, where that is installed."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from penin_core import Completion, Task
from penin_core.builtin.evaluators import Energy
from penin_core.builtin.evaluators.schema import check_schema, conforms


def oracle(name):
    return pytest.importorskip(name, reason=f"{name} is the oracle of this test")


# JSON Schema, by jsonschema

scalars = (
    st.none() | st.booleans() | st.integers(-3, 3) | st.sampled_from([0.5, 1.0, "", "ab", "b"])
)
values = st.recursive(
    scalars,
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from("abc"), inner, max_size=3)
    ),
    max_leaves=5,
)
types = st.sampled_from(["object", "array", "string", "boolean", "null", "number", "integer"])
sizes = st.integers(0, 3)
bounds = st.integers(-2, 3) | st.just(0.5)


def schemas(inner):
    """Every keyword that is known; of multiples only whole ones, for floats are divided there."""
    lists = st.lists(inner, min_size=1, max_size=2)
    keywords = {
        "type": types | st.lists(types, min_size=1, max_size=2, unique=True),
        "enum": st.lists(values, min_size=1, max_size=3),
        "const": values,
        "pattern": st.sampled_from(["a", "^b", "", "b$"]),
        "uniqueItems": st.booleans(),
        "items": inner,
        "required": st.lists(st.sampled_from("abc"), max_size=2, unique=True),
        "properties": st.dictionaries(st.sampled_from("abc"), inner, max_size=2),
        "additionalProperties": inner,
        "multipleOf": st.integers(1, 3),
        "not": inner,
        **dict.fromkeys(("allOf", "anyOf", "oneOf"), lists),
        **dict.fromkeys(("minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum"), bounds),
        **dict.fromkeys(("minLength", "maxLength", "minItems", "maxItems"), sizes),
        **dict.fromkeys(("minProperties", "maxProperties"), sizes),
    }
    return st.fixed_dictionaries({}, optional=keywords)


some_keywords = st.recursive(st.booleans(), schemas, max_leaves=3)


@given(some_keywords, st.lists(values, min_size=1, max_size=8))
@settings(max_examples=300, deadline=None)
def test_a_schema_allows_what_it_allows_to_jsonschema(rule, found):
    validator = oracle("jsonschema").Draft202012Validator(rule)
    check_schema(rule)
    assert [conforms(v, rule) for v in found] == [validator.is_valid(v) for v in found]


# Energy, by EcoLogits


def test_the_estimate_of_ecologits_grows_with_the_tokens():
    oracle("ecologits")
    energy = Energy(Energy.Options(ecologits={"gpt-4o-mini-2024-07-18": "openai/gpt-4o-mini"}))

    def of(tokens):
        answer = Completion(
            text="a",
            model="gpt-4o-mini-2024-07-18",
            tokens_in=9,
            tokens_out=tokens,
            latency_ms=9000.0,
        )
        return energy.details([(Task(id="t", input="q"), [answer], 1.0)])

    few, many = of(50), of(500)
    assert 0 < few["energy_wh_low"] <= few["energy_wh"] <= few["energy_wh_high"] < 1
    assert 5 * few["energy_wh"] < many["energy_wh"] < 15 * few["energy_wh"]
    assert 0 < few["co2e_g"] < 1
    with pytest.raises(ValueError, match="Could not find model"):
        Energy.Options(ecologits={"x": "openai/no-such-model"})
    with pytest.raises(ValueError, match="zone"):
        Energy.Options(ecologits={"x": "openai/gpt-4o-mini"}, zone="NOWHERE")
