"""The settings of a recipe by subject. Every field is a flag of the command line and a key of a YAML file.

Settings of the training loop: `distil_nlp.training.arguments`. Flags of `push` and `export`: `distil_nlp.cli.main`.
"""

import dataclasses
from dataclasses import dataclass, field
from typing import Any, Literal

from ..internals.messages import shown
from ..internals.numbers import check_numbers
from ..teachers.ensemble import normalized
from .intervals import INTERVALS
from .yaml_loader import load_yaml

# Settings that are YAML themselves: in a file a structure, as a flag a text in one word.
STRUCTURED = ("stages", "assistants", "augmentation", "sweep")


def _setting(help: str, default: Any = None) -> Any:
    return field(default=default, metadata={"help": help})


def _parse_yaml(arguments: Any, name: str) -> None:
    """Replace a setting by its parsed value: a flag contains YAML (of which JSON is a part) in one word."""
    if isinstance(getattr(arguments, name), str):
        setattr(arguments, name, load_yaml(getattr(arguments, name), name))


@dataclass
class _Settings:
    """Base class: the numbers lie in their ranges."""

    def __post_init__(self):
        check_numbers(self, INTERVALS)


@dataclass
class ModelArguments(_Settings):
    """The models: teachers and the architecture and first weights of the student.

    Raises:
        ValueError: No teacher; settings that do not fit each other.
    """

    _argument_group_name = "models: teachers and student"

    teacher: str | None = _setting(
        "Hub id or folder of the teacher; for images also a network to train from scratch: resnet20, resnet20x2."
    )
    more_teachers: list[str] | None = _setting(
        "Hub ids or folders of further teachers. All teachers' probabilities are averaged. A teacher that is listed twice "
        "is fine-tuned twice, with seed and seed + 1."
    )
    teacher_weights: list[float] | None = _setting(
        "Weight of each teacher in the average, above 0, in the order teacher, more_teachers. Default: equal."
    )
    hypothesis_template: str | None = _setting(
        "Zero-shot: the teacher is a model of natural language inference that reads each class in this sentence, "
        "'This review is {}.', and needs no label. Slow: use it with cache."
    )
    student: str | None = _setting(
        "A size such as 4x256 (layers x width, random weights), for images a network such as resnet8 or mobilenetv2x0.5, a "
        "Hub id or a folder. Default: layers of the teacher."
    )
    num_layers: int | None = _setting("Number of layers of a student made of the teacher's. Default: half of them.")
    layers: list[int] | None = _setting("Alternatively: which of the teacher's layers, counted from 0.")
    architecture: str | None = _setting("distilbert: make a DistilBERT of a BERT teacher. Default: the teacher's.")
    hidden_size: int | None = _setting("Width of a student made of the teacher's layers. Default: the teacher's.")
    intermediate_size: int | None = _setting("Its feed-forward width. Default: keeps the ratio to the hidden size.")
    num_attention_heads: int | None = _setting("Its attention heads. Default: heads as wide as the teacher's.")
    width_init: Literal["svd", "slice"] = _setting(
        "How the teacher's weights are narrowed: svd, or slice for the first rows and columns.", "svd"
    )
    student_embeddings: Literal["random", "pca"] = _setting(
        "Word embeddings of a student given by size: random, or pca of the teacher's.", "random"
    )
    trust_remote_code: bool = _setting("Run code that is stored with a model. It can do anything that you can.", False)

    def __post_init__(self):
        super().__post_init__()
        if not self.teacher:
            raise ValueError(
                f"A recipe needs a teacher; got teacher={shown(self.teacher)}. Give a Hub id or a folder, in YAML "
                f"(teacher: google-bert/bert-base-uncased) or as --teacher."
            )
        if isinstance(self.more_teachers, str):  # a single name in YAML
            self.more_teachers = [self.more_teachers]
        if self.more_teachers and self.hypothesis_template is not None:
            raise ValueError(
                f"hypothesis_template={shown(self.hypothesis_template)} is for a single teacher; got more_teachers="
                f"{shown(self.more_teachers)}. Leave one of them out."
            )
        if self.teacher_weights is not None and not self.more_teachers:
            raise ValueError(
                f"teacher_weights={self.teacher_weights} would have no effect: there is one teacher. Name others in "
                f"more_teachers, or leave it out."
            )
        if self.teacher_weights is not None:
            normalized(self.teacher_weights, 1 + len(self.more_teachers))
        if self.student_embeddings not in ("random", "pca"):
            raise ValueError(f"student_embeddings must be random or pca; got {shown(self.student_embeddings)}.")


@dataclass
class MethodArguments(_Settings):
    """How the models are trained: the teacher's fine-tuning, assistants, the student's objective."""

    _argument_group_name = "method: how teacher, assistants and student are trained"

    train_teacher: bool = _setting(
        "Fine-tune the teacher on the training data first. A teacher without a trained head for the task is always "
        "fine-tuned.",
        False,
    )
    teacher_learning_rate: float = _setting("Learning rate of the teacher's fine-tuning.", 3e-5)
    teacher_num_train_epochs: float = _setting("Epochs of the teacher's fine-tuning.", 3.0)
    teacher_stop_epoch: float | None = _setting(
        "Stop that fine-tuning after this many of its epochs: an early-stopped teacher is easier for a small student."
    )
    preset: str | None = _setting(
        "The objective and stages of a paper: logits (labels and soft targets, by kd_ratio), "
        "distilbert, pkd, tinybert, minilm or minilmv2; for images lskd, dist, dkd, fitnets, at, cwd or deit; for "
        "automatic-speech-recognition transcripts. Default: "
        "logits; dist for images of three classes or more where the teacher has ten times the student's parameters."
    )
    plugin: list[str] | None = _setting(
        "Python files or modules to import first: own terms, tasks and networks (register_term, register_task, "
        "register_network). A YAML file may name them too, and the command line must repeat them."
    )
    stages: str | None = _setting("Your own stages, in YAML: each with an objective, data, a learning rate.")
    assistants: str | None = _setting(
        "Models between teacher and student, the largest first, each taught by the previous one: [4x256], or in YAML with "
        "the settings of a student: [{num_layers: 3, learning_rate: 1e-4}]."
    )
    freeze_encoder: bool = _setting(
        "Do not train the encoder of a student made of an encoder-decoder's layers; teacher and student then share its "
        "outputs.",
        False,
    )
    trim_vocabulary: bool = _setting(
        "After training, remove the tokens that do not occur in the student's training data from model and tokenizer.",
        False,
    )

    def __post_init__(self):
        super().__post_init__()
        if isinstance(self.plugin, str):  # a single name in YAML
            self.plugin = [self.plugin]
        for name in ("stages", "assistants"):
            _parse_yaml(self, name)


@dataclass
class DataArguments(_Settings):
    """The task and the rows of its splits."""

    _argument_group_name = "data: task and splits"

    task: str = _setting(
        "text-classification, token-classification, question-answering, sentence-similarity, "
        "fill-mask, image-classification, object-detection, image-feature-extraction (faces), audio-classification, or "
        "speech recognition: hybrid-, automatic- or seq2seq-speech-recognition.",
        "text-classification",
    )
    dataset_name: str | None = _setting("A data set of the Hub. Or files:")
    dataset_config_name: str | None = _setting("Its configuration (sst2 of nyu-mll/glue).")
    train_file: str | None = _setting("csv, tsv, json, jsonl or parquet.")
    validation_file: str | None = _setting(
        "Evaluated during training, and used for the comparison where there is no test set."
    )
    test_file: str | None = _setting("Used for the comparison at the end.")
    train_val_split: float | None = _setting(
        "Where there is no validation data: hold out this share of the training rows as such."
    )
    held_out_people: float | None = _setting(
        "Keep this share of the people from training, and compare on all their images (image-feature-extraction)."
    )
    held_out_speakers: list[str] | None = _setting(
        "Keep these speakers from training, and compare on all their clips (tasks on sound)."
    )
    joined_clips: int | None = _setting(
        "Clips contain one word each: join up to this many to a sentence (speech recognition)."
    )
    max_train_samples: int | None = _setting("Train on this many examples only (a fixed random choice).")
    max_eval_samples: int | None = _setting("Evaluate on this many examples only.")


@dataclass
class PreprocessingArguments(_Settings):
    """How rows become model inputs: columns, sizes, lengths. A task refuses settings that it does not take."""

    _argument_group_name = "preprocessing: columns, sizes, lengths"

    text_column: str | None = _setting(
        "Column of the (first) text, or of the words. Default: detected by its name where that is a common one."
    )
    text_pair_column: str | None = _setting("Column of the second text of a pair.")
    label_column: str | None = _setting("Column of the label, or of the tags.")
    problem_type: str | None = _setting(
        "single_label_classification, multi_label_classification or regression. Default: what the labels look like."
    )
    max_length: int | None = _setting("Longer texts are cut to this many tokens. Default: 128.")
    image_column: str | None = _setting("Column of the image. Default: detected by its feature or its name.")
    audio_column: str | None = _setting("Column of the sound. Default: detected by its feature or its name.")
    student_image_size: int | None = _setting(
        "Height and width of the student's input. Default: the teacher's input size."
    )
    image_size: int | None = _setting(
        "Height and width of the input of networks given by name. Default: the images' size where all have the same, "
        "else 64."
    )
    mask_probability: float | None = _setting("Share of words that fill-mask hides. Default: 0.15.")
    num_mask_copies: int | None = _setting(
        "Copies of every training row in which fill-mask hides other words; an epoch goes through all. Default: 4."
    )
    soft_pieces: str | None = _setting(
        "The pieces of a word on which token-classification learns soft targets: first, where the label is, or all. "
        "Default: first."
    )
    doc_stride: int | None = _setting(
        "Tokens that two windows of a long context share (question-answering). Default: a third of max_length."
    )
    max_answer_length: int | None = _setting("Tokens of the longest answer (question-answering). Default: 30.")
    num_states: int | None = _setting("States of every word (hybrid-speech-recognition). Default: 8.")
    insertion_penalty: float | None = _setting(
        "Added to the log weight of every word that begins; below 0, fewer words are recognized. Default: 0."
    )
    language: str | None = _setting(
        "Language of the texts, en for example; needed for a multilingual teacher (seq2seq-speech-recognition)."
    )


@dataclass
class TransferArguments(_Settings):
    """The transfer set: data that the student learns from in addition to the labeled training rows.

    Raises:
        ValueError: A negative number of copies; a model for copies of which there are none.
    """

    _argument_group_name = "transfer set: unlabeled rows, augmented copies, pseudo labels"

    unlabeled_file: str | None = _setting("More text without labels, for the teacher to label.")
    num_augmented_copies: int = _setting(
        "Augmented copies of every training text (joined, tokens masked, swapped, left out) or image (by augmentation), "
        "for the teacher to label; the teacher's outputs for copies of images can be cached.",
        0,
    )
    augmentation: str | None = _setting(
        "Augmentation of training images, in YAML: {flip: 0.5, crop_padding: 4, erasing: 0, mixup: 0, cutmix: 0, "
        "min_scale: 1}; drawn again in every epoch, or once for num_augmented_copies."
    )
    augmentation_model: str | None = _setting(
        "Hub id or folder of a masked language model with the teacher's tokenizer; words of the copies are then replaced "
        "by its predictions."
    )
    pseudo_labels: bool | None = _setting(
        "Learn the teacher's transcripts (seq2seq-speech-recognition); false: the transcripts of the data. Default: true."
    )
    max_word_error: float | None = _setting(
        "Leave out clips where the teacher's transcript has a word error rate above this. Default: 0.1."
    )

    def __post_init__(self):
        super().__post_init__()
        _parse_yaml(self, "augmentation")
        if self.augmentation_model is not None and self.num_augmented_copies == 0:
            raise ValueError(
                f"augmentation_model={shown(self.augmentation_model)} would have no effect: it makes the copies that "
                f"num_augmented_copies counts, and that is 0. Set num_augmented_copies, to 1 for example."
            )


@dataclass
class CacheArguments(_Settings):
    """The cache of the teacher's outputs.

    Raises:
        ValueError: A folder without a cache.
    """

    _argument_group_name = "cache: teacher outputs on disk"

    cache: bool = _setting(
        "Run the teacher once over the data and store its outputs, for every epoch, seed and later run.", False
    )
    teacher_cache: str | None = _setting(
        "Folder of the cache; several runs may share one. Default: teacher_cache in the output folder."
    )
    cache_form: Literal["float32", "float16", "sampled", "top_k"] | None = _setting(
        "How the cache stores logits: all, as float32 or float16; or some tokens of a vocabulary: sampled or top_k. "
        "Default: float32, and sampled for fill-mask with one teacher."
    )
    num_cached_targets: int = _setting("Draws (sampled) or tokens (top_k) stored of every distribution.", 50)

    def __post_init__(self):
        super().__post_init__()
        if self.teacher_cache is not None and not self.cache:
            raise ValueError(
                f"teacher_cache={shown(self.teacher_cache)} would have no effect without a cache. Set cache to true."
            )


@dataclass
class ReportArguments(_Settings):
    """Controls, seeds and measurements of the report.

    Raises:
        ValueError: Fewer than one seed.
    """

    _argument_group_name = "report: controls, seeds, measurements"

    control: bool = _setting(
        "Train the same student without the teacher, to show what distillation contributes.", True
    )
    tfidf_control: bool = _setting("A further control: TF-IDF with logistic regression.", False)
    seeds: int = _setting(
        "Train student and control this many times: seed, seed + 1, ... The table shows mean and spread.", 1
    )
    main_metric: str | None = _setting("The metric to decide by. Default: the first that docs/evaluation.md lists.")
    latency_seconds: float = _setting("Time to spend on measuring speed at the end.", 20.0)


@dataclass
class RecipeArguments:
    """All settings of a recipe, by subject. The names follow the transformers example scripts where these have one.

    Raises:
        ValueError: Settings of two subjects that do not fit each other.
    """

    models: ModelArguments
    method: MethodArguments
    data: DataArguments
    preprocessing: PreprocessingArguments
    transfer: TransferArguments
    caching: CacheArguments
    report: ReportArguments

    def __post_init__(self):
        more_teachers, form = self.models.more_teachers, self.caching.cache_form
        if more_teachers and form in ("sampled", "top_k"):
            raise ValueError(
                f"cache_form={shown(form)} stores parts of a teacher's distribution, but several teachers "
                f"(more_teachers={shown(more_teachers)}) are averaged over whole distributions. Set cache_form to "
                f"float32 or float16."
            )
        if self.draws_in_every_epoch and self.caching.cache:
            raise ValueError(
                f"augmentation={shown(self.transfer.augmentation)} alters images again in every epoch, and a cache "
                f"(cache=true) stores the teacher's outputs for one version of each image. Set num_augmented_copies, 3 for "
                f"example: so many copies of each image are made and cached beforehand. Or set cache to false."
            )

    @property
    def draws_in_every_epoch(self) -> bool:
        """Whether the examples are augmented again in every epoch, so that no cache contains the teacher's outputs."""
        return self.transfer.augmentation is not None and not self.transfer.num_augmented_copies

    def flat(self) -> dict[str, Any]:
        """Every setting by its name, without the subjects."""
        return {name: value for subject in vars(self).values() for name, value in vars(subject).items()}

    @classmethod
    def subjects(cls) -> list[type]:
        """The dataclasses that the settings are grouped in, in the order of the constructor's arguments."""
        return [subject.type for subject in dataclasses.fields(cls)]

    @classmethod
    def setting_names(cls) -> list[str]:
        """The names of all settings, which are flags and YAML keys."""
        return [setting.name for subject in cls.subjects() for setting in dataclasses.fields(subject)]


@dataclass
class SweepArguments(_Settings):
    """The settings of a sweep, in addition to those of the recipe.

    Raises:
        ValueError: Fewer than one trial; no search space.
    """

    _argument_group_name = "sweep: search space and number of trials"

    sweep: str | None = _setting(
        "The search space, in YAML: {temperature: [1, 2, 4], learning_rate: {low: 1e-5, high: 1e-3, log: true}}."
    )
    num_trials: int = _setting("Number of students to train; fewer where there are fewer combinations.", 20)

    def __post_init__(self):
        super().__post_init__()
        _parse_yaml(self, "sweep")
        if not isinstance(self.sweep, dict) or not self.sweep:
            raise ValueError(
                f"A sweep needs a search space: settings with their choices or ranges; got {shown(self.sweep)}. Give it "
                f"in YAML (sweep: {{temperature: [1, 2, 4]}}) or as --sweep."
            )
