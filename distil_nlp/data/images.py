"""Pixels of a data set: found, read, and brought to the size and the channels that a model sees."""

import io
import struct
from functools import partial

import datasets
import numpy as np

from ..internals.imports import import_extra
from ..models.pixel_preprocessor import PixelPreprocessor
from .columns import first_split, row_of
from .file_columns import IMAGES, find_file_column

_GRAY = ("L", "1", "LA")
_DEEP_GRAY = ("I", "F")  # how modes of more than 8 bits a pixel begin, "I;16B" among them
_ORIENTATION, _ON_ITS_SIDE = 0x0112, range(5, 9)  # the Exif tag, and its values that swap width and height
_SIZE_OF_MANY = (64, 64)  # of images of many sizes, for a network that says nothing of its own
_ROWS_AT_ONCE = 256
_MOST_BYTES_IN_MEMORY = 2 << 30


def look_at(splits, given=None):
    """What the images of all splits are, after a look at the first of each.

    Args:
        splits (`dict[str, datasets.Dataset]`): See `Task.from_splits`; of subsets, the whole is looked at.
        given (`str`, *optional*): The image column, see `find_file_column`.

    Returns:
        `(column, num_channels, (height, width) or None)`: see `native_format` for the last two.

    Raises:
        ValueError: A split without the column; an image that cannot be read.
    """
    shown = first_split(getattr(splits, "whole", splits), "train", "unlabeled", "validation", "test")
    column = find_file_column(shown, IMAGES, given)
    for split_name, split in splits.items():
        find_file_column(split, IMAGES, column)
        next(open_images(split, column, split_name, [0]), None)
    return column, *native_format(shown, column, "train")


def image_size_or_native(image_size, native):
    """Height and width that a network given by name is to see: those asked for, else the images' own."""
    return (image_size, image_size) if image_size else native or _SIZE_OF_MANY


def open_images(split, column, split_name, rows=None):
    """Images of a split, one after the other.

    Args:
        split (`datasets.Dataset`): Its `column` holds encoded files, as bytes or as paths.
        column, split_name (`str`): For finding, and for messages.
        rows (`Iterable[int]`, *optional*): Which; all of them by default.

    Yields:
        `PIL.Image.Image`, decoded, turned as its Exif says: that is how `datasets` and pipelines show it.

    Raises:
        ValueError: A file that is none, is cut off or is missing, or holds more than 8 bits of gray: which row, which file,
            and what to do.
    """
    encoded = split.with_format(None).select_columns([column]).cast_column(column, datasets.Image(decode=False))
    for row in range(len(split)) if rows is None else rows:
        yield _opened(encoded[row][column], row_of(split, split_name, row))


def _opened(file, where):
    if file is None or (file["bytes"] is None and file["path"] is None):
        raise ValueError(f"{where} has no image. Remove the row, or fill it.")
    Image = import_extra("vision")
    from PIL import ImageOps

    named = f" ({file['path']})" if file["path"] else ""
    try:
        image = Image.open(io.BytesIO(file["bytes"]) if file["bytes"] is not None else file["path"])
        image.load()
        ImageOps.exif_transpose(image, in_place=True)
    # RuntimeError comes of a damaged AVIF, struct.error of a damaged Exif.
    except (OSError, SyntaxError, ValueError, RuntimeError, struct.error, Image.DecompressionBombError) as error:
        reason = "its format is none that pillow knows" if "cannot identify" in str(error) else str(error).rstrip(".")
        size = "" if file["bytes"] is None else f" ({len(file['bytes']):,} bytes, the first {file['bytes'][:8]!r})"
        raise ValueError(
            f"{where}{named} holds no image that can be read: {reason}{size}. Was the copy cut off? Replace the file, or "
            f"remove the row."
        ) from error
    if image.mode.startswith(_DEEP_GRAY):
        raise ValueError(
            f"{where}{named} holds an image of 16 or more bits a pixel (pillow calls it {image.mode!r}), and models here "
            f"read 8: cut down to these it would be all white or all black. Scale its values to 0 to 255 and save it as "
            f"8 bit."
        )
    return image


def image_sizes(split, column, split_name):
    """Width and height of every image of a split as `open_images` shows it, `np.ndarray` of float64, shape (rows, 2).

    Only headers are read; PNG files without Exif there whole, because theirs may stand at the end.

    Raises:
        ValueError: See `open_images`.
    """
    Image = import_extra("vision")
    encoded = split.with_format(None).select_columns([column]).cast_column(column, datasets.Image(decode=False))
    sizes = []
    for row, example in enumerate(encoded):
        file = example[column] or {"bytes": None, "path": None}
        try:
            with Image.open(io.BytesIO(file["bytes"]) if file["bytes"] is not None else file["path"]) as image:
                sizes.append(image.size[:: -1 if image.getexif().get(_ORIENTATION) in _ON_ITS_SIDE else 1])
        except Exception:
            sizes.append(next(open_images(split, column, split_name, [row])).size)  # which says what is wrong
    return np.array(sizes, dtype=np.float64).reshape(-1, 2)


def native_format(split, column, split_name, num_samples=16):
    """What the images of a split are like, by some of them.

    Returns:
        `(num_channels, (height, width) or None)`: 1 where all are gray, else 3; None where their sizes differ.
    """
    rows = np.unique(np.linspace(0, len(split) - 1, min(num_samples, len(split))).astype(int))
    images = list(open_images(split, column, split_name, rows.tolist()))
    sizes = {(image.height, image.width) for image in images}
    return (1 if all(image.mode in _GRAY for image in images) else 3), (sizes.pop() if len(sizes) == 1 else None)


def input_shape(processor):
    """`(channels, height, width)` of what a model sees, by its processor."""
    return pixels_of(import_extra("vision").new("RGB", (64, 64)), processor).shape


def shows_the_same(processor, other):
    """Whether two image processors show the same part of an image, to a hundredth of it, whatever its size there."""
    across, down = np.meshgrid(np.linspace(0, 255, 640), np.linspace(0, 255, 480))
    image = import_extra("vision").fromarray(np.stack([across, down, across], axis=-1).astype(np.uint8))
    centers, extents = [], []
    for one in (processor, other):
        shown = pixels_of(image, one).reshape(num_channels_of(one), -1).astype(np.float64)
        centers.append(shown.mean(1))
        extents.append(shown.std(1))
    return all(np.allclose(*pair, rtol=0, atol=2.55) for pair in (centers, extents))


def largest(processors):
    """Of image processors the one whose model sees the most pixels; the first of several."""
    return max(processors, key=lambda one: int(np.prod(input_shape(one))))


def preprocessor_of(processor):
    """What the model of an image processor reads, a `PixelPreprocessor`."""
    channels, height, width = input_shape(processor)
    mean, std = processor.image_mean, processor.image_std
    if not processor.do_normalize:
        mean, std = [0.0] * channels, [1.0] * channels
    rescale = processor.rescale_factor if processor.do_rescale else 1.0
    return PixelPreprocessor(height, width, channels, tuple(mean), tuple(std), rescale)


def pixels_of(image, processor):
    """What a model sees of an image before it is normalized.

    Args:
        image (`PIL.Image.Image`): Of any mode and size.
        processor: The model's image processor. Every step of it but the last two is taken: rescaling and normalizing are
            the collator's, after the augmentation.

    Returns:
        `np.ndarray` of uint8, shape (channels, height, width).
    """
    seen = image.convert("L" if num_channels_of(processor) == 1 else "RGB")
    seen = processor(seen, do_rescale=False, do_normalize=False, return_tensors="np")["pixel_values"][0]
    return np.ascontiguousarray(seen).astype(np.uint8, copy=False)


def num_channels_of(processor):
    """Channels that a processor's model reads: 3, unless it says otherwise."""
    return getattr(processor, "num_channels", 3) or 3


def pixel_rows(split, column, split_name, processor):
    """A data set of raw pixels, a row an image.

    Args:
        split, column, split_name: See `open_images`.
        processor: See `pixels_of`.

    Returns:
        `(datasets.Dataset, shape)`: a column "image" of bytes, uint8 in the order (channels, height, width); and that
        shape. Held in memory where it is not large; otherwise in a file of the cache of `datasets`.

    Raises:
        ValueError: An image that cannot be read, or comes out in another shape than the first.
    """
    first = pixels_of(next(open_images(split, column, split_name, [0])), processor)
    features = datasets.Features({"image": datasets.Value("large_binary")})

    def read(batch, rows):
        where = partial(row_of, split, split_name)
        pixels = [
            pixels_of(_opened(file, where(row)), processor) for file, row in zip(batch[column], rows, strict=True)
        ]
        for row, one in zip(rows, pixels, strict=True):
            _check_shape(one, first, where(row))
        return {"image": [one.tobytes() for one in pixels]}

    encoded = split.with_format(None).select_columns([column]).cast_column(column, datasets.Image(decode=False))
    rows = encoded.map(
        read,
        batched=True,
        batch_size=_ROWS_AT_ONCE,
        with_indices=True,
        remove_columns=[column],
        features=features,
        keep_in_memory=first.nbytes * len(split) < _MOST_BYTES_IN_MEMORY,
        load_from_cache_file=False,
        new_fingerprint=datasets.fingerprint.Hasher.hash([split._fingerprint, column, processor.to_dict()]),
        desc="Reading images",
    )
    return rows, first.shape


def _check_shape(pixels, first, where):
    if pixels.shape != first.shape:
        raise ValueError(
            f"{where} comes out of the image processor as {pixels.shape}, the first row as {first.shape}, so they cannot "
            f"share a batch. Use a processor that brings images to one size (size with height and width, or a center "
            f"crop)."
        )
