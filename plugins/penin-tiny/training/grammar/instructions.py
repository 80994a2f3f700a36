"""Instructions: clear ones, ones that leave the form of the answer open, and vague ones.

Where an instruction leaves the form open, the form is drawn, so that a model can do no better than
to know how likely each is.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from random import Random

from .chance import expand, happens, sentence_case, weighted
from .note_words import DESCRIBED
from .tasks import LABELS, NEWS_KEYS, Ask
from .values import chatter, filler
from .wording import CHATTY, ESSENTIAL, NOUNS, STRICT, SYSTEM, VAGUE
from .wording_rules import RULES

LEVELS = ("clear", "partial", "vague")
OBJECT_TASKS = frozenset({"json", "booking", "record"})

COUNTED = ("no", "one", "two", "three", "four", "five", "six")

#: How likely each form is where nothing is said about it; the first is the canonical one.
_OPEN_FORMS = {
    "json": {"json": 0.52, "line": 0.24, "renamed": 0.12, "single": 0.12},
    "booking": {"json": 0.52, "line": 0.24, "renamed": 0.12, "values": 0.12},
    "record": {"json": 0.52, "line": 0.24, "renamed": 0.12, "single": 0.12},
    "extract": {"plain": 0.52, "sentence": 0.28, "json": 0.1, "labelled": 0.1},
    "headline": {"plain": 0.55, "key_sentence": 0.27, "first_sentence": 0.09, "json": 0.09},
    "sentiment": {"plain": 0.6, "sentence": 0.2, "capital": 0.12, "json": 0.08},
    "intent": {"plain": 0.6, "sentence": 0.2, "capital": 0.12, "json": 0.08},
}


def canonical(task: str) -> str:
    """Return the form that a clear instruction for the task asks for."""
    return next(iter(_OPEN_FORMS[task]))


def instruct(rng: Random, ask: Ask, level: str) -> tuple[str, str]:
    """Write an instruction of the level and say in which form it wants its answers."""
    if level == "vague":
        return _vague(rng, ask)
    parts, form = (_partial if level == "partial" else _clear)(rng, ask)
    core = " ".join(sentence_case(re.sub(r"\s+", " ", part).strip()) for part in parts)
    core = re.sub(r"\s+([.,:?])", r"\1", core)
    core = _disturbed(rng, core, ask)
    sentences = [core]
    if happens(rng, 0.2):
        sentences.insert(0, rng.choice(SYSTEM))
    if level == "clear" and form == canonical(ask.task) and happens(rng, 0.25):
        sentences.append(rng.choice(STRICT))
    if happens(rng, 0.1):
        noise = f"{sentence_case(chatter(rng, rng.choice([2, 4, 6])))}."
        sentences.insert(rng.choice([0, len(sentences)]), noise)
    text = " ".join(sentences)
    return text.lower().replace("json", "JSON") if happens(rng, 0.15) else text, form


def _vague(rng: Random, ask: Ask) -> tuple[str, str]:
    text = rng.choice(VAGUE) if happens(rng, 0.94) else f"{sentence_case(chatter(rng, 3))}."
    forms, tail = dict(_OPEN_FORMS[ask.task]), ""
    u = rng.random()
    if u < 0.15:
        tail, forms = rng.choice(STRICT), forms | {canonical(ask.task): 2.0}
    elif u < 0.25:
        wordy = {"extract": "sentence", "headline": "key_sentence"}.get(ask.task, "sentence")
        wordy = "line" if ask.task in OBJECT_TASKS else wordy
        tail, forms = rng.choice(CHATTY), forms | {wordy: 8.0}
    if happens(rng, 0.15):
        text = f"{rng.choice(SYSTEM)} {text}"
    return " ".join(part for part in (text, tail) if part), weighted(rng, forms)


def _partial(rng: Random, ask: Ask) -> tuple[list[str], str]:
    """Name the task but not the form, or the form but not the fields."""
    forms = _OPEN_FORMS[ask.task]
    if ask.task in OBJECT_TASKS:
        if happens(rng, 0.5):
            part = _drawn(rng, "details_json", ask)
            return [part], weighted(rng, {**forms, "line": 0.0, "values": 0.0, "json": 0.6})
        return [_drawn(rng, "details", ask)], weighted(rng, {**forms, "line": 0.6, "json": 0.3})
    rule = {"headline": "short", "extract": "find_it" if ask.question else "answer_it"}
    form = weighted(rng, {name: weight for name, weight in forms.items() if name != "json"})
    return [_drawn(rng, rule.get(ask.task, "classify"), ask)], form


def _clear(rng: Random, ask: Ask) -> tuple[list[str], str]:
    if ask.task in OBJECT_TASKS:
        parts = [_drawn(rng, "objects", ask)]
        if ask.task == "booking" and happens(rng, 0.65):
            parts.append(rng.choice(RULES["present"]))
        return parts, "json"
    if ask.task == "headline":
        return _clear_headline(rng, ask)
    if ask.task == "extract":
        return _clear_question(rng, ask)
    among = "classify_among" if happens(rng, 0.7) else "classify"
    endings = {"one_word": 0.7, "sentence": 0.11, "use_json": 0.13, "capitalised": 0.06}
    ending = weighted(rng, endings)
    forms = {"one_word": "plain", "use_json": "json", "capitalised": "capital"}
    return _closed(rng, ask, among, ending), forms.get(ending, ending)


def _clear_question(rng: Random, ask: Ask) -> tuple[list[str], str]:
    endings = {"value": 0.7, "sentence": 0.11, "use_json": 0.11, "label_value": 0.08}
    ending = weighted(rng, endings)
    forms = {"value": "plain", "use_json": "json", "label_value": "labelled"}
    rule = "find_it" if ask.question else "answer_it"
    return _closed(rng, ask, rule, ending), forms.get(ending, ending)


def _clear_headline(rng: Random, ask: Ask) -> tuple[list[str], str]:
    rules = {"headline": 0.64, "key_sentence": 0.14, "first_sentence": 0.08, "objects": 0.14}
    rule = weighted(rng, rules)
    form = {"headline": "plain", "objects": "json"}.get(rule, rule)
    return [_drawn(rng, rule, ask)], form


def _closed(rng: Random, ask: Ask, rule: str, ending: str) -> list[str]:
    """Say the task, and in which form to answer it, mostly in this order."""
    parts = [_drawn(rng, rule, ask), _drawn(rng, ending, ask)]
    return parts if happens(rng, 0.88) else parts[::-1]


def _drawn(rng: Random, rule: str, ask: Ask) -> str:
    noun = rng.choice(NOUNS[ask.group or ask.task])
    labels = list(LABELS.get(ask.task, ()))
    if happens(rng, 0.5):
        rng.shuffle(labels)
    values = {
        "noun": noun,
        "keys": _listed(rng, _names(rng, ask)),
        "count": COUNTED[len(ask.keys or NEWS_KEYS)],
        "labels": _alternatives(rng, labels) if labels else "",
        "what": rng.choice([ask.task, ask.task, ask.task, f"{ask.task} label"]),
        "q": ask.question,
    }
    return expand(rng, rng.choice(RULES[rule]), RULES, values)


def _names(rng: Random, ask: Ask) -> list[str]:
    """Return what the instruction calls the keys."""
    keys = list(ask.keys or NEWS_KEYS)
    if ask.task == "json" and happens(rng, 0.28):
        share = rng.choice([0.4, 1.0])
        return [rng.choice(DESCRIBED[key]) if happens(rng, share) else key for key in keys]
    if happens(rng, 0.08):
        return [rng.choice([f"the {key}", f"its {key}"]) for key in keys]
    quote = rng.choice(['"', "'", "`"]) if happens(rng, 0.06) else ""
    return [f"{quote}{key}{quote}" for key in keys]


def _listed(rng: Random, names: Sequence[str]) -> str:
    """Return ``a, b and c`` in one of its shapes."""
    article = "the " if happens(rng, 0.15) and not names[0].startswith(("the ", "their ")) else ""
    if len(names) == 1:
        return article + names[0]
    last = rng.choice([" and ", " and ", " and ", ", ", ", ", ", and ", " as well as "])
    if happens(rng, 0.06):
        separator = rng.choice([" and ", "; ", " / ", " + "])
        return article + separator.join(names)
    return article + ", ".join(names[:-1]) + last + names[-1]


def _alternatives(rng: Random, labels: Sequence[str]) -> str:
    last = rng.choice([" or ", " or ", " or ", ", ", ", or ", " and ", " / "])
    separator = " / " if last == " / " else ", "
    return separator.join(labels[:-1]) + last + labels[-1]


def _disturbed(rng: Random, text: str, ask: Ask) -> str:
    """Drop, replace or add words that carry no meaning, so that none of them is relied upon."""
    if not happens(rng, 0.35):
        return text
    rate = rng.choice([0.08, 0.2, 0.4])
    words = []
    for word in text.split(" "):
        if _essential(word, ask) or not happens(rng, rate):
            words.append(word)
        elif happens(rng, 0.6):
            words.append(filler(rng) + word[len(word.rstrip(".,:?;")) :])
        if happens(rng, rate * 0.25):
            words.append(filler(rng))
    return " ".join(words)


def _essential(word: str, ask: Ask) -> bool:
    bare = word.lower().strip(".,:?;'\"`/+{}")
    named = {part for key in ask.keys for part in _spoken_of(key)}
    labels = LABELS.get(ask.task, ())
    question = ask.question.lower().split(" ")
    return (
        not bare.isalpha()
        or bare in named
        or bare in labels
        or bare in question
        or any(bare.startswith(stem) for stem in ESSENTIAL)
    )


def _spoken_of(key: str) -> set[str]:
    described = " ".join(DESCRIBED.get(key, ())).replace("'s", "").lower()
    return {key, *described.split(" ")}
