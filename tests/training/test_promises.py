"""What Trainer promises holds here, or is refused before the first step: optimizers, checkpoints, outputs."""

import pytest
import torch
from torch.optim.lr_scheduler import LambdaLR

from distil_nlp.objectives import HardLabels, HiddenStates, Objective
from distil_nlp.training.trainer import DistillationTrainer
from tests.tiny import tiny_tokenizer
from tests.training.runs import hint_objective, make_arguments, make_pair, make_rows, make_trainer, same_weights


def trainer_with(tmp_path, student=None, *, trainer=DistillationTrainer, objective=None, **kwargs):
    """A trainer of two steps with a projection; `kwargs` are of the trainer, `settings` of its arguments."""
    own, teacher = make_pair()
    rows = make_rows(16)
    return trainer(
        model=own if student is None else student,
        teacher=teacher,
        args=make_arguments(tmp_path, **kwargs.pop("settings", {})),
        objective=hint_objective() if objective is None else objective,
        train_dataset=rows,
        eval_dataset=rows,
        processing_class=tiny_tokenizer(),
        **kwargs,
    )


def projection_of(trainer):
    return next(trainer.objective.parameters()).detach().clone()


# ---- Optimizers ----


def test_an_optimizer_without_the_projection_is_refused_before_the_first_step(tmp_path):
    student, _ = make_pair()
    optimizer = torch.optim.SGD(student.parameters(), lr=0.1)
    trainer = trainer_with(tmp_path, student, optimizers=(optimizer, None))
    with pytest.raises(
        ValueError, match="should have all trainable weights of the objective; 1 of 1 are not in its 1"
    ):
        trainer.train()
    assert trainer.state.global_step == 0


def test_the_projection_can_be_added_to_an_optimizer(tmp_path):
    student, _ = make_pair()
    optimizer = torch.optim.SGD(student.parameters(), lr=0.1)
    trainer = trainer_with(tmp_path, student, optimizers=(optimizer, None))
    trainer.optimizer.add_param_group({"params": [*trainer.objective.parameters()]})
    before = projection_of(trainer)
    trainer.train()
    assert not torch.equal(projection_of(trainer), before)


def test_an_optimizer_class_trains_the_projection(tmp_path):
    trainer = trainer_with(tmp_path, optimizer_cls_and_kwargs=(torch.optim.SGD, {"lr": 0.1}))
    before = projection_of(trainer)
    trainer.train()
    assert not torch.equal(projection_of(trainer), before)


def test_a_subclass_whose_optimizer_lacks_the_projection_is_refused(tmp_path):
    class Own(DistillationTrainer):
        def create_optimizer(self, model=None):
            self.optimizer = torch.optim.SGD(self.model.parameters(), lr=0.1)
            return self.optimizer

    with pytest.raises(ValueError, match="trainer.optimizer.add_param_group"):
        trainer_with(tmp_path, trainer=Own).train()


def test_a_frozen_projection_needs_no_optimizer(tmp_path):
    student, _ = make_pair()
    trainer = trainer_with(tmp_path, student, optimizers=(torch.optim.SGD(student.parameters(), lr=0.1), None))
    trainer.objective.requires_grad_(False)
    trainer.train()
    assert trainer.state.global_step == 2


def test_a_group_that_the_scheduler_does_not_have_is_refused(tmp_path):
    student, _ = make_pair()
    optimizer = torch.optim.SGD(student.parameters(), lr=0.1)
    scheduler = LambdaLR(optimizer, lambda step: 1.0)
    trainer = trainer_with(tmp_path, student, optimizers=(optimizer, scheduler))
    trainer.optimizer.add_param_group({"params": [*trainer.objective.parameters()]})
    with pytest.raises(ValueError, match="LambdaLR schedules 1 parameter groups, and the optimizer has 2"):
        trainer.train()


def test_a_scheduler_of_another_optimizer_is_refused(tmp_path):
    student, _ = make_pair()
    scheduler = LambdaLR(torch.optim.SGD(student.parameters(), lr=0.1), lambda step: 1.0)
    with pytest.raises(ValueError, match="made for another SGD: the learning rate would stay constant"):
        trainer_with(tmp_path, student, optimizers=(None, scheduler)).train()


def test_a_student_without_trainable_parameters_is_refused(tmp_path):
    student, _ = make_pair()
    student.requires_grad_(False)
    with pytest.raises(ValueError, match="all its .* have requires_grad=False"):
        trainer_with(tmp_path, student).train()


def test_a_term_between_frozen_layers_is_refused(tmp_path):
    student, _ = make_pair()
    student.bert.requires_grad_(False)
    with pytest.raises(
        ValueError, match=r"term hidden .* depend on frozen weights only \(bert.encoder.layer.0; requires"
    ):
        trainer_with(tmp_path, student)


def test_a_term_of_which_some_layers_are_frozen_is_trained_with_a_warning(tmp_path, caplog):
    student, _ = make_pair()
    student.bert.embeddings.requires_grad_(False)
    layers = [("embeddings", "embeddings"), (-1, -1)]
    trainer_with(tmp_path, student, objective=Objective([HardLabels(0.5), HiddenStates(0.5, layers=layers)])).train()
    assert "Layers bert.embeddings of the student depend on frozen weights only" in caplog.text
    caplog.clear()
    student.bert.requires_grad_(True)
    student.classifier.requires_grad_(False)
    trainer_with(tmp_path, student, objective=Objective([HardLabels(0.5), HiddenStates(0.5, layers=layers)]))
    assert "frozen" not in caplog.text


# ---- Checkpoints ----


def test_the_best_model_is_loaded_with_its_projection_where_only_the_model_is_saved(tmp_path):
    settings = {
        "save_only_model": True, "save_strategy": "steps", "save_steps": 1, "eval_strategy": "steps", "eval_steps": 1,
        "load_best_model_at_end": True, "learning_rate": 100.0,
    }  # fmt: skip
    trainer = trainer_with(tmp_path, settings=settings)
    trainer.train()
    assert trainer.state.best_model_checkpoint.endswith("checkpoint-1")
    best = trainer_with(tmp_path / "one", settings={"learning_rate": 100.0, "max_steps": 1})
    best.train()
    assert torch.equal(projection_of(trainer), projection_of(best)) and same_weights(trainer.model, best.model)


class Tied(torch.nn.Module):
    """Two weights share memory, another is a part of them, and one is not contiguous."""

    def __init__(self):
        super().__init__()
        self.embedding = torch.nn.Embedding(64, 8)
        self.output = torch.nn.Linear(8, 64, bias=False)
        self.output.weight = self.embedding.weight
        self.head = torch.nn.Linear(8, 3)
        self.head.weight = torch.nn.Parameter(torch.randn(8, 3).T)
        self.register_buffer("first", self.embedding.weight.detach()[:2])

    def forward(self, input_ids, attention_mask):
        return self.head((self.embedding(input_ids) * attention_mask.unsqueeze(-1)).sum(1))


def test_a_module_with_tied_weights_is_saved_and_resumed(tmp_path):
    torch.manual_seed(0)
    settings = {"save_strategy": "steps", "save_steps": 1, "learning_rate": 0.01}
    labels = Objective([HardLabels(1.0)])
    whole = trainer_with(tmp_path, Tied(), objective=labels, settings=settings)
    whole.train()
    resumed = trainer_with(tmp_path, Tied(), objective=labels, settings=settings)
    resumed.train(resume_from_checkpoint=str(tmp_path / "checkpoint-1"))
    assert same_weights(whole.model, resumed.model)
    assert resumed.model.output.weight is resumed.model.embedding.weight


def test_tied_weights_of_a_transformers_model_are_written_once(tmp_path):
    student, teacher = make_pair(problem="masked")
    assert student.get_output_embeddings().weight is student.get_input_embeddings().weight
    trainer = make_trainer(student, teacher, make_rows(16, problem="masked"), tmp_path)
    trainer.save_model()
    from safetensors.torch import load_file

    assert "cls.predictions.decoder.weight" not in load_file(tmp_path / "model.safetensors")


# ---- Outputs and settings ----


def test_a_subclass_reads_the_logits_of_the_outputs_by_name_and_by_position(tmp_path):
    class Own(DistillationTrainer):
        def compute_loss(self, model, inputs, return_outputs=False, num_items_in_batch=None):
            loss, outputs = super().compute_loss(model, inputs, True, num_items_in_batch)
            assert outputs.logits is outputs["logits"] is outputs[1:][0] and outputs.loss is loss
            return (loss, outputs) if return_outputs else loss

    trainer = trainer_with(tmp_path, trainer=Own)
    trainer.train()
    assert trainer.state.global_step == 2


def test_reentrant_checkpointing_under_a_term_between_layers_is_refused(tmp_path):
    settings = {"activation_checkpointing": True, "activation_checkpointing_kwargs": {"use_reentrant": True}}
    with pytest.raises(ValueError, match="'use_reentrant': True.* runs layers without gradient"):
        trainer_with(tmp_path, objective=Objective([HiddenStates(1.0, layers="last")]), settings=settings)


@pytest.mark.parametrize(
    "settings",
    [
        {"auto_find_batch_size": True},
        {"train_sampling_strategy": "batch_rebalance"},
        {"neftune_noise_alpha": 5.0},
        {"include_for_metrics": ["inputs", "loss"]},
        {"batch_eval_metrics": True},
        {"eval_on_start": True},
        {"activation_checkpointing": True},
        {"eval_accumulation_steps": 1},
        {"eval_do_concat_batches": False},
        {"save_strategy": "best", "eval_strategy": "epoch", "metric_for_best_model": "rows"},
        {"lr_scheduler_type": "reduce_lr_on_plateau", "eval_strategy": "epoch", "metric_for_best_model": "loss"},
        {"include_num_input_tokens_seen": "all"},
        {"remove_unused_columns": False},
        {"optim": "adafactor"},
    ],
    ids=lambda settings: next(iter(settings)),
)
def test_settings_of_trainer_train_evaluate_and_predict(settings, tmp_path):
    def rows(prediction, compute_result=True):
        is_asked = "include_for_metrics" in settings
        assert (prediction.inputs is not None) == (prediction.losses is not None) == is_asked
        return {"rows": len(prediction.label_ids)}

    trainer = trainer_with(tmp_path, compute_metrics=rows, settings={"per_device_eval_batch_size": 8, **settings})
    trainer.train()
    metrics = trainer.evaluate()
    assert trainer.state.global_step == 2 and metrics["eval_loss"] > 0
    one_batch = "batch_eval_metrics" in settings
    assert metrics["eval_rows"] == (8 if one_batch else 2 if "eval_do_concat_batches" in settings else 16)
    assert len(trainer.predict(make_rows(4)).predictions) == (1 if "eval_do_concat_batches" in settings else 4)


@pytest.mark.slow  # compiles student, teacher and objective: half a minute
def test_a_compiled_training_with_a_term_between_layers_is_the_plain_one(tmp_path):
    trained = []
    for settings in ({}, {"torch_compile": True, "torch_compile_backend": "eager"}):
        trainer = trainer_with(tmp_path, settings=settings)
        trainer.train()
        trained.append({**trainer.model.state_dict(), **trainer.objective.state_dict()})
    assert same_weights(*trained)
