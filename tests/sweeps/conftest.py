"""A teacher and data that sweeps can be run on."""

from tests.recipe.conftest import folder, imported_modules_are_no_garbage, short_comparison  # noqa: F401
