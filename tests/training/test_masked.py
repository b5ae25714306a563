"""Masked words: logits at these positions alone are those of the whole model, and a step is exact in every way."""

import pytest
import torch
from torch.nn.functional import pad

from distil_nlp.objectives import HardLabels, Objective
from distil_nlp.signals.forward import accepted_columns, forward_logits
from distil_nlp.tasks import MaskedLanguageModeling
from tests.tiny import WORDS, tiny_model, tiny_tokenizer
from tests.training.runs import (
    in_float64,
    make_pair,
    make_rows,
    make_trainer,
    relative_difference,
    same_weights,
    step_gradients,
    triple_loss,
)

ARCHITECTURES = ["bert", "distilbert", "roberta", "modernbert", "electra", "mpnet"]


def batch_of(trainer, num_rows=6):
    return next(trainer._batches_of(trainer.train_dataset, range(num_rows)))


def gradients(model):
    return {name: weight.grad for name, weight in model.named_parameters() if weight.grad is not None}


@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_logits_and_gradients_at_masked_positions_are_those_of_the_whole_model(architecture, tmp_path):
    models = [tiny_model(architecture, "mlm").double() for _ in range(2)]
    batch = batch_of(make_trainer(models[0], None, make_rows(problem="masked"), tmp_path))
    columns = accepted_columns(models[0])
    few = forward_logits(models[0], batch, columns)
    everywhere = forward_logits(models[1], {name: batch[name] for name in batch if name != "positions"}, columns)
    assert len(few) == len(batch["labels"]) < batch["input_ids"].numel() / 2
    torch.testing.assert_close(few, everywhere[batch["positions"]], rtol=1e-10, atol=1e-12)
    weights = torch.randn(few.shape, dtype=few.dtype, generator=torch.Generator().manual_seed(0))
    (few * weights).sum().backward()
    (everywhere[batch["positions"]] * weights).sum().backward()
    assert relative_difference(*map(gradients, models)) < 1e-9


def test_the_control_learns_the_loss_that_transformers_computes(tmp_path):
    student, _ = make_pair(problem="masked")
    rows = make_rows(6, problem="masked")
    trainer = make_trainer(student, None, rows, tmp_path)
    batch = batch_of(trainer)
    labels = torch.full_like(batch["input_ids"], -100)
    labels[batch["positions"]] = batch["labels"]
    columns = {name: batch[name] for name in ("input_ids", "attention_mask", "token_type_ids")}
    student.eval()
    torch.testing.assert_close(trainer.compute_loss(student, batch), student(**columns, labels=labels).loss)


@pytest.mark.parametrize("architecture", ["bert", "distilbert", "roberta", "modernbert"])
def test_the_gradients_of_the_triple_loss_do_not_depend_on_how_a_step_is_cut(architecture, tmp_path):
    whole, halves, quarters = (
        step_gradients(
            *in_float64(make_pair(architecture, problem="masked")),
            make_rows(problem="masked"),
            tmp_path,
            objective=triple_loss(),
            num_micro_batches=number,
        )
        for number in (1, 2, 4)
    )
    for part in ("student", "objective"):
        assert relative_difference(halves[part], whole[part]) < 1e-9
        assert relative_difference(quarters[part], whole[part]) < 1e-9


@pytest.mark.parametrize("side", ["left", "right"])
def test_more_padding_changes_no_loss(side, tmp_path):
    rows, tokenizer = make_rows(6, problem="masked"), tiny_tokenizer()
    tokenizer.padding_side = side
    trainer = make_trainer(
        *in_float64(make_pair("distilbert", problem="masked")),
        rows,
        tmp_path,
        objective=triple_loss(),
        tokenizer=tokenizer,
    )
    batch = batch_of(trainer)
    widths = batch["input_ids"].shape
    longer = {name: pad(one, (0, 7)) if one.shape == widths else one for name, one in batch.items()}
    assert longer["positions"].shape[1] == widths[1] + 7 and longer["labels"] is batch["labels"]
    trainer.model.eval()
    torch.testing.assert_close(
        trainer.compute_loss(trainer.model, longer), trainer.compute_loss(trainer.model, batch), rtol=1e-9, atol=1e-12
    )


def prepared(num_texts=40):
    texts = [" ".join(WORDS[start % 7 : start % 7 + 3 + start % 11]) for start in range(num_texts)]
    from datasets import Dataset

    split = Dataset.from_dict({"text": texts})
    task = MaskedLanguageModeling.from_splits({"train": split})
    return task.prepare(split, tiny_tokenizer(), max_length=20, num_mask_copies=2)


def trained(folder, *, checkpoint=None):
    trainer = make_trainer(
        *make_pair(problem="masked", dropout=0.1),
        prepared(),
        folder,
        objective=triple_loss(),
        per_device_train_batch_size=4,
        gradient_accumulation_steps=2,
        num_train_epochs=3,
        optim="adamw_torch",
        learning_rate=1e-2,
        lr_scheduler_type="linear",
        max_grad_norm=1.0,
        save_strategy="steps",
        save_steps=1,
    )
    trainer.train(resume_from_checkpoint=checkpoint)
    return trainer


def test_a_run_resumed_inside_an_epoch_ends_bit_identical(tmp_path):
    whole = trained(tmp_path / "whole")
    step = whole.state.max_steps // 2
    resumed = trained(tmp_path / "resumed", checkpoint=str(tmp_path / "whole" / f"checkpoint-{step}"))
    assert same_weights(resumed.model, whole.model) and same_weights(resumed.objective, whole.objective)


def test_evaluation_and_the_probe_read_flat_labels(tmp_path, capsys):
    pair = make_pair(problem="masked")
    trainer = make_trainer(*pair, make_rows(problem="masked"), tmp_path, eval_with_teacher=True)
    figures = trainer.evaluate(make_rows(12, problem="masked"))
    assert figures["eval_loss"] > 0 and 0 <= figures["eval_agreement"] <= 1
    trainer.train()
    assert "training items" in capsys.readouterr().out


def test_a_batch_that_asks_for_positions_needs_a_model_over_words(tmp_path):
    batch = batch_of(make_trainer(tiny_model(task="mlm"), None, make_rows(problem="masked"), tmp_path))
    with pytest.raises(ValueError, match="BertForSequenceClassification has no output embeddings"):
        forward_logits(tiny_model(), batch, ("input_ids", "attention_mask"))


def test_an_objective_of_hidden_words_alone_counts_each_of_them(tmp_path):
    batch = batch_of(make_trainer(tiny_model(task="mlm"), None, make_rows(problem="masked"), tmp_path))
    counts = Objective([HardLabels(1.0), *triple_loss().terms]).count([batch])
    num_hidden, num_tokens = len(batch["labels"]), int(batch["attention_mask"].sum())
    assert counts.tolist() == [num_hidden, num_hidden, num_hidden, num_tokens]
