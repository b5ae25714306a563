"""Load models and tokenizers from the Hub or a folder: safetensors only, no remote code by default, clear errors."""

import logging
import re
from collections.abc import Callable, Collection, Iterable, Mapping
from functools import partial
from os import PathLike
from typing import Any

import torch
import transformers
from safetensors import SafetensorError
from torch import nn
from transformers import PreTrainedModel, PreTrainedTokenizerBase

from ..internals.messages import shown
from .sources import check_remote_code, check_source, load_saved

logger = logging.getLogger(__name__)

DTYPES = {"float32": torch.float32, "bfloat16": torch.bfloat16, "float16": torch.float16}
TOKENIZER_FILES = (
    "tokenizer.json", "tokenizer_config.json", "vocab.txt", "vocab.json", "merges.txt", "spiece.model", "tokenizer.model",
    "sentencepiece.bpe.model",
)  # fmt: skip
# Weights that no prediction reads: embeddings of masked inputs, and the step count of BatchNorm.
_UNREAD = re.compile(r"(^|\.)(masked_spec_embed|mask_emb|mask_token|num_batches_tracked)$")
_POOLER = re.compile(r"(^|\.)pooler\.")  # masked language models have none; a classifier trains it with its head
# What DistributedDataParallel, torch.compile, FSDP and activation checkpointing add to the names of weights.
_WRAPPERS = re.compile(r"(?:(?<=\.)|^)(?:(?:module|_orig_mod|_fsdp_wrapped_module|_checkpoint_wrapped_module)\.)+")


def load_model(
    auto_class: Any,
    name_or_path: str | PathLike[str],
    *,
    dtype: str = "float32",
    trust_remote_code: bool = False,
    **kwargs: Any,
) -> tuple[PreTrainedModel, list[str]]:
    """Load pretrained weights, in the requested precision rather than the stored one.

    Args:
        auto_class (`type` or `str`): An auto class, a model class or a loader with `from_pretrained`; or the name of one
            in `transformers`.
        name_or_path (`str` or `Path`): Hub id or folder.
        dtype (`str`): "float32", "bfloat16" or "float16". transformers 5 would use the checkpoint's own.
        trust_remote_code (`bool`): Run code that comes with the model. Off unless the user turns it on.
        kwargs: Passed to `from_pretrained` (`num_labels`, `id2label`, `revision`, ...).

    Returns:
        `(model, newly_initialized)`: the model in eval mode, and the sorted names of the parameters of its head that the
        checkpoint does not contain, or contains for other labels, and that therefore have random values. All parameters
        of a model that a loader builds by name are new.

    Raises:
        ValueError: Unknown dtype.
        FileNotFoundError: A folder without weights, or without `config.json`.
        ValueError: A checkpoint that exists only as a pickle; loading it could run foreign code.
        ValueError: A damaged file; weights other than a head's that are missing or have other shapes; layers that the
            config does not list.
    """
    if dtype not in DTYPES:
        raise ValueError(f"dtype must be one of {', '.join(DTYPES)}; got {shown(dtype)}.")
    if isinstance(auto_class, str):
        auto_class = getattr(transformers, auto_class)
    check_source(name_or_path)
    new_sizes = kwargs.pop("ignore_mismatched_sizes", False)
    load = partial(
        auto_class.from_pretrained,
        name_or_path,
        dtype=DTYPES[dtype],
        use_safetensors=True,
        trust_remote_code=trust_remote_code,
        output_loading_info=True,
        ignore_mismatched_sizes=True,
        **kwargs,
    )
    model, newly_initialized = load_checked(load, name_or_path, new_sizes=new_sizes)
    return model.eval(), newly_initialized


def load_trained_model(auto_class: Any, name_or_path: str | PathLike[str], **kwargs: Any) -> PreTrainedModel:
    """Load a model of which nothing may be missing, head included.

    Args:
        auto_class, name_or_path, kwargs: As for `load_model`.

    Returns:
        `PreTrainedModel` in eval mode.

    Raises:
        ValueError: The head is missing; and the errors of `load_model`.
    """
    model, newly_initialized = load_model(auto_class, name_or_path, **kwargs)
    if newly_initialized:
        raise ValueError(
            f"{name_or_path} has no trained head for {type(model).__name__} ({_listed(newly_initialized)} are not in its "
            f"weights), so its predictions would be random. Load a model that was trained for this task."
        )
    return model


# ---- Names and shapes of weights ----


def load_checked(
    load: Callable[..., Any], name: str | PathLike[str], *, new_sizes: bool
) -> tuple[PreTrainedModel, list[str]]:
    """Load a model and check what its weights lack; weights of a wrapped model are loaded under their own names.

    Args:
        load (callable): `from_pretrained` with `output_loading_info=True` and `ignore_mismatched_sizes=True`.
        name (`str` or `Path`): Of the model, for messages.
        new_sizes (`bool`): Allow a head of other sizes, which is initialized again.

    Returns:
        `(model, newly_initialized)`: see `load_model`.

    Raises:
        ValueError: See `load_model`.
    """
    model, info = _loaded(load, name)
    if info.get("built_by_name"):
        return model, sorted(info["missing_keys"])
    weights = _Weights(name, model, info)
    if weights.lost and (renaming := weights.renaming()):
        model, info = _loaded(partial(load, key_mapping=renaming), name)
        # `save_pretrained` would rename the weights back.
        conversions = getattr(model, "_weight_conversions", None) or []
        model._weight_conversions = [rule for rule in conversions if not renaming.keys() & set(rule.source_patterns)]
        example, weights = weights.unexpected[0], _Weights(name, model, info)
        if not weights.lost:
            logger.warning(
                "The weights of %s have the names of a wrapped model (%s); they were loaded without the wrapper's prefix.",
                name,
                example,
            )
    weights.check(new_sizes=new_sizes)
    return model, sorted(weights.head)


def _loaded(load: Callable[..., Any], name: str | PathLike[str]) -> tuple[PreTrainedModel, Mapping[str, Any]]:
    try:
        return load()
    except SafetensorError as error:
        raise ValueError(
            f"The weights of {name} are damaged: a safetensors file was cut off or changed ({error}). Copy or download the "
            f"model again, or save it again."
        ) from error
    except ValueError as error:
        check_remote_code(name, error, kind="class")
        raise


class _Weights:
    """The weights of a checkpoint compared with those of its model.

    Args:
        name (`str`): Of the checkpoint, for messages.
        model (`PreTrainedModel`): The loaded model.
        info (`dict`): The loading info of `from_pretrained`.

    Attributes:
        head (`set[str]`): Weights of the head that are missing, or that have other shapes.
        lost (`list[str]`): All others.
        unexpected (`list[str]`): Weights of the checkpoint that the model does not have.
    """

    def __init__(self, name: str | PathLike[str], model: PreTrainedModel, info: Mapping[str, Any]):
        self.name, self.model = name, model
        self.prefix = f"{model.base_model_prefix}." if model.base_model is not model else ""
        self.unexpected = sorted(info.get("unexpected_keys", ()))
        self.shapes = {key: (tuple(found), tuple(expected)) for key, found, expected in info["mismatched_keys"]}
        self.missing = {key for key in info["missing_keys"] if not _UNREAD.search(key)}
        outside = self._outside_of_base()
        self.head = {key for key in (*self.missing, *self.shapes) if self._is_head(key, outside)}
        self.lost = sorted({*self.missing, *self.shapes} - self.head)

    def _is_head(self, key: str, outside: Callable[[str], bool]) -> bool:
        if key in self.shapes:
            found, expected = self.shapes[key]
            num_labels = self.model.config.num_labels
            pairs = list(zip(found, expected, strict=False))
            of_labels = all(old == new or new == num_labels for old, new in pairs) and len(found) == len(expected)
            return outside(key) or of_labels
        return outside(key) or _POOLER.search(key) is not None

    def _outside_of_base(self) -> Callable[[str], bool]:
        """Whether a weight lies outside of the base model.

        The base of some classes is not a module of its own. Their heads are then complete modules without layers and
        embeddings.
        """
        if self.prefix:
            return lambda key: not key.startswith(self.prefix)
        complete = [
            f"{name}."
            for name, child in self.model.named_children()
            if not any(isinstance(module, (nn.Embedding, nn.ModuleList)) for module in child.modules())
            and all(f"{name}.{key}" in self.missing or f"{name}.{key}" in self.shapes for key in child.state_dict())
        ]
        return lambda key: key.startswith(tuple(complete))

    def renaming(self) -> dict[str, str] | None:
        """Patterns for `key_mapping` after which no weight is lost: the names in the checkpoint begin with a prefix.

        None where there is no such prefix, or more than one: the checkpoint contains several models then.
        """
        found = {_WRAPPERS.sub("", key) for key in self.unexpected}
        wanted = [key for key in self.lost if key not in self.shapes]
        prefixes = set()
        for cut in {0, len(self.prefix)} if wanted else ():  # with the name of the base model, and without
            first = wanted[0][cut:]
            starts = {key.removesuffix(first) for key in found if f".{key}".endswith(f".{first}")}
            starts = {start for start in starts if not (cut and start.endswith(self.prefix))}
            prefixes |= {start for start in starts if all(start + key[cut:] in found for key in wanted)}
        if len(prefixes) != 1:
            return None
        wrappers = {_WRAPPERS.pattern: ""} if found != set(self.unexpected) else {}
        return wrappers | {f"^{re.escape(prefix)}": "" for prefix in prefixes if prefix}

    def check(self, *, new_sizes: bool) -> None:
        """Raise for everything but a head.

        Args:
            new_sizes (`bool`): Allow a head of other sizes, which is initialized again.
        """
        self._check_lost()
        self._check_layers()
        wrong = sorted(key for key in self.head if key in self.shapes)
        if wrong and not new_sizes:
            raise ValueError(
                f"{self.name} has a head of other sizes than its config: {self._with_shapes(wrong)}. One of the two was "
                f"changed. Restore config.json, or save the model again."
            )
        tied = getattr(self.model, "all_tied_weights_keys", {})
        for key in sorted(self.head & self.missing):
            module = self.model.get_submodule(key.rpartition(".")[0])
            names = [f"{key.rpartition('.')[0]}.{name}" for name in module.state_dict() if "." not in name]
            if present := [name for name in names if name not in {*self.head, *tied}]:
                raise ValueError(
                    f"{self.name} contains {present[0]} and not {key}: a part of its head is missing, and would be random. "
                    f"Copy or download the model again, or save it again."
                )

    def _check_lost(self) -> None:
        if not self.lost:
            return
        total = len(self.model.state_dict())
        if self.unexpected:
            way_out = (
                f"It contains {len(self.unexpected)} weights under other names ({_listed(self.unexpected)}). Save the "
                f"model itself, without a wrapper and with adapters merged, or give it the config it was saved with"
            )
        else:
            way_out = "Copy or download the model again, save it again, or give it the config it was saved with"
        raise ValueError(
            f"{self.name} lacks {len(self.lost)} of the {total} weights of {type(self.model).__name__}: "
            f"{self._with_shapes(self.lost)}. Only a head may be missing: the others would be random. {way_out}."
        )

    def _check_layers(self) -> None:
        """Raise for layers in the checkpoint beyond the number in the config."""
        numbered = {_without_numbers(key) for key in self.model.state_dict() if key.startswith(self.prefix)}
        extra = [
            key
            for key in self.unexpected
            if any(
                _without_numbers(name) in numbered and name != _without_numbers(name)
                for name in (key, self.prefix + key)
            )
        ]
        if extra:
            raise ValueError(
                f"{self.name} contains layers that its config does not have ({_listed(extra)}), so a part of the model "
                f"would be left out. Restore config.json, or save the model again."
            )

    def _with_shapes(self, keys: Iterable[str]) -> str:
        shapes = {key: "" for key in keys}
        shapes |= {
            key: f" (shape {self.shapes[key][0]}, expected {self.shapes[key][1]})"
            for key in shapes
            if key in self.shapes
        }
        return _listed([key + shape for key, shape in shapes.items()])


def _without_numbers(key: str) -> str:
    return re.sub(r"(?<=\.)\d+(?=\.)", "#", key)


def _listed(names: Collection[str]) -> str:
    names = list(names)
    return ", ".join(names[:4]) + (f" and {len(names) - 4} more" if len(names) > 4 else "")


# ---- Tokenizers and folders ----


def load_tokenizer(
    name_or_path: str | PathLike[str], *, trust_remote_code: bool = False
) -> PreTrainedTokenizerBase | None:
    """Load the tokenizer of a Hub id or folder, or return None where there is none.

    Raises:
        ValueError, ConnectionError: Its files are damaged, or code of the model; no such model; see `load_saved`.
    """
    tokenizer = load_saved(
        transformers.AutoTokenizer,
        name_or_path,
        kind="tokenizer",
        files=TOKENIZER_FILES,
        trust_remote_code=trust_remote_code,
    )
    if tokenizer is None:
        return None
    # Where a config names the architecture but there is no tokenizer file, transformers 5 creates a tokenizer with
    # only its special tokens.
    is_empty = set(tokenizer.get_vocab()) <= set(tokenizer.all_special_tokens)
    return None if is_empty else tokenizer
