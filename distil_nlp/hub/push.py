"""Push a saved student to the Hub: its weights and its card, never a pickle, never what training left beside it."""

import glob
import json
import logging
import zipfile
from contextlib import contextmanager
from pathlib import Path

from huggingface_hub import HfApi
from huggingface_hub.errors import HfHubHTTPError, HTTPError, OfflineModeIsEnabled

from ..models.loading import check_folder

logger = logging.getLogger(__name__)

_PICKLE_SUFFIXES = (".bin", ".pt", ".pth", ".pkl", ".pickle", ".ckpt", ".joblib")
_TRAINING_FILES = ("optimizer", "scheduler", "scaler", "rng_state", "trainer_state", "training_args", "projections.")
_REFUSALS = {
    401: (
        "The Hub does not accept the token ({given}). Make one that may write at "
        "https://huggingface.co/settings/tokens, then run `hf auth login`, set HF_TOKEN, or pass `token=`."
    ),
    403: (
        "The token ({given}) may read but not write to {repo_id!r}. Use a token with write access, and a namespace "
        "you belong to: the part before the slash is your user name or your organization."
    ),
    404: "The Hub has no {repo_id!r} that this token ({given}) can see. Check the name and the token's access.",
    413: "The Hub says that the files are too large for {repo_id!r}. Check the limits of your account.",
    429: "The Hub asks us to slow down (rate limit). Wait a few minutes and push again: nothing is lost.",
}


def push_to_hub(
    folder, repo_id, *, private=None, commit_message="Upload distilled student", token=None, revision=None
):
    """Upload a student saved by `save_pretrained`, creating the repository where it does not exist yet.

    Left behind: checkpoints, optimizer and Trainer states, hidden files, names that begin with `_`, and every
    pickle (`training_args.bin` is one): loading a pickle can run code, and nobody needs ours to load a student.

    Args:
        folder (`str` or `Path`): Holds `config.json` and `model.safetensors`; tokenizer and `README.md` go along.
        repo_id (`str`): "user/name", or "name" for your own namespace.
        private (`bool`, *optional*): Visibility of a new repository; None takes your account's default.
        commit_message (`str`): First line of the commit.
        token (`str`, *optional*): A token that may write. Without it: HF_TOKEN, then what `hf auth login` stored.
        revision (`str`, *optional*): Branch to commit to, created where it is missing. None is "main".

    Returns:
        `str`: Address of the repository (of the branch, where `revision` is given).

    Raises:
        FileNotFoundError, ValueError: `folder` cannot be loaded back: see `distil_nlp.models.loading.check_folder`.
        ValueError: `private=True`, and the repository exists and is public.
        PermissionError: The Hub refuses the token (401, 403).
        ConnectionError: The Hub cannot be reached, or HF_HUB_OFFLINE is set.
        RuntimeError: Any other refusal. The client's own error is the cause of each of these.
    """
    files = _files_to_push(folder)
    api = HfApi(token=token)
    with _explained(repo_id, api.token):
        repo = api.create_repo(repo_id, private=private, exist_ok=True)
        repo_id = repo.repo_id
        if private and not api.model_info(repo_id).private:
            raise ValueError(
                f"{repo_id!r} exists and is public, and you asked for private=True: pushing would publish the "
                f"student. Make the repository private in its settings first, or push to another name."
            )
        if revision is not None and not revision.startswith("refs/"):
            api.create_branch(repo_id, branch=revision, exist_ok=True)
        api.upload_folder(
            repo_id=repo_id,
            folder_path=folder,
            allow_patterns=[glob.escape(name) for name in files],
            commit_message=commit_message,
            revision=revision,
        )
    return str(repo) if revision is None else f"{repo}/tree/{revision}"


def _files_to_push(folder):
    """Relative names of the files that belong to the student, sorted. Raises where it could not be loaded back."""
    folder = Path(folder)
    if not folder.is_dir():
        raise FileNotFoundError(
            f"There is no folder {str(folder)!r} to push. Save the student first: student.save_pretrained(folder)."
        )
    check_folder(folder)
    _check_shards(folder)
    present = sorted(path for path in folder.rglob("*") if path.is_file())
    kept = [path for path in present if not _belongs_to_training(path.relative_to(folder))]
    pickles = [path for path in kept if _is_pickle(path)]
    if pickles:
        named = ", ".join(path.relative_to(folder).as_posix() for path in pickles)
        logger.warning("Not pushed, because loading a pickle can run code: %s.", named)
    return [path.relative_to(folder).as_posix() for path in kept if path not in pickles]


def _check_shards(folder):
    index = folder / "model.safetensors.index.json"
    if not index.is_file() or (folder / "model.safetensors").is_file():
        return
    shards = sorted(set(json.loads(index.read_text(encoding="utf-8"))["weight_map"].values()))
    missing = [name for name in shards if not (folder / name).is_file()]
    if missing:
        raise FileNotFoundError(
            f"{folder} lacks {len(missing)} of the {len(shards)} weight files that its index names "
            f"({', '.join(missing[:3])}): what would be pushed could not be loaded. Save the student again."
        )


def _belongs_to_training(relative):
    if any(part.startswith((".", "_", "checkpoint-")) for part in relative.parts):
        return True
    return relative.name.startswith(_TRAINING_FILES)


def _is_pickle(path):
    """By name or by content: torch.save writes a zip that holds a pickle, whatever the file is called."""
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
def _explained(repo_id, token):
    """Turns what the client raises into what to do about it. The client's error stays as the cause."""
    try:
        yield
    except OfflineModeIsEnabled as error:
        raise ConnectionError(
            f"Nothing was pushed to {repo_id!r}: HF_HUB_OFFLINE (or TRANSFORMERS_OFFLINE) is set. "
            f"Unset it and push again; the saved folder is unchanged."
        ) from error
    except (HTTPError, RuntimeError) as error:
        refusal = _refusal_behind(error)
        if refusal is None and isinstance(error, RuntimeError):
            raise
        if refusal is None:
            raise ConnectionError(
                f"Nothing was pushed to {repo_id!r}: the Hub could not be reached ({type(error).__name__}: {error}). "
                f"Check the network, the proxy and HF_ENDPOINT; the saved folder is unchanged."
            ) from error
        raise _explanation(refusal, repo_id, token) from error


def _refusal_behind(error):
    """The Hub's answer behind an error: a failed upload of weights arrives wrapped in a RuntimeError."""
    while error is not None and not isinstance(error, HfHubHTTPError):
        error = error.__cause__
    return error


def _explanation(refusal, repo_id, token):
    status = refusal.response.status_code
    said = refusal.server_message or str(refusal).strip().splitlines()[0]
    given = "the one passed as `token=`" if token else "from HF_TOKEN or `hf auth login`, if there is one"
    advice = _REFUSALS.get(status, "Try again later; https://status.huggingface.co tells whether it is the Hub.")
    kind = PermissionError if status in (401, 403) else RuntimeError
    return kind(
        f"The push to {repo_id!r} was refused ({status}: {said}). {advice.format(repo_id=repo_id, given=given)}"
    )
