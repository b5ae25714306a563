"""The things in images as data sets of COCO's form hold them: a category and a box each, and whether they can be."""

from functools import partial

import datasets
import numpy as np

from .columns import file_rows, listed, read_as, row_of
from .images import image_sizes

FORM = "{'bbox': [[left, top, width, height], ...] in pixels, 'category': [...]}, or a list of one such for each thing"
_BOXES = ("bbox", "bboxes", "boxes")
_CATEGORIES = ("category", "categories", "label", "labels")
_ROUNDING = 1.0  # pixels that a box may stand over the edge; it is cut there


def read_objects(split, column, split_name):
    """The things of each row, whichever way they are stored.

    Args:
        split (`datasets.Dataset`): With the column.
        column, split_name (`str`): Its name; for messages.

    Returns:
        `list`: For each row (categories, a list; boxes, `np.ndarray` of float64, shape (boxes, 4): left, top, width, height
        in pixels), empty where there is nothing in the image; None where nobody knows (null).

    Raises:
        ValueError: A row that is not of this form; names the row and what it holds.
    """
    rows = split.with_format(None).select_columns([column])[:][column]
    where = partial(row_of, split, split_name)
    return [None if row is None else _things(row, index, column, where) for index, row in enumerate(rows)]


def _things(row, index, column, where):
    try:
        categories, boxes = _parsed(row)
        if len(boxes) == len(categories) and np.isfinite(boxes).all() and None not in categories:
            return categories, boxes
        reason = None
    except (KeyError, TypeError, ValueError, StopIteration) as error:
        reason = error
    text = repr(row)
    raise ValueError(
        f"{where(index)} holds {text[:80] + '...' if len(text) > 80 else text} in column {column!r}. The "
        f"things in an image should be {FORM}: four finite numbers and a category for each, empty "
        f"lists where there is nothing in the image, null where nobody looked."
    ) from reason


def _parsed(row):
    """Categories, a list, and boxes, shape (boxes, 4), of a row of either form."""
    if not isinstance(row, dict):
        row = {key: [one[key] for one in row] for key in row[0]} if row else {"bbox": [], "category": []}
    boxes = next(row[key] for key in _BOXES if key in row)
    categories = next(row[key] for key in _CATEGORIES if key in row)
    boxes = np.asarray(boxes, dtype=np.float64).reshape(-1, 4) if len(boxes) else np.zeros((0, 4))
    return list(categories), boxes


def category_names(split, column, objects):
    """Names of the categories by class index: those of the feature, else what there is, sorted.

    Args:
        split (`datasets.Dataset`): Whose column it is.
        column (`str`): Its name.
        objects (`list`): From `read_objects`, of one split or several.

    Raises:
        ValueError: No row has a thing in it; categories that are neither names nor whole numbers from 0.
    """
    names = _feature_names(split.features[column])
    if names is not None:
        return names
    found = {category for row in objects if row is not None for category in row[0]}
    if not found:
        raise ValueError(f"Column {column!r} has nothing in any row, so there is nothing to learn to find.")
    if all(isinstance(one, str) for one in found):
        return sorted(found)
    if all(isinstance(one, int) and one >= 0 for one in found):
        return [str(index) for index in range(max(found) + 1)]
    raise ValueError(f"Categories in column {column!r} should be names, or whole numbers from 0; got {listed(found)}.")


def _feature_names(feature):
    while isinstance(feature, datasets.List):
        feature = feature.feature
    if isinstance(feature, dict):
        for key in _CATEGORIES:
            if key in feature:
                return _feature_names(feature[key])
    return feature.names if isinstance(feature, datasets.ClassLabel) else None


def encode_categories(objects, given, names, where):
    """Categories as class indices.

    Args:
        objects (`list`): From `read_objects`.
        given (`list[str]`): Names by the data's own numbers, see `category_names`.
        names (`list[str]`): Names in the order that is wanted.
        where (callable): What a message calls a row, by its place in `objects`.

    Returns:
        `list` of `list[int]` or None, one for each row.

    Raises:
        ValueError: A category without a place; names the row.
    """
    places = {name: index for index, name in enumerate(names)}
    known = {**places, **{number: places[name] for number, name in enumerate(given) if name in places}}
    for row, things in enumerate(objects):
        strange = [one for one in ([] if things is None else things[0]) if one not in known]
        if strange:
            raise ValueError(
                f"{where(row)} has something of category {strange[0]!r}, and there are {len(names)}: {listed(names)}. "
                f"Correct it, or let the training split have one of it."
            )
    return [None if things is None else [known[one] for one in things[0]] for things in objects]


def relative_boxes(objects, split, image_column, split_name):
    """Boxes as detectors read them, once it is certain that they are inside of their images.

    Args:
        objects (`list`): From `read_objects`.
        split (`datasets.Dataset`), image_column (`str`): Where the images are; of each only the size is read.
        split_name (`str`): For messages.

    Returns:
        `list` of `np.ndarray` of float64 or None: shape (boxes, 4), center x, center y, width and height, 0 to 1 of the
        image.

    Raises:
        ValueError: A box without extent or outside of its image; says which, and what else the numbers may mean. An image
            that cannot be read.
    """
    sizes = image_sizes(split, image_column, split_name)
    rows = np.repeat(np.arange(len(objects)), [0 if one is None else len(one[1]) for one in objects])
    boxes = np.concatenate([np.zeros((0, 4)), *(one[1] for one in objects if one is not None)])
    _check_boxes(boxes, file_rows(split)[rows], sizes[rows], read_as(split, split_name))
    first, last = boxes[:, :2].clip(min=0), np.minimum(boxes[:, :2] + boxes[:, 2:], sizes[rows])
    relative = np.hstack([(first + last) / 2, last - first]) / np.tile(sizes[rows], 2)
    ends = np.cumsum([0 if one is None else len(one[1]) for one in objects])
    return [
        None if one is None else part for one, part in zip(objects, np.split(relative, ends)[: len(ends)], strict=True)
    ]


def _check_boxes(boxes, rows, sizes, split_name):
    """Every box has an extent and is inside of its image; ValueError. `sizes`: width and height for each box."""
    flat = (boxes[:, 2:] <= 0).any(1)
    if flat.any():
        _refuse(flat, boxes, rows, sizes, split_name, "are no wider or higher than 0", _other_forms(boxes, sizes))
    if len(boxes) and (boxes <= 1).all():
        _refuse(
            np.ones(len(boxes), dtype=bool), boxes, rows, sizes, split_name, "are within one pixel",
            "These are parts of the image: multiply by its width and height. ",
        )  # fmt: skip
    first, last = boxes[:, :2], boxes[:, :2] + boxes[:, 2:]
    beyond = (first < -_ROUNDING) | (last > sizes + _ROUNDING)
    outside = (beyond | (first >= sizes) | (last <= 0)).any(1)  # of the last two nothing would be left after the cut
    if outside.any():
        _refuse(outside, boxes, rows, sizes, split_name, "lie outside of their image", _other_forms(boxes, sizes))


def _other_forms(boxes, sizes):
    """What else the numbers may be."""
    as_corners = (boxes[:, 2:] > boxes[:, :2]).all() and (boxes[:, 2:] <= sizes + _ROUNDING).all()
    if as_corners:
        return "All boxes fit as [left, top, right, bottom]: subtract left and top from the last two. "
    return ""


def _refuse(wrong, boxes, rows, sizes, split_name, what, hint):
    first = int(wrong.argmax())
    width, height = sizes[first]
    raise ValueError(
        f"{int(wrong.sum())} of {len(boxes)} boxes of the {split_name} split {what} (rows "
        f"{listed(np.unique(rows[wrong]))}, counted from 0). In row {rows[first]} the box is {boxes[first].tolist()}, and "
        f"the image is {width:g} pixels wide and {height:g} high. {hint}Boxes should be [left, top, width, height] in "
        f"pixels, as in COCO. Correct or remove these."
    )
