"""The mean of several predictions: beside its plain version, for teachers of one opinion, and where numbers get large."""

import pytest
import torch

from distil_nlp.losses import mean_number, mean_sigmoid, mean_softmax

from . import naive

SHAPES = [(2, 1, 2), (3, 4, 5), (2, 2, 3, 7)]
TEMPERATURES = [0.5, 1.0, 2.0, 8.0]


def answers(shape, seed=0, spread=3.0):
    return spread * torch.randn(shape, generator=torch.Generator().manual_seed(seed))


def shares(num_teachers, seed=5):
    weights = torch.rand(num_teachers, 1, generator=torch.Generator().manual_seed(seed), dtype=torch.float64) + 0.1
    return weights / weights.sum()


def some_known(num_teachers, num_classes):
    """Shares of teachers of which each but the first misses a class of its own."""
    table = shares(num_teachers).expand(num_teachers, num_classes).clone()
    for teacher in range(1, num_teachers):
        table[teacher, teacher % num_classes] = 0
    return table / table.sum(0)


@pytest.mark.parametrize("temperature", TEMPERATURES)
@pytest.mark.parametrize("shape", SHAPES)
def test_the_softmax_of_the_mean_is_the_mean_of_the_softmaxes(shape, temperature):
    logits, weights = answers(shape), shares(shape[0])
    found = (mean_softmax(logits, weights, temperature=temperature) / temperature).softmax(-1)
    expected = naive.mean_softmax(logits, weights, temperature=temperature)
    assert found.dtype == torch.float32 and (found - expected).abs().max() < 1e-6


@pytest.mark.parametrize("temperature", TEMPERATURES)
@pytest.mark.parametrize("shape", SHAPES[1:])
def test_a_class_gets_the_mean_over_the_teachers_that_know_it_and_the_sum_is_1_again(shape, temperature):
    weights = some_known(shape[0], shape[-1])
    logits = answers(shape)
    shape = (shape[0], *[1] * (len(shape) - 2), shape[-1])
    logits = logits.masked_fill((weights == 0).view(shape), float("-inf"))
    found = (mean_softmax(logits, weights, temperature=temperature) / temperature).softmax(-1)
    assert (found - naive.mean_softmax(logits, weights, temperature=temperature)).abs().max() < 1e-6
    found = (mean_sigmoid(logits, weights, temperature=temperature) / temperature).sigmoid()
    assert (found - naive.mean_sigmoid(logits, weights, temperature=temperature)).abs().max() < 1e-6


@pytest.mark.parametrize("temperature", TEMPERATURES)
@pytest.mark.parametrize("shape", SHAPES)
def test_the_sigmoid_of_the_mean_is_the_mean_of_the_sigmoids(shape, temperature):
    logits, weights = answers(shape), shares(shape[0])
    found = (mean_sigmoid(logits, weights, temperature=temperature) / temperature).sigmoid()
    assert (found - naive.mean_sigmoid(logits, weights, temperature=temperature)).abs().max() < 1e-6


@pytest.mark.parametrize("temperature", TEMPERATURES)
@pytest.mark.parametrize("mean", [mean_softmax, mean_sigmoid])
def test_teachers_of_one_opinion_give_their_own_logits_back(mean, temperature):
    one = answers((4, 5), spread=10)
    found = mean(torch.stack([one] * 3), shares(3), temperature=temperature)
    torch.testing.assert_close(found, one, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("mean", [mean_softmax, mean_sigmoid])
def test_teachers_that_are_sure_of_different_classes_give_finite_logits(mean):
    sure = torch.tensor([[[500.0, -500.0, 0.0]], [[-500.0, 500.0, 0.0]]])
    found = mean(sure, torch.full((2, 1), 0.5), temperature=1.0)
    assert found.isfinite().all() and abs(found[0, 0] - found[0, 1]) < 1e-3


def test_padding_of_spans_stays_without_probability():
    logits = answers((2, 3, 2, 6))
    logits[..., 4:] = -1e30
    found = mean_softmax(logits, shares(2), temperature=4.0)
    assert found.isfinite().all() and (found / 4).softmax(-1)[..., 4:].sum() == 0


def test_half_precision_is_averaged_in_float32():
    logits = answers((2, 3, 5))
    halves = mean_softmax(logits.bfloat16(), shares(2), temperature=2.0)
    assert torch.equal(halves, mean_softmax(logits.bfloat16().float(), shares(2), temperature=2.0))


def test_the_mean_of_numbers_is_weighted():
    found = mean_number(torch.tensor([[[1.0]], [[3.0]]]), torch.tensor([[0.75], [0.25]]))
    assert torch.equal(found, torch.tensor([[1.5]]))


def test_no_gradient_leads_through_a_mean():
    logits = answers((2, 3, 5)).requires_grad_()
    for mean in (mean_softmax, mean_sigmoid):
        assert not mean(logits, shares(2), temperature=1.0).requires_grad
    assert not mean_number(logits, shares(2)).requires_grad
