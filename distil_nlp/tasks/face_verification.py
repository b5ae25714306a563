"""Task: verification of faces, or of any images labeled with identities, by the cosine of their embeddings."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

import datasets
import numpy as np

from ..data.columns import find_label_column, first_split, label_column_of
from ..data.images import image_format, image_size_or_native
from ..data.labels import SINGLE, LabelEncoder, column_values, parse_number
from ..data.splits import EVAL_SEED, Splits
from ..internals.messages import listed, shown
from ..metrics import VerificationEvaluator, verification_metrics
from ..models import AutoImageEmbedder
from .image_classification import ImageClassification

_LABELED = ("train", "validation", "test")


class FaceVerification(ImageClassification):
    """Embeddings of images, trained on identities and evaluated on pairs of images. Make it with `from_splits`.

    Works for any images labeled with identities: faces, products, places.

    Attributes:
        people (`list[str]`): Identities of the training split, by label. Other splits may have other people: their labels
            count on from there.

    See `ImageClassification` for the others.
    """

    name = "image-feature-extraction"
    example = "face.png"
    one_output_per_example = True

    def __init__(
        self,
        image_column: str,
        label_column: str,
        names: list[str],
        num_people: int,
        *,
        num_channels: int,
        image_size: tuple[int, int] | None,
    ) -> None:
        encoder = LabelEncoder(SINGLE, names, len(names))
        super().__init__(image_column, label_column, encoder, num_channels=num_channels, image_size=image_size)
        self.people = names[:num_people]
        # An embedding has no classes: the identities belong to the objective, not to the model.
        self.problem_type, self.label_names, self.num_labels = "identity", None, None

    @property
    def auto_class(self) -> AutoImageEmbedder:
        return AutoImageEmbedder(num_channels=self.num_channels, image_size=self.image_size)

    @classmethod
    def from_splits(
        cls,
        splits: Mapping[str, datasets.Dataset],
        *,
        image_column: str | None = None,
        label_column: str | None = None,
        image_size: int | None = None,
    ) -> FaceVerification:
        """Create the task: infer columns, people and image format from the data.

        Args:
            splits (`dict[str, datasets.Dataset]`): "train", "validation", and where given "test" and "unlabeled".
            image_column, image_size (*optional*): As for `ImageClassification`.
            label_column (`str`, *optional*): Identity of each image: class labels, names or numbers. By default "label" or
                "labels".

        Raises:
            ValueError: Columns, images or labels that cannot be used. The message names the column or row.
        """
        whole = getattr(splits, "whole", splits)
        image, channels, native = image_format(splits, image_column)
        label = label_column_of(whole, label_column)
        known = _people(splits, ["train"], label)  # of a subset, the people in it: only these get a center
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
    def arrange_splits(
        cls,
        splits: Mapping[str, datasets.Dataset],
        *,
        label_column: str | None = None,
        held_out_people: float | None = None,
    ) -> Mapping[str, datasets.Dataset]:
        """Hold out a share of the people for the comparison, if asked for, see `hold_out_people`."""
        return (
            splits if held_out_people is None else hold_out_people(splits, held_out_people, label_column=label_column)
        )

    def evaluator(
        self, prepared: datasets.Dataset, raw: datasets.Dataset | None = None, main_metric: str | None = None
    ) -> VerificationEvaluator:
        """A `VerificationEvaluator` of all pairs of the rows, see `Task.evaluator`."""
        return VerificationEvaluator(np.asarray(prepared["labels"]), main_metric)

    def compute_metrics(self) -> Callable:
        """A function for `Trainer(compute_metrics=)`: all metrics of `VerificationEvaluator`."""
        return verification_metrics

    def config_labels(self) -> dict[str, Any]:
        """The label fields of a model config: the people of the training split, one class center for each."""
        names = self.people or ["nobody"]
        return {
            "num_labels": len(names),
            "id2label": dict(enumerate(names)),
            "label2id": {name: index for index, name in enumerate(names)},
        }

    def labeled(self, prepared: datasets.Dataset) -> np.ndarray:
        return np.asarray(prepared["labels"]) >= 0


def hold_out_people(
    splits: Mapping[str, datasets.Dataset], share: float, *, label_column: str | None = None
) -> Splits:
    """Exclude some people from training and compare on them: verification of unseen faces (open set).

    Args:
        splits (`dict[str, datasets.Dataset]`): Labeled, except "unlabeled", which is unchanged.
        share (`float`): Share of the people of the training split, above 0 and below 1; a fixed seed selects them.
        label_column (`str`, *optional*): See `FaceVerification.from_splits`.

    Returns:
        `Splits`: "test", all images of the held-out people from all splits; the other splits without them.

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
    held_out = [people.index(name) for name in np.random.default_rng(EVAL_SEED).permutation(people)[:count]]
    names = people + _others(whole, label, people)
    encoder = LabelEncoder(SINGLE, names, len(names))

    def divided(parts: Mapping[str, datasets.Dataset]) -> dict[str, datasets.Dataset]:
        test, rest = [], {}
        for name, split in parts.items():
            if name not in _LABELED or label not in split.column_names:
                rest[name] = split
                continue
            is_held_out = np.isin(encoder.encode(column_values(split, label), name), held_out)
            test.append(split.select(np.flatnonzero(is_held_out)))
            if name != "test":
                rest[name] = split.select(np.flatnonzero(~is_held_out))
        return {**rest, "test": datasets.concatenate_datasets(test)}

    return Splits(divided(splits), datasets.DatasetDict(divided(whole)))


def _others(splits: Mapping[str, datasets.Dataset], label: str, known: Iterable[str]) -> list[str]:
    """Names of the people of any split who are not among the known."""
    return [name for name in _people(splits, _LABELED, label) if name not in set(known)]


def _people(splits: Mapping[str, datasets.Dataset], names: Sequence[str], label: str) -> list[str]:
    """Names of the people in some splits, in the order of class labels; numbers by size, names alphabetically."""
    values = {
        value
        for name in names
        if name in splits and label in splits[name].column_names
        for value in column_values(splits[name], label)
        if value is not None and parse_number(value) not in (-1, -100)
    }
    features = [splits[name].features.get(label) for name in names if name in splits]
    classes = next((feature.names for feature in features if isinstance(feature, datasets.ClassLabel)), None)
    if classes is not None:
        return [name for name in classes if name in values]
    numbers = {_name(value): parse_number(value) for value in values}
    if None in numbers.values():
        return sorted(numbers)
    if any(number % 1 for number in numbers.values()):
        raise ValueError(
            f"Column {shown(label)} contains fractions ({listed(sorted(values), 5)}), but people are whole numbers or "
            f"names. Set label_column."
        )
    return sorted(numbers, key=numbers.get)


def _name(value: Any) -> str:
    """The person's name: 1, 1.0, "1" and "1.0" are the same person, as they are the same class of a `LabelEncoder`."""
    number = parse_number(value)
    return str(value) if number is None or number % 1 else str(int(number))
