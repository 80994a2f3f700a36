"""What users say about answers, as a number."""

from __future__ import annotations

from collections.abc import Mapping

#: Labels and the scores that they stand for; case and what stands around words do not count.
LABELS: Mapping[str, float] = {
    **dict.fromkeys(("good", "up", "thumbs_up", "positive", "yes", "accepted", "helpful"), 1.0),
    **dict.fromkeys(("bad", "down", "thumbs_down", "negative", "no", "rejected"), 0.0),
    "unhelpful": 0.0,
    "neutral": 0.5,
}


def score_of(score: float | None, label: str | None) -> float:
    """Return a feedback as a number in [0, 1]: the score as it is, or what the label stands for.

    Raises:
        ValueError: both are given or neither, the score is no number in [0, 1], or the label is
            not known.
    """
    if (score is None) is (label is None):
        raise ValueError("feedback takes a score or a label, one of the two")
    if label is not None:
        name = str(label).strip().lower().replace("-", "_").replace(" ", "_")
        if name not in LABELS:
            raise ValueError(f"label {label!r} is not known; known are {', '.join(sorted(LABELS))}")
        return LABELS[name]
    if isinstance(score, bool) or not isinstance(score, int | float) or not 0.0 <= score <= 1.0:
        raise ValueError(f"score = {score!r} must be a number in [0, 1]")
    return float(score)
