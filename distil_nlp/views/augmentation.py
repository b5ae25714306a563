"""Images altered for training: operations on whole batches, each a pure function of seed, epoch and example."""

import functools
from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as functional

from .draws import beta_quantile, uniform

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
    from the batch (its neighbour, the first for the last), so there another cut gives other partners.

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
        for name in ("flip", "erasing"):
            if not 0 <= getattr(self, name) <= 1:
                raise ValueError(f"{name} is a probability, 0 to 1; got {getattr(self, name)!r}.")
        if not 0 < self.min_scale <= 1:
            raise ValueError(f"min_scale is a share of the image's area, above 0 to 1; got {self.min_scale!r}.")
        if self.crop_padding != int(self.crop_padding) or self.crop_padding < 0:
            raise ValueError(f"crop_padding is a number of pixels, 0 or more; got {self.crop_padding!r}.")
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
        if self.min_scale < 1:
            images = _resized_crops(images, self.min_scale, draw)
        if self.crop_padding:
            images = _crops(images, self.crop_padding, self.padding, draw)
        if self.flip:
            images = _chosen(_of_examples(self.flipped(ids, epoch)), images.flip(-1), images)
        if self.erasing:
            images = _erased(images, self.erasing, self.seed, draw)
        return self._mixed(images, labels, draw) if self.mixes else (images, labels)

    def flipped(self, example_ids, epoch):
        """Which examples an epoch shows mirrored: bool, shape (batch,)."""
        return uniform(self.seed, int(epoch), np.asarray(example_ids), "flip") < self.flip

    def _mixed(self, images, labels, draw):
        is_cut = draw("mix or cut") < (0.5 if self.mixup and self.cutmix else float(self.cutmix > 0))
        partners, share = images.roll(-1, 0), np.ones(len(images))
        if self.cutmix:
            inside, cut_share = _cuts(images, beta_quantile(draw("cut share"), self.cutmix), draw)
            images = _chosen(inside & _of_examples(is_cut), partners, images)
            share = np.where(is_cut, cut_share, share)
        if self.mixup:
            share = np.where(is_cut, share, beta_quantile(draw("mixed share"), self.mixup))
            images = _as_float(images)
            given = _of_examples(np.where(is_cut, 0, 1 - share)).to(images.dtype)
            images = images + _as_float(partners).sub_(images).mul_(given)
        return images, None if labels is None else self._rows(labels, torch.from_numpy(share).float())

    def _rows(self, labels, share):
        """Labels and their neighbours' as rows of shares of the classes."""
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


def _crops(images, pixels, padding, draw):
    """The image, padded on every side, seen through a window of its own size somewhere in it."""
    places = 2 * pixels + 1
    tops, lefts = (torch.from_numpy((draw(side) * places).astype(np.int64)) for side in ("top", "left"))
    return _windows(_padded(images, pixels, padding), tops, lefts, *images.shape[-2:])


def _windows(images, tops, lefts, height, width):
    """Of each image the part of this height and width that begins at its own top and left."""
    every = images.unfold(2, height, 1).unfold(3, width, 1)  # a view; nothing is copied but the windows chosen
    return every[torch.arange(len(images)), :, tops, lefts]


def _padded(images, pixels, padding):
    if padding == "zero":
        return functional.pad(images, [pixels] * 4)
    if pixels >= min(images.shape[-2:]):
        raise ValueError(
            f"An image of {tuple(images.shape[-2:])} pixels mirrored at its edges gives fewer than its size on a side; got "
            f"crop_padding={pixels}. Take less, or padding='zero'."
        )
    # Torch's own reflection is not made for bytes.
    for dim in (-1, -2):
        size = images.shape[dim]
        before, after = (images.narrow(dim, start, pixels).flip(dim) for start in (1, size - 1 - pixels))
        images = torch.cat([before, images, after], dim)
    return images


def _resized_crops(images, min_scale, draw):
    """A part of the image, enlarged to its size."""
    height, width = images.shape[-2:]
    tall, wide = _sides(draw("scale"), draw("ratio"), (min_scale, 1.0), _CROP_RATIOS, height, width)
    rows = _normalised_places(draw("crop top") * (height - tall), tall, height)
    columns = _normalised_places(draw("crop left") * (width - wide), wide, width)
    shape = (len(images), height, width)
    grid = torch.stack([columns[:, None, :].expand(shape), rows[:, :, None].expand(shape)], dim=-1)
    found = functional.grid_sample(images.float(), grid, mode="bilinear", padding_mode="border", align_corners=False)
    return found.round_().clamp_(0, 255).byte() if images.dtype == torch.uint8 else found.to(images.dtype)


def _normalised_places(starts, lengths, size):
    """Where `size` pixels lie that share out each length from each start; -1 and 1 are the edges of the image."""
    centres = starts[:, None] + (np.arange(size) + 0.5) * (lengths[:, None] / size)
    return torch.from_numpy(2 * centres / size - 1).float()


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
        centre = (draw(name) * size).astype(np.int64)
        edges += [np.maximum(centre - half, 0), np.minimum(centre + half, size)]
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


def _as_float(images):
    return images.float().div_(255) if images.dtype == torch.uint8 else images


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
