"""A tap captures the outputs of layers, removes its hooks, and raises where it captured nothing."""

import pytest
import torch
from torch import nn
from torch.utils.checkpoint import checkpoint

from distil_nlp.signals.taps import FeatureTap, forget_compiled


class Layers(nn.Module):
    """Three linear layers and one that never runs; the second may be run by gradient checkpointing."""

    def __init__(self, checkpointed=False):
        super().__init__()
        self.low, self.middle, self.high, self.idle = (nn.Linear(4, 4) for _ in range(4))
        self.checkpointed = checkpointed

    def forward(self, x):
        x = self.low(x)
        x = checkpoint(self.middle, x, use_reentrant=False) if self.checkpointed else self.middle(x)
        return self.high(x.relu())


@pytest.fixture
def model():
    torch.manual_seed(0)
    return Layers()


def hooks_of(model):
    return sum(len(module._forward_hooks) for module in model.modules())


def test_a_tap_captures_the_outputs_of_its_modules(model):
    x = torch.randn(2, 4)
    with FeatureTap(model, ["low", "high"]) as tap:
        output = model(x)
        features = tap.take()
    assert torch.equal(features["low"], model.low(x)) and torch.equal(features["high"], output)
    assert list(features) == ["low", "high"]


class Residual(nn.Module):
    """As in convolutional networks: the output of a module is overwritten by the operation after it."""

    def __init__(self):
        super().__init__()
        self.conv, self.norm = nn.Conv2d(2, 2, 1), nn.BatchNorm2d(2)
        self.flat, self.relu = nn.Linear(2, 3), nn.ReLU(inplace=True)

    def forward(self, x):
        out = self.norm(self.conv(x))
        out = self.relu(out)
        out += x
        return self.relu(self.flat(out.mean((2, 3))))


@pytest.mark.parametrize("mode", [torch.enable_grad, torch.no_grad, torch.inference_mode])
def test_captured_tensors_are_not_overwritten_by_operations_in_place(mode):
    torch.manual_seed(0)
    model, images = Residual().eval(), torch.randn(4, 2, 3, 3)
    with mode(), FeatureTap(model, ["norm", "flat", "relu"]) as tap:
        model(images)
        captured = tap.take()
    expected = model.norm(model.conv(images)).detach()
    assert expected.min() < -0.1  # an in-place ReLU would have left 0
    torch.testing.assert_close(captured["norm"].detach(), expected)
    flat = model.flat((expected.clamp(min=0) + images).mean((2, 3))).detach()
    assert flat.min() < 0
    torch.testing.assert_close(captured["flat"].detach(), flat)


def test_tensors_captured_in_inference_mode_may_enter_a_graph():
    with torch.inference_mode(), FeatureTap(nn.Sequential(nn.Linear(2, 2)), ["0"]) as tap:
        tap._modules["0"](torch.randn(1, 2))
        captured = tap.take()["0"]
    assert not captured.is_inference() and not captured.requires_grad
    (captured * torch.ones(2, requires_grad=True)).sum().backward()


def test_gradients_flow_through_a_tensor_captured_before_an_operation_in_place():
    model = Residual()
    with FeatureTap(model, ["norm"]) as tap:
        model(torch.randn(4, 2, 3, 3))
        tap.take()["norm"].square().sum().backward()
    assert model.conv.weight.grad is not None and model.norm.weight.grad.any()


def test_a_tap_removes_its_hooks_even_when_the_body_fails(model):
    with pytest.raises(ZeroDivisionError), FeatureTap(model, ["low"]):
        assert hooks_of(model) == 1
        raise ZeroDivisionError
    assert hooks_of(model) == 0


def test_a_tap_can_be_entered_again(model):
    tap = FeatureTap(model, ["low"])
    for _ in range(2):
        with tap:
            model(torch.randn(2, 4))
            assert tap.take()["low"].shape == (2, 4)
    assert hooks_of(model) == 0


def test_a_tap_without_names_adds_no_hooks(model):
    with FeatureTap(model, ()) as tap:
        assert hooks_of(model) == 0
        assert tap.take() == {}


def test_a_tap_keeps_the_last_of_two_passes(model):
    with FeatureTap(model, ["low"]) as tap:
        model(torch.zeros(1, 4))
        model(torch.ones(1, 4))
        assert torch.equal(tap.take()["low"], model.low(torch.ones(1, 4)))


def test_a_tap_is_empty_after_take(model):
    with FeatureTap(model, ["low"]) as tap:
        model(torch.randn(2, 4))
        tap.take()
        with pytest.raises(RuntimeError, match="'low' captured no tensor: the module never ran"):
            tap.take()


def test_the_gradient_of_a_tapped_layer_survives_gradient_checkpointing(model):
    again = Layers(checkpointed=True)
    again.load_state_dict(model.state_dict())
    for layers in (model, again):
        with FeatureTap(layers, ["middle"]) as tap:
            layers(torch.ones(2, 4))
            tap.take()["middle"].square().sum().backward()
    assert torch.equal(again.low.weight.grad, model.low.weight.grad) and model.low.weight.grad.any()


def test_the_first_of_several_outputs_is_captured():
    model = nn.Sequential(nn.LSTM(3, 5))
    with FeatureTap(model, ["0"]) as tap:
        output, _ = model(torch.randn(2, 1, 3))
        assert torch.equal(tap.take()["0"], output)


def test_a_module_that_never_ran_is_an_error(model):
    with FeatureTap(model, ["idle"]) as tap:
        model(torch.randn(2, 4))
        with pytest.raises(RuntimeError, match="'idle' captured no tensor: the module never ran"):
            tap.take()


def test_a_module_that_returns_no_tensor_is_an_error():
    class Words(nn.Module):
        def forward(self, x):
            return "words"

    model = nn.Sequential(Words())
    with FeatureTap(model, ["0"]) as tap:
        model(torch.zeros(1))
        with pytest.raises(RuntimeError, match="the module returned str"):
            tap.take()


def test_the_error_for_an_unknown_module_lists_the_closest_names(model):
    with pytest.raises(ValueError, match=r"Layer 'midle' is not in the model \(Layers, 4 modules\).*middle"):
        FeatureTap(model, ["midle"])


@pytest.mark.slow  # importing the compiler takes seconds
def test_a_model_that_was_compiled_and_called_before_has_taps():
    inner, inputs = nn.Sequential(nn.Linear(3, 4), nn.Linear(4, 2)), torch.randn(2, 3)
    model = torch.compile(inner, backend="eager")
    with torch.no_grad():
        model(inputs)
        with FeatureTap(model, ["_orig_mod.0"]) as tap:
            model(inputs)
            with pytest.raises(RuntimeError, match="made without the tap: call `torch.compiler.reset"):
                tap.take()
        forget_compiled(model)
        with FeatureTap(model, ["_orig_mod.0"]) as tap:
            model(inputs)
            assert torch.equal(tap.take()["_orig_mod.0"], inner[0](inputs))
