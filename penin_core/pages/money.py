"""What was spent, beside what may be spent in a day."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from pathlib import Path

from penin_core.engine.budget import Budget

from .charts import Frame, bars, columns, plain
from .markup import Child, Markup, facts, joined, section

#: So many days are drawn, today the last of them.
DAYS = 14


def spend(state: Path, daily_usd: float, today: date | None = None) -> Markup:
    """Return what was spent today and on the days before, beside the limit of a day."""
    money = spent(state, daily_usd)
    used, cap = money["spent_today_usd"] + money["reserved_usd"], daily_usd
    pairs: list[tuple[str, Child]] = [
        ("spent today (UTC)", _usd(money["spent_today_usd"])),
        ("reserved", _usd(money["reserved_usd"])),
        ("limit of the day", f"${cap:,.2f}"),
        ("used", _share(used, cap) if cap else "no paid calls"),
    ]
    drawn = _by_day(state, daily_usd, today or datetime.now(UTC).date())
    return section("Money", facts(pairs), drawn)


def spent(state: Path, daily_usd: float) -> dict[str, float]:
    """Return the US dollars of this UTC day: spent, reserved, and the limit."""
    budget = Budget(state / "budget.db", daily_usd)
    try:
        # What a killed process left on another day takes nothing from this one.
        day = datetime.now(UTC).date().isoformat()
        held = [one for one in budget.open_reservations() if one.day == day]
        return {
            "spent_today_usd": budget.spent_today() / 1e6,
            "reserved_usd": sum(one.bound_micro_usd for one in held) / 1e6,
            "daily_usd": daily_usd,
        }
    finally:
        budget.close()


def _by_day(state: Path, daily_usd: float, today: date) -> Markup | None:
    books = Budget(state / "budget.db", daily_usd)
    try:
        found = {day: micro / 1e6 for day, micro in books.by_day(DAYS).items()}
    finally:
        books.close()
    days = [today - timedelta(days=back) for back in range(DAYS)]
    paid = {-float(back): found[day] for back, day in enumerate(days) if found.get(day)}
    if not paid:
        return None
    most = max(paid.values())
    words = (
        f"{_usd(sum(paid.values()))} on {len(paid)} of the last {DAYS} days, at most {_usd(most)} "
        f"on one; the dashed line is the limit of ${daily_usd:,.2f} a day."
    )
    top = max(most, daily_usd) * 1.06
    frame = Frame((0.5 - DAYS, 0.5), (0.0, top), "days before today", "US dollars", y_words=plain)
    return columns("money", "Money by day", words, frame, list(paid.items()), daily_usd)


def _usd(amount: float) -> str:
    return f"${amount:,.6f}"


def _share(used: float, cap: float) -> Markup:
    words = f"{100 * used / cap:.1f} % of the limit"
    return joined([words, bars([("new", used / cap)], words)])
