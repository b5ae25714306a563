"""Small detectors under a name, made of transformers' own classes, for training from scratch."""

import math
import re

import torch
import transformers
from torch import nn
from transformers import AutoModelForObjectDetection, ConvNextConfig

# Name -> the names in transformers of its config, model and image processor (the one that needs pillow only).
_KINDS = {
    "detr": ("DetrConfig", "DetrForObjectDetection", "DetrImageProcessorPil"),
    "deformable_detr": (
        "DeformableDetrConfig",
        "DeformableDetrForObjectDetection",
        "DeformableDetrImageProcessorPil",
    ),
}
_SPEC = re.compile(rf"(?P<kind>{'|'.join(_KINDS)})-(?P<width>\d+)x(?P<layers>\d+)")
_GRID = (6, 8)  # rows and columns of places at which queries begin to look
_HEAD_SIZE = 16
_FEWEST_LAYERS = {"detr": 1, "deformable_detr": 2}  # transformers cannot tie the heads of a single one
_PRIOR = 0.01  # probability that a query begins with for each class: Lin et al. 2017, section 4.1
_USUAL_SIZE = 0.18  # of a box to begin with, in parts of the image


def parse_detector_name(spec):
    """Read a detector's name: "deformable_detr-64x2" gives `("deformable_detr", 64, 2)`.

    Args:
        spec (`str`): detr or deformable_detr, its width, and how many layers its decoder has.

    Returns:
        `(kind, width, layers)`, or None where it is no such name.

    Raises:
        ValueError: A width that does not divide into heads; too few layers.
    """
    found = _SPEC.fullmatch(spec) if isinstance(spec, str) else None
    if found is None:
        return None
    kind, width, layers = found["kind"], int(found["width"]), int(found["layers"])
    step, fewest = 2 * _HEAD_SIZE, _FEWEST_LAYERS[kind]
    if width % step or width == 0 or layers < fewest:
        raise ValueError(
            f"A {kind} has a width that {step} divides, and a decoder of {fewest} layers or more; got {spec!r}. Take "
            f"'{kind}-{max(1, round(width / step)) * step}x{max(fewest, layers)}'."
        )
    return kind, width, layers


def make_detector(spec, *, id2label):
    """A detector by its name, with random weights from torch's global generator.

    A ConvNeXt as wide as the detector where its maps are read, an encoder of one layer, a decoder, 48 queries, no dropout.
    Images may have any size. Of a deformable one, queries begin at places on a grid of 6 x 8, each looking around its own.

    Args:
        spec (`str`): See `parse_detector_name`.
        id2label (`dict[int, str]`): The classes.

    Returns:
        `PreTrainedModel` of transformers, in train mode, so that `AutoModelForObjectDetection` and pipelines load it.

    Reference: Carion et al. 2020 (detr); Zhu et al. 2021, "Deformable DETR", with the grid of Wang et al. 2022, "Anchor
    DETR", section 3.2.
    """
    kind, width, layers = parse_detector_name(spec)
    config_class, model_class = (getattr(transformers, name) for name in _KINDS[kind][:2])
    of_kind = {"num_feature_levels": 1, "with_box_refine": True} if kind == "deformable_detr" else {}
    config = config_class(
        use_timm_backbone=False,
        backbone_config=_backbone(width),
        num_queries=_GRID[0] * _GRID[1],
        d_model=width,
        encoder_layers=1,
        decoder_layers=layers,
        encoder_ffn_dim=2 * width,
        decoder_ffn_dim=2 * width,
        encoder_attention_heads=width // _HEAD_SIZE,
        decoder_attention_heads=width // _HEAD_SIZE,
        dropout=0.0,
        # The default, 0.02, is of pretraining at a width of 256: a narrow one would hear nothing.
        init_std=width**-0.5,
        id2label=dict(id2label),
        label2id={name: index for index, name in id2label.items()},
        **of_kind,
    )
    model = model_class(config).train()
    if kind == "deformable_detr":
        _begin_on_a_grid(model)
    return model


def _backbone(width):
    """Two stages, to an eighth of the image's size.

    Not a ResNet: transformers freezes its BatchNorms, in DETR all of it, for weights that were trained before.
    """
    return ConvNextConfig(
        hidden_sizes=[width // 2, width],
        depths=[1, 1],
        num_stages=2,
        layer_scale_init_value=1.0,
        initializer_range=0.1,
        out_features=["stage2"],
    )


@torch.no_grad()
def _begin_on_a_grid(model):
    """Queries start at places of a grid, with boxes of a usual size, and nearly sure that nothing is there."""
    rows, columns = ((torch.arange(count) + 0.5) / count for count in _GRID)
    places = torch.cartesian_prod(rows, columns).flip(1)  # x first
    model.model.query_position_embeddings.weight[:, :2] = torch.logit(places)
    nn.init.eye_(model.model.reference_points.weight)  # the first two numbers of a query are its place
    nn.init.zeros_(model.model.reference_points.bias)
    for layer, (boxes, classes) in enumerate(zip(model.bbox_embed, model.class_embed, strict=True)):
        nn.init.zeros_(boxes.layers[-1].weight)
        nn.init.zeros_(boxes.layers[-1].bias)
        if layer == 0:  # the next ones refine it
            boxes.layers[-1].bias[2:] = math.log(_USUAL_SIZE / (1 - _USUAL_SIZE))
        nn.init.constant_(classes.bias, math.log(_PRIOR / (1 - _PRIOR)))


def detector_processor(spec, image_size):
    """The image processor of such a detector, with transformers' way from its answers to boxes.

    Args:
        spec (`str`): See `parse_detector_name`.
        image_size (`(int, int)`): Height and width that images are brought to.
    """
    height, width = image_size
    processor_class = getattr(transformers, _KINDS[parse_detector_name(spec)[0]][2])
    return processor_class(size={"height": height, "width": width}, do_pad=False)


class AutoDetector:
    """Loads detectors as an auto class does, and makes those of a name, with random weights."""

    @staticmethod
    def from_pretrained(name, *, output_loading_info=False, **kwargs):
        """A Hub id, a folder, or a name: "deformable_detr-64x2"."""
        if parse_detector_name(str(name)) is None:
            return AutoModelForObjectDetection.from_pretrained(name, output_loading_info=output_loading_info, **kwargs)
        labels = kwargs.get("id2label") or {index: f"LABEL_{index}" for index in range(kwargs.get("num_labels", 2))}
        model = make_detector(name, id2label=labels).to(kwargs.get("dtype") or torch.float32)
        fresh = {"missing_keys": {key for key, _ in model.named_parameters()}, "mismatched_keys": set()}
        return (model, fresh) if output_loading_info else model
