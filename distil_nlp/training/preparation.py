"""Checks and setup before the first training step: the teacher, the objective, the data."""

import copy
import itertools
import logging
from collections.abc import Callable, Collection, Iterator, Mapping
from pathlib import Path
from typing import Any, cast

import datasets
import torch
from accelerate.utils import broadcast_object_list
from torch import nn
from transformers import Trainer, TrainingArguments
from transformers.trainer_utils import has_length

from ..data.label_check import check_label_column, labels_are_of_column
from ..internals.messages import listed, shown
from ..objectives import Objective, default_objective
from ..signals.forward import accepted_columns, forward_logits, predicts_spans
from ..signals.labels import read_labels
from ..signals.problem_kinds import ProblemKind, problem_kind_of_model
from ..teachers import Teacher, as_teacher, probe
from ..teachers.capacity import warn_of_gap
from ..teachers.probe import labeled_items
from .arguments import DistillationTrainingArguments, objective_settings
from .checkpoints import check_checkpoint, check_settings, delete_unfinished, last_complete_checkpoint
from .compat import PrivateHooks, numeric_columns
from .data_check import explained_collating, named_datasets
from .projections import dry_run

logger = logging.getLogger(__name__)


class PreparationMixin(PrivateHooks):
    """The part of `DistillationTrainer` that runs before the first step."""

    args: DistillationTrainingArguments
    _kind: ProblemKind | None = None  # of the student, from the first batch
    probes_teacher = True  # False if the teacher was probed before on these examples

    @property
    def _output_dir(self) -> Path:
        return Path(self.args.output_dir or "")  # never None: TrainingArguments has a default

    def _prepare_teacher(self, teacher: Any) -> Teacher | None:
        """The teacher as a `Teacher`, reconciled with the student and placed on the device."""
        if teacher is None:
            return None
        teacher = as_teacher(teacher, student=self.model, dtype=self.args.teacher_dtype)
        if teacher.is_precomputed and self._training_collator is not self._collator:
            raise ValueError(
                f"The collator augments the examples differently in every epoch, but the outputs of {teacher.name} were "
                f"computed beforehand from the unaltered examples. Remove the augmentation, or use a teacher that runs "
                f"(cache: false)."
            )
        teacher.reconcile(self.model, self.processing_class)
        teacher.prepare(self.accelerator)
        return teacher

    def _prepare_objective(self, objective: Objective | None) -> Objective:
        """The objective (by default one for the data's labels), set up and checked by a dry run on two examples."""
        dataset = self.train_dataset if self.train_dataset is not None else self.eval_dataset
        with torch.random.fork_rng():
            batch = self._first_batch(dataset)
        objective = objective if objective is not None else self._default_objective(batch)
        if batch is not None:
            student = dry_run(objective, self.model, self.teacher, batch, seed=self.args.seed)
            check_checkpointing(objective, self.args)
            # The classes of spans are the positions of a text.
            labels = None if predicts_spans(self.model) else batch.get("labels")
            if labels is not None and labels_are_of_column(dataset, labels):
                self._check_label_columns(student.logits.shape[-1])
            self._check_training_batches(objective, batch)
        if objective.needs_fit and self.train_dataset is not None:
            with torch.random.fork_rng():
                objective.fit_statistics(self._all_training_batches, self.teacher)
        if self.args.eval_with_teacher and objective.needs_teacher and self.eval_dataset is not None:
            # A cache may lack the evaluation examples: fail now, not after the training.
            for dataset in named_datasets(self.eval_dataset).values():
                self._check_teacher_columns(dataset)
                with torch.random.fork_rng():
                    cast(Teacher, self.teacher)(next(self._batches_of(dataset, range(2))))
        return objective.to(self.args.device)

    def _first_batch(self, dataset: Any) -> dict[str, torch.Tensor] | None:
        try:
            return next(self._batches_of(dataset, range(2)), None) if dataset is not None else None
        except (TypeError, ValueError):
            self._check_label_columns()  # a label that is no number does not become a tensor
            raise

    def _check_label_columns(self, num_classes: int | None = None) -> None:
        """Check the labels of all rows, of data sets whose labels can be read without the other columns."""
        for dataset in (self.train_dataset, *named_datasets(self.eval_dataset).values()):
            check_label_column(dataset, self._kind or problem_kind_of_model(self.model), num_classes)

    def _check_training_batches(self, objective: Objective, batch: Mapping[str, torch.Tensor]) -> None:
        if has_length(self.train_dataset):
            check_last_batch(self.model, batch, len(self.train_dataset), self.args)
        if self.train_dataset is not None and self._training_collator is not self._collator:
            # Labels may be mixed in training only: a term that cannot count such labels raises now.
            augmented = self._batches_of(self.train_dataset, range(2), collate=self._training_collator)
            objective.count([next(augmented)])

    def _all_training_batches(self) -> Iterator[dict[str, torch.Tensor]]:
        if not has_length(self.train_dataset):
            raise ValueError(
                f"The objective computes statistics of all training data before the first step, but "
                f"{type(self.train_dataset).__name__} has no length. Use a data set with a length."
            )
        return self._batches_of(self.train_dataset, range(len(self.train_dataset)))

    def _default_objective(self, batch: Mapping[str, torch.Tensor] | None) -> Objective:
        labels = None if batch is None else batch.get("labels")
        if batch is not None and labels is None:
            self._warn_of_unread_columns()
        return default_objective(
            self._problem_type(batch or {}),
            **objective_settings(self.args),
            has_labels=batch is None or labels is not None,
            has_teacher=self.teacher is not None,
        )

    def _warn_of_unread_columns(self) -> None:
        """Log a warning if batches have no labels and columns of numbers are left out, one of which may be the labels."""
        self._set_signature_columns_if_needed()
        unread = [
            name for name in numeric_columns(self.train_dataset) if name not in (self._signature_columns or (name,))
        ]
        if unread:
            logger.warning(
                "The batches have no labels, so that the student learns from the teacher alone; nothing reads the columns "
                "%s. If one of them has the labels, rename it: dataset.rename_column(%s, 'labels').",
                listed(unread),
                shown(unread[0]),
            )

    def _problem_type(self, batch: Mapping[str, torch.Tensor]) -> str:
        return problem_kind_of_model(self.model, batch).name

    def _checkpoint_to_resume(self, requested: str | bool | None) -> str | None:
        """The checkpoint to resume from, checked by the main process for all.

        Args:
            requested (`str` or `bool`): A folder, or True for the newest complete checkpoint.

        Raises:
            ValueError: It is incomplete, damaged, or was written with other settings.
        """
        if not requested:
            return None
        needs = {"needs_projections": self.projections.exist, "needs_best": self.args.load_best_model_at_end}
        checkpoint: Path | None
        outcome, error = ["", ""], None
        if self.accelerator.is_main_process:
            try:
                if requested is True:
                    checkpoint = last_complete_checkpoint(self._output_dir, **needs)
                    delete_unfinished(self._output_dir)
                else:
                    checkpoint = Path(requested)
                    check_checkpoint(checkpoint, **needs)
                if checkpoint is not None:
                    check_settings(checkpoint, self.args, self.train_dataset)
                    outcome = [str(checkpoint), ""]
            except (ValueError, OSError) as refusal:
                outcome, error = ["", str(refusal)], refusal
        outcome = broadcast_object_list(outcome)
        if error is not None or outcome[1]:
            raise error or ValueError(outcome[1])
        return outcome[0] or None

    def _probe_teacher(self) -> None:
        """Compare the teacher with the labels of a few examples; warn if it is far larger than the student."""
        if self.teacher is None or not self.probes_teacher:
            return
        if self.objective.needs_teacher and self.is_world_process_zero():
            warn_of_gap(self.model, self.teacher)
        items = labeled_items(self.train_dataset, seed=self.args.seed)
        batches = list(self._batches_of(self.train_dataset, items)) if items else []
        batches = [batch for batch in batches if "labels" in batch]
        result = probe(self.teacher, batches, self._problem_type(batches[0])) if batches else None
        if result is not None:
            self.accelerator.print(result)

    def _check_teacher_columns(self, dataset: Any, teacher: Teacher | None = None) -> None:
        """Raise for evaluation data without a column that the teacher reads in the training data."""
        teacher = self.teacher if teacher is None else teacher
        rows = [next(_examples(data, range(1)), None) for data in (self.train_dataset, dataset)]
        if teacher is None or not all(isinstance(row, Mapping) for row in rows):
            return
        trained, evaluated = cast(list[Mapping], rows)
        missing = [name for name in teacher.columns if name in trained and name not in evaluated]
        if missing:
            raise ValueError(
                f"The teacher ({teacher.name}) reads the columns {listed(missing)} of the training data, and the "
                f"evaluation data has only {listed(evaluated)}, so it cannot answer. Prepare both in the same way."
            )

    def _check_best_metric(self) -> None:
        """Raise if no evaluation can have the metric that chooses the best checkpoint or steps the scheduler.

        Raises:
            ValueError: A loss without labels to compute it from, or another metric that nothing computes.
        """
        args, name = self.args, self.args.metric_for_best_model
        is_used = args.load_best_model_at_end or args.save_strategy == "best"
        is_used = is_used or args.lr_scheduler_type in ("reduce_lr_on_plateau", "greedy")
        if not is_used or name is None or self.eval_dataset is None or type(self).evaluate is not Trainer.evaluate:
            return
        wanted = name if name.startswith("eval_") else f"eval_{name}"
        several = isinstance(self.eval_dataset, dict)
        losses = {
            f"eval_{key}_loss" if several else "eval_loss": data
            for key, data in named_datasets(self.eval_dataset).items()
        }
        if wanted in losses or wanted == "eval_loss":
            is_computed = wanted in losses and self._has_evaluation_loss(losses[wanted])
        else:
            is_computed = args.eval_with_teacher or (
                self.compute_metrics is not None and not args.prediction_loss_only
            )
        if not is_computed:
            present = [loss for loss, data in losses.items() if self._has_evaluation_loss(data)]
            raise ValueError(
                f"metric_for_best_model={shown(name)} names a metric that no evaluation computes "
                f"({', '.join(present) or 'none'} without the teacher and compute_metrics), so no checkpoint could be "
                f"chosen. A loss needs labels in the evaluation data and in the objective, or eval_with_teacher=True; "
                f"other metrics need compute_metrics=; several data sets have one for each, eval_<name>_loss."
            )

    def _has_evaluation_loss(self, dataset: Any) -> bool:
        """Whether evaluation on a data set computes a loss: with the teacher, or on labels, which it needs."""
        objective = self.objective if self.args.eval_with_teacher else self.objective.without_teacher()
        if objective is None or not objective.needs_labels:
            return objective is not None
        with torch.random.fork_rng():
            batch = next(self._batches_of(dataset, range(2)), {})
        return "labels" in batch and (not has_length(dataset) or bool(labeled_items(dataset, seed=self.args.seed)))

    def _batches_of(
        self, dataset: Any, items: Collection[int], batch_size: int = 32, collate: Callable | None = None
    ) -> Iterator[dict[str, torch.Tensor]]:
        """Collated batches of chosen examples, with the columns that training uses, on the device.

        Without `collate` the examples are not augmented.
        """
        if isinstance(dataset, dict):
            dataset = next(iter(named_datasets(dataset).values()))
        collate = self.data_collator if collate is None else collate
        columns = getattr(dataset, "column_names", None)
        if isinstance(dataset, datasets.Dataset):  # as in Trainer: the columns of a stream may be unknown
            with explained_collating(self.data_collator, dataset.column_names):
                dataset = self._remove_unused_columns(dataset)
        else:
            collate = self._get_collator_with_removed_columns(collate)
        examples = _examples(dataset, items)
        while chunk := list(itertools.islice(examples, batch_size)):
            with explained_collating(self.data_collator, columns or _columns_of(chunk[0])):
                batch = collate(chunk)
                if not isinstance(batch, Mapping):
                    raise TypeError(f"it returned {type(batch).__name__}, not a dictionary of tensors.")
            yield self._read_labels(self._prepare_inputs(cast(dict, batch)))

    def _read_labels(self, batch: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
        """See `signals.labels.read_labels`. Applied to every batch before an objective counts or compares."""
        if self._kind is None:
            self._kind = problem_kind_of_model(self.model, batch)
        return cast(dict, read_labels(batch, self._kind))


def _columns_of(row: Any) -> list[str] | None:
    return list(row) if isinstance(row, Mapping) else None


def _examples(dataset: Any, items: Collection[int]) -> Iterator[Any]:
    """The examples of a data set with these indices, those it has; of a stream as many from its start."""
    if dataset is None:
        return iter(())
    if has_length(dataset):
        num_rows = len(dataset)
        return (cast("Any", dataset)[index] for index in items if index < num_rows)
    return itertools.islice(iter(dataset), len(items))


def check_checkpointing(objective: Objective, args: TrainingArguments) -> None:
    """Raise for reentrant activation checkpointing with an objective that has terms between layers.

    Raises:
        ValueError: The layers would run without gradient in the forward pass, and the terms would train nothing in them.
    """
    kwargs: Any = (args.activation_checkpointing and args.activation_checkpointing_kwargs) or {}
    if kwargs.get("use_reentrant") and objective.student_taps:
        raise ValueError(
            f"activation_checkpointing_kwargs={kwargs} runs layers without gradient in the forward pass, and the objective "
            f"reads outputs of {', '.join(objective.student_taps)} there: it would not train them. Remove use_reentrant "
            f"(default: False)."
        )


def check_last_batch(
    student: nn.Module, batch: Mapping[str, torch.Tensor], num_rows: int, args: TrainingArguments
) -> None:
    """If the last batch of an epoch has one row, check that the student can be trained on it.

    Args:
        student (`nn.Module`): A copy of it is run.
        batch (`Mapping[str, torch.Tensor]`): Any rows, on the student's device; the first is used.
        num_rows (`int`): Size of the training data.
        args (`TrainingArguments`): Batch size, processes, whether the last batch is dropped.

    Raises:
        ValueError: The student has a BatchNorm that would see one value per channel.
    """
    size = args.train_batch_size
    if num_rows % size != 1 or args.dataloader_drop_last or args.world_size > 1:  # several processes fill the batch up
        return
    if not any(isinstance(module, torch.nn.modules.batchnorm._BatchNorm) for module in student.modules()):
        return
    try:
        with torch.random.fork_rng(), torch.no_grad():
            row = {name: value[:1] if getattr(value, "ndim", 0) else value for name, value in batch.items()}
            forward_logits(copy.deepcopy(student).train(), row, accepted_columns(student))
    except ValueError as error:
        raise ValueError(
            f"{num_rows} rows in batches of {size} leave one row for the last batch of an epoch, and the student "
            f"({type(student).__name__}) cannot be trained on a single row: {error}. Set dataloader_drop_last=True, or "
            f"another per_device_train_batch_size."
        ) from error
