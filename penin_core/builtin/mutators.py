"""The built-in mutators: parameter sweeps, prompt variants, few-shot examples."""

from __future__ import annotations

import copy
import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np
from pydantic import Field

from penin_core import Candidate, ComponentOptions, Example, Mutator, Task, example_of, hookimpl

penin_api = 1

TEMPERATURE = (0.1, 1.5)
TOP_P = (0.5, 1.0)
MAX_TOKENS = (100, 200, 500, 1000)
_REDRAWS = 100


def generate_param_sweeps(
    base_cfg: Mapping[str, Any], n_challengers: int, seed: int
) -> list[dict[str, Any]]:
    """Return up to ``n_challengers`` copies of ``base_cfg`` with other sampling parameters.

    temperature in [0.1, 1.5], top_p in [0.5, 1.0], both to three decimals, max_tokens one of 100,
    200, 500, 1000. Deterministic in all arguments; neighbouring seeds share no variant stream. No
    two are equal, none equals the base; where 100 redraws find nothing new there are fewer.

    Raises:
        ValueError: ``n_challengers`` is negative.
    """
    if n_challengers < 0:
        raise ValueError(f"n_challengers must not be negative, not {n_challengers}")
    base = json.dumps(base_cfg, sort_keys=True, default=str)
    seen = {base}
    variants = []
    for index in range(n_challengers):
        stream = np.random.default_rng(np.random.SeedSequence(seed, spawn_key=(index,)))
        for _ in range(_REDRAWS):
            variant = copy.deepcopy(dict(base_cfg)) | {
                "temperature": round(float(stream.uniform(*TEMPERATURE)), 3),
                "top_p": round(float(stream.uniform(*TOP_P)), 3),
                "max_tokens": int(stream.choice(MAX_TOKENS)),
            }
            key = json.dumps(variant, sort_keys=True, default=str)
            if key not in seen:
                seen.add(key)
                variants.append(variant)
                break
    return variants


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


class ParamSweep(Mutator):
    """Other temperatures, nucleus sizes and answer lengths."""

    name = "param_sweep"

    def propose(
        self, champion: Candidate, count: int, rng: np.random.Generator
    ) -> Iterable[Candidate]:
        """Return ``count`` children that differ in sampling parameters only."""
        base = {
            key: getattr(champion.config, key) for key in ("temperature", "top_p", "max_tokens")
        }
        for variant in generate_param_sweeps(base, count, int(rng.integers(2**31))):
            note = f"temperature {variant['temperature']}, top_p {variant['top_p']}, "
            yield champion.child(self.name, note + f"max_tokens {variant['max_tokens']}", **variant)


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


class FewShot(Mutator):
    """Solved tasks of the select split in the prompt."""

    name = "few_shot"

    class Options(ComponentOptions):
        """At most so many examples for every kind of task."""

        shots: int = Field(default=3, ge=1, le=32)

    options: FewShot.Options

    def prepare(self, tasks: Sequence[Task]) -> None:
        """Keep the solved tasks, by tag."""
        self.pool: dict[tuple[str, ...], list[Example]] = {}
        for task in tasks:
            if (example := example_of(task)) is not None:
                self.pool.setdefault(task.tags, []).append(example)

    def propose(
        self, champion: Candidate, count: int, rng: np.random.Generator
    ) -> Iterable[Candidate]:
        """Return children with one, two, ... examples of every kind of task."""
        for index in range(count if self.pool else 0):
            shots = 1 + index % self.options.shots
            examples: list[Example] = []
            for pool in self.pool.values():
                chosen = rng.choice(len(pool), size=min(shots, len(pool)), replace=False)
                examples.extend(pool[i] for i in chosen)
            note = f"{shots} example{'s' if shots > 1 else ''} of each kind"
            yield champion.child(self.name, note, examples=tuple(examples))


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


@hookimpl
def penin_register_mutators() -> list[type[Mutator]]:
    """Return the built-in mutators."""
    return [ParamSweep, PromptVariants, FewShot]
