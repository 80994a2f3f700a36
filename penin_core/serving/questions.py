"""What is asked, as chat completions say it, and how the champion's configuration asks it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeAlias

from penin_core.errors import SuiteError
from penin_core.live.content import tags_of
from penin_core.records import Configuration, Example, Message, Request
from penin_core.rendering import of_example, substitute

from .refusals import Refusal, invalid

Turn: TypeAlias = Mapping[str, Any]

#: Roles whose messages are instructions: the champion's own takes their place.
INSTRUCTING = ("system", "developer")
_WORDS = ("text", "refusal")


@dataclass(slots=True)
class Question:
    """One request to the deployment, checked.

    ``turns`` are its messages. ``options`` go on to the model as they are (tools, the format of
    the answer). ``max_tokens`` can only lower the champion's. ``metadata`` fills columns of a
    prompt, and its ``tags``, with commas, say of which kind it is. ``key`` is what an experiment
    divides traffic by, ``id`` what the answer is called. ``consent`` says that the request may be
    kept.
    """

    id: str
    turns: Sequence[Turn]
    options: Mapping[str, Any] = field(default_factory=dict)
    max_tokens: int | None = None
    metadata: Mapping[str, str] = field(default_factory=dict)
    key: str = ""
    consent: bool = False


def text_of(content: object) -> str:
    """Return the text of a message's content: a string, or parts of which some are text."""
    if isinstance(content, str):
        return content
    parts = content if isinstance(content, list) else []
    texts = [part for part in parts if isinstance(part, Mapping) and part.get("type") == "text"]
    return "".join(part["text"] for part in texts if isinstance(part.get("text"), str))


def only_text(question: Question) -> bool:
    """Say whether a question holds nothing but text: no images, no sound, no files."""
    for turn in question.turns:
        content = turn.get("content")
        if isinstance(content, list) and not all(p["type"] in _WORDS for p in content):
            return False
    return True


class Asking:
    """Asks as a configuration does: its instruction, its examples, its prompt.

    The last message of the user is put into the prompt; the turns around it stay as they are.
    ``{{system}}`` stands for the instructions of the request, any other name for its metadata.
    Examples for tasks of some tags are shown to requests whose metadata name one under ``tags``.
    """

    def __init__(self, config: Configuration) -> None:
        self.config = config
        self._fixed = "{{" not in config.system
        self._bare = config.prompt == "{{input}}"

    def system(self, question: Question) -> str:
        """Return the instruction.

        Raises:
            Refusal: it uses a column that the request does not have.
        """
        if self._fixed:
            return self.config.system.strip()
        return self._filled(self.config.system, question, "").strip()

    def turns(self, question: Question) -> list[Turn]:
        """Return the turns after the instruction.

        Raises:
            Refusal: there is no message of the user, or a column is missing.
        """
        said = [turn for turn in question.turns if turn["role"] not in INSTRUCTING]
        last = max((i for i, turn in enumerate(said) if turn["role"] == "user"), default=-1)
        if last < 0:
            raise invalid("messages hold none of the role 'user'", "messages", "no_user_message")
        if not self._bare:
            said[last] = {**said[last], "content": self._prompted(said[last]["content"], question)}
        return [*self._examples(question), *said]

    def request(self, question: Question) -> Request:
        """Return the request for a provider that is asked in penin's own words: text alone.

        Raises:
            Refusal: the question holds what such a provider cannot be asked.
        """
        config, unable = self.config, [*question.options]
        roles = {str(turn["role"]) for turn in question.turns} - {*INSTRUCTING, "user", "assistant"}
        if not only_text(question):
            unable.append("content that is no text")
        unable += [f"messages of the role {role!r}" for role in sorted(roles)]
        if unable:
            model = f"{config.provider}:{config.model}"
            words = f"the model behind this deployment ({model}) takes no {', no '.join(unable)}"
            raise Refusal(400, "unsupported_parameter", words, param=next(iter(unable)))
        said = [
            Message(role=turn["role"], content=text_of(turn["content"]))
            for turn in self.turns(question)
        ]
        return Request(
            provider=config.provider,
            model=config.model,
            system=self.system(question),
            messages=tuple(said),
            temperature=config.temperature,
            top_p=config.top_p,
            max_tokens=self.room(question),
            adapter=config.adapter,
            extra=config.extra,
        )

    def room(self, question: Question) -> int:
        """Return how many tokens an answer may have: the champion's limit, or a lower one."""
        return min(question.max_tokens or self.config.max_tokens, self.config.max_tokens)

    def _examples(self, question: Question) -> list[Turn]:
        turns: list[Turn] = []
        tags = frozenset(tags_of(question.metadata))
        for example in self.config.examples:
            if example.tags and tags.isdisjoint(example.tags):
                continue
            shown = self._filled(self.config.prompt, question, "", example)
            turns.append({"role": "user", "content": shown})
            turns.append({"role": "assistant", "content": example.output})
        return turns

    def _prompted(self, content: object, question: Question) -> object:
        shown = self._filled(self.config.prompt, question, text_of(content))
        if not isinstance(content, list):
            return shown
        rest = [part for part in content if part["type"] != "text"]
        return [{"type": "text", "text": shown}, *rest] if rest else shown

    def _filled(
        self, template: str, question: Question, text: str, example: Example | None = None
    ) -> str:
        told = (turn for turn in question.turns if turn["role"] in INSTRUCTING)
        system = "\n\n".join(text_of(turn["content"]) for turn in told)
        values = {**question.metadata, "system": system, "input": text}
        if example is not None:
            values = of_example(example, values)
        try:
            return substitute(template, values)
        except SuiteError as error:
            words = f"{error}; send it in metadata"
            raise invalid(words, "metadata", "missing_column") from None
