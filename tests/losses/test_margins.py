"""Margin losses: finite at the ends of the cosine, and larger than without a margin."""

import math

import pytest
import torch
from torch.nn.functional import normalize

from distil_nlp.losses import angular_margin_loss, class_centers, cosine_margin_loss, cross_entropy

LOSSES = pytest.mark.parametrize("loss", [angular_margin_loss, cosine_margin_loss])
CENTERS = normalize(torch.randn(3, 6, generator=torch.Generator().manual_seed(1)), dim=-1)


def at_angles(angles):
    """Embeddings at these angles from the first center."""
    first = CENTERS[0]
    across = normalize(CENTERS[1] - (CENTERS[1] @ first) * first, dim=-1)
    return torch.stack([math.cos(angle) * first + math.sin(angle) * across for angle in angles])


def value_and_gradient(loss, embeddings, labels, **settings):
    embeddings = embeddings.clone().requires_grad_()
    values = loss(embeddings, CENTERS, labels, **settings)
    values.sum().backward()
    return values.detach(), embeddings.grad


@LOSSES
@pytest.mark.parametrize("length", [1e-6, 1.0, 1e6])
@pytest.mark.parametrize("angle", [0.0, 1e-4, math.pi - 1e-4, math.pi])
def test_the_gradient_is_finite_where_an_embedding_is_its_center_or_opposite_to_it(loss, angle, length):
    embeddings, labels = length * at_angles([angle]), torch.tensor([0])
    values, slope = value_and_gradient(loss, embeddings, labels, margin=0.5, scale=64.0)
    assert values.isfinite().all() and slope.isfinite().all()
    # An angle moves by 1 / length at most, and a logit by the scale times that of an angle.
    assert slope.norm() <= 2.1 * 64 / length


@LOSSES
def test_an_embedding_of_length_0_has_a_finite_loss_and_gradient(loss):
    values, slope = value_and_gradient(loss, torch.zeros(2, 6), torch.tensor([0, 1]), margin=0.5, scale=64.0)
    assert values.isfinite().all() and slope.isfinite().all()


@LOSSES
def test_the_loss_falls_all_the_way_from_the_opposite_of_the_center_to_the_center(loss):
    angles = torch.linspace(0, math.pi, 60).tolist()
    # The only other class is orthogonal, so that only the angle to the own center changes.
    centers = torch.stack([CENTERS[0], normalize(CENTERS[2] - (CENTERS[2] @ CENTERS[0]) * CENTERS[0], dim=-1) * 1e-20])
    values = loss(at_angles(angles), centers, torch.zeros(60, dtype=torch.long), margin=0.5, scale=4.0)
    assert (values.diff() > 0).all()


@LOSSES
def test_without_a_margin_it_is_the_cross_entropy_of_scaled_cosines(loss):
    embeddings, labels = at_angles([0.3, 1.2, 2.5]), torch.tensor([0, 2, -100])
    expected = cross_entropy(5.0 * normalize(embeddings, dim=-1) @ CENTERS.T, labels)
    torch.testing.assert_close(loss(embeddings, CENTERS, labels, margin=0.0, scale=5.0), expected)


@LOSSES
def test_a_margin_increases_every_loss_and_unlabeled_examples_have_none(loss):
    embeddings, labels = at_angles([0.3, 1.2, 2.9, 0.7]), torch.tensor([0, 2, 0, -100])
    plain, with_margin = (loss(embeddings, CENTERS, labels, margin=margin, scale=5.0) for margin in (0.0, 0.5))
    assert (with_margin[:3] > plain[:3]).all() and with_margin[3] == 0
    _, slope = value_and_gradient(loss, embeddings, labels, margin=0.5, scale=5.0)
    assert slope[3].abs().max() == 0


@LOSSES
def test_the_lengths_of_embeddings_and_centers_do_not_count(loss):
    embeddings, labels = at_angles([0.3, 1.2]), torch.tensor([0, 2])
    one = loss(embeddings, CENTERS, labels, margin=0.5, scale=5.0)
    torch.testing.assert_close(loss(7 * embeddings, 0.2 * CENTERS, labels, margin=0.5, scale=5.0), one)


@LOSSES
@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_half_precision_is_computed_in_float32_and_float64_stays(loss, dtype):
    embeddings, labels = at_angles([0.3, 1.2]), torch.tensor([0, 2])
    assert loss(embeddings.to(dtype), CENTERS, labels, margin=0.5, scale=5.0).dtype == torch.float32
    assert loss(embeddings.double(), CENTERS.double(), labels, margin=0.5, scale=5.0).dtype == torch.float64


@LOSSES
def test_autocast_changes_nothing(loss):
    embeddings, labels = at_angles([0.3, 1.2, 2.0]), torch.tensor([0, 2, 1])
    expected = loss(embeddings, CENTERS, labels, margin=0.5, scale=64.0)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        assert torch.equal(loss(embeddings, CENTERS, labels, margin=0.5, scale=64.0), expected)


@LOSSES
def test_different_widths_are_rejected(loss):
    with pytest.raises(ValueError, match="embeddings are 6 wide and the class centers 4"):
        loss(at_angles([0.3]), torch.ones(2, 4), torch.tensor([0]), margin=0.5, scale=5.0)


def test_a_center_is_the_mean_direction_of_its_class_for_any_batching():
    embeddings, labels = at_angles([0.2, 0.4, 1.0, 2.0]), torch.tensor([1, 1, 0, -100])
    embeddings[0] *= 9  # the direction counts, not the length
    expected = torch.cat([at_angles([1.0, 0.3]), torch.zeros(1, 6)])
    for size in (1, 3, 4):
        batches = zip(embeddings.split(size), labels.split(size), strict=True)
        torch.testing.assert_close(class_centers(batches, 3), expected)


def test_a_label_above_the_number_of_classes_is_rejected():
    with pytest.raises(ValueError, match="2 classes, 0 to 1, and an example has the label 2"):
        class_centers([(at_angles([1.0, 2.0]), torch.tensor([0, 2]))], 2)
