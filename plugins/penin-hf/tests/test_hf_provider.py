"""The contract of a local provider, over a small Llama with random weights."""

import random
import shutil

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from penin_core import Completion, Message, ProviderBadReply, ProviderRefused, Request
from penin_core.testing import LocalProviderConformance

torch = pytest.importorskip("torch")
transformers = pytest.importorskip("transformers")
HFProvider = pytest.importorskip("penin_hf.provider").HFProvider
HFOptions = pytest.importorskip("penin_hf.options").HFOptions


@pytest.fixture(scope="session")
def provider():
    made = HFProvider()
    yield made
    made.close()


def ask(model, text="Say hello to Zoë.", **changes):
    messages = changes.pop("messages", (Message(role="user", content=text),))
    given = {"max_tokens": 12, "seed": 7, "logprobs": True, **changes}
    return Request(provider="hf", model=model, messages=messages, **given)


def answer(provider, *requests):
    completions = list(provider.generate(requests))
    for completion in completions:
        assert isinstance(completion, Completion), completion
    return completions


def refusal(provider, request, kind=ProviderRefused):
    (error,) = provider.generate([request])
    assert type(error) is kind, error
    assert error.hint
    return str(error)


class TestHF(LocalProviderConformance):
    component = HFProvider

    @pytest.fixture(autouse=True)
    def _served(self, llama, monkeypatch):
        monkeypatch.setattr(type(self), "model", llama)


def mixed_requests(model, count=40):
    """Requests that differ in everything that requests may differ in."""
    dice = random.Random(5)
    return [
        ask(
            model,
            "word " * dice.randrange(1, 25),
            system=dice.choice(["", "Be brief."]),
            temperature=dice.choice([0.0, 0.7, 1.3]),
            top_p=dice.choice([1.0, 0.9, 0.5]),
            max_tokens=dice.choice([1, 5, 24]),
            seed=dice.randrange(1000),
            extra=dice.choice([{}, {"stop": ["e", "zz"]}]),
        )
        for _ in range(count)
    ]


@pytest.fixture(scope="session")
def alone(provider, llama):
    """Mixed requests, and the answer to each when it is asked alone."""
    return [(request, answer(provider, request)[0]) for request in mixed_requests(llama)]


@settings(max_examples=12, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.lists(st.integers(0, 39), min_size=1, max_size=33))
def test_an_answer_does_not_depend_on_its_batch(provider, alone, places):
    together = answer(provider, *(alone[place][0] for place in places))
    for place, completion in zip(places, together, strict=True):
        expected = alone[place][1]
        assert completion.text == expected.text
        assert completion.finish == expected.finish
        assert completion.logprobs == pytest.approx(expected.logprobs, abs=1e-4)


def test_answers_of_such_requests_differ(alone):
    assert len({completion.text for _, completion in alone}) > 25


def test_log_probabilities_are_those_of_one_pass_over_the_whole_text(provider, llama):
    # No cache, no padding, no batch: what the model gives to each token that was drawn.
    model = transformers.AutoModelForCausalLM.from_pretrained(llama, dtype=torch.float32).eval()
    tokenizer = transformers.AutoTokenizer.from_pretrained(llama)
    requests = [ask(llama, "a" * n, temperature=1.2, top_p=0.8, max_tokens=20) for n in (1, 9, 40)]
    served = provider._load(llama)
    for request in requests:
        prompt = served.prompt(request)
        (drawn,) = served.answer([prompt], None)
        turns = [{"role": "user", "content": request.messages[0].content}]
        read = tokenizer.apply_chat_template(turns, add_generation_prompt=True)["input_ids"]
        assert list(prompt.tokens) == read
        written = [*drawn.tokens, *([1] if drawn.finish == "stop" else [])]
        with torch.inference_mode():
            logs = model(torch.tensor([[*read, *written]])).logits[0].double().log_softmax(-1)
        expected = [logs[len(read) - 1 + i, token].item() for i, token in enumerate(written)]
        assert drawn.logprobs == pytest.approx(expected, abs=1e-4)
        (completion,) = answer(provider, request)
        assert completion.logprobs == tuple(drawn.logprobs)


def test_a_seed_decides_and_no_seed_does_not(provider, llama):
    seeded = {answer(provider, ask(llama, seed=3))[0].text for _ in range(3)}
    assert len(seeded) == 1
    free = {answer(provider, ask(llama, seed=None))[0].text for _ in range(5)}
    assert len(free) > 1


def test_samples_and_prompts_do_not_share_their_chance(provider, llama):
    texts = [answer(provider, ask(llama, sample=n))[0].text for n in range(5)]
    assert len(set(texts)) == 5
    chances = {provider._load(llama).prompt(ask(llama, text)).entropy for text in "abcde"}
    assert len(chances) == 5


def test_the_global_generator_of_torch_is_neither_read_nor_moved(provider, llama):
    torch.manual_seed(1)
    before = torch.random.get_rng_state()
    first = answer(provider, ask(llama))
    assert torch.equal(torch.random.get_rng_state(), before)
    torch.manual_seed(2)
    assert answer(provider, ask(llama)) == first


def test_a_system_message_and_examples_are_read_by_the_template(provider, llama):
    turns = tuple(
        Message(role=role, content=text)
        for role, text in (("user", "a"), ("assistant", "b"), ("user", "c"))
    )
    prompt = provider._load(llama).prompt(ask(llama, messages=turns, system="S"))
    text = provider._load(llama)._decoder.text(prompt.tokens)
    assert text == "<system>S\n<user>a\n<assistant>b\n<user>c\n<assistant>"


def test_a_model_without_a_template_reads_plain_text(provider, plain):
    served = provider._load(plain)
    assert served._decoder.text(served.prompt(ask(plain, "as it is")).tokens) == "as it is"
    text = served._decoder.text(served.prompt(ask(plain, "in", system="Do.")).tokens)
    assert text == "Do.\nin\n"


def test_an_answer_ends_before_its_stop(provider, llama):
    (whole,) = answer(provider, ask(llama, max_tokens=20))
    stop = whole.text[6:8]
    (cut,) = answer(provider, ask(llama, max_tokens=20, extra={"stop": ["\0\0", stop]}))
    assert cut.text == whole.text[: whole.text.index(stop)]
    assert cut.finish == "stop"
    assert cut.logprobs == whole.logprobs[: cut.tokens_out]
    assert cut.tokens_out < whole.tokens_out


def test_the_end_of_an_answer_is_counted_and_not_written(provider, llama, monkeypatch):
    monkeypatch.setattr(provider._load(llama)._decoder, "_ends", frozenset(range(2, 130)))
    (completion,) = answer(provider, ask(llama, max_tokens=40))
    assert completion.finish == "stop"
    assert completion.tokens_out == len(completion.logprobs) >= 1


@pytest.mark.parametrize(
    ("extra", "why"),
    [
        ({"top_k": 5, "guided_json": {}}, "guided_json, top_k"),
        ({"stop": ""}, "stop is ''"),
        ({"stop": [""]}, "stop is"),
        ({"stop": 7}, "stop is 7"),
    ],
)
def test_what_is_not_known_is_refused_and_not_ignored(provider, llama, extra, why):
    assert why in refusal(provider, ask(llama, extra=extra))


def test_prompt_and_answer_must_fit_into_the_window(provider, plain):
    assert answer(provider, ask(plain, "x" * 246, max_tokens=10))[0].tokens_in == 246
    said = refusal(provider, ask(plain, "x" * 247, max_tokens=10))
    assert "247 tokens and max_tokens is 10" in said
    assert "256 in all" in said


def test_nothing_to_read_is_refused(provider, plain):
    assert "empty" in refusal(provider, ask(plain, ""))


def test_a_template_that_takes_no_system_message_is_named(provider, new_model, tmp_path):
    template = (
        "{% if messages[0]['role'] == 'system' %}{{ raise_exception('no system role') }}"
        "{% endif %}{% for m in messages %}{{ m['content'] }}{% endfor %}"
    )
    model = str(new_model(tmp_path / "m", template=template))
    assert "no system role" in refusal(provider, ask(model, system="Be brief."))
    assert answer(provider, ask(model))


def test_a_template_cannot_reach_out_of_its_sandbox(provider, new_model, tmp_path):
    template = "{{ messages.__class__.__mro__[1].__subclasses__() }}"
    model = str(new_model(tmp_path / "m", template=template))
    assert "chat template" in refusal(provider, ask(model))


def test_two_models_stay_in_memory_and_the_oldest_goes_first(llama, plain, new_model, tmp_path):
    provider = HFProvider()
    third = str(new_model(tmp_path / "third", seed=3))
    answer(provider, ask(llama), ask(plain), ask(third), ask(plain))
    assert list(provider._served) == [provider._find(model)[0] for model in (plain, third)]
    provider.close()
    assert not provider._served


def test_one_model_under_two_names_is_loaded_once(provider, llama, monkeypatch):
    answer(provider, ask(llama))
    monkeypatch.chdir(llama)
    before = len(provider._served)
    assert answer(provider, ask("."))[0].text == answer(provider, ask(llama))[0].text
    assert len(provider._served) == before


def test_the_answer_says_which_weights_gave_it(provider, llama):
    assert answer(provider, ask(llama))[0].model == f"{llama}@{provider.fingerprint(llama)[:16]}"


def test_changed_weights_are_another_model_and_do_not_answer_in_its_name(new_model, tmp_path):
    provider = HFProvider()
    model = str(new_model(tmp_path / "m"))
    answer(provider, ask(model))
    before = provider.fingerprint(model)
    new_model(tmp_path / "m", seed=9)
    assert "have changed" in refusal(provider, ask(model))
    with pytest.raises(ProviderRefused, match="have changed"):
        provider.fingerprint(model)
    assert HFProvider().fingerprint(model) != before


def test_weights_that_change_before_they_are_loaded_are_noticed(new_model, tmp_path):
    provider = HFProvider()
    model = str(new_model(tmp_path / "m"))
    provider.fingerprint(model)
    new_model(tmp_path / "m", seed=9)
    assert "have changed" in refusal(provider, ask(model))


def test_a_model_that_is_deleted_under_way_is_named(new_model, tmp_path):
    provider = HFProvider()
    model = new_model(tmp_path / "m")
    answer(provider, ask(str(model)))
    shutil.rmtree(model)
    assert f"{model} cannot be read" in refusal(provider, ask(str(model)))


def test_weights_that_are_no_numbers_give_no_answer(provider, new_model, tmp_path):
    folder = new_model(tmp_path / "m")
    safetensors = pytest.importorskip("safetensors.torch")
    weights = safetensors.load_file(folder / "model.safetensors")
    weights["model.norm.weight"] = weights["model.norm.weight"] * float("nan")
    safetensors.save_file(weights, folder / "model.safetensors", {"format": "pt"})
    assert "no numbers" in refusal(provider, ask(str(folder)), ProviderBadReply)


def test_a_gpu_that_is_not_there_is_one_clear_error(llama, monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    provider = HFProvider(HFOptions(device="cuda"))
    with pytest.raises(ProviderRefused, match="finds no GPU here") as caught:
        provider.capabilities(llama)
    assert 'device = "auto"' in caught.value.hint
    assert "finds no GPU here" in refusal(provider, ask(llama))
    assert HFProvider(HFOptions(device="auto")).capabilities(llama)


@pytest.mark.parametrize("options", [{"device": "tpu"}, {"dtype": "int8"}, {"batch": 0}])
def test_options_that_mean_nothing_are_refused(options):
    with pytest.raises(ValueError, match=next(iter(options))):
        HFOptions(**options)


def test_a_smaller_number_format_answers_too(llama):
    provider = HFProvider(HFOptions(dtype="bfloat16"))
    (completion,) = answer(provider, ask(llama))
    assert next(provider._load(llama)._decoder.model.parameters()).dtype == torch.bfloat16
    assert all(value <= 0 for value in completion.logprobs)


def test_an_interrupt_leaves_the_model_whole(provider, llama, monkeypatch):
    before = answer(provider, ask(llama))
    decoder = provider._load(llama)._decoder
    calls = iter(range(100))

    def interrupted(tokens):
        if next(calls) == 3:
            raise KeyboardInterrupt
        return False

    with monkeypatch.context() as patched:
        patched.setattr(decoder, "ends", interrupted)
        with pytest.raises(KeyboardInterrupt):
            provider.generate([ask(llama)])
    assert answer(provider, ask(llama)) == before
