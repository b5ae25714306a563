"""Strategies that pair layers of student and teacher, and terms that need exclusive classes."""

import pytest

from distil_nlp.objectives import BatchCorrelation, ClassCorrelation, DecoupledSoftTargets, layer_pairs


@pytest.mark.parametrize(
    ("strategy", "num_layers", "num_teacher_layers", "expected"),
    [
        # TinyBERT's four layers listen to BERT-base's 3rd, 6th, 9th and 12th, counted from 1.
        ("uniform", 4, 12, [(0, 2), (1, 5), (2, 8), (3, 11)]),
        ("uniform", 6, 6, [(i, i) for i in range(6)]),
        ("uniform", 4, 6, [(0, 1), (1, 2), (2, 4), (3, 5)]),
        ("uniform", 1, 6, [(0, 5)]),
        # Patient KD's six layers listen to the 2nd, 4th, 6th, 8th and 10th.
        ("skip", 6, 12, [(0, 1), (1, 3), (2, 5), (3, 7), (4, 9)]),
        ("last", 2, 12, [(1, 11)]),
        ("last", 12, 6, [(11, 5)]),
    ],
)
def test_a_strategy_pairs_layers_as_in_its_paper(strategy, num_layers, num_teacher_layers, expected):
    assert layer_pairs(strategy, num_layers, num_teacher_layers) == expected


def test_a_strategy_refuses_a_student_deeper_than_its_teacher():
    with pytest.raises(ValueError, match="teacher's 4 layers over the student's 6"):
        layer_pairs("uniform", 6, 4)


@pytest.mark.parametrize("term", [ClassCorrelation, DecoupledSoftTargets, BatchCorrelation])
@pytest.mark.parametrize("problem", ["regression", "multi_label_classification"])
def test_a_term_over_exclusive_classes_refuses_other_problem_kinds(term, problem):
    with pytest.raises(ValueError, match=f"{problem}.* has none.*LogitMatching"):
        term(1.0, temperature=2.0, problem_type=problem)
