"""The runtime against a plain forward pass that keeps nothing and computes in double precision."""

import numpy as np
import pytest
from numpy.typing import NDArray

from penin_tiny.batch import Batch
from penin_tiny.decoding import Decoder, Prompt
from penin_tiny.model import POSITIONS
from penin_tiny.provider import ANSWER_TOKENS, CONTEXT_TOKENS
from penin_tiny.weights import PATH, load

Doubles = NDArray[np.float64]

DECODER = Decoder(load())
MODEL = DECODER.model
TEXTS = [
    "Answer the question.\nInput: Order #4711, paid EUR 89. Question: the amount?\nOutput: ",
    "Process this text.\nInput: ok\nOutput: ",
    "Extract the details as JSON.\nInput: Name: Zoë Łuk; Mail: zoe@brali.org\nOutput: ",
    "Classify.\nInput: hm\nOutput: neutral\n\nInput: bad\nOutput: negative\n\nInput: x\nOutput: ",
]


class Reference:
    """The model written down once more, from its description, one text at a time."""

    def __init__(self) -> None:
        with np.load(PATH, allow_pickle=False) as archive:
            self.arrays = {k: archive[k].astype(np.float64) for k in archive.files if k != "meta"}

    def log_probabilities(self, tokens: tuple[int, ...]) -> Doubles:
        """Return log p(next token) after every position of ``tokens``, (n, V)."""
        w = self.arrays
        d = w["emb"].shape[1]
        x = normed(w["emb"])[list(tokens)]
        for layer in range(4):
            x = self.block(x, f"b{layer}.")
        h = normed(x)
        vocabulary = softmax(h @ w["emb"].T * w["scale"] + w["bias"])
        shifted = np.vstack([np.zeros(d), h[:-1]])
        scores = (h @ w["pq"]) @ (shifted @ w["pk"]).T / np.sqrt(d)
        pointer = causal(scores) @ np.eye(w["emb"].shape[0])[list(tokens)]
        gate = 1 / (1 + np.exp(-(h @ w["gate"][:d] + w["gate"][d])))[:, None]
        p = (1 - gate) * vocabulary + gate * pointer
        p[:, :4] = 0
        with np.errstate(divide="ignore"):
            return np.asarray(np.log(p / p.sum(1, keepdims=True)))

    def block(self, x: Doubles, name: str) -> Doubles:
        n, d = x.shape
        w = {k: self.arrays[name + k] for k in ("conv", "qkv", "o", "up", "down")}
        padded = np.vstack([np.zeros((3, d)), normed(x)])
        mixed = sum(padded[3 - back : 3 - back + n] * w["conv"][back] for back in range(4))
        heads = (mixed @ w["qkv"]).reshape(n, 3, 4, d // 4)
        out = []
        for head in range(4):
            q, k, v = turned(heads[:, 0, head]), turned(heads[:, 1, head]), heads[:, 2, head]
            out.append(causal(q @ k.T / np.sqrt(d // 4)) @ v)
        x = x + np.hstack(out) @ w["o"]
        return np.asarray(x + np.maximum(normed(x) @ w["up"], 0) ** 2 @ w["down"])


def normed(x: Doubles) -> Doubles:
    return np.asarray(x / np.sqrt((x**2).mean(1, keepdims=True) + 1e-6))


def softmax(x: Doubles) -> Doubles:
    e = np.exp(x - x.max(1, keepdims=True))
    return np.asarray(e / e.sum(1, keepdims=True))


def causal(scores: Doubles) -> Doubles:
    return softmax(np.where(np.tri(len(scores), dtype=bool), scores, -np.inf))


def turned(x: Doubles) -> Doubles:
    """Rotate each pair (i, i + half) by position * 10000^(-i / half), as complex numbers."""
    half = x.shape[1] // 2
    angle = np.arange(len(x))[:, None] * 10000.0 ** (-np.arange(half) / half)
    z = (x[:, :half] + 1j * x[:, half:]) * np.exp(1j * angle)
    return np.hstack([z.real, z.imag])


REFERENCE = Reference()


def log_difference(ours: Doubles, reference: Doubles) -> float:
    """Largest difference of log-probabilities above one in a million."""
    likely = reference > np.log(1e-6)
    return float(np.abs(np.log(ours[likely]) - reference[likely]).max())


def test_reading_and_writing_with_a_cache_equals_a_fresh_forward_pass() -> None:
    full = [DECODER.tokenize(text + "one 1 more, please") for text in TEXTS]
    cut = [len(tokens) - 9 for tokens in full]
    expected = [REFERENCE.log_probabilities(tokens) for tokens in full]
    batch = Batch(MODEL, len(full), max(map(len, full)))
    for tokens, length in zip(full, cut, strict=True):
        batch.admit(DECODER.read(tokens[:length]))
    for step in range(9):
        probabilities = batch.distribution()
        for row, length in enumerate(cut):
            assert log_difference(probabilities[row], expected[row][length + step - 1]) < 1e-4
        batch.advance(np.array([tokens[n + step] for tokens, n in zip(full, cut, strict=True)]))


def test_reading_in_two_parts_equals_reading_at_once() -> None:
    tokens = DECODER.tokenize(TEXTS[3])
    whole = MODEL.extend(MODEL.empty(), tokens)
    parts = MODEL.extend(MODEL.extend(MODEL.empty(), tokens[:7]), tokens[7:])
    assert np.array_equal(whole.tokens, parts.tokens)
    for name in ("keys", "values", "recent", "pointer_keys", "hidden"):
        assert np.allclose(getattr(whole, name), getattr(parts, name), atol=1e-4), name


def test_a_row_goes_on_unchanged_when_another_leaves() -> None:
    pasts = [DECODER.read(DECODER.tokenize(text)) for text in TEXTS]
    batch = Batch(MODEL, len(TEXTS), 200)
    for past in pasts:
        batch.admit(past)
    before = batch.distribution()
    batch.retire(1)
    assert np.array_equal(batch.distribution(), before[[0, 3, 2]])


def test_a_row_that_is_taken_again_forgets_what_stood_there() -> None:
    long, short = (DECODER.read(DECODER.tokenize(text)) for text in (TEXTS[0], TEXTS[1]))
    fresh, used = Batch(MODEL, 1, 200), Batch(MODEL, 1, 200)
    fresh.admit(short)
    used.admit(long)
    used.advance(np.array([500]))
    used.retire(0)
    used.admit(short)
    for batch in (fresh, used):
        batch.advance(np.array([700]))
    assert np.array_equal(used.distribution(), fresh.distribution())


def test_distributions_sum_to_one_and_never_hold_a_control_token() -> None:
    batch = Batch(MODEL, 1, 200)
    batch.admit(DECODER.read(DECODER.tokenize(TEXTS[0])))
    probabilities = batch.distribution()
    assert probabilities.sum() == pytest.approx(1.0, abs=1e-12)
    assert (probabilities[:, :4] == 0.0).all()
    assert (probabilities >= 0.0).all()


@pytest.mark.parametrize("temperature", [0.0, 0.9, 1.3])
def test_log_probabilities_are_those_of_the_written_text(temperature: float) -> None:
    prompts = [
        Prompt(DECODER.tokenize(text), temperature, 0.95, 24, entropy=row)
        for row, text in enumerate(TEXTS)
    ]
    for prompt, answer in zip(prompts, DECODER.answer(prompts), strict=True):
        stop = [DECODER.tokenizer.stop] if answer.finish == "stop" else []
        written = (*answer.tokens, *stop)
        assert len(answer.logprobs) == len(written)
        after = REFERENCE.log_probabilities(prompt.tokens + written)[len(prompt.tokens) - 1 : -1]
        scored = after[np.arange(len(written)), list(written)]
        assert sum(answer.logprobs) == pytest.approx(scored.sum(), abs=1e-3)
        assert answer.logprobs == pytest.approx(scored, abs=1e-3)


def test_greedy_tokens_are_the_most_likely_ones_of_the_reference() -> None:
    prompt = Prompt(DECODER.tokenize(TEXTS[0]), 0.0, 1.0, 24, entropy=0)
    (answer,) = DECODER.answer([prompt])
    after = REFERENCE.log_probabilities(prompt.tokens + tuple(answer.tokens))
    expected = after[len(prompt.tokens) - 1 :].argmax(1).tolist()
    assert [*answer.tokens, DECODER.tokenizer.stop] == expected


def test_there_are_positions_for_the_longest_prompt_and_answer() -> None:
    assert MODEL.weights.window == CONTEXT_TOKENS
    assert CONTEXT_TOKENS + ANSWER_TOKENS <= POSITIONS
