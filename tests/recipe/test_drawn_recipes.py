"""Recipes of drawn settings: a file is parsed, and the settings stay what they are, or it is refused with a sentence."""

import dataclasses
from pathlib import Path
from tempfile import TemporaryDirectory

import yaml
from hypothesis import strategies as st

from distil_nlp.recipe import RecipeArguments, parse
from distil_nlp.training.arguments import DistillationTrainingArguments
from tests.drawn import drawn

_CLASSES = (*RecipeArguments.subjects(), DistillationTrainingArguments)
NAMES = sorted(field.name for cls in _CLASSES for field in dataclasses.fields(cls) if field.init)
SCALARS = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-(10**12), 10**12),
    st.floats(),
    st.text(max_size=8),
    st.sampled_from(
        ["1e3", "1_000", ".inf", "no", "off", "2026-01-01", "0x10", "010", "1:30", "~", "é", "\u202e", "\0"]
    ),
)
VALUES = st.recursive(
    SCALARS, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(SCALARS, inner, max_size=3), max_leaves=4
)
RECIPES = st.dictionaries(st.sampled_from(NAMES), VALUES.filter(lambda value: value is not None), max_size=4)


def parsed(path):
    """What `parse` returns, or None where it refuses; any other error passes through."""
    try:
        return parse([str(path), "--use_cpu", "true"])
    except (ValueError, FileNotFoundError, ImportError) as error:  # a setting may need a package: deepspeed
        assert len(str(error)) > 20, repr(error)
        return None


@drawn(recipe=RECIPES)
def test_a_drawn_recipe_is_parsed_or_refused_and_what_is_written_repeats_it(recipe):
    with TemporaryDirectory() as folder:
        path = Path(folder) / "recipe.yaml"
        path.write_text(yaml.safe_dump({"teacher": "a-teacher", **recipe}, allow_unicode=True), encoding="utf-8")
        first = parsed(path)
        if first is None:
            return
        path.write_text(yaml.safe_dump(first[-1], allow_unicode=True), encoding="utf-8")
        second = parsed(path)
        assert second is not None and second[-1] == first[-1]


@drawn(content=st.text(max_size=60).map(lambda text: text.encode("utf-8", "surrogatepass")) | st.binary(max_size=60))
def test_a_file_of_any_content_is_a_recipe_or_refused_with_a_sentence(content):
    with TemporaryDirectory() as folder:
        path = Path(folder) / "any.yaml"
        path.write_bytes(content)
        parsed(path)
