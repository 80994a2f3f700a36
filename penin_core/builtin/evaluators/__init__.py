"""The built-in evaluators of utility, stability, cost and learning."""

from __future__ import annotations

from penin_core import Evaluator, hookimpl

from .choice import Choice, Numeric
from .cost import Cost, Energy
from .harm import BlockList, PersonalData, Secrets
from .judge import Judge
from .learning import Composition, Reuse
from .stability import Agreement, Calibration, Robustness
from .utility import ExactMatch, FieldF1, RougeL, TokenF1
from .verifiers import JsonSchema, Regex

__all__ = [
    "Agreement",
    "BlockList",
    "Calibration",
    "Choice",
    "Composition",
    "Cost",
    "Energy",
    "ExactMatch",
    "FieldF1",
    "JsonSchema",
    "Judge",
    "Numeric",
    "PersonalData",
    "Regex",
    "Reuse",
    "Robustness",
    "RougeL",
    "Secrets",
    "TokenF1",
]

penin_api = 1


@hookimpl
def penin_register_evaluators() -> list[type[Evaluator]]:
    """Return the built-in evaluators."""
    return [
        ExactMatch,
        TokenF1,
        RougeL,
        FieldF1,
        Choice,
        Numeric,
        Regex,
        JsonSchema,
        Judge,
        Calibration,
        Robustness,
        Agreement,
        Cost,
        Energy,
        Reuse,
        Composition,
        Secrets,
        PersonalData,
        BlockList,
    ]
