"""What a task owes to everything that trains on it."""

from abc import ABC, abstractmethod

import datasets
import numpy as np

from ..augmentation.text import augmented_copies
from ..collators.separate_inputs import SeparateInputsCollator, with_separate_inputs
from ..data.examples import text_batch
from ..metrics import labeled_rows
from ..signals.problem_kinds import problem_kind


class Task(ABC):
    """Knows the columns of a data set, its labels, and how its rows become batches.

    Adding a task is adding one file with a subclass of this in it. Nothing here has heard of a model: `auto_class`
    is a name, and the labels go to a model's config as plain values.

    Attributes:
        name (`str`): The task in the Hub's words, "text-classification"; a word of ours where the Hub has one for several.
        pipeline_tag (`str`): The Hub's word, for the card.
        auto_class (`str` or `type`): The class that loads a model for it, or its name in `transformers`.
        problem_type (`str`): single_label_classification, multi_label_classification, regression, or embedding, a word
            of ours: transformers refuses it in a config.
        label_names (`list[str]` or None): Names by class index; None where the data has none.
        num_labels (`int` or None): Columns of the logits; 1 for regression, None for a task without classes.
        one_output_per_example (`bool`): Logits are one row an example.
        cache_format (`str`): Default format in which a cache stores the teacher's logits.
        allows_other_tokenizers (`bool`): Models with different tokenizers can be compared, because a row is an example
            however its text is tokenized.
        training_settings (`dict`): What a recipe gives `prepare` for rows to learn from, where its user says nothing.
        supports_augmentation (`bool`): Altered copies of its rows are still examples of the task.
        augmentation_keeps_labels (`bool`): Augmented copies have the label of the row, as a flipped image has. Augmented
            text has no label; only the teacher supplies targets.
        preset_for_large_gap (`str` or None): Default objective preset of a recipe where the teacher is far larger than the
            student; None: the same as without a gap.
        per_token (`dict[str, int or bool]`): Columns with one value a token, beside the model's inputs: name to the
            value that stands at padding.
        example (`str` or `dict`): What the model's pipeline is shown in the card.
        text_columns (`tuple[str]`): Columns of the raw data that hold its texts, where it has any.
        reads_tokens (`bool`): Its models read token ids.
        generates_text (`bool`): Its models write texts, token after token. A student learns the texts of its only teacher,
            which takes two methods more: `texts_of` prepared rows, and rows `with_texts` in their place.
    """

    name = None
    auto_class = None
    problem_type = None
    label_names = None
    num_labels = None
    one_output_per_example = False
    cache_format = "float32"
    allows_other_tokenizers = False
    training_settings = {}
    supports_augmentation = augmentation_keeps_labels = False
    preset_for_large_gap = None
    per_token = {}
    example = "One sentence to judge."
    text_columns = ()
    reads_tokens = True
    generates_text = False

    @property
    def pipeline_tag(self):
        return self.name

    def loading_code(self, repo_id):
        """Lines of Python for the card that load a model and ask it; None where transformers' pipeline does that."""
        return None

    @classmethod
    @abstractmethod
    def from_splits(cls, splits, **columns):
        """Read the task's columns and labels off the data, and refuse what would fail later."""

    @classmethod
    def arrange_splits(cls, splits, *, label_column=None):
        """The splits as the task divides them, before anything else is read off them: here, as they came."""
        return splits

    @abstractmethod
    def prepare(self, split, processor, **settings):
        """Rows as a model takes them, not padded: its inputs, `labels`, and `example_id`."""

    @abstractmethod
    def collator(self, processor):
        """A function from a list of prepared rows to a batch of tensors."""

    # ---- What a model reads with. Here: a tokenizer ----

    def load_processor(self, name_or_path, *, trust_remote_code=False):
        """What makes a model's input of raw rows: its tokenizer, or what stands in its place.

        Raises:
            ValueError: The model has none beside it.
        """
        from ..models.loading import load_tokenizer  # here, not above: who only looks at data need not wait for torch

        tokenizer = load_tokenizer(name_or_path, trust_remote_code=trust_remote_code)
        if tokenizer is None:
            raise ValueError(f"{name_or_path} has no tokenizer beside it, so its input cannot be made.")
        return tokenizer

    def output_names(self, processor):
        """The names of a model's outputs, where its processor says them and its config does not: here, None."""
        return None

    def for_teacher(self, teacher, processor):
        """The task as a teacher that was trained before this run knows it: here, itself.

        Args:
            teacher (`PreTrainedModel`), processor: As they were loaded.
        """
        return self

    def student_processor(self, student, of_teacher, *, trust_remote_code=False):
        """What a student reads with: here, the teacher's tokenizer.

        Args:
            student (`str` or None): As a recipe names it.
            of_teacher: The processor of the (first) teacher.
            trust_remote_code (`bool`): Run code that comes with a student of the Hub.
        """
        return of_teacher

    def same_input(self, processor, other):
        """Whether two models with these processors can read the same columns of a batch."""
        return processor is other or processor.get_vocab() == other.get_vocab()

    def prepare_for(self, split, processor, others, **settings):
        """Rows for several models at once.

        Args:
            split (`datasets.Dataset`): Raw.
            processor: Of the student.
            others (`dict`): Prefix of the columns of another model to its processor.
            settings: Of `prepare`.
        """
        rows = self.prepare(split, processor, **settings)
        of_others = {prefix: self.prepare(split, theirs, **settings) for prefix, theirs in others.items()}
        return with_separate_inputs(rows, of_others) if others else rows

    def collator_for(self, processor, others):
        """The collator of such rows."""
        own = self.collator(processor)
        of_others = {prefix: self.collator(theirs) for prefix, theirs in others.items()}
        return SeparateInputsCollator(own, of_others) if others else own

    def augment(self, rows, processor, others, *, num_copies):
        """Altered copies of prepared rows, see `augmented_copies`."""
        return augmented_copies(rows, processor, num_copies=num_copies, per_token=self.per_token)

    def speed_batch(self, processor, models, batch_size):
        """A batch that models are timed on, a dictionary of tensors: what it holds does not matter to them.

        Args:
            processor: Of the models.
            models (`list[nn.Module]`): Those that have a config.
            batch_size (`int`): Examples in it.
        """
        return text_batch(min(model.config.vocab_size for model in models), batch_size)

    # ---- What its models are judged by ----

    def predictor(self, model, *, timed=False):
        """A model as it is asked for what it is judged by, and timed at: here, itself."""
        return model

    @abstractmethod
    def evaluator(self, prepared, raw=None, main_metric=None):
        """How models are judged on a split.

        Args:
            prepared (`datasets.Dataset`): From `prepare`, with labels.
            raw (`datasets.Dataset`, *optional*): The split before `prepare`, for tasks whose references are text.
            main_metric (`str`, *optional*): The metric to decide by; the task has a default.

        Returns:
            `Evaluator`: For `compare`; its `answers` is what `predict` keeps.

        Raises:
            ValueError: A metric that the task does not have; no label in the split.
        """

    def usage_example(self, folder):
        """A line of Python that loads a student of this task and lets it answer."""
        return f'transformers.pipeline("{self.pipeline_tag}", "{folder}")({self.example!r})'

    def pictures(self, folder, raw, prepared, answers):
        """Draw, for the report, what models say of a few examples; nothing where a picture would say nothing.

        Args:
            folder (`Path`): Where to.
            raw, prepared (`datasets.Dataset`): The compared split, before and after `prepare`.
            answers (`dict[str, list]`): Name of a model to what the evaluator kept of it, a row an entry.

        Returns:
            `dict[str, str]`: File name of a picture to what it shows.
        """
        return {}

    def compute_metrics(self):
        """A function for `Trainer(compute_metrics=)`; None where only the loss makes sense during training."""
        return None

    def config_labels(self):
        """What `from_pretrained` or a config needs to know about the labels.

        Returns:
            `dict`: num_labels, id2label, label2id, problem_type. Classes without names get transformers' own
            "LABEL_0", which everybody else's checkpoints carry too.
        """
        names = self.label_names or [f"LABEL_{index}" for index in range(self.num_labels)]
        return {
            "num_labels": self.num_labels,
            "id2label": dict(enumerate(names)),
            "label2id": {name: index for index, name in enumerate(names)},
            "problem_type": self.problem_type,
        }

    def with_copies(self, rows, copies):
        """Prepared rows followed by altered copies of them, each with an id of its own; see `augmentation_keeps_labels`."""
        if not self.augmentation_keeps_labels:
            return self.with_unlabeled(rows, copies)
        copies = add_ids(copies.remove_columns("example_id"), start=len(rows))
        return datasets.concatenate_datasets([rows, copies.select_columns(rows.column_names)])

    def with_unlabeled(self, train, unlabeled):
        """Prepared training rows followed by rows that only the teacher speaks about.

        Args:
            train, unlabeled (`datasets.Dataset`): From `prepare`, with the same tokenizer. Labels that `unlabeled`
                may carry are not used.

        Returns:
            `datasets.Dataset`: All rows; the labels of the second part are missing, and its `example_id` counts on
            from the first part, so that every row of the result has its own.
        """
        blank = self.without_labels(unlabeled.remove_columns("example_id"))
        blank = add_ids(blank, start=len(train))
        return datasets.concatenate_datasets([train, blank.select_columns(train.column_names)])

    def labeled(self, prepared):
        """Which prepared rows have a label, `np.ndarray` of bool, shape (rows,)."""
        return labeled_rows(self.problem_type, np.asarray(prepared["labels"]))

    def without_labels(self, prepared):
        """Prepared rows whose labels are missing, whatever they were."""
        return add_labels(prepared.remove_columns("labels"), self.missing_labels(len(prepared)))

    def missing_labels(self, count):
        """`count` labels that are not there, in the form the losses know."""
        return [problem_kind(self.problem_type).missing_label(self.num_labels)] * count


def add_labels(dataset, labels):
    """`dataset` with a column `labels`: int64 for classes and positions, float32 for scores and for rows of 0.0 and 1.0."""
    is_list = bool(labels) and isinstance(labels[0], list)
    first = next(iter(labels[0]), None) if is_list else next(iter(labels), None)
    feature = datasets.Value("float32" if isinstance(first, float) else "int64")
    feature = datasets.List(feature) if is_list else feature
    return dataset.add_column("labels", labels, feature=feature)


def add_ids(dataset, *, start=0):
    """`dataset` with a column `example_id` that counts its rows from `start`."""
    return dataset.add_column("example_id", list(range(start, start + len(dataset))))
