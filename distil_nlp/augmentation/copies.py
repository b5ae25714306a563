"""Augmented copies of stored images and clips, made once before training, so that a teacher's outputs can be cached."""

from collections.abc import Callable, Sequence

import datasets
import numpy as np
import torch
from tqdm.auto import tqdm

from ..collators.images import IMAGE
from ..data.examples import EXAMPLE_ID
from .images import ImageAugmentation

_ROWS_AT_ONCE = 1024
_PROGRESS_AFTER_S = 3.0


def augmented_images(
    rows: datasets.Dataset, shape: Sequence[int], augmentation: ImageAugmentation, *, num_copies: int
) -> datasets.Dataset:
    """Copies of images as an `ImageAugmentation` alters them in its first `num_copies` epochs. Labels stay.

    Args:
        rows (`datasets.Dataset`): From `ImageClassification.prepare`.
        shape (`tuple[int]`): Channels, height and width of the stored images.
        augmentation (`ImageAugmentation`): Without mixup and CutMix, whose labels are not classes.
        num_copies (`int`): Copies of every row, 1 or more.

    Returns:
        `datasets.Dataset`: `num_copies` times as many rows, with the same columns and example ids.

    Raises:
        ValueError: An augmentation that mixes; `num_copies` below 1.

    Reference: Beyer et al. 2022, "Knowledge distillation: A good teacher is patient and consistent", figure 3: fixed
    views, for which a teacher runs once, against views that are new in every epoch for student and teacher.
    """
    if augmentation.mixes or num_copies < 1:
        raise ValueError(
            f"Copies are made beforehand, 1 or more of each image, and keep their labels; got num_copies={num_copies} and "
            f"mixup={augmentation.mixup}, cutmix={augmentation.cutmix}, whose labels are shares. To mix in every epoch, "
            f"set num_augmented_copies=0."
        )

    def augment(images: list[bytes], ids: list[int], epoch: int) -> list[np.ndarray]:
        pixels = torch.frombuffer(bytearray().join(images), dtype=torch.uint8).view(-1, *shape)
        pixels, _ = augmentation(pixels, None, torch.tensor(ids), epoch)
        return list(np.ascontiguousarray(pixels.numpy()))

    return augmented_files(rows, IMAGE, augment, num_copies=num_copies)


def augmented_files(
    rows: datasets.Dataset,
    column: str,
    augment: Callable[[list[bytes], list[int], int], Sequence[np.ndarray]],
    *,
    num_copies: int,
) -> datasets.Dataset:
    """Copies of rows with one column augmented and the others unchanged.

    Args:
        rows (`datasets.Dataset`): With example ids.
        column (`str`): Bytes.
        augment (callable): Values of the column, their example ids and an epoch -> arrays.
        num_copies (`int`): Number of copies, one for each of the first epochs.

    Returns:
        `datasets.Dataset`: `num_copies` times as many rows.
    """
    copies = []
    for epoch in tqdm(range(num_copies), desc=f"Augmenting {column}", delay=_PROGRESS_AFTER_S, leave=False):
        augmented = []
        for part in rows.select_columns([column, EXAMPLE_ID]).iter(_ROWS_AT_ONCE):
            augmented += [array.tobytes() for array in augment(part[column], part[EXAMPLE_ID], epoch)]
        copies.append(rows.remove_columns(column).add_column(column, augmented, feature=rows.features[column]))
    return datasets.concatenate_datasets(copies)
