"""An encoder whose answer is one vector a text: what sentence-transformers calls a model, as a transformers model."""

import copy
import functools
import inspect
import logging
from dataclasses import dataclass
from pathlib import Path

import torch
import transformers
from torch.nn.functional import normalize
from transformers.utils import ModelOutput, cached_file

from ..internals.files import read_json, write_json
from ..losses import mean_of_tokens

logger = logging.getLogger(__name__)

POOLINGS = {"mean": "pooling_mode_mean_tokens", "cls": "pooling_mode_cls_token"}
_DEFAULT = {"pooling": "mean", "normalize": False, "max_length": None}
_MODULES = (["Transformer", "Pooling"], ["Transformer", "Pooling", "Normalize"])


@dataclass
class SentenceEmbedding(ModelOutput):
    """What a `SentenceEncoder` returns.

    Args:
        logits (`torch.Tensor`): Shape (batch, width), one vector a text. So called because that is where everything
            that trains or compares models looks for an answer.
    """

    logits: torch.Tensor | None = None


class SentenceEncoder:
    """A bare encoder of transformers that pools its last hidden states to one vector a text.

    Each architecture has its class, which inherits from this one and from transformers' own: `BertModel` gives
    `BertSentenceEncoder`. Make one with `SentenceEncoder.from_pretrained(name)`, or from a config with
    `encoder_class(config)(config)`. Its weights have the names of the bare encoder, without an unused pooler, and
    `save_pretrained` adds what sentence-transformers reads, so that the folder loads there and with `AutoModel`.

    How it pools stands in `config.sentence_embedding`, and on disk in the files of sentence-transformers: "pooling" is
    "mean" over the tokens or "cls", the state of the first token; "normalize" brings vectors to length 1; "max_length"
    is for whoever loads it, None for the tokenizer's.

    Reference: Reimers and Gurevych 2019, "Sentence-BERT: Sentence Embeddings using Siamese BERT-Networks".
    """

    _keys_to_ignore_on_load_unexpected = [r"pooler\."]
    bare_class = None  # of transformers

    def __init__(self, config):
        config.sentence_embedding = _checked({**_DEFAULT, **(getattr(config, "sentence_embedding", None) or {})})
        super().__init__(config, **self._without_pooler())

    @classmethod
    def _without_pooler(cls):
        """How the bare class is told to leave out its pooler, which nothing here reads."""
        has_one = "add_pooling_layer" in inspect.signature(cls.bare_class.__init__).parameters
        return {"add_pooling_layer": False} if has_one else {}

    @classmethod
    def from_pretrained(cls, name_or_path, *, trust_remote_code=False, **kwargs):
        """Load a sentence-transformers model or a bare encoder, from the Hub or a folder.

        Args:
            name_or_path (`str` or `Path`): Where it says nothing of pooling, the mean is taken, and a warning says so.
            trust_remote_code (`bool`): Only for the config; the encoder is one of transformers' own.
            kwargs: As for `AutoModel.from_pretrained`; entries of the config go there.

        Raises:
            ValueError: Modules or a pooling that we do not have; an architecture without a bare encoder.
        """
        hub = {name: kwargs[name] for name in ("revision", "cache_dir", "token", "local_files_only") if name in kwargs}
        dtype = {"dtype": kwargs.pop("dtype")} if "dtype" in kwargs else {}
        config, kwargs = transformers.AutoConfig.from_pretrained(
            name_or_path, trust_remote_code=trust_remote_code, return_unused_kwargs=True, **kwargs
        )
        config.sentence_embedding = _settings_of(name_or_path, hub)
        made = encoder_class(config)
        return super(SentenceEncoder, made).from_pretrained(name_or_path, config=config, **dtype, **kwargs)

    def save_pretrained(self, save_directory, **kwargs):
        """As every model's; the folder then holds what sentence-transformers reads, too."""
        super().save_pretrained(save_directory, **kwargs)
        if kwargs.get("is_main_process", True):
            # To everybody else it is the bare encoder; a classifier made of it must not take itself for an embedding.
            config = copy.deepcopy(self.config)
            config.architectures = [self.bare_class.__name__]
            del config.sentence_embedding
            config.save_pretrained(save_directory)
            _write_modules(Path(save_directory), self.config, self._without_pooler())

    def pool(self, hidden, attention_mask=None):
        """Vectors of shape (batch, width) from hidden states of shape (batch, sequence, width)."""
        settings = self.config.sentence_embedding
        mask = hidden.new_ones(hidden.shape[:2]) if attention_mask is None else attention_mask
        if settings["pooling"] == "mean":
            vectors = mean_of_tokens(hidden, mask)
        else:  # the first token stands after the padding where that is on the left
            vectors = hidden[torch.arange(len(hidden), device=hidden.device), mask.int().argmax(dim=1)]
        return normalize(vectors, dim=-1) if settings["normalize"] else vectors


def encoder_class(config):
    """The `SentenceEncoder` of a config's architecture.

    Raises:
        ValueError: transformers has no bare encoder for it.
    """
    try:
        encoder = transformers.MODEL_MAPPING[type(config)]
    except KeyError:
        encoder = None
    if encoder is None or config.is_encoder_decoder:
        raise ValueError(
            f"Sentences are embedded by the bare encoder of an architecture of transformers (BertModel, MPNetModel, "
            f"...), and {config.model_type!r} has none. Take an encoder such as "
            f"sentence-transformers/all-MiniLM-L6-v2."
        )
    return _made(encoder)


@functools.cache
def _made(encoder):
    @functools.wraps(encoder.forward)  # its columns are the encoder's
    def forward(self, *args, **kwargs):
        taken = inspect.signature(encoder.forward).bind(self, *args, **kwargs).arguments
        hidden = encoder.forward(self, *args, **kwargs)[0]
        return SentenceEmbedding(logits=self.pool(hidden, taken.get("attention_mask")))

    name = f"{encoder.__name__.removesuffix('Model')}SentenceEncoder"
    settings = {"forward": forward, "bare_class": encoder, "__doc__": SentenceEncoder.__doc__, "__module__": __name__}
    return type(name, (SentenceEncoder, encoder), settings)


# ---- What sentence-transformers keeps beside the weights ----


def _settings_of(name_or_path, hub):
    """How a model pools: what its folder says in sentence-transformers' files, else the mean."""
    modules = _read(name_or_path, "modules.json", hub)
    if modules is None:
        logger.warning(
            "%s says nothing of how it pools (it has no modules.json of sentence-transformers), so the mean over its "
            "tokens is taken as its embedding.",
            name_or_path,
        )
        return _DEFAULT
    kinds = [module["type"].rpartition(".")[2] for module in modules]
    if kinds not in _MODULES:
        raise ValueError(
            f"{name_or_path} is made of {', '.join(kinds)}; an embedding here is Transformer, Pooling and perhaps "
            f"Normalize, so what it says would not be its own. Take a model without the others."
        )
    pooling = _read(name_or_path, f"{modules[1]['path']}/config.json", hub) or {}
    limit = (_read(name_or_path, "sentence_bert_config.json", hub) or {}).get("max_seq_length")
    prompt = (_read(name_or_path, "config_sentence_transformers.json", hub) or {}).get("default_prompt_name")
    if prompt:
        logger.warning("%s puts a prompt (%r) before its texts; it is left out here.", name_or_path, prompt)
    return _checked({"pooling": _pooling_of(pooling), "normalize": len(kinds) == 3, "max_length": limit})


def _pooling_of(config):
    """The word for it: newer files say "pooling_mode", older ones have a switch for each."""
    if "pooling_mode" in config:
        return config["pooling_mode"]
    chosen = [name for name, on in config.items() if name.startswith("pooling_mode_") and on]
    words = {switch: pooling for pooling, switch in POOLINGS.items()}
    return words.get(chosen[0], chosen[0]) if len(chosen) == 1 else ", ".join(chosen) or "mean"


def _checked(settings):
    if settings["pooling"] not in POOLINGS:
        raise ValueError(
            f"Sentences are pooled by {' or '.join(POOLINGS)}; got {settings['pooling']!r}. Take a model that pools so: "
            f"under another pooling its vectors would not be its own."
        )
    return settings


def _read(name_or_path, file, hub):
    path = cached_file(str(name_or_path), file, _raise_exceptions_for_missing_entries=False, **hub)
    return None if path is None else read_json(path)


def _write_modules(folder, config, model_args):
    """The files as sentence-transformers wrote them from the start; later versions read them as well."""
    settings = config.sentence_embedding
    kinds = _MODULES[1] if settings["normalize"] else _MODULES[0]
    modules = [
        {
            "idx": place,
            "name": str(place),
            "path": f"{place}_{kind}" if place else "",
            "type": f"sentence_transformers.models.{kind}",
        }
        for place, kind in enumerate(kinds)
    ]
    chosen = {switch: pooling == settings["pooling"] for pooling, switch in POOLINGS.items()}
    write_json(folder / "modules.json", modules)
    write_json(folder / "1_Pooling" / "config.json", {"word_embedding_dimension": config.hidden_size, **chosen})
    transformer = {"max_seq_length": settings["max_length"], "do_lower_case": False}
    write_json(folder / "sentence_bert_config.json", transformer | ({"model_args": model_args} if model_args else {}))
    write_json(
        folder / "config_sentence_transformers.json",
        {"__version__": {"transformers": transformers.__version__}, "similarity_fn_name": "cosine"},
    )
    if settings["normalize"]:
        (folder / "2_Normalize").mkdir(exist_ok=True)
