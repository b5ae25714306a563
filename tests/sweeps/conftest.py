"""A teacher and data that sweeps can be run on."""

import pytest

from distil_nlp.sweeps import report
from tests.recipe.conftest import folder, no_flushing, short_comparison  # noqa: F401


@pytest.fixture(autouse=True, scope="module")
def no_plots():
    """Draw no sweep.png, a fifth of a tiny sweep. Yields the function that draws."""
    draw = report._draw
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(report, "_draw", lambda report, path: False)
        yield draw


@pytest.fixture(autouse=True, scope="module")
def no_flushing_of_databases():
    """Wait for no disk after each change of a study."""
    sqlalchemy = pytest.importorskip("sqlalchemy", reason="comes with Optuna")

    def configure(connection, _):
        connection.execute("PRAGMA synchronous=OFF")

    sqlalchemy.event.listen(sqlalchemy.Engine, "connect", configure)
    yield
    sqlalchemy.event.remove(sqlalchemy.Engine, "connect", configure)
