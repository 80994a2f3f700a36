"""A veto against configurations that are less robust than the champion."""

from __future__ import annotations

from penin_core import Guard, GuardEvidence, GuardResult, hookimpl

penin_api = 1

#: How much of S a candidate may lose.
LOSS = 0.02


class OldGuard(Guard):
    """Vetoes a candidate that loses more than 0.02 of axis S."""

    name = "old-guard"

    def check(self, evidence: GuardEvidence) -> GuardResult:
        """Compare S of the candidate with the champion's; what is not measured is a veto."""
        before, now = evidence.champion.S, evidence.candidate.S
        if before is None or now is None:
            return GuardResult(guard=self.name, ok=False, reason="S was not measured")
        ok = now >= before - LOSS
        reason = f"S is {now:.3f}, the champion's is {before:.3f}"
        return GuardResult(guard=self.name, ok=ok, reason=reason)


@hookimpl
def penin_register_guards() -> list[type[Guard]]:
    """Return the guard."""
    return [OldGuard]
