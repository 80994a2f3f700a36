"""Opinions about hotels, shops and things: positive, negative or neutral."""

from __future__ import annotations

from random import Random

from .chance import happens, phrases, sentence_case, weighted
from .documents import Document
from .values import chatter, city, date, first_name

VERDICTS = {
    "positive": phrases(
        """
        great | good | fast | lovely | perfect | excellent | friendly | clean | helpful | superb |
        tasty | solid | amazing | wonderful | brilliant | delightful | smooth | cosy | impressive
        | outstanding | pleasant | quick | reliable | fresh | beautiful | charming | comfortable |
        cheerful | exciting | fantastic | flawless | generous | gorgeous | splendid | warm |
        welcoming | marvellous | stunning | terrific | spotless | kind | nice | happy | top
        """
    ),
    "negative": phrases(
        """
        bad | slow | broken | awful | rude | dirty | poor | late | useless | cold | terrible |
        noisy | horrible | disappointing | annoying | faulty | rotten | boring | painful |
        unfriendly | overpriced | weak | messy | confusing | ugly | unpleasant | unreliable |
        nasty | dull | dreadful | disgusting | filthy | shabby | sloppy | stale | careless |
        tasteless | miserable | chaotic | frustrating | worthless | sad | wrong | smelly
        """
    ),
    "neutral": phrases(
        """
        fine | okay | average | normal | usual | plain | standard | typical | ordinary |
        acceptable | common | moderate | medium | regular | neither good nor bad | passable |
        mediocre | unremarkable | so-so | adequate | basic | fair | middling | nothing special
        """
    ),
}
_THINGS = phrases(
    """
    food | service | room | app | delivery | staff | screen | battery | price | hotel | coffee |
    support | waiter | menu | breakfast | pool | driver | website | package | sound | camera |
    music | view | parking | seat | bar | garden | bed | shower | dessert | bathroom | location |
    host | trip | tour | lamp | keyboard | printer | shop | lunch | dinner | wine | lift | terrace
    | soup
    """
)
#: Words that are read in more than one way, and how often each: the labels are drawn.
_MIXED = {
    "decent": {"positive": 0.55, "negative": 0.05, "neutral": 0.4},
    "cheap": {"positive": 0.5, "negative": 0.25, "neutral": 0.25},
    "simple": {"positive": 0.3, "negative": 0.15, "neutral": 0.55},
    "loud": {"positive": 0.15, "negative": 0.7, "neutral": 0.15},
    "different": {"positive": 0.2, "negative": 0.2, "neutral": 0.6},
    "cool": {"positive": 0.75, "negative": 0.05, "neutral": 0.2},
    "old": {"positive": 0.1, "negative": 0.6, "neutral": 0.3},
    "short": {"positive": 0.15, "negative": 0.5, "neutral": 0.35},
}
LABELS = tuple(VERDICTS)

_DEGREES = ("", "", " very", " really", " quite", " so", " pretty", " rather", " just", " always")
_FRAMES = phrases(
    """
    <word> <thing>, thanks. | What a <word> <thing>! | Such a <word> <thing>, that is all. | We
    had a <word> <thing>. | <word> <thing>. | I found the <thing> <word>. | <word>, this <thing>.
    | The <thing> could be called <word>. | A <word> <thing> indeed. | It is a <word> <thing>. |
    They have a <word> <thing>. | Simply put, the <thing> is <word>. | I got a <word> <thing>. |
    The <thing>: <word>. | Everybody says the <thing> is <word>. | I would call the <thing>
    <word>.
    """
)
_STANCES = {
    "positive": phrases(
        """
        would come again | recommend it | enjoyed it | loved it | will be back | am very happy |
        would buy it again | had a lovely time | can only praise it
        """
    ),
    "negative": phrases(
        """
        want my money back | will not return | regret it | hated it | was let down | left early |
        would never buy it again | am angry | had to complain
        """
    ),
    "neutral": phrases(
        """
        have no strong opinion | do not mind it | expected that much | can live with it | saw
        nothing special
        """
    ),
}


def review(rng: Random) -> Document:
    """Write an opinion of one or two sentences and say how it is meant."""
    label = rng.choice(LABELS)
    kinds = {_plain: 0.27, _framed: 0.16, _double: 0.12, _contrast: 0.14, _denied: 0.12}
    if happens(rng, 0.09):
        text, label = _ambiguous(rng)
    else:
        text = weighted(rng, {**kinds, _majority: 0.1})(rng, label)
    if happens(rng, 0.1):
        text = f"{sentence_case(chatter(rng, 4))}, {text[0].lower()}{text[1:]}"
    if happens(rng, 0.45):
        text = f"{_visit(rng)} {text}" if happens(rng, 0.75) else f"{text} {_visit(rng)}"
    return Document(text, {"sentiment": label}, label, "sentiment")


def _word(rng: Random, label: str) -> str:
    return rng.choice(VERDICTS[label])


def _visit(rng: Random) -> str:
    visits = [f"I stayed in {city(rng)}.", f"We came on {date(rng)}.", "It was my first time."]
    guide, small_talk = f"{first_name(rng)} took me there.", chatter(rng, 5)
    return rng.choice([*visits, guide, f"{sentence_case(small_talk)}."])


def _plain(rng: Random, label: str) -> str:
    subject = f"{rng.choice(['The', 'Our', 'My', 'This', 'Their'])} {rng.choice(_THINGS)}"
    verb = rng.choice(["was", "was", "is", "felt", "seemed", "looked"])
    return f"{subject} {verb}{rng.choice(_DEGREES)} {_word(rng, label)}."


def _framed(rng: Random, label: str) -> str:
    frame = rng.choice(_FRAMES).replace("<thing>", rng.choice(_THINGS))
    return sentence_case(frame.replace("<word>", _word(rng, label)))


def _double(rng: Random, label: str) -> str:
    first, second = rng.sample(_THINGS, 2)
    degree = rng.choice(_DEGREES)
    return f"The {first} was {_word(rng, label)} and the {second} was{degree} {_word(rng, label)}."


def _contrast(rng: Random, label: str) -> str:
    """What comes last counts."""
    first, second = rng.sample(_THINGS, 2)
    opening = rng.choice(["The", "The", "Although the", "While the", "Even though the"])
    link = rng.choice([" but ", " yet ", ", however ", ", but "]) if opening == "The" else ", "
    other = rng.choice([other for other in LABELS if other != label])
    before = f"{opening} {first} was{rng.choice(_DEGREES)} {_word(rng, other)}"
    return f"{before}{link}the {second} was {_word(rng, label)}."


def _denied(rng: Random, label: str) -> str:
    thing = rng.choice(_THINGS)
    if happens(rng, 0.5):
        return f"I {rng.choice(_STANCES[label])}, the {thing} was {_word(rng, label)}."
    if label == "neutral":
        words = f"{_word(rng, 'positive')} and not {_word(rng, 'negative')}"
        return f"The {thing} was not {words}."
    other = "negative" if label == "positive" else "positive"
    return f"The {thing} was not {_word(rng, other)}, it was {_word(rng, label)}."


def _majority(rng: Random, label: str) -> str:
    labels = [label, label, rng.choice(LABELS)]
    rng.shuffle(labels)
    things = rng.sample(_THINGS, 3)
    parts = [f"{_word(rng, lbl)} {thing}" for lbl, thing in zip(labels, things, strict=True)]
    return f"{sentence_case(', '.join(parts))}."


def _ambiguous(rng: Random) -> tuple[str, str]:
    """Return an opinion that people read in different ways, and a drawn label."""
    first, second = rng.sample(_THINGS, 2)
    if happens(rng, 0.5):
        word = rng.choice(list(_MIXED))
        return f"The {first} was{rng.choice(_DEGREES)} {word}.", weighted(rng, _MIXED[word])
    before, after = rng.choice([("positive", "negative"), ("negative", "positive")])
    text = f"The {first} was {_word(rng, before)} and the {second} was {_word(rng, after)}."
    return text, weighted(rng, {after: 0.6, before: 0.22, "neutral": 0.18})
