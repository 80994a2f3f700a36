"""The screen at the end of a cycle: what happened, why, and what it is worth."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import TYPE_CHECKING

from . import wording
from .wording import line, lines

if TYPE_CHECKING:
    from penin_core.project import Project
    from penin_core.records import CycleReport, RunSummary

OUTCOMES = {
    "promote": "PROMOTED",
    "canary": "NOT PROMOTED, parked",
    "rollback": "NOT PROMOTED, the champion stays",
    "fail": "NOT PROMOTED, the champion stays",
}


def graders(project: Project) -> Sequence[str]:
    """Return the names of the metrics that decide whether answers to confirm tasks are good."""
    from penin_core.grading import metric_of, metrics_of, prepare

    metrics, tasks = metrics_of(project.evaluators()), project.suite.split("confirm")
    prepare(project.suite, metrics)
    return sorted(
        {metric.name if (metric := metric_of(task, metrics)) else "score" for task in tasks}
    )


def report_in_words(report: CycleReport, metrics: Sequence[str], fresh: int | None = None) -> str:
    """Return one screen about a cycle; nothing in it can drive a terminal.

    ``metrics`` are those that grade the tasks of a proof; ``fresh`` is how many confirm tasks are
    left for the next one, None where nobody needs to know.
    """
    before = report.runs[0] if report.runs else None
    best = next((run for run in report.runs if run.run_id == report.best_challenger), None)
    shown = [f"{_outcome(report)}: {wording.reason(report.reason)}", ""]
    if before is not None and best is not None:
        shown += _who(report, before, best)
        shown += _how_well(report, before, best, metrics)
    shown += lines("guards", wording.guards(g.model_dump() for g in report.guards))
    shown += lines(
        "failed",
        (
            wording.clipped(f"{f.component} ({f.plugin}): {f.error}; {f.consequence}")
            for f in report.failures
        ),
    )
    shown += [line("cycle", _effort(report)), *_next(report, best, fresh)]
    return "\n".join(shown)


def _moved(report: CycleReport) -> bool:
    return report.verdict == "promote" and not report.dry_run


def _outcome(report: CycleReport) -> str:
    if report.dry_run:
        would = "WOULD" if report.verdict == "promote" else "WOULD NOT"
        return f"{would} BE PROMOTED (dry run, no champion was made or moved)"
    return OUTCOMES[report.verdict]


def _who(report: CycleReport, before: RunSummary, best: RunSummary) -> list[str]:
    """Return the champion, the best challenger, and what distinguishes their configurations."""
    moved = _moved(report)
    name = wording.model_name(before.candidate.config)
    shown = [
        line("before" if moved else "champion", f"{name}, measured as run {before.run_id}"),
        line(
            "now" if moved else "challenger",
            f"{wording.model_name(best.candidate.config)}, run {best.run_id}, "
            f"by {wording.clipped(best.candidate.origin, 40)}",
        ),
    ]
    changed = wording.difference(before.candidate.config, best.candidate.config)
    dropped = wording.not_applied(best.measurement.not_applied)
    return [*shown, *lines("", changed), *lines("not applied", dropped), ""]


def _how_well(
    report: CycleReport, before: RunSummary, best: RunSummary, metrics: Sequence[str]
) -> list[str]:
    """Return the axes of both, and the evidence, as far as the cycle came."""
    old, new = wording.axes(before.measurement), wording.axes(best.measurement)
    if new["U"] is None:
        return []
    tasks = wording.amount(best.measurement.n_tasks, "task")
    if report.confirmation is None:
        table = wording.axis_table([("champion", old), ("challenger", new)])
        return [*table, line("", f"(race only: {tasks}, no proof)"), ""]
    found = report.confirmation.model_dump()
    decision = best.decision
    names = ("before", "now") if _moved(report) else ("champion", "challenger")
    shown = wording.axis_table(list(zip(names, (old, new), strict=True)))
    shown += lines("gain", wording.gain(found, metrics))
    shown += [line("", wording.evidence(found))]
    shown += [
        line(
            "score",
            f"{wording.number(decision.score)}, threshold {wording.number(decision.tau)}; "
            f"change of L∞ {wording.number(decision.delta_linf, sign=True)}",
        )
    ]
    return shown


def _effort(report: CycleReport) -> str:
    counts = Counter(run.decision.verdict for run in report.runs[1:])
    verdicts = ", ".join(f"{count} {verdict}" for verdict, count in counts.items())
    return (
        f"{wording.amount(len(report.runs[1:]), 'challenger')} ({verdicts or 'none'}), "
        f"{wording.amount(report.calls, 'call')}, {wording.usd(report.spend_usd)}, "
        f"{wording.duration(report.elapsed_s)}"
    )


def _too_dear(reason: str) -> bool:
    """Return whether the margin of the cost decided, in the race or after it."""
    return reason.startswith(("raced_out: cost ", "axis C is worse "))


def _next(report: CycleReport, best: RunSummary | None, fresh: int | None) -> list[str]:
    """Return what can be done now."""
    from penin_core.suites import MIN_CONFIRM

    if best is None:
        return [line("next", "penin status")]
    commands = [f"penin why {best.run_id}"]
    if report.reason.startswith("budget_exhausted"):
        commands.append("penin evolve --resume, with more time or money: pays no answer twice")
    elif best.decision.verdict == "rollback" and _too_dear(best.decision.reason):
        commands.append("[evolve.margins] C in penin.toml says how much more an answer may cost")
    if _moved(report):
        commands.append("penin rollback")
    if fresh is not None and fresh < MIN_CONFIRM:
        commands.append(
            f"add confirm tasks: {fresh} fresh ones are left, a promotion needs {MIN_CONFIRM}"
        )
    if report.dry_run:
        commands.append("penin evolve without --dry-run, which proposes and proves anew")
    return lines("next", commands)
