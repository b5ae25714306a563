"""Several teachers in the trainer: online, from caches, with tokenizers of their own; looked back at, resumed."""

import copy

import datasets
import pytest
import torch
from transformers import DataCollatorWithPadding

from distil_nlp.collators.separate_inputs import SeparateInputsCollator
from distil_nlp.data.examples import add_example_ids
from distil_nlp.teachers import CachedTeacher, OnlineTeacher, SeparateInputs, TeacherEnsemble, build_cache
from tests.tiny import tiny_model, tiny_tokenizer
from tests.training.runs import hint_objective, make_pair, make_rows, make_trainer, relative_difference, same_weights
from tests.training.runs import step_gradients as gradients


def other_teacher(**settings):
    return tiny_model(seed=5, num_layers=1, **settings)


def rows_with_ids():
    """Of one length: other padding would change the rounding of what a teacher says."""
    return add_example_ids(make_rows(lengths=(9, 9)))


def cached(model, rows, folder):
    """A cache of what a model says in the batches that sequential training makes."""
    collator = DataCollatorWithPadding(tiny_tokenizer())
    build_cache(folder, OnlineTeacher(model, name="tiny"), rows, collator, batch_size=8)
    return CachedTeacher(folder)


def trained(teacher, rows, folder, **settings):
    settings = {"train_sampling_strategy": "sequential", "num_train_epochs": 2, **settings}
    trainer = make_trainer(make_pair()[0], teacher, rows, folder, **settings)
    trainer.train()
    return trainer


def test_a_cached_and_an_online_member_teach_what_two_online_ones_teach(tmp_path):
    rows, one, other = rows_with_ids(), make_pair()[1], other_teacher()
    online = trained(TeacherEnsemble([one, other]), rows, tmp_path / "online")
    mixed = TeacherEnsemble([copy.deepcopy(one), cached(other, rows, tmp_path / "cache")])
    assert same_weights(online.model, trained(mixed, rows, tmp_path / "mixed").model)
    assert not same_weights(online.model, trained(one, rows, tmp_path / "one").model)


def test_an_ensemble_of_one_opinion_gives_the_gradients_of_the_single_teacher(tmp_path):
    student, teacher = (model.double() for model in make_pair())
    rows = make_rows(8)
    alone = gradients(copy.deepcopy(student), teacher, rows, tmp_path, temperature=3.0)
    twice = TeacherEnsemble([teacher, copy.deepcopy(teacher)], weights=[1, 3])
    together = gradients(copy.deepcopy(student), twice, rows, tmp_path, num_micro_batches=2, temperature=3.0)
    assert relative_difference(together["student"], alone["student"]) < 1e-10


def test_compare_shows_an_ensemble_with_the_size_and_time_of_all_that_run(tmp_path):
    rows, one, other = rows_with_ids(), make_pair()[1], other_teacher()
    trainer = make_trainer(make_pair()[0], TeacherEnsemble([one, other]), rows, tmp_path / "a")
    teacher = trainer.compare(rows, seconds=0.1).to_dict()["models"][0]
    assert teacher["parameters"] == sum(p.numel() for model in (one, other) for p in model.parameters())
    assert teacher["latency_ms"]["p50"] > 0
    members = [one, cached(other, rows, tmp_path / "cache")]
    trainer = make_trainer(make_pair()[0], TeacherEnsemble(members), rows, tmp_path / "b")
    mixed = trainer.compare(rows, seconds=0.1).to_dict()["models"][0]
    assert mixed["metrics"] == teacher["metrics"]
    assert mixed["parameters"] is None and mixed["latency_ms"] is None
    trainer.create_model_card()
    assert "`BertForSequenceClassification` + `tiny`" in (tmp_path / "b" / "README.md").read_text()


def test_a_term_between_layers_is_refused_before_the_first_step(tmp_path):
    student, teacher = make_pair()
    with pytest.raises(ValueError, match="an ensemble has no layers, .*Use one teacher"):
        make_trainer(student, TeacherEnsemble([teacher]), make_rows(8), tmp_path, objective=hint_objective())


def test_a_run_with_an_ensemble_resumes_bit_identically(tmp_path):
    def members():
        return TeacherEnsemble([make_pair()[1], other_teacher()])

    settings = {"save_strategy": "steps", "save_steps": 3, "train_sampling_strategy": "group_by_length"}
    whole = trained(members(), make_rows(), tmp_path / "run", **settings)
    again = make_trainer(make_pair()[0], members(), make_rows(), tmp_path / "run", num_train_epochs=2, **settings)
    again.train(resume_from_checkpoint=str(tmp_path / "run" / "checkpoint-3"))
    assert same_weights(again.model, whole.model)


def test_a_member_given_by_name_is_loaded_in_the_precision_asked_for(tmp_path):
    student, teacher = make_pair()
    teacher.save_pretrained(tmp_path / "teacher")
    ensemble = TeacherEnsemble([tmp_path / "teacher", other_teacher()])
    make_trainer(student, ensemble, make_rows(8), tmp_path / "out", teacher_dtype="bfloat16")
    assert [model.dtype for model in ensemble.models] == [torch.bfloat16, torch.float32]


def test_a_single_teacher_may_have_a_tokenizer_of_its_own(tmp_path):
    rows, teacher = make_rows(16), tiny_model(seed=5, vocab_size=90)
    moved = [[token + 20 for token in ids] for ids in rows["input_ids"]]
    own = {"teacher_input_ids": moved, "teacher_attention_mask": rows["attention_mask"]}
    joined = datasets.concatenate_datasets([rows, datasets.Dataset.from_dict(own)], axis=1)
    pad = DataCollatorWithPadding(tiny_tokenizer())
    collator = SeparateInputsCollator(pad, {"teacher_": pad})
    trainer = make_trainer(make_pair()[0], SeparateInputs(teacher, "teacher_"), joined, tmp_path, collator=collator)
    trainer.train()
    models = trainer.compare(joined, seconds=0.1).to_dict()["models"]
    assert models[0]["parameters"] == sum(p.numel() for p in teacher.parameters())
    batch = pad([{"input_ids": ids} for ids in moved])
    logits = OnlineTeacher(teacher)(batch).logits
    right = (logits.argmax(-1) == torch.tensor(rows["labels"])).float().mean().item()
    assert models[0]["metrics"]["accuracy"] == pytest.approx(right)


def test_a_teacher_of_another_vocabulary_is_told_about_columns_of_its_own(tmp_path):
    with pytest.raises(ValueError, match="64 rows, the teacher .* of 90: the same token ids.*`SeparateInputs`"):
        make_trainer(make_pair()[0], tiny_model(seed=5, vocab_size=90), make_rows(8), tmp_path)
