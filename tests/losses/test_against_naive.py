"""Every loss equals its slow reference version, in value and gradient."""

import pytest
import torch

from distil_nlp import losses

from . import naive

SHAPES = [(1, 2), (4, 5), (2, 3, 7), (3, 30)]


def logits(shape, seed, spread=3.0):
    return spread * torch.randn(shape, generator=torch.Generator().manual_seed(seed))


def class_labels(shape, num_classes, missing):
    labels = torch.randint(num_classes, shape, generator=torch.Generator().manual_seed(9))
    labels.view(-1)[:missing] = -100
    return labels


def value_and_gradient(loss, first, *others):
    """The values, and their gradient under weights that differ between items."""
    first = first.clone().requires_grad_()
    values = loss(first, *others)
    weights = torch.linspace(0.5, 1.5, values.numel(), dtype=values.dtype).view(values.shape)
    (values * weights).sum().backward()
    return values.detach().double(), first.grad.double()


def assert_as_naive(loss, reference, *tensors, tolerance=1e-5):
    values, gradient = value_and_gradient(loss, *tensors)
    expected, expected_gradient = value_and_gradient(reference, *tensors)
    assert values.shape == expected.shape
    assert (values - expected).abs().max() <= tolerance * expected.abs().max().clamp(min=1)
    assert (gradient - expected_gradient).abs().max() <= tolerance * expected_gradient.abs().max().clamp(min=1)


@pytest.mark.parametrize("temperature", [0.5, 1.0, 2.0, 8.0])
@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("name", ["soft_target_kl", "soft_target_bce"])
def test_a_softened_loss_equals_its_formula(name, shape, temperature):
    loss, reference = getattr(losses, name), getattr(naive, name)
    assert_as_naive(
        lambda *tensors: loss(*tensors, temperature=temperature),
        lambda *tensors: reference(*tensors, temperature=temperature),
        logits(shape, 0),
        logits(shape, 1),
    )


# Weights of five items over seven classes; the second has one class, the third a rest of 0.
STORED = torch.tensor([[2, 5, 0], [6, 0, 0], [4, 1, 3], [1, 2, 6], [3, 0, 0]])
WEIGHTS = torch.tensor([[0.5, 0.25, 0.0], [1.0, 0.0, 0.0], [0.25, 0.5, 0.25], [0.1, 0.1, 0.2], [0.5, 0.0, 0.0]])


@pytest.mark.parametrize("temperature", [0.5, 1.0, 4.0])
@pytest.mark.parametrize("of", ["rest", "entropy", "neither"])
def test_sparse_target_kl_equals_its_formula(of, temperature):
    settings = {"temperature": temperature}
    if of != "neither":
        settings[of] = (1 - WEIGHTS.sum(-1)) if of == "rest" else torch.linspace(0, 2, 5)
    assert_as_naive(
        lambda student: losses.sparse_target_kl(student, STORED, WEIGHTS, **settings),
        lambda student: naive.sparse_target_kl(student, STORED, WEIGHTS, **settings),
        logits((5, 7), 0),
    )


@pytest.mark.parametrize("temperature", [0.5, 1.0, 4.0])
@pytest.mark.parametrize("of", ["rest", "entropy"])
def test_sparse_target_kl_of_all_classes_equals_soft_target_kl(of, temperature):
    teacher = (logits((2, 3, 7), 1) / temperature).softmax(-1)
    entropy = -(teacher * teacher.log()).sum(-1)
    settings = {"rest": torch.zeros(2, 3)} if of == "rest" else {"entropy": entropy}
    assert_as_naive(
        lambda student: losses.sparse_target_kl(
            student, torch.arange(7).expand(2, 3, 7), teacher, temperature=temperature, **settings
        ),
        lambda student: naive.soft_target_kl(student, logits((2, 3, 7), 1), temperature=temperature),
        logits((2, 3, 7), 0),
    )


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("name", ["logit_mse", "hidden_mse"])
def test_a_squared_distance_equals_its_formula(name, shape):
    assert_as_naive(getattr(losses, name), naive.mean_square, logits(shape, 0), logits(shape, 1))


@pytest.mark.parametrize("missing", [0, 1])
@pytest.mark.parametrize("shape", SHAPES)
def test_cross_entropy_equals_its_formula(shape, missing):
    labels = class_labels(shape[:-1], shape[-1], missing)
    assert_as_naive(losses.cross_entropy, naive.cross_entropy, logits(shape, 0), labels)


@pytest.mark.parametrize("missing", [0, 1])
@pytest.mark.parametrize("shape", SHAPES)
def test_cross_entropy_of_soft_labels_equals_its_formula(shape, missing):
    labels = logits(shape, 1).softmax(-1)
    labels.view(-1, shape[-1])[:missing] = -100
    assert_as_naive(losses.cross_entropy, naive.soft_cross_entropy, logits(shape, 0), labels)


@pytest.mark.parametrize("missing", [0, 1])
@pytest.mark.parametrize("shape", [(1, 1), (4, 5), (3, 30)])
def test_binary_cross_entropy_equals_its_formula(shape, missing):
    labels = torch.rand(shape, generator=torch.Generator().manual_seed(5)).round()
    labels[:missing] = -100
    assert_as_naive(losses.binary_cross_entropy, naive.binary_cross_entropy, logits(shape, 0), labels)


@pytest.mark.parametrize("missing", [0, 1])
@pytest.mark.parametrize("shape", [(4,), (4, 1)])
def test_squared_error_equals_its_formula(shape, missing):
    targets = logits((4,), 1)
    targets[:missing] = float("nan")
    assert_as_naive(losses.squared_error, naive.squared_error, logits(shape, 0), targets)


CLASSES = [shape for shape in SHAPES if shape[-1] > 2]


@pytest.mark.parametrize("temperature", [0.5, 1.0, 4.0])
@pytest.mark.parametrize("shape", CLASSES)
@pytest.mark.parametrize("name", ["standardized_kl", "class_correlation"])
def test_a_softened_loss_of_many_classes_equals_its_formula(name, shape, temperature):
    loss, reference = getattr(losses, name), getattr(naive, name)
    assert_as_naive(
        lambda *tensors: loss(*tensors, temperature=temperature),
        lambda *tensors: reference(*tensors, temperature=temperature),
        logits(shape, 0),
        logits(shape, 1),
    )


@pytest.mark.parametrize("missing", [0, 1])
@pytest.mark.parametrize("temperature", [1.0, 4.0])
@pytest.mark.parametrize("shape", CLASSES)
@pytest.mark.parametrize(
    ("name", "weights"),
    [
        ("decoupled_kl", {"target_weight": 1.0, "other_weight": 8.0}),
        ("decoupled_kl", {"target_weight": 0.0, "other_weight": 0.5}),
        ("normalized_soft_targets", {"other_weight": 1.5}),
    ],
)
def test_a_loss_that_separates_the_labeled_class_equals_its_formula(name, weights, shape, temperature, missing):
    settings = {"temperature": temperature, **weights}
    assert_as_naive(
        lambda *tensors: getattr(losses, name)(*tensors, **settings),
        lambda *tensors: getattr(naive, name)(*tensors, **settings),
        logits(shape, 0),
        logits(shape, 1),
        class_labels(shape[:-1], shape[-1], missing),
    )


@pytest.mark.parametrize("temperature", [1.0, 4.0])
def test_batch_correlation_equals_its_formula(temperature):
    assert_as_naive(
        lambda *tensors: losses.batch_correlation(*tensors, temperature=temperature),
        lambda *tensors: naive.batch_correlation(*tensors, temperature=temperature),
        logits((5, 3), 0),
        logits((5, 3), 1),
    )


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("name", ["hidden_cosine", "normalized_mse"])
def test_a_distance_of_directions_equals_its_formula(name, shape):
    assert_as_naive(getattr(losses, name), getattr(naive, name), logits(shape, 0), logits(shape, 1))


@pytest.mark.parametrize("num_heads", [1, 2, 6])
def test_dot_products_equal_their_formula(num_heads):
    assert_as_naive(
        lambda *tensors: losses.dot_products(*tensors, num_heads),
        lambda *tensors: naive.dot_products(*tensors, num_heads),
        logits((2, 4, 6), 0),
        logits((2, 4, 6), 1),
    )


@pytest.mark.parametrize("name", ["attention_mse", "attention_kl"])
def test_a_loss_of_attention_equals_its_formula_with_and_without_padding(name):
    mask = torch.tensor([[1, 1, 1, 1], [1, 1, 0, 0], [0, 0, 0, 0]], dtype=torch.bool)
    assert_as_naive(
        lambda *scores: getattr(losses, name)(*scores, mask),
        lambda *scores: getattr(naive, name)(*scores, mask),
        logits((3, 2, 4, 4), 0),
        logits((3, 2, 4, 4), 1),
    )


@pytest.mark.parametrize("name", ["relational_distance", "relational_angle", "similarity_preserving"])
def test_a_loss_of_a_whole_batch_equals_its_formula_for_different_widths(name):
    assert_as_naive(getattr(losses, name), getattr(naive, name), logits((5, 4), 0), logits((5, 7), 1))


@pytest.mark.parametrize("temperature", [0.1, 1.0])
def test_similarity_kl_equals_its_formula_for_different_widths(temperature):
    assert_as_naive(
        lambda *points: losses.similarity_kl(*points, temperature=temperature),
        lambda *points: naive.similarity_kl(*points, temperature=temperature),
        logits((5, 4), 0),
        logits((5, 7), 1),
    )


@pytest.mark.parametrize("missing", [0, 1, 3])
def test_pair_cosine_error_equals_its_formula(missing):
    scores = torch.rand(3, generator=torch.Generator().manual_seed(5))
    scores[:missing] = float("nan")
    assert_as_naive(losses.pair_cosine_error, naive.pair_cosine_error, logits((6, 4), 0), scores)


# Example, channels, height, width: of the student, of the teacher.
MAPS = [((3, 4, 5, 6), (3, 4, 5, 6)), ((1, 1, 1, 2), (1, 1, 1, 2)), ((2, 3, 4, 1), (2, 3, 4, 1))]
SIZES = [*MAPS, ((2, 3, 7, 4), (2, 5, 3, 4)), ((2, 3, 2, 5), (2, 1, 4, 3))]


@pytest.mark.parametrize(("student_shape", "teacher_shape"), MAPS)
@pytest.mark.parametrize("name", ["hint_mse", "pearson_maps"])
def test_a_loss_of_maps_equals_its_formula(name, student_shape, teacher_shape):
    assert_as_naive(getattr(losses, name), getattr(naive, name), logits(student_shape, 0), logits(teacher_shape, 1))


@pytest.mark.parametrize(("student_shape", "teacher_shape"), SIZES)
def test_attention_transfer_equals_its_formula_for_different_shapes(student_shape, teacher_shape):
    assert_as_naive(
        losses.attention_transfer, naive.attention_transfer, logits(student_shape, 0), logits(teacher_shape, 1)
    )


@pytest.mark.parametrize("temperature", [0.5, 1.0, 4.0])
@pytest.mark.parametrize(("student_shape", "teacher_shape"), MAPS)
def test_channel_wise_kl_equals_its_formula(student_shape, teacher_shape, temperature):
    assert_as_naive(
        lambda *maps: losses.channel_wise_kl(*maps, temperature=temperature),
        lambda *maps: naive.channel_wise_kl(*maps, temperature=temperature),
        logits(student_shape, 0),
        logits(teacher_shape, 1),
    )


@pytest.mark.parametrize("missing", [0, 2])
@pytest.mark.parametrize("margin", [0.0, 0.35, 0.5, 1.5])
@pytest.mark.parametrize("name", ["angular_margin_loss", "cosine_margin_loss"])
def test_a_margin_loss_equals_its_formula_for_embeddings_and_centers(name, margin, missing):
    embeddings, centers, settings = logits((8, 5), 0), logits((4, 5), 1), {"margin": margin, "scale": 8.0}
    labels, loss, reference = class_labels((8,), 4, missing), getattr(losses, name), getattr(naive, name)
    assert_as_naive(
        lambda *tensors: loss(*tensors, labels, **settings),
        lambda *tensors: reference(*tensors, labels, **settings),
        embeddings,
        centers,
    )
    assert_as_naive(
        lambda tensor: loss(embeddings, tensor, labels, **settings),
        lambda tensor: reference(embeddings, tensor, labels, **settings),
        centers,
    )


def test_the_gradient_of_soft_targets_keeps_its_scale_when_temperature_grows():
    student, teacher = logits((6, 10), 0, spread=0.1), logits((6, 10), 1, spread=0.1)
    cold, hot = (
        value_and_gradient(lambda *pair, heat=heat: losses.soft_target_kl(*pair, temperature=heat), student, teacher)[
            1
        ]
        for heat in (2.0, 20.0)
    )
    assert (hot - cold).abs().max() < 0.1 * cold.abs().max()
