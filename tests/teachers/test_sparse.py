"""Sparse targets are sampled without bias, stored in few bytes, and decoded exactly."""

import json

import numpy as np
import pytest
import torch

from distil_nlp.teachers.cache.sparse import SampledFormat, TopKFormat, sampling_offsets, sparse_format

VOCABULARIES = [2, 512, 32_000, 151_936]
FORMATS = [SampledFormat(7, num_draws=5, temperature=2.0), TopKFormat(7, k=3, temperature=2.0)]
both_formats = pytest.mark.parametrize("form", FORMATS, ids=["sampled", "top_k"])


def logits(items, vocabulary, *, seed=0, spread=3.0):
    return spread * torch.randn(items, vocabulary, generator=torch.Generator().manual_seed(seed))


def dense(targets):
    """Targets as a dense table, shape (items, vocabulary)."""
    table = torch.zeros(len(targets.ids), targets.vocabulary, dtype=torch.float64)
    return table.scatter_add(-1, targets.ids, targets.weights.double())


def probabilities(scores, temperature=1.0):
    return (scores.double() / temperature).softmax(-1)


def of_entropy(nats, vocabulary):
    """Logits of a distribution as over words: probabilities fall as a power of the rank."""
    ranks, low, high = torch.arange(1, vocabulary + 1, dtype=torch.float64).log(), 0.5, 4.0
    for _ in range(40):
        power = (low + high) / 2
        one = (-power * ranks).log_softmax(-1)
        low, high = (power, high) if -(one.exp() * one).sum() > nats else (low, power)
    return one


# ---- Sampling ----


@pytest.mark.parametrize("temperature", [0.5, 1.0, 4.0])
@pytest.mark.parametrize("num_draws", [1, 5, 50])
def test_the_mean_over_all_offsets_is_the_softmax(num_draws, temperature):
    form, num_offsets, scores = SampledFormat(30, num_draws=num_draws, temperature=temperature), 400, logits(1, 30)
    offsets = (np.arange(num_offsets) + 0.5) / num_offsets
    sampled = dense(form.decode(form.encode(scores.expand(num_offsets, -1), offsets)))
    # The points of all offsets form a grid: no interval is off by more than one point.
    assert (sampled.mean(0) - probabilities(scores, temperature)).abs().max() <= 1.01 / (num_offsets * num_draws)


def test_every_weight_is_within_one_point_of_its_probability():
    form, scores = SampledFormat(512, num_draws=50), logits(40, 512)
    sampled = dense(form.decode(form.encode(scores, sampling_offsets(0, 0, 40))))
    assert (sampled - probabilities(scores)).abs().max() < 1 / 50
    torch.testing.assert_close(sampled.sum(-1), torch.ones(40, dtype=torch.float64))


@pytest.mark.parametrize("nats", [1.3, 2.7, 4.4])
def test_the_variance_is_less_than_half_of_that_of_independent_draws(nats):
    scores, form = of_entropy(nats, 2_000).float(), SampledFormat(2_000, num_draws=50)
    sampled = dense(form.decode(form.encode(scores.expand(200, -1), sampling_offsets(1, 0, 200))))
    truth = probabilities(scores)
    independent = (truth * (1 - truth)).sum() / 50  # the variance of shares of 50 independent draws
    assert (sampled - truth).square().sum(-1).mean() < 0.5 * independent


@pytest.mark.parametrize("offset", [0.0, 0.5, 1 - 2.0**-53])
@pytest.mark.parametrize("num_draws", [1, 50, 65_535])
def test_no_token_without_probability_is_sampled(offset, num_draws):
    scores = torch.full((3, 6), -float("inf"))
    scores[0, 2], scores[1, [1, 5]], scores[2, :4] = 7.0, 0.0, torch.tensor([1e4, -1e4, 0.0, 1e4])
    form = SampledFormat(6, num_draws=num_draws)
    targets = form.decode(form.encode(scores, np.full(3, offset)))
    sampled = dense(targets)
    assert sampled[probabilities(scores) == 0].abs().max() == 0
    torch.testing.assert_close(sampled.sum(-1), torch.ones(3, dtype=torch.float64))
    assert targets.entropy.tolist() == pytest.approx([0, np.log(2), np.log(2)], abs=1e-3)


@pytest.mark.parametrize("temperature", [1.0, 3.0])
def test_the_entropy_is_that_of_the_whole_softened_distribution(temperature):
    scores, form = logits(9, 512), SampledFormat(512, num_draws=4, temperature=temperature)
    entropy = form.decode(form.encode(scores, sampling_offsets(0, 0, 9))).entropy
    truth = probabilities(scores, temperature)
    np.testing.assert_allclose(entropy, -(truth * truth.log()).sum(-1), rtol=1e-3)


# ---- Encoding ----


def sample_slowly(scores, offsets, num_draws):
    """Reference: item by item, point by point."""
    rows = []
    for row, offset in zip(probabilities(scores).numpy(), offsets, strict=True):
        ends = row.cumsum() / row.sum()
        points = [int((ends <= (offset + step) / num_draws).sum()) for step in range(num_draws)]
        rows.append({token: points.count(token) / num_draws for token in points})
    return rows


@pytest.mark.parametrize("num_draws", [1, 50, 64, 255, 300])
@pytest.mark.parametrize("vocabulary", VOCABULARIES)
def test_sampled_tokens_are_decoded_as_they_were_sampled(vocabulary, num_draws):
    form, scores, offsets = (
        SampledFormat(vocabulary, num_draws=num_draws),
        logits(4, vocabulary),
        sampling_offsets(0, 1, 4),
    )
    scores[:, -1] += scores.max()  # so that the largest token id is sampled, too
    targets = form.decode(form.encode(scores.double(), offsets))
    decoded = [
        {int(token): pytest.approx(float(weight)) for token, weight in zip(*row, strict=True) if weight}
        for row in zip(targets.ids, targets.weights, strict=True)
    ]
    assert decoded == sample_slowly(scores, offsets, num_draws) and any(vocabulary - 1 in row for row in decoded)


@pytest.mark.parametrize("vocabulary", VOCABULARIES)
def test_top_k_tokens_are_decoded_with_the_probability_of_the_others(vocabulary):
    form, scores = TopKFormat(vocabulary, k=min(50, vocabulary)), logits(4, vocabulary)
    targets, truth = form.decode(form.encode(scores)), probabilities(scores)
    np.testing.assert_array_equal(targets.ids, truth.topk(form.k, sorted=True).indices)
    np.testing.assert_allclose(targets.weights, truth.gather(-1, targets.ids), rtol=6e-3)
    np.testing.assert_allclose(targets.rest, 1 - truth.topk(form.k).values.sum(-1), rtol=6e-3, atol=1e-6)
    np.testing.assert_allclose(targets.weights.sum(-1) + targets.rest, np.ones(4), rtol=1e-6)


@pytest.mark.parametrize("vocabulary", [32_000, 151_936])
def test_fifty_draws_take_at_most_sixty_bytes_at_the_entropy_of_language(vocabulary):
    form, scores = SampledFormat(vocabulary, num_draws=50), of_entropy(2.7, vocabulary).float()
    arrays = form.encode(scores.expand(20, -1), sampling_offsets(0, 0, 20))
    assert sum(array.nbytes for array in arrays.values()) / 20 <= 60


@pytest.mark.parametrize(
    ("form", "width"),
    [(SampledFormat(v, num_draws=n), w) for v, n, w in [(2, 1, 1), (512, 64, 2), (32_000, 50, 3), (151_936, 255, 4)]]
    + [(TopKFormat(v, k=2), w) for v, w in [(2, 2), (512, 3), (128_256, 4), (151_936, 5)]],
)
def test_an_entry_takes_the_fewest_bytes(form, width):
    arrays = form.encode(logits(3, form.vocabulary), sampling_offsets(0, 0, 3))
    assert arrays["entries"].shape[-1] == width
    assert {name: (array.dtype, array.shape[1:]) for name, array in arrays.items()} == form.arrays


def test_sizes_take_two_bytes_above_255_entries():
    assert [SampledFormat(v, num_draws=300).arrays["sizes"][0].itemsize for v in (200, 512)] == [1, 2]


@both_formats
def test_encoding_does_not_depend_on_the_batching(form, monkeypatch):
    scores, offsets = logits(11, 7), sampling_offsets(0, 4, 11)
    at_once = form.encode(scores, offsets)
    monkeypatch.setattr("distil_nlp.teachers.cache.sparse._CHUNK", 14)
    pieces = [form.encode(scores[part], offsets[part]) for part in (slice(0, 1), slice(1, 8), slice(8, 11))]
    for name, array in at_once.items():
        np.testing.assert_array_equal(np.concatenate([piece[name] for piece in pieces]), array)


@both_formats
def test_examples_can_be_decoded_in_another_order(form):
    scores, num_items = logits(9, 7), [2, 0, 4, 3]
    arrays = form.encode(scores, sampling_offsets(0, 0, 9))
    ends = {name: np.append(0, np.cumsum(rows)) for name, rows in form.rows(arrays, num_items).items()}
    assert all(ends[name][-1] == len(array) for name, array in arrays.items())
    shuffled = {
        name: np.concatenate([array[ends[name][one] : ends[name][one + 1]] for one in (3, 1, 0, 2)])
        for name, array in arrays.items()
    }
    expected = dense(form.decode(arrays))[[6, 7, 8, 0, 1, 2, 3, 4, 5]]
    torch.testing.assert_close(dense(form.decode(shuffled)), expected, rtol=0, atol=0)


@both_formats
def test_zero_items_give_zero_targets(form):
    targets = form.decode(form.encode(logits(0, 7), sampling_offsets(0, 0, 0)))
    assert targets.ids.shape[0] == targets.weights.shape[0] == len(targets.best()) == 0


@both_formats
@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_half_precision_is_softened_in_float32(form, dtype):
    scores = logits(5, 7).to(dtype)
    narrow, wide = (form.encode(one, sampling_offsets(0, 0, 5)) for one in (scores, scores.float()))
    assert all((narrow[name] == wide[name]).all() for name in narrow)


@both_formats
def test_the_best_token_is_the_likeliest_where_it_is_clear(form):
    scores = logits(30, 7, spread=9.0)
    clear = probabilities(scores, 2.0).max(-1).values > 0.7
    best = form.decode(form.encode(scores, sampling_offsets(0, 0, 30))).best()
    assert clear.sum() > 5 and (best == scores.argmax(-1))[clear].all()


@both_formats
def test_a_format_can_be_rebuilt_from_its_description(form):
    again = sparse_format(json.loads(json.dumps(form.describe())))
    assert type(again) is type(form) and vars(again) == vars(form)


# ---- Offsets ----


def test_an_offset_depends_on_seed_example_and_place_alone():
    np.testing.assert_array_equal(sampling_offsets(3, 7, 5), sampling_offsets(3, 7, 50)[:5])
    sampled = np.concatenate([sampling_offsets(seed, example, 5) for seed in range(4) for example in range(4)])
    assert len(set(sampled)) == 80


def test_offsets_are_spread_evenly():
    sampled = sampling_offsets(0, 0, 20_000)
    assert 0 <= sampled.min() and sampled.max() < 1
    np.testing.assert_allclose(np.histogram(sampled, bins=10, range=(0, 1))[0], 2_000, atol=200)


# ---- Rejected arguments ----


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: SampledFormat(1), "size of a vocabulary must be a whole number, 2 to .*got 1"),
        (lambda: SampledFormat(9, num_draws=0), "num_draws must be .* 1 to 65,535; got 0"),
        (lambda: SampledFormat(9, temperature=0), "temperature must lie in 0.001 to 1,000; got 0"),
        (lambda: TopKFormat(9, k=10), "k must be a whole number, 1 to 9; got 10"),
        (lambda: sparse_format({"kind": "dense"}), "one of sampled, top_k; got 'dense'"),
    ],
)
def test_a_format_rejects_arguments_out_of_range(make, message):
    with pytest.raises(ValueError, match=message):
        make()


@both_formats
@pytest.mark.parametrize(
    ("scores", "message"),
    [
        (torch.zeros(2, 6), r"\(items, 7\).*got \(2, 6\)"),
        (torch.zeros(1, 2, 7), r"\(items, 7\).*got \(1, 2, 7\)"),
        (torch.full((2, 7), float("nan")), "no distribution"),
        (torch.full((2, 7), -float("inf")), "no distribution"),
        (torch.full((2, 7), float("inf")), "no distribution"),
    ],
)
def test_logits_that_are_no_distribution_over_the_vocabulary_are_rejected(form, scores, message):
    with pytest.raises(ValueError, match=message):
        form.encode(scores, np.zeros(2))


@pytest.mark.parametrize("offsets", [np.zeros(3), np.array([0.0, 1.0]), np.array([0.0, -0.1]), np.full(2, np.nan)])
def test_offsets_must_be_one_per_item_and_below_1(offsets):
    with pytest.raises(ValueError, match="got 2 items"):
        FORMATS[0].encode(logits(2, 7), offsets)


@both_formats
def test_arrays_of_different_items_are_rejected(form):
    arrays = form.encode(logits(4, 7), sampling_offsets(0, 0, 4))
    for name in arrays:
        with pytest.raises(ValueError, match="arrays are of different items"):
            form.decode({**arrays, name: arrays[name][:-1]})
