"""Recipes: from YAML files and flags to a teacher, a student, its control, a comparison and a model card."""

from .arguments import RecipeArguments, SweepArguments
from .callbacks import Interrupted
from .parsing import parse
from .run import new_context, prepare, run_recipe

__all__ = ["Interrupted", "RecipeArguments", "SweepArguments", "new_context", "parse", "prepare", "run_recipe"]
