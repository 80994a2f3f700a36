"""Training itself: the model in PyTorch, its file, and runs that stop and go on."""

import sys
from dataclasses import replace
from itertools import islice
from pathlib import Path

import numpy as np
import pytest

torch = pytest.importorskip("torch")

sys.path.append(str(Path(__file__).parents[1]))  # The folder training is not in the wheel.

from penin_tiny.batch import Batch as RuntimeBatch  # noqa: E402
from penin_tiny.decoding import Decoder  # noqa: E402
from penin_tiny.weights import PATH, load  # noqa: E402
from training import train, weightfile  # noqa: E402
from training.answering import Given, calibration_error, decoder  # noqa: E402
from training.batches import collate, stream  # noqa: E402
from training.encoding import Encoded, Encoder  # noqa: E402
from training.model import Model, Shape  # noqa: E402

SMALL = Shape(vocabulary=300, width=16, heads=2, layers=2, feed_forward=32)
TEXT = "Answer.\nInput: paid EUR 89. Q: amount?\nOutput: "


@pytest.fixture(autouse=True)
def _one_thread() -> None:
    torch.set_num_threads(1)


def small() -> Model:
    torch.manual_seed(0)
    model = Model(SMALL)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter += torch.randn_like(parameter) * 0.1
    return model


@pytest.mark.parametrize("taps", [1, 4])
@pytest.mark.parametrize("pointer", [True, False])
def test_distributions_sum_to_one_and_know_nothing_of_the_future(taps: int, pointer: bool) -> None:
    torch.manual_seed(0)
    model = Model(replace(SMALL, taps=taps, pointer=pointer))
    tokens = torch.randint(300, (2, 9))
    places = torch.tensor([3, 9 + 4])
    p = model.distributions(tokens, places).detach()
    assert p.sum(1) == pytest.approx(1.0, abs=1e-5)
    changed = tokens.clone()
    changed[:, 5:] = 7
    assert torch.allclose(model.distributions(changed, places).detach(), p, atol=1e-6)


def test_the_runtime_computes_what_was_trained() -> None:
    model, words = weightfile.load(PATH)
    runtime = Decoder(load())
    ids = runtime.tokenize(TEXT)
    with torch.no_grad():
        ours = model.distributions(torch.tensor([ids]), torch.tensor([len(ids) - 1]))[0].numpy()
    ours[:4] = 0
    batch = RuntimeBatch(runtime.model, 1, len(ids) + 1)
    batch.admit(runtime.read(ids))
    assert np.allclose(batch.distribution()[0], ours / ours.sum(), atol=1e-4)
    assert Encoder(words).tokenizer.size == model.shape.vocabulary


def test_a_file_is_read_back_in_half_precision(tmp_path: Path) -> None:
    words = tuple(f" w{letter}" for letter in "abcdefghijklmnopqrstuvwxyzAB")
    model = Model(replace(SMALL, vocabulary=Encoder(words).tokenizer.size))
    digest = weightfile.save(model, words, tmp_path / "weights.npz")
    again, found = weightfile.load(tmp_path / "weights.npz")
    assert found == words
    assert len(digest) == 64
    for name, value in model.state_dict().items():
        assert torch.allclose(again.state_dict()[name], value, atol=2e-3), name
    assert decoder(tmp_path / "weights.npz").tokenizer.size == model.shape.vocabulary


def test_a_model_without_a_pointer_is_not_exported(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="without a pointer"):
        weightfile.save(Model(replace(SMALL, pointer=False)), (), tmp_path / "weights.npz")


def test_new_words_change_little_of_what_a_model_knew() -> None:
    model, words = weightfile.load(PATH)
    grown = weightfile.grow(model, words, (*words, " zebra", " gnu"))
    old, new = Encoder(words).tokenizer, Encoder((*words, " zebra", " gnu")).tokenizer
    assert grown.shape.vocabulary == model.shape.vocabulary + 2

    def next_token(of: Model, tokenizer: object) -> str:
        ids = [1, *tokenizer.encode(TEXT)]  # type: ignore[attr-defined]
        p = of.distributions(torch.tensor([ids]), torch.tensor([len(ids) - 1]))
        return str(tokenizer.decode([int(p.argmax())]))  # type: ignore[attr-defined]

    assert next_token(grown, new) == next_token(model, old)


def test_a_word_list_that_does_not_go_on_with_the_old_one_is_refused() -> None:
    model, words = weightfile.load(PATH)
    with pytest.raises(ValueError, match="begin with the old one"):
        weightfile.grow(model, words, words[1:])


def test_batches_are_padded_behind_and_learn_from_answers_only() -> None:
    batch = collate(
        [Encoded((1, 5, 6), (0.0, 0.0, 1.5)), Encoded((1, 7, 8, 9), (0.0, 0.0, 0.5, 2.0))]
    )
    assert batch.tokens.tolist() == [[1, 5, 0], [1, 7, 8]]
    assert batch.places.tolist() == [1, 4, 5]
    assert batch.targets.tolist() == [6, 8, 9]
    assert batch.weights.tolist() == [1.5, 0.5, 2.0]


def test_a_stream_goes_on_where_it_stood() -> None:
    encoder = Encoder(())
    whole = list(islice(stream(encoder, "s", 1024), 40))
    after = list(islice(stream(encoder, "s", 1024, 21), 19))
    for ours, theirs in zip(after, whole[21:], strict=True):
        assert torch.equal(ours.tokens, theirs.tokens)
        assert torch.equal(ours.targets, theirs.targets)
    assert not torch.equal(whole[0].tokens, whole[1].tokens)


def test_no_batch_is_larger_than_asked_for() -> None:
    sizes = [batch.tokens.numel() for batch in islice(stream(Encoder(()), "s", 1024), 40)]
    assert max(sizes) <= 1024
    assert sum(sizes) / 40 > 700


def run(folder: Path, steps: int, *more: str) -> train.Run:
    arguments = ["--steps", str(steps), "--tokens", "512", "--bytes-only", "--check-every", "2"]
    torch.manual_seed(0)
    going = train.Run(train.options([str(folder), *arguments, *more]), rank=0, processes=1)
    going.checks = {}
    going.go()
    return going


def test_a_run_that_was_stopped_ends_where_an_unbroken_one_does(tmp_path: Path) -> None:
    unbroken = run(tmp_path / "one", 4)
    stopped = train.options([str(tmp_path / "two"), "--steps", "4", "--tokens", "512"])
    stopped.bytes_only, stopped.check_every = True, 2
    torch.manual_seed(0)
    going = train.Run(stopped, rank=0, processes=1)
    going.checks = {}
    with pytest.MonkeyPatch.context() as patch:
        update = going._update

        def failing(batch: object) -> float:
            if going.step == 3:
                raise KeyboardInterrupt
            return float(update(batch))

        patch.setattr(going, "_update", failing)
        with pytest.raises(KeyboardInterrupt):
            going.go()
    resumed = run(tmp_path / "two", 4)
    assert resumed.step == unbroken.step == 4
    for name, value in unbroken.model.state_dict().items():
        assert torch.equal(resumed.model.state_dict()[name], value), name


def test_training_lowers_the_loss(tmp_path: Path) -> None:
    going = run(tmp_path, 1, "--hold", "0.9")
    batch = next(stream(going.encoder, "other", 512))

    def loss() -> float:
        with torch.no_grad():
            return float(going.model(batch.tokens, batch.places, batch.targets)[0].mean())

    before = loss()
    run_on = run(tmp_path, 12, "--muon", "0.02", "--hold", "0.9")
    going.model.load_state_dict(run_on.model.state_dict())
    assert loss() < before - 0.3


@pytest.mark.parametrize("more", [(), ("--no-muon",), ("--no-pointer",), ("--taps", "1")])
def test_every_ablation_trains(tmp_path: Path, more: tuple[str, ...]) -> None:
    assert np.isfinite(run(tmp_path, 2, *more).loss)


def test_the_rate_rises_holds_and_falls() -> None:
    shares = [train.rate(step, 1000, 0.4) for step in range(1000)]
    assert shares[0] == 1 / train.WARM_UP
    assert shares[100] == shares[399] == 1.0
    assert shares[400:] == sorted(shares[400:], reverse=True)
    assert shares[-1] == pytest.approx(train.FLOOR, abs=1e-4)
    assert train.rate(999, 1000, 1.0) == 1.0


def test_every_parameter_is_updated_by_one_optimizer() -> None:
    model = small()
    for arguments in (["x"], ["x", "--no-muon"]):
        found = train.optimizers(model, train.options(arguments))
        ids = [id(p) for o in found for group in o.param_groups for p in group["params"]]
        assert sorted(ids) == sorted(id(p) for p in model.parameters())


def test_calibration_error_is_the_mean_gap_of_confidence_and_accuracy() -> None:
    given = [Given("", 0.95), Given("", 0.95), Given("", 0.15)]
    assert calibration_error(given, [True, False, False]) == pytest.approx((0.9 + 0.15) / 3)


def test_batches_do_not_depend_on_who_prepares_them() -> None:
    encoder = Encoder((" the",))
    alone = list(islice(stream(encoder, "s", 512), 5))
    helped = stream(encoder, "s", 512, workers=1)
    for ours, theirs in zip(alone, helped, strict=False):
        assert torch.equal(ours.tokens, theirs.tokens)
    helped.close()  # type: ignore[attr-defined]
