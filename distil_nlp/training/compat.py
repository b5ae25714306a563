"""The private methods of `transformers.Trainer` that distillation depends on, each with the reason.

No other module overrides a private method of Trainer. After an upgrade of transformers, `missing_hooks` lists what the
new version no longer has or no longer calls.
"""

import inspect
import itertools
import re
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, cast

import torch
from torch import nn
from torch.utils.data import Sampler, SequentialSampler
from transformers import PreTrainedModel, Trainer
from transformers.modeling_utils import _get_tied_weight_keys
from transformers.trainer_utils import PREFIX_CHECKPOINT_DIR, has_length

from ..collators import Collator
from ..internals.checksums import check_files
from ..objectives import Objective
from ..signals.columns import TASK_COLUMNS
from ..signals.forward import accepted_columns
from ..teachers import Teacher
from .checkpoints import (
    begin_checkpoint,
    best_checkpoint_of,
    finish_checkpoint,
    load_renamed,
    training_settings,
)
from .projections import Projections
from .sampling import LengthGroupedSampler, length_grouped_sampler

# Private members of Trainer that other modules of this subpackage call or read.
CALLED = (
    "_prepare_inputs",
    "_remove_unused_columns",
    "_get_collator_with_removed_columns",
    "_signature_columns",
    "_push_from_checkpoint",
    "_get_output_dir",
)


class PrivateHooks(Trainer):
    """`transformers.Trainer` with the private methods that distillation overrides. Each docstring gives the reason."""

    model: nn.Module
    teacher: Teacher | None
    objective: Objective
    projections: Projections
    _read_labels: Callable[[dict[str, torch.Tensor]], dict[str, torch.Tensor]]
    _collator: Collator
    _training_collator: Collator
    _train_sampler: LengthGroupedSampler | None = None
    _signature_columns: list[str] | None  # type: ignore[assignment]  # None in Trainer's constructor, a list later

    # ---- Training ----

    def _get_num_items_in_batch(self, batch_samples: list, device: torch.device) -> torch.Tensor | None:
        """Count the items of each term over all micro-batches of a step and all processes: shape (terms,).

        Reason: Trainer counts labels that are not -100; what a term counts depends on the term.
        """
        if not batch_samples:
            return None
        counts = self.objective.count([self._read_labels(batch) for batch in batch_samples]).to(device)
        return self.accelerator.reduce(counts, "sum") if self.accelerator.num_processes > 1 else counts

    def _run_epoch(self, *args: Any, **kwargs: Any) -> None:
        """Train for one epoch, unless all steps are done.

        Reason: a resumed run that is already at its end would be trained for one step more.
        """
        self.control.should_training_stop |= self.state.global_step >= self.state.max_steps
        if not self.control.should_training_stop:
            super()._run_epoch(*args, **kwargs)

    def _clip_grad_norm(self, model: nn.Module) -> torch.Tensor | None:
        """Clip the gradients of student and projections together.

        Reason: Trainer clips its model only.
        """
        if not self.projections.exist:
            return super()._clip_grad_norm(model)
        return self.projections.clip(model, self.accelerator, self.args.max_grad_norm)

    # ---- Checkpoints ----

    def _save_checkpoint(self, model: nn.Module, trial: Any) -> None:
        """Save a checkpoint, mark it as complete when its files are on the disk, then delete the oldest ones.

        Reason: Trainer deletes the oldest ones before the new one is on the disk, by the times of their folders; and a
        process that is killed leaves a part of a checkpoint that looks complete.
        """
        checkpoint = Path(self._get_output_dir(trial)) / f"{PREFIX_CHECKPOINT_DIR}-{self.state.global_step}"
        if self.args.should_save:
            begin_checkpoint(checkpoint)
        self.accelerator.wait_for_everyone()
        args, limit, pushes = self.args, self.args.save_total_limit, self.args.push_to_hub
        try:
            args.save_total_limit, args.push_to_hub = None, False  # both follow below
            super()._save_checkpoint(model, trial)
        finally:
            args.save_total_limit, args.push_to_hub = limit, pushes
        self.accelerator.wait_for_everyone()
        if self.args.should_save:
            settings = training_settings(self.args, self.train_dataset)
            finish_checkpoint(checkpoint, settings, limit=limit, best=self.state.best_model_checkpoint)
        if pushes:
            self._push_from_checkpoint(str(checkpoint))

    def _init_training_state(
        self,
        max_steps: int,
        num_update_steps_per_epoch: int,
        num_train_epochs: int,
        checkpoint: str | None,
        trial: Any,
    ) -> tuple[int, int]:
        """Restore the state, with the best checkpoint beside the one that is resumed from.

        Reason: Trainer looks for it where it was; the folder may have been moved.
        """
        result = super()._init_training_state(
            max_steps, num_update_steps_per_epoch, num_train_epochs, checkpoint, trial
        )
        if checkpoint is not None and (best := best_checkpoint_of(checkpoint, vars(self.state))) is not None:
            self.state.best_model_checkpoint = str(best)
        return result

    def _save(self, output_dir: str | None = None, state_dict: dict[str, torch.Tensor] | None = None) -> None:
        """Save the student, also where some of its tensors share memory or are not contiguous.

        Reason: safetensors refuses both, at the first checkpoint, unless the class of the model declares its tied weights.
        """
        super()._save(output_dir, separate_state(self.model) if state_dict is None else state_dict)

    def _save_rng_state(self, output_dir: str) -> None:
        """Save the random state, then wait for all processes.

        Reason: `trainer_state.json` is written next and marks a checkpoint as complete; all parts must exist by then.
        """
        super()._save_rng_state(output_dir)
        self.accelerator.wait_for_everyone()

    def _load_from_checkpoint(self, resume_from_checkpoint: str, model: nn.Module | None = None) -> None:
        """Load student and projections from a checkpoint.

        Reason: Trainer loads its model only, and ignores weights that transformers saves under older names.
        """
        # FSDP and DeepSpeed have names of their own.
        sharded = self.is_fsdp_enabled or self.is_deepspeed_enabled
        if sharded or not load_renamed(self.model if model is None else model, resume_from_checkpoint):
            super()._load_from_checkpoint(resume_from_checkpoint, model)
        self.projections.load(resume_from_checkpoint)

    def _load_best_model(self) -> None:
        """Load student and projections of the best checkpoint.

        Reason: as for `_load_from_checkpoint`.
        """
        checkpoint = cast(str, self.state.best_model_checkpoint)  # Trainer calls this only if there is one
        check_files(checkpoint)
        sharded = self.is_fsdp_enabled or self.is_deepspeed_enabled
        if sharded or not load_renamed(self.model, checkpoint):
            super()._load_best_model()
        self.projections.load(checkpoint)

    # ---- Data ----

    def _set_signature_columns_if_needed(self) -> None:
        """Keep the columns that student, teacher, collator or loss read.

        Reason: Trainer keeps those of the outermost `forward` and would drop what only the teacher or a model inside a
        wrapper reads.
        """
        if self._signature_columns is None:
            super()._set_signature_columns_if_needed()
            student = accepted_columns(self.model)
            teacher = () if self.teacher is None else self.teacher.columns
            columns = [*(self._signature_columns or ()), *TASK_COLUMNS, *teacher, *self._collator.columns]
            columns += student or ()
            if student is None or (self.teacher is not None and self.teacher.takes_any_column):
                columns += numeric_columns(self.train_dataset, self.eval_dataset)
            self._signature_columns = list(dict.fromkeys(columns))

    def _get_train_sampler(self, train_dataset: Any = None) -> Sampler | None:
        """The sampler that groups examples by length, for `train_sampling_strategy="group_by_length"`.

        Reason: Trainer's own depends on the global random state, so that a resumed run would see another order.
        """
        dataset = self.train_dataset if train_dataset is None else train_dataset
        if self.args.train_sampling_strategy != "group_by_length" or not has_length(dataset):
            return super()._get_train_sampler(train_dataset)
        self._train_sampler = length_grouped_sampler(dataset, self.args)
        return self._train_sampler

    def _get_eval_sampler(self, eval_dataset: Any) -> Sampler | None:
        """A sampler in the order of the data set.

        Reason: predictions are matched with examples by position; Trainer may group evaluation by length.
        """
        return SequentialSampler(eval_dataset) if has_length(eval_dataset) and self.args.world_size <= 1 else None


def numeric_columns(*datasets: Any) -> list[str]:
    """Columns of data sets that a model whose forward takes any column (`**kwargs`) may read: all but texts."""
    names: dict[str, None] = {}
    for dataset in itertools.chain(*(data.values() if isinstance(data, dict) else [data] for data in datasets)):
        features = getattr(dataset, "features", None)
        if features:
            names |= dict.fromkeys(name for name, feature in features.items() if not _is_text_feature(feature))
        elif has_length(dataset) and len(dataset) and isinstance(row := cast("Any", dataset)[0], Mapping):
            names |= dict.fromkeys(name for name, value in row.items() if not _is_text(value))
    return list(names)


def _is_text_feature(feature: Any) -> bool:
    """Whether a column of `datasets` has texts, or lists or dictionaries of texts."""
    while (inner := getattr(feature, "feature", None)) is not None:
        feature = inner
    return isinstance(feature, dict) or getattr(feature, "dtype", "") in ("string", "large_string", "dict")


def _is_text(value: Any) -> bool:
    """Whether a value is a text, or a list or a dictionary of texts."""
    while isinstance(value, (list, tuple)) and value:
        value = value[0]
    return isinstance(value, (str, dict))


def separate_state(model: nn.Module) -> dict[str, torch.Tensor] | None:
    """The tensors of a model with copies of those that safetensors cannot write; None if it can write all of them.

    Tied weights that the class of a transformers model declares are left to `save_pretrained`, which writes them once.
    """
    declared = _get_tied_weight_keys(model) if isinstance(model, PreTrainedModel) else []
    state = {name: tensor for name, tensor in model.state_dict().items() if isinstance(tensor, torch.Tensor)}
    if not isinstance(model, PreTrainedModel) and len(state) < len(model.state_dict()):
        return None  # a module whose state is not of tensors only
    seen: set[int] = set()
    copies = {}
    for name, tensor in state.items():
        if tensor.device.type == "meta" or any(re.search(pattern, name) for pattern in declared):
            continue
        place = tensor.untyped_storage().data_ptr()
        if place in seen or not tensor.is_contiguous():
            copies[name] = tensor.contiguous().clone()
        seen.add(place)
    return {**state, **copies} if copies else None


def overridden_hooks() -> list[str]:
    """Names of the private methods that `PrivateHooks` overrides."""
    return [
        name
        for name, member in vars(PrivateHooks).items()
        if name.startswith("_") and not name.startswith("__") and inspect.isfunction(member)
    ]


def missing_hooks(trainer_class: type = Trainer) -> list[str]:
    """Check that Trainer still has and still uses the private members that distillation depends on.

    Args:
        trainer_class (`type`): `transformers.Trainer`, or a class to test this function with.

    Returns:
        `list[str]`: One sentence for each member that is missing or no longer used; empty if all is well.
    """
    source = inspect.getsource(trainer_class)
    sentences = []
    for name in [*overridden_hooks(), *CALLED]:
        role = "overrides" if name not in CALLED else "calls"
        if not re.search(rf"\bdef {name}\b|self\.{name}\b", source):
            sentences.append(f"{trainer_class.__name__} has no {name}, which distil_nlp/training {role}.")
        elif not re.search(rf"self\.{name}\b", source):
            sentences.append(f"{trainer_class.__name__} no longer calls {name}, which distil_nlp/training {role}.")
    return sentences
