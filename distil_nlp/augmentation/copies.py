"""More images to learn from: those that are there, altered once and for all, so that a teacher can be asked beforehand."""

import datasets
import numpy as np
import torch
from tqdm.auto import tqdm

from ..collators.images import IMAGE
from ..data.examples import EXAMPLE_ID

_ROWS_AT_ONCE = 1024
_SHOW_AFTER_S = 3.0


def altered_images(rows, shape, augmentation, *, num_copies):
    """Copies of images as an `Augmentation` shows them in its first `num_copies` epochs. Labels stay.

    Args:
        rows (`datasets.Dataset`): From `ImageClassification.prepare`.
        shape (`tuple[int]`): Channels, height and width of the stored images.
        augmentation (`Augmentation`): Without mixup and CutMix, whose labels are no classes.
        num_copies (`int`): Copies of every row, 1 or more.

    Returns:
        `datasets.Dataset`: `num_copies` times as many rows, with the same columns and example ids.

    Raises:
        ValueError: An augmentation that mixes; no copy.

    Reference: Beyer et al. 2022, "Knowledge distillation: A good teacher is patient and consistent", figure 3: fixed
    views, of which a teacher need be asked only once, against views that student and teacher share anew each time.
    """
    if augmentation.mixes or num_copies < 1:
        raise ValueError(
            f"Copies are made beforehand, 1 or more of each image, and keep their labels; got num_copies={num_copies} and "
            f"mixup={augmentation.mixup}, cutmix={augmentation.cutmix}, whose labels are shares. Mix anew in every epoch: "
            f"num_augmented_copies=0."
        )

    def alter(images, ids, epoch):
        pixels = torch.frombuffer(bytearray().join(images), dtype=torch.uint8).view(-1, *shape)
        pixels, _ = augmentation(pixels, None, torch.tensor(ids), epoch)
        return list(np.ascontiguousarray(pixels.numpy()))

    return augmented_files(rows, IMAGE, alter, num_copies=num_copies)


def augmented_files(rows, column, alter, *, num_copies):
    """Copies of rows, of which one column is altered and the others stay.

    Args:
        rows (`datasets.Dataset`): With example ids.
        column (`str`): Bytes.
        alter (callable): From a list of its values, their example ids and an epoch to arrays.
        num_copies (`int`): One for each of the first epochs.
    """
    copies = []
    for epoch in tqdm(range(num_copies), desc=f"Altering {column}", delay=_SHOW_AFTER_S, leave=False):
        altered = []
        for part in rows.select_columns([column, EXAMPLE_ID]).iter(_ROWS_AT_ONCE):
            altered += [one.tobytes() for one in alter(part[column], part[EXAMPLE_ID], epoch)]
        copies.append(rows.remove_columns(column).add_column(column, altered, feature=rows.features[column]))
    return datasets.concatenate_datasets(copies)
