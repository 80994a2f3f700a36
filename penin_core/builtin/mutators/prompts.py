"""Prompt variants: other instructions, from templates."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

import numpy as np

from penin_core import Candidate, ComponentOptions, Mutator, Task


def generate_prompt_variants(
    base_prompt: str, templates: Sequence[str], seed: int, count: int | None = None
) -> list[str]:
    """Return ``templates`` with the literal text ``{base}`` replaced, once, by ``base_prompt``.

    Other braces survive, order is kept, duplicates are dropped. ``seed`` matters only where
    ``count`` asks for fewer than there are: then it decides which.

    Raises:
        ValueError: a template without ``{base}``.
    """
    for template in templates:
        if "{base}" not in template:
            raise ValueError(f"template {template!r} does not contain {{base}}")
    variants = dict.fromkeys(template.replace("{base}", base_prompt, 1) for template in templates)
    found = [variant for variant in variants if variant != base_prompt]
    if count is None or count >= len(found):
        return found
    chosen = np.random.default_rng(seed).choice(len(found), size=count, replace=False)
    return [found[index] for index in sorted(chosen)]


class PromptVariants(Mutator):
    """Other instructions, from templates that know the champion's and the shape of the answers."""

    name = "prompt_variants"

    class Options(ComponentOptions):
        """Instructions that replace the champion's, and templates that keep it as ``{base}``.

        ``{fields}`` stands for the keys and ``{labels}`` for the values that the answers of the
        select split have; ``{{system}}`` for what each task itself asks.
        """

        instructions: tuple[str, ...] = (
            "{{system}}",
            "Extract {fields} from the message as JSON. Only the slots that occur.",
            "Answer with one of: {labels}. One word, no other text.",
        )
        templates: tuple[str, ...] = (
            "{base} {{system}}",
            "{base} Return {fields} as a JSON object. No extra text.",
            "{base} Answer with one of: {labels}.",
            "{base} Answer briefly. No extra text.",
        )

    options: PromptVariants.Options

    def prepare(self, tasks: Sequence[Task]) -> None:
        """Read from the tasks what answers look like."""
        self.facts = {"{fields}": _fields(tasks), "{labels}": _labels(tasks)}
        self.instructed = any(task.system for task in tasks)

    def propose(
        self, champion: Candidate, count: int, rng: np.random.Generator
    ) -> Iterable[Candidate]:
        """Return children with another instruction, in the order of the options."""
        base = champion.config.system
        templates = list(self._usable(self.options.templates))
        texts = [
            *(text for text in self._usable(self.options.instructions) if text != base),
            *generate_prompt_variants(base, templates, int(rng.integers(2**31))),
        ]
        for text in list(dict.fromkeys(texts))[:count]:
            yield champion.child(self.name, f"system {text!r}", system=text)

    def _usable(self, templates: Sequence[str]) -> Iterator[str]:
        """Fill in the facts; leave out what needs a fact that these tasks do not have."""
        for template in templates:
            if "{{system}}" in template and not self.instructed:
                continue
            if any(name in template and not value for name, value in self.facts.items()):
                continue
            for name, value in self.facts.items():
                template = template.replace(name, value)
            yield template


def _fields(tasks: Sequence[Task]) -> str:
    """Return the keys of the expected objects in words, the order in which they first occur."""
    keys = dict.fromkeys(
        key for task in tasks if isinstance(task.expected, dict) for key in task.expected
    )
    return _enumeration(list(keys)) if all(isinstance(t.expected, dict) for t in tasks) else ""


def _labels(tasks: Sequence[Task]) -> str:
    """Return the distinct answers where they are few and short, as labels are."""
    answers = {task.expected for task in tasks if isinstance(task.expected, str)}
    few = len(answers) <= 20 and len(answers) * 5 <= len(tasks)
    return ", ".join(sorted(answers)) if few and all(len(a) <= 40 for a in answers) else ""


def _enumeration(words: Sequence[str]) -> str:
    if len(words) < 2:
        return "".join(words)
    return f"{', '.join(words[:-1])} and {words[-1]}"
