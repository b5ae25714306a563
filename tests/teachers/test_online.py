"""A teacher that runs: what it is given, what it gives, and that nothing of it moves."""

import pytest
import torch
from torch import nn

from distil_nlp.teachers import OnlineTeacher, Teacher, as_teacher, load_teacher
from distil_nlp.teachers.online import auto_class_for
from tests.tiny import tiny_model

BATCH = {
    "input_ids": torch.tensor([[2, 9, 8, 3], [2, 7, 3, 0]]),
    "attention_mask": torch.tensor([[1, 1, 1, 1], [1, 1, 1, 0]]),
    "token_type_ids": torch.tensor([[0, 0, 1, 1], [0, 0, 1, 0]]),
    "labels": torch.tensor([0, 1]),
    "example_id": torch.tensor([4, 1]),
}


def direct(model, **changes):
    names = ("input_ids", "attention_mask", "token_type_ids")
    with torch.no_grad():
        return model.eval()(**{name: BATCH[name] for name in names}, **changes)


def test_a_teacher_says_what_its_model_says():
    model = tiny_model("bert")
    assert torch.equal(OnlineTeacher(model)(BATCH).logits, direct(model).logits)


def test_a_teacher_is_in_eval_mode_whenever_it_speaks():
    model = tiny_model("bert", dropout=0.5)
    teacher, modes = OnlineTeacher(model), []
    model.bert.encoder.layer[0].register_forward_hook(lambda module, *_: modes.append(module.training))
    for _ in range(3):
        model.train()
        teacher(BATCH)
    assert modes == [False] * 3


def test_what_a_teacher_said_has_no_gradient_and_can_enter_a_graph():
    teacher = OnlineTeacher(tiny_model("bert"))
    teacher.tap_layers(["bert.encoder.layer.0"])
    said = teacher(BATCH)
    weight = torch.ones((), requires_grad=True)
    (weight * (said.logits.sum() + said.features["bert.encoder.layer.0"].sum())).backward()
    assert weight.grad is not None and not said.logits.requires_grad


def test_a_teacher_gives_the_features_it_was_asked_to_listen_to():
    model = tiny_model("bert")
    teacher = OnlineTeacher(model)
    teacher.tap_layers(["bert.encoder.layer.0", "bert.encoder.layer.1"])
    hidden = direct(model, output_hidden_states=True).hidden_states
    features = teacher(BATCH).features
    assert torch.equal(features["bert.encoder.layer.0"], hidden[1])
    assert torch.equal(features["bert.encoder.layer.1"], hidden[2])


def test_a_teacher_names_the_columns_it_reads():
    assert "token_type_ids" in OnlineTeacher(tiny_model("bert")).columns
    assert "token_type_ids" not in OnlineTeacher(tiny_model("distilbert")).columns


def test_the_fingerprint_tells_weights_and_the_order_of_labels_apart():
    student, model = tiny_model("bert"), tiny_model("bert", seed=1)
    student.config.id2label = {0: "a", 1: "b", 2: "c"}
    model.config.id2label = {0: "c", 1: "a", 2: "b"}
    teacher = OnlineTeacher(model)
    before = teacher.fingerprint()
    assert before == OnlineTeacher(tiny_model("bert", seed=1)).fingerprint()
    assert before != OnlineTeacher(student).fingerprint()
    teacher.reconcile(student)
    assert teacher.fingerprint() != before


def test_the_fingerprint_of_bfloat16_weights_is_another():
    model = tiny_model("bert")
    before = OnlineTeacher(model).fingerprint()
    assert OnlineTeacher(model.bfloat16()).fingerprint() != before


def test_a_teacher_is_no_module():
    assert not isinstance(OnlineTeacher(tiny_model("bert")), nn.Module)


# ---- What may be given as a teacher ----


def test_a_teacher_is_made_of_a_model_a_folder_or_a_teacher(tmp_path):
    model = tiny_model("bert")
    model.save_pretrained(tmp_path)
    ready = OnlineTeacher(model)
    assert as_teacher(ready, student=model) is ready
    assert as_teacher(model, student=model).model is model
    for folder in (tmp_path, str(tmp_path)):
        loaded = as_teacher(folder, student=model)
        assert loaded.name == str(tmp_path) and loaded.fingerprint() == ready.fingerprint()


def test_something_else_is_no_teacher():
    with pytest.raises(TypeError, match="A teacher is a model, a Hub id, a folder or a Teacher; got int"):
        as_teacher(7, student=tiny_model("bert"))


def test_a_folder_without_a_trained_head_is_no_teacher(tmp_path):
    tiny_model("bert", "mlm").save_pretrained(tmp_path)
    with pytest.raises(ValueError, match="no trained head for AutoModelForSequenceClassification .*classifier.bias"):
        load_teacher(tmp_path, like=tiny_model("distilbert"))


@pytest.mark.parametrize("broken", ["no weights", "only as a pickle"])
def test_a_folder_without_loadable_weights_is_no_teacher(broken, tmp_path):
    model = tiny_model("bert")
    model.save_pretrained(tmp_path)
    (tmp_path / "model.safetensors").unlink()
    if broken == "only as a pickle":
        torch.save(model.state_dict(), tmp_path / "pytorch_model.bin")
    with pytest.raises((FileNotFoundError, ValueError), match=broken):
        load_teacher(tmp_path, like=model)


@pytest.mark.parametrize(
    ("task", "expected"),
    [
        ("sequence", "AutoModelForSequenceClassification"),
        ("token", "AutoModelForTokenClassification"),
        ("mlm", "AutoModelForMaskedLM"),
    ],
)
@pytest.mark.parametrize("architecture", ["bert", "distilbert", "roberta", "modernbert"])
def test_the_head_of_a_student_decides_how_a_teacher_is_loaded(architecture, task, expected):
    assert auto_class_for(tiny_model(architecture, task)) == expected


def test_a_plain_module_cannot_decide_how_a_teacher_is_loaded():
    with pytest.raises(ValueError, match="Linear belongs to no auto class"):
        auto_class_for(nn.Linear(2, 2))


def test_a_teacher_of_ones_own_needs_to_answer_only():
    class Constant(Teacher):
        def __call__(self, batch):
            return "signals"

    assert as_teacher(teacher := Constant(), student=None) is teacher
    teacher.tap_layers(())
    teacher.reconcile(None)
    with pytest.raises(NotImplementedError):
        teacher.fingerprint()
