"""An ONNX file gives the logits of the model for any batch size and length."""

import copy
import shutil
from types import SimpleNamespace

import numpy as np
import onnxruntime
import pytest
import torch
from transformers import BertConfig, BertForSequenceClassification

from distil_nlp.cli.main import main
from distil_nlp.export import export_onnx, onnx
from distil_nlp.models import (
    NetworkForAudioClassification,
    NetworkForAudioFrameClassification,
    NetworkForImageClassification,
    load_network,
)


def model_of(kind):
    torch.manual_seed(0)
    if kind == "images":
        return NetworkForImageClassification.from_network("cnn8", image_size=8, num_labels=3)
    if kind == "residual":
        return NetworkForImageClassification.from_network("resnet8", image_size=8, num_labels=3)
    if kind == "depthwise":  # computes some convolutions in float32, whatever the rest is in
        return NetworkForImageClassification.from_network("mobilenetv2x0.25", image_size=16, num_labels=3)
    made_by = NetworkForAudioClassification if kind == "clips" else NetworkForAudioFrameClassification
    return made_by.from_network("streamcnn4", sampling_rate=8000, num_labels=3, num_blocks=1)


@pytest.fixture(scope="module")
def exported(tmp_path_factory):
    """A model in half precision, and its file. The tests here share one export, which takes seconds."""
    model = model_of("images").to(torch.bfloat16).train()
    return model, export_onnx(model, tmp_path_factory.mktemp("onnx") / "deep" / "model.onnx")


@pytest.fixture
def quick_export(exported, monkeypatch):
    """The file of `exported` instead of another export."""
    program = SimpleNamespace(save=lambda path: shutil.copy(exported[1], path))
    monkeypatch.setattr(torch.onnx, "export", lambda *args, **kwargs: program)


def assert_same_logits(model, path):
    inputs = model.sample_inputs(5)  # another batch size, and of sound another length, than it was made with
    session = onnxruntime.InferenceSession(path)
    (found,) = session.run(None, {name: tensor.numpy() for name, tensor in inputs.items()})
    np.testing.assert_allclose(found, model(**inputs).logits.detach().numpy(), rtol=0, atol=1e-5)
    assert [one.name for one in path.parent.iterdir()] == ["model.onnx"]


def test_the_file_gives_the_logits_of_the_model(exported):
    model, path = exported
    assert_same_logits(copy.deepcopy(model).float().eval(), path)


@pytest.mark.slow  # an export of each takes up to ten seconds; by default that of a smaller network is tested
@pytest.mark.parametrize("kind", ["residual", "depthwise", "clips", "frames"])
def test_the_file_of_every_network_gives_the_logits_of_the_model(kind, tmp_path):
    model = model_of(kind).eval()
    assert_same_logits(model, export_onnx(model, tmp_path / "model.onnx"))


def test_a_model_in_half_precision_becomes_a_float32_file_and_is_unchanged(exported):
    model, path = exported
    assert {one.type for one in onnxruntime.InferenceSession(path).get_outputs()} == {"tensor(float)"}
    assert model.training and next(model.network.parameters()).dtype == torch.bfloat16


def test_a_file_with_other_logits_is_deleted(tmp_path, monkeypatch, quick_export):
    monkeypatch.setattr(onnx, "_TOLERANCE", -1.0)
    with pytest.raises(
        RuntimeError, match="logits of the ONNX file differ from those of NetworkForImageClassification"
    ):
        export_onnx(model_of("images"), tmp_path / "model.onnx")
    assert list(tmp_path.iterdir()) == []


def test_models_of_transformers_are_refused_with_a_hint_to_optimum(tmp_path):
    sizes = {"vocab_size": 10, "hidden_size": 8, "num_hidden_layers": 1, "num_attention_heads": 1}
    bert = BertForSequenceClassification(BertConfig(**sizes))
    with pytest.raises(TypeError, match="got BertForSequenceClassification.*optimum"):
        export_onnx(bert, tmp_path / "model.onnx")
    bert.save_pretrained(tmp_path / "bert")
    with pytest.raises(TypeError, match="contains a BertForSequenceClassification, which is not a network"):
        load_network(tmp_path / "bert")


def test_the_command_writes_the_file(exported, quick_export, tmp_path, capsys):
    exported[0].save_pretrained(tmp_path / "model")
    main(["export", str(tmp_path / "model"), str(tmp_path / "model.onnx")])
    assert "model.onnx" in capsys.readouterr().out and (tmp_path / "model.onnx").is_file()
