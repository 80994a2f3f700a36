"""Two runs side by side, whichever they are."""

from __future__ import annotations

from . import difference
from .answers import answers
from .markup import Markup, facts, link, note, number, section, table
from .reading import AXES, Run


def beside(one: Run, other: Run) -> list[Markup]:
    """Return how two runs differ: configurations, axes, answers."""
    pair, names = (one, other), (one.id[-8:], other.id[-8:])
    links = [(name, link(run.id, "run", run.id)) for name, run in zip(names, pair, strict=True)]
    problems = (
        note(run.problem, kind="bad" if run.invalid else "warn") for run in pair if run.problem
    )
    head = ("axis", *names)
    axes = [(f"{a} {AXES[a]}", number(one.axes[a]), number(other.axes[a])) for a in AXES]
    return [
        section("Which", facts(links)),
        *problems,
        section("Configurations", difference.configurations(one.config, other.config, names)),
        section("The four axes", table("More is better, except for the cost C", head, axes)),
        *answers(one, other, names),
    ]
