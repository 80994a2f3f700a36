"""The hooks of penin: five to register components, three to watch a cycle.

A plugin is a module, named by an entry point of the group ``penin``::

    from penin_core import Provider, hookimpl

    penin_api = 1

    @hookimpl
    def penin_register_providers():
        return [MyProvider]

All hooks collect: every plugin is called, in no order that matters. An implementation may take
fewer arguments than listed here, never more, and gives none of them a default value.

An argument that will go away is declared with ``hookspec(warn_on_impl_args={"name":
DeprecationWarning("...")})``: pluggy then points at the line of every plugin that still takes it,
which pytest shows to authors and Python hides from users.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

import pluggy

if TYPE_CHECKING:
    from .contracts import Evaluator, FineTuner, Guard, Mutator, Provider
    from .records import Candidate, CycleReport, Evaluation

#: Raised by one when hooks, contracts or records change incompatibly.
PLUGIN_API = 1

hookspec = pluggy.HookspecMarker("penin")
hookimpl = pluggy.HookimplMarker("penin")


@hookspec
def penin_register_providers() -> Iterable[type[Provider]]:  # type: ignore[empty-body]
    """Return the provider classes that this plugin brings."""


@hookspec
def penin_register_mutators() -> Iterable[type[Mutator]]:  # type: ignore[empty-body]
    """Return the mutator classes that this plugin brings."""


@hookspec
def penin_register_evaluators() -> Iterable[type[Evaluator]]:  # type: ignore[empty-body]
    """Return the evaluator classes that this plugin brings."""


@hookspec
def penin_register_guards() -> Iterable[type[Guard]]:  # type: ignore[empty-body]
    """Return the guard classes that this plugin brings."""


@hookspec
def penin_register_finetuners() -> Iterable[type[FineTuner]]:  # type: ignore[empty-body]
    """Return the fine-tuner classes that this plugin brings."""


@hookspec
def penin_cycle_started(champion: Candidate, challengers: tuple[Candidate, ...]) -> None:
    """A cycle is about to measure ``challengers`` against ``champion``."""


@hookspec
def penin_candidate_evaluated(evaluation: Evaluation) -> None:
    """One candidate has been measured in one stage of the cycle."""


@hookspec
def penin_cycle_finished(report: CycleReport) -> None:
    """The cycle is decided and recorded; nothing can change it any more."""
