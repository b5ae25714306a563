"""What the command line does with a recipe: run it, ask its teacher once, sweep it."""

import shlex
import sys

from ..internals.imports import import_extra
from ..recipe.arguments import SweepArguments
from ..recipe.callbacks import Interrupted
from ..recipe.parsing import parse
from ..recipe.run import Run
from ..sweeps.sweep import Sweep


def main(argv=None, *, action=None):
    """Run a recipe from the command line; exit with a message where the user can mend something.

    Args:
        argv (`list[str]`, *optional*): YAML files and flags; by default those of the process.
        action (callable, *optional*): What to do with them; by default `run`.
    """
    argv = sys.argv[1:] if argv is None else argv
    try:
        (action or run)(argv)
    except Interrupted as stop:
        sys.exit(f"{stop} The same command goes on from there.")
    except KeyboardInterrupt:
        sys.exit("Stopped. What was finished is kept; the same command goes on from the last checkpoint.")
    except (ValueError, OSError, RuntimeError, ImportError) as error:
        sys.exit(f"error: {error}")


def run(argv):
    """Run a recipe.

    Args:
        argv (`list[str]`): YAML files and flags, see `distil_nlp.recipe.parse`.

    Returns:
        `Comparison`, or None on processes other than the first.
    """
    recipe, training, given = parse(argv)
    return Run(recipe, training, given, command=shlex.join(["distil-nlp", "run", *argv]))()


def build_cache(argv):
    """Build the cache of a recipe's teacher, and nothing else.

    Args:
        argv (`list[str]`): As for `run`, which reads it afterwards where it is given the same settings.
    """
    recipe, training, given = parse([*argv, "--cache", "true"])
    asked = Run(recipe, training, given, command=shlex.join(["distil-nlp", "cache", *argv]))
    asked.begin()
    asked.cached()
    folder = asked.cache_folder
    if asked.state.is_main_process:
        print(
            f"The teacher's answers: {folder}. `distil-nlp run` with `--cache true --teacher_cache {folder}` reads them."
        )


def sweep(argv):
    """Try the settings that `sweep:` names, and put the best of them into best.yaml.

    Args:
        argv (`list[str]`): YAML files and flags, as for a run, with `sweep` and `num_trials`.

    Returns:
        `dict`: What sweep.json holds.

    Raises:
        ImportError: Optuna is missing.
        ValueError: Settings that cannot be, found before anything is trained.
    """
    import_extra("sweep")
    recipe, training, wishes, given = parse(argv, SweepArguments, output="runs/{}-sweep")
    return Sweep(recipe, training, wishes, given, command=shlex.join(["distil-nlp", "sweep", *argv]))()
