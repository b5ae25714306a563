"""Own networks and data as PyTorch has them: `forward(self, x)`, rows (input, label)."""

import pytest
import torch
from torch import nn
from torch.utils.data import Subset, TensorDataset

from distil_nlp import DistillationTrainer
from distil_nlp.data.pairs import named_rows
from distil_nlp.signals.forward import accepted_columns, forward_logits
from tests.tiny import tiny_model
from tests.training.runs import make_arguments, same_weights

IMAGES, LABELS = torch.randn(16, 3, 4, 4, generator=torch.Generator().manual_seed(0)), torch.arange(16) % 3


class Own(nn.Module):
    """A network of a user, whose input has a name of its own."""

    def __init__(self, seed, width=4):
        super().__init__()
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            self.layers = nn.Sequential(nn.Conv2d(3, width, 3), nn.ReLU(), nn.Flatten(), nn.Linear(4 * width, 3))

    def forward(self, x, scale=1.0):
        return self.layers(x) * scale


class Named(Own):
    """The same, with the name that the column has."""

    def forward(self, pixel_values):
        return super().forward(pixel_values)


def trained(student, teacher, rows, folder):
    arguments = make_arguments(
        folder, max_steps=3, per_device_train_batch_size=8, train_sampling_strategy="sequential"
    )
    trainer = DistillationTrainer(student, teacher, arguments, train_dataset=rows, eval_dataset=rows)
    trainer.train()
    return trainer


ROWS = {
    "pairs": TensorDataset(IMAGES, LABELS),
    "part of pairs": Subset(TensorDataset(IMAGES, LABELS), range(16)),
    "list of pairs": list(zip(IMAGES, LABELS.tolist(), strict=True)),
    "another name": [{"picture": image, "labels": int(label)} for image, label in zip(IMAGES, LABELS, strict=True)],
    "its own name": [
        {"x": image, "other": 1.0, "labels": int(label)} for image, label in zip(IMAGES, LABELS, strict=True)
    ],
}


@pytest.mark.parametrize("rows", ROWS.values(), ids=ROWS)
def test_own_networks_train_on_own_rows_as_with_the_names_of_transformers(rows, tmp_path):
    named = [{"pixel_values": image, "labels": int(label)} for image, label in zip(IMAGES, LABELS, strict=True)]
    expected = trained(Named(1), Named(2, width=8), named, tmp_path / "named").model
    trainer = trained(Own(1), Own(2, width=8), rows, tmp_path / "own")
    assert same_weights(trainer.model.state_dict(), expected.state_dict())
    report = trainer.compare(TensorDataset(IMAGES, LABELS) if "pairs" in str(type(rows)) else rows, seconds=0.01)
    assert {model.role for model in report.models} == {"teacher", "student"}


def test_wrappers_of_an_own_network_take_the_column_too():
    model = nn.DataParallel(torch.compile(Own(1), backend="eager"))
    batch = {"picture": IMAGES, "labels": LABELS}
    assert accepted_columns(model) is None
    assert torch.equal(forward_logits(model, batch, None), Own(1)(IMAGES))


def test_a_column_that_an_optional_input_names_is_passed_beside_the_one_input():
    scale = torch.full((16, 1), 3.0)
    for name in ("picture", "x"):
        batch = {name: IMAGES, "scale": scale, "labels": LABELS}
        assert torch.equal(forward_logits(Own(1), batch, accepted_columns(Own(1))), 3 * Own(1)(IMAGES))


def test_several_columns_for_one_input_are_refused_with_their_names():
    batch = {"left": IMAGES, "right": IMAGES, "labels": LABELS}
    with pytest.raises(ValueError, match="columns left, right, labels, and the forward of Own names none.*it takes x"):
        forward_logits(Own(1), batch, None)


def test_a_model_of_transformers_gets_the_name_of_its_input():
    tokens = torch.ones(4, 5, dtype=torch.long)
    rows = named_rows(TensorDataset(tokens, LABELS[:4]), tiny_model().main_input_name)
    assert rows[0].keys() == {"input_ids", "labels"} and len(rows) == 4


def test_rows_with_names_are_left_alone_and_looked_at_without_random_numbers():
    class Noisy(torch.utils.data.Dataset):
        def __len__(self):
            return 2

        def __getitem__(self, index):
            return {"x": torch.randn(1)}

    torch.manual_seed(0)
    before, rows = torch.get_rng_state(), Noisy()
    assert named_rows(rows) is rows and torch.equal(torch.get_rng_state(), before)
    assert named_rows([]) == []
