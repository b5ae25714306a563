"""What holds for every loss holds for class centers: micro-batches, resumption, evaluation, a student without them."""

import pytest
import torch
import transformers
from safetensors.torch import load_file

from distil_nlp.collators import Collator
from distil_nlp.metrics import verification_metrics
from distil_nlp.objectives import EmbeddingMatching, MarginLabels, Objective
from distil_nlp.tasks import FaceVerification
from distil_nlp.training.trainer import DistillationTrainer
from tests.faces import PROCESSOR, make_faces, tiny_embedder

from .runs import Gradients, in_float64, make_arguments, relative_difference, same_weights

TASK = FaceVerification.from_splits({"train": make_faces(), "validation": make_faces(seed=1)})
ROWS = TASK.prepare(make_faces(), PROCESSOR)


def make_models():
    return tiny_embedder(seed=1), tiny_embedder(seed=2, network="cnn12")


def objectives():
    return {
        "teacher": Objective([MarginLabels(0.5, centers="teacher"), EmbeddingMatching(1.0)]),
        "trained": Objective([MarginLabels(0.5, kind="cosine", scale=8), EmbeddingMatching(1.0)]),
    }


CENTERS = pytest.mark.parametrize("centers", ["teacher", "trained"])


def make_trainer(models, folder, *, rows=ROWS, objective=None, num_micro_batches=1, **changes):
    callbacks, collator = changes.pop("callbacks", None), changes.pop("collator", TASK.collator(PROCESSOR))
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
        data_collator=collator,
        processing_class=PROCESSOR,
        compute_metrics=verification_metrics,
        callbacks=callbacks,
    )


class InFloat64(Collator):
    """A collator whose pixels fit models in float64."""

    def __init__(self, collator):
        self.collator, self.columns = collator, collator.columns

    def __call__(self, rows):
        return {name: one.double() if one.is_floating_point() else one for name, one in self.collator(rows).items()}


@CENTERS
def test_the_gradients_do_not_depend_on_how_a_step_is_cut(centers, tmp_path):
    def gradients(number):
        recorder = Gradients()
        settings = {"objective": objectives()[centers], "num_micro_batches": number, "callbacks": [recorder]}
        collator = InFloat64(TASK.collator(PROCESSOR))
        recorder.trainer = make_trainer(in_float64(make_models()), tmp_path, collator=collator, **settings)
        recorder.trainer.train()
        (step,) = recorder.steps
        return step

    whole, quarters = gradients(1), gradients(4)
    assert bool(whole["objective"]) == (centers == "trained")
    for part in filter(whole.get, whole):
        assert relative_difference(quarters[part], whole[part]) < 1e-6


@CENTERS
def test_a_run_resumes_bit_identical_with_its_centers(centers, tmp_path):
    def trained(folder, checkpoint=None):
        settings = {"optim": "adamw_torch", "save_strategy": "steps", "save_steps": 1, "num_train_epochs": 3}
        trainer = make_trainer(make_models(), folder, objective=objectives()[centers], **settings)
        trainer.train(resume_from_checkpoint=checkpoint)
        return trainer

    whole = trained(tmp_path / "whole")
    resumed = trained(tmp_path / "resumed", str(tmp_path / "whole" / "checkpoint-1"))
    assert same_weights(resumed.model, whole.model) and same_weights(resumed.objective, whole.objective)
    beside = load_file(tmp_path / "whole" / "checkpoint-3" / "projections.safetensors")
    assert [tuple(one.shape) for one in beside.values()] == [(4, 6)]


def test_the_teachers_centers_stay_as_they_are_while_centers_of_its_own_move(tmp_path):
    before, after = {}, {}
    for centers, objective in objectives().items():
        trainer = make_trainer(make_models(), tmp_path, objective=objective)
        before[centers] = objective.terms[0].centers.detach().clone()
        trainer.train()
        after[centers] = objective.terms[0].centers.detach().clone()
    assert torch.equal(before["teacher"], after["teacher"]) and before["teacher"].norm(dim=1).allclose(torch.ones(4))
    assert not torch.equal(before["trained"], after["trained"])


def test_the_student_is_saved_without_centers(tmp_path):
    trainer = make_trainer(make_models(), tmp_path)
    trainer.train()
    trainer.save_model(tmp_path / "student")
    _, info = transformers.AutoModel.from_pretrained(tmp_path / "student", output_loading_info=True)
    assert not info["missing_keys"] and not info["unexpected_keys"]


def test_the_control_learns_from_labels_alone_and_evaluation_judges_all_pairs(tmp_path):
    settings = {"num_train_epochs": 40, "learning_rate": 3e-3, "optim": "adamw_torch"}
    trainer = make_trainer((make_models()[0], None), tmp_path, per_device_eval_batch_size=5, **settings)
    before = trainer.evaluate()
    trainer.train()
    found = trainer.evaluate()
    assert found["eval_loss"] < before["eval_loss"] and found["eval_verification_auc"] > 0.95
    evaluator = TASK.evaluator(ROWS)
    with torch.no_grad():
        vectors = trainer.model.eval()(TASK.collator(PROCESSOR)(list(ROWS))["pixel_values"]).logits
    expected = evaluator.scores(evaluator.statistics(evaluator.answers(vectors, {})))
    for name in ("verification_auc", "rank_1"):
        assert found[f"eval_{name}"] == pytest.approx(expected[name])


def test_people_kept_from_training_may_be_evaluated_on(tmp_path):
    strangers = TASK.prepare(make_faces(), PROCESSOR).map(lambda row: {"labels": row["labels"] + 2})
    trainer = make_trainer((make_models()[0], None), tmp_path)
    found = trainer.evaluate(strangers)
    assert found["eval_loss"] > 0 and "eval_rank_1" in found


def test_a_comparison_of_embedders_is_by_verification(tmp_path):
    comparison = make_trainer(make_models(), tmp_path).compare(seconds=0.1)
    assert comparison.metric == "verification_auc" and comparison.problem_type == "identity"


def test_a_row_left_over_is_refused_before_training_where_the_student_cannot_learn_from_one(tmp_path):
    student, teacher = tiny_embedder(network="mobilefacenetx0.1"), tiny_embedder()
    before = {name: value.clone() for name, value in student.state_dict().items()}
    settings = {"per_device_train_batch_size": 23}
    with pytest.raises(ValueError, match=r"24 rows in batches of 23 leave one row .* Set dataloader_drop_last=True"):
        make_trainer((student, teacher), tmp_path, **settings)
    assert all(torch.equal(value, before[name]) for name, value in student.state_dict().items())
    make_trainer((student, teacher), tmp_path, **settings, dataloader_drop_last=True)
    make_trainer((tiny_embedder(network="resnet8"), teacher), tmp_path, **settings)  # its maps are larger
