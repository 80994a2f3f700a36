"""Writing answers: the same tokens as ``generate`` of transformers, whatever the architecture."""

import pytest

torch = pytest.importorskip("torch")
transformers = pytest.importorskip("transformers")
decoding = pytest.importorskip("penin_hf.decoding")

KINDS = {
    "llama": {},
    "qwen2": {"use_sliding_window": True, "sliding_window": 16, "max_window_layers": 1},
    "qwen3": {"head_dim": 8},
    "mistral": {"sliding_window": 16},
    "gemma3_text": {"sliding_window": 16, "head_dim": 8, "query_pre_attn_scalar": 8},
    "phi3": {"pad_token_id": 1},
    "gpt2": {"n_positions": 256},
    "gpt_neox": {},
    "opt": {"ffn_dim": 64, "word_embed_proj_dim": 32},
    "bloom": {},
    "mixtral": {"num_local_experts": 4},
}


@pytest.mark.parametrize("kind", KINDS)
def test_greedy_answers_are_those_of_generate(kind, tmp_path, new_model):
    folder = new_model(tmp_path / kind, kind=kind, **KINDS[kind])
    tokenizer = transformers.AutoTokenizer.from_pretrained(folder)
    model = transformers.AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32).eval()
    prompts = [
        decoding.Prompt(
            tokens=tuple(range(3, 3 + length)), temperature=0, top_p=1, max_tokens=30, entropy=0
        )
        for length in (40, 7, 1)
    ]
    answers = decoding.Decoder(model, tokenizer, [1]).answer(prompts)
    for prompt, answer in zip(prompts, answers, strict=True):
        with torch.inference_mode():
            whole = model.generate(
                torch.tensor([prompt.tokens]),
                attention_mask=torch.ones(1, len(prompt.tokens)),
                do_sample=False,
                max_new_tokens=30,
                eos_token_id=1,
                pad_token_id=1,
            )[0]
        expected = whole[len(prompt.tokens) :].tolist()
        assert answer.tokens == [token for token in expected if token != 1]
        assert answer.finish == ("stop" if expected[-1] == 1 else "length")
        assert len(answer.logprobs) == len(expected)
