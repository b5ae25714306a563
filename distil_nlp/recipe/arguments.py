"""What a recipe can be told, beside the training arguments."""

from dataclasses import dataclass, field
from typing import Literal

from ..teachers.ensemble import normalized
from .yaml_loader import load_yaml

_HELP = "help"


def _setting(help, default=None):
    if isinstance(default, list):
        return field(default_factory=lambda: list(default), metadata={_HELP: help})
    return field(default=default, metadata={_HELP: help})


@dataclass
class RecipeArguments:
    """The settings of a recipe: which models, which data, which stages. The names are those of the transformers
    example scripts where these have one.

    Raises:
        ValueError: A setting that cannot be; no teacher.
    """

    _argument_group_name = "recipe: models, data, stages"

    teacher: str | None = _setting(
        "Hub id or folder of the teacher; for images also a network to train from scratch: resnet20, resnet20x2."
    )
    more_teachers: list[str] | None = _setting(
        "Hub ids or folders of further teachers; their probabilities are averaged with the teacher's. One given twice is "
        "fine-tuned twice, with seed and seed + 1."
    )
    teacher_weights: list[float] | None = _setting(
        "One number above 0 for each teacher, the first one's first. Default: equal."
    )
    task: str = _setting(
        "What is learned: text-classification, token-classification, question-answering, sentence-similarity, "
        "fill-mask, image-classification, object-detection, image-feature-extraction (faces), audio-classification, or "
        "speech recognition: hybrid-, automatic- or seq2seq-speech-recognition.",
        "text-classification",
    )
    train_teacher: bool = _setting(
        "Fine-tune the teacher on the training data first. Done anyway where it has no trained head for the task.",
        False,
    )
    teacher_learning_rate: float = _setting("Learning rate of the teacher's fine-tuning.", 3e-5)
    teacher_num_train_epochs: float = _setting("Epochs of the teacher's fine-tuning.", 3.0)
    teacher_stop_epoch: float | None = _setting(
        "Stop that fine-tuning after so many of its epochs: an early-stopped teacher is easier for a small student."
    )
    trim_vocabulary: bool = _setting(
        "After training, drop the tokens that nothing the student learned from has, from model and tokenizer.", False
    )

    hypothesis_template: str | None = _setting(
        "Zero-shot: the teacher is a model of natural language inference that reads each class in this sentence, "
        "'This review is {}.', and needs no label. Slow: use it with cache."
    )
    student: str | None = _setting(
        "A size such as 4x256 (layers x width, random weights), for images a network such as resnet8 or mobilenetv2x0.5, a "
        "Hub id or a folder. Default: layers of the teacher."
    )
    num_layers: int | None = _setting("Layers of a student made of the teacher's. Default: half of them.")
    layers: list[int] | None = _setting("Or which of the teacher's layers, counted from 0.")
    architecture: str | None = _setting("distilbert: make a DistilBERT of a BERT teacher. Default: as the teacher.")
    hidden_size: int | None = _setting("Width of a student made of the teacher's layers. Default: the teacher's.")
    intermediate_size: int | None = _setting("Its feed-forward width. Default: keeps its ratio to the hidden size.")
    num_attention_heads: int | None = _setting("Its attention heads. Default: heads as wide as the teacher's.")
    width_init: Literal["svd", "slice"] = _setting(
        "How the teacher's weights get narrower: svd, or slice for the first rows and columns.", "svd"
    )
    student_embeddings: Literal["random", "pca"] = _setting(
        "Word embeddings of a student given by size: random, or pca of the teacher's.", "random"
    )

    freeze_encoder: bool = _setting(
        "Keep the encoder of a student made of an encoder-decoder's layers as it is; it is then asked once for both.",
        False,
    )

    assistants: str | None = _setting(
        "Models between teacher and student, the largest first, each taught by the one before: [4x256], or in YAML with "
        "the settings of a student: [{num_layers: 3, learning_rate: 1e-4}]."
    )

    preset: str | None = _setting(
        "Learn as a paper does, in its stages: logits (labels and soft targets, by kd_ratio), "
        "distilbert, pkd, tinybert, minilm or minilmv2; for images lskd, dist, dkd, fitnets, at, cwd or deit; for "
        "automatic-speech-recognition transcripts. Default: "
        "logits; dist for images of three classes or more where the teacher has ten times the student's parameters."
    )
    stages: str | None = _setting("Or stages of your own, in YAML: each with an objective, data, a learning rate.")

    dataset_name: str | None = _setting("A data set of the Hub. Or files:")
    dataset_config_name: str | None = _setting("Its configuration (sst2 of nyu-mll/glue).")
    train_file: str | None = _setting("csv, tsv, json, jsonl or parquet.")
    validation_file: str | None = _setting("Looked at during training, and compared on where there is no test set.")
    test_file: str | None = _setting("Compared on at the end.")
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
        "Clips hold one word each: join them to sentences of up to so many (speech recognition)."
    )
    num_states: int | None = _setting("States of every word (hybrid-speech-recognition). Default: 8.")
    insertion_penalty: float | None = _setting(
        "Added to the log weight of every word that begins; below 0, fewer words are heard. Default: 0."
    )
    language: str | None = _setting(
        "Of the texts, en for example; needed where the teacher knows several (seq2seq-speech-recognition)."
    )
    pseudo_labels: bool | None = _setting(
        "Learn the texts that the teacher writes (seq2seq-speech-recognition); false: the given ones. Default: true."
    )
    max_word_error: float | None = _setting(
        "Leave clips out where the teacher wrote more errors a word than this. Default: 0.1."
    )
    unlabeled_file: str | None = _setting("More text without labels, for the teacher to label.")
    num_augmented_copies: int = _setting(
        "Altered copies of every training text (joined, tokens masked, swapped, left out) or image (by augmentation), for "
        "the teacher to label; of images it can then be asked once (cache).",
        0,
    )
    augmentation: str | None = _setting(
        "How images are altered for training, in YAML: {flip: 0.5, crop_padding: 4, erasing: 0, mixup: 0, cutmix: 0, "
        "min_scale: 1}; anew in every epoch, or once for num_augmented_copies."
    )
    augmentation_model: str | None = _setting(
        "Hub id or folder of a masked language model with the teacher's tokenizer; the copies then have words replaced "
        "by its own."
    )
    text_column: str | None = _setting(
        "Column of the (first) text, or of the words. Found by name where it is a usual one."
    )
    text_pair_column: str | None = _setting("Column of the second text of a pair.")
    label_column: str | None = _setting("Column of the label, or of the tags.")
    problem_type: str | None = _setting(
        "single_label_classification, multi_label_classification or regression. Default: what the labels look like."
    )
    max_length: int | None = _setting("Longer texts are cut to this many tokens. Default: 128.")
    image_column: str | None = _setting("Column of the image. Found by its feature, or by name.")
    audio_column: str | None = _setting("Column of the sound. Found by its feature, or by name.")
    student_image_size: int | None = _setting(
        "Height and width that the student sees, where they are not to be the teacher's."
    )
    image_size: int | None = _setting(
        "Height and width that networks given by name see. Default: that of the images where it is one, else 64."
    )
    mask_probability: float | None = _setting("Share of words that fill-mask hides. Default: 0.15.")
    num_mask_copies: int | None = _setting(
        "Copies of every training row in which fill-mask hides other words; an epoch goes through all. Default: 4."
    )
    soft_pieces: str | None = _setting(
        "Of a word's pieces, those the teacher teaches in token-classification: first, where the label is, or all. "
        "Default: first."
    )
    doc_stride: int | None = _setting(
        "Tokens that two windows of a long context share (question-answering). Default: a third of max_length."
    )
    max_answer_length: int | None = _setting("Tokens of the longest answer (question-answering). Default: 30.")
    max_train_samples: int | None = _setting("Train on this many examples only (a fixed random choice).")
    max_eval_samples: int | None = _setting("Evaluate on this many examples only.")

    cache: bool = _setting(
        "Ask the teacher once, keep what it says on disk, and let every epoch, seed and later run read it.", False
    )
    teacher_cache: str | None = _setting(
        "Folder of the cache; several runs may share one. Default: teacher_cache in the output folder."
    )
    cache_form: Literal["float32", "float16", "sampled", "top_k"] | None = _setting(
        "How the cache keeps logits: all, as float32 or float16; or, of a vocabulary, some tokens: sampled or top_k. "
        "Default: float32, and sampled for fill-mask with one teacher."
    )
    num_cached_targets: int = _setting("Draws, or tokens, that sampled and top_k keep of every distribution.", 50)
    control: bool = _setting("Train the same student without the teacher, to show what the teacher is worth.", True)
    tfidf_control: bool = _setting("Show TF-IDF with logistic regression as one more control.", False)
    seeds: int = _setting(
        "Train student and control this many times: seed, seed + 1, ... The table shows mean and spread.", 1
    )
    main_metric: str | None = _setting("The metric to decide by. Default: the first that docs/evaluation.md lists.")
    latency_seconds: float = _setting("Time to spend on measuring speed at the end.", 20.0)
    trust_remote_code: bool = _setting("Run code that comes with a model. It can do anything you can.", False)

    def __post_init__(self):
        for name in (
            "stages",
            "assistants",
            "augmentation",
        ):  # on the command line: YAML in one word, of which JSON is a part
            if isinstance(getattr(self, name), str):
                setattr(self, name, load_yaml(getattr(self, name)))
        if not self.teacher:
            raise ValueError(
                f"A recipe needs a teacher; got teacher={self.teacher!r}. Give a Hub id or a folder, in YAML "
                f"(teacher: google-bert/bert-base-uncased) or as --teacher."
            )
        if isinstance(self.more_teachers, str):  # one, in YAML
            self.more_teachers = [self.more_teachers]
        if self.more_teachers and self.hypothesis_template is not None:
            raise ValueError(
                f"hypothesis_template={self.hypothesis_template!r} is for a single teacher; got more_teachers="
                f"{self.more_teachers!r}. Leave one of them out."
            )
        if self.more_teachers and self.cache_form in ("sampled", "top_k"):
            raise ValueError(
                f"cache_form={self.cache_form!r} keeps parts of a teacher's distribution, and of several teachers "
                f"(more_teachers={self.more_teachers!r}) whole ones are averaged. Set cache_form to float32 or float16."
            )
        if self.teacher_weights is not None and not self.more_teachers:
            raise ValueError(
                f"teacher_weights={self.teacher_weights} would have no effect: there is one teacher. Name others in "
                f"more_teachers, or leave it out."
            )
        if self.teacher_weights is not None:
            normalized(self.teacher_weights, 1 + len(self.more_teachers))
        if self.seeds < 1:
            raise ValueError(f"seeds counts how often student and control are trained, 1 or more; got {self.seeds}.")
        if self.num_augmented_copies < 0:
            raise ValueError(
                f"num_augmented_copies counts altered copies of every training text, 0 or more; got "
                f"{self.num_augmented_copies}."
            )
        if self.augmentation is not None and self.cache and not self.num_augmented_copies:
            raise ValueError(
                f"augmentation={self.augmentation!r} alters images anew in every epoch, and a cache (cache=true) keeps "
                f"what the teacher said of one. Set num_augmented_copies, 3 for example: so many views of each image are "
                f"made, and asked about, beforehand. Or set cache to false."
            )
        if self.augmentation_model is not None and self.num_augmented_copies == 0:
            raise ValueError(
                f"augmentation_model={self.augmentation_model!r} would have no effect: it makes the copies that "
                f"num_augmented_copies counts, and that is 0. Set num_augmented_copies, to 1 for example."
            )
        if self.teacher_cache is not None and not self.cache:
            raise ValueError(
                f"teacher_cache={self.teacher_cache!r} would have no effect without a cache. Set cache to true."
            )
        if self.student_embeddings not in ("random", "pca"):
            raise ValueError(f"student_embeddings must be random or pca; got {self.student_embeddings!r}.")


@dataclass
class SweepArguments:
    """What a sweep can be told, beside the settings of the recipe.

    Raises:
        ValueError: Fewer than one trial, or nothing to try.
    """

    _argument_group_name = "sweep: what is tried"

    sweep: str | None = _setting(
        "What to try, in YAML: {temperature: [1, 2, 4], learning_rate: {low: 1e-5, high: 1e-3, log: true}}."
    )
    num_trials: int = _setting("Train this many students, or one for each combination where there are fewer.", 20)

    def __post_init__(self):
        if isinstance(self.sweep, str):  # on the command line: YAML in one word, of which JSON is a part
            self.sweep = load_yaml(self.sweep)
        if self.num_trials < 1:
            raise ValueError(f"num_trials counts the students to train, 1 or more; got {self.num_trials}.")
        if not isinstance(self.sweep, dict) or not self.sweep:
            raise ValueError(
                f"A sweep needs to know what to try: settings with their choices or ranges; got {self.sweep!r}. Give it "
                f"in YAML (sweep: {{temperature: [1, 2, 4]}}) or as --sweep."
            )
