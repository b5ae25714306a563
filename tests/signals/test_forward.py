"""A model is given the columns it takes, never labels, and its logits are found in whatever it returns."""

from types import SimpleNamespace

import pytest
import torch
from torch import nn

from distil_nlp.signals.base import Signals
from distil_nlp.signals.forward import accepted_columns, forward_logits
from tests.tiny import tiny_model

LOGITS = torch.randn(2, 3)
BATCH = {"input_ids": torch.ones(2, 4), "attention_mask": torch.ones(2, 4), "labels": torch.zeros(2)}


class Answers(nn.Module):
    """Returns what it was told to, and keeps the names of the columns it was given."""

    def __init__(self, answer=LOGITS):
        super().__init__()
        self.answer, self.given = answer, None

    def forward(self, input_ids, attention_mask=None, labels=None, **kwargs):
        self.given = {"input_ids"} | {
            name
            for name, value in {"attention_mask": attention_mask, "labels": labels, **kwargs}.items()
            if value is not None
        }
        return self.answer


class TakesAnything(nn.Module):
    def forward(self, **columns):
        self.given = set(columns)
        return LOGITS


def asked(model, batch=BATCH):
    return forward_logits(model, batch, accepted_columns(model))


def test_the_columns_of_a_model_are_those_its_forward_names_but_labels():
    columns = accepted_columns(tiny_model("bert"))
    assert {"input_ids", "attention_mask", "token_type_ids"} <= set(columns) and "labels" not in columns
    assert "token_type_ids" not in accepted_columns(tiny_model("distilbert"))


def test_a_forward_that_names_nothing_has_no_list_of_columns():
    assert accepted_columns(TakesAnything()) is None


@pytest.mark.parametrize("model", [Answers(), TakesAnything()])
def test_labels_are_never_passed(model):
    asked(model, {**BATCH, "label": torch.zeros(2), "label_ids": torch.zeros(2)})
    assert model.given == {"input_ids", "attention_mask"}


def test_a_column_that_is_not_named_is_not_passed_though_keywords_would_swallow_it():
    model = Answers()
    asked(model, {**BATCH, "example_id": torch.arange(2)})
    assert model.given == {"input_ids", "attention_mask"}


@pytest.mark.parametrize(
    "answer",
    [LOGITS, {"logits": LOGITS}, (LOGITS, "more"), [LOGITS], SimpleNamespace(logits=LOGITS, loss=None)],
    ids=["tensor", "mapping", "tuple", "list", "object"],
)
def test_logits_are_found_in(answer):
    assert asked(Answers(answer)) is LOGITS


@pytest.mark.parametrize("answer", [None, {"hidden": LOGITS}, "words"], ids=["nothing", "mapping", "string"])
def test_a_model_without_logits_is_refused(answer):
    with pytest.raises(TypeError, match="Answers returned no logits"):
        asked(Answers(answer))


def test_a_bare_encoder_is_told_that_it_needs_a_head():
    encoder = tiny_model("bert").bert
    with pytest.raises(TypeError, match="a bare encoder needs a head"):
        asked(encoder, {"input_ids": torch.ones(1, 4, dtype=torch.long)})


def test_signals_do_not_share_their_features():
    first, second = Signals(LOGITS), Signals(LOGITS)
    first.features["layer"] = LOGITS
    assert second.features == {}
