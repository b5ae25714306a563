"""Edge cases of losses of feature maps: constant maps, single pixels, single examples, half precision."""

import pytest
import torch

from distil_nlp import losses

from .test_edges import gradient, pair

LOSSES = {
    "hint_mse": losses.hint_mse,
    "attention_transfer": losses.attention_transfer,
    "channel_wise_kl": lambda student, teacher: losses.channel_wise_kl(student, teacher, temperature=2.0),
    "pearson_maps": losses.pearson_maps,
}
map_losses = pytest.mark.parametrize("loss", LOSSES.values(), ids=LOSSES)
EQUAL_CHANNELS = [loss for name, loss in LOSSES.items() if name != "attention_transfer"]


@map_losses
def test_a_loss_of_maps_is_zero_when_student_equals_teacher(loss):
    student, _ = pair((3, 2, 4, 4))
    values, slope = gradient(loss, student, student.clone())
    assert values.abs().max() < 1e-6 and slope.abs().max() < 1e-6


@map_losses
@pytest.mark.parametrize("value", [0.0, 3.0])
def test_a_constant_map_of_student_or_teacher_has_a_finite_loss_and_gradient(loss, value):
    student, teacher = pair((3, 2, 4, 4))
    flat = torch.full_like(student, value)
    for first, second in ((flat, teacher), (student, flat), (flat, flat)):
        values, slope = gradient(loss, first, second)
        assert values.isfinite().all() and slope.isfinite().all()
    assert values.abs().max() < 1e-6  # the last: both constant


@map_losses
def test_a_loss_of_maps_is_finite_for_activations_of_ten_thousand(loss):
    values, slope = gradient(loss, *pair((3, 2, 4, 4), scale=1e4))
    assert values.isfinite().all() and slope.isfinite().all()


@map_losses
def test_a_batch_of_one_has_a_loss_of_maps(loss):
    values, slope = gradient(loss, *pair((1, 2, 4, 4)))
    assert values.shape == (1,) and values > 0 and slope.abs().max() > 0


@map_losses
@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_a_loss_of_maps_of_half_precision_is_computed_in_float32(loss, dtype):
    student, teacher = pair((3, 2, 4, 4), dtype=dtype)
    values = loss(student, teacher)
    assert values.dtype == torch.float32
    torch.testing.assert_close(values, loss(student.float(), teacher.float()), rtol=0, atol=0)


@map_losses
def test_a_loss_of_maps_keeps_float64(loss):
    assert loss(*pair((3, 2, 4, 4), dtype=torch.float64)).dtype == torch.float64


@map_losses
def test_no_gradient_flows_into_the_teachers_map(loss):
    student, teacher = pair((3, 2, 4, 4))
    student.requires_grad_()
    teacher.requires_grad_()
    loss(student, teacher).sum().backward()
    assert teacher.grad is None and student.grad.abs().max() > 0


@pytest.mark.parametrize("name", ["attention_transfer", "channel_wise_kl"])
def test_a_map_of_one_pixel_is_rejected_if_the_loss_would_always_be_zero(name):
    with pytest.raises(ValueError, match=r"of one pixel \(shape \(3, ., 1, 1\)\).*hint_mse compares single pixels"):
        LOSSES[name](*pair((3, 2, 1, 1)))


@pytest.mark.parametrize("name", ["hint_mse", "pearson_maps"])
def test_a_map_of_one_pixel_can_be_compared_by_its_channels(name):
    assert LOSSES[name](*pair((3, 2, 1, 1))).min() > 0


def test_pearson_maps_of_one_pixel_of_one_example_is_zero():
    values, slope = gradient(losses.pearson_maps, *pair((1, 2, 1, 1)))
    assert values.tolist() == [0.0] and not slope.any()


@pytest.mark.parametrize("loss", EQUAL_CHANNELS)
@pytest.mark.parametrize("shape", [(3, 1, 4, 4), (3, 2, 2, 4)], ids=["channels", "size"])
def test_maps_that_would_broadcast_are_rejected(loss, shape):
    with pytest.raises(ValueError, match="feature maps have shape"):
        loss(pair((3, 2, 4, 4))[0], pair(shape)[1])


@map_losses
@pytest.mark.parametrize("shape", [(3, 2, 4), (3, 2), (2, 2, 4, 4)], ids=["tokens", "vectors", "examples"])
def test_other_shapes_than_maps_of_one_batch_are_rejected(loss, shape):
    with pytest.raises(ValueError, match="Feature maps have shape .batch, channels, height, width."):
        loss(pair((3, 2, 4, 4))[0], pair(shape)[1])


@pytest.mark.parametrize("name", ["attention_transfer", "pearson_maps"])
def test_the_scale_of_a_map_does_not_count(name):
    student, teacher = pair((3, 2, 4, 4))
    torch.testing.assert_close(LOSSES[name](7 * student, teacher), LOSSES[name](student, teacher))
