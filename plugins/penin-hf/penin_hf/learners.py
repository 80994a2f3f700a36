"""TRL's trainers, set up for one course: they train, and leave the rest to ``Training``."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import datasets
import peft
import torch
import transformers
import trl
from safetensors.torch import load_file, save_file
from transformers.trainer_callback import PrinterCallback, TrainerCallback

from penin_core import TrainingFailed

from .course import Course
from .lessons import Lesson
from .loading import device_of, load_model, load_tokenizer

ADAPTER = "adapter.safetensors"


def learner(course: Course, folder: Path, after_step: Callable[[float], bool]) -> Any:
    """Return a trainer for ``course``, with an adapter that changes nothing yet.

    It calls ``after_step`` with the loss of every step, and ends where that returns True. It writes
    nothing by itself.

    Raises:
        TrainingFailed: a name in ``target_modules`` is none of the model's matrices.
        ProviderRefused: the model cannot be loaded.
    """
    transformers.utils.logging.set_verbosity_error()
    transformers.utils.logging.disable_progress_bar()
    transformers.set_seed(course.seed)
    model = load_model(course.model, course.options)
    adapter = lora(course, model)
    kind, config, rows = (
        (trl.DPOTrainer, trl.DPOConfig, _preferences)
        if course.settings.method == "dpo"
        else (trl.SFTTrainer, trl.SFTConfig, _answers)
    )
    made = _quiet(kind, after_step)(
        model=model,
        args=_arguments(config, course, folder),
        train_dataset=rows(course.train),
        eval_dataset=rows(course.validation),
        processing_class=load_tokenizer(course.model, course.options),
        peft_config=adapter,
    )
    made.remove_callback(PrinterCallback)
    return made


def lora(course: Course, model: Any) -> Any:
    """Return PEFT's description of the adapter of ``course`` for ``model``.

    Raises:
        TrainingFailed: a name in ``target_modules`` is none of the model's matrices.
    """
    settings = course.settings
    return peft.LoraConfig(
        task_type="CAUSAL_LM",
        r=settings.rank,
        lora_alpha=settings.alpha or 2 * settings.rank,
        lora_dropout=settings.dropout,
        target_modules=_targets(course, model),
    )


def weights_of(model: Any) -> dict[str, torch.Tensor]:
    """Return a copy of the adapter's weights, under PEFT's names."""
    state = peft.get_peft_model_state_dict(model, save_embedding_layers=False)
    return {name: value.detach().to("cpu", copy=True).contiguous() for name, value in state.items()}


def set_weights(model: Any, weights: dict[str, torch.Tensor]) -> None:
    """Put ``weights`` in place of the adapter's."""
    peft.set_peft_model_state_dict(model, weights)


def _quiet(kind: Any, after_step: Callable[[float], bool]) -> Any:
    """Return a trainer that takes rows as tokens, writes no cards, and tells of its steps."""

    class Learner(kind):  # type: ignore[misc]
        def __init__(self, **given: Any) -> None:
            super().__init__(callbacks=[_Steps(lambda: after_step(self._loss))], **given)
            self._loss = 0.0

        def training_step(self, *args: Any, **given: Any) -> Any:
            loss = super().training_step(*args, **given)
            self._loss = float(loss)
            return loss

        def write_checkpoint(self, folder: Path) -> None:
            """Write what ``train(resume_from_checkpoint=folder)`` goes on from."""
            self._save_optimizer_and_scheduler(str(folder))
            self._save_rng_state(str(folder))
            self.state.save_to_json(str(folder / "trainer_state.json"))
            save_file(weights_of(self.model), folder / ADAPTER)

        def _load_from_checkpoint(self, path: str, model: Any = None) -> None:
            set_weights(self.model, load_file(Path(path) / ADAPTER))

        def _prepare_dataset(self, dataset: Any, *_args: Any) -> Any:
            return dataset

    return Learner


class _Steps(TrainerCallback):  # type: ignore[misc]
    def __init__(self, after_step: Callable[[], bool]) -> None:
        self._after_step = after_step

    def on_step_end(self, args: Any, state: Any, control: Any, **_given: Any) -> Any:
        if self._after_step():
            control.should_training_stop = True
        return control


def _arguments(kind: Any, course: Course, folder: Path) -> Any:
    settings = course.settings
    on_cpu = device_of(course.options).type == "cpu"
    special = {"beta": settings.beta} if settings.method == "dpo" else {}
    args = kind(
        output_dir=str(folder),
        num_train_epochs=settings.n_epochs,
        per_device_train_batch_size=settings.batch_size,
        per_device_eval_batch_size=settings.batch_size,
        learning_rate=course.rate,
        max_length=None,
        seed=course.seed,
        data_seed=course.seed,
        use_cpu=on_cpu,
        bf16=False,
        gradient_checkpointing=not on_cpu,
        dataloader_pin_memory=False,
        logging_strategy="no",
        eval_strategy="no",
        save_strategy="no",
        report_to="none",
        disable_tqdm=True,
        **special,
    )
    # Looked at first, because that counts the GPUs; a second one would be refused by TRL.
    if args.device.type == "cuda":
        args._n_gpu = 1
    return args


def _answers(lessons: Sequence[Lesson]) -> Any:
    rows = [
        {
            "input_ids": [*each.prompt, *each.answer],
            "labels": [*[-100] * len(each.prompt), *each.answer],
        }
        for each in lessons
    ]
    return datasets.Dataset.from_list(rows)


def _preferences(lessons: Sequence[Lesson]) -> Any:
    rows = [
        {
            "prompt_ids": list(each.prompt),
            "chosen_ids": list(each.answer),
            "rejected_ids": list(each.rejected),
        }
        for each in lessons
    ]
    return datasets.Dataset.from_list(rows)


def _targets(course: Course, model: Any) -> list[str]:
    """Return the names of the matrices that change: short ones, as every server of LoRA knows."""
    output = model.get_output_embeddings()
    places = [
        name
        for name, module in model.named_modules()
        if type(module).__name__ in ("Linear", "Conv1D") and module is not output
    ]
    known = sorted({place.rpartition(".")[2] for place in places})
    chosen = course.settings.target_modules
    if isinstance(chosen, str):
        return known
    unknown = [t for t in chosen if not any(f".{place}".endswith(f".{t}") for place in places)]
    if unknown or not chosen:
        raise TrainingFailed(
            f"target_modules = {list(chosen)!r}: an adapter for {course.model} cannot change "
            f"{repr(unknown[0]) if unknown else 'nothing'}",
            hint=f"known: {', '.join(known)}; all-linear is all of them",
        )
    return sorted(chosen)
