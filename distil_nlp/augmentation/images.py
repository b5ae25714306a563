"""Images altered for training: operations on whole batches, each a pure function of seed, epoch and example."""

import functools
import numbers
from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as functional

from .random import beta_quantile, uniform

MISSING = -100
PADDINGS = ("zero", "reflect")
_CROP_RATIOS = (3 / 4, 4 / 3)  # Szegedy et al. 2015, "Going Deeper with Convolutions", section 6
_ERASED_AREA, _ERASED_RATIOS = (0.02, 0.4), (0.3, 1 / 0.3)  # Zhong et al. 2020, section 4.2


@dataclass(frozen=True)
class Augmentation:
    """Images altered at random for training, whole batches at once.

    In this order: random resized crop, pad and crop, flip, erasing, mixup or CutMix. Every random choice is a pure
    function of seed, epoch and example id: a resumed run, more processes or loader workers, batches cut otherwise give
    the same views bit for bit. Mixup and CutMix draw the share of each example in this way too, but take the partner
    from the batch (its neighbor, the first for the last), so there another cut gives other partners.

    Args:
        flip (`float`): Probability of a horizontal flip.
        crop_padding (`int`): Pixels added on every side before a crop of the old size; 0 leaves the crop out.
        padding (`str`): What is added: "zero" (black, as in the paper) or "reflect" (the image mirrored).
        min_scale (`float`): Of a crop with scale in [min_scale, 1] of the area and aspect 3/4 to 4/3 (cut down to the
            image where it would be larger), enlarged to the old size, bilinearly. 1 leaves it out.
        erasing (`float`): Probability that a rectangle (2 to 40 % of the area, aspect 0.3 to 1/0.3) becomes noise.
        mixup (`float`): alpha of the Beta(alpha, alpha) that says how much of itself an example keeps; 0 leaves it out.
        cutmix (`float`): The same of a rectangle that is cut from the partner; the share is corrected to the true area.
            With both, each example draws one of the two.
        num_classes (`int`, *optional*): Needed for mixup and CutMix.
        seed (`int`): Same seed, same views.

    Raises:
        ValueError: A setting out of its range; mixup or CutMix without `num_classes`.

    References: He et al. 2016, "Deep Residual Learning", section 4.2 (crop, flip); Szegedy et al. 2015 (resized crop);
    Zhong et al. 2020, "Random Erasing Data Augmentation"; Zhang et al. 2018, "mixup: Beyond Empirical Risk
    Minimization"; Yun et al. 2019, "CutMix". One share for each example, not one a batch as in their code.
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
                raise ValueError(f"{name} is a number; got {getattr(self, name)!r}.")
        for name in ("flip", "erasing"):
            if not 0 <= getattr(self, name) <= 1:
                raise ValueError(f"{name} is a probability, 0 to 1; got {getattr(self, name)!r}.")
        if not 0 < self.min_scale <= 1:
            raise ValueError(f"min_scale is a share of the image's area, above 0 to 1; got {self.min_scale!r}.")
        if not (self.crop_padding >= 0 and self.crop_padding % 1 == 0):
            raise ValueError(f"crop_padding is a number of pixels, 0 or more; got {self.crop_padding!r}.")
        object.__setattr__(self, "crop_padding", int(self.crop_padding))
        if self.padding not in PADDINGS:
            raise ValueError(f"padding must be one of {', '.join(PADDINGS)}; got {self.padding!r}.")
        for name in ("mixup", "cutmix"):
            if not 0 <= getattr(self, name) < float("inf"):
                raise ValueError(
                    f"{name} is the alpha of a Beta distribution, 0 or more; got {getattr(self, name)!r}."
                )
        if self.mixes and not (self.num_classes or 0) >= 1:
            raise ValueError(
                f"With mixup={self.mixup} and cutmix={self.cutmix} a label becomes a row with a share for each class, and "
                f"num_classes={self.num_classes!r} does not say how many there are. Give it."
            )

    @property
    def mixes(self):
        """Whether labels become rows of shares."""
        return self.mixup > 0 or self.cutmix > 0

    def __call__(self, images, labels, example_ids, epoch):
        """The views of a batch, made on the CPU: it is the work of a data loader.

        Args:
            images (`torch.Tensor`): Shape (batch, channels, height, width), uint8, or float in 0 to 1.
            labels (`torch.LongTensor`): Shape (batch,), -100 where missing; or None.
            example_ids (`torch.LongTensor`): Shape (batch,).
            epoch (`int`): From 0.

        Returns:
            `(images, labels)`: Images of the same shape, and of the same type except after mixup, which makes uint8
            float32 in 0 to 1. Labels as they came, but with mixup or CutMix float32 of shape (batch, classes), shares
            that sum to 1; a row of -100 where a label that has a share is missing.

        Raises:
            ValueError: Shapes or types that are not these; a label that is no class.
        """
        ids = np.asarray(example_ids)
        _check(images, labels, ids)
        draw = functools.partial(uniform, self.seed, int(epoch), ids)
        if self.min_scale < 1 or self.crop_padding or self.flip:
            images = self._moved(images, self.flipped(ids, epoch), draw)
        if self.erasing:
            images = _erased(images, self.erasing, self.seed, draw)
        return self._mixed(images, labels, draw) if self.mixes else (images, labels)

    def flipped(self, example_ids, epoch):
        """Which examples an epoch shows mirrored: bool, shape (batch,)."""
        return uniform(self.seed, int(epoch), np.asarray(example_ids), "flip") < self.flip

    def _moved(self, images, is_flipped, draw):
        """Resized crop, crop and flip in one pass: where a pixel comes from is found out backwards, from the last."""
        height, width = images.shape[-2:]
        rows, columns = np.arange(height)[None], np.arange(width)[None]
        columns = np.where(is_flipped[:, None], columns[:, ::-1], columns)
        if self.crop_padding:
            rows, columns = (self._shifted(places, draw(side)) for places, side in ((rows, "top"), (columns, "left")))
        if self.min_scale < 1:
            return _resized(images, rows, columns, self.min_scale, draw)
        return _taken(images, rows, columns)

    def _shifted(self, places, draws):
        """Places along one side after a crop: up to `crop_padding` outside, if not mirrored."""
        pixels, size = self.crop_padding, places.shape[1]
        places = places + (draws * (2 * pixels + 1)).astype(np.int64)[:, None] - pixels
        if self.padding == "zero":
            return places
        if pixels >= size:
            raise ValueError(
                f"The {size} pixels of a side, mirrored at their ends, give at most {size - 1} more on each; got "
                f"crop_padding={pixels}. Take less, or padding='zero'."
            )
        return size - 1 - np.abs(size - 1 - np.abs(places))

    def _mixed(self, images, labels, draw):
        is_cut = draw("mix or cut") < (0.5 if self.mixup and self.cutmix else float(self.cutmix > 0))
        partners, share = images.roll(-1, 0), np.ones(len(images))
        if self.cutmix:
            wanted = np.where(is_cut, beta_quantile(draw("cut share"), self.cutmix), 1)  # of 1, nothing is cut
            inside, share = _cuts(images, wanted, draw)
            images = _chosen(inside, partners, images)
        if self.mixup:
            share = np.where(is_cut, share, beta_quantile(draw("mixed share"), self.mixup))
            given = _of_examples(np.where(is_cut, 0, 1 - share)).float()
            if images.dtype == torch.uint8:
                images = images.float().lerp_(partners.float(), given).div_(255)
            else:
                images = images.lerp(partners, given.to(images.dtype))
        return images, None if labels is None else self._rows(labels, torch.from_numpy(share).float())

    def _rows(self, labels, share):
        """Labels and their neighbors' as rows of shares of the classes."""
        if labels.is_floating_point() or labels.dim() != 1 or (labels >= self.num_classes).any():
            shown = f"up to {labels.max().item():g}" if labels.numel() else "none"
            raise ValueError(
                f"Labels to be mixed are whole numbers below num_classes={self.num_classes}, one for each image; got "
                f"{labels.dtype} of shape {tuple(labels.shape)}, {shown}. Set num_classes to the data's, or mixup and "
                f"cutmix to 0."
            )
        partners = labels.roll(-1, 0)
        rows = torch.zeros(len(labels), self.num_classes)
        rows.scatter_add_(1, labels.clamp(min=0)[:, None], share[:, None])
        rows.scatter_add_(1, partners.clamp(min=0)[:, None], 1 - share[:, None])
        missing = ((labels < 0) & (share > 0)) | ((partners < 0) & (share < 1))
        return rows.masked_fill_(missing[:, None], MISSING)


# ---- Pixels from elsewhere in the image ----


def _taken(images, rows, columns):
    """Each image's pixels from these rows and columns of it, whole numbers; black from outside.

    Args:
        images (`torch.Tensor`): Shape (batch, channels, height, width).
        rows, columns (`np.ndarray`): Shape (batch or 1, height), (batch or 1, width).
    """
    batch, channels, height, width = images.shape
    row, column = (torch.from_numpy(one.clip(0, size - 1)) for one, size in ((rows, height), (columns, width)))
    places = (row * width).unsqueeze(2) + column.unsqueeze(1)
    places = places.view(-1, 1, height * width).expand(batch, channels, -1)
    found = images.flatten(2).gather(2, places).view(images.shape)
    in_row, in_column = (
        torch.from_numpy((one >= 0) & (one < size)).to(images.dtype)
        for one, size in ((rows, height), (columns, width))
    )
    return found.mul_(in_row[:, None, :, None]).mul_(in_column[:, None, None, :])


def _resized(images, rows, columns, min_scale, draw):
    """The same of a part of each image that was enlarged to its size, bilinearly."""
    height, width = images.shape[-2:]
    tall, wide = _sides(draw("scale"), draw("ratio"), (min_scale, 1.0), _CROP_RATIOS, height, width)
    grid = torch.empty(len(images), 2, height, width)  # not (..., 2): each half is written in one piece
    grid[:, 0] = _places_in(columns, draw("crop left") * (width - wide), wide, width).unsqueeze(1)
    grid[:, 1] = _places_in(rows, draw("crop top") * (height - tall), tall, height).unsqueeze(2)
    found = functional.grid_sample(images.float(), grid.permute(0, 2, 3, 1), mode="bilinear", align_corners=False)
    return found.round_().byte() if images.dtype == torch.uint8 else found.to(images.dtype)


def _places_in(places, starts, lengths, size):
    """Where pixels lie in the image if `size` of them share out each length from each start.

    Returns:
        `torch.Tensor`: -1 and 1 are the edges of the image; nothing is between an edge and the middle of the pixel beside
        it, and what was outside already is far from it.
    """
    is_inside = (places >= 0) & (places < size)
    centers = starts[:, None] + (places + 0.5) * (lengths[:, None] / size)
    return torch.from_numpy(np.where(is_inside, 2 * centers.clip(0.5, size - 0.5) / size - 1, 3)).float()


def _sides(of_area, of_ratio, areas, ratios, height, width):
    """Height and width of rectangles from two draws: a share of the area, uniform, and their ratio, log-uniform."""
    area = (areas[0] + of_area * (areas[1] - areas[0])) * height * width
    ratio = np.exp(np.log(ratios[0]) + of_ratio * np.log(ratios[1] / ratios[0]))
    return np.minimum(np.sqrt(area * ratio), height), np.minimum(np.sqrt(area / ratio), width)


# ---- Pixels of something else ----


def _erased(images, probability, seed, draw):
    """A rectangle of noise in some of the images."""
    chosen = np.flatnonzero(draw("erase") < probability)
    drawn = {name: draw(f"erased {name}")[chosen] for name in ("area", "ratio", "top", "left")}
    height, width = images.shape[-2:]
    sides = _sides(drawn["area"], drawn["ratio"], _ERASED_AREA, _ERASED_RATIOS, height, width)
    tall, wide = (np.maximum(np.rint(side), 1).astype(np.int64) for side in sides)
    tops = (drawn["top"] * (height - tall + 1)).astype(np.int64)
    lefts = (drawn["left"] * (width - wide + 1)).astype(np.int64)
    # Drawing every pixel anew would take longer than everything else: each image takes its own part of a long noise.
    size = images.shape[1:].numel()
    places = torch.from_numpy((draw("noise place")[chosen] * size).astype(np.int64))
    noise = _noise(seed, size).unfold(0, size, 1)[places].view(-1, *images.shape[1:])
    noise = noise if images.dtype == torch.uint8 else noise.to(images.dtype).div_(255)
    chosen, found = torch.from_numpy(chosen), images.clone()
    found[chosen] = _chosen(_inside(tops, tops + tall, lefts, lefts + wide, height, width), noise, images[chosen])
    return found


@functools.lru_cache(maxsize=8)
def _noise(seed, size):
    """Bytes of noise: twice as many as an image of this size has."""
    return torch.from_numpy((uniform(seed, 0, np.arange(2 * size), "noise") * 256).astype(np.uint8))


def _cuts(images, share, draw):
    """Rectangles for CutMix: their mask, and the share of each image that is outside.

    Args:
        share (`np.ndarray`): That should be outside; at the edges less is cut off.
    """
    height, width = images.shape[-2:]
    edges = []
    for name, size in (("cut row", height), ("cut column", width)):
        half = (size * np.sqrt(1 - share)).astype(np.int64) // 2
        center = (draw(name) * size).astype(np.int64)
        edges += [np.maximum(center - half, 0), np.minimum(center + half, size)]
    top, bottom, left, right = edges
    return _inside(*edges, height, width), 1 - (bottom - top) * (right - left) / (height * width)


def _inside(tops, bottoms, lefts, rights, height, width):
    """Mask of shape (batch, 1, height, width): the pixels inside each image's rectangle."""
    rows, columns = np.arange(height), np.arange(width)
    is_row = (rows >= tops[:, None]) & (rows < bottoms[:, None])
    is_column = (columns >= lefts[:, None]) & (columns < rights[:, None])
    return torch.from_numpy(is_row[:, None, :, None] & is_column[:, None, None, :])


# ---- Kinds of pixels ----


def _of_examples(values):
    """One value for each example (`np.ndarray`) as a tensor that meets images: shape (batch, 1, 1, 1)."""
    return torch.from_numpy(values)[:, None, None, None]


def _chosen(mask, ours, theirs):
    """`torch.where`, which takes bytes one by one and fifteen times as long."""
    if ours.dtype != torch.uint8:
        return torch.where(mask, ours, theirs)
    return theirs ^ ((ours ^ theirs) & mask.view(torch.uint8).neg())


def _check(images, labels, ids):
    if images.dim() != 4 or not (images.dtype == torch.uint8 or images.is_floating_point()):
        raise ValueError(
            f"Images come as uint8, or float in 0 to 1, of shape (batch, channels, height, width); got {images.dtype} of "
            f"shape {tuple(images.shape)}."
        )
    if ids.shape != (len(images),) or ids.dtype.kind not in "iu":
        raise ValueError(
            f"Every image needs an example id, a whole number, because what is done to it is a function of that; got "
            f"{ids.dtype} of shape {ids.shape} for {len(images)} images."
        )
    if labels is not None and len(labels) != len(images):
        raise ValueError(f"There should be a label for each of {len(images)} images; got {len(labels)}.")
