"""Objects in COCO's format, with a category and a box each: reading, checks, and boxes for detectors."""

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import datasets
import numpy as np

from ..internals.messages import listed, shown
from .columns import row_location, source_rows, source_split
from .images import image_sizes

Objects = tuple[list, np.ndarray]  # categories, and boxes of shape (boxes, 4)
FORMAT = "{'bbox': [[left, top, width, height], ...] in pixels, 'category': [...]}, or a list of such for each object"
_BOXES = ("bbox", "bboxes", "boxes")
_CATEGORIES = ("category", "categories", "label", "labels")
_ROUNDING = 1.0  # pixels by which a box may exceed the edge; it is cut there


def read_objects(split: datasets.Dataset, column: str, split_name: str) -> list[Objects | None]:
    """The objects of each row, from either of COCO's formats.

    Args:
        split (`datasets.Dataset`): With the column.
        column (`str`): Its name.
        split_name (`str`): For messages.

    Returns:
        `list`: For each row (categories, a list; boxes, `np.ndarray` of float64, shape (boxes, 4): left, top, width, height
        in pixels), empty where the image has no objects; None where they are not labeled (null).

    Raises:
        ValueError: A row in another format. The message names the row and its content.
    """
    rows = split.with_format(None).select_columns([column])[:][column]
    location = partial(row_location, split, split_name)
    return [None if row is None else _objects(row, index, column, location) for index, row in enumerate(rows)]


def _objects(row: Any, index: int, column: str, location: Callable[[int], str]) -> Objects:
    """The objects of one row; ValueError where it has another format."""
    try:
        categories, boxes = _parse(row)
        if len(boxes) == len(categories) and np.isfinite(boxes).all() and None not in categories:
            return categories, boxes
        reason = None
    except (KeyError, TypeError, ValueError, StopIteration) as error:
        reason = error
    raise ValueError(
        f"{location(index)} contains {shown(row, 80)} in column {shown(column)}. The "
        f"objects in an image should be {FORMAT}: four finite numbers and a category for each, empty "
        f"lists where the image has no objects, null where it is not labeled."
    ) from reason


def _parse(row: Any) -> Objects:
    """Categories and boxes of a row in either format."""
    if not isinstance(row, dict):
        row = {key: [entry[key] for entry in row] for key in row[0]} if row else {"bbox": [], "category": []}
    boxes = next(row[key] for key in _BOXES if key in row)
    categories = next(row[key] for key in _CATEGORIES if key in row)
    boxes = np.asarray(boxes, dtype=np.float64).reshape(-1, 4) if len(boxes) else np.zeros((0, 4))
    return list(categories), boxes


def category_names(split: datasets.Dataset, column: str, objects: Sequence[Objects | None]) -> list[str]:
    """Names of the categories by class index: those of the feature, or else those that occur, sorted.

    Args:
        split (`datasets.Dataset`): With the column.
        column (`str`): Its name.
        objects (`list`): From `read_objects`, of one split or several.

    Raises:
        ValueError: No row has an object; categories that are neither names nor integers from 0.
    """
    names = _feature_names(split.features[column])
    if names is not None:
        return names
    categories = {category for row in objects if row is not None for category in row[0]}
    if not categories:
        raise ValueError(
            f"Column {shown(column)} has no object in any of {len(objects)} rows, so there is nothing to learn. Set "
            f"another column, or label the objects."
        )
    if all(isinstance(category, str) for category in categories):
        return sorted(categories)
    if all(isinstance(category, int) and category >= 0 for category in categories):
        return [str(index) for index in range(max(categories) + 1)]
    raise ValueError(
        f"Categories in column {shown(column)} should be names, or integers from 0; got {listed(categories)}."
    )


def _feature_names(feature: Any) -> list[str] | None:
    """Class names of the category in a feature of `datasets`, None where it has none."""
    while isinstance(feature, datasets.List):
        feature = feature.feature
    if isinstance(feature, dict):
        for key in _CATEGORIES:
            if key in feature:
                return _feature_names(feature[key])
    return feature.names if isinstance(feature, datasets.ClassLabel) else None


def encode_categories(
    objects: Sequence[Objects | None],
    data_names: Sequence[str],
    names: Sequence[str],
    location: Callable[[int], str],
) -> list[list[int] | None]:
    """Categories as class indices.

    Args:
        objects (`list`): From `read_objects`.
        data_names (`list[str]`): Names by the category numbers of the data, see `category_names`.
        names (`list[str]`): Names by class index.
        location (callable): Index in `objects` -> the row, for messages.

    Returns:
        `list` of `list[int]` or None, one for each row.

    Raises:
        ValueError: A category that is not in `names`. The message names the row.
    """
    indices = {name: index for index, name in enumerate(names)}
    index_of = {**indices, **{number: indices[name] for number, name in enumerate(data_names) if name in indices}}
    for row, row_objects in enumerate(objects):
        unknown = [
            category for category in ([] if row_objects is None else row_objects[0]) if category not in index_of
        ]
        if unknown:
            raise ValueError(
                f"{location(row)} has an object of category {shown(unknown[0])}, and the categories are the {len(names)} "
                f"{listed(names)}. Correct it, or add an example of it to the training split."
            )
    return [
        None if row_objects is None else [index_of[category] for category in row_objects[0]] for row_objects in objects
    ]


def relative_boxes(
    objects: Sequence[Objects | None], split: datasets.Dataset, image_column: str, split_name: str
) -> list[np.ndarray | None]:
    """Boxes relative to their image, as detectors read them, after a check that they are inside of it.

    Args:
        objects (`list`): From `read_objects`.
        split (`datasets.Dataset`): With the images, of which only the sizes are read.
        image_column (`str`): Their column.
        split_name (`str`): For messages.

    Returns:
        `list` of `np.ndarray` of float64 or None: shape (boxes, 4), center x, center y, width and height, 0 to 1 of the
        image.

    Raises:
        ValueError: A box without extent or outside of its image; the message names it and another format its numbers fit.
            An image that cannot be read.
    """
    sizes = image_sizes(split, image_column, split_name)
    counts = [0 if row_objects is None else len(row_objects[1]) for row_objects in objects]
    rows = np.repeat(np.arange(len(objects)), counts)
    boxes = np.concatenate([np.zeros((0, 4)), *(row_objects[1] for row_objects in objects if row_objects is not None)])
    _check_boxes(boxes, source_rows(split)[rows], sizes[rows], source_split(split, split_name))
    first, last = boxes[:, :2].clip(min=0), np.minimum(boxes[:, :2] + boxes[:, 2:], sizes[rows])
    relative = np.hstack([(first + last) / 2, last - first]) / np.tile(sizes[rows], 2)
    parts = np.split(relative, np.cumsum(counts))[: len(counts)]
    return [None if row_objects is None else part for row_objects, part in zip(objects, parts, strict=True)]


def _check_boxes(boxes: np.ndarray, rows: np.ndarray, sizes: np.ndarray, split_name: str) -> None:
    """Raise ValueError if a box has no extent or is outside of its image. `sizes`: width and height for each box."""
    flat = (boxes[:, 2:] <= 0).any(1)
    if flat.any():
        _raise_for_boxes(
            flat, boxes, rows, sizes, split_name, "are no wider or higher than 0", _other_format(boxes, sizes)
        )
    if len(boxes) and (boxes <= 1).all():
        _raise_for_boxes(
            np.ones(len(boxes), dtype=bool), boxes, rows, sizes, split_name, "are within one pixel",
            "These are fractions of the image: multiply by its width and height. ",
        )  # fmt: skip
    first, last = boxes[:, :2], boxes[:, :2] + boxes[:, 2:]
    beyond = (first < -_ROUNDING) | (last > sizes + _ROUNDING)
    outside = (beyond | (first >= sizes) | (last <= 0)).any(1)  # the last two: nothing left after the cut
    if outside.any():
        _raise_for_boxes(
            outside, boxes, rows, sizes, split_name, "lie outside of their image", _other_format(boxes, sizes)
        )


def _other_format(boxes: np.ndarray, sizes: np.ndarray) -> str:
    """A hint where all boxes fit another format."""
    as_corners = (boxes[:, 2:] > boxes[:, :2]).all() and (boxes[:, 2:] <= sizes + _ROUNDING).all()
    if as_corners:
        return "All boxes fit as [left, top, right, bottom]: subtract left and top from the last two. "
    return ""


def _raise_for_boxes(
    wrong: np.ndarray, boxes: np.ndarray, rows: np.ndarray, sizes: np.ndarray, split_name: str, fault: str, hint: str
) -> None:
    """Raise the ValueError for the boxes of the mask `wrong`."""
    first = int(wrong.argmax())
    width, height = sizes[first]
    raise ValueError(
        f"{int(wrong.sum())} of {len(boxes)} boxes of the {split_name} split {fault} (rows "
        f"{listed(np.unique(rows[wrong]))}, counted from 0). In row {rows[first]} the box is {boxes[first].tolist()}, and "
        f"the image is {width:g} pixels wide and {height:g} high. {hint}Boxes should be [left, top, width, height] in "
        f"pixels, as in COCO. Correct or remove these."
    )
