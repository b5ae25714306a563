"""Push a saved student to the Hub: weights, tokenizer and card, but no pickles and no files of the training."""

import json
import logging
import zipfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from fnmatch import fnmatch
from pathlib import Path

from huggingface_hub import CommitOperationAdd, HfApi
from huggingface_hub.errors import HfHubHTTPError, HTTPError, OfflineModeIsEnabled
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import nn
from transformers import PreTrainedModel

from ..internals.messages import printable, shown
from ..models.sources import check_folder
from ..signals.finite import NonFiniteError, describe_values
from .card import named_card
from .inspection import check_saved_model

logger = logging.getLogger(__name__)

_PICKLE_SUFFIXES = (".bin", ".pt", ".pth", ".pkl", ".pickle", ".ckpt", ".joblib")
# Names of the files that belong to a saved model: weights, configs, vocabularies, code of the model, card, exports.
_STUDENT_FILES = (
    "*config.json", "*.safetensors", "*.safetensors.index.json", "modules.json",
    "tokenizer*", "special_tokens_map.json", "added_tokens.json", "vocab*", "merges.txt", "normalizer.json", "*.model",
    "*.spm", "*.bpe", "*.tiktoken", "chat_template*", "*.jinja", "prompts.json",
    "modeling_*.py", "configuration_*.py", "tokenization_*.py", "processing_*.py", "image_processing_*.py",
    "feature_extraction_*.py",
    "README.md", "LICENSE*", "NOTICE*", "report.*", "*.onnx", "*.onnx_data", "*.onnx.data",
)  # fmt: skip
_TRAINING_FILES = ("optimizer", "scheduler", "scaler", "rng_state", "trainer_state", "training_args", "projections.")
_REFUSALS = {
    401: (
        "The Hub does not accept the token ({source}). Create a token with write access at "
        "https://huggingface.co/settings/tokens, then run `hf auth login`, set HF_TOKEN, or pass `token=`."
    ),
    403: (
        "The token ({source}) may read but not write to {repo_id}. Use a token with write access, and a namespace "
        "you belong to: the part before the slash is your user name or your organization."
    ),
    404: "The Hub has no {repo_id} that this token ({source}) can see. Check the name and the token's access.",
    413: "The files are too large for {repo_id}. Check the limits of your account.",
    429: "The Hub limits the rate of requests. Wait a few minutes and push again: nothing is lost.",
}


def push_to_hub(
    folder: str | Path,
    repo_id: str,
    *,
    private: bool | None = None,
    commit_message: str = "Upload distilled student",
    token: str | None = None,
    revision: str | None = None,
) -> str:
    """Upload a student saved by `save_pretrained`. The repository is created if it does not exist.

    Uploaded are the files that belong to a saved model, by their names. Not uploaded: any other file, checkpoints,
    optimizer and Trainer states, hidden files, names that begin with `_`, links to files outside the folder, and every
    pickle (`training_args.bin` is one): loading a pickle can run code, and none is needed to load a student. What is left
    out is listed in a warning. The code of a card that this package wrote loads the student from `repo_id`; the card in
    the folder stays as it is.

    Args:
        folder (`str` or `Path`): Contains `config.json`, `model.safetensors`, and optionally tokenizer and `README.md`.
        repo_id (`str`): "user/name", or "name" for your own namespace.
        private (`bool`, *optional*): Visibility of a new repository; None: your account's default.
        commit_message (`str`): First line of the commit.
        token (`str`, *optional*): A token with write access. Default: HF_TOKEN, then the token stored by `hf auth login`.
        revision (`str`, *optional*): Branch to commit to, created if it is missing. None: "main".

    Returns:
        `str`: Address of the repository, or of the branch with `revision`.

    Raises:
        FileNotFoundError, ValueError: `folder` cannot be loaded back: see `distil_nlp.models.sources.check_folder`.
        ValueError: The student is not finite, damaged or incomplete: see `distil_nlp.hub.inspection.check_saved_model`.
        ValueError: `private=True`, and the repository exists and is public.
        PermissionError: The Hub refuses the token (401, 403).
        ConnectionError: The Hub cannot be reached, or HF_HUB_OFFLINE is set.
        RuntimeError: Any other refusal. The client's own error is the cause of each of these.
    """
    files = _files_to_push(folder)
    check_saved_model(folder)
    _check_weights(Path(folder))
    api = HfApi(token=token)
    with _explained(repo_id, api.token):
        repo = api.create_repo(repo_id, private=private, exist_ok=True)
        repo_id = repo.repo_id
        if private and not api.model_info(repo_id).private:
            raise ValueError(
                f"{shown(repo_id)} exists and is public, and you asked for private=True: pushing would publish the "
                f"student. Make the repository private in its settings first, or push to another name."
            )
        if revision is not None and not revision.startswith("refs/"):
            api.create_branch(repo_id, branch=revision, exist_ok=True)
        operations = [CommitOperationAdd(name, _content(Path(folder) / name, repo_id)) for name in files]
        api.create_commit(repo_id, operations, commit_message=commit_message, revision=revision)
    return str(repo) if revision is None else f"{repo}/tree/{revision}"


def check_pushable(student: nn.Module) -> None:
    """Raise a ValueError for a student that is saved without `config.json`, so that it could not be loaded from the Hub."""
    if isinstance(student, PreTrainedModel):
        return
    way_out = (
        "Merge its adapters: `student = trainer.model.merge_and_unload()`, then `student.save_pretrained(folder)` and "
        "`distil_nlp.push_to_hub(folder, repo_id)`; or train the merged model"
        if hasattr(student, "merge_and_unload")
        else "Train the transformers model inside it, or wrap a network of your own, see `distil_nlp.models`"
    )
    raise ValueError(
        f"The student ({type(student).__name__}) is saved without config.json, because it is not a transformers model, so "
        f"`from_pretrained` could not load it from the Hub. {way_out}."
    )


def _files_to_push(path: str | Path) -> list[str]:
    """Relative names of the student's files, sorted. Raises if the student could not be loaded from them."""
    folder = Path(path)
    if not folder.is_dir():
        raise FileNotFoundError(
            f"There is no folder {shown(str(folder))} to push. Save the student first: student.save_pretrained(folder)."
        )
    check_folder(folder)
    _check_shards(folder)
    root = folder.resolve()
    present = sorted(path for path in folder.rglob("*") if path.is_file())
    present = [path for path in present if not _belongs_to_training(path.relative_to(folder))]
    linked = [path for path in present if not path.resolve().is_relative_to(root)]
    others = [path for path in present if not any(fnmatch(path.name, pattern) for pattern in _STUDENT_FILES)]
    pickles = [path for path in present if path not in linked and _is_pickle(path)]
    others = [path for path in others if path not in (*linked, *pickles)]
    reasons = {
        "because it is a link to a file outside the folder": linked,
        "because loading a pickle can run code": pickles,
        "because it is no file of a saved model (`hf upload` uploads any file)": others,
    }
    for reason, paths in reasons.items():
        if paths:
            logger.warning(
                "Not pushed, %s: %s.", reason, ", ".join(printable(path.relative_to(folder)) for path in paths)
            )
    left_out = {*linked, *pickles, *others}
    _check_not_linked(folder, linked)
    return [path.relative_to(folder).as_posix() for path in present if path not in left_out]


def _check_not_linked(folder: Path, linked: Sequence[Path]) -> None:
    """Raise ValueError where a file that loading needs is a link to a file outside the folder."""
    needed = [path.name for path in linked if path.name == "config.json" or path.suffix == ".safetensors"]
    if needed:
        raise ValueError(
            f"{', '.join(needed)} in {folder} is a link to a file outside the folder, and a push uploads the files of the "
            f"folder only. Save the student into a folder of its own: student.save_pretrained(folder)."
        )


def _content(path: Path, repo_id: str) -> str | bytes:
    """What is uploaded of a file: its path, or of a card the text that names the repository."""
    if path.name != "README.md":
        return str(path)
    try:
        return named_card(path.read_text(encoding="utf-8"), repo_id).encode("utf-8")
    except UnicodeDecodeError:  # not written by this package
        return str(path)


def _check_shards(folder: Path) -> None:
    index = folder / "model.safetensors.index.json"
    if not index.is_file() or (folder / "model.safetensors").is_file():
        return
    shards = sorted(set(json.loads(index.read_text(encoding="utf-8"))["weight_map"].values()))
    missing = [name for name in shards if not (folder / name).is_file()]
    if missing:
        raise FileNotFoundError(
            f"{folder} lacks {len(missing)} of the {len(shards)} weight files in its index "
            f"({', '.join(missing[:3])}), so the pushed student could not be loaded. Save the student again."
        )


def _check_weights(folder: Path) -> None:
    """Raise a ValueError for weights that cannot be read, or that are NaN or infinite, as every prediction would be."""
    for path in sorted(folder.glob("*.safetensors")):
        try:
            weights = load_file(path)
        except SafetensorError as error:
            raise ValueError(f"{path} is damaged ({error}), so it is not pushed. Save the student again.") from error
        for name, tensor in weights.items():
            if tensor.is_floating_point() and not tensor.isfinite().all():
                raise NonFiniteError(
                    f"The weights {name} in {path} contain {describe_values(tensor)}: the training diverged, and the "
                    f"student predicts nothing. Train it again with a lower learning rate."
                )


def _belongs_to_training(relative: Path) -> bool:
    if any(part.startswith((".", "_", "checkpoint-")) for part in relative.parts):
        return True
    return relative.name.startswith(_TRAINING_FILES)


def _is_pickle(path: Path) -> bool:
    """Whether a file is a pickle, by name or by content: torch.save writes a zip archive that contains a pickle."""
    if path.suffix.lower() in _PICKLE_SUFFIXES:
        return True
    if path.suffix.lower() == ".safetensors":  # starts with a length, which may look like anything
        return False
    with path.open("rb") as file:
        start = file.read(2)
    if start == b"PK" and zipfile.is_zipfile(path):
        with zipfile.ZipFile(path) as archive:
            return any(name.endswith(".pkl") for name in archive.namelist())
    return len(start) == 2 and start[0] == 0x80 and 2 <= start[1] <= 5  # PROTO, then the protocol's number


@contextmanager
def _explained(repo_id: str, token: str | None) -> Iterator[None]:
    """Raise the client's errors with the way out in the message. The client's error is the cause."""
    try:
        yield
    except OfflineModeIsEnabled as error:
        raise ConnectionError(
            f"Nothing was pushed to {shown(repo_id)}: HF_HUB_OFFLINE (or TRANSFORMERS_OFFLINE) is set. "
            f"Unset it and push again; the saved folder is unchanged."
        ) from error
    except (HTTPError, RuntimeError) as error:
        refusal = _refusal_behind(error)
        if refusal is None and isinstance(error, RuntimeError):
            raise
        if refusal is None:
            raise ConnectionError(
                f"Nothing was pushed to {shown(repo_id)}: the Hub could not be reached ({type(error).__name__}: {error}). "
                f"Check the network, the proxy and HF_ENDPOINT; the saved folder is unchanged."
            ) from error
        raise _explanation(refusal, repo_id, token) from error


def _refusal_behind(error: BaseException | None) -> HfHubHTTPError | None:
    """The Hub's response among the causes of an error: a failed upload of weights raises a RuntimeError around it."""
    while error is not None and not isinstance(error, HfHubHTTPError):
        error = error.__cause__
    return error


def _explanation(refusal: HfHubHTTPError, repo_id: str, token: str | None) -> OSError | RuntimeError:
    status = refusal.response.status_code
    reason = refusal.server_message or str(refusal).strip().splitlines()[0]
    source = "passed as `token=`" if token else "from HF_TOKEN or `hf auth login`, if there is any"
    advice = _REFUSALS.get(status, "Try again later; https://status.huggingface.co shows whether the Hub is down.")
    kind = PermissionError if status in (401, 403) else RuntimeError
    return kind(
        f"The push to {shown(repo_id)} was refused ({status}: {printable(reason)}). "
        f"{advice.format(repo_id=shown(repo_id), source=source)}"
    )
