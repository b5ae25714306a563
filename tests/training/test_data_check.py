"""Arguments, rows and teachers of another kind than a trainer needs are refused before training, in one sentence."""

import datasets
import pytest
import torch
from torch.utils.data import DataLoader, TensorDataset
from transformers import BertForSequenceClassification

from distil_nlp.objectives import HardLabels
from distil_nlp.training.arguments import DistillationTrainingArguments
from distil_nlp.training.trainer import DistillationTrainer
from tests.tiny import tiny_config, tiny_image_model, tiny_model, tiny_tokenizer
from tests.training.runs import make_arguments, make_rows, make_trainer

ROWS = make_rows(8)
IDS = {"input_ids": [[2, 7, 8, 3]] * 8, "attention_mask": [[1, 1, 1, 1]] * 8}


def trainer_of(tmp_path, **changes):
    settings = {"model": tiny_model(), "teacher": tiny_model(seed=2), "train_dataset": ROWS}
    return DistillationTrainer(
        **{**settings, "args": make_arguments(tmp_path), "processing_class": tiny_tokenizer(), **changes}
    )


class Session:
    """Such as one of ONNX Runtime."""

    def run(self, names, inputs):
        return [inputs]


class Pipeline:
    def __init__(self):
        self.model = tiny_model()


class Frame:
    """As a table of pandas has it."""

    iloc, __len__ = None, lambda self: 8


ARGUMENTS = {
    "student by name": ({"model": "bert"}, "model must be the student, a torch.nn.Module; got str"),
    "student is a tokenizer": ({"model": tiny_tokenizer()}, "model must be the student.*; got TokenizersBackend"),
    "objective is a term": (
        {"objective": HardLabels(1.0)},
        r"must be an Objective; got HardLabels. Write `Objective\(",
    ),
    "objective by name": ({"objective": "tinybert"}, "must be an Objective; got str"),
    "metrics by name": ({"compute_metrics": "accuracy"}, "compute_metrics must be a function.*'accuracy'"),
    "several splits": (
        {"train_dataset": datasets.DatasetDict(train=ROWS, test=ROWS)},
        "Its keys are.*train.*pass one",
    ),
    "columns": ({"train_dataset": ROWS.to_dict()}, "Its keys are input_ids, .*datasets.Dataset.from_dict"),
    "table": ({"train_dataset": Frame()}, "got Frame. Convert it with `datasets.Dataset.from_pandas"),
    "data by name": ({"train_dataset": "sst2"}, r"got str. Load it first: `datasets.load_dataset\('sst2'\)"),
    "loader": ({"train_dataset": DataLoader(ROWS)}, "got DataLoader. Pass the data set in it"),
    "number": ({"train_dataset": 3}, "got int. It has neither rows by number"),
    "no rows": ({"train_dataset": ROWS.select([])}, "train_dataset has no rows"),
    "evaluation by name": (
        {"eval_dataset": {"one": ROWS, "two": "sst2"}},
        r"eval_dataset\['two'\] must be one data set",
    ),
    "pipeline": ({"teacher": Pipeline()}, "got Pipeline. Pass the model in it"),
    "tokenizer": ({"teacher": tiny_tokenizer()}, "got TokenizersBackend. It prepares inputs"),
    "list of teachers": ({"teacher": [tiny_model(), tiny_model()]}, r"got list. .*TeacherEnsemble\("),
    "state": ({"teacher": tiny_model().state_dict()}, "got OrderedDict. Make the model first"),
    "class": ({"teacher": type(tiny_model())}, "got type. Make the model first"),
    "config": ({"teacher": tiny_model().config}, "got BertConfig. Make the model first"),
    "function": ({"teacher": lambda batch: None}, r"got function. .* def __call__\(self, batch\)|subclass of"),
    "session": ({"teacher": Session()}, "got Session. .*subclass of distil_nlp.teachers.Teacher"),
    "no name": ({"teacher": ""}, "got str"),
}


@pytest.mark.parametrize(("changes", "message"), ARGUMENTS.values(), ids=list(ARGUMENTS))
def test_an_argument_of_another_type_is_refused_with_the_way_out(changes, message, tmp_path):
    with pytest.raises((TypeError, ValueError), match=message):
        trainer_of(tmp_path, **changes)


def test_label_names_that_nothing_reads_are_refused(tmp_path):
    with pytest.raises(ValueError, match="label_names=.*'target'.* would have no effect.*Rename the column target"):
        DistillationTrainingArguments(str(tmp_path), label_names=["target"])
    assert make_arguments(tmp_path, label_names=["start_positions", "end_positions"])


TASKS = {
    "texts": ({"text": ["good film"] * 8, "label": [0] * 8}, "the columns text, label: .*dataset.map"),
    "words": ({"tokens": [["good", "film"]] * 8, "ner_tags": [[0, 1]] * 8}, "the columns tokens, ner_tags: "),
    "translation": ({"translation": [{"en": "a", "de": "b"}] * 8}, "the columns translation: "),
    "ragged labels": ({**IDS, "labels": [[0], [1, 2]] * 4}, "the columns input_ids, attention_mask, labels: "),
    "tokens beyond the vocabulary": (
        {"input_ids": [[2, 700, 3]] * 8, "labels": [0] * 8},
        r"BertForSequenceClassification failed .*largest token 700\).* vocab_size=64",
    ),
    "long texts": (
        {"input_ids": [[2] * 90] * 8, "labels": [0] * 8},
        r"input_ids \(2, 90\).*max_position_embeddings=80",
    ),
}


@pytest.mark.parametrize(("columns", "message"), TASKS.values(), ids=list(TASKS))
def test_rows_that_were_not_prepared_are_refused_in_a_sentence(columns, message, tmp_path):
    with pytest.raises(ValueError, match=message):
        trainer_of(tmp_path, train_dataset=datasets.Dataset.from_dict(columns))


def test_rows_that_are_no_dictionaries_and_batches_that_are_none_are_refused(tmp_path):
    images = TensorDataset(torch.zeros(8, 3, 32, 32), torch.zeros(8, dtype=torch.long), torch.zeros(8))
    with pytest.raises(ValueError, match="no batch of rows that are no dictionaries: .*a collator of your own"):
        trainer_of(tmp_path, model=tiny_image_model(), teacher=tiny_image_model(seed=2), train_dataset=images)
    with pytest.raises(ValueError, match=r"collator \(function\) made no batch .*it returned list, not a dictionary"):
        trainer_of(tmp_path, data_collator=lambda rows: [row["input_ids"] for row in rows])


def test_texts_that_are_too_long_for_the_teacher_are_named(tmp_path):
    config = tiny_config()
    config.max_position_embeddings = 5
    with pytest.raises(ValueError, match=r"The teacher \(BertForSequence.* failed .* max_position_embeddings=5"):
        trainer_of(tmp_path, teacher=BertForSequenceClassification(config))


def test_labels_under_another_name_are_pointed_out(tmp_path, caplog):
    trainer_of(tmp_path, train_dataset=ROWS.rename_column("labels", "target"))
    assert "nothing reads the columns target. If one of them has the labels, rename it" in caplog.text
    caplog.clear()
    trainer_of(tmp_path, train_dataset=ROWS.remove_columns("labels"))
    assert "nothing reads" not in caplog.text


def test_a_push_without_a_comparison_is_announced(tmp_path, caplog, monkeypatch):
    monkeypatch.setattr("transformers.Trainer.init_hf_repo", lambda trainer, token=None: None)
    trainer_of(tmp_path, args=make_arguments(tmp_path, push_to_hub=True), eval_dataset=ROWS)
    assert "push_to_hub" not in caplog.text
    trainer_of(tmp_path, args=make_arguments(tmp_path, push_to_hub=True))
    assert "push_to_hub writes a card with a comparison" in caplog.text


def test_the_errors_of_a_debugged_forward_are_explained(tmp_path):
    for rows in (ROWS, make_rows(8, lengths=(6, 6))):
        trainer = make_trainer(tiny_model(), None, rows, tmp_path, debug="underflow_overflow")
        if rows is ROWS:
            with pytest.raises(ValueError, match="debug='underflow_overflow'.*attn_implementation='eager'"):
                trainer.train()
        else:
            assert trainer.train().training_loss > 0
    student = tiny_model()
    student.set_attn_implementation("eager")
    assert make_trainer(student, None, ROWS, tmp_path, debug="underflow_overflow").train().training_loss > 0


def test_positions_of_answers_outside_of_their_text_are_missing_as_in_transformers(tmp_path):
    rows = {"input_ids": [[2, 7, 8, 3], [2, 7, 8, 9, 10, 3]], "attention_mask": [[1] * 4, [1] * 6]}
    positions = {"start_positions": [1, 9], "end_positions": [5, 2]}  # behind the batch, and in the padding of row 0
    student = tiny_model(task="span", num_labels=2)
    data = datasets.Dataset.from_dict({**rows, **positions})
    trainer = trainer_of(tmp_path, model=student, teacher=None, train_dataset=data)
    labels = next(trainer._batches_of(data, range(2)))["labels"]
    assert labels.tolist() == [[1, -100], [-100, 2]]
    assert 0 < trainer.train().training_loss < 20
