"""The stages of a network end where its maps become smaller, and finding them does not change the model."""

import pytest
import torch
from torch import nn

from distil_nlp.models import NetworkForImageClassification
from distil_nlp.models.architectures import layer_name, layer_names
from distil_nlp.models.feature_stages import in_eval_mode, stage_names
from tests.tiny import tiny_image_model


class Plain(nn.Module):
    """Two stages and a head; a module that no image reaches; modules in place and a dropout."""

    def __init__(self, num_channels=3):
        super().__init__()
        self.stem = nn.Sequential(nn.Conv2d(num_channels, 4, 3, padding=1), nn.BatchNorm2d(4), nn.ReLU(inplace=True))
        self.down, self.relu = nn.Conv2d(4, 6, 3, stride=2, padding=1), nn.ReLU(inplace=True)
        self.idle, self.drop = nn.Conv2d(1, 1, 1), nn.Dropout(0.5)
        self.pool, self.head = nn.AdaptiveAvgPool2d(1), nn.Linear(6, 3)

    def forward(self, images):
        out = self.relu(self.stem(images))
        return self.head(self.drop(self.pool(self.relu(self.down(out)))).flatten(1))


def test_a_stage_is_the_last_module_to_run_at_each_size_of_map():
    # The shared relu ran last at the smaller size, so it stands for that one and not for the larger.
    assert stage_names(Plain()) == ["stem", "relu"]


@pytest.mark.parametrize(
    ("architecture", "expected"),
    [
        ("resnet", ["resnet.embedder.embedder", "resnet.encoder.stages.0", "resnet.encoder.stages.1"]),
        ("convnext", ["convnext.encoder.stages.0", "convnext.encoder.stages.1"]),
        ("vit", ["vit.layers.0", "vit.layers.1"]),
        ("deit", ["deit.layers.0", "deit.layers.1"]),
    ],
)
def test_layers_of_image_models_are_counted_by_stages_or_by_layers(architecture, expected):
    model = tiny_image_model(architecture)
    assert layer_names(model) == expected
    assert layer_name(model, -1) == expected[-1] and layer_name(model, 0) == expected[0]


@pytest.mark.parametrize(
    ("architecture", "ends"),
    [
        # A block that makes maps smaller first widens them, at the old size, by a 1x1 convolution: no end of a stage.
        ("mobilenet_v2", ["conv_stem", "layer.1", "layer.4", "layer.11"]),
        # Its config counts something else than layers: there are 64 of them.
        ("efficientnet", ["encoder.blocks.0", "encoder.blocks.1", "encoder.blocks.2", "encoder.blocks.4"]),
    ],
)
def test_a_stage_ends_before_the_block_that_makes_its_maps_smaller(architecture, ends):
    model = tiny_image_model(architecture)
    assert layer_names(model) == [f"{architecture}.{end}" for end in ends]


def test_a_bottleneck_that_begins_at_the_old_size_ends_no_stage():
    model = tiny_image_model("resnet", layer_type="bottleneck", hidden_sizes=[8, 16, 32], depths=[2, 2, 1])
    assert layer_names(model) == [
        "resnet.embedder.embedder",
        *(f"resnet.encoder.stages.{place}" for place in range(3)),
    ]


def test_a_network_in_one_sequence_has_a_stage_before_each_of_its_poolings():
    model = NetworkForImageClassification.from_network("cnn8", image_size=28, num_channels=1, num_labels=3)
    assert layer_names(model) == ["network.features.1", "network.features.4", "network.features"]


def test_the_stages_of_residual_networks_are_their_layers():
    model = NetworkForImageClassification.from_network("resnet8", image_size=32, num_labels=3)
    assert layer_names(model) == ["network.layer1", "network.layer2", "network.layer3"]


def test_feature_paths_of_the_config_take_precedence_and_may_be_relative_to_the_network():
    model = tiny_image_model("resnet")
    model.config.feature_paths = ["encoder.stages.0", "resnet.encoder.stages.1.layers.0"]
    assert layer_names(model) == ["resnet.encoder.stages.0", "resnet.encoder.stages.1.layers.0"]
    model.config.feature_paths = ["encoder.stages.7"]
    with pytest.raises(
        ValueError, match="feature_paths of ResNetFor.* names 'encoder.stages.7', and there is no such"
    ):
        stage_names(model)


def test_finding_stages_does_not_change_mode_statistics_hooks_and_random_state():
    model = Plain().train()
    model.drop.eval()
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    random = torch.get_rng_state()
    stage_names(model)
    assert model.training and model.stem[1].training and not model.drop.training
    assert all(torch.equal(tensor, before[name]) for name, tensor in model.state_dict().items())
    assert torch.equal(torch.get_rng_state(), random)
    assert not any(module._forward_hooks for module in model.modules())


def test_the_image_has_the_channels_of_the_config_or_of_the_first_convolution():
    assert stage_names(Plain(num_channels=1)) == ["stem", "relu"]
    assert len(stage_names(tiny_image_model("resnet", num_channels=1))) == 3


def test_stages_are_found_in_a_model_without_weights():
    with torch.device("meta"):
        model = Plain()
    assert stage_names(model) == ["stem", "relu"]


@pytest.mark.parametrize(
    ("model", "message"),
    [
        (nn.Linear(64, 3), "none of its modules returned a map"),
        (
            nn.Sequential(nn.Conv2d(3, 2, 1), nn.Flatten(), nn.Linear(7, 3)),
            r"zeros, \(2, 3, 64, 64\), gave RuntimeError",
        ),
    ],
    ids=["no maps", "another size"],
)
def test_a_model_whose_layers_cannot_be_counted_is_refused_with_the_way_out(model, message):
    with pytest.raises(ValueError, match=f"{message}.*pairs of module names"):
        stage_names(model)


def test_every_module_gets_its_own_mode_back_even_when_the_body_fails():
    model = Plain().train()
    model.drop.eval()
    with pytest.raises(ZeroDivisionError), in_eval_mode(model):
        assert not any(module.training for module in model.modules())
        raise ZeroDivisionError
    assert model.training and model.stem.training and not model.drop.training


def test_a_layer_beyond_the_last_stage_is_refused():
    with pytest.raises(ValueError, match=r"Layer 2 is not in Plain, which has layers 0 to 1"):
        layer_name(Plain(), 2)
