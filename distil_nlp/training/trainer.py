"""`DistillationTrainer`: a `transformers.Trainer` that compares a student with a teacher and with labels."""

import copy
import logging
from typing import Any, cast

import torch
from torch import nn
from transformers import TrainerCallback
from transformers.modeling_outputs import ModelOutput, SequenceClassifierOutput
from transformers.trainer_utils import EvalLoopOutput, TrainOutput

from ..collators import as_collator
from ..hub import check_pushable
from ..internals.disk import explain_full_disk
from ..models.architectures import without_inner_padding
from ..objectives import Objective
from ..objectives.diagnosis import diagnose
from ..signals.base import Signals
from ..signals.finite import DivergenceError, NonFiniteError, undefined_items, without_padding
from ..signals.forward import accepted_columns, forward_logits, gatherable_logits
from ..signals.frames import frame_stride
from ..signals.labels import given_labels
from ..signals.problem_kinds import problem_kind_of_model
from ..signals.taps import FeatureTap
from ..teachers import Teacher
from .arguments import DistillationTrainingArguments, check_unused
from .data_check import check_types, explained_debug, with_named_rows
from .finite import ADVICE, LossCheck, check_weights, warn_of_divergence
from .hyperparameter_search import HyperparameterSearchMixin
from .meters import EvaluationMeter, StepMeter, Stopwatch, counted_examples
from .projections import Projections
from .reporting import ReportingMixin

logger = logging.getLogger(__name__)


class DistillationTrainer(ReportingMixin, HyperparameterSearchMixin):
    """A `transformers.Trainer` whose loss compares the student with a teacher and with the labels.

    All features of Trainer keep working. The loss is divided once per optimizer step, by the items of all its
    micro-batches on all processes, so gradients do not depend on how a step is split. Without a teacher it trains
    on the labels alone, through the same code: that is the control run.

    Args:
        model (`nn.Module`): The student, or any module that returns logits.
        teacher (*optional*): A model, a Hub id, a folder, or a `Teacher`.
        args (`DistillationTrainingArguments`, *optional*): With `temperature` and `kd_ratio`.
        objective (`Objective`, *optional*): Instead of the default one; not together with these two.
        kwargs: As for Trainer (`train_dataset`, `eval_dataset`, `processing_class`, `compute_metrics`, ...).

    Raises:
        ValueError: Before any training time is spent: labels or vocabularies that do not belong together, settings
            that would have no effect, layers that do not exist, data the objective cannot use.
    """

    loss_is_scaled_for_ga = True  # divided by the whole step's counts: Trainer must not divide again

    def __init__(
        self,
        model: nn.Module | None = None,
        teacher: Any = None,
        args: DistillationTrainingArguments | None = None,
        *,
        objective: Objective | None = None,
        **kwargs: Any,
    ):
        args = args if args is not None else DistillationTrainingArguments()
        kwargs |= with_named_rows(model, kwargs)
        check_types(model, objective, kwargs)
        check_unused(args, objective, teacher, kwargs)
        if kwargs.get("model_init") is not None:  # a search makes trainers like this one
            self._made_with = {"objective": copy.deepcopy(objective), **kwargs}
            del self._made_with["model_init"]
        if args.push_to_hub and model is not None:
            check_pushable(model)
            if teacher is None or kwargs.get("eval_dataset") is None:
                logger.warning(
                    "push_to_hub writes a card with a comparison: it needs a teacher, and eval_dataset or a call of "
                    "compare(dataset) before. Without them only checkpoints can be pushed."
                )
        super().__init__(model=model, args=args, **kwargs)
        self._collator = as_collator(self.data_collator)
        self._training_collator = self._collator.for_training()  # applies an augmentation
        self._student_columns = accepted_columns(self.model)
        self.teacher = self._prepare_teacher(teacher)
        self.objective = self._prepare_objective(objective)
        with_teacher = args.eval_with_teacher
        self._evaluation_objective = self.objective.at_end() if with_teacher else self.objective.without_teacher()
        self.projections = Projections(self.objective)
        if self.objective.student_taps and self.accelerator.ddp_handler is not None:
            # Parameters above the tapped layers may have no gradient; Trainer turns this off for gradient checkpointing.
            self.accelerator.ddp_handler.find_unused_parameters = True
        self._synchronized_objective = self.projections.synchronized(self.accelerator)
        self.add_callback(self.projections)
        self.add_callback(EpochCallback(self))
        self.add_callback(ScheduleCallback(self.objective))
        self._step_meter = StepMeter(self.objective, self.accelerator)
        self._evaluation_meter = EvaluationMeter(self._evaluation_objective or self.objective, self.accelerator)
        self._stopwatch, self._loss_check = Stopwatch(args.device), LossCheck(args.device)
        self._num_undefined: Any = 0  # items of an evaluation without a prediction

    # ---- One step ----

    def compute_loss(  # type: ignore[override]  # counts of each term, where Trainer has one number
        self,
        model: nn.Module,
        inputs: dict[str, torch.Tensor],
        return_outputs: bool = False,
        num_items_in_batch: torch.Tensor | None = None,
    ) -> torch.Tensor | tuple[torch.Tensor, ModelOutput]:
        """The loss of one micro-batch: its contribution to the loss of the whole optimizer step.

        `num_items_in_batch` is a vector of counts, one for each term (see `PrivateHooks._get_num_items_in_batch`). With
        `return_outputs` the second value has the fields `loss` and `logits`.
        """
        inputs = self._read_labels(inputs)
        counts = self.objective.count([inputs]) if num_items_in_batch is None else num_items_in_batch
        # The teacher first: between the student's forward and backward pass it would evict the student's activations
        # from the processor's caches.
        with self._stopwatch.measure("teacher"):
            teacher = self._teacher_signals(inputs)
        student = self._student_signals(model, inputs)
        loss, parts = self._synchronized_objective(student, teacher, inputs, counts)
        self._loss_check.record(loss)
        self._step_meter.add(parts, counts)
        loss = loss * self.accelerator.num_processes  # gradients are averaged over processes, counts span them
        return (loss, SequenceClassifierOutput(loss=loss, logits=student.logits)) if return_outputs else loss

    def _student_signals(self, model: nn.Module, inputs: dict[str, torch.Tensor]) -> Signals:
        with FeatureTap(self.model, self.objective.student_taps, model) as tap:
            logits = forward_logits(model, inputs, self._student_columns)
            features = without_inner_padding(self.model, tap.take(), inputs)
            return Signals(logits, features, frame_stride=frame_stride(self.model))

    def _teacher_signals(self, inputs: dict[str, torch.Tensor]) -> Signals | None:
        # `check_unused` refuses terms that need a teacher where there is none.
        if not self.objective.needs_teacher:
            return None
        return without_padding(cast(Teacher, self.teacher)(inputs), inputs)

    def training_step(
        self, model: nn.Module, inputs: dict[str, Any], num_items_in_batch: torch.Tensor | int | None = None
    ) -> torch.Tensor:
        """`Trainer.training_step`, timed. A loss that is not finite ends the training before a weight changes."""
        with self._stopwatch.measure("step"):
            loss = super().training_step(model, inputs, num_items_in_batch)
        if not self._loss_check.passed():
            raise self._non_finite_loss(self._read_labels(self._prepare_inputs(inputs)))
        return loss

    def _non_finite_loss(self, inputs: dict[str, torch.Tensor]) -> NonFiniteError:
        """The error for a micro-batch whose loss is not finite: computes it again, term by term."""
        step, learning_rate = self.state.global_step, self._get_learning_rate()
        try:
            check_weights(self.model, step=step, learning_rate=learning_rate)
        except DivergenceError as error:
            return error
        with torch.no_grad():
            signals = self._student_signals(self.model, inputs), self._teacher_signals(inputs)
            reason = diagnose(self.objective, *signals, inputs, problem_kind_of_model(self.model, inputs))
        kind = DivergenceError if reason is None or reason.cause == "student" else NonFiniteError
        cause = reason or (
            f"the loss was not finite, and is when it is computed again. {ADVICE.format(learning_rate=learning_rate)}"
        )
        return kind(f"Training stopped at step {step + 1}, before its update: {cause}")

    def create_optimizer(self, model: nn.Module | None = None) -> torch.optim.Optimizer:
        """`Trainer.create_optimizer` over the student and the projections."""
        if not self.projections.exist:
            return super().create_optimizer(model)
        return super().create_optimizer(self.projections.with_student(self.model if model is None else model))

    # ---- Logging ----

    def log(self, logs: dict[str, float], start_time: float | None = None) -> None:
        """Add every term by name, agreement, and the teacher's share of the time to the log lines of training."""
        super().log({**logs, **self._training_line()} if "loss" in logs else logs, start_time)

    def _training_line(self) -> dict[str, float]:
        line = self._step_meter.take_means() | self.objective.scheduled_values
        seconds = self._stopwatch.take()
        if self.teacher is not None and seconds.get("step"):
            line["teacher_time_share"] = seconds["teacher"] / seconds["step"]
        return line

    # ---- Evaluation ----

    def prediction_step(
        self,
        model: nn.Module,
        inputs: dict[str, Any],
        prediction_loss_only: bool,
        ignore_keys: list[str] | None = None,
    ) -> tuple[torch.Tensor | None, torch.Tensor | None, torch.Tensor | None]:
        """Loss, logits and labels of an evaluation batch. The teacher is run only with `eval_with_teacher`."""
        inputs = self._prepare_inputs(inputs)
        labels, loss, objective = given_labels(inputs), None, self._evaluation_objective
        inputs = self._read_labels(inputs)
        with torch.no_grad():
            student = self._student_signals(model, inputs)
            undefined = undefined_items(student.logits, inputs, problem_kind_of_model(self.model, inputs))
            self._num_undefined = self._num_undefined + undefined.sum()
            if objective is not None and (labels is not None or not objective.needs_labels):
                loss = self._evaluation_loss(objective, model, student, inputs)
        if prediction_loss_only:
            return loss, None, None
        logits = gatherable_logits(self.model, student.logits, labels)
        return loss, logits, labels  # type: ignore[return-value]  # Trainer gathers a tuple of logits, too

    def _evaluation_loss(
        self, objective: Objective, model: nn.Module, student: Signals, inputs: dict[str, Any]
    ) -> torch.Tensor:
        """The mean loss of a batch, after its parts are added to the means over the whole evaluation."""
        batch, num_examples = counted_examples(inputs, self.callback_handler.eval_dataloader, self.accelerator)
        if batch is not inputs:
            student = self._student_signals(model, batch)
        teacher = self._teacher_signals(batch) if self.args.eval_with_teacher else None
        counts = objective.count([batch])
        loss, parts = objective(student, teacher, batch, counts)
        if num_examples:
            self._evaluation_meter.add(parts, counts)
        else:  # a process without an example of its own adds nothing, under the same names
            self._evaluation_meter.add({name: torch.zeros_like(part) for name, part in parts.items()}, 0 * counts)
        return loss

    def evaluation_loop(self, *args: Any, **kwargs: Any) -> EvalLoopOutput:
        """`Trainer.evaluation_loop`, with the loss over all items; with `eval_with_teacher`, with all terms by name.

        Reason: Trainer takes the mean over batches, which depends on their size and on unlabeled examples.
        """
        self._evaluation_meter.clear()
        self._num_undefined = 0
        output = super().evaluation_loop(*args, **kwargs)
        if num_undefined := int(self._num_undefined):
            raise DivergenceError(
                f"The student's logits are NaN or infinite for {num_undefined} items of the evaluation data, so no metric "
                f"has a meaning. {ADVICE.format(learning_rate=self.args.learning_rate)}"
            )
        means, prefix = self._evaluation_meter.take_means(), kwargs.get("metric_key_prefix", "eval")
        if output.metrics is not None:
            if means:
                output.metrics[f"{prefix}_loss"] = self._evaluation_meter.objective.weighted_sum(means)
            elif output.metrics.pop(f"{prefix}_loss", None) is not None:
                logger.warning("No evaluation example has a label, so there is no %s_loss.", prefix)
            if self.args.eval_with_teacher:
                output.metrics.update({f"{prefix}_{name}": value for name, value in means.items()})
        return output

    # ---- Training ----

    def train(self, resume_from_checkpoint: str | bool | None = None, *args: Any, **kwargs: Any) -> TrainOutput:
        """`Trainer.train`, after a check of the teacher on a few labeled examples.

        `resume_from_checkpoint=True` takes the newest complete checkpoint, and starts from the beginning if there is
        none.

        Raises:
            ValueError: The checkpoint is incomplete or damaged, or was written with settings (batch size, number of
                processes, seed, ...) with which rows would be repeated or left out.
        """
        resume_from_checkpoint = self._checkpoint_to_resume(resume_from_checkpoint)
        self._check_best_metric()
        self._probe_teacher()
        with explain_full_disk(self._output_dir, self._checkpoint_bytes), explained_debug(self.args):
            result = super().train(resume_from_checkpoint, *args, **kwargs)
        check_weights(self.model, step=self.state.global_step, learning_rate=self.args.learning_rate)
        warn_of_divergence(self.state.log_history, self.args.learning_rate)
        return result

    def _checkpoint_bytes(self) -> int:
        """About the size of a checkpoint: weights, and an optimizer with two numbers for each that is trained."""
        weights = [*self.model.parameters(), *self.objective.parameters()]
        return sum(weight.numel() * weight.element_size() * (3 if weight.requires_grad else 1) for weight in weights)

    def save_model(self, output_dir: str | None = None, _internal_call: bool = False) -> None:
        """`Trainer.save_model`, in a checkpoint with the projections. A DivergenceError if weights are NaN or infinite."""
        check_weights(self.model, step=self.state.global_step, learning_rate=self.args.learning_rate)
        super().save_model(output_dir, _internal_call)
        if _internal_call and output_dir is not None and self.args.should_save:
            self.projections.save(output_dir)

    def get_train_dataloader(self) -> torch.utils.data.DataLoader:
        """`Trainer.get_train_dataloader`, with the collator's variant for training."""
        plain, self.data_collator = self.data_collator, self._training_collator
        try:
            return super().get_train_dataloader()
        finally:
            self.data_collator = plain


class EpochCallback(TrainerCallback):
    """Sets the epoch of the sampler and the collator before their first batch.

    Needed when several processes resume inside an epoch: accelerate's own call does not reach the sampler then.

    Args:
        trainer (`DistillationTrainer`): Its `_train_sampler` and `_training_collator` are read at each epoch.
    """

    def __init__(self, trainer: DistillationTrainer):
        self.trainer = trainer

    def on_epoch_begin(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        """Set the epoch."""
        epoch = int(state.epoch or 0)
        if self.trainer._train_sampler is not None:
            self.trainer._train_sampler.set_epoch(epoch)
        self.trainer._training_collator.set_epoch(epoch)


class ScheduleCallback(TrainerCallback):
    """Moves the objective's schedules before each optimizer step.

    A function of the step alone: accumulation, processes and a resumed run change nothing.

    Args:
        objective (`Objective`): The objective in training.
    """

    def __init__(self, objective: Objective):
        self.objective = objective

    def on_step_begin(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        """Set the part of the training that is done, 0 to 1."""
        self.objective.at_progress(min(state.global_step / max(state.max_steps - 1, 1), 1.0))
