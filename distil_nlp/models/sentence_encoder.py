"""Sentence encoders as transformers models, saved and loaded in the format of sentence-transformers."""

import copy
import functools
import inspect
import logging
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar, cast

import torch
import transformers
from torch.nn.functional import normalize
from transformers import PreTrainedConfig, PreTrainedModel
from transformers.utils import ModelOutput, cached_file

from ..internals.files import read_json, write_json
from ..internals.messages import shown
from ..losses import mean_of_tokens
from .loading import load_checked

logger = logging.getLogger(__name__)

POOLINGS = {"mean": "pooling_mode_mean_tokens", "cls": "pooling_mode_cls_token"}
_DEFAULT = {"pooling": "mean", "normalize": False, "max_length": None}
_MODULES = (["Transformer", "Pooling"], ["Transformer", "Pooling", "Normalize"])


@dataclass
class SentenceEmbedding(ModelOutput):
    """Output of a `SentenceEncoder`.

    Args:
        logits (`torch.Tensor`): Shape (batch, width), one vector per text. Named logits because trainers and evaluation
            read a model's output under that name.
    """

    logits: torch.Tensor | None = None


class SentenceEncoder:
    """An encoder of transformers that pools its last hidden states to one vector per text.

    Each architecture has its own class, which inherits from this one and from the bare encoder of transformers:
    `BertModel` gives `BertSentenceEncoder`. Create one with `SentenceEncoder.from_pretrained(name)`, or from a config with
    `encoder_class(config)(config)`. Its weights have the names of the bare encoder, without the unused pooler, and
    `save_pretrained` adds the files of sentence-transformers, so that the folder loads there and with `AutoModel`.

    The pooling is set in `config.sentence_embedding`, and on disk in the files of sentence-transformers: "pooling" is
    "mean" over the tokens or "cls", the state of the first token; "normalize" scales vectors to length 1; "max_length"
    is the truncation length for tokenization, None for the tokenizer's.

    Reference: Reimers and Gurevych 2019, "Sentence-BERT: Sentence Embeddings using Siamese BERT-Networks".
    """

    _keys_to_ignore_on_load_unexpected = [r"pooler\."]
    bare_class: ClassVar[type[PreTrainedModel]]

    def __init__(self, config: PreTrainedConfig):
        config.sentence_embedding = _checked({**_DEFAULT, **(getattr(config, "sentence_embedding", None) or {})})
        super().__init__(config, **self._without_pooler())

    @classmethod
    def _without_pooler(cls) -> dict[str, bool]:
        """Arguments that make the bare class leave out its pooler, which is not used here."""
        has_pooler = "add_pooling_layer" in inspect.signature(cls.bare_class.__init__).parameters
        return {"add_pooling_layer": False} if has_pooler else {}

    @classmethod
    def from_pretrained(
        cls, name_or_path: str | Path, *, trust_remote_code: bool = False, **kwargs: Any
    ) -> "SentenceEncoder":
        """Load a sentence-transformers model or a bare encoder, from the Hub or a folder.

        Args:
            name_or_path (`str` or `Path`): Where it has no pooling settings, the mean is used, and a warning logged.
            trust_remote_code (`bool`): Only for the config; the encoder's class is one of transformers.
            kwargs: As for `AutoModel.from_pretrained`; config entries are passed to the config.

        Raises:
            ValueError: The modules or the pooling are not supported; the architecture has no bare encoder; weights are
                missing or damaged.
        """
        hub = {name: kwargs[name] for name in ("revision", "cache_dir", "token", "local_files_only") if name in kwargs}
        dtype = {"dtype": kwargs.pop("dtype")} if "dtype" in kwargs else {}
        config, kwargs = transformers.AutoConfig.from_pretrained(
            name_or_path, trust_remote_code=trust_remote_code, return_unused_kwargs=True, **kwargs
        )
        config.sentence_embedding = _settings_of(name_or_path, hub)
        model_class = encoder_class(config)
        load = functools.partial(
            super(SentenceEncoder, model_class).from_pretrained, name_or_path, config=config, **dtype, **kwargs
        )
        if kwargs.get("output_loading_info"):
            return load()
        checked = functools.partial(load, output_loading_info=True, ignore_mismatched_sizes=True)
        model, _ = load_checked(checked, name_or_path, new_sizes=False)  # it has no head: nothing may be missing
        return cast(SentenceEncoder, model.eval())

    def save_pretrained(self, save_directory: str | Path, **kwargs: Any) -> None:
        """Save as every model, and add the files of sentence-transformers."""
        super().save_pretrained(save_directory, **kwargs)
        if kwargs.get("is_main_process", True):
            # Other libraries load it as the bare encoder, and a classifier built from it must not inherit the pooling.
            config = copy.deepcopy(self.config)
            config.architectures = [self.bare_class.__name__]
            del config.sentence_embedding
            config.save_pretrained(save_directory)
            _write_modules(Path(save_directory), self.config, self._without_pooler())

    def pool(self, hidden: torch.Tensor, attention_mask: torch.Tensor | None = None) -> torch.Tensor:
        """Vectors of shape (batch, width) from hidden states of shape (batch, sequence, width)."""
        settings = self.config.sentence_embedding
        mask = hidden.new_ones(hidden.shape[:2]) if attention_mask is None else attention_mask
        if settings["pooling"] == "mean":
            vectors = mean_of_tokens(hidden, mask)
        else:  # with padding on the left, the first token comes after it
            vectors = hidden[torch.arange(len(hidden), device=hidden.device), mask.int().argmax(dim=1)]
        return normalize(vectors, dim=-1) if settings["normalize"] else vectors


def encoder_class(config: PreTrainedConfig) -> type[SentenceEncoder]:
    """The `SentenceEncoder` class of a config's architecture.

    Raises:
        ValueError: transformers has no bare encoder for it.
    """
    try:
        encoder = transformers.MODEL_MAPPING[type(config)]
    except KeyError:
        encoder = None
    if encoder is None or config.is_encoder_decoder:
        raise ValueError(
            f"A sentence encoder needs the bare encoder of an architecture of transformers (BertModel, MPNetModel, ...), "
            f"and {shown(config.model_type)} has none. Use an encoder such as sentence-transformers/all-MiniLM-L6-v2."
        )
    return _subclass_of(encoder)


@functools.cache
def _subclass_of(encoder: type[PreTrainedModel]) -> type[SentenceEncoder]:
    @functools.wraps(encoder.forward)  # Trainer keeps the columns in the encoder's signature
    def forward(self: SentenceEncoder, *args: Any, **kwargs: Any) -> SentenceEmbedding:
        arguments = inspect.signature(encoder.forward).bind(self, *args, **kwargs).arguments
        hidden = encoder.forward(self, *args, **kwargs)[0]
        return SentenceEmbedding(logits=self.pool(hidden, arguments.get("attention_mask")))

    name = f"{encoder.__name__.removesuffix('Model')}SentenceEncoder"
    settings = {"forward": forward, "bare_class": encoder, "__doc__": SentenceEncoder.__doc__, "__module__": __name__}
    return type(name, (SentenceEncoder, encoder), settings)


# ---- Files of sentence-transformers other than the weights ----


def _settings_of(name_or_path: str | Path, hub: Mapping[str, Any]) -> dict[str, Any]:
    """Pooling settings of a model, read from the files of sentence-transformers; the mean where it has none."""
    modules = _read(name_or_path, "modules.json", hub)
    if modules is None:
        logger.warning(
            "%s has no modules.json of sentence-transformers, so its pooling is unknown; the mean over its tokens is used.",
            name_or_path,
        )
        return _DEFAULT
    kinds = [module["type"].rpartition(".")[2] for module in modules]
    if kinds not in _MODULES:
        raise ValueError(
            f"{name_or_path} has the modules {', '.join(kinds)}; supported are Transformer, Pooling and optionally "
            f"Normalize, so its vectors would be wrong. Use a model without the others."
        )
    pooling = _read(name_or_path, f"{modules[1]['path']}/config.json", hub) or {}
    limit = (_read(name_or_path, "sentence_bert_config.json", hub) or {}).get("max_seq_length")
    prompt = (_read(name_or_path, "config_sentence_transformers.json", hub) or {}).get("default_prompt_name")
    if prompt:
        logger.warning("%s uses the prompt %s by default; it is left out here.", name_or_path, shown(prompt))
    return _checked({"pooling": _pooling_of(pooling), "normalize": len(kinds) == 3, "max_length": limit})


def _pooling_of(config: Mapping[str, Any]) -> str:
    """Name of the pooling: newer files have an entry "pooling_mode", older ones a switch for each mode."""
    if "pooling_mode" in config:
        return config["pooling_mode"]
    chosen = [name for name, on in config.items() if name.startswith("pooling_mode_") and on]
    names = {switch: pooling for pooling, switch in POOLINGS.items()}
    return names.get(chosen[0], chosen[0]) if len(chosen) == 1 else ", ".join(chosen) or "mean"


def _checked(settings: dict[str, Any]) -> dict[str, Any]:
    if settings["pooling"] not in POOLINGS:
        raise ValueError(
            f"pooling must be {' or '.join(POOLINGS)}; got {shown(settings['pooling'])}. Use a model with one of these: "
            f"with another pooling its vectors would be wrong."
        )
    return settings


def _read(name_or_path: str | Path, file: str, hub: Mapping[str, Any]) -> Any:
    path = cached_file(str(name_or_path), file, _raise_exceptions_for_missing_entries=False, **hub)
    return None if path is None else read_json(path)


def _write_modules(folder: Path, config: PreTrainedConfig, model_args: Mapping[str, Any]) -> None:
    """Write the files in the oldest format of sentence-transformers, which all versions read."""
    settings = config.sentence_embedding
    kinds = _MODULES[1] if settings["normalize"] else _MODULES[0]
    modules = [
        {
            "idx": index,
            "name": str(index),
            "path": f"{index}_{kind}" if index else "",
            "type": f"sentence_transformers.models.{kind}",
        }
        for index, kind in enumerate(kinds)
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
