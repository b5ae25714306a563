"""What push_to_hub refuses before it says a word to the Hub, and what it says where there is no Hub."""

import json
import pickle

import huggingface_hub
import pytest
import torch
from safetensors.torch import load_file, save_file

from distil_nlp import push_to_hub
from distil_nlp.hub.push import _files_to_push


def test_a_folder_that_does_not_exist_is_refused_with_how_to_make_one(tmp_path):
    with pytest.raises(FileNotFoundError, match="save_pretrained"):
        push_to_hub(tmp_path / "nowhere", "ada/x")


def test_a_folder_without_weights_is_refused(student_folder):
    (student_folder / "model.safetensors").unlink()
    for left in ("training_args.bin", "optimizer.pt"):
        (student_folder / left).unlink()
    with pytest.raises(FileNotFoundError, match="expected model.safetensors"):
        push_to_hub(student_folder, "ada/x")


def test_a_folder_whose_weights_are_a_pickle_is_refused(student_folder):
    (student_folder / "model.safetensors").rename(student_folder / "pytorch_model.bin")
    with pytest.raises(ValueError, match="only as a pickle"):
        push_to_hub(student_folder, "ada/x")


def test_weights_of_nan_are_not_pushed(student_folder):
    path = student_folder / "model.safetensors"
    weights = load_file(path)
    name = sorted(name for name, tensor in weights.items() if tensor.is_floating_point())[0]
    save_file({**weights, name: torch.full_like(weights[name], float("nan"))}, path, {"format": "pt"})
    with pytest.raises(
        ValueError, match=rf"The weights {name} in .*model.safetensors contain NaN: the training diverged"
    ):
        push_to_hub(student_folder, "ada/x")


def test_a_folder_without_config_is_refused(student_folder):
    (student_folder / "config.json").unlink()
    with pytest.raises(FileNotFoundError, match="no config.json"):
        push_to_hub(student_folder, "ada/x")


def test_a_missing_shard_is_refused_by_name(student_folder):
    (student_folder / "model.safetensors").rename(student_folder / "model-00001-of-00002.safetensors")
    shards = {"a": "model-00001-of-00002.safetensors", "b": "model-00002-of-00002.safetensors"}
    (student_folder / "model.safetensors.index.json").write_text(json.dumps({"weight_map": shards}))
    with pytest.raises(FileNotFoundError, match="model-00002-of-00002"):
        push_to_hub(student_folder, "ada/x")


def test_a_pickle_that_is_left_behind_is_named_in_a_warning(student_folder, caplog):
    files = _files_to_push(student_folder)
    assert "state.model" not in files and "cache" not in files and "model.safetensors" in files
    assert "state.model" in caplog.text and "cache" in caplog.text


def test_a_pickle_of_the_oldest_protocol_is_known_by_its_name(student_folder):
    (student_folder / "extra.pkl").write_bytes(pickle.dumps({"rows": 1}, protocol=0))  # plain ASCII, no mark inside
    assert "extra.pkl" not in _files_to_push(student_folder)


def test_weights_are_never_taken_for_a_pickle(student_folder):
    weights = student_folder / "model.safetensors"
    weights.write_bytes(b"\x80\x02" + weights.read_bytes()[2:])  # a header length can have these bytes
    assert "model.safetensors" in _files_to_push(student_folder)


def test_links_out_of_the_folder_and_files_of_the_user_are_not_pushed(student_folder, tmp_path, caplog):
    (tmp_path / "secret.json").write_text("{}")
    (student_folder / "tokenizer_link.json").symlink_to(tmp_path / "secret.json")
    (student_folder / "vocab.txt").symlink_to(student_folder / "config.json")  # within the folder
    for name in (".env", "notes.txt", "train.csv", "passwords.json"):
        (student_folder / name).write_text("private")
    (student_folder / "onnx").mkdir()
    (student_folder / "onnx" / "model.onnx").write_bytes(b"onnx")
    files = set(_files_to_push(student_folder))
    assert {"config.json", "vocab.txt", "tokenizer.json", "README.md", "onnx/model.onnx"} <= files
    assert not files & {".env", "notes.txt", "train.csv", "passwords.json", "tokenizer_link.json"}
    assert "outside the folder: tokenizer_link.json" in caplog.text and "notes.txt, passwords.json" in caplog.text
    (student_folder / "config.json").rename(tmp_path / "config.json")
    (student_folder / "config.json").symlink_to(tmp_path / "config.json")
    with pytest.raises(ValueError, match="config.json in .* is a link to a file outside the folder"):
        _files_to_push(student_folder)


def test_offline_mode_is_named_with_the_variable_that_set_it(student_folder, monkeypatch):
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", True)
    with pytest.raises(ConnectionError, match="HF_HUB_OFFLINE") as raised:
        push_to_hub(student_folder, "ada/x", token="hf_x")
    assert isinstance(raised.value.__cause__, huggingface_hub.errors.OfflineModeIsEnabled)


def test_a_hub_that_does_not_answer_is_named_with_what_to_check(student_folder, monkeypatch):
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", False)
    monkeypatch.setattr(huggingface_hub.constants, "ENDPOINT", "http://127.0.0.1:9")  # nobody listens
    with pytest.raises(ConnectionError, match="HF_ENDPOINT") as raised:
        push_to_hub(student_folder, "ada/x", token="hf_x")
    assert raised.value.__cause__ is not None
