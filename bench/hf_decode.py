"""Decoding speed of penin-hf against ``model.generate`` of transformers, in the same run.

Both go on with the same prompts on the same copy of the weights, sampling at temperature 1 and
top-p 0.9, for the same numbers of tokens. generate has one seed for all and gives the
log-probabilities after its warpers; penin-hf has a seed for each row and gives the model's own.
``even`` means that all answers are equally long; ``uneven`` that they end after 4 to 64 tokens, as
answers do: in penin-hf what ends leaves the batch, and only tokens of an answer count. They take
turns, and the medians are compared: processor time of one thread on the CPU, so that other work on
the machine counts less, and the clock on a GPU. The weights are random, the output made as sure as
that of a trained model. Run with penin-hf installed::

    python bench/hf_decode.py [cpu|cuda] [hidden layers]
"""

from __future__ import annotations

import statistics
import sys
import time
from collections.abc import Callable, Sequence

import torch
from transformers import LlamaConfig, LlamaForCausalLM

from penin_hf.decoding import Decoder, Prompt

TOKENS = 64
ROUNDS = 3
GOAL = 0.8


Run = Callable[[LlamaForCausalLM, Sequence[Prompt]], int]


class NoText:
    """Stands for a tokenizer: what is measured is the model."""

    def decode(self, tokens: Sequence[int], *, skip_special_tokens: bool) -> str:
        return ""


def make_model(device: str, hidden: int, layers: int) -> LlamaForCausalLM:
    """Return a Llama with random weights and a vocabulary of 32,000."""
    torch.manual_seed(0)
    config = LlamaConfig(
        vocab_size=32_000,
        hidden_size=hidden,
        intermediate_size=4 * hidden,
        num_hidden_layers=layers,
        num_attention_heads=hidden // 64,
        num_key_value_heads=max(1, hidden // 256),
        max_position_embeddings=4096,
    )
    model = LlamaForCausalLM(config).to(device).requires_grad_(False).eval()
    model.lm_head.weight *= 20.0
    return model.to(torch.bfloat16) if device == "cuda" else model


def prompts_of(lengths: Sequence[int]) -> list[Prompt]:
    """Return prompts of 40 to 100 tokens; the answer to each takes so many tokens."""
    draw = torch.Generator().manual_seed(1)
    sizes = torch.randint(40, 100, (len(lengths),), generator=draw).tolist()
    return [
        Prompt(
            tokens=tuple(torch.randint(3, 32_000, (size,), generator=draw).tolist()),
            temperature=1.0,
            top_p=0.9,
            max_tokens=length,
            entropy=index,
        )
        for index, (size, length) in enumerate(zip(sizes, lengths, strict=True))
    ]


def ours(model: LlamaForCausalLM, prompts: Sequence[Prompt]) -> int:
    """Answer with penin-hf; return how many tokens were written."""
    answers = Decoder(model, NoText(), ()).answer(prompts)
    return sum(len(answer.logprobs) for answer in answers)


def peer(model: LlamaForCausalLM, prompts: Sequence[Prompt]) -> int:
    """Answer with generate; return how many tokens of what was written were asked for."""
    width = max(len(prompt.tokens) for prompt in prompts)
    ids = torch.tensor([[0] * (width - len(p.tokens)) + list(p.tokens) for p in prompts])
    mask = torch.tensor([[0] * (width - len(p.tokens)) + [1] * len(p.tokens) for p in prompts])
    longest = max(prompt.max_tokens for prompt in prompts)
    written = model.generate(
        ids.to(model.device),
        attention_mask=mask.to(model.device),
        do_sample=True,
        temperature=1.0,
        top_k=0,
        top_p=0.9,
        max_new_tokens=longest,
        eos_token_id=None,
        pad_token_id=0,
        return_dict_in_generate=True,
        output_scores=True,
    )
    model.compute_transition_scores(
        written.sequences, written.scores, normalize_logits=True
    ).tolist()
    assert written.sequences.shape[1] == width + longest
    return sum(prompt.max_tokens for prompt in prompts)


def speed(run: Run, model: LlamaForCausalLM, prompts: Sequence[Prompt]) -> float:
    """Return tokens a second of one run; reading the logprobs has waited for the GPU."""
    clock = time.process_time if model.device.type == "cpu" else time.perf_counter
    begin = clock()
    count = run(model, prompts)
    return count / (clock() - begin)


def main() -> None:
    """Print tokens a second of both, and their ratio."""
    device = sys.argv[1] if len(sys.argv) > 1 else "cpu"
    hidden, layers = map(int, sys.argv[2:4]) if len(sys.argv) > 3 else (256, 4)
    torch.set_num_threads(1)
    model = make_model(device, hidden, layers)
    count = sum(parameter.numel() for parameter in model.parameters())
    print(f"{count / 1e6:.0f} million parameters, {device}")
    uneven = [4 + (7 * row) % (TOKENS - 3) for row in range(32)]
    cases = {"1 even": [TOKENS], "32 even": [TOKENS] * 32, "32 uneven": uneven}
    for name, lengths in cases.items():
        prompts = prompts_of(lengths)
        with torch.inference_mode():
            pairs = [
                (speed(ours, model, prompts), speed(peer, model, prompts))
                for _ in range(1 + ROUNDS)
            ]
        here, there = (statistics.median(column) for column in zip(*pairs[1:], strict=True))
        verdict = "reached" if here >= GOAL * there else "MISSED"
        print(
            f"batch {name:9}: {here:7.0f} tokens/s, generate {there:7.0f}, "
            f"ratio {here / there:.2f} (goal {GOAL}: {verdict})"
        )


if __name__ == "__main__":
    main()
