"""A conversation as the tokens that a model reads."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from penin_core import Message, ProviderRefused


def prompt_ids(tokenizer: Any, system: str, messages: Sequence[Message]) -> tuple[int, ...]:
    """Return what the model is to go on with: its chat template, or plain text where it has none.

    Plain text is one message as it stands; of several texts (instruction, examples) each ends
    with a new line, and so the answer begins on a line of its own.

    Raises:
        ProviderRefused: the template takes no such conversation, or nothing is left to read.
    """
    if tokenizer.chat_template is None:
        ids = tokenizer(plain_text(system, messages))["input_ids"]
    else:
        ids = _templated(tokenizer, system, messages)
    if not ids:
        raise ProviderRefused("the prompt is empty", hint="write something for the model to read")
    return tuple(int(token) for token in ids)


def plain_text(system: str, messages: Sequence[Message]) -> str:
    """Return a conversation for a model without a chat template."""
    texts = [text for text in (system, *(message.content for message in messages)) if text]
    return texts[0] if len(texts) == 1 else "".join(f"{text}\n" for text in texts)


def _templated(tokenizer: Any, system: str, messages: Sequence[Message]) -> Any:
    turns = [{"role": message.role, "content": message.content} for message in messages]
    if system:
        turns.insert(0, {"role": "system", "content": system})
    try:
        return tokenizer.apply_chat_template(
            turns, add_generation_prompt=True, tokenize=True, return_dict=True
        )["input_ids"]
    except Exception as error:
        raise ProviderRefused(
            f"the model's chat template takes no conversation of "
            f"{', '.join(turn['role'] for turn in turns)}: {error}",
            hint="some models take no system message: put the instruction into prompt",
        ) from error
