"""A teacher and data that sweeps can be run on."""

import pytest

from distil_nlp.sweeps import report
from tests.recipe.conftest import folder, short_comparison  # noqa: F401


@pytest.fixture(autouse=True, scope="module")
def no_plots():
    """Draw no sweep.png, a fifth of a tiny sweep. Yields the function that draws."""
    draw = report._draw
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(report, "_draw", lambda report, path: False)
        yield draw
