"""Why a model or its processor cannot be loaded: each reason has its own sentence, and none takes minutes."""

import json
import socket
import time

import huggingface_hub
import pytest
from transformers import AutoTokenizer

from distil_nlp.data.splits import load_splits
from distil_nlp.models import sources
from distil_nlp.models.loading import load_model, load_tokenizer
from distil_nlp.models.sources import check_folder, check_source
from distil_nlp.tasks import TextClassification
from tests.tiny import tiny_model, tiny_tokenizer


@pytest.fixture
def model_folder(tmp_path):
    tiny_model().save_pretrained(tmp_path / "model")
    tiny_tokenizer().save_pretrained(tmp_path / "model")
    return tmp_path / "model"


@pytest.fixture
def online(monkeypatch):
    """A client that is not offline, without a cached answer."""
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", False)
    sources.check_hub.cache_clear()
    yield monkeypatch
    sources.check_hub.cache_clear()


def test_a_tokenizer_that_is_missing_is_none_and_one_that_is_cut_off_is_named(model_folder):
    assert load_tokenizer(model_folder) is not None
    file = model_folder / "tokenizer.json"
    file.write_text(file.read_text()[:300])
    with pytest.raises(ValueError, match=r"The tokenizer of .*model cannot be read \(tokenizer.json, .*cut off"):
        load_tokenizer(model_folder)
    for path in model_folder.glob("token*"):
        path.unlink()
    assert load_tokenizer(model_folder) is None


def test_code_of_a_model_is_named_with_the_setting_that_runs_it(model_folder, monkeypatch):
    def refuse(*args, **kwargs):
        raise ValueError("The repository contains custom code. Please pass `trust_remote_code=True`.")

    monkeypatch.setattr(AutoTokenizer, "from_pretrained", refuse)
    with pytest.raises(ValueError, match="is code that is stored with the model.*set trust_remote_code to true"):
        load_tokenizer(model_folder)


@pytest.mark.parametrize("load", [load_tokenizer, lambda name: load_model("AutoModel", name), check_source])
def test_a_hub_that_never_answers_is_named_after_seconds(load, online):
    with socket.create_server(("127.0.0.1", 0)) as server:
        online.setattr(huggingface_hub.constants, "ENDPOINT", f"http://127.0.0.1:{server.getsockname()[1]}")
        online.setattr(huggingface_hub.file_download, "ENDPOINT", huggingface_hub.constants.ENDPOINT, raising=False)
        online.setattr(sources, "TIMEOUT", 0.1)
        online.setattr(
            sources, "hf_hub_url", lambda repo_id, file, **_: f"{huggingface_hub.constants.ENDPOINT}/{repo_id}"
        )
        start = time.monotonic()
        with pytest.raises(
            ConnectionError, match="'ada/small' is neither a folder nor in the cache.*cannot be reached"
        ):
            load("ada/small")
        assert time.monotonic() - start < 5


@pytest.mark.parametrize(
    ("error", "message"),
    [
        (huggingface_hub.errors.RepositoryNotFoundError, "has no model 'ada/smal' that your token can see.*spelling"),
        (huggingface_hub.errors.GatedRepoError, "needs access: ask for it"),
        (huggingface_hub.errors.HFValidationError, "neither a folder nor a valid Hub id"),
        (huggingface_hub.errors.OfflineModeIsEnabled, "HF_HUB_OFFLINE is set"),
    ],
)
def test_each_refusal_of_the_hub_has_its_reason(error, message, online):
    def refuse(*args, **kwargs):
        raise error.__new__(error)

    def unreachable(*args, **kwargs):  # the client itself would ask the network several times
        raise OSError("cannot be reached")

    online.setattr(sources, "get_hf_file_metadata", refuse)
    online.setattr(AutoTokenizer, "from_pretrained", unreachable)
    for name in ("ada/smal", "smal"):
        with pytest.raises((ValueError, ConnectionError), match=message.replace("ada/smal", name)):
            TextClassification.load_processor(object.__new__(TextClassification), name)
    assert load_tokenizer("4x256") is None  # a size
    with pytest.raises(ValueError, match=message.replace("model 'ada", "data set 'ada")):
        load_splits(dataset_name="ada/smal")


def test_a_config_that_no_model_can_have_is_refused_before_it_is_built(model_folder):
    file = model_folder / "config.json"
    config = json.loads(file.read_text())
    for changes, message in (
        ({"num_hidden_layers": 10**9}, "num_hidden_layers=1,000,000,000.*more than 10,000 layers"),
        ({"text_config": {"n_layer": 10**6}}, "n_layer=1,000,000"),
        ({"hidden_size": 10**9}, "needs at least .* GB of memory, and .* GB are available"),
    ):
        file.write_text(json.dumps({**config, **changes}))
        with pytest.raises(ValueError, match=message):
            load_model("AutoModel", model_folder)
    for text, message in (("{", "should contain JSON"), ("[1]", r"should contain a mapping; got \[1\]")):
        file.write_text(text)
        with pytest.raises(ValueError, match=message):
            check_folder(model_folder)
    with pytest.raises(ValueError, match="is a file. A model is a folder"):
        check_folder(file)
