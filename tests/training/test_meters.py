"""Which examples of an evaluation count on which process."""

from types import SimpleNamespace

import pytest
import torch

from distil_nlp.training.meters import counted_examples


def counted(process, num_examples, *, batch_size=4, at_end=True, rows_per_example=1):
    """The examples that count of the last batch of a process, of two."""
    loader = SimpleNamespace(total_batch_size=2 * batch_size)
    state = SimpleNamespace(
        active_dataloader=loader, end_of_dataloader=at_end, remainder=num_examples % loader.total_batch_size
    )
    accelerator = SimpleNamespace(gradient_state=state, num_processes=2, process_index=process)
    batch = {
        "input_ids": torch.zeros(batch_size * rows_per_example, 3),
        "labels": torch.arange(batch_size),
        "name": "x",
    }
    return counted_examples(batch, loader, accelerator)


@pytest.mark.parametrize(
    ("num_examples", "expected"), [(13, (4, 1)), (11, (3, 0)), (9, (1, 0)), (3, (3, 0)), (16, (4, 4)), (14, (4, 2))]
)
def test_examples_that_fill_up_the_last_batch_do_not_count(num_examples, expected):
    for process, number in enumerate(expected):
        examples, found = counted(process, num_examples)
        assert found == number and len(examples["labels"]) == max(number, 1) and examples["name"] == "x"


def test_all_examples_count_before_the_last_batch():
    assert counted(1, 11, at_end=False)[1] == 4


def test_an_example_of_several_rows_counts_with_all_of_them():
    examples, found = counted(1, 14, rows_per_example=2)
    assert found == 2 and examples["input_ids"].shape == (4, 3) and len(examples["labels"]) == 2
