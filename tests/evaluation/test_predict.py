"""Predictions come back in the order of the data, whatever was done on the way."""

import numpy as np
import pytest
import torch
from datasets import Dataset
from torch import nn
from transformers import DataCollatorWithPadding

from distil_nlp.evaluation import predict, predict_logits
from distil_nlp.signals.base import Signals


class Echo(nn.Module):
    """Answers with the first token of each example, and remembers what it was given."""

    def __init__(self):
        super().__init__()
        self.dropout = nn.Dropout(0.5)
        self.batches = []

    def forward(self, input_ids, labels=None):
        self.batches.append({"shape": tuple(input_ids.shape), "labels": labels})
        first = input_ids[:, :1].float()
        return self.dropout(torch.cat([first, -first], dim=1))


def stack(rows):
    width = max(len(row["input_ids"]) for row in rows)
    ids = [list(row["input_ids"]) + [0] * (width - len(row["input_ids"])) for row in rows]
    return {"input_ids": torch.tensor(ids), **({"labels": torch.ones(len(rows))} if "labels" in rows[0] else {})}


@pytest.fixture
def rows():
    lengths = np.random.default_rng(0).integers(1, 20, size=37)
    return [{"input_ids": [index + 5] * length, "labels": 1} for index, length in enumerate(lengths)]


@pytest.mark.parametrize("kind", [list, Dataset.from_list])
def test_the_order_of_the_data_is_restored(rows, kind):
    logits = predict_logits(Echo(), kind(rows), stack, batch_size=8)
    assert logits.dtype == np.float32 and logits.shape == (37, 2)
    assert logits[:, 0].tolist() == [row["input_ids"][0] for row in rows]


def test_the_longest_examples_go_first(rows):
    model = Echo()
    predict_logits(model, rows, stack, batch_size=8)
    widths = [batch["shape"][1] for batch in model.batches]
    assert widths == sorted(widths, reverse=True) and widths[0] > widths[-1]


def test_labels_never_reach_the_model(rows):
    model = Echo()
    predict_logits(model, rows, stack)
    assert all(batch["labels"] is None for batch in model.batches)


def test_columns_that_the_model_does_not_read_never_reach_the_collator(rows):
    def collator(examples):
        assert examples[0].keys() == {"input_ids", "labels"}
        return stack(examples)

    predict_logits(Echo(), Dataset.from_list([{**row, "sentence": "a film"} for row in rows]), collator)


def test_raw_columns_reach_a_collator_that_makes_what_the_model_reads():
    def collator(examples):
        return {"input_ids": torch.tensor([[len(example["sentence"])] for example in examples])}

    rows = [{"sentence": "a" * length, "id": "x"} for length in (3, 9, 5)]
    assert predict_logits(Echo(), rows, collator)[:, 0].tolist() == [3, 9, 5]


def test_named_columns_are_all_that_the_collator_sees(rows):
    def collator(examples):
        assert examples[0].keys() == {"input_ids"}
        return stack(examples)

    predict_logits(Echo(), rows, collator, columns=["input_ids"])


def test_a_column_that_is_not_there_is_named(rows):
    with pytest.raises(ValueError, match="no column attention_mask; it has input_ids, labels"):
        predict_logits(Echo(), rows, stack, columns=["attention_mask"])


def test_every_module_is_in_its_mode_again(rows):
    model = nn.Module()
    model.frozen, model.echo = nn.BatchNorm1d(1).eval(), Echo().train()
    model.forward = lambda input_ids: model.echo(input_ids)
    predict_logits(model, rows, stack)
    assert model.training and model.echo.dropout.training and not model.frozen.training


def test_every_module_is_in_its_mode_again_after_an_error(rows):
    model = Echo().train()
    with pytest.raises(RuntimeError, match="broken"):
        predict_logits(model, rows, lambda examples: (_ for _ in ()).throw(RuntimeError("broken")))
    assert model.training and model.dropout.training


def test_no_gradient_is_kept(rows):
    def collator(examples):
        return {"input_ids": stack(examples)["input_ids"]}

    model = Echo()
    model.scale = nn.Parameter(torch.ones(2))
    inner = model.forward
    seen = []
    model.forward = lambda input_ids: seen.append(inner(input_ids) * model.scale) or seen[-1]
    predict_logits(model, rows, collator)
    assert not any(output.requires_grad for output in seen)


def test_a_callable_gets_the_batch_without_labels(rows):
    def teacher(batch):
        assert batch.keys() == {"input_ids"}
        return Signals(logits=batch["input_ids"][:, :1].float())

    assert predict_logits(teacher, rows, stack, batch_size=8)[:, 0].tolist() == [row["input_ids"][0] for row in rows]


def test_padding_changes_no_prediction(make_model, tokenizer):
    model = make_model("bert")
    texts = ["a good film", "the plot of this movie is very boring and the film was not great", "bad", "it was fine"]
    rows = [dict(tokenizer(text)) for text in texts]
    collator = DataCollatorWithPadding(tokenizer)
    alone = predict_logits(model, rows, collator, batch_size=1)
    together = predict_logits(model, rows, collator, batch_size=4)
    assert np.abs(alone - alone[0]).max() > 1e-3, "the examples should differ, or this shows nothing"
    np.testing.assert_allclose(alone, together, atol=1e-6)


def test_an_empty_data_set_is_refused():
    with pytest.raises(ValueError, match=r"Scoring: the data set is empty \(0 examples\)"):
        predict_logits(Echo(), [], stack, description="Scoring")


def test_logits_for_each_token_are_refused(rows):
    with pytest.raises(ValueError, match=r"should have shape \(37, labels\).*returned \(37, 19, 3\)"):
        predict_logits(lambda batch: torch.zeros(37, 19, 3), rows, stack)


def test_what_is_kept_of_a_batch_may_differ_in_length_and_comes_back_in_order(rows):
    def keep(logits, batch):
        return [ids[ids > 0].numpy() * label.item() for ids, label in zip(*batch.values(), strict=True)]

    answers = predict(Echo(), rows, stack, keep=keep, batch_size=8)
    assert [answer.tolist() for answer in answers] == [row["input_ids"] for row in rows]


def test_a_prediction_that_belongs_to_no_example_is_an_error(rows):
    with pytest.raises(ValueError, match=r"should be 8 predictions.*got 1 from logits of shape \(8, 2\)"):
        predict(Echo(), rows, stack, keep=lambda logits, batch: [0], batch_size=8)


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
def test_a_model_comes_back_from_another_device(make_model):
    model = make_model("bert")
    rows = [{"input_ids": [2, 5, 3]}]
    there = predict_logits(model, rows, stack, device="cuda")
    assert model.device.type == "cpu"
    np.testing.assert_allclose(there, predict_logits(model, rows, stack), atol=1e-4)


@pytest.mark.parametrize(("value", "told"), [(float("nan"), "NaN"), (float("inf"), "inf")])
@pytest.mark.parametrize("as_teacher", [False, True])
def test_the_largest_of_nan_is_no_prediction(rows, value, told, as_teacher):
    class Broken(Echo):
        def forward(self, input_ids):
            return super().forward(input_ids).masked_fill(input_ids[:, :1] == 5 + 17, value)

    model = Broken()
    predictor = (lambda batch: Signals(model(batch["input_ids"]))) if as_teacher else model
    with pytest.raises(ValueError, match=rf"Predicting: the model returns {told} for example 17 of the data set"):
        predict(predictor, rows, stack, keep=lambda logits, batch: logits.argmax(-1).numpy())


def test_an_excluded_class_is_a_prediction_of_the_others(rows):
    def excluding(batch):
        return Signals(torch.tensor([[-float("inf"), 1.0]]).expand(len(batch["input_ids"]), 2))

    assert set(predict(excluding, rows, stack, keep=lambda logits, batch: logits.argmax(-1).numpy())) == {1}
