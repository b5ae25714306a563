"""Numbers outside their range are refused where they are set, whoever sets them, before any time is spent."""

import dataclasses
import re
import typing

import numpy as np
import pytest
import torch
from hypothesis import strategies as st

from distil_nlp.internals.numbers import COUNT, FRACTION, NOT_NEGATIVE, NUMBER, POSITIVE, TEMPERATURE, Interval
from distil_nlp.objectives import Attention, Objective, Relations, SoftTargets
from distil_nlp.objectives.from_config import TERMS, objective_from
from distil_nlp.recipe import parse
from distil_nlp.recipe.arguments import RecipeArguments, SweepArguments
from distil_nlp.recipe.assistants import assistants_of
from distil_nlp.recipe.intervals import INTERVALS
from distil_nlp.recipe.stages import stages_of
from distil_nlp.sweeps.space import Space
from distil_nlp.teachers.cache.sparse import SampledFormat, TopKFormat
from distil_nlp.training.arguments import INTERVALS as TRAINING_INTERVALS
from distil_nlp.training.arguments import DistillationTrainingArguments
from tests.drawn import drawn

NAN, INF = float("nan"), float("inf")
NO_NUMBERS = [NAN, INF, -INF, True, "two", [1.0], None]


@pytest.mark.parametrize(
    "interval", [NUMBER, POSITIVE, FRACTION, NOT_NEGATIVE, COUNT, TEMPERATURE, Interval(0, below=1)]
)
def test_no_interval_contains_what_is_no_finite_number(interval):
    for value in NO_NUMBERS:
        with pytest.raises(ValueError, match=f"size must .*; got {re.escape(repr(value))}"):
            interval.check(value, "size")


@pytest.mark.parametrize(
    ("interval", "value", "message"),
    [
        (POSITIVE, 0, "x must be greater than 0; got 0."),
        (POSITIVE, INF, "x must be greater than 0 and finite; got inf."),
        (NOT_NEGATIVE, -1, "x must be 0 or greater; got -1."),
        (FRACTION, 1.5, "x must lie in 0 to 1; got 1.5."),
        (COUNT, 2.5, "x must be a whole number, 1 or greater; got 2.5."),
        (TEMPERATURE, 1e-30, "x must lie in 0.001 to 1,000; got 1e-30."),
        (Interval(0, below=1), 1, "x must be 0 or greater and below 1; got 1."),
        (Interval(above=0, high=1), 0, "x must be greater than 0 and at most 1; got 0."),
        (Interval(1, 65_535, whole=True), 65_536, "x must be a whole number, 1 to 65,535; got 65536."),
    ],
)
def test_the_message_has_the_range_and_the_value(interval, value, message):
    with pytest.raises(ValueError, match=f"^{re.escape(message)}$"):
        interval.check(value, "x")


@drawn(
    value=st.one_of(st.floats(), st.integers(-10, 10), st.booleans()),
    low=st.integers(-3, 3), width=st.integers(0, 4), whole=st.booleans(),
)  # fmt: skip
def test_an_interval_contains_its_numbers_and_no_others(value, low, width, whole):
    interval = Interval(low, low + width, whole=whole)
    inside = not isinstance(value, bool) and low <= value <= low + width and (not whole or float(value).is_integer())
    try:
        checked = interval.check(value, "x")
    except ValueError:
        assert not inside
    else:
        assert inside and checked == value and (not whole or type(checked) is int)


def test_numbers_of_numpy_and_torch_are_numbers():
    for value in (np.float32(2.0), np.int64(2), torch.tensor(2.0)):
        assert POSITIVE.check(value, "x") == 2 and COUNT.check(value, "x") == 2


@pytest.mark.parametrize("name", sorted(TRAINING_INTERVALS))
@pytest.mark.parametrize("value", [NAN, INF, True])
def test_a_training_argument_that_is_no_number_is_refused_at_construction(name, value, tmp_path):
    if name not in {field.name for field in dataclasses.fields(DistillationTrainingArguments)}:
        pytest.skip("not in this version of transformers")
    with pytest.raises(ValueError, match=f"{name} must "):
        DistillationTrainingArguments(str(tmp_path), use_cpu=True, **{name: value})


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("temperature", 0.0), ("temperature", -1.0), ("temperature", 1e-30), ("temperature_end", 1e30), ("kd_ratio", 1.1),
        ("kd_ratio_end", -0.1), ("learning_rate", -1e-3), ("num_train_epochs", -1.0),
        ("per_device_train_batch_size", 0), ("gradient_accumulation_steps", 0), ("max_steps", -2), ("seed", -1),
        ("adam_beta1", 1.0), ("max_grad_norm", -1.0), ("weight_decay", -0.1), ("warmup_steps", -1),
    ],
)  # fmt: skip
def test_a_training_argument_out_of_range_is_refused_at_construction(name, value, tmp_path):
    with pytest.raises(ValueError, match=f"{name} must .*; got "):
        DistillationTrainingArguments(str(tmp_path), use_cpu=True, **{name: value})


def numeric_settings():
    for subject in (*RecipeArguments.subjects(), SweepArguments):
        for name, hint in typing.get_type_hints(subject).items():
            if {int, float} & {
                hint,
                *typing.get_args(hint),
                *[a for o in typing.get_args(hint) for a in typing.get_args(o)],
            }:
                yield name


def test_every_number_of_a_recipe_has_a_range():
    assert set(numeric_settings()) == set(INTERVALS)


@pytest.mark.parametrize("name", sorted(set(numeric_settings()) - {"layers", "teacher_weights", "num_trials"}))
@pytest.mark.parametrize("text", [".nan", ".inf", "-.inf", "-1.5"])
def test_a_setting_of_a_recipe_out_of_range_is_refused_in_a_file_and_as_a_flag(name, text, tmp_path):
    if name == "insertion_penalty" and text == "-1.5":
        return
    file = tmp_path / "recipe.yaml"
    file.write_text(f"teacher: x\n{name}: {text}\n")
    with pytest.raises(ValueError, match=name):
        parse([str(file)])
    with pytest.raises(ValueError, match=name):
        parse(["--teacher", "x", f"--{name}", text.replace(".nan", "nan").replace(".inf", "inf")])


@pytest.mark.parametrize(
    ("text", "value"), [("4", 4.0), ("1e1", 10.0), ("1_0", 10.0), ("0.5", 0.5), ("'2'", 2.0), ("4e+0", 4.0)]
)
def test_a_number_is_read_however_it_is_written(text, value, tmp_path):
    file = tmp_path / "recipe.yaml"
    file.write_text(f"teacher: x\nuse_cpu: true\ntemperature: {text}\n")
    assert parse([str(file)])[1].temperature == value


@pytest.mark.parametrize("text", ["yes", "true", ".inf", ".nan", "0", "-1", "1e-30", "1e9", "[2]", "two"])
def test_a_temperature_that_is_none_is_refused_in_a_file(text, tmp_path):
    file = tmp_path / "recipe.yaml"
    file.write_text(f"teacher: x\nuse_cpu: true\ntemperature: {text}\n")
    with pytest.raises(ValueError, match="temperature"):
        parse([str(file)])


@pytest.mark.parametrize(
    "entry",
    [
        {"share": True}, {"share": NAN}, {"share": 0}, {"share": "0.5"}, {"learning_rate": INF}, {"max_steps": 2.5},
        {"num_train_epochs": -1}, {"per_device_train_batch_size": 0},
    ],
)  # fmt: skip
def test_a_stage_with_a_number_out_of_range_is_refused(entry, tmp_path):
    stages = [{"objective": [{"soft": {"temperature": 2}}], **entry}]
    text = str(stages).replace("nan", ".nan").replace("inf", ".inf")
    recipe, training, _ = parse(["--teacher", "x", "--use_cpu", "true", "--stages", text])
    with pytest.raises(ValueError, match=rf"{next(iter(entry))} of stage 1 must"):
        stages_of(recipe, training)


@pytest.mark.parametrize(
    "entry", [{"num_layers": 0}, {"hidden_size": 0.5}, {"learning_rate": NAN}, {"max_steps": True}]
)
def test_an_assistant_with_a_number_out_of_range_is_refused(entry):
    text = str([{"student": "2x16", **entry}]).replace("nan", ".nan")
    recipe = parse(["--teacher", "x", "--use_cpu", "true", "--assistants", text])[0]
    with pytest.raises(ValueError, match=f"{next(iter(entry))} of the assistant must"):
        assistants_of(recipe)


@pytest.mark.parametrize("value", [NAN, INF, True, -1.0, "1"])
def test_weights_and_temperatures_of_terms_are_checked(value):
    with pytest.raises(ValueError, match="weight of SoftTargets must"):
        SoftTargets(value, temperature=2.0)
    for name in ("soft", "standardized", "class_correlation", "batch_correlation", "decoupled", "normalized", "channels",
                 "similarity_targets", "ctc_frames", "queries"):  # fmt: skip
        if name in TERMS:
            with pytest.raises(ValueError, match="temperature must"):
                objective_from([{name: {"temperature": value}}])
    with pytest.raises(ValueError, match="other_weight must"):
        objective_from([{"decoupled": {"temperature": 2.0, "other_weight": value}}])


@pytest.mark.parametrize("num_heads", [0, -1, 2.5, NAN])
def test_relation_heads_are_a_count(num_heads):
    with pytest.raises(ValueError, match="num_heads must be a whole number"):
        Relations(1.0, num_heads=num_heads)
    assert Objective([Attention(1.0)])


@pytest.mark.parametrize("value", [NAN, INF, 0, 2.5, True])
def test_sizes_of_sparse_targets_are_counts(value):
    with pytest.raises(ValueError, match="num_draws must be a whole number"):
        SampledFormat(10, num_draws=value)
    with pytest.raises(ValueError, match="k must be a whole number, 1 to 10"):
        TopKFormat(10, k=value)


@pytest.mark.parametrize(
    "sweep",
    [{"temperature": [2.0, INF]}, {"kd_ratio": {"low": 0.0, "high": INF}}, {"learning_rate": [NAN]}],
)
def test_a_sweep_over_what_is_no_number_is_refused(sweep):
    with pytest.raises(ValueError, match="is a number"):
        Space(sweep)
