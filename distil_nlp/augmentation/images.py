"""Augmentation of images: operations on whole batches, each a pure function of seed, epoch and example."""

import functools
import numbers
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as functional

from ..internals.messages import shown
from ..signals.problem_kinds import MISSING
from .counter_rng import beta_quantile, uniform

PADDINGS = ("zero", "reflect")
_CROP_RATIOS = (3 / 4, 4 / 3)  # Szegedy et al. 2015, "Going Deeper with Convolutions", section 6
_ERASED_AREA, _ERASED_RATIOS = (0.02, 0.4), (0.3, 1 / 0.3)  # Zhong et al. 2020, section 4.2


@dataclass(frozen=True)
class ImageAugmentation:
    """Alters images at random for training, whole batches at once.

    In this order: random resized crop, pad and crop, flip, erasing, mixup or CutMix. Every random choice is a pure
    function of seed, epoch and example id: a resumed run, another number of processes or loader workers, and other batches
    give the same images bit for bit. Mixup and CutMix draw the share of each example in this way too, but take the partner
    from the batch (the next example, the first for the last), so there other batches give other partners.

    Args:
        flip (`float`): Probability of a horizontal flip.
        crop_padding (`int`): Pixels added on every side before a crop to the original size; 0: no crop.
        padding (`str`): The pixels added: "zero" (black, as in the paper) or "reflect" (the image mirrored).
        min_scale (`float`): Smallest share of the area of a random resized crop: its share is in [min_scale, 1], its aspect
            3/4 to 4/3 (limited to the image), and it is resized bilinearly to the original size. 1: no such crop.
        erasing (`float`): Probability that a rectangle (2 to 40 % of the area, aspect 0.3 to 1/0.3) becomes noise.
        mixup (`float`): alpha of the Beta(alpha, alpha) distribution of an example's weight in the mean with its partner;
            0: no mixup.
        cutmix (`float`): The same for CutMix, where a rectangle is copied from the partner; the share is corrected to the
            true area. With both, each example gets one of the two at random.
        num_classes (`int`, *optional*): Needed for mixup and CutMix.
        seed (`int`): The same seed gives the same images.

    Raises:
        ValueError: A setting out of its range; mixup or CutMix without `num_classes`.

    References: He et al. 2016, "Deep Residual Learning", section 4.2 (crop, flip); Szegedy et al. 2015 (resized crop);
    Zhong et al. 2020, "Random Erasing Data Augmentation"; Zhang et al. 2018, "mixup: Beyond Empirical Risk
    Minimization"; Yun et al. 2019, "CutMix". One share per example, not one per batch as in their code.
    """

    flip: float = 0.5
    crop_padding: int = 4
    padding: str = "zero"
    min_scale: float = 1.0
    erasing: float = 0.0
    mixup: float = 0.0
    cutmix: float = 0.0
    num_classes: int | None = None
    seed: int = 0

    def __post_init__(self):
        for name in ("flip", "crop_padding", "min_scale", "erasing", "mixup", "cutmix", "seed"):
            if not isinstance(getattr(self, name), numbers.Real):
                raise ValueError(f"{name} is a number; got {shown(getattr(self, name))}.")
        for name in ("flip", "erasing"):
            if not 0 <= getattr(self, name) <= 1:
                raise ValueError(f"{name} is a probability, 0 to 1; got {shown(getattr(self, name))}.")
        if not 0 < self.min_scale <= 1:
            raise ValueError(f"min_scale is a share of the image's area, above 0 to 1; got {shown(self.min_scale)}.")
        if not (self.crop_padding >= 0 and self.crop_padding % 1 == 0):
            raise ValueError(f"crop_padding is a number of pixels, 0 or more; got {shown(self.crop_padding)}.")
        object.__setattr__(self, "crop_padding", int(self.crop_padding))
        if self.padding not in PADDINGS:
            raise ValueError(f"padding must be one of {', '.join(PADDINGS)}; got {shown(self.padding)}.")
        for name in ("mixup", "cutmix"):
            if not 0 <= getattr(self, name) < float("inf"):
                raise ValueError(
                    f"{name} is the alpha of a Beta distribution, 0 or more; got {shown(getattr(self, name))}."
                )
        if self.mixes and not (self.num_classes or 0) >= 1:
            raise ValueError(
                f"With mixup={self.mixup} and cutmix={self.cutmix} a label becomes a row with a share for each class, so "
                f"num_classes must be the number of classes; got num_classes={shown(self.num_classes)}."
            )

    @property
    def mixes(self) -> bool:
        """Whether labels become rows of class shares (mixup or CutMix)."""
        return self.mixup > 0 or self.cutmix > 0

    def __call__(
        self, images: torch.Tensor, labels: torch.Tensor | None, example_ids: torch.Tensor, epoch: int
    ) -> tuple[torch.Tensor, torch.Tensor | None]:
        """The augmented images of a batch, and their labels. On the CPU, in a data loader.

        Args:
            images (`torch.Tensor`): Shape (batch, channels, height, width), uint8, or float in 0 to 1.
            labels (`torch.LongTensor`): Shape (batch,), -100 where missing; or None.
            example_ids (`torch.LongTensor`): Shape (batch,).
            epoch (`int`): From 0.

        Returns:
            `(images, labels)`: Images of the same shape, and of the same type except after mixup, which makes uint8
            float32 in 0 to 1. The same labels, or with mixup or CutMix float32 of shape (batch, classes), shares that sum
            to 1; a row of -100 where a label that has a share is missing.

        Raises:
            ValueError: Other shapes or types; a label that is not a class.
        """
        ids = np.asarray(example_ids)
        _check(images, labels, ids)
        draw = functools.partial(uniform, self.seed, int(epoch), ids)
        if self.min_scale < 1 or self.crop_padding or self.flip:
            images = self._crop_and_flip(images, self.flipped(ids, epoch), draw)
        if self.erasing:
            images = _erased(images, self.erasing, self.seed, draw)
        return self._mixed(images, labels, draw) if self.mixes else (images, labels)

    def flipped(self, example_ids: torch.Tensor | np.ndarray, epoch: int) -> np.ndarray:
        """Mask of the examples that are mirrored in an epoch: bool, shape (batch,)."""
        return uniform(self.seed, int(epoch), np.asarray(example_ids), "flip") < self.flip

    def _crop_and_flip(self, images: torch.Tensor, is_flipped: np.ndarray, draw: Callable) -> torch.Tensor:
        """Resized crop, crop and flip in one pass: the source of each pixel is computed from the last operation back."""
        height, width = images.shape[-2:]
        rows, columns = np.arange(height)[None], np.arange(width)[None]
        columns = np.where(is_flipped[:, None], columns[:, ::-1], columns)
        if self.crop_padding:
            rows, columns = (
                self._crop_positions(positions, draw(side)) for positions, side in ((rows, "top"), (columns, "left"))
            )
        if self.min_scale < 1:
            return _resized(images, rows, columns, self.min_scale, draw)
        return _gathered(images, rows, columns)

    def _crop_positions(self, positions: np.ndarray, uniforms: np.ndarray) -> np.ndarray:
        """Source positions along one side after a crop: with padding "zero" up to `crop_padding` outside of the image."""
        pixels, size = self.crop_padding, positions.shape[1]
        positions = positions + (uniforms * (2 * pixels + 1)).astype(np.int64)[:, None] - pixels
        if self.padding == "zero":
            return positions
        if pixels >= size:
            raise ValueError(
                f"Mirrored at both ends, the {size} pixels of a side give at most {size - 1} more at each end; got "
                f"crop_padding={pixels}. Choose a smaller one, or padding='zero'."
            )
        return size - 1 - np.abs(size - 1 - np.abs(positions))

    def _mixed(
        self, images: torch.Tensor, labels: torch.Tensor | None, draw: Callable
    ) -> tuple[torch.Tensor, torch.Tensor | None]:
        """Mixup or CutMix of each image with the next."""
        is_cut = draw("mix or cut") < (0.5 if self.mixup and self.cutmix else float(self.cutmix > 0))
        partners, share = images.roll(-1, 0), np.ones(len(images))
        if self.cutmix:
            wanted_share = np.where(is_cut, beta_quantile(draw("cut share"), self.cutmix), 1)  # 1: no rectangle
            is_cut_out, share = _cutmix_masks(images, wanted_share, draw)
            images = _where(is_cut_out, partners, images)
        if self.mixup:
            share = np.where(is_cut, share, beta_quantile(draw("mixed share"), self.mixup))
            partner_share = torch.from_numpy(np.where(is_cut, 0, 1 - share))[:, None, None, None].float()
            if images.dtype == torch.uint8:
                images = images.float().lerp_(partners.float(), partner_share).div_(255)
            else:
                images = images.lerp(partners, partner_share.to(images.dtype))
        return images, None if labels is None else self._class_shares(labels, torch.from_numpy(share).float())

    def _class_shares(self, labels: torch.Tensor, share: torch.Tensor) -> torch.Tensor:
        """Labels mixed with those of the next example: shares of the classes, shape (batch, classes)."""
        if labels.is_floating_point() or labels.dim() != 1 or (labels >= self.num_classes).any():
            largest = f"up to {labels.max().item():g}" if labels.numel() else "none"
            raise ValueError(
                f"Mixup and CutMix need labels that are integers below num_classes={self.num_classes}, one per image; got "
                f"{labels.dtype} of shape {tuple(labels.shape)}, {largest}. Set num_classes to that of the data, or mixup "
                f"and cutmix to 0."
            )
        partners = labels.roll(-1, 0)
        shares = torch.zeros(len(labels), self.num_classes)
        shares.scatter_add_(1, labels.clamp(min=0)[:, None], share[:, None])
        shares.scatter_add_(1, partners.clamp(min=0)[:, None], 1 - share[:, None])
        is_missing = ((labels < 0) & (share > 0)) | ((partners < 0) & (share < 1))
        return shares.masked_fill_(is_missing[:, None], MISSING)


# ---- Crops and flips ----


def _gathered(images: torch.Tensor, rows: np.ndarray, columns: np.ndarray) -> torch.Tensor:
    """Images gathered from these rows and columns of their pixels; black outside of the image.

    Args:
        images (`torch.Tensor`): Shape (batch, channels, height, width).
        rows, columns (`np.ndarray`): Shape (batch or 1, height), (batch or 1, width).
    """
    batch, channels, height, width = images.shape
    row, column = (torch.from_numpy(axis.clip(0, size - 1)) for axis, size in ((rows, height), (columns, width)))
    indices = (row * width).unsqueeze(2) + column.unsqueeze(1)
    indices = indices.view(-1, 1, height * width).expand(batch, channels, -1)
    pixels = images.flatten(2).gather(2, indices).view(images.shape)
    in_row, in_column = (
        torch.from_numpy((axis >= 0) & (axis < size)).to(images.dtype)
        for axis, size in ((rows, height), (columns, width))
    )
    return pixels.mul_(in_row[:, None, :, None]).mul_(in_column[:, None, None, :])


def _resized(
    images: torch.Tensor, rows: np.ndarray, columns: np.ndarray, min_scale: float, draw: Callable
) -> torch.Tensor:
    """Images gathered from these rows and columns of a random part of each, enlarged bilinearly to the image's size."""
    height, width = images.shape[-2:]
    tall, wide = _rectangle_sides(draw("scale"), draw("ratio"), (min_scale, 1.0), _CROP_RATIOS, height, width)
    grid = torch.empty(len(images), 2, height, width)  # not (..., 2): each half is written in one piece
    grid[:, 0] = _grid_positions(columns, draw("crop left") * (width - wide), wide, width).unsqueeze(1)
    grid[:, 1] = _grid_positions(rows, draw("crop top") * (height - tall), tall, height).unsqueeze(2)
    resized = functional.grid_sample(images.float(), grid.permute(0, 2, 3, 1), mode="bilinear", align_corners=False)
    return resized.round_().byte() if images.dtype == torch.uint8 else resized.to(images.dtype)


def _grid_positions(positions: np.ndarray, starts: np.ndarray, lengths: np.ndarray, size: int) -> torch.Tensor:
    """Positions of enlarged pixels along one side of the image, for `grid_sample`.

    Args:
        positions (`np.ndarray`): Shape (batch or 1, size), indices of enlarged pixels.
        starts, lengths (`np.ndarray`): Shape (batch,), the part of the side that is enlarged to `size` pixels.
        size (`int`): Pixels of the side.

    Returns:
        `torch.Tensor`: -1 and 1 are the edges of the image. Positions are clipped to the centers of the first and last
        pixel; indices outside of 0 to `size` give 3, which is black.
    """
    is_inside = (positions >= 0) & (positions < size)
    centers = starts[:, None] + (positions + 0.5) * (lengths[:, None] / size)
    return torch.from_numpy(np.where(is_inside, 2 * centers.clip(0.5, size - 0.5) / size - 1, 3)).float()


def _rectangle_sides(
    area_uniforms: np.ndarray,
    ratio_uniforms: np.ndarray,
    areas: tuple[float, float],
    ratios: tuple[float, float],
    height: int,
    width: int,
) -> tuple[np.ndarray, np.ndarray]:
    """Height and width of random rectangles: their share of the area is uniform, their aspect log-uniform."""
    area = (areas[0] + area_uniforms * (areas[1] - areas[0])) * height * width
    ratio = np.exp(np.log(ratios[0]) + ratio_uniforms * np.log(ratios[1] / ratios[0]))
    return np.minimum(np.sqrt(area * ratio), height), np.minimum(np.sqrt(area / ratio), width)


# ---- Rectangles of noise or of another image ----


def _erased(images: torch.Tensor, probability: float, seed: int, draw: Callable) -> torch.Tensor:
    """Images, some of them with a rectangle of noise."""
    chosen = np.flatnonzero(draw("erase") < probability)
    uniforms = {name: draw(f"erased {name}")[chosen] for name in ("area", "ratio", "top", "left")}
    height, width = images.shape[-2:]
    sides = _rectangle_sides(uniforms["area"], uniforms["ratio"], _ERASED_AREA, _ERASED_RATIOS, height, width)
    tall, wide = (np.maximum(np.rint(side), 1).astype(np.int64) for side in sides)
    tops = (uniforms["top"] * (height - tall + 1)).astype(np.int64)
    lefts = (uniforms["left"] * (width - wide + 1)).astype(np.int64)
    # New noise for every pixel would take longer than everything else: each image gets a random part of a long noise.
    size = images.shape[1:].numel()
    starts = torch.from_numpy((draw("noise start")[chosen] * size).astype(np.int64))
    noise = _noise(seed, size).unfold(0, size, 1)[starts].view(-1, *images.shape[1:])
    noise = noise if images.dtype == torch.uint8 else noise.to(images.dtype).div_(255)
    chosen, erased = torch.from_numpy(chosen), images.clone()
    is_erased = _rectangle_mask(tops, tops + tall, lefts, lefts + wide, height, width)
    erased[chosen] = _where(is_erased, noise, images[chosen])
    return erased


@functools.lru_cache(maxsize=8)
def _noise(seed: int, size: int) -> torch.Tensor:
    """Uniform noise, uint8, twice as many bytes as an image of `size` values has."""
    return torch.from_numpy((uniform(seed, 0, np.arange(2 * size), "noise") * 256).astype(np.uint8))


def _cutmix_masks(images: torch.Tensor, share: np.ndarray, draw: Callable) -> tuple[torch.Tensor, np.ndarray]:
    """Mask of a rectangle in each image for CutMix, and the share of the image outside of it.

    Args:
        images (`torch.Tensor`): Shape (batch, channels, height, width).
        share (`np.ndarray`): Shape (batch,), wanted share outside. A rectangle that crosses an edge is clipped, and the
            share outside becomes larger.
        draw (callable): Purpose -> uniform random numbers.
    """
    height, width = images.shape[-2:]
    edges = []
    for name, size in (("cut row", height), ("cut column", width)):
        half = (size * np.sqrt(1 - share)).astype(np.int64) // 2
        center = (draw(name) * size).astype(np.int64)
        edges += [np.maximum(center - half, 0), np.minimum(center + half, size)]
    top, bottom, left, right = edges
    return _rectangle_mask(*edges, height, width), 1 - (bottom - top) * (right - left) / (height * width)


def _rectangle_mask(
    tops: np.ndarray, bottoms: np.ndarray, lefts: np.ndarray, rights: np.ndarray, height: int, width: int
) -> torch.Tensor:
    """Mask of the pixels inside each image's rectangle, shape (batch, 1, height, width)."""
    rows, columns = np.arange(height), np.arange(width)
    is_row = (rows >= tops[:, None]) & (rows < bottoms[:, None])
    is_column = (columns >= lefts[:, None]) & (columns < rights[:, None])
    return torch.from_numpy(is_row[:, None, :, None] & is_column[:, None, None, :])


def _where(mask: torch.Tensor, images: torch.Tensor, others: torch.Tensor) -> torch.Tensor:
    """`torch.where(mask, images, others)`, for bytes fifteen times faster."""
    if images.dtype != torch.uint8:
        return torch.where(mask, images, others)
    return others ^ ((images ^ others) & mask.view(torch.uint8).neg())


def _check(images: torch.Tensor, labels: torch.Tensor | None, ids: np.ndarray) -> None:
    """Raise ValueError on images, labels or example ids of another shape or type."""
    if images.dim() != 4 or not (images.dtype == torch.uint8 or images.is_floating_point()):
        raise ValueError(
            f"Images must be uint8, or float in 0 to 1, of shape (batch, channels, height, width); got {images.dtype} of "
            f"shape {tuple(images.shape)}."
        )
    if ids.shape != (len(images),) or ids.dtype.kind not in "iu":
        raise ValueError(
            f"Every image needs an example id, an integer, because its augmentation is a function of it; got {ids.dtype} "
            f"of shape {ids.shape} for {len(images)} images. Add them: `add_example_ids(dataset)`."
        )
    if labels is not None and len(labels) != len(images):
        raise ValueError(f"There must be one label for each of {len(images)} images; got {len(labels)} labels.")
