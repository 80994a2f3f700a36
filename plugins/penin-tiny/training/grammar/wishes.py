"""Messages to a service desk and what their writers want."""

from __future__ import annotations

from random import Random

from .chance import happens, phrases, sentence_case
from .documents import Document
from .values import chatter, filler, first_name, order, person

_WISHES = {
    "refund": phrases(
        """
        I want my money back | please return the payment | I was charged twice | give me a refund
        | I need my payment back | the charge is wrong | you took too much money | I returned it,
        where is my money | please pay back the amount | I want to be paid back | wrong amount on
        my card | credit the money to my account | I paid twice for it | I would like a refund |
        refund me please | send my money back | you charged my card two times | the bill is too
        high | I was billed for nothing | when do I get my money | I never ordered this, pay me
        back | the payment was taken twice | I demand a refund | the invoice is wrong | give back
        what I paid | there is a charge that I do not know | reimburse me please | my card was
        charged by mistake | how do I get a refund | it was paid two times | money back please
        """
    ),
    "delivery": phrases(
        """
        where is my parcel | the package has not arrived | when will it ship | the box is late |
        my order is not here yet | how long does the shipping take | the courier did not come |
        track my package | when do you deliver | the parcel is lost | it was sent to a wrong
        address | still waiting for my box | has it been shipped | my parcel did not come | the
        delivery is late | nothing has arrived | when does my parcel arrive | where is my order |
        the shipment is missing | the driver left the box at the wrong door | tracking shows
        nothing | how many days until it comes | the package is gone | I am waiting for my
        delivery | has my order been sent | the box never came | the post says it was delivered
        but it was not | when will I receive it | is it on the way | can you send it faster | the
        courier lost my package
        """
    ),
    "login": phrases(
        """
        I cannot sign in | my password fails | the account is locked | reset my password | the
        code does not work | I forgot my password | cannot get into my account | the sign in page
        is broken | it says wrong password | I am locked out | my user name is not accepted | how
        do I change the password | the link to log in expired | the password is not accepted | I
        can not log in | log in does not work | my account is blocked | the login page shows an
        error | I need a new password | unlock my account please | the app does not let me in | no
        code comes to my phone | the user name is unknown | it does not accept my password | I
        have no access to my account | my login is gone | the sign in fails | help me to log in |
        access denied all the time | I lost my password | resetting the password fails
        """
    ),
    "cancel": phrases(
        """
        stop my plan | I want to end the contract | please cancel it | close my subscription | I
        do not want the plan any more | how do I quit | please delete my account | take me off the
        list | I want to stop paying | end my trial | no longer need the service | undo my order |
        remove my subscription | I would like to cancel | cancel my plan | end my membership | I
        want to quit | stop the subscription | please close my account | terminate my contract | I
        want out of the contract | do not renew my plan | how can I cancel | stop sending it |
        unsubscribe me | I wish to end the service | my subscription should end | cancel the order
        please | I no longer want it | remove my account | no more renewals please
        """
    ),
    "praise": phrases(
        """
        you did a great job | thanks for the quick help | I love the new version | best support
        ever | everything works fine, well done | I am very happy with you | what a great team |
        your support is lovely | keep up the good work | five stars from me | I will tell my
        friends | thank you so much, perfect | the update is wonderful | great service | thank you
        for everything | I love it | very good work | you are the best | it all went well | what a
        nice surprise | I am so pleased | excellent help from your team | this is the best app |
        wonderful people work here | super friendly staff | I really like it | you made my day |
        top quality, thank you | I will recommend you | nothing to complain, it is perfect | a big
        thank you to the team
        """
    ),
}
#: Wishes that belong to two labels; the first is meant twice as often as the second.
_BETWEEN = (
    ("refund", "cancel", "I was charged after I ended the contract"),
    ("delivery", "refund", "the parcel is lost and I paid for it"),
    ("cancel", "login", "I cannot sign in to close my account"),
    ("cancel", "delivery", "it is too late now, do not ship it"),
    ("praise", "delivery", "thanks, it arrived but when comes the rest"),
    ("login", "praise", "great app when the password works"),
    ("refund", "login", "I paid but the account is still locked"),
    ("refund", "delivery", "half of the box was missing"),
)
LABELS = tuple(_WISHES)

_EARLIER = ("before", "earlier", "last week", "first", "yesterday", "last month", "in May")
_SAID = (" I asked: ", " I wrote: ", " I said: ", ", I asked: ", " I told you: ")
_NOW = (", but now ", " - now ", " and today ", ", now ", ", and now ", "; today ")


def message(rng: Random) -> Document:
    """Write a message and say which wish it holds."""
    label = rng.choice(LABELS)
    text, u = rng.choice(_WISHES[label]), rng.random()
    if u < 0.2:
        earlier = f"{rng.choice(_EARLIER)}{rng.choice(_SAID)}{_other_wish(rng, label)[0]}"
        text = f"{earlier}{rng.choice(_NOW)}{text}"
    elif u < 0.25:
        label, second, text = rng.choice(_BETWEEN)
        label = label if happens(rng, 0.65) else second
    elif u < 0.3:  # Two wishes, of which the first counts more often.
        other, other_label = _other_wish(rng, label)
        text = f"{text}{rng.choice([' and also ', ' and ', '; '])}{other}"
        label = label if happens(rng, 0.7) else other_label
    elif u < 0.5:
        noise = chatter(rng, rng.choice([2, 3, 4]))
        text = rng.choice([f"{noise}, {text}", f"{text}, {noise}", f"{text} {noise}"])
    text = _addressed(rng, text)
    if happens(rng, 0.15):
        text = text.lower()
    elif happens(rng, 0.85):
        text = sentence_case(text)
    return Document(text, {"intent": label}, label, "intent")


def _other_wish(rng: Random, label: str) -> tuple[str, str]:
    other = rng.choice([other for other in LABELS if other != label])
    return rng.choice(_WISHES[other]), other


def _addressed(rng: Random, text: str) -> str:
    number = order(rng)
    openings = [
        "",
        "",
        "Hello, ",
        f"Hi, {first_name(rng)} here, ",
        f"Order {number}: ",
        "Hi team, ",
    ]
    openings += [
        "Good morning, ",
        "sorry, ",
        f"{filler(rng)}, ",
        f"Hi, {person(rng)} here, ",
        "Hey, ",
    ]
    endings = [".", "!", "", ", thanks.", f". Regards, {first_name(rng)}.", "?", " please."]
    endings += [f". Order {number}.", f". Regards, {person(rng)}.", f" ({number}).", ". Thank you."]
    return rng.choice(openings) + text + rng.choice(endings)
