"""CTC losses, compared with sums over all paths."""

import itertools

import pytest
import torch

from distil_nlp import losses

BLANK = 0


def logits(shape=(2, 5, 4), seed=0):
    return 2 * torch.randn(shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def frames(*lengths, most=5):
    return torch.arange(most) < torch.tensor(lengths).unsqueeze(1)


def collapsed(path):
    return [token for token, before in zip(path, (BLANK, *path), strict=False) if token not in (before, BLANK)]


def by_hand(scores, length, label):
    """Negative log of the sum over all paths of the label, per label token."""
    scores = scores[:length].log_softmax(-1)
    paths = [path for path in itertools.product(range(scores.shape[1]), repeat=length) if collapsed(path) == label]
    every = torch.stack([sum(scores[frame, token] for frame, token in enumerate(path)) for path in paths])
    return -every.logsumexp(0) / len(label)


def test_ctc_loss_equals_the_sum_over_all_paths():
    scores, lengths, labels = logits().requires_grad_(), (5, 3), [[1, 1, 2], [3]]
    result = losses.ctc_loss(scores, frames(*lengths), torch.tensor([[1, 1, 2], [3, -100, -100]]), blank=BLANK)
    expected = torch.stack([by_hand(*one) for one in zip(scores, lengths, labels, strict=True)])
    torch.testing.assert_close(result, expected, rtol=1e-9, atol=1e-9)
    gradient, expected_gradient = (
        torch.autograd.grad(one.sum(), scores, retain_graph=True)[0] for one in (result, expected)
    )
    torch.testing.assert_close(gradient, expected_gradient, rtol=1e-7, atol=1e-9)


def test_padding_changes_nothing():
    scores, labels = logits(), torch.tensor([[1, 2], [3, -100]])
    expected = losses.ctc_loss(scores, frames(5, 3), labels, blank=BLANK)
    longer = torch.nn.functional.pad(scores, (0, 0, 0, 4), value=7.0)
    wider = torch.nn.functional.pad(labels, (0, 3), value=-100)
    torch.testing.assert_close(losses.ctc_loss(longer, frames(5, 3, most=9), wider, blank=BLANK), expected)
    torch.testing.assert_close(
        losses.ctc_loss(scores[1:, :3], frames(3, most=3), labels[1:, :1], blank=BLANK), expected[1:]
    )


@pytest.mark.parametrize("labels", [[-100, -100, -100], [1, 1, 2]], ids=["no labels", "too few frames"])
def test_a_clip_without_a_path_has_zero_loss_and_no_gradient(labels):
    scores = logits((1, 3, 4)).requires_grad_()
    value = losses.ctc_loss(scores, frames(3, most=3), torch.tensor([labels]), blank=BLANK)
    value.sum().backward()
    assert value.item() == 0 and scores.grad.abs().max() == 0


def test_a_certain_blank_frame_has_the_blank_weight():
    student, teacher = logits(seed=1), logits(seed=2)
    teacher[:, 1] = torch.tensor([60.0, 0, 0, 0])
    teacher[:, 2] = torch.tensor([-60.0, 0, 0, 0])
    plain = losses.soft_target_kl(student, teacher, temperature=2.0)
    result = losses.ctc_frame_kl(student, teacher, temperature=2.0, blank=BLANK, blank_weight=0.25)
    torch.testing.assert_close(result[:, 1], 0.25 * plain[:, 1])
    torch.testing.assert_close(result[:, 2], plain[:, 2])
    same = losses.ctc_frame_kl(student, teacher, temperature=2.0, blank=BLANK, blank_weight=1.0)
    torch.testing.assert_close(same, plain)


def test_a_transcript_has_no_repeats_blanks_or_padding():
    paths = torch.tensor([[0, 1, 1, 0, 1], [2, 2, 3, 3, 3], [0, 0, 0, 1, 2]])
    tokens = losses.ctc_transcript(torch.nn.functional.one_hot(paths, 4).float(), frames(5, 5, 3), blank=BLANK)
    assert tokens.tolist() == [[1, 1], [2, 3], [-100, -100]]


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_half_precision_is_computed_in_float32(dtype):
    scores, labels = logits().to(dtype), torch.tensor([[1, 2], [3, -100]])
    values = losses.ctc_loss(scores, frames(5, 3), labels, blank=BLANK)
    assert values.dtype == torch.float32
    torch.testing.assert_close(values, losses.ctc_loss(scores.float(), frames(5, 3), labels, blank=BLANK))
