"""Edge cases of losses: huge logits, half precision, empty masks, shapes that would broadcast."""

import pytest
import torch

from distil_nlp import losses


def pair(shape=(4, 6), scale=1.0, dtype=torch.float32):
    generator = torch.Generator().manual_seed(3)
    return [(scale * torch.randn(shape, generator=generator)).to(dtype) for _ in range(2)]


def softened(name):
    return lambda student, teacher: getattr(losses, name)(student, teacher, temperature=2.0)


SOFT = {
    "soft_target_kl": softened("soft_target_kl"),
    "soft_target_bce": softened("soft_target_bce"),
    "logit_mse": losses.logit_mse,
    "hidden_mse": losses.hidden_mse,
    "hidden_cosine": losses.hidden_cosine,
    "normalized_mse": losses.normalized_mse,
    "standardized_kl": softened("standardized_kl"),
    "class_correlation": softened("class_correlation"),
    "batch_correlation": softened("batch_correlation"),
    "decoupled_kl": lambda student, teacher: losses.decoupled_kl(
        student, teacher, torch.arange(len(student)), temperature=2.0
    ),
}
# Labels for the logits of pair(): classes, probabilities, yes/no labels, numbers.
HARD = {
    "cross_entropy": (losses.cross_entropy, torch.tensor([0, 5, 2, 2]), -100),
    "soft cross_entropy": (losses.cross_entropy, 0.3 * torch.eye(4, 6) + 0.7 * torch.eye(4, 6).roll(1, 1), -100.0),
    "binary_cross_entropy": (losses.binary_cross_entropy, torch.eye(4, 6), -100.0),
    "squared_error": (losses.squared_error, torch.arange(4.0), float("nan")),
}
soft_losses = pytest.mark.parametrize("loss", SOFT.values(), ids=SOFT)
hard_losses = pytest.mark.parametrize(("loss", "labels", "missing"), HARD.values(), ids=HARD)


def predictions_for(labels, **settings):
    return pair(**settings)[0][:, : 1 if labels.is_floating_point() and labels.dim() == 1 else None]


def gradient(loss, logits, *others):
    logits = logits.clone().requires_grad_()
    values = loss(logits, *others)
    values.sum().backward()
    return values.detach(), logits.grad


@soft_losses
def test_a_soft_loss_is_finite_for_logits_of_ten_thousand(loss):
    values, slope = gradient(loss, *pair(scale=1e4))
    assert values.isfinite().all() and slope.isfinite().all()


@hard_losses
def test_a_hard_loss_is_finite_for_logits_of_ten_thousand(loss, labels, missing):
    values, slope = gradient(loss, predictions_for(labels, scale=1e4), labels)
    assert values.isfinite().all() and slope.isfinite().all()


def test_soft_targets_have_a_gradient_for_a_student_that_is_certain_and_wrong():
    student, teacher = torch.tensor([[1e4, 0.0]]), torch.tensor([[0.0, 1e4]])
    _, slope = gradient(SOFT["soft_target_kl"], student, teacher)
    torch.testing.assert_close(slope, torch.tensor([[2.0, -2.0]]))


@soft_losses
@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_a_soft_loss_of_half_precision_input_is_computed_in_float32(loss, dtype):
    student, teacher = pair(scale=3.0, dtype=dtype)
    values = loss(student, teacher)
    assert values.dtype == torch.float32
    torch.testing.assert_close(values, loss(student.float(), teacher.float()), rtol=0, atol=0)


@hard_losses
def test_a_hard_loss_of_bfloat16_input_is_computed_in_float32(loss, labels, missing):
    logits = predictions_for(labels, dtype=torch.bfloat16)
    values = loss(logits, labels)
    assert values.dtype == torch.float32
    torch.testing.assert_close(values, loss(logits.float(), labels), rtol=0, atol=0)


@soft_losses
def test_a_soft_loss_keeps_float64(loss):
    assert loss(*pair(dtype=torch.float64)).dtype == torch.float64


@soft_losses
@pytest.mark.parametrize("scale", [1.0, 1e4])
def test_a_soft_loss_is_zero_when_student_equals_teacher(loss, scale):
    logits, _ = pair(scale=scale)
    values, slope = gradient(loss, logits, logits.clone())
    assert values.abs().max() < 1e-6 and slope.abs().max() < 1e-6


@soft_losses
def test_no_gradient_flows_into_the_teacher(loss):
    student, teacher = pair()
    student.requires_grad_()
    teacher.requires_grad_()
    loss(student, teacher).sum().backward()
    assert teacher.grad is None and student.grad.abs().max() > 0


@hard_losses
def test_a_missing_label_gives_zero_and_no_gradient(loss, labels, missing):
    labels = labels.clone()
    labels[1] = missing
    values, slope = gradient(loss, predictions_for(labels), labels)
    assert values[1] == 0 and slope[1].abs().max() == 0
    assert (values[[0, 2, 3]] > 0).all() and slope.isfinite().all()


@soft_losses
def test_a_soft_loss_rejects_shapes_that_would_broadcast(loss):
    student, teacher = pair()
    with pytest.raises(ValueError, match=r"\(4, 6\).*\(1, 6\)"):
        loss(student, teacher[:1])


def scores_and_mask(dtype=torch.float32, scale=1.0):
    return (*pair((2, 3, 4, 4), scale, dtype), torch.tensor([[1, 1, 1, 0], [0, 0, 0, 0]], dtype=torch.bool))


attention_losses = pytest.mark.parametrize("loss", [losses.attention_mse, losses.attention_kl])


@attention_losses
@pytest.mark.parametrize("scale", [1.0, 1e4])
def test_a_row_of_padding_only_has_zero_attention_loss_and_no_gradient(loss, scale):
    values, slope = gradient(loss, *scores_and_mask(scale=scale))
    assert values[1].abs().max() == 0 and values[0].min() > 0 and values.isfinite().all()
    assert slope[1].abs().max() == 0 and slope[0, ..., 3].abs().max() == 0 and slope.isfinite().all()


@attention_losses
@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_attention_of_half_precision_is_compared_in_float32(loss, dtype):
    student, teacher, mask = scores_and_mask(dtype)
    values = loss(student, teacher, mask)
    assert values.dtype == torch.float32
    torch.testing.assert_close(values, loss(student.float(), teacher.float(), mask), rtol=0, atol=0)


@attention_losses
def test_a_loss_of_attention_rejects_different_numbers_of_heads(loss):
    student, teacher, mask = scores_and_mask()
    with pytest.raises(ValueError, match=r"\(2, 1, 4, 4\).*\(2, 3, 4, 4\)"):
        loss(student[:, :1], teacher, mask)


def test_heads_that_do_not_divide_the_width_are_rejected():
    with pytest.raises(ValueError, match="5 heads do not divide a width of 6"):
        losses.dot_products(*pair((2, 3, 6)), 5)


WHOLE_BATCH = [losses.relational_distance, losses.relational_angle, losses.similarity_preserving]
whole_batch_losses = pytest.mark.parametrize("loss", WHOLE_BATCH)


@whole_batch_losses
def test_equal_examples_have_a_finite_gradient(loss):
    points = torch.ones(4, 3)
    values, slope = gradient(loss, points, pair((4, 5))[1])
    assert values.shape == (1,) and values.isfinite().all() and slope.isfinite().all()


@whole_batch_losses
def test_a_batch_of_one_has_zero_loss(loss):
    values, slope = gradient(loss, *pair((1, 3)))
    assert values.abs().max() < 1e-6 and slope.abs().max() < 1e-6


@whole_batch_losses
def test_a_loss_of_a_whole_batch_does_not_depend_on_scale(loss):
    student, teacher = pair((5, 3))
    torch.testing.assert_close(loss(7 * student, teacher), loss(student, teacher))


PRODUCTS = {
    "relational_angle": losses.relational_angle,
    "similarity_preserving": losses.similarity_preserving,
    "similarity_kl": softened("similarity_kl"),
    "dot_products": lambda queries, keys: losses.dot_products(queries[None], keys[None], 2),
    "class_centers": lambda points, _: losses.class_centers([(points, torch.tensor([0, 1, 1, 0]))], 2),
    "matching_cost": lambda logits, targets: losses.matching_cost(
        logits[None],
        torch.ones(1, 4, 4) / 4,
        targets[None, :, :5].softmax(-1),
        torch.ones(1, 4, 4) / 4,
        exclusive=True,
    ),
}


@pytest.mark.parametrize("name", PRODUCTS)
def test_autocast_does_not_change_the_products_in_a_loss(name):
    expected = PRODUCTS[name](*pair())
    with torch.autocast("cpu", dtype=torch.bfloat16):
        assert torch.equal(PRODUCTS[name](*pair()), expected)


@whole_batch_losses
def test_hidden_states_that_are_not_pooled_are_rejected(loss):
    with pytest.raises(ValueError, match=r"\(2, 3, 4\)"):
        loss(*pair((2, 3, 4)))


@pytest.mark.parametrize("name", ["standardized_kl", "class_correlation", "decoupled_kl"])
def test_a_loss_that_is_constant_for_two_classes_rejects_them(name):
    with pytest.raises(ValueError, match="3 classes"):
        SOFT[name](*pair((2, 2)))


@pytest.mark.parametrize("labels", [torch.zeros(4, 6), torch.zeros(4, 1, dtype=torch.long)])
def test_decoupled_kl_rejects_other_labels_than_one_index_per_item(labels):
    with pytest.raises(ValueError, match="a whole number per item"):
        losses.decoupled_kl(*pair(), labels, temperature=1.0)


@pytest.mark.parametrize("loss", [losses.decoupled_kl, losses.normalized_soft_targets])
def test_a_missing_label_gives_zero_in_losses_of_the_labeled_class(loss):
    values, slope = gradient(lambda *pair: loss(*pair, torch.tensor([0, -100, 2, 3]), temperature=2.0), *pair())
    assert values[1] == 0 and slope[1].abs().max() == 0 and (values[[0, 2, 3]] > 0).all()


@pytest.mark.parametrize("loss", [losses.decoupled_kl, losses.normalized_soft_targets])
@pytest.mark.parametrize("scale", [20.0, 500.0, 1e4])
def test_a_labeled_class_that_is_certain_keeps_the_loss_finite(loss, scale):
    values, slope = gradient(lambda *pair: loss(*pair, torch.arange(4), temperature=1.0), *pair(scale=scale))
    assert values.isfinite().all() and slope.isfinite().all()


def test_a_one_hot_soft_label_equals_a_hard_label():
    logits, labels = pair()[0], torch.tensor([0, 5, 2, -100])
    soft = torch.nn.functional.one_hot(labels.clamp(min=0), 6).float()
    soft[3] = -100
    for soft_result, expected in zip(
        gradient(losses.cross_entropy, logits, soft), gradient(losses.cross_entropy, logits, labels), strict=True
    ):
        torch.testing.assert_close(soft_result, expected)


def test_soft_labels_of_another_number_of_classes_are_rejected():
    with pytest.raises(ValueError, match=r"shape of the logits, \(4, 6\); got \(4, 5\)"):
        losses.cross_entropy(pair()[0], torch.ones(4, 5) / 5)


def test_squared_error_rejects_more_predictions_than_targets():
    with pytest.raises(ValueError, match=r"\(4, 6\).*\(4,\)"):
        losses.squared_error(pair()[0], torch.zeros(4))


def sparse_loss(logits, *, ids=((0, 2), (5, 1)), weights=((0.75, 0.25), (0.5, 0.25)), temperature=2.0, **settings):
    return losses.sparse_target_kl(
        logits, torch.tensor(ids), torch.tensor(weights), temperature=temperature, **settings
    )


ALL_OF_SPARSE = [{}, {"entropy": torch.tensor([0.5, 1.0])}, {"rest": torch.tensor([0.0, 0.25])}]
sparse_kinds = pytest.mark.parametrize("settings", ALL_OF_SPARSE, ids=["drawn", "with entropy", "with rest"])


@sparse_kinds
def test_padding_of_sparse_targets_has_no_effect_even_at_a_logit_of_minus_infinity(settings):
    logits = pair((2, 6))[0]
    logits[:, 4] = -float("inf")
    padded = {"ids": ((0, 2, 4, 4), (5, 1, 5, 4)), "weights": ((0.75, 0.25, 0.0, 0.0), (0.5, 0.25, 0.0, 0.0))}
    for unpadded, padded_result in zip(
        gradient(lambda one: sparse_loss(one, **settings), logits),
        gradient(lambda one: sparse_loss(one, **padded, **settings), logits),
        strict=True,
    ):
        assert unpadded.isfinite().all()
        torch.testing.assert_close(padded_result, unpadded, rtol=0, atol=0)


@sparse_kinds
def test_the_loss_of_sparse_targets_is_finite_for_logits_of_ten_thousand(settings):
    values, slope = gradient(lambda one: sparse_loss(one, **settings), pair((2, 6), scale=1e4)[0])
    assert values.isfinite().all() and slope.isfinite().all()


@sparse_kinds
def test_the_loss_of_sparse_targets_of_half_precision_is_computed_in_float32(settings):
    logits = pair((2, 6), dtype=torch.bfloat16)[0]
    values = sparse_loss(logits, **settings)
    assert values.dtype == torch.float32
    torch.testing.assert_close(values, sparse_loss(logits.float(), **settings), rtol=0, atol=0)


def test_a_student_certain_of_the_teachers_only_token_has_zero_loss():
    certain = {"ids": ((3,), (1,)), "weights": ((1.0,), (1.0,))}
    logits = torch.full((2, 6), -1e4)
    logits[0, 3] = logits[1, 1] = 1e4
    for settings in ({"entropy": torch.zeros(2)}, {"rest": torch.zeros(2)}):
        values, slope = gradient(lambda one, more=settings: sparse_loss(one, **certain, **more), logits)
        assert values.abs().max() == 0 and slope.abs().max() == 0


def test_with_the_rest_the_loss_is_zero_only_for_equal_predictions():
    logits = torch.tensor([[0.3, 0.2, 0.1, 0.4], [0.4, 0.3, 0.2, 0.1]]).log()
    same = {"ids": ((0, 3), (0, 3)), "weights": ((0.3, 0.4), (0.3, 0.4)), "rest": torch.tensor([0.3, 0.3])}
    values = sparse_loss(logits, temperature=1.0, **same)
    assert values[0].abs() < 1e-6 and values[1] > 0.1


@pytest.mark.parametrize(
    "settings",
    [{"weights": ((1.0,), (1.0,))}, {"ids": ((0, 2),), "weights": ((0.5, 0.5),)}, {"entropy": torch.zeros(1)}],
    ids=["weights", "items", "entropy"],
)
def test_sparse_targets_of_other_items_are_rejected(settings):
    with pytest.raises(ValueError, match=r"\(2, 6\).*Keep the items of both in one order"):
        sparse_loss(pair((2, 6))[0], **settings)


def test_a_divergence_over_one_class_is_rejected():
    with pytest.raises(ValueError, match="1 class is always 0"):
        SOFT["soft_target_kl"](*pair((4, 1)))


@pytest.mark.parametrize("count", [8, torch.tensor(8)])
def test_the_reduction_divides_by_the_count_of_the_whole_step(count):
    values, mask = torch.tensor([1.0, 2.0, 4.0]), torch.tensor([True, False, True])
    assert losses.mean_over_items(values, mask, count) == 5 / 8


@pytest.mark.parametrize("count", [0, torch.tensor(0)])
def test_the_reduction_of_nothing_is_zero_with_a_zero_gradient(count):
    values = torch.tensor([1.0, 2.0], requires_grad=True)
    total = losses.mean_over_items(values, torch.tensor([False, False]), count)
    total.backward()
    assert total == 0 and values.grad.tolist() == [0, 0]


def test_an_item_that_does_not_count_may_be_infinite_or_nan():
    values = torch.tensor([1.0, float("inf"), float("nan")])
    assert losses.mean_over_items(values, torch.tensor([True, False, False]), 1) == 1


def test_the_reduction_rejects_a_mask_of_another_shape():
    with pytest.raises(ValueError, match=r"\(4, 1\).*\(4,\)"):
        losses.mean_over_items(torch.zeros(4, 1), torch.ones(4, dtype=torch.bool), 4)


def test_similarity_kl_of_two_texts_is_zero():
    points = torch.randn(2, 4, requires_grad=True)
    value = losses.similarity_kl(points, torch.randn(2, 3), temperature=0.05)
    value.sum().backward()
    assert value.tolist() == [0.0] and not points.grad.any()


def test_similarity_kl_is_zero_for_rotated_and_scaled_points():
    points, turn = torch.randn(6, 4), torch.linalg.qr(torch.randn(4, 4))[0]
    assert losses.similarity_kl(3 * points @ turn, points, temperature=0.05).abs() < 1e-6


def test_scores_of_another_number_of_pairs_are_rejected():
    with pytest.raises(ValueError, match=r"two embeddings for each of the 3 scores, shape \(6, width\).*got \(5, 4\)"):
        losses.pair_cosine_error(torch.randn(5, 4), torch.zeros(3))
