"""Small object detectors by name, built from transformers' own classes, for training from scratch."""

import math
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
import transformers
from torch import nn
from transformers import AutoModelForObjectDetection, ConvNextConfig, PreTrainedModel
from transformers.image_processing_utils import BaseImageProcessor

from ..internals.messages import shown
from .network import with_loading_info

# Name -> the names in transformers of its config, model and image processor (the processor that needs pillow only).
_KINDS = {
    "detr": ("DetrConfig", "DetrForObjectDetection", "DetrImageProcessorPil"),
    "deformable_detr": (
        "DeformableDetrConfig",
        "DeformableDetrForObjectDetection",
        "DeformableDetrImageProcessorPil",
    ),
}
_NAME = re.compile(rf"(?P<kind>{'|'.join(_KINDS)})-(?P<width>\d+)x(?P<layers>\d+)")
_GRID = (6, 8)  # rows and columns of the initial reference points of the queries
_HEAD_SIZE = 16
_MIN_LAYERS = {"detr": 1, "deformable_detr": 2}  # transformers cannot tie the heads of a single layer
_PRIOR = 0.01  # initial probability of each class: Lin et al. 2017, section 4.1
_INITIAL_BOX_SIZE = 0.18  # as a share of the image


def parse_detector_name(name: str) -> tuple[str, int, int] | None:
    """Parse a detector's name: "deformable_detr-64x2" gives `("deformable_detr", 64, 2)`.

    Args:
        name (`str`): detr or deformable_detr, the width, and the number of decoder layers.

    Returns:
        `(kind, width, layers)`, or None where it is not a detector's name.

    Raises:
        ValueError: The width does not divide into heads, or there are too few layers.
    """
    match = _NAME.fullmatch(name) if isinstance(name, str) else None
    if match is None:
        return None
    kind, width, layers = match["kind"], int(match["width"]), int(match["layers"])
    step, min_layers = 2 * _HEAD_SIZE, _MIN_LAYERS[kind]
    if width % step or width == 0 or layers < min_layers:
        raise ValueError(
            f"The width of a {kind} must be a multiple of {step}, and its decoder needs {min_layers} layers or more; got "
            f"{shown(name)}. Use '{kind}-{max(1, round(width / step)) * step}x{max(min_layers, layers)}'."
        )
    return kind, width, layers


def make_detector(name: str, *, id2label: Mapping[int, str]) -> PreTrainedModel:
    """Build a detector by its name, with random weights from torch's global generator.

    The backbone is a ConvNeXt whose feature map has the width of the detector; encoder of one layer, decoder, 48 queries,
    no dropout. Images may have any size. The queries of a deformable detector start at the points of a 6 x 8 grid.

    Args:
        name (`str`): See `parse_detector_name`.
        id2label (`dict[int, str]`): The classes.

    Returns:
        `PreTrainedModel` of transformers, in train mode; `AutoModelForObjectDetection` and pipelines load it.

    Reference: Carion et al. 2020 (detr); Zhu et al. 2021, "Deformable DETR", with the grid of Wang et al. 2022, "Anchor
    DETR", section 3.2.
    """
    kind, width, layers = parse_detector_name(name)
    config_class, model_class = (getattr(transformers, class_name) for class_name in _KINDS[kind][:2])
    kind_settings = {"num_feature_levels": 1, "with_box_refine": True} if kind == "deformable_detr" else {}
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
        # The default, 0.02, is for a width of 256 and pretraining: in a narrow detector the signal would vanish.
        init_std=width**-0.5,
        id2label=dict(id2label),
        label2id={label: index for index, label in id2label.items()},
        **kind_settings,
    )
    model = model_class(config).train()
    if kind == "deformable_detr":
        _initialize_queries(model)
    return model


def _backbone(width: int) -> ConvNextConfig:
    """Two stages, down to an eighth of the image's size.

    Not a ResNet: transformers freezes its BatchNorms (in DETR the whole backbone), which suits pretrained weights only.
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
def _initialize_queries(model: PreTrainedModel) -> None:
    """Start the queries at the points of a grid, with boxes of a typical size and a low probability of every class."""
    rows, columns = ((torch.arange(count) + 0.5) / count for count in _GRID)
    points = torch.cartesian_prod(rows, columns).flip(1)  # x first
    model.model.query_position_embeddings.weight[:, :2] = torch.logit(points)
    nn.init.eye_(model.model.reference_points.weight)  # the first two numbers of a query are its reference point
    nn.init.zeros_(model.model.reference_points.bias)
    for layer, (boxes, classes) in enumerate(zip(model.bbox_embed, model.class_embed, strict=True)):
        nn.init.zeros_(boxes.layers[-1].weight)
        nn.init.zeros_(boxes.layers[-1].bias)
        if layer == 0:  # later layers refine this box
            boxes.layers[-1].bias[2:] = math.log(_INITIAL_BOX_SIZE / (1 - _INITIAL_BOX_SIZE))
        nn.init.constant_(classes.bias, math.log(_PRIOR / (1 - _PRIOR)))


def detector_processor(name: str, image_size: tuple[int, int]) -> BaseImageProcessor:
    """Image processor of a detector by name, with transformers' post-processing to boxes.

    Args:
        name (`str`): See `parse_detector_name`.
        image_size (`(int, int)`): Height and width that images are resized to.
    """
    height, width = image_size
    processor_class = getattr(transformers, _KINDS[parse_detector_name(name)[0]][2])
    return processor_class(size={"height": height, "width": width}, do_pad=False)


class AutoDetector:
    """Loads detectors as an auto class does, or builds one by name with random weights."""

    @staticmethod
    def from_pretrained(
        name: str | Path, *, output_loading_info: bool = False, **kwargs: Any
    ) -> PreTrainedModel | tuple[PreTrainedModel, dict[str, Any]]:
        """Load a Hub id or a folder, or build a detector by name: "deformable_detr-64x2"."""
        if parse_detector_name(str(name)) is None:
            return AutoModelForObjectDetection.from_pretrained(name, output_loading_info=output_loading_info, **kwargs)
        labels = kwargs.get("id2label") or {index: f"LABEL_{index}" for index in range(kwargs.get("num_labels", 2))}
        model = make_detector(name, id2label=labels).to(kwargs.get("dtype") or torch.float32)
        return with_loading_info(model, output_loading_info)
