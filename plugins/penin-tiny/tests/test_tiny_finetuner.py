"""The contract of a local fine-tuner, from examples to answers of the tuned model."""

from pathlib import Path
from typing import Any, ClassVar

import pytest
from pydantic import ValidationError

from penin_core import (
    Completion,
    FineTuningUnavailable,
    Message,
    ProviderRefused,
    Request,
    TrainingExample,
    TrainingFailed,
    TrainingJob,
    TrainingProgress,
)
from penin_core.testing import LocalFineTunerConformance
from penin_tiny.finetuner import (
    EPOCHS,
    MEMBERS,
    MIN_EXAMPLES,
    PLENTY,
    RATE,
    TinyFineTuner,
    TinyHyperparams,
    course_of,
)
from penin_tiny.provider import CONTEXT_TOKENS, TUNED, TinyProvider
from penin_tiny.tuned import FILE

TUNER = TinyFineTuner()
ASK = "Give the priority: P1, P2 or P3. Answer with one word."
#: What is held back of 25 examples with the seed 3: models are published that were trained so.
DRAWN = (0, 12, 13, 15, 23)
KINDS = [("refund my order", "P1"), ("where is my parcel", "P2"), ("thank you", "P3")]
SETTINGS = {"learning_rate": 1e-3, "batch_size": 4, "replay": 0, "spelling": 0.0, "n_epochs": 8}


def example(text: str, answer: str, system: str = ASK) -> TrainingExample:
    return TrainingExample(
        system=system, messages=(Message(role="user", content=text),), answer=answer
    )


EXAMPLES = tuple(example(f"{text} {n}", answer) for n in range(8) for text, answer in KINDS)


def job(folder: Path, **changes: Any) -> TrainingJob:
    fields: dict[str, Any] = {
        "model": "tiny-5",
        "train": EXAMPLES,
        "validation": EXAMPLES[:3],
        "hyperparams": TinyHyperparams(**SETTINGS).model_dump(),
        "seed": 3,
        "folder": folder,
    }
    return TrainingJob(**{**fields, **changes})


def nothing(_: TrainingProgress) -> None:
    """Watch in silence."""


def ask(text: str, adapter: Path | None, **changes: Any) -> Request:
    fields: dict[str, Any] = {
        "provider": "tiny",
        "model": "tiny-5",
        "system": ASK,
        "messages": (Message(role="user", content=text),),
        "temperature": 0.0,
        "logprobs": True,
        "adapter": None if adapter is None else str(adapter),
    }
    return Request(**{**fields, **changes})


class TestTinyFineTuner(LocalFineTunerConformance):
    component = TinyFineTuner
    model = "tiny-5"
    hyperparams: ClassVar[dict[str, Any]] = {"n_epochs": 1, "replay": 2}
    examples: ClassVar[tuple[TrainingExample, ...]] = EXAMPLES


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    place = tmp_path_factory.mktemp("tuned")
    trained = TUNER.train(job(place), nothing)
    assert trained.files == (FILE,)
    assert trained.figures["validation_loss"] < trained.figures["validation_loss_before"]
    return place


def test_a_tuned_model_answers_what_it_was_taught_and_the_base_does_not(folder: Path) -> None:
    provider = TinyProvider()
    requests = [ask(f"{text} 77", adapter) for text, _ in KINDS for adapter in (None, folder)]
    outcomes = provider.generate(requests)
    texts = [item.text for item in outcomes if isinstance(item, Completion)]
    assert texts[1::2] == [answer for _, answer in KINDS]
    assert not set(texts[0::2]) & {"P1", "P2", "P3"}


def test_a_broken_adapter_takes_nobody_with_it(folder: Path, tmp_path: Path) -> None:
    (tmp_path / FILE).write_bytes((folder / FILE).read_bytes()[:-50])
    adapters = [None, tmp_path, folder, tmp_path / "nowhere", None]
    outcomes = TinyProvider().generate([ask("thank you 77", adapter) for adapter in adapters])
    assert [isinstance(item, ProviderRefused) for item in outcomes] == [
        *(False, True, False, True, False)
    ]
    refused = [item for item in outcomes if isinstance(item, ProviderRefused)]
    assert str(tmp_path) in str(refused[0])
    assert all(item.hint for item in refused)
    assert outcomes[0] == outcomes[4]


def test_many_tuned_models_are_served_and_few_are_kept(folder: Path, tmp_path: Path) -> None:
    provider = TinyProvider()
    copies = [tmp_path / str(number) for number in range(TUNED + 2)]
    for copy in copies:
        copy.mkdir()
        (copy / FILE).write_bytes((folder / FILE).read_bytes())
    outcomes = provider.generate([ask("thank you 77", copy) for copy in copies * 2])
    assert {item.text for item in outcomes if isinstance(item, Completion)} == {"P3"}
    assert len(provider._tuned) == TUNED


def test_a_file_that_was_replaced_is_read_again(folder: Path, tmp_path: Path) -> None:
    provider = TinyProvider()
    (tmp_path / FILE).write_bytes((folder / FILE).read_bytes())
    assert isinstance(provider.generate([ask("thank you 77", tmp_path)])[0], Completion)
    (tmp_path / FILE).write_bytes(b"something else")
    assert isinstance(provider.generate([ask("thank you 77", tmp_path)])[0], ProviderRefused)


def test_log_probabilities_of_a_tuned_model_are_those_of_its_temperature(folder: Path) -> None:
    (outcome,) = TinyProvider().generate([ask("thank you 77", folder)])
    assert isinstance(outcome, Completion)
    assert outcome.logprobs is not None
    assert all(value <= 0.0 for value in outcome.logprobs)


def test_capabilities_name_the_window_and_no_price() -> None:
    capabilities = TUNER.capabilities("tiny-5")
    assert capabilities.context_tokens == CONTEXT_TOKENS
    assert capabilities.usd_per_million == 0.0
    assert capabilities.min_examples == MIN_EXAMPLES


def test_an_unknown_model_cannot_be_trained() -> None:
    with pytest.raises(FineTuningUnavailable, match="tiny-9") as caught:
        TUNER.capabilities("tiny-9")
    assert "tiny-5" in caught.value.hint


def test_tokens_are_those_of_prompt_and_answer() -> None:
    provider = TinyProvider()
    (outcome,) = provider.generate([ask("hello there", None)])
    assert isinstance(outcome, Completion)
    assert TUNER.tokens("tiny-5", example("hello there", "P1")) == outcome.tokens_in + 3


def test_an_answer_of_two_lines_is_refused_where_lengths_are_counted() -> None:
    with pytest.raises(ProviderRefused, match="has a line break") as caught:
        TUNER.tokens("tiny-5", example("hello there", "P1\nP2"))
    assert "one line" in caught.value.hint


def test_too_few_examples_are_refused(tmp_path: Path) -> None:
    with pytest.raises(TrainingFailed, match=f"19 training examples.*{MIN_EXAMPLES}"):
        course_of(job(tmp_path, train=EXAMPLES[:19]))


def test_examples_longer_than_the_window_are_refused(tmp_path: Path) -> None:
    long = example("7" * 600, "P1")
    with pytest.raises(TrainingFailed, match=r"1 of 25 training .* example 25 has \d+"):
        course_of(job(tmp_path, train=(*EXAMPLES, long)))
    with pytest.raises(TrainingFailed, match="1 of 1 validation"):
        course_of(job(tmp_path, validation=(long,)))


def test_contradictions_are_refused(tmp_path: Path) -> None:
    with pytest.raises(TrainingFailed, match="examples 3 and 25"):
        course_of(job(tmp_path, train=(*EXAMPLES, example("thank you 0", "P1"))))


@pytest.mark.parametrize(
    "settings",
    [
        {"n_epochs": 0},
        {"learning_rate": 1.0},
        {"learning_rate": float("nan")},
        {"batch_size": 257},
        {"rank": 0},
        {"method": "qlora"},
        {"replay": -1},
        {"spelling": 1.1},
        {"patience": 0},
        {"epochs": 3},
    ],
)
def test_settings_out_of_range_are_refused_by_name(
    tmp_path: Path, settings: dict[str, Any]
) -> None:
    with pytest.raises(ValidationError, match=next(iter(settings))):
        course_of(job(tmp_path, hyperparams=settings))


def test_without_validation_examples_a_share_is_held_back_by_the_seed(tmp_path: Path) -> None:
    courses = [course_of(job(tmp_path, validation=(), seed=seed)) for seed in (1, 1, 2)]
    assert courses[0] == courses[1]
    assert courses[0].validation != courses[2].validation
    for course in courses:
        assert len(course.validation) == len(EXAMPLES) // 5
        assert len(course.rows) + len(course.validation) == len(EXAMPLES)
        assert not set(course.rows) & set(course.validation)


@pytest.mark.parametrize(("rows", "aside"), [(20, 4), (100, 20), (260, 50), (400, 50), (620, 62)])
def test_a_tenth_is_held_back_and_of_few_rows_more(tmp_path: Path, rows: int, aside: int) -> None:
    many = tuple(example(f"thank you {n}", "P3") for n in range(rows))
    assert len(course_of(job(tmp_path, train=many, validation=())).validation) == aside


def test_an_example_that_occurs_more_than_once_stands_on_one_side_only(tmp_path: Path) -> None:
    many = tuple(example(f"thank you {n % 60}", "P3") for n in range(300))
    course = course_of(job(tmp_path, train=many, validation=()))
    assert not set(course.rows) & set(course.validation)
    assert len(course.validation) == len(set(course.validation)) == 60 // 5
    assert len(course.rows) == 300 - 5 * len(course.validation)


def test_what_is_held_back_of_different_examples_is_drawn_as_ever(tmp_path: Path) -> None:
    many = tuple(example(f"thank you {n}", "P3") for n in range(25))
    course = course_of(job(tmp_path, train=many, validation=(), seed=3))
    assert [row.input for row in course.validation] == [f"thank you {n}" for n in DRAWN]
    assert [row.input for row in course.rows] == [
        f"thank you {n}" for n in range(25) if n not in DRAWN
    ]


def test_too_few_different_examples_to_hold_one_back_are_refused(tmp_path: Path) -> None:
    many = tuple(example(f"thank you {n % 4}", "P3") for n in range(40))
    with pytest.raises(TrainingFailed, match="4 different training examples, 5 are needed"):
        course_of(job(tmp_path, train=many, validation=()))
    assert course_of(job(tmp_path, train=many)).validation


def test_only_a_full_training_takes_the_mean_of_several_models(tmp_path: Path) -> None:
    assert MEMBERS > 1
    for method, members in (("full", MEMBERS), ("lora", 1)):
        assert course_of(job(tmp_path, hyperparams={"method": method})).members == members


def test_few_rows_are_learnt_gently_where_nothing_else_is_said(tmp_path: Path) -> None:
    many = tuple(example(f"thank you {n}", "P3") for n in range(2 * PLENTY))
    found = [
        course_of(job(tmp_path, train=many[:n], hyperparams={})) for n in (128, PLENTY, len(many))
    ]
    assert [course.epochs for course in found] == [EPOCHS // 2, EPOCHS, EPOCHS]
    assert [course.rate for course in found] == pytest.approx([RATE / 2, RATE, RATE])
    said = course_of(job(tmp_path, hyperparams={"n_epochs": 9, "learning_rate": 1e-3}))
    assert (said.epochs, said.rate) == (9, 1e-3)


def test_as_many_replay_rows_as_asked_are_mixed_in(tmp_path: Path) -> None:
    for count in (0, 5, 128):
        course = course_of(job(tmp_path, hyperparams={"replay": count}))
        assert len(course.replay) == count
