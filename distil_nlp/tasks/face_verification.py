"""Every image of a face gets a vector; whether two are of one person is told by the cosine of theirs."""

import datasets
import numpy as np

from ..data.columns import find_label_column, first_split, label_column_of, listed
from ..data.images import image_format, image_size_or_native
from ..data.labels import SINGLE, LabelEncoder, as_number, column_values
from ..data.splits import EVAL_SEED, Splits
from ..metrics import VerificationEvaluator, verification_metrics
from .image_classification import ImageClassification

_LABELED = ("train", "validation", "test")


class FaceVerification(ImageClassification):
    """Embeddings of images, learned from whose they are and judged on pairs of them. Make it with `from_splits`.

    Whoever can be told apart by a picture will do for a face: products, places. Nothing here knows of eyes.

    Attributes:
        people (`list[str]`): Those of the training split, by label. The people of other splits may be others: their labels
            count on from there.

    See `ImageClassification` for the others.
    """

    name = "image-feature-extraction"
    example = "face.png"
    one_output_per_example = True

    def __init__(self, image_column, label_column, names, num_people, *, num_channels, image_size):
        code = LabelEncoder(SINGLE, names, len(names))
        super().__init__(image_column, label_column, code, num_channels=num_channels, image_size=image_size)
        self.people = names[:num_people]
        # An embedding has no classes: the people are the objective's, and no part of a model.
        self.problem_type, self.label_names, self.num_labels = "identity", None, None

    @property
    def auto_class(self):
        from ..models import AutoImageEmbedder  # here, not above: who only looks at data need not wait for torch

        return AutoImageEmbedder(num_channels=self.num_channels, image_size=self.image_size)

    @classmethod
    def from_splits(cls, splits, *, image_column=None, label_column=None, image_size=None):
        """Read columns, people and the kind of images off the data.

        Args:
            splits (`dict[str, datasets.Dataset]`): "train", "validation", and where given "test" and "unlabeled".
            image_column, image_size (*optional*): As for `ImageClassification`.
            label_column (`str`, *optional*): Whose image it is: class labels, names or numbers. By default "label" or
                "labels".

        Raises:
            ValueError: Columns, images or labels that cannot be used; says which, where, and what to do.
        """
        whole = getattr(splits, "whole", splits)
        image, channels, native = image_format(splits, image_column)
        label = label_column_of(whole, label_column)
        known = _people(splits, ["train"], label)  # of a subset, those that are left: nobody else gets a center
        others = _others(whole, label, known)
        task = cls(
            image,
            label,
            known + others,
            len(known),
            num_channels=channels,
            image_size=image_size_or_native(image_size, native),
        )
        task.check_labels(splits)
        return task

    @classmethod
    def arrange_splits(cls, splits, *, label_column=None, held_out_people=None):
        """The splits, with a share of the people kept for the comparison where that is asked for, see `hold_out_people`."""
        return (
            splits if held_out_people is None else hold_out_people(splits, held_out_people, label_column=label_column)
        )

    def evaluator(self, prepared, raw=None, main_metric=None):
        """A `VerificationEvaluator` of all pairs of the rows, see `Task.evaluator`."""
        return VerificationEvaluator(np.asarray(prepared["labels"]), main_metric)

    def compute_metrics(self):
        """A function for `Trainer(compute_metrics=)`: all metrics of `VerificationEvaluator`."""
        return verification_metrics

    def config_labels(self):
        """The people of the training split: how many centers an objective keeps."""
        names = self.people or ["nobody"]
        return {
            "num_labels": len(names),
            "id2label": dict(enumerate(names)),
            "label2id": {name: index for index, name in enumerate(names)},
        }

    def labeled(self, prepared):
        return np.asarray(prepared["labels"]) >= 0


def hold_out_people(splits, share, *, label_column=None):
    """Keep some people from training, to be compared on: verification of faces nobody has seen (open set).

    Args:
        splits (`dict[str, datasets.Dataset]`): Labeled, but for "unlabeled", which stays as it is.
        share (`float`): Of the people of the training split, above 0 and below 1; which, a fixed seed decides.
        label_column (`str`, *optional*): See `FaceVerification.from_splits`.

    Returns:
        `Splits`: "test", all images of the people held out, whichever split they were in; the other splits without them.

    Raises:
        ValueError: A share that leaves fewer than two people on one side.
    """
    whole = getattr(splits, "whole", splits)
    label = find_label_column(first_split(whole, "train").column_names, label_column)
    people = _people(whole, ["train"], label)
    count = round(share * len(people))
    if not 2 <= count <= len(people) - 2:
        raise ValueError(
            f"held_out_people={share:g} of {len(people)} people would be {count}, and it takes two or more on either side "
            f"to tell people apart. Choose another share."
        )
    held = [people.index(name) for name in np.random.default_rng(EVAL_SEED).permutation(people)[:count]]
    names = people + _others(whole, label, people)
    code = LabelEncoder(SINGLE, names, len(names))

    def divided(parts):
        aside, kept = [], {}
        for name, split in parts.items():
            if name not in _LABELED or label not in split.column_names:
                kept[name] = split
                continue
            ours = np.isin(code.encode(column_values(split, label), name), held)
            aside.append(split.select(np.flatnonzero(ours)))
            if name != "test":
                kept[name] = split.select(np.flatnonzero(~ours))
        return {**kept, "test": datasets.concatenate_datasets(aside)}

    return Splits(divided(splits), datasets.DatasetDict(divided(whole)))


def _others(splits, label, known):
    """Names of those people who are in some split and not among the known."""
    return [name for name in _people(splits, _LABELED, label) if name not in set(known)]


def _people(splits, names, label):
    """Names of the people in some splits: in the order of class labels, numbers by size, words by the alphabet."""
    found = {
        value
        for name in names
        if name in splits and label in splits[name].column_names
        for value in column_values(splits[name], label)
        if value is not None and as_number(value) not in (-1, -100)
    }
    features = [splits[name].features.get(label) for name in names if name in splits]
    classes = next((one.names for one in features if isinstance(one, datasets.ClassLabel)), None)
    if classes is not None:
        return [name for name in classes if name in found]
    numbers = {_name(value): as_number(value) for value in found}
    if None in numbers.values():
        return sorted(numbers)
    if any(number % 1 for number in numbers.values()):
        raise ValueError(f"Column {label!r} holds fractions ({listed(sorted(found), 5)}); people are counted whole.")
    return sorted(numbers, key=numbers.get)


def _name(value):
    """Who a value is: 1, 1.0, "1" and "1.0" are one person, as they are one class for a `LabelEncoder`."""
    number = as_number(value)
    return str(value) if number is None or number % 1 else str(int(number))
