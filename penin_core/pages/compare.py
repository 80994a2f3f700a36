"""Two runs side by side, whichever they are."""

from __future__ import annotations

from . import difference
from .answers import answers
from .charts import legend
from .markup import Markup, facts, link, note, section, table
from .reading import Run
from .run import axis_rows


def beside(one: Run, other: Run) -> list[Markup]:
    """Return how two runs differ: configurations, axes, answers."""
    pair, names = (one, other), (one.id[-8:], other.id[-8:])
    links = [(name, link(run.id, "run", run.id)) for name, run in zip(names, pair, strict=True)]
    problems = (
        note(run.problem, kind="bad" if run.invalid else "warn") for run in pair if run.problem
    )
    head = ("axis", *names, "change", "from 0 to 1")
    axes = axis_rows(one.axes, other.axes, names)
    told = table("More is better, except for the cost C", head, axes, stack=True)
    return [
        section("Which", facts(links)),
        *problems,
        section("Configurations", difference.configurations(one.config, other.config, names)),
        section("The four axes", told, legend({"old": names[0], "new": names[1]})),
        *answers(one, other, names),
    ]
