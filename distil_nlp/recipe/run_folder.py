"""The output folder of a run: whose it is, and which stages are finished."""

import shutil
from pathlib import Path

import yaml

from ..internals.files import read_json, write_json, write_text

_RECIPE, _STAGE = "recipe.yaml", "_stage.json"  # a leading _ is not pushed

# What may differ between two calls of one run: it changes no result that is already there.
_FREE = {
    "control", "dataloader_num_workers", "disable_tqdm", "hub_model_id", "hub_private_repo", "hub_revision",
    "latency_seconds", "log_level", "logging_steps", "main_metric", "num_trials", "output_dir", "push_to_hub",
    "report_to", "save_steps", "save_strategy", "save_total_limit", "seeds", "teacher_cache", "tfidf_control",
}  # fmt: skip


class RunFolder:
    """Where a run keeps what it makes.

    A stage writes into a folder of its own name, beside which nobody looks until it is whole: it is written under
    another name first and renamed.

    Args:
        path (`str` or `Path`): `--output_dir`.
    """

    def __init__(self, path):
        self.path = Path(path)

    def claim(self, given):
        """Take the folder for a run with these settings. Done last, so that a run refused for its data leaves none."""
        write_text(self.path / _RECIPE, yaml.safe_dump(given, sort_keys=False))

    def check(self, given):
        """Refuse a folder that cannot be claimed for these settings.

        Raises:
            ValueError: The folder holds another run (the settings that differ are named), or something else.
        """
        if not (self.path / _RECIPE).is_file():
            strangers = sorted(one.name for one in self.path.iterdir()) if self.path.is_dir() else []
            if strangers:
                raise ValueError(
                    f"{self.path} is not empty ({', '.join(strangers[:5])}) and holds no {_RECIPE}, so it is no run of "
                    f"ours to go on with. Choose another --output_dir."
                )
        else:
            before = yaml.safe_load((self.path / _RECIPE).read_text(encoding="utf-8")) or {}
            differing = [
                f"{name} was {before.get(name)!r} and is {given.get(name)!r}"
                for name in sorted({*before, *given} - _FREE)
                if before.get(name) != given.get(name)
            ]
            if differing:
                raise ValueError(
                    f"{self.path} holds another run: {'; '.join(differing)}. Its finished stages would be mixed with "
                    f"yours. Choose another --output_dir, or delete the folder to start afresh."
                )

    def finished(self, stage):
        """The folder of a finished stage, or None."""
        folder = self.path / stage
        return folder if (folder / _STAGE).is_file() else None

    def checkpoints(self, stage):
        """Where a stage keeps its checkpoints until it is finished."""
        return self.path / "checkpoints" / stage

    def finish(self, stage, save, facts):
        """Have `save(folder)` write a stage's result, make it visible in one step, drop its checkpoints.

        Args:
            stage (`str`): Name of its folder.
            save (callable): Writes into the folder it is given.
            facts (`dict`): JSON-ready, kept with it.
        """
        unfinished = self.path / f".{stage}.part"
        shutil.rmtree(unfinished, ignore_errors=True)
        unfinished.mkdir(parents=True)
        save(unfinished)
        write_json(unfinished / _STAGE, facts)
        shutil.rmtree(self.path / stage, ignore_errors=True)
        unfinished.rename(self.path / stage)
        shutil.rmtree(self.checkpoints(stage), ignore_errors=True)
        return self.path / stage

    def facts(self, stage):
        """What `finish` kept."""
        return read_json(self.path / stage / _STAGE)


def stage_name(role, seed, seeds):
    """The folder of a stage: `student` for the first seed, `student-seed1` for another."""
    return role if seed == seeds[0] else f"{role}-seed{seed}"
