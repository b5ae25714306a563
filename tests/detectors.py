"""Tiny detectors of two kinds and images to look at, made from configs."""

import io

import datasets
import numpy as np
import torch
from PIL import Image
from transformers import (
    ConditionalDetrConfig,
    ConditionalDetrForObjectDetection,
    DetrConfig,
    DetrForObjectDetection,
    ResNetConfig,
    YolosConfig,
    YolosForObjectDetection,
)
from transformers.models.detr.image_processing_pil_detr import DetrImageProcessorPil

CLASSES = ("disc", "ring", "square")
KINDS = ("detr", "yolos", "conditional_detr")
SIZE = (32, 48)  # height, width


def tiny_detector(kind="detr", *, seed=0, width=16, num_layers=1, num_queries=6, names=CLASSES):
    """A detector of some thousand parameters, without dropout."""
    labels = {"id2label": dict(enumerate(names)), "label2id": {name: index for index, name in enumerate(names)}}
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        if kind == "yolos":
            config = YolosConfig(
                hidden_size=width,
                num_hidden_layers=num_layers,
                num_attention_heads=2,
                intermediate_size=2 * width,
                image_size=list(SIZE),
                patch_size=8,
                num_detection_tokens=num_queries,
                **labels,
            )
            return YolosForObjectDetection(config).eval()
        config_class, model_class = {
            "detr": (DetrConfig, DetrForObjectDetection),
            "conditional_detr": (ConditionalDetrConfig, ConditionalDetrForObjectDetection),
        }[kind]
        config = config_class(
            use_timm_backbone=False,
            backbone_config=ResNetConfig(
                embedding_size=8, hidden_sizes=[8, 16], depths=[1, 1], layer_type="basic", out_features=["stage2"]
            ),
            num_queries=num_queries,
            d_model=width,
            encoder_layers=num_layers,
            decoder_layers=num_layers,
            encoder_ffn_dim=2 * width,
            decoder_ffn_dim=2 * width,
            encoder_attention_heads=2,
            decoder_attention_heads=2,
            dropout=0.0,
            **labels,
        )
        return model_class(config).eval()


def detector_processor(size=SIZE):
    """The image processor of such a detector."""
    return DetrImageProcessorPil(size={"height": size[0], "width": size[1]}, do_pad=False)


def draw_things(num_rows=8, *, size=(64, 96), seed=0, counts=None):
    """Raw rows: colored rectangles on noise, with their boxes, as data sets of the Hub hold them."""
    draw = np.random.default_rng(seed)
    images, objects = [], []
    for row in range(num_rows):
        pixels = draw.integers(0, 60, (*size, 3), dtype=np.uint8)
        count = int(draw.integers(0, 4)) if counts is None else counts[row % len(counts)]
        boxes, categories = [], []
        for _ in range(count):
            width, height = (int(draw.integers(8, side // 2)) for side in (size[1], size[0]))
            left, top = int(draw.integers(0, size[1] - width + 1)), int(draw.integers(0, size[0] - height + 1))
            category = int(draw.integers(len(CLASSES)))
            pixels[top : top + height, left : left + width, category] = 255
            boxes.append([left, top, width, height])
            categories.append(category)
        images.append(png_bytes(pixels))
        objects.append({"bbox": boxes, "category": categories})
    return as_dataset(images, objects)


def as_dataset(images, objects):
    features = datasets.Features(
        {
            "image": datasets.Image(),
            "objects": {
                "bbox": datasets.List(datasets.List(datasets.Value("float32"), length=4)),
                "category": datasets.List(datasets.ClassLabel(names=list(CLASSES))),
            },
        }
    )
    rows = {"image": [{"bytes": image, "path": None} for image in images], "objects": objects}
    return datasets.Dataset.from_dict(rows, features=features)


def png_bytes(pixels):
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, "PNG")
    return file.getvalue()
