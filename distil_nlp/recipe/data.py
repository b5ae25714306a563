"""The data of a run: its splits, their rows as model inputs, and the processors that prepare them."""

import inspect
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch
from accelerate import PartialState
from datasets import Dataset
from torch import nn
from transformers import PreTrainedTokenizerBase, ProcessorMixin
from transformers.feature_extraction_utils import FeatureExtractionMixin
from transformers.image_processing_base import ImageProcessingMixin

from ..augmentation.masked_lm import load_masked_lm, replaced_copies
from ..collators import Collator
from ..data.splits import load_file, load_splits
from ..generation.sequence_targets import pseudo_labeled
from ..internals.messages import listed, shown
from ..metrics import Evaluator
from ..models.sources import check_source
from ..tasks import Task, task_class
from ..teachers import Teacher
from ..teachers.cache.fingerprints import data_fingerprint
from ..teachers.reconcile import label_names, reorder
from .arguments import RecipeArguments

# Tokenizers, image processors and feature extractors, and what combines them.
Processor = PreTrainedTokenizerBase | ImageProcessingMixin | FeatureExtractionMixin | ProcessorMixin

# The settings of a recipe that methods of a task may take, by method.
_FROM_SPLITS = (
    "text_column", "text_pair_column", "image_column", "image_size", "audio_column", "label_column", "problem_type",
    "max_answer_length", "num_states", "insertion_penalty", "language",
)  # fmt: skip
_PREPARE = ("max_length", "doc_stride", "mask_probability", "soft_pieces")
_PREPARE_TRAINING = ("num_mask_copies",)  # for rows to learn from only
_ARRANGE_SPLITS = ("held_out_people", "joined_clips", "held_out_speakers")
_STUDENT_PROCESSOR = ("student_image_size",)
_AUGMENT = ("augmentation",)
_PSEUDO_LABEL = ("max_word_error",)
_INPUT_COLUMNS = ("input_ids", "image", "audio")
_MAX_DIGESTED = 1 << 30
ROW_KINDS = ("all", "labeled", "unlabeled")  # of rows to learn from


def separate_prefix(index: int) -> str:
    """The prefix of the columns of a teacher that reads other input than the student; 0 is the first teacher."""
    return f"teacher_{index + 1}_"


class RecipeData:
    """The splits of a run, raw and as model inputs.

    Call `load_processors`, then `prepare`, before the attributes below `separate_processors` are read.

    Args:
        recipe (`RecipeArguments`): The data set, the columns, the preprocessing.
        files (`Iterable[str]`): The `data` of stages; entries that are not in `ROW_KINDS` are files of texts to load.

    Attributes:
        task (`Task`): Columns, labels, collator.
        splits (`dict[str, datasets.Dataset]`): The raw splits.
        processor: The processor of the student and of teachers that read the same input.
        teacher_processor: The processor of the first teacher.
        separate_processors (`dict`): Prefix of a teacher's columns to its processor, for teachers that read other input.
        prepared (`dict[str, datasets.Dataset]`): The splits as model inputs.
        labeled (`datasets.Dataset`): Training rows that have a label.
        transfer (`datasets.Dataset`): All rows that the student can learn from: training rows, then unlabeled rows and
            augmented copies.
        collator (`Collator`): For the teachers and the student.
        compared_on (`str`): The split of the comparison: "test" where it has labels, otherwise "validation".
    """

    def __init__(self, recipe: RecipeArguments, *, files: Iterable[str] = ()):
        self.recipe, self._settings, self._copies = recipe, recipe.flat(), None
        self._texts = {file: load_file(file, "data of a stage") for file in files if file not in ROW_KINDS}
        data, num_copies = recipe.data, recipe.transfer.num_augmented_copies
        self.splits = load_splits(
            dataset_name=data.dataset_name,
            dataset_config_name=data.dataset_config_name,
            train_file=data.train_file,
            validation_file=data.validation_file,
            test_file=data.test_file,
            unlabeled_file=recipe.transfer.unlabeled_file,
            train_val_split=data.train_val_split,
            max_train_samples=data.max_train_samples,
            max_eval_samples=data.max_eval_samples,
        )
        if not {"train", "unlabeled"} & set(self.splits):
            raise ValueError(
                f"A recipe trains, and there is neither a train split nor an unlabeled one (splits: "
                f"{', '.join(self.splits)}). Set train_file, or unlabeled_file for texts that only the teacher labels."
            )
        arrange = task_class(data.task).arrange_splits
        options = self._options(arrange, _ARRANGE_SPLITS)
        self.splits = arrange(self.splits, label_column=recipe.preprocessing.label_column, **options)
        self.task = self._new_task()
        self.processor = self.teacher_processor = None
        self.separate_processors: dict[str, Processor] = {}
        if num_copies and not self.task.supports_augmentation:
            raise ValueError(
                f"num_augmented_copies={num_copies} joins texts and changes their tokens, and the result is not an example "
                f"of {self.task.name}. Leave it out; use unlabeled_file for texts that only the teacher labels."
            )

    def load_processors(self, teacher: str | Path) -> None:
        """Load the processors of the first teacher (from its folder or Hub id), of the student, and of further teachers
        that read other input; where the teacher's processor contains the names of the classes, the task takes them.

        Raises:
            ValueError: A teacher without a processor.
        """
        code = self.recipe.models.trust_remote_code
        check_source(teacher)
        self.teacher_processor = self.task.load_processor(teacher, trust_remote_code=code)
        names = self.task.output_names(self.teacher_processor)
        if names is not None and names != self.task.label_names:
            self.task = self._new_task(label_names=names)
        options = self._options(self.task.student_processor, _STUDENT_PROCESSOR)
        self.processor = self.task.student_processor(
            self.recipe.models.student, self.teacher_processor, trust_remote_code=code, **options
        )
        processors = [self.teacher_processor]
        for source in self.recipe.models.more_teachers or ():
            check_source(source)
            processors.append(self.task.load_processor(source, trust_remote_code=code))
        self.separate_processors = {
            separate_prefix(index): processor
            for index, processor in enumerate(processors)
            if not self.task.same_input(processor, self.processor)
        }

    def adopt_labels(self, teacher: nn.Module, *, trained_here: bool) -> None:
        """Give the labels of the data the teacher's names and order, so that a column of logits means the same for both.

        Args:
            teacher (`PreTrainedModel`): The first teacher, with a trained head.
            trained_here (`bool`): It was trained on the labels of this data.

        Raises:
            ValueError: A label that the teacher does not have.
        """
        if names := self.task.output_names(self.teacher_processor):
            teacher.config.id2label = dict(enumerate(names))
        self._adopt_names(label_names(teacher))
        if not trained_here:
            self.task = self.task.for_teacher(teacher, self.teacher_processor)

    def _adopt_names(self, teacher_names: list[str] | None) -> None:
        data_names, num_labels = self.task.label_names, self.task.num_labels
        if teacher_names is None or num_labels is None:
            return
        if data_names is not None:
            order = reorder(data_names, teacher_names)
            spelling = dict(zip(range(len(data_names)) if order is None else order, data_names, strict=True))
            teacher_names = [spelling.get(index, name) for index, name in enumerate(teacher_names)]
        elif len(teacher_names) != num_labels:
            raise ValueError(
                f"The data has {num_labels} classes without names, the teacher {len(teacher_names)} "
                f"({listed(teacher_names, 6)}): there is no way to match them. Name the classes in the data, or "
                f"fine-tune the teacher on it with `--train_teacher true`."
            )
        if teacher_names != data_names:
            self.task = self._new_task(label_names=teacher_names)

    def prepare(self) -> None:
        """Prepare all splits with the processors.

        Raises:
            ValueError: Teachers that read other input, for a task or with settings that do not allow it.
        """
        self._check_separate_processors()
        self._digests = None
        options = self._options(self.task.prepare, _PREPARE)
        training_options = {
            **options,
            **self.task.training_settings,
            **self._options(self.task.prepare, _PREPARE_TRAINING),
        }
        self.prepared = {
            name: self._rows(
                split,
                with_labels=name != "unlabeled",
                **(training_options if name in ("train", "unlabeled") else options),
            )
            for name, split in self.splits.items()
        }
        self._prepared_texts = {
            file: self._rows(texts, with_labels=False, **training_options) for file, texts in self._texts.items()
        }
        train, unlabeled = self.prepared.get("train"), self.prepared.get("unlabeled")
        if train is None:  # all rows are for the teacher, none has a label
            train, unlabeled = unlabeled, None
        self.transfer = train if unlabeled is None else self.task.with_unlabeled(train, unlabeled)
        num_copies = self.recipe.transfer.num_augmented_copies
        if num_copies:
            self.transfer = self.task.with_copies(self.transfer, self._augmented())
        self._is_labeled, self._indices = self.task.labeled(self.transfer), np.arange(len(self.transfer))
        rows = self.transfer if num_copies and self.task.augmentation_keeps_labels else train
        self.labeled = rows.select(np.flatnonzero(self.task.labeled(rows)))
        self._collator_options = {} if num_copies else self._options(self.task.collator_for, _AUGMENT)
        self.collator = self.task.collator_for(self.processor, self.separate_processors, **self._collator_options)
        with_test = "test" in self.prepared and self.task.labeled(self.prepared["test"]).any()
        self.compared_on = "test" if with_test else "validation"

    def pseudo_label(self, teacher: Teacher, folder: Path, device: torch.device) -> None:
        """Replace the texts that the student learns by the teacher's; see `pseudo_labeled`."""
        if self.recipe.transfer.pseudo_labels is False:
            return
        options = self._options(pseudo_labeled, _PSEUDO_LABEL)
        self.transfer, indices = pseudo_labeled(
            self.transfer, self.task, teacher, self.processor, folder, device=device, **options
        )
        self._indices = self._indices[indices]

    def collator_for(self, processor: Processor) -> Collator:
        """The collator of the prepared rows for training a model with this processor without a teacher."""
        if processor is self.processor:
            return self.collator
        separate = {**self.separate_processors, "student_": self.processor}
        return self.task.collator_for(processor, separate, **self._collator_options)

    def rows(self, kind: str) -> Dataset:
        """Prepared rows to learn from: "all", "labeled", "unlabeled", or those of a file of texts."""
        if kind in self._prepared_texts:
            return self._prepared_texts[kind]
        if kind == "unlabeled":
            return self.transfer.select(np.flatnonzero(~self.task.labeled(self.transfer)))
        return self.labeled if kind == "labeled" else self.transfer

    def token_ids(self) -> Iterator[list[int]]:
        """Every list of token ids that a student may learn from."""
        for rows in (self.transfer, *self._prepared_texts.values()):
            for part in rows.select_columns("input_ids").iter(10_000):
                for row in part["input_ids"]:
                    has_several_texts = row and isinstance(row[0], list)
                    yield from row if has_several_texts else [row]

    def compared_with(self, processor: Processor | None) -> tuple[Dataset, Collator]:
        """Rows and collator of the compared split for a model with its own processor; None for the student's."""
        if processor is None:
            return self.compared, self.collator
        options = self._options(self.task.prepare, _PREPARE)
        return self.task.prepare(self.splits[self.compared_on], processor, **options), self.task.collator(processor)

    @property
    def digests(self) -> dict[str, str]:
        """Split -> digest of its model inputs without labels, whatever files or data set they come from.

        Of splits above a gigabyte some thousand rows count. Labels are left out: a teacher may align them.
        """
        if self._digests is None:
            self._digests = {}
            for name, split in self.prepared.items():
                columns = [column for column in split.column_names if column in _INPUT_COLUMNS]
                if split.data.nbytes > _MAX_DIGESTED:
                    split = split.select(np.unique(np.linspace(0, len(split) - 1, 4096).astype(int)))
                if columns:
                    self._digests[name] = data_fingerprint(split, columns)
        return self._digests

    @property
    def compared(self) -> Dataset:
        """The prepared rows of the split that the comparison uses."""
        return self.prepared[self.compared_on]

    @property
    def learned_from(self) -> dict[str, int]:
        """Number of rows that the student learns from: "labeled", "unlabeled" and "altered" (augmented copies)."""
        num_rows = len(self._is_labeled) // (1 + self.recipe.transfer.num_augmented_copies)
        is_copy = self._indices >= num_rows
        labeled, copies = int((self._is_labeled[self._indices] & ~is_copy).sum()), int(is_copy.sum())
        return {"labeled": labeled, "unlabeled": len(self._indices) - labeled - copies, "altered": copies}

    def compute_metrics(self) -> Callable | None:
        """A function for `Trainer(compute_metrics=)`, or None."""
        return self.task.compute_metrics()

    def evaluator(self) -> Evaluator:
        """The evaluator of the compared models."""
        return self.task.evaluator(self.compared, self.splits[self.compared_on], self.recipe.report.main_metric)

    def texts(self, split: str) -> list[str]:
        """Raw texts of a split as single strings; a pair is joined by a line break."""
        columns = [self.splits[split][name] for name in self.task.text_columns]
        return ["\n".join(map(str, row)) for row in zip(*columns, strict=True)]

    def labeled_texts(self) -> tuple[list[str], np.ndarray]:
        """Texts and labels of the training rows that have a label."""
        is_labeled = self.task.labeled(self.prepared["train"])
        texts = [text for text, has_label in zip(self.texts("train"), is_labeled, strict=True) if has_label]
        return texts, np.asarray(self.labeled["labels"])

    def _rows(self, split: Dataset, **options: Any) -> Dataset:
        return self.task.prepare_for(split, self.processor, self.separate_processors, **options)

    def _check_separate_processors(self) -> None:
        num_copies = self.recipe.transfer.num_augmented_copies
        if self.separate_processors and not self.task.allows_other_tokenizers:
            raise ValueError(
                f"The teachers have different tokenizers, and for {self.task.name} models are compared token by token. "
                f"Choose teachers that share the first one's tokenizer."
            )
        if self.separate_processors and num_copies:
            raise ValueError(
                f"num_augmented_copies={num_copies} changes tokens of the first teacher, and another teacher, with a "
                f"tokenizer of its own, could not read the copies. Leave one of them out."
            )

    def _augmented(self) -> Dataset:
        """Copies of the transfer rows. They are made once: `prepare` after a teacher's fine-tuning gives the same rows."""
        settings = self.recipe.transfer
        num_copies = settings.num_augmented_copies
        if self._copies is None and settings.augmentation_model is None:
            options = self._options(self.task.augment, _AUGMENT)
            self._copies = self.task.augment(
                self.transfer, self.processor, self.separate_processors, num_copies=num_copies, **options
            )
        elif self._copies is None:
            code = self.recipe.models.trust_remote_code
            model = load_masked_lm(settings.augmentation_model, self.processor, trust_remote_code=code)
            self._copies = replaced_copies(
                self.transfer, self.processor, model, num_copies=num_copies, device=PartialState().device
            )
        return self._copies

    def _new_task(self, **labels: Any) -> Task:
        from_splits = task_class(self.recipe.data.task).from_splits
        return from_splits(self.splits, **self._options(from_splits, _FROM_SPLITS), **labels)

    def _options(self, method: Callable, names: Iterable[str]) -> dict[str, Any]:
        """The settings among `names` that are not None; ValueError for a setting that the task's method does not take."""
        options = {name: self._settings[name] for name in names if self._settings[name] is not None}
        parameters = inspect.signature(method).parameters
        for name, value in options.items():
            if name not in parameters:
                raise ValueError(
                    f"{name}={shown(value)} would have no effect: the task {self.recipe.data.task} takes no such "
                    f"setting. Leave it out. It takes "
                    f"{', '.join(name for name in names if name in parameters) or 'none of its kind'}."
                )
        return options
