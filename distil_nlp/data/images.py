"""Images of data sets: found, decoded, and resized to the size and channels of a model's input."""

import io
import struct
from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any

import datasets
import numpy as np

from ..internals.imports import import_extra
from ..internals.messages import shown
from ..models.pixel_preprocessor import PixelPreprocessor
from .columns import first_split, row_location
from .file_columns import IMAGE_FILES, find_file_column

if TYPE_CHECKING:
    from PIL import Image as PillowImage
    from transformers import BaseImageProcessor

_GRAY = ("L", "1", "LA")
_DEEP_GRAY = ("I", "F")  # first letters of the modes with more than 8 bits per pixel, such as "I;16B"
_ORIENTATION, _ON_ITS_SIDE = 0x0112, range(5, 9)  # the Exif tag, and its values that swap width and height
# The formats that are opened. Pillow knows more, and some start other programs: EPS starts Ghostscript on the file.
FORMATS = ("PNG", "JPEG", "GIF", "WEBP", "BMP", "TIFF", "PPM", "JPEG2000", "AVIF")
_DEFAULT_SIZE = (64, 64)  # for images of different sizes and a network without a size of its own
_ROWS_AT_ONCE = 256
_MAX_BYTES_IN_MEMORY = 2 << 30


def image_format(
    splits: Mapping[str, datasets.Dataset], column: str | None = None
) -> tuple[str, int, tuple[int, int] | None]:
    """The image column, channels and size of all splits, from the first image of each.

    Args:
        splits (`dict[str, datasets.Dataset]`): See `Task.from_splits`; of subsets, the whole is read.
        column (`str`, *optional*): The image column. Default: see `find_file_column`.

    Returns:
        `(column, num_channels, (height, width) or None)`: see `native_format` for the last two.

    Raises:
        ValueError: A split without the column; an image that cannot be read.
    """
    source = first_split(getattr(splits, "whole", splits), "train", "unlabeled", "validation", "test")
    column = find_file_column(source, IMAGE_FILES, column)
    for split_name, split in splits.items():
        find_file_column(split, IMAGE_FILES, column)
        next(open_images(split, column, split_name, [0]), None)
    return column, *native_format(source, column, "train")


def image_size_or_native(image_size: int | None, native: tuple[int, int] | None) -> tuple[int, int]:
    """Height and width of the input of a network given by name: `image_size`, or else the images' own size."""
    return (image_size, image_size) if image_size else native or _DEFAULT_SIZE


def open_images(
    split: datasets.Dataset, column: str, split_name: str, rows: Iterable[int] | None = None
) -> "Iterator[PillowImage.Image]":
    """The decoded images of a split, one at a time.

    Args:
        split (`datasets.Dataset`): Its `column` contains encoded files, as bytes or as paths.
        column (`str`): The image column.
        split_name (`str`): For messages.
        rows (`Iterable[int]`, *optional*): Rows to read. Default: all.

    Yields:
        `PIL.Image.Image`, rotated by its Exif orientation, as `datasets` and pipelines do.

    Raises:
        ValueError: A file that is not an image, is cut off or missing, or has more than 8 bits of gray. The message names
            the row and the file.
    """
    encoded = split.with_format(None).select_columns([column]).cast_column(column, datasets.Image(decode=False))
    for row in range(len(split)) if rows is None else rows:
        yield _decode(encoded[row][column], row_location(split, split_name, row))


def open_image(file: Mapping[str, Any]) -> "PillowImage.Image":
    """Open an encoded file, as bytes or as a path, if it is of one of `FORMATS`; its pixels are decoded when they are read.

    Raises:
        OSError: No such file, or another format.
    """
    Image = import_extra("vision")
    Image.init()
    formats = [name for name in FORMATS if name in Image.OPEN]  # AVIF only where pillow was built with it
    return Image.open(io.BytesIO(file["bytes"]) if file["bytes"] is not None else file["path"], formats=formats)


def _decode(file: Mapping[str, Any] | None, location: str) -> "PillowImage.Image":
    if file is None or (file["bytes"] is None and file["path"] is None):
        raise ValueError(f"{location} has no image (it is {shown(file)}). Remove the row, or add the file.")
    Image = import_extra("vision")
    from PIL import ImageOps

    location += f" ({file['path']})" if file["path"] else ""
    try:
        image = open_image(file)
        image.load()
        ImageOps.exif_transpose(image, in_place=True)
    # RuntimeError: a damaged AVIF; struct.error: a damaged Exif.
    except (OSError, SyntaxError, ValueError, RuntimeError, struct.error, Image.DecompressionBombError) as error:
        is_other = "cannot identify" in str(error)
        reason = f"it is none of {', '.join(FORMATS)}" if is_other else str(error).rstrip(".")
        size = (
            "" if file["bytes"] is None else f" ({len(file['bytes']):,} bytes, the first {shown(file['bytes'][:8])})"
        )
        raise ValueError(
            f"{location} cannot be read as an image: {reason}{size}. Was the copy cut off? Replace the file, or remove the "
            f"row."
        ) from error
    if image.mode.startswith(_DEEP_GRAY):
        raise ValueError(
            f"{location} has an image of 16 or more bits per pixel (pillow mode {shown(image.mode)}), and models read 8: "
            f"converted it would be all white or all black. Scale its values to 0 to 255 and save it as 8 bit."
        )
    return image


def image_sizes(split: datasets.Dataset, column: str, split_name: str) -> np.ndarray:
    """Width and height of every image of a split as `open_images` decodes it: float64, shape (rows, 2).

    Only headers are read; PNG files without Exif in the header are read whole, because Exif may be at the end.

    Raises:
        ValueError: See `open_images`.
    """
    encoded = split.with_format(None).select_columns([column]).cast_column(column, datasets.Image(decode=False))
    sizes = []
    for row, example in enumerate(encoded):
        file = example[column] or {"bytes": None, "path": None}
        try:
            with open_image(file) as image:
                sizes.append(image.size[:: -1 if image.getexif().get(_ORIENTATION) in _ON_ITS_SIDE else 1])
        except Exception:
            sizes.append(next(open_images(split, column, split_name, [row])).size)  # raises with the reason
    return np.array(sizes, dtype=np.float64).reshape(-1, 2)


def native_format(
    split: datasets.Dataset, column: str, split_name: str, num_samples: int = 16
) -> tuple[int, tuple[int, int] | None]:
    """Channels and size of the images of a split, from some of them.

    Returns:
        `(num_channels, (height, width) or None)`: 1 where all are gray, else 3; None where their sizes differ.
    """
    rows = np.unique(np.linspace(0, len(split) - 1, min(num_samples, len(split))).astype(int))
    images = list(open_images(split, column, split_name, rows.tolist()))
    sizes = {(image.height, image.width) for image in images}
    return (1 if all(image.mode in _GRAY for image in images) else 3), (sizes.pop() if len(sizes) == 1 else None)


def input_shape(processor: "BaseImageProcessor") -> tuple[int, int, int]:
    """`(channels, height, width)` of a model's input, from its image processor."""
    return preprocessed_pixels(import_extra("vision").new("RGB", (64, 64)), processor).shape


def same_crop(processor: "BaseImageProcessor", other: "BaseImageProcessor") -> bool:
    """Whether two image processors keep the same part of an image, up to a hundredth of it, at any output size."""
    across, down = np.meshgrid(np.linspace(0, 255, 640), np.linspace(0, 255, 480))
    image = import_extra("vision").fromarray(np.stack([across, down, across], axis=-1).astype(np.uint8))
    centers, extents = [], []
    for compared in (processor, other):
        pixels = preprocessed_pixels(image, compared).reshape(num_channels_of(compared), -1).astype(np.float64)
        centers.append(pixels.mean(1))
        extents.append(pixels.std(1))
    return all(np.allclose(*pair, rtol=0, atol=2.55) for pair in (centers, extents))


def largest_input(processors: "Sequence[BaseImageProcessor]") -> "BaseImageProcessor":
    """The image processor with the most pixels in its output; the first of several."""
    return max(processors, key=lambda processor: int(np.prod(input_shape(processor))))


def preprocessor_of(processor: "BaseImageProcessor") -> PixelPreprocessor:
    """The steps of an image processor after decoding and cropping, as a `PixelPreprocessor`."""
    channels, height, width = input_shape(processor)
    mean, std = processor.image_mean, processor.image_std
    if not processor.do_normalize:
        mean, std = [0.0] * channels, [1.0] * channels
    rescale = processor.rescale_factor if processor.do_rescale else 1.0
    return PixelPreprocessor(height, width, channels, tuple(mean), tuple(std), rescale)


def preprocessed_pixels(image: "PillowImage.Image", processor: "BaseImageProcessor") -> np.ndarray:
    """The pixels of an image after an image processor, without rescaling and normalizing.

    Args:
        image (`PIL.Image.Image`): Of any mode and size.
        processor: The model's image processor. All its steps are applied but rescaling and normalizing, which the collator
            does after the augmentation.

    Returns:
        `np.ndarray` of uint8, shape (channels, height, width).
    """
    image = image.convert("L" if num_channels_of(processor) == 1 else "RGB")
    pixels = processor(image, do_rescale=False, do_normalize=False, return_tensors="np")["pixel_values"][0]
    return np.ascontiguousarray(pixels).astype(np.uint8, copy=False)


def num_channels_of(processor: "BaseImageProcessor") -> int:
    """The channels of a processor's output. Default: 3."""
    return getattr(processor, "num_channels", 3) or 3


def pixel_rows(
    split: datasets.Dataset, column: str, split_name: str, processor: "BaseImageProcessor"
) -> tuple[datasets.Dataset, tuple[int, int, int]]:
    """A data set of raw pixels, one row per image.

    Args:
        split, column, split_name: See `open_images`.
        processor: See `preprocessed_pixels`.

    Returns:
        `(datasets.Dataset, shape)`: a column "image" of bytes, uint8 in the order (channels, height, width); and that
        shape. In memory where it is not large; otherwise in a file of the cache of `datasets`.

    Raises:
        ValueError: An image that cannot be read, or has another shape than the first after the processor.
    """
    first = preprocessed_pixels(next(open_images(split, column, split_name, [0])), processor)
    features = datasets.Features({"image": datasets.Value("large_binary")})

    def decode(batch: dict, rows: list[int]) -> dict:
        location = partial(row_location, split, split_name)
        files = zip(batch[column], rows, strict=True)
        images = [preprocessed_pixels(_decode(file, location(row)), processor) for file, row in files]
        for row, pixels in zip(rows, images, strict=True):
            _check_shape(pixels, first, location(row))
        return {"image": [pixels.tobytes() for pixels in images]}

    encoded = split.with_format(None).select_columns([column]).cast_column(column, datasets.Image(decode=False))
    rows = encoded.map(
        decode,
        batched=True,
        batch_size=_ROWS_AT_ONCE,
        with_indices=True,
        remove_columns=[column],
        features=features,
        keep_in_memory=first.nbytes * len(split) < _MAX_BYTES_IN_MEMORY,
        load_from_cache_file=False,
        new_fingerprint=datasets.fingerprint.Hasher.hash([split._fingerprint, column, processor.to_dict()]),
        desc="Reading images",
    )
    return rows, first.shape


def _check_shape(pixels: np.ndarray, first: np.ndarray, location: str) -> None:
    if pixels.shape != first.shape:
        raise ValueError(
            f"{location} has the shape {pixels.shape} after the image processor, and the first row has {first.shape}, so "
            f"they cannot share a batch. Use a processor with one output size (height and width, or a center crop)."
        )
