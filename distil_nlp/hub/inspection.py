"""A look at a saved model before it is published: its files are those that were written, parse, and belong together."""

import json
from pathlib import Path
from typing import Any

import transformers
from torch import nn
from transformers import AutoTokenizer, PreTrainedModel

from .. import models
from ..internals.checksums import CHECKSUMS, DamagedFileError, check_files
from ..models.loading import load_trained_model
from ..models.sentence_encoder import SentenceEncoder

_TOKENIZER_FILES = ("tokenizer.json", "tokenizer_config.json", "vocab.txt", "vocab.json")


def check_saved_model(folder: str | Path) -> None:
    """Check that a saved model is whole.

    The model is loaded where its class is one of transformers or of this package: code that comes with a model is not run.

    Args:
        folder (`str` or `Path`): Written by `save_pretrained`; `distil_nlp.models.sources.check_folder` passes.

    Raises:
        ValueError: A file is damaged or was changed, weights are missing, or the tokenizer has more tokens than the model;
            the message names it.
    """
    folder = Path(folder)
    try:
        check_files(folder)
    except DamagedFileError as error:
        raise ValueError(
            f"{error} So it is not pushed. Save the model again, or copy it again. If you changed the file on purpose, "
            f"delete {CHECKSUMS} in that folder."
        ) from error
    config = _parsed_json(folder)
    model = _load(folder, config)
    if model is not None:
        _check_tokenizer(folder, model)


def _parsed_json(folder: Path) -> dict[str, Any]:
    """The content of config.json, after all JSON files were parsed."""
    for path in sorted(folder.rglob("*.json")):
        try:
            json.loads(path.read_text(encoding="utf-8"))
        except ValueError as error:
            raise ValueError(
                f"{path} is damaged: it does not parse as JSON ({error}). It is not pushed. Save the model again."
            ) from error
    config = json.loads((folder / "config.json").read_text(encoding="utf-8"))
    if not isinstance(config, dict):
        raise ValueError(f"{folder / 'config.json'} contains no configuration of a model. Save the model again.")
    return config


def _load(folder: Path, config: dict[str, Any]) -> PreTrainedModel | None:
    """The model, or None if only code that comes with it could load it."""
    if (folder / "modules.json").is_file():
        return SentenceEncoder.from_pretrained(folder)
    name = next(iter(config.get("architectures") or ()), None)
    model_class = getattr(models, str(name), None) or getattr(transformers, str(name), None)
    is_known = isinstance(model_class, type) and issubclass(model_class, PreTrainedModel)
    return load_trained_model(model_class, folder) if is_known else None


def _check_tokenizer(folder: Path, model: PreTrainedModel) -> None:
    if not any((folder / name).is_file() for name in _TOKENIZER_FILES):
        return
    try:
        tokenizer = AutoTokenizer.from_pretrained(folder)
    except Exception as error:  # the parser of tokenizer.json raises no type of its own
        raise ValueError(
            f"The tokenizer in {folder} cannot be loaded ({type(error).__name__}: {error}), so it is damaged. "
            f"Nothing is pushed. Save it again: tokenizer.save_pretrained(folder)."
        ) from error
    try:
        embeddings = model.get_input_embeddings()
    except (NotImplementedError, AttributeError):
        return
    if isinstance(embeddings, nn.Embedding) and len(tokenizer) > embeddings.num_embeddings:
        raise ValueError(
            f"The tokenizer in {folder} has {len(tokenizer):,} tokens and the model {embeddings.num_embeddings:,}: they do "
            f"not belong together. Nothing is pushed. Save the model's own tokenizer into the folder."
        )
