"""A small Llama made on this machine, then improved by penin: searched, tuned, proven, rolled back.

    python examples/small-llama/small_llama.py restaurants8k.train.jsonl story [LLAMA]

The first argument is a file of RESTAURANTS-8K rows (see ``examples/restaurants``), the second a
new folder for the project. Nothing is downloaded: the tokenizer and the 1.1 million weights of the
model are made from rows that serve nothing else, in a few minutes of a CPU. It learns to extract
slots from messages, but never sees what the guest had been asked for. That LoRA teaches it
afterwards, through ``penin finetune``, and a cycle has to prove it. A third argument names the
folder of a base model that an earlier run made, which is taken instead of a new one.
"""

from __future__ import annotations

import json
import math
import os
import random
import sys
import time
from collections.abc import Iterator, Sequence
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path
from typing import Any

import torch
from tokenizers import Regex, Tokenizer, decoders, models, pre_tokenizers, trainers
from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

SYSTEM = "Slots as JSON."
TEST, BASE, TRAIN, SELECT, CONFIRM = 500, 2400, 2049, 400, 1500
STEPS, BATCH, RATE = 1000, 32, 3e-3
SPECIAL = ("<|end|>", "<|system|>", "<|user|>", "<|assistant|>", "<|pad|>")
TEMPLATE = (
    "{% for m in messages %}<|{{ m['role'] }}|>{{ m['content'] }}<|end|>{% endfor %}"
    "{% if add_generation_prompt %}<|assistant|>{% endif %}"
)
VALIDATION = 100
SETTINGS = ("rank=32", "learning_rate=0.003", "n_epochs=3", "batch_size=16")

Row = dict[str, Any]


def restaurants() -> Any:
    """Return the example beside this one, whose steps are taken here as well."""
    path = Path(__file__).parents[1] / "restaurants" / "restaurants.py"
    spec = spec_from_file_location("restaurants_example", path)
    assert spec is not None
    assert spec.loader is not None
    module = module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def main(rows_file: str, folder: str, llama: str = "") -> None:
    """Walk the story in ``folder`` and print its table."""
    story = restaurants()
    place = Path(folder)
    rows = story.read_rows(Path(rows_file))
    place.mkdir(parents=True)
    base = write_files(story, place, rows)
    model = Path(llama or place / "llama").absolute()
    os.chdir(place)
    begun = time.monotonic()
    if not llama:
        make_model(model, base)
        print(f"the base model: {time.monotonic() - begun:.0f} s", flush=True)
    where = ("--provider", "hf", "--model", str(model))
    asked = ("--system", SYSTEM, "--temperature", "1", "--max-tokens", "64")
    story.penin("init", "--tasks", "tasks.jsonl", *where, *asked)
    settle(Path("penin.toml"))
    table = [story.line("as it starts", None, None)]
    report = story.penin("evolve", "--n", "4")
    table.append(story.line("after a search", None, report))
    begun = time.monotonic()
    given = [part for setting in SETTINGS for part in ("--set", setting)]
    files = ("--train", "train.jsonl", "--validation", "validation.jsonl")
    job = story.penin("finetune", "start", *files, *story.RIGHTS, *given)
    seconds = time.monotonic() - begun
    report = story.penin("evolve", "--n", "4")
    table.append(story.line(f"{TRAIN:,} rows, {seconds:.0f} s", job, report))
    table.append(story.line("what runs then", None, None))
    if report["verdict"] == "promote":
        story.penin("rollback")
        table.append(story.line("rolled back", None, None))
    story.penin("ledger", "verify")
    story.penin("finetune", "list")
    print("\n" + "\n".join(table))


def settle(path: Path) -> None:
    """Race and confirm on more tasks, for a few points more or less; leave out L and C.

    L asks how well a model learns from examples in its prompt, and this one never saw any there.
    C would be the latency of this machine alone, because nothing is paid.
    """
    text = path.read_text(encoding="utf-8")
    for old, new in (
        ('axes = ["U", "S", "C", "L"]', 'axes = ["U", "S"]'),
        ('"cost", "reuse", ', ""),
        ("[evolve]\n", f"[evolve]\nrace_tasks = 100\nconfirm_max = {CONFIRM - 400}\n"),
    ):
        if old not in text:
            sys.exit(f"{path} has no {old!r}")
        text = text.replace(old, new)
    path.write_text(text, encoding="utf-8")


def write_files(story: Any, place: Path, rows: Sequence[Row]) -> list[Row]:
    """Write what is tuned on, searched and proved on, and untouched; return the base's rows.

    No row that proves something is equal or nearly equal to one that the model has seen, be it in
    its base training or in its tuning.
    """
    test, rest = rows[:TEST], story.consistent(rows[TEST:])
    base, rest = rest[:BASE], rest[BASE:]
    train, rest = rest[:TRAIN], rest[TRAIN:]
    select, rest = rest[:SELECT], rest[SELECT:]
    confirm = story.unseen(rest, [*base, *train, *select])[:CONFIRM]
    taught = train[:-VALIDATION]
    known = {row["input"] for row in taught}
    story.write(place / "train.jsonl", taught)
    story.write(
        place / "validation.jsonl", [r for r in train[-VALIDATION:] if r["input"] not in known]
    )
    tasks = [*story.split(select, "select"), *story.split(confirm, "confirm")]
    story.write(place / "tasks.jsonl", tasks)
    story.write(place / "test.jsonl", story.split(test, "select"))
    (place / "test.toml").write_text(story.TEST_SUITE, encoding="utf-8")
    return list(base)


# The base model


def make_model(folder: Path, rows: Sequence[Row], steps: int = STEPS) -> None:
    """Make tokenizer and model from ``rows`` and save both in ``folder``."""
    rows = [{**row, "input": unasked(row["input"])} for row in rows]
    tokenizer = make_tokenizer(rows)
    torch.manual_seed(0)
    config = LlamaConfig(
        vocab_size=len(tokenizer),
        hidden_size=160,
        intermediate_size=448,
        num_hidden_layers=3,
        num_attention_heads=5,
        num_key_value_heads=5,
        max_position_embeddings=256,
        tie_word_embeddings=True,
        bos_token_id=None,
        eos_token_id=tokenizer.eos_token_id,
        pad_token_id=tokenizer.pad_token_id,
    )
    model = LlamaForCausalLM(config)
    print(f"{sum(p.numel() for p in model.parameters()):,} parameters", flush=True)
    train(model, tokenizer, rows, steps)
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)


def unasked(text: str) -> str:
    """Return a message without what stands before it in brackets."""
    return text.partition(") ")[2] if text.startswith("(asked: ") else text


def make_tokenizer(rows: Sequence[Row]) -> PreTrainedTokenizerFast:
    """Return a byte-level BPE of the words in ``rows``, in which a space is a token of its own.

    So a word is the same token in a message, behind a space, and in JSON, behind a quote.
    """
    bpe = Tokenizer(models.BPE())
    apart = pre_tokenizers.Split(Regex(r"\s|\d|[^\w\s]"), "isolated")
    letters = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)
    bpe.pre_tokenizer = pre_tokenizers.Sequence([apart, letters])
    bpe.decoder = decoders.ByteLevel()
    texts = [SYSTEM, *(row["input"] for row in rows), *(answer(row) for row in rows)]
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    bpe.train_from_iterator(
        texts,
        trainers.BpeTrainer(
            vocab_size=1200,
            special_tokens=list(SPECIAL),
            initial_alphabet=alphabet,
            show_progress=False,
        ),
    )
    return PreTrainedTokenizerFast(
        tokenizer_object=bpe, eos_token=SPECIAL[0], pad_token=SPECIAL[-1], chat_template=TEMPLATE
    )


def answer(row: Row) -> str:
    """Return the slots as the model shall write them."""
    return json.dumps(row["expected"], ensure_ascii=False)


def train(
    model: LlamaForCausalLM, tokenizer: PreTrainedTokenizerFast, rows: Sequence[Row], steps: int
) -> None:
    """Train ``model`` to answer ``rows``, in ever new mixtures."""
    optimizer = torch.optim.AdamW(model.parameters(), lr=RATE, weight_decay=0.1, betas=(0.9, 0.98))
    batches = mixtures(tokenizer, rows)
    begun = time.monotonic()
    for step in range(1, steps + 1):
        for group in optimizer.param_groups:
            warm, left = step / 50, 0.5 + 0.5 * math.cos(math.pi * step / steps)
            group["lr"] = RATE * min(1.0, warm) * left
        ids, labels = next(batches)
        loss = model(
            input_ids=ids, attention_mask=(ids != tokenizer.pad_token_id), labels=labels
        ).loss
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        optimizer.zero_grad()
        if step % 50 == 0:
            seconds = time.monotonic() - begun
            print(f"step {step} of {steps}, loss {loss.item():.3f}, {seconds:.0f} s", flush=True)


def mixtures(
    tokenizer: PreTrainedTokenizerFast, rows: Sequence[Row]
) -> Iterator[tuple[torch.Tensor, torch.Tensor]]:
    """Yield batches without end; the loss counts the answers alone.

    Of most rows a slot is exchanged for that of another row, so that copying pays, and knowing by
    heart does not.
    """
    chance = random.Random(0)
    values = {
        name: [row["expected"][name] for row in rows if name in row["expected"]]
        for name in ("people", "time", "date", "first_name", "last_name")
    }
    head = [{"role": "system", "content": SYSTEM}]
    while True:
        lines = []
        for row in chance.sample(list(rows), 16 * BATCH):
            row = exchanged(row, values, chance)
            turns = [*head, {"role": "user", "content": row["input"]}]
            text = tokenizer.apply_chat_template(turns, tokenize=False, add_generation_prompt=True)
            prompt = tokenizer(text, add_special_tokens=False)["input_ids"]
            wanted = tokenizer(answer(row), add_special_tokens=False)["input_ids"]
            lines.append((prompt, [*wanted, tokenizer.eos_token_id]))
        # Rows of like length side by side.
        lines.sort(key=lambda line: len(line[0]) + len(line[1]))
        for start in chance.sample(range(0, len(lines), BATCH), 16):
            yield padded(lines[start : start + BATCH], tokenizer.pad_token_id)


def padded(
    lines: Sequence[tuple[list[int], list[int]]], pad: int
) -> tuple[torch.Tensor, torch.Tensor]:
    """Return prompts with their answers, and the answers alone as labels."""
    width = max(len(prompt) + len(wanted) for prompt, wanted in lines)
    ids = torch.full((len(lines), width), pad)
    labels = torch.full((len(lines), width), -100)
    for place, (prompt, wanted) in enumerate(lines):
        end = len(prompt) + len(wanted)
        ids[place, :end] = torch.tensor([*prompt, *wanted])
        labels[place, len(prompt) : end] = torch.tensor(wanted)
    return ids, labels


def exchanged(row: Row, values: dict[str, list[str]], chance: random.Random) -> Row:
    """Return ``row`` with some slots exchanged, where each stands once in the message."""
    text, slots = row["input"], dict(row["expected"])
    for name, value in row["expected"].items():
        if text.count(value) == 1 and chance.random() < 0.6:
            slots[name] = chance.choice(values[name])
            text = text.replace(value, slots[name])
    if any(text.count(value) == 0 for value in slots.values()):
        return row
    return {**row, "input": text, "expected": slots}


if __name__ == "__main__":
    main(*sys.argv[1:])
