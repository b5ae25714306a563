"""A recipe: teacher, student, data, train, control, compare, card. From YAML and command line to a report."""

from .arguments import RecipeArguments
from .interrupt import Interrupted
from .parsing import parse
from .run import ask_once, main, run
from .sweep import sweep

__all__ = ["Interrupted", "RecipeArguments", "ask_once", "main", "parse", "run", "sweep"]
