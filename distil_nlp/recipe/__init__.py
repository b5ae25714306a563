"""A recipe: teacher, student, data, train, control, compare, card. From YAML and command line to a report."""

from .arguments import RecipeArguments
from .callbacks import Interrupted
from .parsing import parse

__all__ = ["Interrupted", "RecipeArguments", "parse"]
