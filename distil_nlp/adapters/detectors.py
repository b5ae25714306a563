"""Small detectors under a name, made of transformers' own classes, for training from scratch."""

import math
import re

import torch
import transformers
from transformers import AutoModelForObjectDetection, ConvNextConfig

# Name -> the names in transformers of its config, model and image processor (the one that needs pillow only).
_KINDS = {
    "detr": ("DetrConfig", "DetrForObjectDetection", "DetrImageProcessorPil"),
    "conditional_detr": (
        "ConditionalDetrConfig",
        "ConditionalDetrForObjectDetection",
        "ConditionalDetrImageProcessorPil",
    ),
}
_SPEC = re.compile(rf"(?P<kind>{'|'.join(_KINDS)})-(?P<width>\d+)x(?P<layers>\d+)")
_NUM_QUERIES = 50
_HEAD_SIZE = 16
_PRIOR = 0.01  # probability that a query begins with for each class: Lin et al. 2017, section 4.1


def read_detector(spec):
    """Read a detector's name: "conditional_detr-64x2" gives `("conditional_detr", 64, 2)`.

    Args:
        spec (`str`): detr or conditional_detr, its width, and how many layers encoder and decoder have each.

    Returns:
        `(kind, width, layers)`, or None where it is no such name.

    Raises:
        ValueError: A width that does not divide into heads; no layer.
    """
    found = _SPEC.fullmatch(spec) if isinstance(spec, str) else None
    if found is None:
        return None
    kind, width, layers = found["kind"], int(found["width"]), int(found["layers"])
    if width % (2 * _HEAD_SIZE) or width == 0 or layers == 0:
        raise ValueError(
            f"A detector has a width that {2 * _HEAD_SIZE} divides, and 1 layer or more; got {spec!r}. Take "
            f"'{kind}-{max(1, round(width / (2 * _HEAD_SIZE))) * 2 * _HEAD_SIZE}x{max(1, layers)}'."
        )
    return kind, width, layers


def make_detector(spec, *, id2label):
    """A detector by its name, with random weights from torch's global generator.

    A ConvNeXt of three stages, as wide as the detector at a sixteenth of the image's size, where its maps are read; encoder
    and decoder of that width; 50 queries; no dropout. Images may have any size.

    Args:
        spec (`str`): See `read_detector`.
        id2label (`dict[int, str]`): The classes.

    Returns:
        `PreTrainedModel` of transformers, in train mode, so that `AutoModelForObjectDetection` and pipelines load it.

    Reference: Carion et al. 2020 (detr); Meng et al. 2021, "Conditional DETR for Fast Training Convergence".
    """
    kind, width, layers = read_detector(spec)
    config_class, model_class = (getattr(transformers, name) for name in _KINDS[kind][:2])
    config = config_class(
        use_timm_backbone=False,
        # Not a ResNet: transformers freezes all of it here, and its BatchNorms too, which must have been trained before.
        backbone_config=ConvNextConfig(
            hidden_sizes=[width // 4, width // 2, width],
            depths=[1, 1, layers],
            num_stages=3,
            layer_scale_init_value=1.0,
            initializer_range=0.1,
            out_features=["stage3"],
        ),
        num_queries=_NUM_QUERIES,
        d_model=width,
        encoder_layers=layers,
        decoder_layers=layers,
        encoder_ffn_dim=2 * width,
        decoder_ffn_dim=2 * width,
        encoder_attention_heads=width // _HEAD_SIZE,
        decoder_attention_heads=width // _HEAD_SIZE,
        dropout=0.0,
        init_std=width**-0.5,
        id2label=dict(id2label),
        label2id={name: index for index, name in id2label.items()},
    )
    model = model_class(config).train()
    if model.class_labels_classifier.out_features == len(id2label):  # a yes or no for each class, nearly always no
        torch.nn.init.constant_(model.class_labels_classifier.bias, math.log(_PRIOR / (1 - _PRIOR)))
    return model


def detector_processor(spec, image_size):
    """The image processor of such a detector, with transformers' way from its answers to boxes.

    Args:
        spec (`str`): See `read_detector`.
        image_size (`(int, int)`): Height and width that images are brought to.
    """
    height, width = image_size
    processor_class = getattr(transformers, _KINDS[read_detector(spec)[0]][2])
    return processor_class(size={"height": height, "width": width}, do_pad=False)


class Detectors:
    """Loads detectors as an auto class does, and makes those of a name, with random weights."""

    @staticmethod
    def from_pretrained(name, *, output_loading_info=False, **kwargs):
        """A Hub id, a folder, or a name: "conditional_detr-64x2"."""
        if read_detector(str(name)) is None:
            return AutoModelForObjectDetection.from_pretrained(name, output_loading_info=output_loading_info, **kwargs)
        labels = kwargs.get("id2label") or {index: f"LABEL_{index}" for index in range(kwargs.get("num_labels", 2))}
        model = make_detector(name, id2label=labels).to(kwargs.get("dtype") or torch.float32)
        fresh = {"missing_keys": {key for key, _ in model.named_parameters()}, "mismatched_keys": set()}
        return (model, fresh) if output_loading_info else model
