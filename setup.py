"""Copies the recipes into the wheel; everything else is in pyproject.toml."""

import shutil
from pathlib import Path

from setuptools import setup
from setuptools.command.build_py import build_py


class BuildWithRecipes(build_py):
    """Puts recipes/ beside the modules of the package, where `distil_nlp.internals.recipe_files` finds it."""

    def run(self):
        super().run()
        if not self.editable_mode:
            target = Path(self.build_lib) / "distil_nlp" / "recipe_files"
            ignored = shutil.ignore_patterns("__pycache__")
            shutil.copytree(Path(__file__).parent / "recipes", target, dirs_exist_ok=True, ignore=ignored)


setup(cmdclass={"build_py": BuildWithRecipes})
