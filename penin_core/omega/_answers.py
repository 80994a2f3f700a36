"""What CAOS⁺ measures on the answers of a configuration: agreement, change, noise and length."""

from __future__ import annotations

import math
import operator
from collections import Counter
from collections.abc import Hashable, Sequence

from penin_core.omega._numbers import clipped, count, mean, non_negative, same_length, unit

#: Class probabilities may miss a sum of 1 by this much, as rounded ones do.
_SUM_TOLERANCE = 1e-6


def pairwise_agreement(answers: Sequence[Sequence[Hashable]]) -> float | None:
    """Return the unbiased probability in [0, 1] that two runs of a task agree, averaged over tasks.

    ``answers`` holds the normalised answers of the repeats, task by task:
    mean over tasks of Σ n_a(n_a - 1) / (r(r - 1)). Tasks with fewer than two repeats say
    nothing; None when no task has two.

    Raises: ValueError for a plain string in the place of a task's answers.
    """
    agreements = []
    for repeats in answers:
        runs = len(_repeats(repeats))
        if runs >= 2:
            same = sum(n * (n - 1) for n in Counter(repeats).values())
            agreements.append(same / (runs * (runs - 1)))
    return mean(agreements) if agreements else None


def verified_share(passed: Sequence[bool]) -> float | None:
    """Return the share in [0, 1] of the responses that passed a verifier; None without any.

    Only the object ``True`` counts as passed.
    """
    return mean(float(flag is True) for flag in passed) if passed else None


def epistemic_uncertainty(
    probabilities: Sequence[Sequence[Sequence[float]]],
) -> float | None:
    """Return in [0, 1] how much the members of an ensemble disagree, averaged over tasks.

    ``probabilities`` holds for every task the class probabilities that each member, or each
    repeat, gives. Mean over the tasks of the mutual information of prediction and member,
    [H(mean p) - mean H(p)] / ln k for k classes: what is left of the uncertainty once that of every
    single member is taken off. A task with one member or one class says nothing; None when all do.
    Source: Houlsby et al. 2011, arXiv 1112.5745; Depeweg et al. 2018, arXiv 1710.07283.

    Raises: ValueError for members of a task that differ in length, probabilities outside [0, 1],
    or ones that do not sum to 1.
    """
    informed = []
    for members in probabilities:
        laws = [_law(member) for member in members]
        if len({len(law) for law in laws}) > 1:
            raise ValueError(f"the members give {sorted({len(law) for law in laws})} classes")
        if len(laws) >= 2 and len(laws[0]) >= 2:
            mixed = [mean(law[k] for law in laws) for k in range(len(laws[0]))]
            information = _entropy(mixed) - mean(_entropy(law) for law in laws)
            informed.append(clipped(information / math.log(len(mixed))))
    return mean(informed) if informed else None


def outcome_shift(before: Sequence[Hashable], after: Sequence[Hashable]) -> float | None:
    """Return the share in [0, 1] of tasks whose outcome class changed; None without tasks.

    Raises: ValueError for lengths that differ.
    """
    same_length(before=before, after=after)
    changed = list(map(operator.ne, before, after))
    return mean(changed) if changed else None


def majority_disagreement(
    answers: Sequence[Sequence[Hashable]], champion: Sequence[Sequence[Hashable]]
) -> float | None:
    """Return the share in [0, 1] of tasks whose majority answer differs from the champion's.

    Both hold the normalised answers of the repeats, task by task. Answers that are equally
    frequent are all majority answers, and one in common is agreement. Tasks that one side did not
    answer say nothing; None when all are such.

    Raises: ValueError for lengths that differ, or a plain string in the place of answers.
    """
    same_length(answers=answers, champion=champion)
    judged = map(_differ, answers, champion)
    differing = [differs for differs in judged if differs is not None]
    return mean(differing) if differing else None


def response_noise(
    texts: Sequence[str | None], well_formed: Sequence[bool] | None = None
) -> float | None:
    """Return the share in [0, 1] of responses that are of no use; None without any.

    None stands for an error; a blank text is empty; ``well_formed`` says which could be parsed and
    keep to the format (only the object ``True`` counts; all, if left out).

    Raises: ValueError for lengths that differ.
    """
    fit = [True] * len(texts) if well_formed is None else well_formed
    same_length(texts=texts, well_formed=fit)
    noise = list(map(_useless, texts, fit))
    return mean(noise) if noise else None


def ngram_redundancy(tokens: Sequence[str], n: int = 4) -> float:
    """Return the share in [0, 1) of a response's n-grams that repeat an earlier one.

    1 - distinct / total; 0 for a response with fewer than n tokens.

    Raises: ValueError unless n is a whole number of at least 1.
    """
    size = count("n", n, least=1)
    grams = [tuple(tokens[i : i + size]) for i in range(len(tokens) - size + 1)]
    return 1 - len(set(grams)) / len(grams) if grams else 0.0


def token_excess(actual: Sequence[float], allowed: Sequence[float]) -> float | None:
    """Return the mean in [0, 1] of max(0, 1 - allowed / actual) output tokens; None without any.

    Raises: ValueError for lengths that differ or negative counts.
    """
    same_length(actual=actual, allowed=allowed)
    over = list(map(_overrun, actual, allowed))
    return mean(over) if over else None


def _repeats(answers: Sequence[Hashable]) -> Sequence[Hashable]:
    if isinstance(answers, str):
        raise ValueError(f"each task needs a sequence of answers, got {answers!r}")
    return answers


def _differ(own: Sequence[Hashable], other: Sequence[Hashable]) -> bool | None:
    ours, theirs = _modes(own), _modes(other)
    return ours.isdisjoint(theirs) if ours and theirs else None


def _modes(answers: Sequence[Hashable]) -> set[Hashable]:
    counts = Counter(_repeats(answers))
    return {answer for answer, n in counts.items() if n == max(counts.values())}


def _useless(text: str | None, fit: bool) -> bool:
    return text is None or not text.strip() or fit is not True


def _overrun(used: float, limit: float) -> float:
    spent, granted = non_negative("actual", used), non_negative("allowed", limit)
    return 1 - granted / spent if granted < spent else 0.0


def _law(member: Sequence[float]) -> list[float]:
    law = [unit("probabilities", p) for p in member]
    if abs(math.fsum(law) - 1) > _SUM_TOLERANCE:
        raise ValueError(f"class probabilities must sum to 1, got {math.fsum(law)!r}")
    return law


def _entropy(law: Sequence[float]) -> float:
    return -math.fsum(p * math.log(p) for p in law if p > 0)
