"""Base class of the tasks."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import datasets
import numpy as np

from ..augmentation.text import augmented_copies
from ..collators.separate_inputs import SeparateInputsCollator, with_separate_inputs
from ..data.examples import text_batch
from ..internals.messages import quoted
from ..metrics import labeled_rows
from ..models.loading import load_tokenizer
from ..models.sources import check_exists
from ..signals.problem_kinds import problem_kind

if TYPE_CHECKING:
    import torch
    from torch import nn
    from transformers import PreTrainedModel

    from ..collators.base import Collator
    from ..metrics import Evaluator

Splits = Mapping[str, datasets.Dataset]  # split name -> rows: "train", "validation", "test", "unlabeled"
# A tokenizer, an image processor, a feature extractor, or transformers' processor of a feature extractor and a tokenizer.
Processor = Any


class Task(ABC):
    """The columns of a data set, its labels, its preprocessing, collator and evaluator.

    To add a task, write a subclass in a new file and list it in `tasks/__init__.py`. A task has no model: `auto_class` is a
    name or a loader, and the labels go to a model's config as plain values.

    Attributes:
        name (`str`): The Hub's name of the task, such as "text-classification"; another name where the Hub has a single
            one for several tasks.
        pipeline_tag (`str`): The Hub's name, for the model card.
        auto_class (`str` or `type`): The class that loads a model for it, or its name in `transformers`.
        problem_type (`str`): Name of the problem kind, see `signals.problem_kinds`.
        label_names (`list[str]` or None): Names by class index; None where the data has none.
        num_labels (`int` or None): Columns of the logits; 1 for regression, None for a task without classes.
        one_output_per_example (`bool`): Logits have one row per example.
        cache_format (`str`): Default format in which a cache stores the teacher's logits.
        allows_other_tokenizers (`bool`): Models with different tokenizers can be compared, because a row is an example
            however its text is tokenized.
        training_settings (`dict`): Default arguments of `prepare` for training rows, in a recipe.
        supports_augmentation (`bool`): Augmented copies of its rows are still examples of the task.
        augmentation_keeps_labels (`bool`): Augmented copies have the label of the row, as a flipped image has. Augmented
            text has no label; only the teacher supplies targets.
        preset_for_large_gap (`str` or None): Default objective preset of a recipe where the teacher is far larger than the
            student; None: the same as without a gap.
        per_token (`dict[str, int or bool]`): Columns with one value per token, other than the model's inputs: name to
            the padding value.
        example (`str` or `dict`): Input of the usage example in the model card.
        text_columns (`tuple[str]`): Columns of the raw data that contain its texts, if any.
        reads_tokens (`bool`): Its models take token ids.
        generates_text (`bool`): Its models generate texts token by token. A student is trained on the texts that its only
            teacher generates, which needs two more methods: `texts_of` prepared rows, and rows `with_texts` as targets.
    """

    name: str
    auto_class: Any = None
    problem_type: str | None = None
    label_names: list[str] | None = None
    num_labels: int | None = None
    one_output_per_example = False
    cache_format = "float32"
    allows_other_tokenizers = False
    training_settings: Mapping[str, Any] = {}
    supports_augmentation = augmentation_keeps_labels = False
    preset_for_large_gap: str | None = None
    per_token: Mapping[str, int | bool] = {}
    example: str | dict[str, str] = "One sentence to judge."
    text_columns: tuple[str, ...] = ()
    reads_tokens = True
    generates_text = False

    @property
    def pipeline_tag(self) -> str:
        return self.name

    def loading_code(self, repo_id: str) -> str | None:
        """Python code for the model card that loads and runs a model; None where transformers' pipeline does that."""
        return None

    @classmethod
    @abstractmethod
    def from_splits(cls, splits: Splits, **columns: Any) -> Task:
        """Create the task: infer its columns and labels from the data, and reject data that would fail later."""

    @classmethod
    def arrange_splits(cls, splits: Splits, *, label_column: str | None = None) -> Splits:
        """Divide the splits as the task needs, before `from_splits`. Default: unchanged."""
        return splits

    @abstractmethod
    def prepare(self, split: datasets.Dataset, processor: Processor, **settings: Any) -> datasets.Dataset:
        """Preprocess rows for a model, not padded: its inputs, `labels`, and `example_id`."""

    @abstractmethod
    def collator(self, processor: Processor) -> Collator:
        """The collator of prepared rows."""

    # ---- Processors. Default: a tokenizer ----

    def load_processor(self, name_or_path: str, *, trust_remote_code: bool = False) -> Processor:
        """Load the processor of a model, which makes its inputs from raw rows.

        Raises:
            ValueError: The model has none beside it.
        """
        tokenizer = load_tokenizer(name_or_path, trust_remote_code=trust_remote_code)
        if tokenizer is None:
            check_exists(name_or_path)
            raise ValueError(
                f"{name_or_path} has no tokenizer beside it, so its inputs cannot be made. Save the tokenizer of the model "
                f"into its folder."
            )
        return tokenizer

    def output_names(self, processor: Processor) -> list[str] | None:
        """Names of a model's outputs where the processor has them and the config has not. Default: None."""
        return None

    def for_teacher(self, teacher: PreTrainedModel, processor: Processor) -> Task:
        """The task adapted to a teacher that was trained before this run. Default: unchanged.

        Args:
            teacher (`PreTrainedModel`), processor: As loaded.
        """
        return self

    def student_processor(
        self, student: str | None, teacher_processor: Processor, *, trust_remote_code: bool = False
    ) -> Processor:
        """The student's processor. Default: the teacher's tokenizer.

        Args:
            student (`str` or None): The student's name in a recipe.
            teacher_processor: The processor of the (first) teacher.
            trust_remote_code (`bool`): Run code that comes with a student of the Hub.
        """
        return teacher_processor

    def same_input(self, processor: Processor, other: Processor) -> bool:
        """Whether two models with these processors take the same columns of a batch."""
        return processor is other or processor.get_vocab() == other.get_vocab()

    def prepare_for(
        self, split: datasets.Dataset, processor: Processor, others: Mapping[str, Processor], **settings: Any
    ) -> datasets.Dataset:
        """Preprocess rows for several models at once.

        Args:
            split (`datasets.Dataset`): Raw rows.
            processor: The student's.
            others (`dict`): Prefix of the columns of another model to its processor.
            settings: Arguments of `prepare`.

        Returns:
            `datasets.Dataset`: The rows of `prepare`, for models with other inputs with further columns under their prefix.
        """
        rows = self.prepare(split, processor, **settings)
        other_rows = {prefix: self.prepare(split, other, **settings) for prefix, other in others.items()}
        return with_separate_inputs(rows, other_rows) if others else rows

    def collator_for(self, processor: Processor, others: Mapping[str, Processor]) -> Collator:
        """The collator of rows from `prepare_for`."""
        own = self.collator(processor)
        other_collators = {prefix: self.collator(other) for prefix, other in others.items()}
        return SeparateInputsCollator(own, other_collators) if others else own

    def augment(
        self, rows: datasets.Dataset, processor: Processor, others: Mapping[str, Processor], *, num_copies: int
    ) -> datasets.Dataset:
        """Augmented copies of prepared rows, see `augmented_copies`."""
        return augmented_copies(rows, processor, num_copies=num_copies, per_token=self.per_token)

    def speed_batch(
        self, processor: Processor, models: Sequence[nn.Module], batch_size: int
    ) -> dict[str, torch.Tensor]:
        """A batch of random inputs for timing models.

        Args:
            processor: Of the models.
            models (`list[nn.Module]`): Those that have a config.
            batch_size (`int`): Number of examples.

        Returns:
            `dict[str, torch.Tensor]`: The columns that the models take, with `batch_size` rows and without labels.
        """
        return text_batch(min(model.config.vocab_size for model in models), batch_size)

    # ---- Evaluation ----

    def predictor(self, model: nn.Module, *, timed: bool = False) -> Callable:
        """The callable from a batch to the outputs to evaluate (`timed`: to time). Default: the model itself."""
        return model

    @abstractmethod
    def evaluator(
        self, prepared: datasets.Dataset, raw: datasets.Dataset | None = None, main_metric: str | None = None
    ) -> Evaluator:
        """The evaluator of models on a split.

        Args:
            prepared (`datasets.Dataset`): From `prepare`, with labels.
            raw (`datasets.Dataset`, *optional*): The split before `prepare`, for tasks whose references are texts.
            main_metric (`str`, *optional*): The main metric; the task has a default.

        Returns:
            `Evaluator`: For `compare`; its `answers` goes to `predict` as `keep`.

        Raises:
            ValueError: A metric that the task does not have; no label in the split.
        """

    def usage_example(self, folder: str | Path) -> str:
        """A line of Python that loads a student of this task and runs it."""
        return f'transformers.pipeline("{self.pipeline_tag}", {quoted(folder)})({self.example!r})'

    def pictures(
        self,
        folder: Path,
        raw: datasets.Dataset,
        prepared: datasets.Dataset,
        answers: Mapping[str, Sequence[np.ndarray]],
    ) -> dict[str, str]:
        """Draw the models' predictions for a few examples, for the report. Default: no pictures.

        Args:
            folder (`Path`): Output folder.
            raw, prepared (`datasets.Dataset`): The compared split, before and after `prepare`.
            answers (`dict[str, list]`): Name of a model to its answers from the evaluator, one entry per row.

        Returns:
            `dict[str, str]`: File name of a picture to its caption.
        """
        return {}

    def compute_metrics(self) -> Callable | None:
        """A function for `Trainer(compute_metrics=)`; None where only the loss is computed during training."""
        return None

    # ---- Labels ----

    def config_labels(self) -> dict[str, Any]:
        """The label fields of a model config.

        Returns:
            `dict`: num_labels, id2label, label2id, problem_type. Classes without names get transformers' default names,
            "LABEL_0".
        """
        names = self.label_names or [f"LABEL_{index}" for index in range(self.num_labels)]
        return {
            "num_labels": self.num_labels,
            "id2label": dict(enumerate(names)),
            "label2id": {name: index for index, name in enumerate(names)},
            "problem_type": self.problem_type,
        }

    def with_copies(self, rows: datasets.Dataset, copies: datasets.Dataset) -> datasets.Dataset:
        """Prepared rows followed by augmented copies with new example ids; see `augmentation_keeps_labels`."""
        if not self.augmentation_keeps_labels:
            return self.with_unlabeled(rows, copies)
        copies = add_ids(copies.remove_columns("example_id"), start=len(rows))
        return datasets.concatenate_datasets([rows, copies.select_columns(rows.column_names)])

    def with_unlabeled(self, train: datasets.Dataset, unlabeled: datasets.Dataset) -> datasets.Dataset:
        """Prepared training rows followed by rows without labels, for which only the teacher has targets.

        Args:
            train, unlabeled (`datasets.Dataset`): From `prepare`, with the same tokenizer. Labels that `unlabeled` may
                have are not used.

        Returns:
            `datasets.Dataset`: All rows; the labels of the second part are missing, and its `example_id` counts on from
            the first part, so that ids are unique.
        """
        blank = self.without_labels(unlabeled.remove_columns("example_id"))
        blank = add_ids(blank, start=len(train))
        return datasets.concatenate_datasets([train, blank.select_columns(train.column_names)])

    def labeled(self, prepared: datasets.Dataset) -> np.ndarray:
        """Mask of the prepared rows that have a label, bool, shape (rows,)."""
        return labeled_rows(self.problem_type, np.asarray(prepared["labels"]))

    def without_labels(self, prepared: datasets.Dataset) -> datasets.Dataset:
        """Prepared rows with all labels missing."""
        return add_labels(prepared.remove_columns("labels"), self.missing_labels(len(prepared)))

    def missing_labels(self, count: int) -> list[Any]:
        """`count` missing labels, in the form that the losses mask."""
        return [problem_kind(self.problem_type).missing_label(self.num_labels)] * count


def add_labels(dataset: datasets.Dataset, labels: list[Any]) -> datasets.Dataset:
    """Add a column `labels`: int64 for classes and positions, float32 for scores and for rows of 0.0 and 1.0."""
    is_list = bool(labels) and isinstance(labels[0], list)
    first = next(iter(labels[0]), None) if is_list else next(iter(labels), None)
    feature = datasets.Value("float32" if isinstance(first, float) else "int64")
    feature = datasets.List(feature) if is_list else feature
    return dataset.add_column("labels", labels, feature=feature)


def add_ids(dataset: datasets.Dataset, *, start: int = 0) -> datasets.Dataset:
    """Add a column `example_id` that counts the rows from `start`."""
    return dataset.add_column("example_id", list(range(start, start + len(dataset))))
