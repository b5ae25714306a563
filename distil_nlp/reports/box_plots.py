"""Images with boxes drawn on them: the true boxes, then those of each model."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from ..internals.files import replacing
from ..internals.imports import import_extra

if TYPE_CHECKING:
    from PIL.Image import Image as PILImage

MIN_SCORE = 0.3  # minimum score of a box that is drawn
_WIDTH, _HEAD, _GAP = 320, 18, 4  # pixels: width of an image, height of a line of text, distance between images
# Colors of the classes, repeated after the last; distinguishable with color blindness (Okabe and Ito 2008).
_COLORS = ("#D55E00", "#0072B2", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#F0E442")


def draw_pictures(
    path: Path,
    images: Sequence["PILImage"],
    columns: Mapping[str, Sequence[np.ndarray]],
    label_names: Sequence[str],
) -> None:
    """A picture with a row for each image and a column for each list of boxes.

    Args:
        path (`Path`): The PNG file, written whole or not at all.
        images (list of `PIL.Image.Image`): Of any size.
        columns (`dict[str, list]`): Title to one array for each image, shape (boxes, 6): class, score, left, top, right and
            bottom, the last four as fractions of the image. Boxes with a score below `MIN_SCORE` are left out.
        label_names (`list[str]`): By class; written above the columns in their colors.
    """
    Image = import_extra("vision")
    cells = [[_drawn(image, boxes[row]) for boxes in columns.values()] for row, image in enumerate(images)]
    heights = [max(cell.height for cell in row) for row in cells]
    width = len(columns) * (_WIDTH + _GAP) - _GAP
    sheet = Image.new("RGB", (width, 2 * _HEAD + sum(heights) + len(heights) * _GAP), "white")
    _write_names(sheet, label_names)
    for index, title in enumerate(columns):
        _pen(sheet).text((index * (_WIDTH + _GAP) + 2, _HEAD + 3), title, fill="black")
    top = 2 * _HEAD
    for row, height in zip(cells, heights, strict=True):
        for index, cell in enumerate(row):
            sheet.paste(cell, (index * (_WIDTH + _GAP), top))
        top += height + _GAP
    with replacing(path) as temporary:
        sheet.save(temporary, format="PNG")


def true_boxes(labels: np.ndarray, boxes: np.ndarray) -> np.ndarray:
    """The true boxes of an image in the format of `draw_pictures`, with a score of 1.

    Args:
        labels (`np.ndarray`): Class of each box, shape (boxes,).
        boxes (`np.ndarray`): Center x, center y, width and height as fractions of the image, shape (boxes, 4).

    Returns:
        `np.ndarray` of shape (boxes, 6): class, score, left, top, right and bottom.
    """
    boxes = np.asarray(boxes, dtype=np.float64).reshape(-1, 4)[: len(labels)]
    half = boxes[:, 2:] / 2
    return np.column_stack([labels, np.ones(len(labels)), boxes[:, :2] - half, boxes[:, :2] + half])


def _drawn(image, boxes):
    height = max(1, round(image.height * _WIDTH / image.width))
    cell = image.convert("RGB").resize((_WIDTH, height))
    pen = _pen(cell)
    for label, score, *corners in boxes:
        if score >= MIN_SCORE:
            left, top, right, bottom = np.clip(corners, 0, 1) * np.tile([_WIDTH - 1, height - 1], 2)
            if right >= left and bottom >= top:
                pen.rectangle([left, top, right, bottom], outline=_COLORS[int(label) % len(_COLORS)], width=2)
    return cell


def _write_names(sheet, label_names):
    left = 2
    for label, name in enumerate(label_names):
        _pen(sheet).text((left, 3), name, fill=_COLORS[label % len(_COLORS)])
        left += int(_pen(sheet).textlength(name)) + 12


def _pen(image):
    from PIL import ImageDraw

    return ImageDraw.Draw(image)
