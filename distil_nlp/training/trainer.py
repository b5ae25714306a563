"""One step of training: teacher speaks, student speaks, compare, scale, remember, return."""

import copy
import itertools
import logging

import torch
from torch import nn
from torch.utils.data import SequentialSampler
from transformers import Trainer, TrainerCallback
from transformers.trainer_utils import has_length

from ..collators import as_collator
from ..objectives import default_objective
from ..signals.base import Signals
from ..signals.columns import TASK_COLUMNS
from ..signals.forward import accepted_columns, forward_logits, to_gather
from ..signals.frames import frame_stride
from ..signals.problem_kinds import problem_type_of
from ..signals.taps import FeatureTap
from ..teachers import as_teacher, probe
from ..teachers.capacity import warn_of_gap
from ..teachers.probe import labeled_items
from .arguments import DistillationTrainingArguments, check_unused, objective_settings
from .checkpoints import last_complete_checkpoint, load_projections, load_renamed, save_projections
from .dry_run import check_last_batch, dry_run
from .hyperparameter_search import HyperparameterSearchMixin
from .meters import MetricSums, Stopwatch
from .reporting import ReportingMixin
from .sampling import LengthGroupedSampler, dataset_lengths

logger = logging.getLogger(__name__)


class DistillationTrainer(ReportingMixin, HyperparameterSearchMixin, Trainer):
    """A `transformers.Trainer` whose loss compares the student with a teacher and with the labels.

    Every habit of Trainer keeps working. The loss is divided once per optimizer step, by the items of all its
    micro-batches on all processes, so gradients do not depend on how a step is cut. Without a teacher it trains
    on the labels alone, through the same code: that is the control run.

    Args:
        model (`nn.Module`): The student. A plain module that returns logits will do.
        teacher (*optional*): A model, a Hub id, a folder, or a `Teacher`.
        args (`DistillationTrainingArguments`, *optional*): With `temperature` and `kd_ratio`.
        objective (`Objective`, *optional*): Instead of the default one; not together with these two.
        kwargs: As for Trainer (`train_dataset`, `eval_dataset`, `processing_class`, `compute_metrics`, ...).

    Raises:
        ValueError: Before any training time is spent: labels or vocabularies that do not belong together, settings
            that would have no effect, layers that do not exist, data the objective cannot use.
    """

    loss_is_scaled_for_ga = True  # divided by the whole step's counts: Trainer must not divide again
    _tag_names = ["distil_nlp", "knowledge-distillation"]

    def __init__(self, model=None, teacher=None, args=None, *, objective=None, **kwargs):
        args = args if args is not None else DistillationTrainingArguments()
        check_unused(args, objective, teacher, kwargs)
        if kwargs.get("model_init") is not None:  # a search makes trainers like this one
            self._made_with = {"objective": copy.deepcopy(objective), **kwargs}
            del self._made_with["model_init"]
        super().__init__(model=model, args=args, **kwargs)
        self._collator = as_collator(self.data_collator)
        self._training_collator = self._collator.for_training()  # applies an augmentation
        self._student_columns = accepted_columns(self.model)
        self.teacher = self._invited(teacher)
        self.objective = self._built(objective)
        with_teacher = args.eval_with_teacher
        self._evaluation_objective = self.objective.at_end() if with_teacher else self.objective.without_teacher()
        # A projection is trained in a wrapper of its own, so that `self.model` stays the student and nothing else.
        trains = any(parameter.requires_grad for parameter in self.objective.parameters())
        self._prepared_objective = self.accelerator.prepare_model(self.objective) if trains else self.objective
        self.add_callback(_ClearProjections(self.objective))
        self._train_sampler = None
        self.add_callback(_FollowEpochs(self))
        self.add_callback(_TellProgress(self.objective))
        self._tally, self._evaluation_tally = MetricSums(), MetricSums()
        self._num_steps, self._was_empty = 0, set()
        self._stopwatch = Stopwatch(args.device)

    # ---- One step ----

    def compute_loss(self, model, inputs, return_outputs=False, num_items_in_batch=None):
        """The loss of one micro-batch: its share of the whole optimizer step.

        `num_items_in_batch` is our vector of counts, one for each term (see `_get_num_items_in_batch`).
        """
        counts = self.objective.count([inputs]) if num_items_in_batch is None else num_items_in_batch
        # The teacher first: between the student's forward and backward pass it would drive what that needs out of the
        # processor's caches.
        with self._stopwatch.measure("teacher"):
            teacher = self._teacher_says(inputs)
        student = self._student_says(model, inputs)
        loss, parts = self._prepared_objective(student, teacher, inputs, counts)
        self._remember(parts, counts)
        loss = loss * self.accelerator.num_processes  # gradients are averaged over processes, counts span them
        return (loss, {"loss": loss, "logits": student.logits}) if return_outputs else loss

    def _student_says(self, model, inputs):
        with FeatureTap(self.model, self.objective.student_taps) as tap:
            logits = forward_logits(model, inputs, self._student_columns)
            return Signals(logits, tap.take(), frame_stride=frame_stride(self.model))

    def _teacher_says(self, inputs):
        return self.teacher(inputs) if self.objective.needs_teacher else None

    def _get_num_items_in_batch(self, batch_samples, device):
        """Items of each term over all micro-batches of a step and all processes: shape (terms,)."""
        if not batch_samples:
            return None
        counts = self.objective.count(batch_samples).to(device)
        return self.accelerator.reduce(counts, "sum") if self.accelerator.num_processes > 1 else counts

    def _run_epoch(self, **kwargs):
        """Nothing, where a resumed run is at its end already: Trainer would take one step more."""
        self.control.should_training_stop |= self.state.global_step >= self.state.max_steps
        if not self.control.should_training_stop:
            super()._run_epoch(**kwargs)

    def training_step(self, model, inputs, num_items_in_batch=None):
        with self._stopwatch.measure("step"):
            return super().training_step(model, inputs, num_items_in_batch)

    # ---- What is remembered and logged ----

    def _remember(self, parts, counts):
        self._tally.add({**parts, "empty": (counts == 0).float()})
        self._num_steps += bool(self.accelerator.sync_gradients)

    def log(self, logs, start_time=None):
        """Adds, to the lines of training, every term by name, agreement, and the share of time of the teacher."""
        super().log({**logs, **self._training_line()} if "loss" in logs else logs, start_time)

    def _training_line(self):
        sums, steps = self._tally.take(), max(self._num_steps, 1)
        self._num_steps = 0
        for name, empty in zip(self.objective.names, sums.pop("empty").tolist(), strict=True):
            if empty and name not in self._was_empty:
                self._was_empty.add(name)
                logger.warning(
                    "Some of the last %d steps held no item for the term '%s': it was 0 there. That is as it should be "
                    "where few examples have labels; are they missing otherwise? (Said once.)",
                    steps,
                    name,
                )
        line = {name: value / steps for name, value in self._summed(sums).items()} | self.objective.scheduled_values
        seconds = self._stopwatch.take()
        if self.teacher is not None and seconds.get("step"):
            line["teacher_time_share"] = seconds["teacher"] / seconds["step"]
        return line

    def _summed(self, sums):
        together = self.accelerator.reduce(torch.stack(list(sums.values())), "sum")
        return dict(zip(sums, together.tolist(), strict=True))

    # ---- Evaluation ----

    def prediction_step(self, model, inputs, prediction_loss_only, ignore_keys=None):
        """Logits only, whatever the objective listens to; the teacher is asked where `eval_with_teacher` is set."""
        inputs = self._prepare_inputs(inputs)
        labels, loss, objective = inputs.get("labels"), None, self._evaluation_objective
        with torch.no_grad():
            student = self._student_says(model, inputs)
            if objective is not None and (labels is not None or not objective.needs_labels):
                teacher = self._teacher_says(inputs) if self.args.eval_with_teacher else None
                loss, parts = objective(student, teacher, inputs, objective.count([inputs]))
                rows = torch.ones_like(loss) * len(student.logits)
                self._evaluation_tally.add({name: part * rows for name, part in parts.items()} | {"rows": rows})
        return (
            (loss, None, None)
            if prediction_loss_only
            else (loss, to_gather(self.model, student.logits, labels), labels)
        )

    def evaluation_loop(self, *args, **kwargs):
        self._evaluation_tally.take()
        output = super().evaluation_loop(*args, **kwargs)
        sums = self._evaluation_tally.take()
        if self.args.eval_with_teacher and sums:
            sums = self._summed(sums)
            rows, prefix = sums.pop("rows"), kwargs.get("metric_key_prefix", "eval")
            output.metrics.update({f"{prefix}_{name}": value / rows for name, value in sums.items()})
        return output

    # ---- Before the first step ----

    def train(self, resume_from_checkpoint=None, **kwargs):
        """As `Trainer.train`, after a look at whether the teacher is worth listening to, and not far too large.

        `resume_from_checkpoint=True` takes the newest checkpoint that was written to its end, and starts afresh
        where there is none.
        """
        if resume_from_checkpoint is True:
            found = last_complete_checkpoint(self.args.output_dir)
            resume_from_checkpoint = None if found is None else str(found)
        self._probe_teacher()
        return super().train(resume_from_checkpoint=resume_from_checkpoint, **kwargs)

    def _invited(self, teacher):
        if teacher is None:
            return None
        teacher = as_teacher(teacher, student=self.model, dtype=self.args.teacher_dtype)
        if teacher.is_precomputed and self._training_collator is not self._collator:
            raise ValueError(
                f"The collator alters the examples anew in every epoch, and {teacher.name} was asked beforehand, about "
                f"unaltered ones. Leave the augmentation out, or give a teacher that runs (cache: false)."
            )
        teacher.reconcile(self.model, self.processing_class)
        teacher.prepare(self.accelerator)
        return teacher

    def _built(self, objective):
        """The objective, after a look at the first two examples."""
        dataset = self.train_dataset if self.train_dataset is not None else self.eval_dataset
        with torch.random.fork_rng():
            batch = next(self._batches_of(dataset, range(2)), None) if dataset is not None else None
        objective = objective if objective is not None else self._default_objective(batch)
        if batch is not None:
            dry_run(objective, self.model, self.teacher, batch, seed=self.args.seed)
            if has_length(self.train_dataset):
                check_last_batch(self.model, batch, len(self.train_dataset), self.args)
            if self.train_dataset is not None and self._training_collator is not self._collator:
                # Labels may be mixed in training only: a term that cannot count such labels says so now.
                altered = self._batches_of(self.train_dataset, range(2), collate=self._training_collator)
                objective.count([next(altered)])
        if objective.needs_fit and self.train_dataset is not None:
            with torch.random.fork_rng():
                objective.fit_statistics(self._all_training_batches, self.teacher)
        if self.args.eval_with_teacher and objective.needs_teacher and self.eval_dataset is not None:
            # A cache may have been asked about other examples: not to be found out at the end.
            with torch.random.fork_rng():
                self.teacher(next(self._batches_of(self.eval_dataset, range(2))))
        return objective.to(self.args.device)

    def _all_training_batches(self):
        if not has_length(self.train_dataset):
            raise ValueError(
                f"The objective looks at all training data before the first step, and {type(self.train_dataset).__name__} "
                f"does not say how much there is. Use a data set with a length."
            )
        return self._batches_of(self.train_dataset, range(len(self.train_dataset)))

    def _default_objective(self, batch):
        labels = None if batch is None else batch.get("labels")
        return default_objective(
            self._problem_type(batch or {}),
            **objective_settings(self.args),
            has_labels=batch is None or labels is not None,
            has_teacher=self.teacher is not None,
        )

    def _problem_type(self, batch):
        return problem_type_of(getattr(self.model, "config", None), batch)

    def _probe_teacher(self):
        if self.teacher is None or not self.probes_teacher:
            return
        if self.objective.needs_teacher and self.is_world_process_zero():
            warn_of_gap(self.model, self.teacher)
        items = labeled_items(self.train_dataset, seed=self.args.seed)
        batches = list(self._batches_of(self.train_dataset, items)) if items else []
        found = probe(self.teacher, batches, self._problem_type(batches[0])) if batches else None
        if found is not None:
            self.accelerator.print(found)

    def _batches_of(self, dataset, items, batch_size=32, collate=None):
        """Collated batches of chosen examples, with the columns training would see, on the device; unaltered ones where
        no other `collate` is given."""
        if isinstance(dataset, dict):
            dataset = next(iter(dataset.values()))
        collate = self.data_collator if collate is None else collate
        if hasattr(dataset, "remove_columns"):
            dataset = self._remove_unused_columns(dataset)
        else:
            collate = self._get_collator_with_removed_columns(collate)
        if has_length(dataset):
            examples = (dataset[index] for index in items if index < len(dataset))
        else:
            examples = itertools.islice(iter(dataset), len(items))
        while chunk := list(itertools.islice(examples, batch_size)):
            yield self._prepare_inputs(collate(chunk))

    # ---- Data ----

    def _set_signature_columns_if_needed(self):
        """Columns that student, teacher or loss reads; Trainer alone would drop what only the teacher takes."""
        if self._signature_columns is None:
            super()._set_signature_columns_if_needed()
            teacher = () if self.teacher is None else self.teacher.columns
            columns = [*self._signature_columns, *TASK_COLUMNS, *teacher, *self._collator.columns]
            self._signature_columns = list(dict.fromkeys(columns))

    def get_train_dataloader(self):
        plain, self.data_collator = self.data_collator, self._training_collator
        try:
            return super().get_train_dataloader()
        finally:
            self.data_collator = plain

    def _get_train_sampler(self, train_dataset=None):
        dataset = self.train_dataset if train_dataset is None else train_dataset
        if self.args.train_sampling_strategy != "group_by_length" or not has_length(dataset):
            return super()._get_train_sampler(train_dataset)
        lengths = dataset_lengths(dataset, length_column=self.args.length_column_name)
        seed = self.args.seed if self.args.data_seed is None else self.args.data_seed
        lengths = [1] * len(dataset) if lengths is None else lengths
        self._train_sampler = LengthGroupedSampler(lengths, self.args.train_batch_size, seed)
        return self._train_sampler

    def _get_eval_sampler(self, eval_dataset):
        # In the dataset's order, always: predictions are matched with examples by place.
        return SequentialSampler(eval_dataset) if has_length(eval_dataset) and self.args.world_size <= 1 else None

    # ---- Projections: optimized, clipped, cleared, saved beside the student and never inside it ----

    def create_optimizer(self, model=None):
        student = self.model if model is None else model
        if not any(True for _ in self.objective.parameters()):
            return super().create_optimizer(model)
        return super().create_optimizer(nn.ModuleDict({"student": student, "objective": self.objective}))

    def _clip_grad_norm(self, model):
        if not any(True for _ in self.objective.parameters()):
            return super()._clip_grad_norm(model)
        together = [*model.parameters(), *self.objective.parameters()]
        return self.accelerator.clip_grad_norm_(together, self.args.max_grad_norm)

    def _save_optimizer_and_scheduler(self, output_dir):
        super()._save_optimizer_and_scheduler(output_dir)
        if self.args.should_save:
            save_projections(self.objective, output_dir)

    def _save_rng_state(self, output_dir):
        super()._save_rng_state(output_dir)
        # trainer_state.json is written next and says that a checkpoint is whole: wait for the others' parts.
        self.accelerator.wait_for_everyone()

    def _load_from_checkpoint(self, resume_from_checkpoint, model=None):
        if not load_renamed(self.model if model is None else model, resume_from_checkpoint):
            super()._load_from_checkpoint(resume_from_checkpoint, model)
        load_projections(self.objective, resume_from_checkpoint)

    def _load_best_model(self):
        if not load_renamed(self.model, self.state.best_model_checkpoint):
            super()._load_best_model()
        load_projections(self.objective, self.state.best_model_checkpoint)


class _ClearProjections(TrainerCallback):
    """Trainer clears the gradients of its model only."""

    def __init__(self, objective):
        self.objective = objective

    def on_train_begin(self, args, state, control, **kwargs):
        self.objective.zero_grad()

    def on_optimizer_step(self, args, state, control, **kwargs):
        self.objective.zero_grad()


class _FollowEpochs(TrainerCallback):
    """Tells our sampler and the collator the epoch, before its batches are asked for: where several processes resume
    inside one, accelerate does not get through to the sampler."""

    def __init__(self, trainer):
        self.trainer = trainer

    def on_epoch_begin(self, args, state, control, **kwargs):
        epoch = int(state.epoch or 0)
        if self.trainer._train_sampler is not None:
            self.trainer._train_sampler.set_epoch(epoch)
        self.trainer._training_collator.set_epoch(epoch)


class _TellProgress(TrainerCallback):
    """Tells the objective, before each optimizer step, how far the training is. A function of the step alone, so that
    accumulation, processes and a resumed run change nothing."""

    def __init__(self, objective):
        self.objective = objective

    def on_step_begin(self, args, state, control, **kwargs):
        self.objective.at_progress(min(state.global_step / max(state.max_steps - 1, 1), 1.0))
