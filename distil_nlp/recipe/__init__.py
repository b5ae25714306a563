"""A recipe: teacher, student, data, train, control, compare, card. From YAML and command line to a report."""

from .arguments import RecipeArguments
from .commands import ask_once, main, run, sweep
from .interrupt import Interrupted
from .parsing import parse

__all__ = ["Interrupted", "RecipeArguments", "ask_once", "main", "parse", "run", "sweep"]
