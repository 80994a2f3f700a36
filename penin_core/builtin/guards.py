"""The built-in guards: Σ-Guard and IR→IC. Both fail closed."""

from __future__ import annotations

from typing import Any

from penin_core import Guard, GuardEvidence, GuardResult, hookimpl, sigma_guard
from penin_core.omega.guards import PROFILES, contraction_bounds, ir_to_ic_contractive

penin_api = 1

#: IR→IC looks at so many cycles of the champion, the candidate's risk included.
WINDOW = 10
RISK_FLOOR = 0.05
RISK_MARGIN = 0.05
CONFIDENCE = 0.95


class Sigma(Guard):
    """Σ-Guard: calibration, bias ratio, fairness, consent and estimated emissions, all of them."""

    name = "sigma"

    def check(self, evidence: GuardEvidence) -> GuardResult:
        """Pass only if every gate holds; what the suite declares not applicable is neutral.

        In profile ``strict`` the attestation gates the worse bound of each interval.
        """
        seen = evidence.ethics
        values = {"ece": seen.ece, "rho_bias": seen.rho_bias, "fairness": seen.fairness}
        values |= seen.details.get("gated", {})
        ok, details = sigma_guard(
            values["ece"],
            values["rho_bias"],
            values["fairness"],
            seen.consent,
            seen.eco_kg is not None and seen.eco_kg < seen.eco_max_kg,
            PROFILES[evidence.profile],
        )
        # The attestation knows more than the values: what could not be measured, and why.
        for name, gate in seen.details.get("gates", {}).items():
            details[name]["reason"] = gate["reason"]
        failing = [f"{name} ({gate['reason']})" for name, gate in details.items() if not gate["ok"]]
        return GuardResult(
            guard=self.name,
            ok=ok,
            reason="; ".join(failing) or "every gate holds",
            details={**details, "not_applicable": seen.not_applicable},
        )


class Contractive(Guard):
    """IR→IC: the risk of the cycles must not grow (standard), or must shrink (strict)."""

    name = "contractive"

    def check(self, evidence: GuardEvidence) -> GuardResult:
        """Judge the series of measured risks that ends in the candidate's."""
        risk, before = evidence.candidate.risk, evidence.champion.risk
        if risk is None or before is None:
            whose = "candidate" if risk is None else "champion"
            reason = f"the {whose}'s risk was not measured"
            return GuardResult(guard=self.name, ok=False, reason=reason)
        series = [*evidence.risk_history, risk][-WINDOW:]
        details: dict[str, Any] = {"risk": risk, "champion_risk": before, "series": series}
        if risk > before + RISK_MARGIN + 1e-12:
            reason = f"risk {risk:.3f} exceeds the champion's {before:.3f} by over {RISK_MARGIN}"
            return GuardResult(guard=self.name, ok=False, reason=reason, details=details)
        if len(series) < 3:
            reason = f"{len(series)} risks known, 3 needed: allowed while the series begins"
            return GuardResult(
                guard=self.name, ok=True, reason=reason, details=details, measured=False
            )
        rho, lower, upper = contraction_bounds(series, RISK_FLOOR, CONFIDENCE)
        details |= {"rho": rho, "lower": lower, "upper": upper}
        if evidence.profile == "strict":
            ok, _ = ir_to_ic_contractive(series, 1.0, RISK_FLOOR, CONFIDENCE)
            reason = "the risk contracts" if ok else "the risk is not shown to contract"
        else:
            ok = (lower is not None and lower <= 1.0) or max(series) <= RISK_FLOOR
            reason = "the risk does not grow" if ok else f"the risk grows: rho is {rho:.3f}"
        return GuardResult(guard=self.name, ok=ok, reason=reason, details=details)


@hookimpl
def penin_register_guards() -> list[type[Guard]]:
    """Return the built-in guards."""
    return [Sigma, Contractive]
