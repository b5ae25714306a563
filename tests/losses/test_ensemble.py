"""Means of the predictions of several teachers."""

import pytest
import torch

from distil_nlp.losses import mean_number, mean_sigmoid, mean_softmax

from . import naive

SHAPES = [(2, 1, 2), (3, 4, 5), (2, 2, 3, 7)]
TEMPERATURES = [0.5, 1.0, 2.0, 8.0]


def random_logits(shape, seed=0, spread=3.0):
    return spread * torch.randn(shape, generator=torch.Generator().manual_seed(seed))


def random_weights(num_teachers, seed=5):
    weights = torch.rand(num_teachers, 1, generator=torch.Generator().manual_seed(seed), dtype=torch.float64) + 0.1
    return weights / weights.sum()


def partial_weights(num_teachers, num_classes):
    """Weights of teachers of which each but the first lacks another class."""
    table = random_weights(num_teachers).expand(num_teachers, num_classes).clone()
    for teacher in range(1, num_teachers):
        table[teacher, teacher % num_classes] = 0
    return table / table.sum(0)


@pytest.mark.parametrize("temperature", TEMPERATURES)
@pytest.mark.parametrize("shape", SHAPES)
def test_the_softmax_of_the_mean_is_the_mean_of_the_softmaxes(shape, temperature):
    logits, weights = random_logits(shape), random_weights(shape[0])
    result = (mean_softmax(logits, weights, temperature=temperature) / temperature).softmax(-1)
    expected = naive.mean_softmax(logits, weights, temperature=temperature)
    assert result.dtype == torch.float32 and (result - expected).abs().max() < 1e-6


@pytest.mark.parametrize("temperature", TEMPERATURES)
@pytest.mark.parametrize("shape", SHAPES[1:])
def test_a_class_gets_the_mean_over_the_teachers_that_have_it(shape, temperature):
    weights = partial_weights(shape[0], shape[-1])
    logits = random_logits(shape)
    shape = (shape[0], *[1] * (len(shape) - 2), shape[-1])
    logits = logits.masked_fill((weights == 0).view(shape), float("-inf"))
    result = (mean_softmax(logits, weights, temperature=temperature) / temperature).softmax(-1)
    assert (result - naive.mean_softmax(logits, weights, temperature=temperature)).abs().max() < 1e-6
    result = (mean_sigmoid(logits, weights, temperature=temperature) / temperature).sigmoid()
    assert (result - naive.mean_sigmoid(logits, weights, temperature=temperature)).abs().max() < 1e-6


@pytest.mark.parametrize("temperature", TEMPERATURES)
@pytest.mark.parametrize("shape", SHAPES)
def test_the_sigmoid_of_the_mean_is_the_mean_of_the_sigmoids(shape, temperature):
    logits, weights = random_logits(shape), random_weights(shape[0])
    result = (mean_sigmoid(logits, weights, temperature=temperature) / temperature).sigmoid()
    assert (result - naive.mean_sigmoid(logits, weights, temperature=temperature)).abs().max() < 1e-6


@pytest.mark.parametrize("temperature", TEMPERATURES)
@pytest.mark.parametrize("mean", [mean_softmax, mean_sigmoid])
def test_the_mean_of_equal_teachers_gives_their_logits(mean, temperature):
    logits = random_logits((4, 5), spread=10)
    result = mean(torch.stack([logits] * 3), random_weights(3), temperature=temperature)
    torch.testing.assert_close(result, logits, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("mean", [mean_softmax, mean_sigmoid])
def test_teachers_certain_of_different_classes_give_finite_logits(mean):
    sure = torch.tensor([[[500.0, -500.0, 0.0]], [[-500.0, 500.0, 0.0]]])
    result = mean(sure, torch.full((2, 1), 0.5), temperature=1.0)
    assert result.isfinite().all() and abs(result[0, 0] - result[0, 1]) < 1e-3


def test_padding_of_spans_keeps_probability_0():
    logits = random_logits((2, 3, 2, 6))
    logits[..., 4:] = -1e30
    result = mean_softmax(logits, random_weights(2), temperature=4.0)
    assert result.isfinite().all() and (result / 4).softmax(-1)[..., 4:].sum() == 0


def test_half_precision_is_averaged_in_float32():
    logits = random_logits((2, 3, 5))
    halves = mean_softmax(logits.bfloat16(), random_weights(2), temperature=2.0)
    assert torch.equal(halves, mean_softmax(logits.bfloat16().float(), random_weights(2), temperature=2.0))


def test_the_mean_of_numbers_is_weighted():
    result = mean_number(torch.tensor([[[1.0]], [[3.0]]]), torch.tensor([[0.75], [0.25]]))
    assert torch.equal(result, torch.tensor([[1.5]]))


def test_a_mean_has_no_gradient():
    logits = random_logits((2, 3, 5)).requires_grad_()
    for mean in (mean_softmax, mean_sigmoid):
        assert not mean(logits, random_weights(2), temperature=1.0).requires_grad
    assert not mean_number(logits, random_weights(2)).requires_grad
