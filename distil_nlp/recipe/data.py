"""The data of a run: read, understood, tokenized, and in the teacher's order of labels."""

import inspect

import numpy as np
from accelerate import PartialState

from ..data.splits import load_file, load_splits
from ..generation.sequence_targets import pseudo_labeled
from ..signals.problem_kinds import problem_kind
from ..tasks import task_class
from ..teachers.labels import label_names, reorder

# Settings that say how a task reads its data, and how it makes rows of it; a task names those it takes.
_READING = (
    "text_column", "text_pair_column", "image_column", "image_size", "audio_column", "label_column", "problem_type",
    "max_answer_length", "num_states", "insertion_penalty", "language",
)  # fmt: skip
_PREPARING = ("max_length", "doc_stride", "mask_probability", "soft_pieces")
_PREPARING_TRAINING = ("num_mask_copies",)  # rows to learn from only
_ARRANGING = ("held_out_people", "joined_clips", "held_out_speakers")
_STUDENT = ("student_image_size",)
_ALTERING = ("augmentation",)
_TELLING = ("max_word_error",)
KINDS = ("all", "labeled", "unlabeled")  # of rows to learn from


class RecipeData:
    """Splits of a task, first raw, then as its models read them.

    Args:
        recipe (`RecipeArguments`): Which data, which columns.
        texts (`list` of `str`): What stages learn from instead of all rows; files among them are read, too.

    Attributes:
        task (`Task`): Columns, labels, collator.
        labeled (`datasets.Dataset`): Training rows that have a label.
        transfer (`datasets.Dataset`): All rows the teacher speaks about: training rows, then unlabeled and
            altered ones.
        compared_on (`str`): The split the table is about: "test" where it has labels, otherwise "validation".
    """

    def __init__(self, recipe, *, texts=()):
        self.recipe, self._copies = recipe, None
        self._texts = {one: load_file(one, "data of a stage") for one in texts if one not in KINDS}
        self.splits = load_splits(
            dataset_name=recipe.dataset_name,
            dataset_config_name=recipe.dataset_config_name,
            train_file=recipe.train_file,
            validation_file=recipe.validation_file,
            test_file=recipe.test_file,
            unlabeled_file=recipe.unlabeled_file,
            train_val_split=recipe.train_val_split,
            max_train_samples=recipe.max_train_samples,
            max_eval_samples=recipe.max_eval_samples,
        )
        if not {"train", "unlabeled"} & set(self.splits):
            raise ValueError(
                f"A recipe trains, and there is neither a train split nor an unlabeled one (found: "
                f"{', '.join(self.splits)}). Set train_file, or unlabeled_file for texts that only the teacher labels."
            )
        arranged = task_class(recipe.task).arrange_splits
        divided = self._settings_for(arranged, _ARRANGING)
        self.splits = arranged(self.splits, label_column=recipe.label_column, **divided)
        self.task = self._understood()
        if recipe.num_augmented_copies and not self.task.supports_augmentation:
            raise ValueError(
                f"num_augmented_copies={recipe.num_augmented_copies} joins texts and alters their tokens, and what that "
                f"makes is no example of {self.task.name}. Leave it out; texts for the teacher alone go in as "
                f"unlabeled_file."
            )

    def read_with(self, processor):
        """Let the task take the names of its outputs from the teacher's processor, where that has them."""
        names = self.task.output_names(processor)
        if names is not None and names != self.task.label_names:
            self.task = self._understood(label_names=names)

    def follow(self, teacher, processor, *, trained_here):
        """Give the labels the teacher's names and order, so that one column means one thing everywhere.

        Args:
            teacher (`PreTrainedModel`): With a trained head.
            processor: The teacher's.
            trained_here (`bool`): From the labels of this very data.

        Raises:
            ValueError: A label the teacher does not know.
        """
        if names := self.task.output_names(processor):
            teacher.config.id2label = dict(enumerate(names))
        self._take_names(label_names(teacher))
        if not trained_here:
            self.task = self.task.for_teacher(teacher, processor)

    def _take_names(self, theirs):
        ours = self.task.label_names
        if theirs is None or self.task.num_labels is None:
            return
        if ours is not None:
            order = reorder(ours, theirs)
            spelling = dict(zip(range(len(ours)) if order is None else order, ours, strict=True))
            theirs = [spelling.get(index, name) for index, name in enumerate(theirs)]
        elif len(theirs) != self.task.num_labels:
            raise ValueError(
                f"The data has {self.task.num_labels} classes without names, the teacher {len(theirs)} "
                f"({', '.join(theirs[:6])}): nothing says which belong together. Name the classes in the data, or "
                f"fine-tune the teacher on it with `--train_teacher true`."
            )
        if theirs != ours:
            self.task = self._understood(label_names=theirs)

    def student_processor(self, of_teacher):
        """What the student reads with: the (first) teacher's processor, unless the task and the recipe say otherwise."""
        settings = self._settings_for(self.task.student_processor, _STUDENT)
        return self.task.student_processor(
            self.recipe.student, of_teacher, trust_remote_code=self.recipe.trust_remote_code, **settings
        )

    def prepare(self, processor, own_processors=None):
        """Prepare all splits for a tokenizer, or an image processor.

        Args:
            processor: Of the (first) teacher and the student.
            own_processors (`dict`, *optional*): Prefix to the processor of another teacher, whose input goes into columns
                with that prefix.
        """
        self._own, self._processor = self._allowed(own_processors or {}), processor
        settings = self._settings_for(self.task.prepare, _PREPARING)
        given = self._settings_for(self.task.prepare, _PREPARING_TRAINING)
        to_learn = {**settings, **self.task.training_settings, **given}
        self.prepared = {
            name: self._rows(
                split,
                processor,
                with_labels=name != "unlabeled",
                **(to_learn if name in ("train", "unlabeled") else settings),
            )
            for name, split in self.splits.items()
        }
        self._texts_prepared = {
            path: self._rows(texts, processor, with_labels=False, **to_learn) for path, texts in self._texts.items()
        }
        train, unlabeled = self.prepared.get("train"), self.prepared.get("unlabeled")
        if train is None:  # the teacher speaks about all of it, the labels about none
            train, unlabeled = unlabeled, None
        self.transfer = train if unlabeled is None else self.task.with_unlabeled(train, unlabeled)
        copies = self.recipe.num_augmented_copies
        if copies:
            self.transfer = self.task.with_copies(self.transfer, self._augmented(processor))
        self._known, self._kept = self.task.labeled(self.transfer), np.arange(len(self.transfer))
        known = self.transfer if copies and self.task.augmentation_keeps_labels else train
        self.labeled = known.select(np.flatnonzero(self.task.labeled(known)))
        anew = {} if copies else self._settings_for(self.task.collator_for, _ALTERING)
        self._anew, self.collator = anew, self.task.collator_for(processor, self._own, **anew)
        with_test = "test" in self.prepared and self.task.labeled(self.prepared["test"]).any()
        self.compared_on = "test" if with_test else "validation"

    def pseudo_label(self, teacher, folder, device):
        """What the teacher writes, in the place of the texts that a student learns; see `pseudo_labeled`."""
        if self.recipe.pseudo_labels is False:
            return
        settings = self._settings_for(pseudo_labeled, _TELLING)
        self.transfer, kept = pseudo_labeled(
            self.transfer, self.task, teacher, self._processor, folder, device=device, **settings
        )
        self._kept = self._kept[kept]

    def _rows(self, split, processor, **settings):
        return self.task.prepare_for(split, processor, self._own, **settings)

    def _allowed(self, own_processors):
        """Processors of other teachers, where task and data allow for them; ValueError."""
        if own_processors and not self.task.allows_other_tokenizers:
            raise ValueError(
                f"The teachers have different tokenizers, and for {self.task.name} models are compared token by token. "
                f"Choose teachers that share the first one's tokenizer."
            )
        if own_processors and self.recipe.num_augmented_copies:
            raise ValueError(
                f"num_augmented_copies={self.recipe.num_augmented_copies} alters tokens of the first teacher, and another "
                f"teacher, with a tokenizer of its own, could not read the copies. Leave one of them out."
            )
        return own_processors

    def _augmented(self, tokenizer):
        """Copies of the transfer rows, made once: after a fine-tuned teacher all is prepared again, to the same."""
        recipe = self.recipe
        if self._copies is None and recipe.augmentation_model is None:
            settings = self._settings_for(self.task.augment, _ALTERING)
            self._copies = self.task.augment(
                self.transfer, tokenizer, self._own, num_copies=recipe.num_augmented_copies, **settings
            )
        elif self._copies is None:
            # Here, not above: who only looks at data need not wait for torch.
            from ..augmentation.masked_lm import load_masked_lm, replaced_copies

            model = load_masked_lm(recipe.augmentation_model, tokenizer, trust_remote_code=recipe.trust_remote_code)
            self._copies = replaced_copies(
                self.transfer, tokenizer, model, num_copies=recipe.num_augmented_copies, device=PartialState().device
            )
        return self._copies

    def collator_of(self, processor):
        """The collator of the prepared rows for a model that reads with this processor, and learns by itself."""
        if processor is self._processor:
            return self.collator
        return self.task.collator_for(processor, {**self._own, "student_": self._processor}, **self._anew)

    def rows(self, kind):
        """Prepared rows to learn from: "all", "labeled", "unlabeled", or those of a file of texts."""
        if kind in self._texts_prepared:
            return self._texts_prepared[kind]
        if kind == "unlabeled":
            return self.transfer.select(np.flatnonzero(~self.task.labeled(self.transfer)))
        return self.labeled if kind == "labeled" else self.transfer

    def check(self):
        """Refuse controls and a main metric that the data does not allow; ValueError."""
        self.evaluator()
        recipe = self.recipe
        single = self.task.one_output_per_example and problem_kind(self.task.problem_type).exclusive_classes
        if recipe.tfidf_control and not (single and self.task.text_columns):
            raise ValueError(
                f"tfidf_control fits a logistic regression to single classes of whole texts; the task is "
                f"{self.task.name}, {self.task.problem_type}. Leave it out."
            )
        if recipe.trim_vocabulary and not self.task.reads_tokens:
            raise ValueError(
                f"trim_vocabulary=true drops tokens, and a model of {self.task.name} reads none. Leave it out."
            )
        if recipe.trim_vocabulary and not self.task.allows_other_tokenizers:
            raise ValueError(
                f"trim_vocabulary=true gives the student a tokenizer of its own, and for {self.task.name} models are "
                f"compared token by token. Leave it out, and call trim_vocabulary on the finished student."
            )
        if self.task.generates_text and recipe.more_teachers:
            raise ValueError(
                f"more_teachers={recipe.more_teachers!r}: a student of {self.task.name} learns the texts that one teacher "
                f"writes. Leave the others out."
            )
        if not self.task.generates_text and (recipe.pseudo_labels is not None or recipe.max_word_error is not None):
            raise ValueError(
                f"pseudo_labels and max_word_error ({recipe.pseudo_labels}, {recipe.max_word_error}) are about texts that "
                f"a teacher writes, and a model of {self.task.name} writes none. Leave them out."
            )
        if recipe.pseudo_labels is False and recipe.max_word_error is not None:
            raise ValueError(
                f"max_word_error={recipe.max_word_error} would have no effect where the given texts are learned "
                f"(pseudo_labels={recipe.pseudo_labels}). Leave one of them out."
            )
        if (recipe.control or recipe.tfidf_control) and len(self.labeled) == 0:
            raise ValueError(
                f"None of the {len(self.transfer)} rows to learn from has a label, so a control has nothing to "
                f"learn from. Set control to false, and tfidf_control, too."
            )

    def token_ids(self):
        """Every list of token ids that somebody may learn from."""
        for rows in (self.transfer, *self._texts_prepared.values()):
            for part in rows.select_columns("input_ids").iter(10_000):
                for row in part["input_ids"]:
                    several = row and isinstance(row[0], list)  # texts in one row
                    yield from row if several else [row]

    def seen_with(self, processor):
        """Rows and collator of the compared split for a model with a processor of its own; None for the teacher's."""
        if processor is None:
            return self.compared, self.collator
        settings = self._settings_for(self.task.prepare, _PREPARING)
        return self.task.prepare(self.splits[self.compared_on], processor, **settings), self.task.collator(processor)

    @property
    def compared(self):
        """The prepared rows the table is about."""
        return self.prepared[self.compared_on]

    @property
    def learned_from(self):
        """How many texts the student sees, by what is known of them."""
        is_copy = self._kept >= len(self._known) // (1 + self.recipe.num_augmented_copies)
        labeled, altered = int((self._known[self._kept] & ~is_copy).sum()), int(is_copy.sum())
        return {"labeled": labeled, "unlabeled": len(self._kept) - labeled - altered, "altered": altered}

    def compute_metrics(self):
        """A function for `Trainer(compute_metrics=)`, or None."""
        return self.task.compute_metrics()

    def evaluator(self):
        """How the models of the table are judged, an `Evaluator`."""
        return self.task.evaluator(self.compared, self.splits[self.compared_on], self.recipe.main_metric)

    def texts(self, split):
        """Raw texts of a split as single strings; a pair is joined by a line break."""
        columns = [self.splits[split][name] for name in self.task.text_columns]
        return ["\n".join(map(str, row)) for row in zip(*columns, strict=True)]

    def labeled_texts(self):
        """Texts and labels of the training rows that have a label."""
        mask = self.task.labeled(self.prepared["train"])
        texts = [text for text, known in zip(self.texts("train"), mask, strict=True) if known]
        return texts, np.asarray(self.labeled["labels"])

    def _understood(self, **labels):
        from_splits = task_class(self.recipe.task).from_splits
        return from_splits(self.splits, **self._settings_for(from_splits, _READING), **labels)

    def _settings_for(self, function, names):
        """Those of the recipe's settings that were given; one that the task does not take is refused."""
        given = {name: getattr(self.recipe, name) for name in names if getattr(self.recipe, name) is not None}
        taken = inspect.signature(function).parameters
        for name, value in given.items():
            if name not in taken:
                raise ValueError(
                    f"{name}={value!r} would have no effect: the task {self.recipe.task} takes no such setting. Leave it "
                    f"out. It takes {', '.join(one for one in names if one in taken) or 'none of its kind'}."
                )
        return given
