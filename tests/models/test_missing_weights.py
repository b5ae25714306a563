"""Only a head may be missing from the weights of a model: everything else is an error, or loaded under its own name."""

import logging
import shutil

import pytest
import torch
from safetensors.torch import load_file, save_file

from distil_nlp.models import AutoImageClassifier, NetworkForImageClassification, load_network
from distil_nlp.models.loading import load_model, load_trained_model
from distil_nlp.models.sentence_encoder import SentenceEncoder
from distil_nlp.students import build_student
from distil_nlp.teachers import as_teacher
from tests.tiny import tiny_encoder, tiny_image_model, tiny_model

HEAD = "AutoModelForSequenceClassification"
WITHOUT = {
    "a layer": lambda name: ".layer.1." in name,
    "the embeddings": lambda name: "word_embeddings" in name,
    "a part of the head": lambda name: name == "classifier.bias",
}
PREFIXES = {
    "of DistributedDataParallel": lambda name: f"module.{name}",
    "of torch.compile": lambda name: f"_orig_mod.{name}",
    "of both": lambda name: f"_orig_mod.module.{name}",
    "of an attribute": lambda name: f"model.{name}",
    "of an adapter": lambda name: f"base_model.model.{name}",
    "of a compiled part": lambda name: name.replace(".encoder.", ".encoder._orig_mod."),
    "of checkpointed layers": lambda name: name.replace("layer.0.", "layer.0._checkpoint_wrapped_module."),
}


@pytest.fixture
def saved(tmp_path):
    """saved(model, change) -> folder of the model with its weights (a dictionary) replaced by change(weights)."""

    def saved(model, change):
        model.save_pretrained(tmp_path / "model")
        file = tmp_path / "model" / "model.safetensors"
        save_file(change(load_file(file)), file, metadata={"format": "pt"})
        return tmp_path / "model"

    return saved


def without(left_out):
    return lambda weights: {name: weight for name, weight in weights.items() if not left_out(name)}


def renamed(rename):
    return lambda weights: {rename(name): weight for name, weight in weights.items()}


@pytest.mark.parametrize("part", WITHOUT)
def test_a_model_without_a_part_that_is_no_head_is_refused_everywhere(part, saved):
    folder = saved(tiny_model("bert"), without(WITHOUT[part]))
    message = "lacks .*Only a head may be missing" if part != "a part of the head" else "a part of its head is missing"
    with pytest.raises(ValueError, match=message):
        load_model(HEAD, folder)
    if part != "a part of the head":
        with pytest.raises(ValueError, match=message):
            load_model(HEAD, folder, num_labels=5, ignore_mismatched_sizes=True)
    with pytest.raises(ValueError, match=message):
        build_student(folder, tiny_model("bert", seed=1))
    with pytest.raises(ValueError, match=message):
        as_teacher(str(folder), student=tiny_model("bert", seed=1))


def test_the_error_names_the_weights(saved):
    folder = saved(tiny_model("bert"), without(WITHOUT["a layer"]))
    with pytest.raises(
        ValueError, match=r"lacks 16 of the 41 weights of BertForSeq.*bert\.encoder\.layer\.1\.attention"
    ):
        load_model(HEAD, folder)


@pytest.mark.parametrize("prefix", PREFIXES)
@pytest.mark.parametrize("has_head", [True, False])
def test_weights_under_the_names_of_a_wrapped_model_are_loaded_and_saved_under_their_own(
    prefix, has_head, saved, caplog
):
    model = tiny_model("bert")
    rename, own = renamed(PREFIXES[prefix]), model.state_dict()
    head = without(lambda name: not has_head and name.startswith("classifier"))
    folder = saved(model, lambda weights: rename(head(weights)))
    with caplog.at_level(logging.WARNING, logger="distil_nlp"):
        loaded, new = load_model(HEAD, folder)
    assert new == ([] if has_head else ["classifier.bias", "classifier.weight"])
    assert "have the names of a wrapped model" in caplog.text
    assert all(torch.equal(weight, own[name]) for name, weight in loaded.state_dict().items() if name not in new)
    loaded.save_pretrained(folder / "again")
    assert set(load_file(folder / "again" / "model.safetensors")) == set(own)


def test_a_checkpoint_of_two_models_is_refused(saved):
    both = saved(
        tiny_model("bert"),
        lambda weights: {
            f"{role}.{name}": w.clone() for name, w in weights.items() for role in ("student", "teacher")
        },
    )
    with pytest.raises(ValueError, match=r"contains 82 weights under other names \(student\.bert"):
        load_model(HEAD, both)


def test_layers_beyond_those_of_the_config_are_refused(saved):
    def one_more(weights):
        more = {
            name.replace(".layer.1.", ".layer.2."): w.clone() for name, w in weights.items() if ".layer.1." in name
        }
        return weights | more

    with pytest.raises(ValueError, match=r"contains layers that its config does not have \(bert\.encoder\.layer\.2"):
        load_model(HEAD, saved(tiny_model("bert"), one_more))


def test_other_shapes_are_allowed_for_a_new_head_only(saved):
    folder = saved(tiny_model("bert"), lambda weights: weights)
    assert load_model(HEAD, folder, num_labels=5, ignore_mismatched_sizes=True)[1] == [
        "classifier.bias",
        "classifier.weight",
    ]
    with pytest.raises(
        ValueError, match=r"head of other sizes than its config: classifier.bias \(shape \(3,\), expected"
    ):
        load_model(HEAD, folder, num_labels=5)
    name = "bert.embeddings.word_embeddings.weight"
    folder = saved(tiny_model("bert"), lambda weights: weights | {name: weights[name][:-1].clone()})
    with pytest.raises(ValueError, match=r"word_embeddings.weight \(shape \(63, 16\), expected \(64, 16\)\)"):
        load_model(HEAD, folder, ignore_mismatched_sizes=True)


@pytest.mark.parametrize("architecture", ["vit", "resnet"])
def test_image_models_may_lack_a_head_and_nothing_else(architecture, saved):
    model = tiny_image_model(architecture)
    auto = "AutoModelForImageClassification"
    folder = saved(model, without(lambda name: name.startswith("classifier")))
    assert {name.split(".")[0] for name in load_model(auto, folder)[1]} == {"classifier"}
    buffers = {name for name, _ in model.named_buffers() if name.endswith("running_var")}
    lost = buffers or {name for name in model.state_dict() if "patch_embeddings" in name}
    with pytest.raises(ValueError, match=f"lacks {len(lost)} of"):
        load_model(auto, saved(model, without(lambda name: name in lost)))


def test_networks_may_get_a_head_for_other_labels_and_lack_nothing(saved):
    network = NetworkForImageClassification.from_network(
        "resnet8", num_labels=3, problem_type="single_label_classification", image_size=8
    )
    folder = saved(network, lambda weights: weights)
    loaded, new = load_model(AutoImageClassifier(), folder, num_labels=5, ignore_mismatched_sizes=True)
    assert len(new) == 2 and loaded.config.num_labels == 5
    assert load_model(AutoImageClassifier(image_size=8), "resnet8", num_labels=5)[1]  # built by name: all is new
    first = next(iter(network.state_dict()))
    folder = saved(network, without(lambda name: name == first))
    for load in (load_network, lambda folder: load_model(AutoImageClassifier(), folder)):
        with pytest.raises(ValueError, match="lacks 1 of"):
            load(folder)


def test_a_sentence_encoder_lacks_nothing(saved):
    encoder = tiny_encoder()
    folder = saved(
        encoder, renamed(lambda name: f"0.auto_model.{name}")
    )  # the names in SentenceTransformer.state_dict()
    loaded = SentenceEncoder.from_pretrained(folder)
    assert all(torch.equal(weight, encoder.state_dict()[name]) for name, weight in loaded.state_dict().items())
    shutil.rmtree(folder)
    folder = saved(encoder, without(lambda name: ".layer.1." in name))
    with pytest.raises(ValueError, match="lacks 16 of the .* weights of BertSentenceEncoder"):
        SentenceEncoder.from_pretrained(folder)


def test_tied_weights_and_those_that_no_prediction_reads_may_be_missing(saved):
    tied = tiny_model("bert", "mlm")
    assert load_model("AutoModelForMaskedLM", saved(tied, lambda weights: weights))[1] == []
    resnet = tiny_image_model("resnet")
    folder = saved(resnet, without(lambda name: name.endswith("num_batches_tracked")))
    assert load_model("AutoModelForImageClassification", folder)[1] == []


def test_a_cut_file_is_an_error_that_says_so(saved):
    folder = saved(tiny_model("bert"), lambda weights: weights)
    file = folder / "model.safetensors"
    file.write_bytes(file.read_bytes()[:-100])
    with pytest.raises(ValueError, match="weights of .* are damaged: a safetensors file was cut off or changed"):
        load_model(HEAD, folder)


def test_a_trained_model_has_its_head(saved):
    folder = saved(tiny_model("bert"), without(lambda name: name.startswith("classifier")))
    with pytest.raises(ValueError, match=r"has no trained head .*\(classifier.bias, classifier.weight are not in"):
        load_trained_model(HEAD, folder)
