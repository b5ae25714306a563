"""Nothing depends on the class of a data set: `datasets.Dataset`, list, torch data set, or a stream."""

import pytest
import torch

from distil_nlp.data.examples import column_names, with_columns
from distil_nlp.evaluation import predict_logits
from distil_nlp.teachers.cache.fingerprints import data_fingerprint
from distil_nlp.training.trainer import DistillationTrainer
from tests.tiny import tiny_model, tiny_tokenizer
from tests.training.runs import make_arguments, make_pair, make_rows
from tests.training.test_silence import Oracle, rows_for_the_oracle


class Endless(torch.utils.data.Dataset):
    """Has a length, and no end: its index starts again."""

    def __init__(self, rows):
        self.rows = list(rows)

    def __len__(self):
        return len(self.rows)

    def __getitem__(self, index):
        return dict(self.rows[index % len(self.rows)])


class Stream(torch.utils.data.IterableDataset):
    def __init__(self, rows):
        self.rows = list(rows)

    def __iter__(self):
        return (dict(row) for row in self.rows)


def stream_of_unknown_columns(rows):
    """As after any `map`, its columns are not announced."""
    stream = rows.to_iterable_dataset().map(dict, features=None)
    assert stream.column_names is None
    return stream


WITH_LENGTH = {"datasets": lambda rows: rows, "list": list, "torch": Endless}
CLASSES = {**WITH_LENGTH, "stream": stream_of_unknown_columns, "torch stream": Stream}


def trainer_on(tmp_path, data, *, pair=None, eval_dataset=None, trainer=DistillationTrainer, **settings):
    student, teacher = make_pair() if pair is None else pair
    return trainer(
        student,
        teacher,
        make_arguments(tmp_path, **{"max_steps": 2, **settings}),
        train_dataset=data,
        eval_dataset=eval_dataset,
        processing_class=tiny_tokenizer(),
    )


@pytest.mark.parametrize("name", CLASSES)
def test_every_class_of_data_set_trains(name, tmp_path):
    trainer = trainer_on(tmp_path, CLASSES[name](make_rows(16)))
    trainer.train()
    assert trainer.state.global_step == 2


@pytest.mark.parametrize("name", CLASSES)
def test_permuted_labels_are_found_in_every_class_of_data_set(name, tmp_path):
    trainer = trainer_on(tmp_path, CLASSES[name](rows_for_the_oracle()), pair=(tiny_model(), Oracle((1, 2, 0))))
    with pytest.raises(ValueError, match="100.0% if its classes were renamed"):
        trainer.train()
    assert trainer.state.global_step == 0


def test_labels_that_come_late_in_a_list_are_probed(tmp_path):
    rows = rows_for_the_oracle(240)
    rows = [{**row, "labels": row["labels"] if index >= 160 else -100} for index, row in enumerate(rows)]
    trainer = trainer_on(tmp_path, rows, pair=(tiny_model(), Oracle((1, 2, 0))))
    with pytest.raises(ValueError, match="right on 0.0% of 80 "):
        trainer.train()


@pytest.mark.parametrize("name", ["list", "torch"])
def test_comparison_predictions_and_fingerprint_do_not_depend_on_the_class(name, tmp_path):
    rows, data = make_rows(12), WITH_LENGTH[name](make_rows(12))
    trainer = trainer_on(tmp_path, rows)
    found, expected = (trainer.compare(some, seconds=0.05).to_dict()["models"] for some in (data, rows))
    assert [model["metrics"] for model in found] == [model["metrics"] for model in expected]
    logits = [predict_logits(trainer.model, some, trainer.data_collator) for some in (data, rows)]
    assert (logits[0] == logits[1]).all()
    assert data_fingerprint(data, column_names(data)) == data_fingerprint(list(rows), column_names(rows))
    assert list(with_columns(data, ["labels"])) == [{"labels": label} for label in rows["labels"]]


def test_a_stream_cannot_be_compared(tmp_path):
    trainer = trainer_on(tmp_path, make_rows(8))
    with pytest.raises(ValueError, match="Stream has no length. Pass a data set with one"):
        trainer.compare(Stream(make_rows(8)))


class AnyColumns(torch.nn.Module):
    """Its forward names no column."""

    def __init__(self):
        super().__init__()
        self.embedding, self.head = torch.nn.Embedding(64, 4), torch.nn.Linear(4, 3)

    def forward(self, **columns):
        return self.head((self.embedding(columns["input_ids"]) * columns["attention_mask"].unsqueeze(-1)).sum(1))


@pytest.mark.parametrize("name", WITH_LENGTH)
def test_a_student_that_takes_any_column_gets_those_of_every_class(name, tmp_path):
    data = WITH_LENGTH[name](make_rows(16))
    trainer = trainer_on(tmp_path, data, pair=(AnyColumns(), make_pair()[1]), eval_dataset={"dev": data})
    trainer.train()
    assert trainer.evaluate()["eval_dev_loss"] > 0


# ---- Several evaluation data sets ----


def test_a_comparison_uses_one_of_several_data_sets(tmp_path):
    several = {"easy": make_rows(8), "hard": make_rows(12, seed=1)}
    trainer = trainer_on(tmp_path, make_rows(16), eval_dataset=several)
    reports = [trainer.compare(which, seconds=0.05) for which in (None, "hard")]
    assert [report.num_examples for report in reports] == [8, 12]
    assert [report.data["compared_on"] for report in reports] == ["easy", "hard"]
    trainer.create_model_card()
    trainer.args.metric_for_best_model = "eval_hard_loss"
    assert trainer.compare(seconds=0.05).num_examples == 12
    with pytest.raises(ValueError, match="'hrd' is not one of the evaluation data sets"):
        trainer.compare("hrd")


def test_every_evaluation_data_set_is_checked_for_what_the_teacher_reads(tmp_path):
    student, teacher = make_pair()
    lacking = make_rows(8).remove_columns("token_type_ids")
    several, settings = {"whole": make_rows(8), "lacking": lacking}, {"eval_with_teacher": True}
    with pytest.raises(ValueError, match="reads the columns token_type_ids of the training data"):
        trainer_on(tmp_path, make_rows(16), pair=(student, teacher), eval_dataset=several, **settings)
    trainer = trainer_on(tmp_path, make_rows(16), pair=(student, teacher))
    with pytest.raises(ValueError, match="the evaluation data has only input_ids, attention_mask, labels"):
        trainer.compare(lacking)


# ---- The metric of the best checkpoint ----

BEST = {"save_strategy": "epoch", "eval_strategy": "epoch", "load_best_model_at_end": True}


@pytest.mark.parametrize(
    ("settings", "labeled", "several"),
    [
        ({"kd_ratio": 1.0}, True, False),  # the labels have no weight
        ({}, False, False),  # no evaluation example has a label
        ({"metric_for_best_model": "accuracy"}, True, False),  # without compute_metrics
        ({}, True, True),  # the losses of several data sets have their names
    ],
)
def test_a_metric_that_no_evaluation_computes_is_refused_before_the_first_step(settings, labeled, several, tmp_path):
    data = make_rows(8, labeled=lambda row: labeled)
    data = {"dev": data} if several else data
    trainer = trainer_on(tmp_path, make_rows(16), eval_dataset=data, **BEST, **settings)
    with pytest.raises(ValueError, match="names a metric that no evaluation computes"):
        trainer.train()
    assert trainer.state.global_step == 0


@pytest.mark.parametrize(
    ("settings", "several"),
    [
        ({"kd_ratio": 1.0, "eval_with_teacher": True}, False),
        ({"eval_with_teacher": True, "metric_for_best_model": "agreement", "greater_is_better": True}, False),
        ({"metric_for_best_model": "eval_dev_loss"}, True),
    ],
)
def test_the_best_checkpoint_is_chosen_by_a_metric_of_the_evaluation(settings, several, tmp_path):
    data = {"dev": make_rows(8)} if several else make_rows(8)
    trainer = trainer_on(tmp_path, make_rows(16), eval_dataset=data, **BEST, **settings)
    trainer.train()
    assert trainer.state.best_model_checkpoint is not None


def test_an_evaluation_of_a_subclass_computes_its_own_metric(tmp_path):
    class Own(DistillationTrainer):
        def evaluate(self, *args, **kwargs):
            return super().evaluate(*args, **kwargs) | {"eval_score": 1.0}

    settings = {**BEST, "metric_for_best_model": "score"}
    trainer = trainer_on(tmp_path, make_rows(16), eval_dataset=make_rows(8), trainer=Own, **settings)
    trainer.train()
    assert trainer.state.best_metric == 1.0
