"""The base class of collators, plain functions as collators, and padding."""

import pickle

import pytest
import torch
from transformers import default_data_collator

from distil_nlp.data.collator import Collator, as_collator, pad


class Doubling(Collator):
    """Doubles the values of training batches, as an augmentation would."""

    columns = ("value",)
    augmentation = staticmethod(lambda values: 2 * values)

    def __call__(self, rows):
        values = torch.tensor([row["value"] for row in rows])
        return {"value": self.augmentation(values) + self.epoch if self.augments else values}


def test_a_function_becomes_a_collator_without_columns_and_augmentation():
    collator = as_collator(default_data_collator)
    rows = [{"value": 1}, {"value": 2}]
    assert isinstance(collator, Collator) and collator.columns == () and collator.augmentation is None
    assert collator(rows)["value"].equal(default_data_collator(rows)["value"])
    assert collator.for_training() is collator
    collator.set_epoch(3)  # has no effect
    assert pickle.loads(pickle.dumps(collator))(rows)["value"].tolist() == [1, 2]


def test_a_collator_is_not_wrapped_again():
    collator = Doubling()
    assert as_collator(collator) is collator


def test_the_collator_for_training_augments_by_the_epoch_set_last():
    plain = Doubling()
    training = plain.for_training()
    assert training is not plain and training.for_training() is training
    for epoch in (0, 4):
        plain.set_epoch(epoch)
        training.set_epoch(epoch)
        assert training([{"value": 5}])["value"].item() == 10 + epoch
        assert plain([{"value": 5}])["value"].item() == 5
    assert (plain.augments, plain.epoch, training.augments, training.epoch) == (False, 0, True, 4)


def test_two_collators_for_training_have_epochs_of_their_own():
    first, second = Doubling().for_training(), Doubling().for_training()
    first.set_epoch(1)
    assert (first.epoch, second.epoch) == (1, 0)


def plain_pad(rows, value, length, padding_side):
    width = max(length, *map(len, rows))
    padded = torch.full((len(rows), width), value)
    for place, row in enumerate(rows):
        columns = slice(width - len(row), None) if padding_side == "left" else slice(len(row))
        padded[place, columns] = torch.tensor(row, dtype=padded.dtype)
    return padded


@pytest.mark.parametrize("padding_side", ["left", "right"])
@pytest.mark.parametrize("length", [0, 1, 3, 7])
@pytest.mark.parametrize("rows", [[[1, 2, 3], [], [4]], [[], []], [[0, 1, 1, 0]]])
@pytest.mark.parametrize("value", [-100, 0, 0.5, float("nan"), True, False])
def test_padded_rows_equal_a_plain_loop_in_values_and_type(value, rows, length, padding_side):
    padded = pad(rows, value, length=length, padding_side=padding_side)
    expected = plain_pad(rows, value, length, padding_side)
    assert padded.dtype == expected.dtype
    torch.testing.assert_close(padded, expected, rtol=0, atol=0, equal_nan=True)


def test_rows_of_boxes_are_padded_along_their_first_dimension():
    boxes = [torch.rand(2, 4), torch.rand(0, 4), torch.rand(1, 4)]
    padded = pad(boxes, 0.0)
    assert padded.shape == (3, 2, 4) and padded[1].eq(0).all() and padded[2, 1].eq(0).all()
    assert padded[0].equal(boxes[0]) and padded[2, :1].equal(boxes[2])
    assert pad(boxes[1:2], 0.0, length=1).shape == (1, 1, 4)
