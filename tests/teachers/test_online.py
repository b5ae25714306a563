"""Online teachers: inputs, outputs, fingerprints and loading."""

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


def test_an_online_teacher_returns_the_logits_of_its_model():
    model = tiny_model("bert")
    assert torch.equal(OnlineTeacher(model)(BATCH).logits, direct(model).logits)


def test_a_teacher_always_runs_in_eval_mode():
    model = tiny_model("bert", dropout=0.5)
    teacher, modes = OnlineTeacher(model), []
    model.bert.encoder.layer[0].register_forward_hook(lambda module, *_: modes.append(module.training))
    for _ in range(3):
        model.train()
        teacher(BATCH)
    assert modes == [False] * 3


def test_a_teachers_outputs_have_no_gradient_and_can_enter_a_graph():
    teacher = OnlineTeacher(tiny_model("bert"))
    teacher.tap_layers(["bert.encoder.layer.0"])
    signals = teacher(BATCH)
    weight = torch.ones((), requires_grad=True)
    (weight * (signals.logits.sum() + signals.features["bert.encoder.layer.0"].sum())).backward()
    assert weight.grad is not None and not signals.logits.requires_grad


def test_a_teacher_returns_the_features_of_tapped_layers():
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


def test_the_fingerprint_depends_on_weights_and_label_order():
    student, model = tiny_model("bert"), tiny_model("bert", seed=1)
    student.config.id2label = {0: "a", 1: "b", 2: "c"}
    model.config.id2label = {0: "c", 1: "a", 2: "b"}
    teacher = OnlineTeacher(model)
    before = teacher.fingerprint()
    assert before == OnlineTeacher(tiny_model("bert", seed=1)).fingerprint()
    assert before != OnlineTeacher(student).fingerprint()
    teacher.reconcile(student)
    assert teacher.fingerprint() != before


def test_the_fingerprint_changes_with_the_precision():
    model = tiny_model("bert")
    before = OnlineTeacher(model).fingerprint()
    assert OnlineTeacher(model.bfloat16()).fingerprint() != before


def test_a_teacher_is_not_a_module():
    assert not isinstance(OnlineTeacher(tiny_model("bert")), nn.Module)


# ---- as_teacher and load_teacher ----


def test_as_teacher_accepts_a_model_a_folder_or_a_teacher(tmp_path):
    model = tiny_model("bert")
    model.save_pretrained(tmp_path)
    ready = OnlineTeacher(model)
    assert as_teacher(ready, student=model) is ready
    assert as_teacher(model, student=model).model is model
    for folder in (tmp_path, str(tmp_path)):
        loaded = as_teacher(folder, student=model)
        assert loaded.name == str(tmp_path) and loaded.fingerprint() == ready.fingerprint()


def test_as_teacher_rejects_other_types():
    with pytest.raises(TypeError, match="A teacher is a model, a Hub id, a folder or a Teacher; got int"):
        as_teacher(7, student=tiny_model("bert"))


def test_a_folder_without_a_trained_head_is_rejected(tmp_path):
    tiny_model("bert", "mlm").save_pretrained(tmp_path)
    with pytest.raises(ValueError, match="no trained head for AutoModelForSequenceClassification .*classifier.bias"):
        load_teacher(tmp_path, student=tiny_model("distilbert"))


@pytest.mark.parametrize("broken", ["no weights", "only as a pickle"])
def test_a_folder_without_loadable_weights_is_rejected(broken, tmp_path):
    model = tiny_model("bert")
    model.save_pretrained(tmp_path)
    (tmp_path / "model.safetensors").unlink()
    if broken == "only as a pickle":
        torch.save(model.state_dict(), tmp_path / "pytorch_model.bin")
    with pytest.raises((FileNotFoundError, ValueError), match=broken):
        load_teacher(tmp_path, student=model)


@pytest.mark.parametrize(
    ("task", "expected"),
    [
        ("sequence", "AutoModelForSequenceClassification"),
        ("token", "AutoModelForTokenClassification"),
        ("mlm", "AutoModelForMaskedLM"),
    ],
)
@pytest.mark.parametrize("architecture", ["bert", "distilbert", "roberta", "modernbert"])
def test_the_auto_class_has_the_head_of_the_student(architecture, task, expected):
    assert auto_class_for(tiny_model(architecture, task)) == expected


def test_a_plain_module_has_no_auto_class():
    with pytest.raises(ValueError, match="Linear belongs to no auto class"):
        auto_class_for(nn.Linear(2, 2))


def test_a_custom_teacher_only_needs_a_call_method():
    class Constant(Teacher):
        def __call__(self, batch):
            return "signals"

    assert as_teacher(teacher := Constant(), student=None) is teacher
    teacher.tap_layers(())
    teacher.reconcile(None)
    with pytest.raises(NotImplementedError):
        teacher.fingerprint()
