"""Students from layers, sizes, names, folders and modules."""

import logging

import pytest
import torch
from torch import nn
from transformers import Wav2Vec2Config, Wav2Vec2ForCTC

from distil_nlp.students import build_student, student_from_teacher, student_start
from tests.tiny import tiny_model

from .encoders import answer, make_batch, make_teacher, same_tensors, tensors


def saved(folder, *args, **settings):
    model = make_teacher(*args, **settings)
    model.save_pretrained(folder)
    return model


def test_without_a_student_the_teachers_layers_are_used():
    teacher = make_teacher()
    student = build_student(None, teacher, num_layers=3)
    assert same_tensors(tensors(student), tensors(student_from_teacher(teacher, num_layers=3)))
    assert build_student(None, teacher, layers=[0, 1], architecture="distilbert").config.model_type == "distilbert"


def test_a_size_means_a_student_from_scratch():
    student = build_student("2x8", make_teacher(), embeddings="pca")
    assert (student.config.num_hidden_layers, student.config.hidden_size) == (2, 8)


def test_a_network_of_a_ctc_teacher_has_its_vocabulary_and_its_label_names_if_there_are_any():
    sizes = {"hidden_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 16}
    convolutions = {"conv_dim": (8,), "conv_kernel": (400,), "conv_stride": (320,), "num_conv_pos_embedding_groups": 2}
    teacher = Wav2Vec2ForCTC(Wav2Vec2Config(vocab_size=5, **sizes, **convolutions))
    assert build_student("streamcnn4", teacher).config.num_labels == 5
    teacher.config.id2label = dict(enumerate(["<pad>", "<unk>", "|", "a", "b"]))
    student = build_student("streamcnn4", teacher)
    assert student.config.id2label == teacher.config.id2label
    assert student(torch.zeros(1, 1600)).logits.shape[2] == 5


def test_a_module_is_returned_unchanged():
    module = nn.Linear(2, 2).eval()
    assert build_student(module, None) is module and not module.training


def test_a_folder_is_loaded_with_the_teachers_head_type_and_labels(tmp_path, caplog):
    saved(tmp_path, "roberta", "MaskedLM", num_hidden_layers=2, id2label=None)
    teacher = make_teacher("bert", "TokenClassification", problem_type="single_label_classification")
    student = build_student(tmp_path, teacher)
    assert type(student).__name__ == "RobertaForTokenClassification"
    assert student.config.id2label == teacher.config.id2label and student.config.label2id == teacher.config.label2id
    assert student.config.problem_type == "single_label_classification"
    assert student.classifier.out_features == 3 and student.training
    assert "newly initialized: classifier.bias, classifier.weight" in caplog.text


def test_a_folder_with_the_teachers_labels_keeps_its_head(tmp_path, caplog):
    origin = saved(tmp_path, "electra")
    with caplog.at_level(logging.WARNING, logger="distil_nlp"):
        student = build_student(str(tmp_path), make_teacher())
    assert torch.equal(answer(student, make_batch()), answer(origin, make_batch()))
    assert "random" not in caplog.text


def test_a_folder_with_another_number_of_labels_gets_a_new_head_and_a_warning(tmp_path, caplog):
    saved(tmp_path, id2label={0: "no", 1: "yes"}, label2id={"no": 0, "yes": 1})
    student = build_student(tmp_path, make_teacher())
    assert student.classifier.out_features == 3
    assert "newly initialized: classifier.bias, classifier.weight" in caplog.text


def test_a_half_precision_folder_gives_a_float32_student(tmp_path):
    make_teacher().half().save_pretrained(tmp_path)
    student = build_student(tmp_path, make_teacher())
    assert {parameter.dtype for parameter in student.parameters()} == {torch.float32}


def test_a_folder_with_the_teachers_labels_in_another_order_is_refused(tmp_path):
    saved(tmp_path, id2label={0: "good", 1: "bad", 2: "so so"}, label2id={"good": 0, "bad": 1, "so so": 2})
    with pytest.raises(ValueError, match="labels in another order: {0: 'good'.*the teacher's are {0: 'bad'"):
        build_student(tmp_path, make_teacher())


def test_a_folder_that_does_not_exist_is_refused_by_name():
    with pytest.raises(FileNotFoundError, match="no folder './nowhere'"):
        build_student("./nowhere", make_teacher())


def test_a_bare_teacher_gets_a_bare_student(tmp_path):
    saved(tmp_path, "mpnet", None)
    assert type(build_student(tmp_path, make_teacher(task=None))).__name__ == "MPNetModel"


def test_a_teacher_whose_head_has_no_auto_class_is_refused(tmp_path):
    class Ranker(type(make_teacher())):
        pass

    saved(tmp_path)
    with pytest.raises(ValueError, match="No auto class belongs to the teacher's class Ranker"):
        build_student(tmp_path, Ranker(make_teacher().config))


@pytest.mark.parametrize("student", [None, "2x8", "some/student"])
def test_a_student_that_needs_a_teacher_is_refused_without_one(student):
    with pytest.raises(TypeError, match="The teacher must be a transformers PreTrainedModel.*got None"):
        build_student(student, None)


@pytest.mark.parametrize(
    ("student", "options", "message"),
    [
        (None, {"embeddings": "pca"}, "teacher's own embeddings, so embeddings='pca' would have no effect"),
        ("4x256", {"layers": [0, 1]}, r"student='4x256' is a size.*so layers=\[0, 1\] would"),
        ("4x256", {"num_layers": 4}, "so num_layers=4 would"),
        ("4x256", {"architecture": "distilbert"}, "so architecture='distilbert' would"),
        (nn.Linear(2, 2), {"num_layers": 3}, "student=Linear is already a model, so num_layers=3 would"),
        ("some/student", {"num_layers": 3, "embeddings": "pca"}, "so num_layers=3, embeddings='pca' would"),
    ],
)
def test_options_that_a_student_would_ignore_are_refused_with_their_values(student, options, message):
    with pytest.raises(ValueError, match=message):
        build_student(student, make_teacher(), **options)


@pytest.mark.parametrize("student", [3, {"num_layers": 2}, nn.Linear])
def test_other_types_of_student_are_refused(student):
    with pytest.raises(TypeError, match="student must be None .*or an nn.Module that returns logits; got"):
        build_student(student, make_teacher())


@pytest.mark.parametrize(
    ("student", "options", "words"),
    [
        (None, {"num_layers": 2}, "layers 0, 3 of the teacher"),
        (None, {"layers": [0, 1]}, "layers 0, 1 of the teacher"),
        (None, {"architecture": "distilbert"}, "layers 0, 3 of the teacher, as a distilbert"),
        ("2x16", {}, "random weights (2x16)"),
        ("2x16", {"embeddings": "pca"}, "random weights (2x16), word embeddings by a PCA of the teacher's"),
        ("ada/small", {}, "ada/small"),
    ],
)
def test_the_initial_weights_of_a_student_are_described(student, options, words):
    assert student_start(student, tiny_model("bert", num_layers=4), **options) == words
