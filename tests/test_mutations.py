"""The list of mutations is about this code: each names a line that is there, and tests that are."""

import pytest

from tests.mutations import MUTATIONS, ROOT


@pytest.mark.parametrize("mutation", MUTATIONS, ids=[one.name for one in MUTATIONS])
def test_a_mutation_changes_one_line_that_is_there(mutation):
    source = (ROOT / "distil_nlp" / mutation.file).read_text(encoding="utf-8")
    assert source.count(mutation.old) == 1 and mutation.new != mutation.old
    assert [test for test in mutation.tests.split() if not (ROOT / test).exists()] == []
