"""Labels in every form that data comes in: learned from as they are meant, or refused before training."""

import random

import datasets
import numpy as np
import pytest
import torch
from transformers import DataCollatorWithPadding, default_data_collator

from distil_nlp.data.label_check import check_label_column
from distil_nlp.signals.problem_kinds import problem_kind
from distil_nlp.training.trainer import DistillationTrainer
from tests.tiny import tiny_model, tiny_tokenizer
from tests.training.runs import make_arguments, make_rows, make_trainer

LABELS = [0, 1, 2, 1, 0, 2, 1, 1]


def rows_with(labels, name="labels"):
    return make_rows(8, problem="none").add_column(name, labels)


def trainer_of(rows, folder, *, task="sequence", num_labels=3, **settings):
    models = [tiny_model(task=task, seed=seed, num_labels=num_labels, **settings) for seed in (1, 2)]
    return make_trainer(*models, rows, folder, collator=DataCollatorWithPadding(tiny_tokenizer()))


def hard_loss(trainer):
    """Mean label loss of all rows, from the student as it is."""
    batch = next(trainer._batches_of(trainer.train_dataset, range(len(trainer.train_dataset))))
    objective = trainer.objective.without_teacher()
    signals = trainer._student_signals(trainer.model.eval(), batch)
    return objective(signals, None, batch, objective.count([batch]))[0].item()


INTEGERS = {
    "int8": np.array(LABELS, dtype=np.int8),
    "uint8": np.array(LABELS, dtype=np.uint8),
    "int32": np.array(LABELS, dtype=np.int32),
    "hidden": [*LABELS[:6], -1, -100],
}


@pytest.mark.parametrize("form", INTEGERS)
def test_whole_numbers_of_any_type_are_classes(form, tmp_path):
    trainer = trainer_of(rows_with(INTEGERS[form]), tmp_path)
    labels = torch.tensor([int(label) for label in INTEGERS[form]])
    logits = torch.from_numpy(trainer.predict(trainer.train_dataset).predictions)
    expected = torch.nn.functional.cross_entropy(logits[labels >= 0], labels[labels >= 0]).item()
    assert hard_loss(trainer) == pytest.approx(expected, rel=1e-6)
    assert trainer.train().training_loss > 0


def test_truth_values_are_the_classes_0_and_1(tmp_path):
    flags = [label == 1 for label in LABELS]
    trainers = [trainer_of(rows_with(column), tmp_path, num_labels=2) for column in (flags, [int(f) for f in flags])]
    losses = [hard_loss(trainer) for trainer in trainers]
    assert losses[0] == losses[1] and trainers[0].train().training_loss == trainers[1].train().training_loss


@pytest.mark.parametrize("value", [int, bool])
def test_whole_numbers_and_truth_values_are_several_labels_where_the_config_has_these(value, tmp_path):
    rows = [[value(label == 0), value(1), value(0)] for label in LABELS]
    as_floats = rows_with([[float(flag) for flag in row] for row in rows])
    kind = {"problem_type": "multi_label_classification"}
    losses = [hard_loss(trainer_of(data, tmp_path, **kind)) for data in (rows_with(rows), as_floats)]
    assert losses[0] == losses[1]


REFUSED = {
    "beyond the classes": (lambda: [*LABELS[:5], 7, 0, 1], r"from 0 to 2.*row 5 .* has 7"),
    "negative": (lambda: [*LABELS[:5], -7, 0, 1], r"row 5 .* has -7"),
    "nothing": (lambda: [*LABELS[:5], None, 0, 1], r"labels must be .*row 5 .* has None"),
    "words": (lambda: ["a"] * 8, r"labels must be numbers .*row 0 .* has 'a'"),
    "floats": (lambda: [float(label) for label in LABELS], r"labels must be whole numbers.*float32 of shape \(2,\)"),
    "several": (lambda: [[1, 0, 1]] * 8, r"labels must be .* of shape \(2,\) .*multi_label_classification"),
    "one in a list": (lambda: [[label] for label in LABELS], r"labels must be .* of shape \(2,\)"),
}


@pytest.mark.parametrize("form", REFUSED)
def test_other_labels_are_refused_before_training_with_value_and_row(form, tmp_path):
    labels, message = REFUSED[form]
    with pytest.raises(ValueError, match=message):
        trainer_of(rows_with(labels()), tmp_path)


def test_labels_are_checked_in_every_data_set(tmp_path):
    good, bad = rows_with(LABELS), rows_with([*LABELS[:7], 3])
    trainer = trainer_of(good, tmp_path)
    for evaluated in (bad, {"good": good, "bad": bad}, list(bad)):
        trainer.eval_dataset = evaluated
        with pytest.raises(ValueError, match="row 7 .* has 3"):
            trainer._check_label_columns(3)


def test_rows_of_a_selection_are_numbered_as_the_trainer_numbers_them(tmp_path):
    with pytest.raises(ValueError, match="row 2 .* has 7"):
        trainer_of(rows_with([0, 1, 2, 7, 0, 1, 2, 0]).select([0, 1, 3, 2]), tmp_path)


def test_a_collator_may_make_labels_of_words(tmp_path):
    def collate(rows):
        ids = torch.nn.utils.rnn.pad_sequence([torch.tensor(row["input_ids"]) for row in rows], batch_first=True)
        labels = torch.tensor(["xyz".index(row["labels"]) for row in rows])
        return {"input_ids": ids, "attention_mask": (ids > 0).long(), "labels": labels}

    rows = rows_with(["xyz"[label] for label in LABELS])
    assert make_trainer(tiny_model(), tiny_model(seed=2), rows, tmp_path, collator=collate).train().training_loss > 0


class Lines(torch.utils.data.Dataset):
    def __init__(self, labels):
        self.rows = [{"input_ids": torch.full((6,), 5 + i), "labels": torch.tensor(y)} for i, y in enumerate(labels)]

    def __len__(self):
        return len(self.rows)

    def __getitem__(self, index):
        return self.rows[index]


def opaque_trainer(data, folder):
    return DistillationTrainer(
        tiny_model(),
        tiny_model(seed=2),
        make_arguments(folder),
        train_dataset=data,
        data_collator=default_data_collator,
    )


def test_a_hidden_label_of_a_torch_dataset_counts_as_missing(tmp_path):
    data = Lines([0, 1, -1, 2])
    trainer = opaque_trainer(data, tmp_path)
    trainer.train()
    assert trainer.predict(Lines([-1] * 4)).label_ids.tolist() == [-1] * 4
    report = trainer.compare(data, seconds=0.02)
    assert report.num_examples == 3


def test_a_label_of_a_torch_dataset_beyond_the_classes_is_refused_before_training(tmp_path):
    with pytest.raises(ValueError, match="labels must be whole numbers from 0 to 2.*row 3 .* has 5"):
        opaque_trainer(Lines([0, 1, 2, 5]), tmp_path)


def as_subset(rows):
    return torch.utils.data.Subset(list(rows), range(len(rows)))


NOT_FINITE = {
    "regression": (float("inf"), "finite numbers .*row 5 .* has inf"),
    "multi_label_classification": ([0.0, float("nan"), 1.0], "from 0 to 1.*row 5 .* has nan"),
    "single_label_classification": ([0.0, float("nan"), 1.0], "from 0 to 2.*row 5 .* has nan"),
}


@pytest.mark.parametrize("as_data", [datasets.Dataset.from_list, list, as_subset], ids=["datasets", "list", "torch"])
@pytest.mark.parametrize("problem", NOT_FINITE)
def test_a_label_that_is_not_finite_is_refused_before_training_in_every_class_of_data_set(problem, as_data, tmp_path):
    wrong, message = NOT_FINITE[problem]
    good = 0.5 if problem == "regression" else [0.0, 1.0, 0.0]
    student = tiny_model(problem_type=problem, num_labels=1 if problem == "regression" else 3)
    for labels in ([good] * 6, [good] * 5 + [wrong]):
        data = as_data([{"input_ids": [7, 8, 9], "labels": label} for label in labels])
        arguments = {"args": make_arguments(tmp_path), "processing_class": tiny_tokenizer()}
        if labels[-1] is good:
            DistillationTrainer(student, None, train_dataset=data, **arguments)
        else:
            with pytest.raises(ValueError, match=message):
                DistillationTrainer(student, None, train_dataset=data, **arguments)


def test_a_missing_number_is_no_wrong_label(tmp_path):
    data = as_subset([{"input_ids": [7, 8, 9], "labels": label} for label in (0.5, float("nan"), 1.0, 2.0)])
    student = tiny_model(problem_type="regression", num_labels=1)
    trainer = DistillationTrainer(
        student, None, make_arguments(tmp_path), train_dataset=data, processing_class=tiny_tokenizer()
    )
    assert trainer.train().training_loss > 0


def test_reading_labels_leaves_the_random_numbers_of_a_data_set_as_they_were(tmp_path):
    class Augmented(Lines):
        def __getitem__(self, index):
            return {**super().__getitem__(index), "noise": np.random.rand() + random.random() + torch.rand(()).item()}

    states = []
    for check in (True, False):
        random.seed(1), np.random.seed(1), torch.manual_seed(1)
        if check:
            check_label_column(Augmented([0, 1, 2, 0]), problem_kind("single_label_classification"), 3)
        states.append((random.random(), np.random.rand(), torch.rand(()).item()))
    assert states[0] == states[1]


def test_positions_of_answers_in_two_columns_are_learned_from(tmp_path):
    columns = {"start_positions": [0, 1, 1, 2, 0, 0, 1, 2], "end_positions": [1, 1, 2, 2, 0, 2, 2, 2]}
    rows = make_rows(8, problem="none", lengths=(6, 6))  # the model's own loss counts padding
    losses = []
    for data in (
        rows.add_column("labels", [list(pair) for pair in zip(*columns.values(), strict=True)]),
        datasets.concatenate_datasets([rows, datasets.Dataset.from_dict(columns)], axis=1),
    ):
        trainer = trainer_of(data, tmp_path, task="span", num_labels=2)
        losses.append([hard_loss(trainer), trainer.train().training_loss, trainer.evaluate(data)["eval_loss"]])
    assert losses[0] == losses[1]
    student, batch = trainer.model.eval(), next(trainer._batches_of(data, range(8)))
    with torch.no_grad():
        own = student(**{name: batch[name] for name in (*columns, "input_ids", "attention_mask", "token_type_ids")})
    assert trainer.evaluate(data)["eval_loss"] == pytest.approx(own.loss.item(), rel=1e-5)


def test_questions_without_answers_are_learned_from_the_teacher(tmp_path):
    assert trainer_of(make_rows(8, problem="none"), tmp_path, task="span", num_labels=2).train().training_loss > 0


def test_semantic_segmentation_is_refused_by_name(tmp_path):
    class Segmenter(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.layer = torch.nn.Conv2d(3, 5, 1)

        def forward(self, pixel_values):
            return self.layer(pixel_values)

    rows = [{"pixel_values": torch.zeros(3, 8, 8), "labels": torch.zeros(8, 8, dtype=torch.long)}] * 4
    with pytest.raises(ValueError, match="Semantic segmentation.* is not supported"):
        DistillationTrainer(Segmenter(), Segmenter(), make_arguments(tmp_path), train_dataset=rows)
