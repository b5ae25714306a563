"""Recipes of drawn settings: a file is parsed, and the settings stay what they are, or it is refused with a sentence."""

import dataclasses

import pytest
import yaml
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from distil_nlp.recipe import RecipeArguments, parse
from distil_nlp.training.arguments import DistillationTrainingArguments

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
RECIPES = st.dictionaries(st.sampled_from(NAMES), VALUES, max_size=4)


def parsed(path):
    """What `parse` returns, or None where it refuses; any other error passes through."""
    try:
        return parse([str(path), "--use_cpu", "true"])
    except (ValueError, FileNotFoundError) as error:
        assert len(str(error)) > 25, repr(error)
        return None


def check(recipe, folder):
    path = folder / "recipe.yaml"
    path.write_text(yaml.safe_dump({"teacher": "a-teacher", **recipe}, allow_unicode=True), encoding="utf-8")
    first = parsed(path)
    if first is None:
        return
    # What a run writes to its folder repeats it.
    path.write_text(yaml.safe_dump(first[-1], allow_unicode=True), encoding="utf-8")
    second = parsed(path)
    assert second is not None and second[-1] == first[-1]


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("drawn")


@given(recipe=RECIPES)
@settings(max_examples=40, derandomize=True, deadline=None, suppress_health_check=list(HealthCheck))
@example(recipe={"temperature": float("inf")})
def test_a_drawn_recipe_is_parsed_or_refused_with_a_sentence(recipe, folder):
    check(recipe, folder)


# 2,000 files.
@pytest.mark.slow
@given(recipe=RECIPES)
@settings(max_examples=2000, deadline=None, suppress_health_check=list(HealthCheck))
def test_any_drawn_recipe_is_parsed_or_refused_with_a_sentence(recipe, folder):
    check(recipe, folder)


@given(text=st.text(max_size=60) | st.binary(max_size=60))
@settings(max_examples=60, derandomize=True, deadline=None, suppress_health_check=list(HealthCheck))
def test_a_file_of_any_content_is_a_recipe_or_refused_with_a_sentence(text, folder):
    path = folder / "any.yaml"
    path.write_bytes(text if isinstance(text, bytes) else text.encode("utf-8", "surrogatepass"))
    parsed(path)
