"""The output folder of a run: its settings and its finished models."""

import logging
import re
import shutil
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import yaml
from accelerate import PartialState

from ..internals.checksums import CHECKSUMS, DamagedFileError, check_files, write_checksums
from ..internals.disk import explain_full_disk
from ..internals.files import clear_partial_files, flush, read_json, write_json, write_text
from ..internals.locks import LOCK, FolderInUseError, FolderLock, main_decides
from ..internals.messages import listed, shown
from ..internals.secrets import hide_secrets
from ..training.checkpoints import delete_checkpoints
from .inputs import Inputs, changed_rows, differences, is_valid
from .yaml_loader import read_yaml_file

logger = logging.getLogger(__name__)

_RECIPE, _RECORD = "recipe.yaml", "_stage.json"  # a file whose name begins with _ is not pushed
_INPUTS, _CHECKPOINTS, _REPORT = "inputs.json", "checkpoints", "report.json"

_WORK = (_CHECKPOINTS, "teacher_cache", "pseudo_labels", "trials")  # folders that a run or a sweep makes
_MODEL = re.compile(r"(teacher|student|control)(-\d+|-seed\d+)?")
_UNFINISHED = re.compile(r"\.(teacher|assistant|student|control)[\w.-]*\.part")

# Settings that may change between two calls of one run: they change no finished model.
_FREE = {
    "control", "dataloader_num_workers", "disable_tqdm", "hub_model_id", "hub_private_repo", "hub_revision",
    "latency_seconds", "log_level", "logging_steps", "main_metric", "num_trials", "output_dir", "push_to_hub",
    "report_to", "save_steps", "save_strategy", "save_total_limit", "seeds", "teacher_cache", "tfidf_control",
}  # fmt: skip
_SELECTING = {"save_steps", "save_strategy"}  # not free where the best checkpoint is loaded at the end


class RunFolder:
    """The files of a run.

    Every trained model has a folder of its own name: "teacher", "student", "control-seed1". The folder appears when it is
    complete: it is written under another name first and renamed.

    Args:
        path (`str` or `Path`): `--output_dir`.
    """

    def __init__(self, path: str | Path):
        self.path = Path(path)
        self._checked: set[str] = set()  # finished models that were written or compared with their checksums
        self._inputs: Inputs = {}

    @contextmanager
    def claimed(self) -> Iterator[None]:
        """Hold the folder against other runs, in all processes of the launch; call it in each.

        Raises:
            FolderInUseError: Another run writes to the folder.
            DiskFullError: A disk was full, whatever library noticed it.
        """
        lock = FolderLock(self.path)
        if not main_decides(lock.acquire):
            raise FolderInUseError(
                f"{self.path} is in use by another run, {lock.holder}. Two runs in one folder would mix their models. Wait "
                f"for its end, or stop it and run this command again, which continues from its last checkpoint; or choose "
                f"another --output_dir."
            )
        try:
            if PartialState().is_main_process:
                self._clear_litter()
            with explain_full_disk(self.path):
                yield
        finally:
            lock.release()

    def _clear_litter(self) -> None:
        """Delete what killed runs left: partial files and folders, checkpoints of finished models. Nothing else."""
        for folder in [self.path, *(path for path in self.path.iterdir() if path.is_dir() and not path.is_symlink())]:
            if folder == self.path or self._is_finished(folder.name) or folder.name == "pseudo_labels":
                clear_partial_files(folder)
            elif _UNFINISHED.fullmatch(folder.name):
                shutil.rmtree(folder)
        for checkpoints in list(self.checkpoints("").glob("*")):
            if self._is_finished(checkpoints.name):
                delete_checkpoints(checkpoints)
        _remove_empty(self.checkpoints(""))

    def write_recipe(self, overrides: Mapping[str, Any], inputs: Inputs) -> None:
        """Write the settings to recipe.yaml and the inputs to inputs.json.

        Called after all checks, so that a recipe with an error leaves no folder.

        Raises:
            ValueError: An input has changed since `check`.
        """
        self._compare(overrides, self._inputs, overrides, inputs)
        recorded = self.recorded_inputs() or {}
        if splits := changed_rows(recorded, inputs) if self.has_recipe else []:
            raise ValueError(
                f"{self.path} contains a run on other rows ({listed(splits)}): the data set, files that it names, or "
                f"the library that reads them have changed. Its finished models would be mixed with those of this run. "
                f"Restore them, choose another --output_dir, or delete the folder to start again."
            )
        write_json(self.path / _INPUTS, {**recorded, **inputs})  # a teacher may be gone by now
        write_text(self.path / _RECIPE, yaml.safe_dump(hide_secrets(dict(overrides)), sort_keys=False))

    def check(self, overrides: Mapping[str, Any], inputs: Inputs) -> None:
        """Check that a run with these settings and inputs can use the folder.

        Raises:
            ValueError: The folder contains another run (the settings and inputs that differ are named), or other files.
        """
        self._inputs = inputs
        if not self.has_recipe:
            other_files = self._other_files()
            if other_files:
                raise ValueError(
                    f"{self.path} is not empty ({listed(other_files, 5)}) and contains no {_RECIPE}, so it is not the "
                    f"folder of a run that could be continued. Choose another --output_dir."
                )
        else:
            settings = read_yaml_file(self.path / _RECIPE) or {}
            if not isinstance(settings, dict):
                raise ValueError(
                    f"{self.path / _RECIPE} should contain settings; got {shown(settings)}. Restore or delete it."
                )
            before = self.recorded_inputs()
            if before is None and not self._has_work:
                raise ValueError(
                    f"{self.path / _RECIPE} was written by no run, and a run writes its settings to a file of this name. "
                    f"Rename yours, or choose another --output_dir."
                )
            if before is None:
                logger.warning(
                    "%s was begun by an earlier version, which did not record its data and models. Whether they are the "
                    "same now is not checked.", self.path,
                )  # fmt: skip
                before = inputs
            self._compare(settings, before, hide_secrets(dict(overrides)), inputs)  # as written
        self._check_foreign_folders()

    def _check_foreign_folders(self) -> None:
        """Raise ValueError for a folder that has the name of a model and that no run wrote: it would be replaced."""
        for path in sorted(self.path.iterdir()) if self.path.is_dir() else []:
            is_finished = (path / _RECORD).is_file()
            if _MODEL.fullmatch(path.name) and not is_finished and path.exists() and not RunFolder(path).is_empty:
                raise ValueError(
                    f"{path} has the name of a model of this run, and no run wrote it ({_RECORD} is missing). Move it "
                    f"elsewhere."
                )

    def recorded_inputs(self) -> Inputs | None:
        """The inputs of the run as it was begun; None before that, and in folders of earlier versions."""
        file = self.path / _INPUTS
        inputs = read_json(file) if file.is_file() else None
        if inputs is not None and not is_valid(inputs):
            raise ValueError(
                f"{file} is damaged, so whether data and models are those of the run cannot be checked. Restore it, or "
                f"choose another --output_dir; where you know that they are, delete the file."
            )
        return inputs

    def _compare(
        self, settings: Mapping[str, Any], before: Inputs, overrides: Mapping[str, Any], inputs: Inputs
    ) -> None:
        differing = differences(settings, before, overrides, inputs)
        selects = settings.get("load_best_model_at_end") or overrides.get("load_best_model_at_end")
        free = _FREE - (_SELECTING if selects else set())
        named = [sentence for name, sentence in differing.items() if name not in free]
        if named:
            raise ValueError(
                f"{self.path} contains another run: {'; '.join(named)}. Its finished models would be mixed with "
                f"those of this run. Choose another --output_dir, or delete the folder to start again."
            )

    def finished(self, name: str) -> Path | None:
        """The folder of a finished model, or None.

        Raises:
            ValueError: Its files were changed or damaged after they were written.
        """
        if not self._is_finished(name):
            return None
        folder = self.path / name
        if name not in self._checked:
            try:
                check_files(folder)
            except DamagedFileError as error:
                raise ValueError(
                    f"{error} It belongs to the finished model {shown(name)}, which is not used like this. Delete "
                    f"{folder}, and the same command trains the model again. If you changed the file on purpose, delete "
                    f"{CHECKSUMS} in that folder instead."
                ) from error
            self._checked.add(name)
        return folder

    def _is_finished(self, name: str) -> bool:
        """As `finished`, without a check of its files."""
        return (self.path / name / _RECORD).is_file()

    def checkpoints(self, name: str) -> Path:
        """The folder of a model's checkpoints while it is trained."""
        return self.path / _CHECKPOINTS / name

    def finish(self, name: str, save: Callable[[Path], object], record: Mapping[str, Any]) -> Path:
        """Write a trained model, make its folder visible in one step, delete its checkpoints.

        Args:
            name (`str`): Name of the model and of its folder.
            save (callable): Writes the model into the folder that it is called with.
            record (`dict`): JSON-ready, see `training_record`.
        """
        unfinished = self.path / f".{name}.part"
        shutil.rmtree(unfinished, ignore_errors=True)
        unfinished.mkdir(parents=True)
        save(unfinished)
        write_json(unfinished / _RECORD, record)
        write_checksums(unfinished)
        shutil.rmtree(self.path / name, ignore_errors=True)
        unfinished.rename(self.path / name)
        flush(self.path)
        self._checked.add(name)
        delete_checkpoints(self.checkpoints(name))
        _remove_empty(self.checkpoints(""))
        return self.path / name

    @property
    def has_recipe(self) -> bool:
        """Whether a run has written its recipe into the folder."""
        return (self.path / _RECIPE).is_file()

    @property
    def is_empty(self) -> bool:
        """Whether the folder exists and contains nothing but what a run writes before its recipe."""
        return self.path.is_dir() and not self._other_files()

    def _other_files(self) -> list[str]:
        present = {path.name for path in self.path.iterdir()} if self.path.is_dir() else set()
        return sorted(present - {LOCK, _INPUTS})

    @property
    def _has_work(self) -> bool:
        """Whether the folder contains a model, checkpoints or a cache of a run."""
        folders = (path for path in self.path.iterdir() if path.is_dir())
        return any((path / _RECORD).is_file() or path.name in _WORK for path in folders)

    @property
    def has_report(self) -> bool:
        """Whether the models in the folder were compared, so that the run is finished."""
        return (self.path / _REPORT).is_file()

    def delete(self) -> None:
        """Delete what a run wrote before its comparison: models, checkpoints, links, recipe. Any other file stays."""
        for path in list(self.path.iterdir()) if self.has_recipe else []:
            is_link = path.is_symlink() and (_MODEL.fullmatch(path.name) or path.name == "teacher_cache")
            if is_link or path.name in (_RECIPE, _INPUTS):
                path.unlink()
            elif path.is_symlink():
                continue
            elif path.name == _CHECKPOINTS:
                for checkpoints in list(path.glob("*")):
                    delete_checkpoints(checkpoints)
                _remove_empty(path)
            elif _UNFINISHED.fullmatch(path.name) or (path / _RECORD).is_file():
                shutil.rmtree(path)

    def discard(self) -> None:
        """Delete what a run wrote, and the folder if nothing else is in it. A folder in use stays as it is."""
        lock = FolderLock(self.path)
        if self.path.is_dir() and lock.acquire():
            self.delete()
            lock.release()
            _remove_empty(self.path)

    def training_record(self, name: str) -> dict[str, Any]:
        """How a finished model was trained: "steps", "seconds", "objective" (descriptions of its terms) and "log_history"
        (the trainer's log, a list of dictionaries; missing in runs of earlier versions)."""
        return read_json(self.path / name / _RECORD)


def _remove_empty(folder: Path) -> None:
    if folder.is_dir() and not folder.is_symlink() and not any(folder.iterdir()):
        folder.rmdir()


def model_name(role: str, seed: int, seeds: Sequence[int]) -> str:
    """The name of a model and its folder: `student` for the first seed, `student-seed1` for another."""
    return role if seed == seeds[0] else f"{role}-seed{seed}"


def teacher_name(index: int) -> str:
    """The name of a teacher's folders: `teacher` for the first (index 0), `teacher-2` for the next."""
    return "teacher" if index == 0 else f"teacher-{index + 1}"
