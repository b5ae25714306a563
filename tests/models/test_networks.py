"""Plain networks by name: parsed, built, saved, loaded, run in a pipeline."""

import json

import numpy as np
import pytest
import torch
from PIL import Image
from torch import nn
from transformers import AutoConfig, AutoImageProcessor, AutoModelForImageClassification, pipeline
from transformers.models.vit.image_processing_pil_vit import ViTImageProcessorPil

from distil_nlp.data.images import preprocessed_pixels
from distil_nlp.models import (
    NetworkForImageClassification,
    NetworkImageProcessor,
    image_processor_for,
    load_image_processor,
    parse_network_name,
    register_network,
    resized_processor,
)
from distil_nlp.models.networks.mobilenet import Convolution


@register_network
class Dots(nn.Module):
    """One convolution, and a non-persistent buffer that the logits depend on."""

    def __init__(self, channels=3, num_labels=2, num_channels=3):
        super().__init__()
        self.conv = nn.Conv2d(num_channels, channels, 3)
        self.register_buffer("scale", torch.full((channels, 1, 1), 0.25), persistent=False)
        self.linear = nn.Linear(channels, num_labels)
        nn.init.constant_(self.linear.bias, 7.0)

    def forward(self, pixel_values):
        return self.linear((self.conv(pixel_values) * self.scale).mean(dim=(2, 3)))


def small(**settings):
    torch.manual_seed(0)
    return NetworkForImageClassification.from_network(Dots, **{"image_size": 8, "num_labels": 2, **settings}).eval()


def picture(seed=0, size=(8, 8), mode="RGB"):
    pixels = np.random.default_rng(seed).integers(0, 256, (*size, 3), dtype=np.uint8)
    return Image.fromarray(pixels).convert(mode)


@pytest.mark.parametrize(
    ("spec", "found"),
    [
        ("resnet20", ("resnet", {"depth": 20})),
        ("resnet8x4", ("resnet", {"depth": 8, "width": 4.0})),
        ("mobilenetv2", ("mobilenetv2", {})),
        ("mobilenetv2x0.5", ("mobilenetv2", {"width": 0.5})),
        ("cnn1000", ("cnn", {"hidden_size": 1000})),
        ("dots", ("dots", {})),
        ("dots3", None),  # it registered no option for a number
        ("4x256", None),
        ("google/resnet20", None),
        ("./resnet20", None),
        (None, None),
    ],
)
def test_a_network_name_is_parsed_into_network_and_size(spec, found):
    assert parse_network_name(spec) == found


def test_networks_of_the_papers_have_the_papers_numbers_of_parameters():
    def count(spec):
        model = NetworkForImageClassification.from_network(spec, image_size=32, num_labels=10)
        return sum(parameter.numel() for parameter in model.parameters())

    # He et al. 2016, table 6: 0.27M, 0.46M, 0.66M, 0.85M.
    millions = {"resnet20": 0.27, "resnet32": 0.46, "resnet44": 0.66, "resnet56": 0.85}
    assert {spec: round(count(spec) / 1e6, 2) for spec in millions} == millions


def test_a_depthwise_convolution_with_a_stride_is_float32_under_autocast_on_a_cpu():
    torch.manual_seed(0)
    convolution, images = Convolution(8, 8, 3, stride=2, padding=1, groups=8, bias=False), torch.randn(2, 8, 6, 6)
    with torch.autocast("cpu", torch.bfloat16):
        output = convolution(images.bfloat16())
    assert output.dtype == torch.bfloat16
    expected = nn.functional.conv2d(images.bfloat16().float(), convolution.weight, stride=2, padding=1, groups=8)
    assert torch.equal(output, expected.bfloat16())
    output.float().sum().backward()
    assert convolution.weight.grad.dtype == torch.float32


def test_a_mobilenet_halves_small_images_three_times():
    network = NetworkForImageClassification.from_network("mobilenetv2x0.25", image_size=32, num_labels=10).network
    sizes = []
    network.head.register_forward_hook(lambda module, inputs, output: sizes.append(tuple(output.shape[2:])))
    network(torch.zeros(2, 3, 32, 32))
    assert sizes == [(4, 4)]


def test_a_saved_network_has_the_same_logits_after_loading_even_from_non_persistent_buffers(tmp_path):
    model = small()
    model.save_pretrained(tmp_path)
    loaded = AutoModelForImageClassification.from_pretrained(tmp_path)
    pixels = torch.randn(4, 3, 8, 8)
    assert type(loaded) is NetworkForImageClassification and not loaded.training
    assert torch.equal(loaded(pixels).logits, model(pixels).logits)
    assert torch.equal(loaded.network.scale, torch.full((3, 1, 1), 0.25))


def test_a_new_network_keeps_the_initialization_of_its_class():
    assert torch.equal(small().network.linear.bias.detach(), torch.full((2,), 7.0))


def test_a_head_for_other_labels_is_newly_initialized_and_the_rest_is_loaded(tmp_path):
    model = small()
    model.save_pretrained(tmp_path)
    loaded = AutoModelForImageClassification.from_pretrained(
        tmp_path, num_labels=5, id2label=dict(enumerate("abcde")), ignore_mismatched_sizes=True
    )
    assert torch.equal(loaded.network.conv.weight, model.network.conv.weight)
    assert loaded.network.linear.weight.shape == (5, 3) and 0 < loaded.network.linear.weight.std() < 1


def test_the_config_contains_a_name_and_numbers_and_no_code(tmp_path):
    small(channels=4).save_pretrained(tmp_path)
    saved = json.loads((tmp_path / "config.json").read_text())
    assert saved["network"] == "dots" and saved["options"] == {"channels": 4}
    assert "auto_map" not in saved


def test_a_config_that_names_an_unregistered_network_is_refused_and_nothing_is_imported(tmp_path):
    small().save_pretrained(tmp_path)
    saved = json.loads((tmp_path / "config.json").read_text())
    (tmp_path / "config.json").write_text(json.dumps({**saved, "network": "antigravity"}))
    with pytest.raises(ValueError, match="No network is registered as 'antigravity'.*before you load"):
        AutoModelForImageClassification.from_pretrained(tmp_path)


@pytest.mark.parametrize(("mode", "channels"), [("L", 1), ("RGB", 3), ("RGBA", 3), ("CMYK", 3), ("1", 1)])
def test_the_pipeline_gives_the_scores_of_the_model_for_pictures_of_any_mode(tmp_path, mode, channels):
    model, processor = small(num_channels=channels, id2label=["no", "yes"]), image_processor_for(8, channels)
    model.save_pretrained(tmp_path)
    processor.save_pretrained(tmp_path)
    image = picture(mode=mode, size=(12, 9))
    said = pipeline("image-classification", model=str(tmp_path), device="cpu")(image)
    # The pipeline opens every image in color before the processor sees it.
    pixels = processor(image.convert("RGB"), return_tensors="pt")["pixel_values"]
    assert pixels.shape == (1, channels, 8, 8)
    scores = model(pixels).logits.softmax(-1)[0].tolist()
    assert {one["label"]: pytest.approx(one["score"], abs=1e-6) for one in said} == dict(
        zip(["no", "yes"], scores, strict=True)
    )


def test_a_saved_processor_is_loaded_unchanged(tmp_path):
    image_processor_for((8, 6), 1).save_pretrained(tmp_path)
    small(num_channels=1).save_pretrained(tmp_path)
    loaded = AutoImageProcessor.from_pretrained(tmp_path)
    assert type(loaded) is NetworkImageProcessor and loaded.num_channels == 1
    assert loaded(picture(), return_tensors="pt")["pixel_values"].shape == (1, 1, 8, 6)


class TimmWrapperImageProcessor:
    """Stands in for the processor of transformers that needs timm: it only runs all steps at once."""

    def __init__(self, **changes):
        self.data_config = {
            "input_size": (3, 8, 8), "interpolation": "bicubic", "mean": (0.1, 0.2, 0.3), "std": (0.4, 0.5, 0.6),
            "crop_pct": 0.75, "crop_mode": "center", **changes,
        }  # fmt: skip


@pytest.mark.parametrize(
    ("changes", "size", "box"),
    [
        ({}, (10, 15), (3, 1, 11, 9)),
        ({"crop_pct": 1.0, "interpolation": "bilinear"}, (8, 12), (2, 0, 10, 8)),
        ({"crop_mode": "squash", "input_size": (3, 6, 8), "crop_pct": 1.0}, (6, 8), (0, 0, 8, 6)),
    ],
)
def test_the_processor_of_a_timm_model_becomes_an_equivalent_network_processor(
    changes, size, box, monkeypatch, tmp_path
):
    timm = TimmWrapperImageProcessor(**changes)
    monkeypatch.setattr(AutoImageProcessor, "from_pretrained", lambda *args, **kwargs: timm)
    processor = load_image_processor("timm/some")
    resample = Image.Resampling[timm.data_config["interpolation"].upper()]
    cut = np.asarray(picture(size=(20, 30)).resize(size[::-1], resample).crop(box)).transpose(2, 0, 1)
    assert np.array_equal(preprocessed_pixels(picture(size=(20, 30)), processor), cut)
    seen = processor(picture(size=(20, 30)), return_tensors="np")["pixel_values"][0]
    mean, std = (np.reshape(timm.data_config[name], (3, 1, 1)) for name in ("mean", "std"))
    assert np.abs(seen - (cut / 255 - mean) / std).max() < 1e-5
    monkeypatch.undo()
    processor.save_pretrained(tmp_path)
    small().save_pretrained(tmp_path)
    assert load_image_processor(tmp_path).to_dict() == processor.to_dict()


def test_a_timm_model_with_an_unsupported_crop_is_refused(monkeypatch):
    timm = TimmWrapperImageProcessor(crop_mode="border")
    monkeypatch.setattr(AutoImageProcessor, "from_pretrained", lambda *args, **kwargs: timm)
    with pytest.raises(ValueError, match="timm/some takes images of 8 x 8 with crop_mode='border'"):
        load_image_processor("timm/some")


def test_a_resized_processor_keeps_its_normalization():
    smaller = resized_processor(ViTImageProcessorPil(image_mean=[0.1, 0.2, 0.3]), 8)
    assert smaller.size == {"height": 8, "width": 8} and list(smaller.image_mean) == [0.1, 0.2, 0.3]
    plain = ViTImageProcessorPil(do_normalize=False)
    plain.image_mean = plain.image_std = None
    assert resized_processor(plain, 8)(picture(), return_tensors="np")["pixel_values"].max() <= 1


def test_images_of_other_channels_are_refused_with_their_shape():
    with pytest.raises(ValueError, match=r"\(batch, 3, height, width\); got \(2, 1, 8, 8\)"):
        small()(torch.zeros(2, 1, 8, 8))


class Forgetful(nn.Module):
    def __init__(self, num_labels=2):
        super().__init__()
        self.linear, self.mean = nn.Linear(3, num_labels), torch.zeros(3)

    def forward(self, pixel_values):
        return self.linear(pixel_values.mean(dim=(2, 3)) - self.mean)


class Stubborn(nn.Module):
    def __init__(self):
        super().__init__()
        self.linear = nn.Linear(3, 4)

    def forward(self, pixel_values):
        return self.linear(pixel_values.mean(dim=(2, 3)))


def test_a_network_that_would_lose_a_tensor_is_refused():
    with pytest.raises(ValueError, match=r"neither parameters nor buffers \(mean\).*register_buffer\('mean'"):
        NetworkForImageClassification.from_network(Forgetful, image_size=8, num_labels=2)


def test_a_network_with_another_number_of_classes_is_refused():
    with pytest.raises(ValueError, match=r"logits of shape \(2, 3\).*got \(2, 4\)"):
        NetworkForImageClassification.from_network(Stubborn, image_size=8, num_labels=3)


def test_a_module_instead_of_its_class_is_refused_with_the_way_out():
    with pytest.raises(ValueError, match="built again when the model is loaded.*load_state_dict"):
        NetworkForImageClassification.from_network(Stubborn(), image_size=8, num_labels=4)


def test_an_unknown_option_of_a_network_is_named():
    with pytest.raises(ValueError, match="'dots' has no option 'chanels'; the nearest is 'channels'"):
        small(chanels=4)


def test_a_name_belongs_to_one_network():
    with pytest.raises(ValueError, match="'dots' belongs to the network Dots"):
        register_network(Stubborn, name="dots")
    elsewhere = type("Dots", (Dots,), {"__module__": "other", "__qualname__": Dots.__qualname__})
    with pytest.raises(ValueError, match="'dots' belongs to the network Dots"):
        register_network(elsewhere, name="Dots")


@pytest.mark.parametrize("depth", [7, 9, 21])
def test_a_depth_that_is_not_6n_plus_2_is_refused(depth):
    with pytest.raises(ValueError, match=f"6n \\+ 2.*got {depth}"):
        NetworkForImageClassification.from_network("resnet", depth=depth, image_size=8, num_labels=2)


def test_the_model_type_is_registered_with_auto_config():
    assert AutoConfig.for_model("distil_nlp_network").network == "resnet"
