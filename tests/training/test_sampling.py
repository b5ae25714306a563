"""The order of examples is a function of seed and epoch alone, and batches hold examples of like length."""

import datasets
import pytest
import torch
from torch.utils.data import BatchSampler, DataLoader

from distil_nlp.training.sampling import LengthGroupedSampler, dataset_lengths

LENGTHS = [3 + (index * 7919) % 40 for index in range(1000)]


def order_of(lengths=LENGTHS, *, batch_size=8, seed=0, epoch=0):
    sampler = LengthGroupedSampler(lengths, batch_size, seed)
    sampler.set_epoch(epoch)
    return list(sampler)


def carried(order, batch_size):
    """Tokens a run over `order` carries, padding included."""
    batches = [[LENGTHS[index] for index in order[start : start + batch_size]] for start in range(0, 1000, batch_size)]
    return sum(max(batch) * len(batch) for batch in batches)


@pytest.mark.parametrize("num_examples", [0, 1, 7, 8, 9, 401, 1000])
def test_every_example_comes_exactly_once(num_examples):
    order = order_of(LENGTHS[:num_examples])
    assert sorted(order) == list(range(num_examples))
    assert len(LengthGroupedSampler(LENGTHS[:num_examples], 8, 0)) == num_examples


def test_the_same_seed_and_epoch_give_the_same_order():
    assert order_of(seed=3, epoch=5) == order_of(seed=3, epoch=5)


@pytest.mark.parametrize("other", [{"epoch": 1}, {"seed": 1}])
def test_another_seed_or_epoch_gives_another_order(other):
    assert order_of(**other) != order_of()


def test_the_second_epoch_of_one_seed_is_not_the_first_of_the_next():
    assert order_of(seed=0, epoch=1) != order_of(seed=1, epoch=0)


def test_an_iteration_leaves_the_next_one_alone():
    sampler = LengthGroupedSampler(LENGTHS, 8, 0)
    assert list(sampler) == list(sampler)


def test_length_groups_waste_less_than_a_tenth_on_padding():
    assert carried(order_of(), 8) < 1.1 * sum(LENGTHS) < carried(order_of([1] * 1000), 8)


def test_constant_lengths_give_a_plain_shuffle():
    order = order_of([1] * 1000)
    assert order != sorted(order) and sorted(order) == list(range(1000))


def test_an_incomplete_batch_is_the_last_one():
    order = order_of(LENGTHS[:1000], batch_size=7)
    groups = [sorted(LENGTHS[index] for index in batch) for batch in BatchSampler(order, 7, drop_last=False)]
    assert len(groups[-1]) == 1000 % 7
    # Were it elsewhere, every batch after it would straddle two groups.
    assert sum(group[-1] - group[0] for group in groups[:-1]) / len(groups) < 3


@pytest.mark.parametrize("seed_before", [0, 1])
def test_the_global_random_state_is_neither_read_nor_moved(seed_before):
    expected = order_of()
    torch.manual_seed(seed_before)
    state = torch.get_rng_state()
    assert order_of() == expected
    assert torch.equal(torch.get_rng_state(), state)


def test_a_data_loader_meets_the_order_of_the_epoch_it_is_told():
    sampler = LengthGroupedSampler(LENGTHS[:50], 4, 0)
    loader = DataLoader(range(50), batch_size=4, sampler=sampler)
    sampler.set_epoch(2)
    assert torch.cat(list(loader)).tolist() == order_of(LENGTHS[:50], batch_size=4, epoch=2)


def test_lengths_are_counted_from_the_tokens():
    rows = datasets.Dataset.from_dict({"input_ids": [[1, 2, 3], [1], [1, 2]]})
    assert list(dataset_lengths(rows)) == [3, 1, 2]


def test_lengths_follow_the_order_a_data_set_was_put_in():
    rows = datasets.Dataset.from_dict({"input_ids": [[1, 2, 3], [1], [1, 2]]})
    assert list(dataset_lengths(rows.select([2, 0]))) == [2, 3]


def test_a_length_column_is_believed():
    rows = datasets.Dataset.from_dict({"input_ids": [[1, 2, 3], [1]], "length": [7, 9]})
    assert list(dataset_lengths(rows)) == [7, 9]


def test_a_plain_data_set_of_mappings_is_counted_too():
    assert dataset_lengths([{"input_ids": [1, 2]}, {"input_ids": [1]}]) == [2, 1]


@pytest.mark.parametrize(
    "rows", [datasets.Dataset.from_dict({"pixels": [[1.0], [2.0]]}), [(1, 2), (3, 4)], [{"x": 1}]]
)
def test_examples_without_tokens_have_no_length(rows):
    assert dataset_lengths(rows) is None
