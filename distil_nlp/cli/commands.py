"""The commands that take a recipe: run it, build the cache of its teacher, sweep its settings."""

import shlex
import sys
from collections.abc import Callable, Sequence
from typing import Any

from ..internals.imports import import_extra
from ..internals.messages import printable
from ..internals.secrets import hide_secrets
from ..recipe import SweepArguments, new_context, parse, prepare, quickstart, run_recipe
from ..reports import Report
from ..sweeps import run_sweep
from .errors import run_command
from .quick import answered

_STOPPED = "Stopped. Finished models are kept. Run the same command again to continue from the last checkpoint."


def main(argv: Sequence[str] | None = None, *, action: Callable[[list[str]], object] | None = None) -> None:
    """Run a recipe from the command line; exit with a message at an error that the user can correct.

    Args:
        argv (`list[str]`, *optional*): YAML files and flags. Default: those of the process.
        action (callable, *optional*): Called with them. Default: `run`.
    """
    words = sys.argv[1:] if argv is None else argv
    run_command(lambda: answered("run", words) or (action or run)(words), stopped=_STOPPED)


def action_of(command: str) -> Callable[[list[str]], object]:
    """The function of a command that takes a recipe."""
    return {"quickstart": run_quickstart, "run": run, "cache": build_cache, "sweep": sweep}[command]


def run_quickstart(argv: Sequence[str]) -> None:
    """Write the quickstart's teacher and data, and run its recipe.

    Args:
        argv (`list[str]`): Flags that override its settings.
    """
    settings = quickstart.settings()
    parse([*settings, *argv])  # reading the docstrings takes half a minute; a wrong flag is refused before
    run([*settings, *quickstart.write_files(), *argv])


def run(argv: Sequence[str]) -> Report | None:
    """Run a recipe.

    Args:
        argv (`list[str]`): YAML files and flags, see `distil_nlp.recipe.parse`.

    Returns:
        `Report`, or None in processes other than the first.
    """
    recipe, training, overrides = parse(argv)
    return run_recipe(new_context(recipe, training, overrides, command=_command_line("run", argv)))


def build_cache(argv: Sequence[str]) -> None:
    """Build the cache of a recipe's teacher, and nothing else.

    Args:
        argv (`list[str]`): As for `run`, which reads the cache when it gets the same settings.
    """
    recipe, training, overrides = parse([*argv, "--cache", "true"])
    context = new_context(recipe, training, overrides, command=_command_line("cache", argv))
    with context.folder.claimed():
        teacher = prepare(context)
        teacher.cached(context.data, context.process.device)
    if context.process.is_main_process:
        folder = printable(teacher.folder)
        print(
            f"The teacher's outputs: {folder}. `distil-nlp run` with `--cache true --teacher_cache "
            f"{folder}` reads them."
        )


def sweep(argv: Sequence[str]) -> dict[str, Any]:
    """Train students with the settings of a search space, and write the recipe of the best to best.yaml.

    Args:
        argv (`list[str]`): YAML files and flags, as for a run, with `sweep` and `num_trials`.

    Returns:
        `dict`: The content of sweep.json.

    Raises:
        ImportError: Optuna is not installed.
        ValueError: Settings with which a student cannot be trained; raised before anything is trained.
    """
    import_extra("sweep")
    recipe, training, arguments, overrides = parse(argv, SweepArguments, output="runs/{}-sweep")
    context = new_context(recipe, training, overrides, command=_command_line("sweep", argv))
    return run_sweep(context, arguments)


def _command_line(command: str, argv: Sequence[str]) -> str:
    """The command for reports, without secrets."""
    return hide_secrets(shlex.join(["distil-nlp", command, *argv]))
