"""A project with a history, made by real cycles of a scripted model under a clock of its own.

The model sorts mail. How often it is right follows from the words of its instruction and from the
temperature, and which mails it gets right from a hash, so the same history comes of it everywhere.
"""

from __future__ import annotations

import asyncio
import math
import os
import re
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from itertools import count
from pathlib import Path
from types import SimpleNamespace
from unittest import mock

from penin_core import (
    Capabilities,
    Completion,
    Configuration,
    LeagueOrchestrator,
    LocalProvider,
    Mutator,
    Price,
    Task,
    WORMLedger,
    evolve_one_cycle,
    hookimpl,
    runfiles,
)
from penin_core.canonical import digest
from penin_core.engine import budget
from penin_core.engine import local as local_engine
from penin_core.engine.budget import Budget
from penin_core.engine.cache import ResponseCache
from penin_core.engine.wire import Engine
from penin_core.ledger import artifacts, drafts, keys
from penin_core.plugins import Plugins
from penin_core.project import Project
from penin_core.settings import Baseline, EvolveSettings, Margins, Settings, SuiteDefinition
from penin_core.state import prepare
from penin_core.suites import Suite

START = datetime(2026, 11, 2, 6, 30, tzinfo=UTC)
DAILY_USD = 0.5
ANSWERS = ("billing", "delivery", "returns", "account")
MAILS = {
    "billing": ("I was charged twice for order {}.", "The invoice of order {} has the wrong sum."),
    "delivery": ("Order {} has not arrived yet.", "Where is my parcel, number {}?"),
    "returns": ("I want to send order {} back.", "Order {} came broken, how do I return it?"),
    "account": ("I cannot sign in, my number is {}.", "Please delete my account {}."),
}
FIRST = "Sort the mail."
#: What an instruction has to say for the model to be right more often.
WORTH = {"one word": 0.13, "billing, delivery": 0.12, "amount": 0.06, "joke": -0.2}
INSTRUCTIONS = (
    "Say which team should read this mail.",
    "Answer in one word: which team is this mail for?",
    "Which team is this mail for? Answer in one word: billing, delivery, returns or account.",
    "Answer with a joke about this mail.",
    "Which team is this mail for? Answer in one word: billing, delivery, returns or account. "
    "A mail about an amount of money is for billing, whatever else it asks.",
)


def tasks() -> tuple[Task, ...]:
    """Return mails, half of them to search on."""
    made = []
    for split, number in (("select", 240), ("confirm", 1400), ("composed", 12), ("ood", 12)):
        for n in range(number):
            team = ANSWERS[int(digest([split, n])[:2], 16) % len(ANSWERS)]
            mail = MAILS[team][n % 2].format(4000 + 7 * n + len(split))
            made.append(
                Task(
                    id=f"mail-{split}-{n:04}",
                    input=mail,
                    expected=team,
                    split=split,
                    consent=True,
                    group=("private", "business")[n % 2],
                )
            )
    return tuple(made)


#: The team that a mail is for, by the number in it, which no perturbation changes.
RIGHT = {re.findall(r"\d+", task.input)[-1]: task.expected for task in tasks()}


def skill(request) -> float:
    """Return how often this request would be answered rightly."""
    worth = sum(more for words, more in WORTH.items() if words in request.system)
    return min(0.97, 0.62 + worth + 0.06 * (1.0 - request.temperature))


class Sorter(LocalProvider):
    """Sorts mail."""

    name = "sorter"

    def capabilities(self, model):
        price = Price(input_per_million=0.4, output_per_million=1.6)
        return Capabilities(logprobs=True, seed=True, price=price, batch=1)

    def generate(self, requests):
        return [self.answer(request) for request in requests]

    def answer(self, request):
        mail = request.messages[-1].content
        number = re.findall(r"\d+", mail)[-1]
        right = RIGHT[number]
        luck = int(digest(number)[:8], 16) / 2**32
        chance = skill(request)
        good = luck < chance
        sure = min(0.99, 0.35 + 0.62 * chance + 0.1 * (luck - 0.5) + (0.04 if good else -0.3))
        team = right if good else ANSWERS[ANSWERS.index(right) - 1]
        return Completion(
            text=team,
            model=request.model,
            tokens_in=12 + len(request.system.split()) + len(mail.split()),
            tokens_out=2,
            logprobs=(math.log(max(0.05, sure)),),
        )


class Editor(Mutator):
    """Proposes instructions that somebody wrote."""

    name = "editor"

    def propose(self, champion, count, rng):
        for place in rng.permutation(len(INSTRUCTIONS)):
            yield champion.child(self.name, system=INSTRUCTIONS[place])


@hookimpl
def providers():
    return [Sorter]


@hookimpl
def mutators():
    return [Editor]


class Still(datetime):
    """The time of the history, for whom it does not matter how often somebody asks."""

    @classmethod
    def now(cls, tz=None):
        return Clock.at.astimezone(tz)


class Clock(datetime):
    """The time of the history: it moves on by a second with every id and every entry."""

    at = START

    @classmethod
    def now(cls, tz=None):
        Clock.at += timedelta(seconds=1)
        return Clock.at.astimezone(tz)


@contextmanager
def made_up_time() -> Iterator[None]:
    """Let ids, times and keys be the same whenever the history is made."""
    numbers, Clock.at = count(1), START
    key = keys.signer_text("penin.example/ledger/mail", bytes(range(32)))
    standing = SimpleNamespace(perf_counter=lambda: 0.0)

    def entropy(size):
        return bytes.fromhex(digest(next(numbers)))[:size]

    with (
        mock.patch.object(artifacts, "datetime", Clock),
        mock.patch.object(drafts, "datetime", Clock),
        mock.patch.object(budget, "datetime", Still),
        mock.patch.object(local_engine, "time", standing),
        mock.patch.object(artifacts.os, "urandom", entropy),
        mock.patch.object(runfiles, "_git_sha", return_value=None),
        mock.patch.dict(os.environ, {keys.VARIABLE: key}),
    ):
        yield


def project(state: Path) -> Project:
    """Return the project as it stands before its first cycle."""
    settings = Settings(
        champion=Configuration(provider="sorter", model="mail-1", system=FIRST, max_tokens=16),
        suite=SuiteDefinition(
            name="mail", gate_tasks=40, baseline=Baseline(tokens=24.0, cost_usd=1.5e-5)
        ),
        evolve=EvolveSettings(
            mutators=("editor", "param_sweep"),
            margins=Margins(C=0.2),
            confirm_min=100,
            confirm_max=300,
        ),
    )
    plugins = Plugins.load(discover=False)
    module = SimpleNamespace(
        penin_api=1, penin_register_providers=providers, penin_register_mutators=mutators
    )
    plugins.add(module, "mail", "penin-mail", "1.0")
    return Project(settings, prepare(state), plugins, Suite(settings.suite, tasks()))


def make(folder: Path) -> Path:
    """Make the whole history in ``folder`` and return its state directory."""
    state = folder / ".penin"
    with made_up_time():
        made = project(state)
        for day in range(5):
            Clock.at = START + timedelta(days=day)
            asyncio.run(evolve_one_cycle(6, project=made, seed=day))
            if day == 2:
                with WORMLedger(state / "ledger.db") as ledger:
                    LeagueOrchestrator(state, ledger).rollback(reason="support complained")
        Clock.at += timedelta(hours=2)
        asyncio.run(_canary(state))
    return state


async def _canary(state: Path) -> None:
    """Try two configurations on a share of made-up traffic, one of them bad."""
    engine = Engine(
        lambda name: Sorter(),
        budget=Budget(state / "budget.db", DAILY_USD),
        cache=ResponseCache(state / "cache" / "responses.db"),
    )
    good = Configuration(provider="sorter", model="mail-1", system=INSTRUCTIONS[-1])
    traffic = [task for task in tasks() if task.split == "confirm"]
    with WORMLedger(state / "ledger.db") as ledger:
        league = LeagueOrchestrator(state, ledger)
        for system in (INSTRUCTIONS[2], INSTRUCTIONS[3]):
            challenger = good.model_copy(update={"system": system})
            await league.canary_test(
                engine, good, challenger, fraction=0.25, traffic=traffic, score=_right
            )
    await engine.aclose()


def _right(task: Task, completion: Completion) -> float:
    return float(completion.text == task.expected)
