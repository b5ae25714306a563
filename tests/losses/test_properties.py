"""Properties of the losses over drawn logits: finite where the mathematics is, the gradient of a plain float64 formula."""

import torch
from hypothesis import strategies as st

from distil_nlp import losses
from tests.drawn import drawn

INF = float("inf")
SEEDS = st.integers(0, 2**31 - 1)
TEMPERATURES = st.sampled_from([0.25, 0.5, 1.0, 2.0, 4.0, 20.0])
SHAPES = st.tuples(st.integers(1, 4), st.integers(3, 9))
SPREADS = st.sampled_from([0.01, 1.0, 3.0, 30.0])
# The loss of logits and labels, and whether it is a divergence: 0 for equal distributions, and never below.
SOFT = {
    "soft_target_kl": (lambda s, t, labels, T: losses.soft_target_kl(s, t, temperature=T), True),
    "soft_target_bce": (lambda s, t, labels, T: losses.soft_target_bce(s, t, temperature=T), True),
    "decoupled_kl": (lambda s, t, labels, T: losses.decoupled_kl(s, t, labels, temperature=T), True),
    "normalized": (lambda s, t, labels, T: losses.normalized_soft_targets(s, t, labels, temperature=T), False),
    "class_correlation": (lambda s, t, labels, T: losses.class_correlation(s, t, temperature=T), True),
    "batch_correlation": (lambda s, t, labels, T: losses.batch_correlation(s, t, temperature=T), True),
    "standardized_kl": (lambda s, t, labels, T: losses.standardized_kl(s, t, temperature=T), True),
    "ctc_frame_kl": (
        lambda s, t, labels, T: losses.ctc_frame_kl(s[None], t[None], temperature=T, blank=0, blank_weight=0.1),
        True,
    ),
    "similarity_kl": (lambda s, t, labels, T: losses.similarity_kl(s, t, temperature=T), True),
    "channel_wise_kl": (
        lambda s, t, labels, T: losses.channel_wise_kl(s[:, None, None], t[:, None, None], temperature=T),
        True,
    ),
    "attention_kl": (
        lambda s, t, labels, T: losses.attention_kl(
            s[:, None, None], t[:, None, None], torch.ones(s.shape, dtype=torch.bool)
        ),
        True,
    ),
}
# Those with a value for a class of probability 0.
EXCLUDING = [name for name in SOFT if name not in ("standardized_kl", "similarity_kl")]


def draw_logits(seed, shape, spread):
    generator = torch.Generator().manual_seed(seed)
    student, teacher = (spread * torch.randn(shape, generator=generator) for _ in range(2))
    labels = torch.randint(shape[-1], shape[:1], generator=generator)
    labels[torch.rand(len(labels), generator=generator) < 0.2] = -100
    # Classes that the teacher excludes, at least two remain; those that both exclude.
    excluded = torch.rand(shape, generator=generator) < 0.3
    excluded[:, :2] = False
    return student, teacher, labels, excluded


def value_and_gradient(loss, student, *others):
    student = student.clone().requires_grad_()
    values = loss(student, *others)
    (values * torch.linspace(0.5, 1.5, values.numel(), dtype=values.dtype).view(values.shape)).sum().backward()
    return values.detach(), student.grad


def plain_kl(student, teacher, temperature):
    """Over the classes that the teacher does not exclude, in float64."""
    values = []
    for student_row, teacher_row in zip(student.double(), teacher.double(), strict=True):
        log_p = (student_row / temperature) - (student_row / temperature).logsumexp(0)
        q = (teacher_row / temperature).softmax(0)
        held = q > 0
        values.append((q[held] * (q[held].log() - log_p[held])).sum() * temperature**2)
    return torch.stack(values)


@drawn(name=st.sampled_from(list(SOFT)), seed=SEEDS, shape=SHAPES, spread=SPREADS, temperature=TEMPERATURES)
def test_a_loss_is_finite_and_no_divergence_is_below_zero(name, seed, shape, spread, temperature):
    loss, is_divergence = SOFT[name]
    student, teacher, labels, _ = draw_logits(seed, shape, spread)
    values, gradient = value_and_gradient(loss, student, teacher, labels, temperature)
    assert values.isfinite().all() and gradient.isfinite().all()
    if is_divergence:
        rounding = 1e-5 * temperature**2 * shape[-1]
        assert values.min() >= -rounding
        assert loss(teacher, teacher, labels, temperature).abs().max() <= rounding


def test_probabilities_too_small_for_float32_have_a_finite_gradient():
    student, teacher, _, _ = draw_logits(99, (4, 8), 30.0)
    probabilities = (student / 0.25).softmax(-1)
    largest = probabilities.amax(0)
    assert ((largest > 0) & (largest < torch.finfo().tiny)).any()
    _, gradient = value_and_gradient(SOFT["batch_correlation"][0], student, teacher, None, 0.25)
    assert gradient.isfinite().all() and gradient.any()


@drawn(name=st.sampled_from(EXCLUDING), seed=SEEDS, shape=SHAPES, spread=SPREADS, temperature=TEMPERATURES,
       by_student=st.booleans())  # fmt: skip
def test_a_class_that_the_teacher_excludes_has_a_finite_loss(name, seed, shape, spread, temperature, by_student):
    student, teacher, labels, excluded = draw_logits(seed, shape, spread)
    teacher = teacher.masked_fill(excluded, -INF)
    if by_student:
        student = student.masked_fill(excluded, -INF)
    labels = labels.masked_fill(labels > 1, 1)  # not a class that the student excludes
    values, gradient = value_and_gradient(SOFT[name][0], student, teacher, labels, temperature)
    assert values.isfinite().all() and gradient.isfinite().all()
    # The limit: a very low number instead, the same for both. A number, not -inf, had the right loss before.
    low = [logits.masked_fill(logits == -INF, -1e4) for logits in (student, teacher)]
    expected, expected_gradient = value_and_gradient(SOFT[name][0], *low, labels, temperature)
    if temperature <= 4:
        torch.testing.assert_close(values, expected, rtol=1e-4, atol=1e-5)
        torch.testing.assert_close(gradient, expected_gradient, rtol=1e-4, atol=1e-5)


@drawn(seed=SEEDS, shape=SHAPES, spread=st.sampled_from([0.1, 1.0, 5.0]), temperature=TEMPERATURES)
def test_soft_targets_equal_a_plain_float64_formula_with_excluded_classes(seed, shape, spread, temperature):
    student, teacher, _, excluded = draw_logits(seed, shape, spread)
    teacher = teacher.masked_fill(excluded, -INF)
    values, gradient = value_and_gradient(
        lambda s, t: losses.soft_target_kl(s, t, temperature=temperature), student.double(), teacher.double()
    )
    expected, expected_gradient = value_and_gradient(
        lambda s, t: plain_kl(s, t, temperature), student.double(), teacher
    )
    torch.testing.assert_close(values, expected, rtol=1e-9, atol=1e-9)
    torch.testing.assert_close(gradient, expected_gradient, rtol=1e-9, atol=1e-9)


@drawn(name=st.sampled_from(list(SOFT)), seed=SEEDS, shape=SHAPES, temperature=TEMPERATURES)
def test_the_order_of_the_items_does_not_matter(name, seed, shape, temperature):
    loss = SOFT[name][0]
    student, teacher, labels, _ = draw_logits(seed, shape, 2.0)
    order = torch.randperm(shape[0], generator=torch.Generator().manual_seed(seed))
    values = loss(student, teacher, labels, temperature)
    turned = loss(student[order], teacher[order], labels[order], temperature)
    expected = values if values.numel() == 1 else values.view(-1)[order].view(values.shape)
    torch.testing.assert_close(turned, expected, rtol=1e-4, atol=1e-5 * temperature**2)


@drawn(seed=SEEDS, shape=SHAPES, temperature=TEMPERATURES)
def test_the_order_of_the_classes_does_not_matter(seed, shape, temperature):
    student, teacher, _, excluded = draw_logits(seed, shape, 2.0)
    teacher = teacher.masked_fill(excluded, -INF)
    order = torch.randperm(shape[1], generator=torch.Generator().manual_seed(seed))
    for name in ("soft_target_kl", "soft_target_bce", "class_correlation"):
        loss = SOFT[name][0]
        values = loss(student, teacher, None, temperature)
        turned = loss(student[:, order], teacher[:, order], None, temperature)
        torch.testing.assert_close(turned, values, rtol=1e-4, atol=1e-5 * temperature**2)


@drawn(
    seed=SEEDS,
    size=st.tuples(st.integers(1, 3), st.integers(1, 4), st.integers(0, 3)),
    kind=st.sampled_from(["kl", "mse"]),
)
def test_padding_of_attention_scores_changes_nothing_whatever_it_contains(seed, size, kind):
    batch, length, padding = size
    loss = {"kl": losses.attention_kl, "mse": losses.attention_mse}[kind]
    generator = torch.Generator().manual_seed(seed)
    student, teacher = (torch.randn(batch, 2, length, length, generator=generator) for _ in range(2))
    mask = torch.ones(batch, length, dtype=torch.bool)
    values, gradient = value_and_gradient(lambda s, t: loss(s, t, mask), student, teacher)
    padded = [
        torch.nn.functional.pad(one, (0, padding), value=value) for one, value in ((student, 7.0), (teacher, -INF))
    ]
    longer = torch.nn.functional.pad(mask, (0, padding), value=False)
    padded_values, padded_gradient = value_and_gradient(lambda s, t: loss(s, t, longer), *padded)
    torch.testing.assert_close(padded_values, values, rtol=1e-5, atol=1e-6)
    torch.testing.assert_close(padded_gradient[..., :length], gradient, rtol=1e-5, atol=1e-6)
    assert not padded_gradient[..., length:].any()


@drawn(seed=SEEDS, shape=SHAPES, temperature=TEMPERATURES, kept=st.integers(1, 9), exact=st.booleans())
def test_top_k_targets_equal_a_plain_float64_formula(seed, shape, temperature, kept, exact):
    student, teacher, _, excluded = draw_logits(seed, shape, 3.0)
    q = (teacher.masked_fill(excluded, -INF).double() / temperature).softmax(-1)
    weights, ids = q.topk(min(kept, shape[1] if exact else shape[1] - 1))
    rest = (1 - weights.sum(-1)).clamp(min=0) if weights.shape[1] < shape[1] else torch.zeros(shape[0]).double()

    def plain(student):
        log_p = (student / temperature).log_softmax(-1)
        others = log_p.exp().scatter(-1, ids, 0).sum(-1)
        stored = torch.where(weights > 0, weights * (weights.clamp(min=1e-300).log() - log_p.gather(-1, ids)), 0)
        last = torch.where(rest > 1e-12, rest * (rest.clamp(min=1e-300) / others.clamp(min=1e-300)).log(), 0)
        return (stored.sum(-1) + last) * temperature**2

    mine = value_and_gradient(
        lambda s: losses.sparse_target_kl(s, ids, weights, temperature=temperature, rest=rest), student.double()
    )
    for value, expected in zip(mine, value_and_gradient(plain, student.double()), strict=True):
        torch.testing.assert_close(value, expected, rtol=1e-6, atol=1e-6)


@drawn(seed=SEEDS, shape=SHAPES, excluded=st.booleans())
def test_hard_losses_equal_plain_float64_formulas(seed, shape, excluded):
    student, teacher, labels, mask = draw_logits(seed, shape, 3.0)
    if excluded:  # of a label that is 0: its loss is 0
        student = student.masked_fill(mask, -INF)
    labels = labels.masked_fill(labels > 1, 1)
    soft = teacher.softmax(-1).masked_fill(mask, 0)
    yes = (torch.rand(shape, generator=torch.Generator().manual_seed(seed)) < 0.5).float().masked_fill(mask, 0)

    def nll(s):
        picked = s.log_softmax(-1).gather(-1, labels.clamp(min=0)[:, None]).squeeze(-1)
        return torch.where(labels >= 0, -picked, 0)

    def soft_nll(s):
        rows = zip(soft.double(), s, strict=True)
        return torch.stack([-(p[p > 0] * row.log_softmax(0)[p > 0]).sum() for p, row in rows])

    def binary(s):
        values = []
        for row, targets, certain in zip(s, yes.double(), mask & excluded, strict=True):
            right = torch.where(targets > 0, row, -row)[~certain]
            values.append(-right.sigmoid().log().sum() / len(row))
        return torch.stack(values)

    pairs = [
        (lambda s: losses.cross_entropy(s, labels), nll),
        (lambda s: losses.cross_entropy(s, soft), soft_nll),
        (lambda s: losses.binary_cross_entropy(s, yes), binary),
    ]
    for mine, plain in pairs:
        for value, expected in zip(
            value_and_gradient(mine, student.double()), value_and_gradient(plain, student.double()), strict=True
        ):
            torch.testing.assert_close(value, expected, rtol=1e-6, atol=1e-7)


@drawn(seed=SEEDS, num_teachers=st.integers(1, 3), shape=SHAPES, temperature=TEMPERATURES)
def test_the_mean_of_teachers_is_the_mean_of_their_probabilities(seed, num_teachers, shape, temperature):
    generator = torch.Generator().manual_seed(seed)
    logits = 3 * torch.randn(num_teachers, *shape, generator=generator, dtype=torch.float64)
    excluded = torch.rand(logits.shape, generator=generator) < 0.3
    excluded[:, :, 0] = False
    logits = logits.masked_fill(excluded, -INF)
    weights = torch.rand(num_teachers, 1, generator=generator, dtype=torch.float64) + 0.1
    weights = weights / weights.sum()
    for mean, squash in ((losses.mean_softmax, lambda x: x.softmax(-1)), (losses.mean_sigmoid, torch.sigmoid)):
        expected = (weights[:, :, None] * squash(logits / temperature)).sum(0)
        result = mean(logits, weights, temperature=temperature)
        torch.testing.assert_close(squash(result / temperature), expected, rtol=1e-9, atol=1e-12)


@drawn(
    seed=SEEDS,
    size=st.tuples(st.integers(1, 7), st.integers(0, 4), st.integers(0, 3)),
    excluded=st.booleans(),
)
def test_ctc_depends_on_the_valid_frames_and_labels_alone(seed, size, excluded):
    frames, tokens, padding = size
    generator = torch.Generator().manual_seed(seed)
    logits = torch.randn(2, frames, 6, generator=generator)
    labels = torch.randint(1, 4, (2, tokens), generator=generator)
    if excluded:
        logits[..., 5] = -INF  # no label
    mask = torch.ones(2, frames, dtype=torch.bool)
    values, gradient = value_and_gradient(lambda s: losses.ctc_loss(s, mask, labels, blank=0), logits)
    assert values.isfinite().all() and gradient.isfinite().all() and values.min() >= 0
    longer = torch.nn.functional.pad(logits, (0, 0, 0, padding), value=3.0)
    padded_values, padded_gradient = value_and_gradient(
        lambda s: losses.ctc_loss(
            s,
            torch.nn.functional.pad(mask, (0, padding), value=False),
            torch.nn.functional.pad(labels, (0, padding), value=-100),
            blank=0,
        ),
        longer,
    )
    torch.testing.assert_close(padded_values, values, rtol=1e-5, atol=1e-6)
    torch.testing.assert_close(padded_gradient[:, :frames], gradient, rtol=1e-4, atol=1e-6)


def test_a_class_that_only_the_student_excludes_has_an_infinite_loss():
    student, teacher = torch.tensor([[1.0, -INF, 0.5]]), torch.tensor([[0.3, 0.2, 1.0]])
    labels, excluded = torch.tensor([1]), torch.tensor([[0, 2]])
    assert losses.soft_target_kl(student, teacher, temperature=2.0) == INF
    assert losses.decoupled_kl(student, teacher, labels, temperature=2.0) == INF
    assert losses.normalized_soft_targets(student, teacher, labels, temperature=2.0) == INF
    assert losses.cross_entropy(student, labels) == INF
    rest = torch.tensor([0.25])
    weights = torch.tensor([[0.5, 0.25]])
    assert losses.sparse_target_kl(student, excluded, weights, temperature=2.0, rest=rest) == INF
    frames = torch.ones(1, 1, dtype=torch.bool)
    assert losses.ctc_loss(student[None], frames, labels[None], blank=0) == INF


def test_a_teacher_certain_of_the_label_has_a_finite_decoupled_loss():
    teacher = torch.tensor([[-INF, 1.0, -INF]])
    student = torch.tensor([[0.5, 1.0, -0.5]])
    value, gradient = value_and_gradient(
        lambda s: losses.decoupled_kl(s, teacher, torch.tensor([1]), temperature=1.0), student
    )
    torch.testing.assert_close(value, losses.cross_entropy(student, torch.tensor([1])))
    assert gradient.isfinite().all()


def test_standardized_logits_of_a_masked_class_keep_the_size_of_their_deviations():
    teacher = torch.tensor([[0.5, 1.0, 2.0, -1e30]])
    scaled = torch.tensor([[0.0, 0.0, 0.0, -1.0]])  # all others are equal beside such a number
    student = torch.randn(1, 4, generator=torch.Generator().manual_seed(0))
    torch.testing.assert_close(
        losses.standardized_kl(student, teacher, temperature=2.0),
        losses.standardized_kl(student, scaled, temperature=2.0),
    )
