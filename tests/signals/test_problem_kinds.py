"""The table of problem kinds: which kind a config and a batch have, and what its row says about labels."""

from types import SimpleNamespace

import pytest
import torch

from distil_nlp.metrics.classification import PROBLEM_TYPES
from distil_nlp.objectives.kind_objectives import KIND_OBJECTIVES
from distil_nlp.signals.problem_kinds import (
    PROBLEM_KINDS,
    ProblemKind,
    problem_kind,
    problem_kind_of,
    register_problem_kind,
)

ROWS = torch.tensor([[0.0, 1.0], [1.0, 1.0]])
CLASSES = torch.tensor([0, 1])


@pytest.mark.parametrize(
    ("config", "batch", "expected"),
    [
        ({}, {}, "single_label_classification"),
        ({"num_labels": 3}, {"labels": CLASSES}, "single_label_classification"),
        ({"num_labels": 2}, {"labels": ROWS}, "multi_label_classification"),
        ({"num_labels": 1}, {"labels": torch.rand(2)}, "regression"),
        ({"num_labels": 1}, {"labels": ROWS}, "regression"),
        ({"num_labels": 1, "problem_type": "multi_label_classification"}, {}, "multi_label_classification"),
        (
            {"num_labels": 2, "problem_type": "single_label_classification"},
            {"labels": ROWS},
            "single_label_classification",
        ),
        ({"sentence_embedding": True, "problem_type": "regression"}, {}, "embedding"),
        ({"embedding_width": 8, "num_labels": 1}, {}, "identity"),
        ({"embedding_width": None, "num_labels": 1}, {}, "regression"),
        ({"problem_type": "regression"}, {"frames": torch.ones(2, 4).bool()}, "ctc"),
        ({"sentence_embedding": True}, {"boxes": torch.rand(2, 3, 4)}, "object_detection"),
    ],
)
def test_columns_and_config_fields_decide_before_problem_type_and_that_before_labels(config, batch, expected):
    assert problem_kind_of(SimpleNamespace(**config), batch).name == expected


def test_a_model_without_a_config_has_the_kind_of_its_labels():
    assert problem_kind_of(None).name == "single_label_classification"
    assert problem_kind_of(None, {"labels": ROWS}).name == "multi_label_classification"


def test_an_unknown_problem_type_of_a_config_is_refused_with_the_known_ones():
    with pytest.raises(
        ValueError, match="must be one of single_label_classification, .*object_detection, next_token; got 'ranking'"
    ):
        problem_kind_of(SimpleNamespace(problem_type="ranking"))


def test_two_kinds_cannot_have_one_name():
    with pytest.raises(ValueError, match="There is a problem kind 'regression' already"):
        register_problem_kind(problem_kind("regression"))


def test_every_kind_has_losses_and_every_kind_with_metrics_of_its_own_is_in_the_table():
    assert set(KIND_OBJECTIVES) == set(PROBLEM_KINDS)
    assert set(PROBLEM_TYPES) <= set(PROBLEM_KINDS)


@pytest.mark.parametrize("kind", PROBLEM_KINDS.values(), ids=lambda kind: kind.name)
def test_the_missing_label_of_a_kind_fits_it_and_counts_as_missing(kind: ProblemKind):
    missing = kind.missing_label(3)
    labels = torch.tensor([missing, missing])
    if kind.column is not None or kind.name == "next_token":  # several labels an example, padded
        labels = labels.unsqueeze(1)
    assert kind.labels_fit(labels) and not kind.is_labeled(labels).any()
    assert labels.is_floating_point() == kind.float_labels
