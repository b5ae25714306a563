"""What holds for every loss holds for embeddings of pairs: micro-batches, padding, resumption, evaluation."""

import datasets
import pytest
import torch

from distil_nlp.collators.text import PairCollator
from distil_nlp.losses import pair_cosine_error
from distil_nlp.metrics import SimilarityEvaluator, similarity_metrics
from distil_nlp.objectives import EmbeddingMatching, HardLabels, Objective, SimilarityTargets
from distil_nlp.training.trainer import DistillationTrainer
from tests.tiny import tiny_encoder, tiny_tokenizer

from .runs import Gradients, in_float64, make_arguments, make_rows, relative_difference, same_weights
from .test_padding import loss_of, padded


def make_pairs(num_pairs=16, *, scored=lambda row: row % 3 != 0):
    texts, scores = make_rows(2 * num_pairs, problem="none"), torch.rand(num_pairs).tolist()
    columns = {name: [texts[name][2 * i : 2 * i + 2] for i in range(num_pairs)] for name in texts.column_names}
    labels = [score if scored(row) else float("nan") for row, score in enumerate(scores)]
    return datasets.Dataset.from_dict({**columns, "labels": labels})


def make_models(**settings):
    return tiny_encoder(seed=1, num_layers=1, hidden_size=12, **settings), tiny_encoder(seed=2, normalize=True)


def make_trainer(models, rows, folder, *, objective=None, num_micro_batches=1, **changes):
    callbacks = changes.pop("callbacks", None)
    settings = {
        "train_sampling_strategy": "sequential",
        "per_device_train_batch_size": len(rows) // num_micro_batches,
        "gradient_accumulation_steps": num_micro_batches,
        **changes,
    }
    return DistillationTrainer(
        *models,
        make_arguments(folder, **settings),
        objective=objective,
        train_dataset=rows,
        eval_dataset=rows,
        data_collator=PairCollator(tiny_tokenizer()),
        processing_class=tiny_tokenizer(),
        compute_metrics=similarity_metrics,
        callbacks=callbacks,
    )


def everything():
    return Objective([HardLabels(0.5, problem_type="embedding"), EmbeddingMatching(1.0)])


def gradients(rows, folder, num_micro_batches):
    recorder = Gradients()
    recorder.trainer = make_trainer(
        in_float64(make_models()),
        rows,
        folder,
        objective=everything(),
        num_micro_batches=num_micro_batches,
        callbacks=[recorder],
    )
    recorder.trainer.train()
    (step,) = recorder.steps
    return step


def test_the_gradients_do_not_depend_on_how_a_step_of_pairs_is_cut(tmp_path):
    rows = make_pairs()
    whole, quarters = (gradients(rows, tmp_path, number) for number in (1, 4))
    assert list(whole["objective"])  # the map between the widths
    for part in whole:
        assert relative_difference(quarters[part], whole[part]) < 1e-9


def test_more_padding_changes_no_loss_of_pairs(tmp_path):
    rows = make_pairs(6)
    objective = Objective([*everything().terms, SimilarityTargets(1.0)])
    trainer = make_trainer(in_float64(make_models()), rows, tmp_path, objective=objective)
    batch = next(trainer._batches_of(rows, range(6)))
    torch.testing.assert_close(loss_of(trainer, padded(batch, 7)), loss_of(trainer, batch), rtol=1e-9, atol=1e-12)


def test_a_run_on_pairs_resumes_bit_identical(tmp_path):
    def trained(folder, checkpoint=None):
        settings = {"optim": "adamw_torch", "save_strategy": "steps", "save_steps": 1, "num_train_epochs": 3}
        trainer = make_trainer(make_models(dropout=0.1), rows, folder, objective=everything(), **settings)
        trainer.train(resume_from_checkpoint=checkpoint)
        return trainer

    rows = make_pairs()
    whole = trained(tmp_path / "whole")
    resumed = trained(tmp_path / "resumed", str(tmp_path / "whole" / "checkpoint-1"))
    assert same_weights(resumed.model, whole.model)
    assert same_weights(resumed.objective, whole.objective)


def test_evaluation_judges_pairs_whatever_the_size_of_its_batches(tmp_path):
    rows = make_pairs(7, scored=lambda row: row != 2)
    trainer = make_trainer(make_models(), rows, tmp_path, per_device_eval_batch_size=3)
    found = trainer.evaluate()
    batch = trainer.data_collator(list(rows))
    with torch.no_grad():
        vectors = trainer.model.eval()(**{name: batch[name] for name in batch if name != "labels"}).logits
    evaluator = SimilarityEvaluator(batch["labels"].numpy())
    expected = evaluator.scores(evaluator.statistics(evaluator.answers(vectors, batch)))
    assert {name: found[f"eval_{name}"] for name in expected} == pytest.approx(expected)
    assert trainer.predict(rows).predictions.shape == (7, 2, 12)


def test_the_control_learns_the_scores_by_the_cosine(tmp_path):
    rows = make_pairs(6)
    trainer = make_trainer((make_models()[0], None), rows, tmp_path)
    batch = next(trainer._batches_of(rows, range(6)))
    vectors = trainer.model.eval()(**{name: batch[name] for name in batch if name != "labels"}).logits
    known = ~batch["labels"].isnan()
    torch.testing.assert_close(
        loss_of(trainer, batch), pair_cosine_error(vectors, batch["labels"]).sum() / known.sum()
    )
