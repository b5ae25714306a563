"""How rows of text become rows of tokens: in memory, or in a file that the next run reads."""

import json
from pathlib import Path

from datasets.fingerprint import Hasher


def tokenized(rows, tokenize, tokenizer, *, key, cache_dir=None):
    """Rows of the tokens that `tokenize` makes, in place of the columns that were there.

    Args:
        rows (`datasets.Dataset`): The columns that `tokenize` reads, and no others.
        tokenize (`Callable[[dict], dict]`): Columns of some rows -> columns of as many rows.
        tokenizer: What it uses; a different one gives other tokens.
        key (`tuple`): What else decides the result.
        cache_dir (`str` or `Path`, *optional*): Keep the tokens in a file here and read them from it, next time too,
            instead of holding them in memory.

    Returns:
        `datasets.Dataset` of as many rows.
    """
    # A key of our own: pickling a tokenizer gives another one after its first use.
    key = Hasher.hash([rows._fingerprint, *key, _state(tokenizer)])
    where = {"keep_in_memory": True, "load_from_cache_file": False}
    if cache_dir is not None:
        Path(cache_dir).mkdir(parents=True, exist_ok=True)
        where = {"cache_file_name": str(Path(cache_dir) / f"tokens-{key}.arrow"), "load_from_cache_file": True}
    return rows.map(
        tokenize, batched=True, remove_columns=rows.column_names, new_fingerprint=key, desc="Tokenizing", **where
    )


def _state(tokenizer):
    """What decides a tokenizer's output. Not its truncation and padding, which its last caller left behind."""
    names = [type(tokenizer).__name__, tokenizer.model_input_names, tokenizer.truncation_side, tokenizer.padding_side]
    backend = getattr(tokenizer, "backend_tokenizer", None)
    if backend is None:
        return [*names, sorted(tokenizer.get_vocab().items()), str(tokenizer.init_kwargs)]
    settings = json.loads(backend.to_str())
    return [*names, {name: value for name, value in settings.items() if name not in ("truncation", "padding")}]
