"""Train one model of a recipe: resume from its checkpoints, save it, record how it was trained."""

import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from datasets import Dataset
from torch import nn
from transformers import TrainerCallback

from ..objectives import Objective
from ..reports.report import plain
from ..teachers import Teacher
from ..training.arguments import DistillationTrainingArguments
from ..training.trainer import DistillationTrainer
from .callbacks import Interrupted, SaveOnSignal
from .context import RunContext
from .data import Processor, RecipeData


def save_model(model: nn.Module, folder: Path, processor: Processor) -> None:
    """Write a model and its processor."""
    model.save_pretrained(folder)
    processor.save_pretrained(folder)


def train_model(
    context: RunContext,
    name: str,
    model: nn.Module,
    rows: Dataset,
    training: DistillationTrainingArguments,
    *,
    teacher: Teacher | None = None,
    objective: Objective | None = None,
    processor: Processor | None = None,
    save: Callable[[nn.Module, Path, Processor], None] = save_model,
    callbacks: Sequence[TrainerCallback] = (),
) -> Path:
    """Train a model from its last checkpoint, or from the start, and make its folder.

    Args:
        context (`RunContext`): With prepared data.
        name (`str`): Name of the model and of its folder.
        model (`nn.Module`): The model before training.
        rows (`datasets.Dataset`): The prepared rows that it learns from.
        training (`DistillationTrainingArguments`): Its training arguments; checkpoints go into the run's folder.
        teacher (`Teacher`, *optional*): None for learning from labels alone.
        objective (`Objective`, *optional*): Default: labels and soft targets by the training arguments.
        processor (*optional*): Of the model. Default: the student's.
        save (callable): Writes model and processor into a folder.
        callbacks (`list[TrainerCallback]`): Further callbacks.

    Returns:
        `Path`: The folder of the trained model.

    Raises:
        Interrupted: A signal stopped the training (Ctrl-C, SIGTERM, SIGHUP); a checkpoint was written.
    """
    processor = processor or context.data.processor
    stop = SaveOnSignal(context.process)
    trainer = DistillationTrainer(
        model,
        teacher,
        _arguments(context, name, training),
        objective=objective,
        train_dataset=rows,
        callbacks=[stop, *callbacks],
        **_trainer_data(context.data, processor),
    )
    if context.configure_trainer is not None:
        context.configure_trainer(trainer)
    began = time.monotonic()  # a clock may be set back
    try:
        trainer.train(resume_from_checkpoint=True)
        state = trainer.state
        if stop.has_stopped and state.global_step < state.max_steps:
            raise Interrupted(f"{name} is at step {state.global_step} of {state.max_steps}.", stop.signal_number)
        if context.process.is_main_process:
            context.folder.finish(name, lambda folder: save(trainer.model, folder, processor), _record(trainer, began))
        context.process.wait_for_everyone()
        if stop.agree():  # the signal came at the last step, or after it
            raise Interrupted(f"{name} is finished.", stop.signal_number)
    finally:
        stop.close()
    return context.folder.path / name


def _arguments(
    context: RunContext, name: str, training: DistillationTrainingArguments
) -> DistillationTrainingArguments:
    """The arguments of one training of the run."""
    return replace(
        training,
        output_dir=str(context.folder.checkpoints(name)),
        dataloader_pin_memory=torch.cuda.is_available(),
        push_to_hub=False,  # only the finished student is pushed
        hub_model_id=None,
    )


def _record(trainer: DistillationTrainer, began: float) -> dict[str, Any]:
    """See `RunFolder.training_record`; `began` is of the monotonic clock."""
    return {
        "steps": trainer.state.global_step,
        "seconds": time.monotonic() - began,
        "objective": trainer.objective.describe(),
        "log_history": plain(trainer.state.log_history),
    }


def _trainer_data(data: RecipeData, processor: Processor) -> dict[str, Any]:
    """The trainer's arguments that depend on the data and on the model's processor alone."""
    return {
        "eval_dataset": data.prepared.get("validation"),
        "data_collator": data.collator_for(processor),
        "processing_class": processor,
        "compute_metrics": data.compute_metrics(),
    }
