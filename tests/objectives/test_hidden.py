"""Terms on hidden states."""

import pytest
import torch

from distil_nlp.objectives import HiddenStates, Objective
from distil_nlp.signals.base import Signals

BATCH = {"attention_mask": torch.tensor([[1, 1, 1], [1, 0, 0]])}


def hidden(width, dtype=torch.float32, seed=0):
    return torch.randn(2, 3, width, generator=torch.Generator().manual_seed(seed)).to(dtype)


def signals(name, value):
    return Signals(logits=torch.zeros(2, 2), features={name: value})


def built(ours, theirs, **settings):
    objective = Objective([HiddenStates(1.0, layers=[("low", "high")], **settings)])
    objective.resolve_layers(torch.nn.Module(), torch.nn.Module())
    objective.setup(signals("low", ours), signals("high", theirs), BATCH)
    return objective


def loss_of(objective, ours, theirs):
    return objective(signals("low", ours), signals("high", theirs), BATCH, objective.count([BATCH]))[0]


def test_a_hint_between_equal_widths_has_no_projection():
    assert not list(built(hidden(4), hidden(4, seed=1)).parameters())


def test_a_hint_between_different_widths_projects_the_student_to_the_teachers():
    (weight,) = built(hidden(4), hidden(6, seed=1)).parameters()
    assert weight.shape == (6, 4) and weight.requires_grad


def test_a_hint_is_the_mean_square_over_the_tokens_that_are_not_padding():
    ours, theirs = hidden(4), hidden(6, seed=1)
    objective = built(ours, theirs)
    (weight,) = objective.parameters()
    real = BATCH["attention_mask"].bool()
    expected = ((ours @ weight.T - theirs)[real] ** 2).mean()
    torch.testing.assert_close(loss_of(objective, ours, theirs), expected)


def test_a_cosine_hint_does_not_depend_on_the_length_of_the_teachers_states():
    ours, theirs = hidden(4), hidden(4, seed=1)
    near = loss_of(built(ours, theirs, distance="cosine"), ours, theirs)
    torch.testing.assert_close(loss_of(built(ours, 9 * theirs, distance="cosine"), ours, 9 * theirs), near)
    real = BATCH["attention_mask"].bool()
    torch.testing.assert_close(near, (1 - torch.cosine_similarity(ours, theirs, dim=-1)[real]).mean())


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16, torch.float64])
def test_a_hint_accepts_a_student_of_any_precision(dtype):
    ours, theirs = hidden(4, dtype), hidden(6, dtype, seed=1)
    assert loss_of(built(ours, theirs), ours, theirs).isfinite()


@pytest.mark.parametrize("shape", [(2, 4), (2, 0, 4)], ids=["pooled", "empty"])
def test_a_hint_refuses_a_feature_that_is_not_a_sequence_of_hidden_states(shape):
    with pytest.raises(ValueError, match="'low' of the student needs a tensor of shape"):
        built(torch.zeros(shape), hidden(4))
