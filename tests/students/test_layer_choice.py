"""The choice of the teacher's layers."""

import pytest

from distil_nlp.students import DEFAULT_LAYER_CHOICE, choose_layers
from distil_nlp.students.sizes import check_layers


@pytest.mark.parametrize(
    ("num_teacher_layers", "num_layers", "expected"),
    [
        (12, 6, [0, 2, 4, 7, 9, 11]),  # the layers of DistilBERT
        (12, 3, [0, 6, 11]),
        (12, 2, [0, 11]),
        (12, 1, [0]),
        (6, 3, [0, 3, 5]),
        (22, 4, [0, 7, 14, 21]),
        (5, 5, [0, 1, 2, 3, 4]),
        (1, 1, [0]),
    ],
)
def test_even_layers_run_from_the_first_to_the_last(num_teacher_layers, num_layers, expected):
    assert choose_layers(num_teacher_layers, num_layers, "even") == expected


def test_lower_layers_are_the_first_ones():
    assert choose_layers(12, 3, "lower") == [0, 1, 2]


@pytest.mark.parametrize("strategy", ["even", "lower"])
def test_every_choice_is_ascending_starts_with_layer_0_and_has_the_right_length(strategy):
    for num_teacher_layers in range(1, 30):
        for num_layers in range(1, num_teacher_layers + 1):
            layers = choose_layers(num_teacher_layers, num_layers, strategy)
            assert len(layers) == num_layers and layers[0] == 0
            assert check_layers(layers, num_teacher_layers) == layers


def test_the_default_choice_is_the_named_constant():
    assert choose_layers(12, 4) == choose_layers(12, 4, DEFAULT_LAYER_CHOICE)


def test_an_unknown_strategy_is_named_with_the_known_ones():
    with pytest.raises(ValueError, match="one of even, lower; got 'top'"):
        choose_layers(12, 3, "top")


@pytest.mark.parametrize("num_layers", [0, -1, 13, 2.0, True, "3"])
def test_a_number_of_layers_that_the_teacher_does_not_have_is_refused_with_both_numbers(num_layers):
    with pytest.raises(ValueError, match=f"from 1 to 12, the layers of the teacher; got {num_layers!r}"):
        choose_layers(12, num_layers)


@pytest.mark.parametrize("layers", [[], [0, 6], [-1, 2], [0, 1.0], [True]])
def test_layers_outside_the_teacher_are_refused_with_the_range(layers):
    with pytest.raises(ValueError, match=r"from 0 to 5, because the teacher has 6 layers counted from 0; got \["):
        check_layers(layers, 6)


@pytest.mark.parametrize("layers", [[0, 0, 2], [2, 0]])
def test_layers_that_repeat_or_go_back_are_refused_with_a_proposal(layers):
    with pytest.raises(ValueError, match=r"ascending, each at most once.*Did you mean \[0, 2\]\?"):
        check_layers(layers, 6)
