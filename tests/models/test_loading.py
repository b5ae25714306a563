"""Models are loaded from safetensors, in the requested precision; others are refused with a clear error."""

import json
import shutil

import pytest
import torch
from safetensors.torch import load_file

from distil_nlp.models.loading import load_model, load_tokenizer
from distil_nlp.models.sources import check_folder
from tests.tiny import tiny_model, tiny_tokenizer

HEAD = "AutoModelForSequenceClassification"


@pytest.fixture
def folder(tmp_path):
    tiny_model("bert").save_pretrained(tmp_path / "model")
    return tmp_path / "model"


def test_a_saved_model_is_loaded_completely_and_in_eval_mode(folder):
    model, fresh = load_model(HEAD, folder)
    assert fresh == [] and not model.training
    saved = load_file(folder / "model.safetensors")
    assert all(torch.equal(weight, saved[name]) for name, weight in model.state_dict().items())


@pytest.mark.parametrize("stored", [torch.float16, torch.bfloat16])
def test_a_checkpoint_stored_in_half_precision_is_loaded_as_float32(stored, tmp_path):
    tiny_model("bert").to(stored).save_pretrained(tmp_path)
    model, _ = load_model(HEAD, tmp_path)
    assert {weight.dtype for weight in model.parameters()} == {torch.float32}


@pytest.mark.parametrize("dtype", ["bfloat16", "float16"])
def test_half_precision_is_loaded_on_request(dtype, folder):
    model, _ = load_model(HEAD, folder, dtype=dtype)
    assert {weight.dtype for weight in model.parameters()} == {getattr(torch, dtype)}


def test_an_unknown_precision_is_refused(folder):
    with pytest.raises(ValueError, match="dtype must be one of float32, bfloat16, float16; got 'int8'"):
        load_model(HEAD, folder, dtype="int8")


def test_weights_the_checkpoint_lacks_are_named(tmp_path):
    tiny_model("bert", "mlm").save_pretrained(tmp_path)
    _, fresh = load_model(HEAD, tmp_path)
    assert {"classifier.weight", "classifier.bias"} <= set(fresh)


def test_a_head_of_another_size_counts_as_missing(folder):
    _, fresh = load_model(HEAD, folder, num_labels=5, ignore_mismatched_sizes=True)
    assert fresh == ["classifier.bias", "classifier.weight"]


def test_a_link_without_a_target_is_no_hub_id(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "bert").symlink_to("missing")
    with pytest.raises(FileNotFoundError, match="'bert' is a link, and the folder that it points to is missing"):
        check_folder("bert")


def test_a_missing_folder_is_an_error(tmp_path):
    with pytest.raises(FileNotFoundError, match="There is no folder .*missing"):
        load_model(HEAD, str(tmp_path / "missing"))


def test_a_name_that_is_not_a_path_passes_as_a_hub_id():
    check_folder("google-bert/bert-base-uncased")


def test_an_empty_folder_is_an_error_that_lists_its_content(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"has no config.json \(found: nothing\)"):
        check_folder(tmp_path)


def test_a_folder_without_weights_is_an_error(folder):
    (folder / "model.safetensors").unlink()
    with pytest.raises(FileNotFoundError, match="has a config.json but no weights .*found: config.json"):
        load_model(HEAD, folder)


@pytest.mark.parametrize("name", ["pytorch_model.bin", "weights.pt", "model.ckpt"])
def test_a_checkpoint_that_is_only_a_pickle_is_refused(name, folder):
    (folder / "model.safetensors").unlink()
    torch.save({}, folder / name)
    with pytest.raises(ValueError, match=rf"only as a pickle \({name}\); unpickling can run foreign code"):
        load_model(HEAD, folder)


def test_a_pickle_beside_safetensors_is_not_opened(folder):
    (folder / "pytorch_model.bin").write_bytes(b"no pickle at all")
    assert load_model(HEAD, folder)[1] == []


def test_a_saved_tokenizer_is_loaded(tmp_path):
    tokenizer = tiny_tokenizer()
    tokenizer.save_pretrained(tmp_path)
    assert load_tokenizer(tmp_path).get_vocab() == tokenizer.get_vocab()


def test_a_folder_without_a_tokenizer_has_none(folder, tmp_path):
    assert load_tokenizer(folder) is None
    shutil.copy(folder / "config.json", tmp_path)
    assert json.loads((tmp_path / "config.json").read_text())["model_type"] == "bert"
    assert load_tokenizer(tmp_path) is None
