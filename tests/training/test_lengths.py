"""Models that pad texts inside, or drop the rest of a window: later batches fit, or the first step is not reached."""

import pytest
import torch
from datasets import concatenate_datasets
from transformers import LongformerConfig, LongformerForSequenceClassification

from distil_nlp.objectives import HardLabels, HiddenStates, Objective, SoftTargets
from tests.tiny import tiny_model
from tests.training.runs import make_rows, make_trainer


def longformer(width, seed=0):
    config = LongformerConfig(
        vocab_size=64,
        hidden_size=width,
        num_hidden_layers=2,
        num_attention_heads=2,
        intermediate_size=32,
        attention_window=8,
        max_position_embeddings=40,
        pad_token_id=0,
        num_labels=3,
        hidden_dropout_prob=0.0,
        attention_probs_dropout_prob=0.0,
    )
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return LongformerForSequenceClassification(config)


def rows_of(*lengths):
    rows = concatenate_datasets([make_rows(8, lengths=(length, length)) for length in lengths])
    return rows.remove_columns("token_type_ids")


def states():
    return Objective([HardLabels(0.5), HiddenStates(1.0, layers="last")])


@pytest.mark.parametrize("lengths", [(8, 7), (7, 8)])
def test_states_of_longformer_are_cut_to_the_texts(lengths, tmp_path):
    student, teacher = longformer(16), longformer(32, seed=1)
    trainer = make_trainer(
        student, teacher, rows_of(*lengths), tmp_path, objective=states(), train_sampling_strategy="sequential"
    )
    for start, length in zip((0, 8), lengths, strict=True):
        batch = next(trainer._batches_of(trainer.train_dataset, range(start, start + 8)))
        name, states_of_teacher = next(iter(trainer.teacher(batch).features.items()))
        of_classifier = torch.zeros_like(batch["input_ids"]).index_fill(1, torch.tensor(0), 1)
        columns = {name: batch[name] for name in ("input_ids", "attention_mask")}
        expected = teacher.longformer(**columns, global_attention_mask=of_classifier).last_hidden_state
        assert states_of_teacher.shape == (8, length, 32) and name == "longformer.encoder.layer.1"
        torch.testing.assert_close(states_of_teacher, expected)
    assert trainer.train().training_loss > 0


class Windows(torch.nn.Module):
    """Keeps whole windows of two positions (`pads=False`), or pads to them."""

    def __init__(self, pads):
        super().__init__()
        self.embedding, self.head, self.pads = torch.nn.Embedding(64, 16), torch.nn.Linear(16, 3), pads

    def forward(self, input_ids, attention_mask):
        odd = input_ids.shape[1] % 2
        ids = torch.nn.functional.pad(input_ids, (0, odd if self.pads else -odd))
        return self.head(self.embedding(ids).mean(1))


@pytest.mark.parametrize("pads", [True, False])
@pytest.mark.parametrize("as_student", [True, False])
def test_states_that_follow_some_lengths_only_are_refused_before_training(as_student, pads, tmp_path):
    pair = (Windows(pads), tiny_model()) if as_student else (tiny_model(), Windows(pads))
    layers = [("embedding", "bert.encoder.layer.0")[:: 1 if as_student else -1]]
    objective = Objective([HardLabels(0.5), HiddenStates(1.0, layers=layers)])
    with pytest.raises(ValueError, match="outputs of 'embedding' of Windows have 8 positions .* for texts of 7"):
        make_trainer(*pair, rows_of(8, 7), tmp_path, objective=objective)


def test_models_whose_outputs_are_not_compared_by_position_may_pad(tmp_path):
    objective = Objective([HardLabels(0.5), SoftTargets(0.5, temperature=2.0)])
    assert make_trainer(Windows(True), tiny_model(), rows_of(8, 7), tmp_path, objective=objective).train()
