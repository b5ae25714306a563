"""A model gets the columns its forward names, never labels, and its logits are read from any kind of output."""

from types import SimpleNamespace

import pytest
import torch
from torch import nn

from distil_nlp.signals.base import Signals
from distil_nlp.signals.forward import accepted_columns, forward_logits
from tests.tiny import tiny_model

LOGITS = torch.randn(2, 3)
BATCH = {"input_ids": torch.ones(2, 4), "attention_mask": torch.ones(2, 4), "labels": torch.zeros(2)}


class Recorder(nn.Module):
    """Returns a fixed output and stores the names of the columns it gets."""

    def __init__(self, output=LOGITS):
        super().__init__()
        self.output, self.columns = output, None

    def forward(self, input_ids, attention_mask=None, labels=None, **kwargs):
        self.columns = {"input_ids"} | {
            name
            for name, value in {"attention_mask": attention_mask, "labels": labels, **kwargs}.items()
            if value is not None
        }
        return self.output


class TakesAnyColumn(nn.Module):
    def forward(self, **columns):
        self.columns = set(columns)
        return LOGITS


def logits_of(model, batch=BATCH):
    return forward_logits(model, batch, accepted_columns(model))


def test_accepted_columns_are_the_names_in_the_forward_without_labels():
    columns = accepted_columns(tiny_model("bert"))
    assert {"input_ids", "attention_mask", "token_type_ids"} <= set(columns) and "labels" not in columns
    assert "token_type_ids" not in accepted_columns(tiny_model("distilbert"))


def test_accepted_columns_is_none_for_a_forward_with_keyword_arguments_only():
    assert accepted_columns(TakesAnyColumn()) is None


@pytest.mark.parametrize("model", [Recorder(), TakesAnyColumn()])
def test_labels_are_not_passed_to_the_model(model):
    logits_of(model, {**BATCH, "label": torch.zeros(2), "label_ids": torch.zeros(2)})
    assert model.columns == {"input_ids", "attention_mask"}


def test_a_column_that_the_forward_does_not_name_is_not_passed_to_its_keyword_arguments():
    model = Recorder()
    logits_of(model, {**BATCH, "example_id": torch.arange(2)})
    assert model.columns == {"input_ids", "attention_mask"}


@pytest.mark.parametrize(
    "output",
    [LOGITS, {"logits": LOGITS}, (LOGITS, "more"), [LOGITS], SimpleNamespace(logits=LOGITS, loss=None)],
    ids=["tensor", "mapping", "tuple", "list", "object"],
)
def test_logits_are_read_from(output):
    assert logits_of(Recorder(output)) is LOGITS


@pytest.mark.parametrize("output", [None, {"hidden": LOGITS}, "words"], ids=["nothing", "mapping", "string"])
def test_an_output_without_logits_raises_a_type_error(output):
    with pytest.raises(TypeError, match="Recorder returned no logits"):
        logits_of(Recorder(output))


def test_the_error_for_a_bare_encoder_suggests_a_head():
    encoder = tiny_model("bert").bert
    with pytest.raises(TypeError, match="a bare encoder needs a head"):
        logits_of(encoder, {"input_ids": torch.ones(1, 4, dtype=torch.long)})


def test_two_signals_do_not_share_a_features_dict():
    first, second = Signals(LOGITS), Signals(LOGITS)
    first.features["layer"] = LOGITS
    assert second.features == {}
