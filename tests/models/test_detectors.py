"""Small detectors by name: saved and loaded as those of transformers, and trainable from random weights."""

import pytest
import torch
from PIL import Image
from transformers import AutoImageProcessor, AutoModelForObjectDetection, pipeline

from distil_nlp.models.detectors import AutoDetector, detector_processor, make_detector, parse_detector_name

NAMES = {0: "disc", 1: "ring"}
SPECS = ["detr-32x1", "deformable_detr-32x2"]
specs = pytest.mark.parametrize("spec", SPECS)


def made(spec, seed=0):
    torch.manual_seed(seed)
    return make_detector(spec, id2label=NAMES)


@specs
def test_a_detector_is_loaded_as_it_was_saved_and_works_in_a_pipeline(spec, tmp_path):
    model, processor = made(spec).eval(), detector_processor(spec, (48, 64))
    model.save_pretrained(tmp_path)
    processor.save_pretrained(tmp_path)
    pixels = torch.randn(1, 3, 48, 64)
    again = AutoModelForObjectDetection.from_pretrained(tmp_path).eval()
    with torch.no_grad():
        ours, theirs = model(pixels), again(pixels)
    assert torch.equal(ours.logits, theirs.logits) and torch.equal(ours.pred_boxes, theirs.pred_boxes)
    assert AutoImageProcessor.from_pretrained(tmp_path).size == {"height": 48, "width": 64}
    found = pipeline("object-detection", str(tmp_path))(Image.new("RGB", (640, 480)), threshold=0.0)
    assert {one["label"] for one in found} <= set(NAMES.values())


@specs
def test_every_weight_of_a_detector_is_trained(spec):
    model = made(spec)
    assert all(parameter.requires_grad for parameter in model.parameters())
    # BatchNorms would be frozen by transformers before they have seen an image.
    assert not [module for module in model.modules() if "BatchNorm" in type(module).__name__]


@specs
def test_the_outputs_of_a_new_detector_depend_on_the_image(spec):
    model = made(spec).eval()
    with torch.no_grad():
        one, other = (model(torch.randn(1, 3, 48, 64, generator=torch.manual_seed(seed))).logits for seed in (1, 2))
    assert (one - other).abs().mean() > 0.01


def test_queries_begin_on_a_grid_over_the_image():
    with torch.no_grad():
        boxes = made("deformable_detr-32x2").eval()(torch.zeros(1, 3, 48, 64)).pred_boxes[0]
    centers = {tuple(place) for place in (boxes[:, :2] * torch.tensor([16, 12])).round().int().tolist()}
    assert centers == {(x, y) for x in range(1, 16, 2) for y in range(1, 12, 2)}


def test_a_name_gives_random_weights_listed_as_missing_and_a_folder_is_loaded(tmp_path):
    model, info = AutoDetector.from_pretrained("detr-32x1", output_loading_info=True, id2label=NAMES)
    assert info["missing_keys"] == {name for name, _ in model.named_parameters()}
    model.save_pretrained(tmp_path)
    _, info = AutoDetector.from_pretrained(tmp_path, output_loading_info=True)
    assert not info["missing_keys"]


@pytest.mark.parametrize("name", ["resnet20", "detr", "4x256", "facebook/detr-resnet-50", None])
def test_other_names_are_not_parsed_as_detectors(name):
    assert parse_detector_name(name) is None


@pytest.mark.parametrize(
    ("name", "instead"), [("detr-40x1", "detr-32x1"), ("deformable_detr-64x1", "deformable_detr-64x2")]
)
def test_an_impossible_size_is_refused_with_the_nearest_possible_size(name, instead):
    with pytest.raises(ValueError, match=instead):
        parse_detector_name(name)
