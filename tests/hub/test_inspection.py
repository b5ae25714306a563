"""A model is not pushed if it is damaged or incomplete; nothing is sent to the Hub before that is known."""

import json
import shutil

import pytest
from safetensors.torch import load_file, save_file

from distil_nlp import push_to_hub
from distil_nlp.hub.inspection import check_saved_model
from distil_nlp.internals.checksums import write_checksums
from distil_nlp.models import NetworkForImageClassification
from tests.tiny import tiny_encoder, tiny_model, tiny_tokenizer


@pytest.fixture
def folder(tmp_path):
    tiny_model("bert").save_pretrained(tmp_path)
    tiny_tokenizer().save_pretrained(tmp_path)
    return tmp_path


def change(folder, change):
    file = folder / "model.safetensors"
    save_file(change(load_file(file)), file, metadata={"format": "pt"})


def cut(path):
    path.write_bytes(path.read_bytes()[:-20])


def test_whole_models_pass(folder, tmp_path):
    check_saved_model(folder)
    encoder = tiny_encoder()
    encoder.save_pretrained(tmp_path / "encoder")
    check_saved_model(tmp_path / "encoder")
    NetworkForImageClassification.from_network(
        "resnet8", num_labels=3, problem_type="single_label_classification", image_size=8
    ).save_pretrained(tmp_path / "network")
    check_saved_model(tmp_path / "network")


@pytest.mark.parametrize("name", ["model.safetensors", "config.json", "tokenizer.json"])
def test_a_cut_file_is_not_pushed(name, folder):
    cut(folder / name)
    with pytest.raises(ValueError, match="damaged|does not parse"):
        push_to_hub(folder, "ada/x")


def test_a_model_without_a_layer_or_its_head_is_not_pushed(folder):
    whole = (folder / "model.safetensors").read_bytes()
    change(folder, lambda weights: {name: w for name, w in weights.items() if ".layer.1." not in name})
    with pytest.raises(ValueError, match="lacks 16 of the 41 weights"):
        push_to_hub(folder, "ada/x")
    (folder / "model.safetensors").write_bytes(whole)
    change(folder, lambda weights: {name: w for name, w in weights.items() if "classifier" not in name})
    with pytest.raises(ValueError, match="has no trained head"):
        push_to_hub(folder, "ada/x")


def test_a_tokenizer_of_another_model_is_not_pushed(folder):
    tiny_tokenizer([f"word{number}" for number in range(100)]).save_pretrained(folder)
    with pytest.raises(ValueError, match="105 tokens and the model 64"):
        push_to_hub(folder, "ada/x")


def test_a_file_that_was_changed_after_it_was_written_is_not_pushed(folder):
    write_checksums(folder)
    content = bytearray((folder / "model.safetensors").read_bytes())
    content[-1] ^= 1
    (folder / "model.safetensors").write_bytes(content)
    with pytest.raises(ValueError, match="was changed after it was written .*So it is not pushed"):
        push_to_hub(folder, "ada/x")
    (folder / "_checksums.json").unlink()
    check_saved_model(folder)  # changed on purpose


def test_code_that_comes_with_a_model_is_not_run(folder):
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps(config | {"architectures": ["OwnModel"], "auto_map": {}}))
    shutil.copy(__file__, folder / "modeling_own.py")
    check_saved_model(folder)
