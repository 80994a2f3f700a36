"""The texts of the tasks: notes with fields, short news, reviews, messages to a service desk."""

from __future__ import annotations

from random import Random

from . import values
from .chance import between, happens, pick, sample, shuffled
from .clauses import EARLIER_WISHES, FIELD_CLAUSES, FIELD_KEYS, FILLERS, RECOMMENDATIONS, WISHES
from .words import (
    NEWS_ASIDES,
    NEWS_OBJECTS,
    NEWS_TIMES,
    NEWS_VERBS,
    REVIEWED,
    SMALL_TALK,
    VERDICTS,
)


def small_talk(rng: Random, length: int) -> str:
    """That many everyday words without a message."""
    return " ".join(sample(rng, SMALL_TALK, length))


def sentence_case(text: str) -> str:
    """The text with its first letter in upper case and all others as they are."""
    return text[:1].upper() + text[1:]


def note(rng: Random, facts: dict[str, str]) -> str:
    """A note that mentions every fact once, as a list of keys or as prose."""
    if happens(rng, 0.3):
        return keyed_note(rng, facts)
    return prose_note(rng, facts, FIELD_CLAUSES)


def keyed_note(rng: Random, facts: dict[str, str]) -> str:
    """``Name: Anna Smith; Total: $12``, in random order."""
    between_facts, after_key = pick(rng, [" | ", "; ", ", "]), pick(rng, [": ", "="])
    fields = shuffled(rng, facts)
    lead = pick(rng, ["", "", "", "Note: ", "New entry: "])
    entries = (pick(rng, FIELD_KEYS[field]) + after_key + facts[field] for field in fields)
    return lead + between_facts.join(entries)


def prose_note(rng: Random, facts: dict[str, str], clauses: dict[str, list[str]]) -> str:
    """One clause per fact in random order, now and then with words that say nothing."""
    parts = [pick(rng, clauses[field]).format(facts[field]) for field in shuffled(rng, facts)]
    if happens(rng, 0.35):
        aside = pick(rng, FILLERS) if happens(rng, 0.6) else small_talk(rng, between(rng, 2, 4))
        parts.insert(between(rng, 0, len(parts)), aside)
    separator = pick(rng, [", ", ", ", "; ", ". "])
    if separator == ". ":
        parts = [sentence_case(part) for part in parts]
    return sentence_case(separator.join(parts)) + pick(rng, [".", ".", "", "!"])


def news(rng: Random) -> tuple[str, str, dict[str, str]]:
    """A short report, its headline in the present tense, and the facts of the report."""
    company, city = values.company(rng), values.city(rng)
    past, present = pick(rng, NEWS_VERBS)
    count, thing = str(between(rng, *pick(rng, [(2, 99), (100, 9999)]))), pick(rng, NEWS_OBJECTS)
    event = f"{company} {past} {count} {thing}"
    sentence = pick(
        rng,
        [
            f"{pick(rng, NEWS_TIMES)} {event} in {city}.",
            f"{event} in {city}.",
            f"In {city}, {event}.",
        ],
    )
    sentences = sample(rng, NEWS_ASIDES, between(rng, 1, 3))
    if happens(rng, 0.4):
        sentences[0] = sentence_case(small_talk(rng, between(rng, 4, 6))) + "."
    sentences.insert(between(rng, 0, len(sentences)), sentence)
    facts = {"company": company, "count": count, "city": city}
    return " ".join(sentences), f"{company} {present} {count} {thing}", facts


def review(rng: Random, sentiment: str, group: str) -> str:
    """A guest's opinion, with no word of any other sentiment than the one asked for."""
    opinion = pick(rng, [plain_opinion, double_opinion, framed_opinion])
    visit = pick(
        rng,
        [
            f"I stayed in {values.city(rng)}. {values.first_name(rng, group)} took me there.",
            f"We came on {values.date(rng)}. {values.person(rng, group)} took me there.",
            f"{values.person(rng, group)} took me there. I stayed in {values.city(rng)}.",
        ],
    )
    return f"{visit} {opinion(rng, sentiment)}"


def plain_opinion(rng: Random, sentiment: str) -> str:
    """``Our room was very pleasant.``"""
    degree = pick(rng, ["", " very", " really", " quite", " so", " pretty"])
    verb, word = pick(rng, ["was", "was", "is", "felt", "seemed"]), pick(rng, VERDICTS[sentiment])
    return f"{pick(rng, ['The', 'Our', 'My'])} {pick(rng, REVIEWED)} {verb}{degree} {word}."


def double_opinion(rng: Random, sentiment: str) -> str:
    """``The pool was fine and the menu was plain.``"""
    thing, other_thing = sample(rng, REVIEWED, 2)
    word, other_word = sample(rng, VERDICTS[sentiment], 2)
    return f"The {thing} was {word} and the {other_thing} was {other_word}."


def framed_opinion(rng: Random, sentiment: str) -> str:
    """``I would come again, the food was great.`` or ``Normal service, that is all.``"""
    thing, word = pick(rng, REVIEWED), pick(rng, VERDICTS[sentiment])
    if sentiment in RECOMMENDATIONS:
        return f"{pick(rng, RECOMMENDATIONS[sentiment])}, the {thing} was {word}."
    return f"{sentence_case(word)} {thing}, that is all."


def message(rng: Random, wish: str, group: str) -> str:
    """A customer's message that ends on the wish asked for."""
    text = pick(rng, WISHES[wish])
    if happens(rng, 0.15):
        earlier = pick(rng, WISHES[pick(rng, [other for other in WISHES if other != wish])])
        text = pick(rng, EARLIER_WISHES).format(earlier, text)
    elif happens(rng, 0.2):
        text = f"{text}, {small_talk(rng, 4)}"
    number = values.order(rng)
    if happens(rng, 0.5):
        return f"Order {number}: {text}. Regards, {values.person(rng, group)}."
    opening = f"Hi, {values.person(rng, group)} here, "
    return f"{opening}{text}. Order {number}."
