"""Short reports and their headlines in the present tense."""

from __future__ import annotations

from random import Random

from .chance import happens, phrases, sentence_case
from .documents import Document
from .values import chatter, city, company, filler

_IRREGULAR = phrases(
    """
    bought buys | sold sells | cut cuts | built builds | won wins | lost loses | found finds |
    shut shuts | lent lends | made makes | sent sends | got gets | gave gives | chose chooses |
    drew draws | put puts | kept keeps | left leaves
    """
)
_REGULAR = phrases(
    """
    open | launch | recall | hire | move | close | plan | test | rent | fix | show | ship |
    replace | order | paint | repair | offer | need | want | add | check | clean | count | deliver
    | design | destroy | develop | export | finish | gather | import | inspect | install | present
    | pack | print | produce | promise | protect | reject | release | remove | return | save |
    store | start | stop | supply | train | transport | upgrade | use | visit | count | collect |
    donate | discover
    """
)
_THINGS = phrases(
    """
    shops | jobs | cars | phones | plants | boats | trains | homes | games | books | banks | farms
    | hotels | schools | trucks | offices | robots | drones | lamps | tools | bikes | parks |
    ships | towers | tractors | beds | trees | pumps | bridges | chairs | windows | engines |
    tickets
    """
)
_TIMES = phrases(
    """
    Yesterday | On Monday | Last week | Today | This morning | In May | On Friday | Last month |
    This year | In autumn | Last night | At noon | Two days ago | In the morning | Last year
    """
)
_ASIDES = phrases(
    """
    The weather was calm. | Many people were there. | No one was hurt. | Experts were not sure. |
    Prices stayed flat. | The mayor gave a talk. | More news will follow. | It rained all day. |
    Some were surprised. | The market was quiet. | Nobody wanted to comment. | The plan is old. |
    A report was published. | It was a long day. | The streets were full. | The boss was happy. |
    Neighbours had waited for it. | The costs are not known.
    """
)


def report(rng: Random) -> Document:
    """Write a report of two to four sentences, one of which says what happened."""
    name, town, (past, present) = company(rng), city(rng), _verb(rng)
    count = str(rng.choice([rng.randint(2, 99), rng.randint(100, 9999)]))
    things = rng.choice(_THINGS) if happens(rng, 0.92) else f"{filler(rng)}s"
    event = f"{name} {past} {count} {things}"
    when = rng.choice(_TIMES)
    key = rng.choice(
        [
            f"{when} {event} in {town}.",
            f"{event} in {town}.",
            f"In {town}, {event}.",
            f"{when}, {event} in {town}.",
            f"{event} in {town} {when[0].lower()}{when[1:]}.",
            f"In {town} {event}.",
        ]
    )
    sentences = [
        aside if happens(rng, 0.6) else f"{sentence_case(chatter(rng, rng.choice([4, 5, 6])))}."
        for aside in rng.sample(_ASIDES, rng.choice([1, 2, 2, 3]))
    ]
    sentences.insert(rng.randint(0, len(sentences)), key)
    facts = {"company": name, "count": count, "city": town}
    headline = f"{name} {present} {count} {things}"
    return Document(" ".join(sentences), facts, headline, "headline", key)


def _verb(rng: Random) -> tuple[str, str]:
    """Return past and present of a verb; the forms of regular ones are derived."""
    if happens(rng, 0.35):
        past, present = rng.choice(_IRREGULAR).split()
        return past, present
    verb = rng.choice(_REGULAR)
    past = f"{verb}d" if verb.endswith("e") else f"{verb}ed"
    if verb in ("plan", "ship", "stop"):
        past = f"{verb}{verb[-1]}ed"
    elif verb == "supply":
        return "supplied", "supplies"
    return past, f"{verb}es" if verb.endswith(("sh", "ch", "x")) else f"{verb}s"
