"""Terms on embeddings: the teacher's vectors, with a projection where widths differ, and scores of pairs."""

import pytest
import torch
from torch import nn

from distil_nlp.objectives import (
    EmbeddingMatching,
    HardLabels,
    SimilarityTargets,
    SoftTargets,
    default_objective,
    objective_from,
)
from distil_nlp.signals.base import Signals
from distil_nlp.signals.problem_kinds import problem_kind_of
from tests.tiny import tiny_encoder


def signals(width, seed=0, num_texts=6):
    return Signals(torch.randn(num_texts, width, generator=torch.Generator().manual_seed(seed)))


BATCH = {"input_ids": torch.ones(6, 3), "attention_mask": torch.ones(6, 3), "labels": torch.rand(3)}


def test_the_problem_kind_of_a_sentence_encoder_is_embedding():
    assert problem_kind_of(tiny_encoder().config).name == "embedding"


def test_the_default_objective_matches_vectors_and_ignores_scores():
    (term,) = default_objective("embedding").terms
    assert isinstance(term, EmbeddingMatching) and term.weight == 1 and term.distance == "cosine"


def test_kd_ratio_weighs_the_scores_and_without_a_teacher_they_are_the_only_term():
    hard, vectors = default_objective("embedding", kd_ratio=0.3).terms
    assert (hard.weight, vectors.weight) == (pytest.approx(0.7), 0.3)
    (only,) = default_objective("embedding", has_teacher=False).terms
    assert isinstance(only, HardLabels)
    assert only.items(BATCH).shape == only.values(signals(4), None, BATCH).shape == (3,)


@pytest.mark.parametrize("distance", ["cosine", "mse"])
def test_every_text_of_a_pair_is_an_item_and_equal_widths_have_no_projection(distance):
    term = EmbeddingMatching(1.0, distance=distance)
    term.setup(signals(4), signals(4, seed=1), BATCH)
    assert isinstance(term.projection, nn.Identity)
    values = term.values(signals(4), signals(4, seed=1), BATCH)
    assert values.shape == term.items(BATCH).shape == (6,)
    assert term.values(signals(4), signals(4), BATCH).abs().max() < 1e-6


def test_a_narrow_student_is_projected_to_the_width_of_its_teacher():
    term = EmbeddingMatching(1.0)
    term.setup(signals(4), signals(8), BATCH)
    assert term.projection.weight.shape == (8, 4) and term.settings()["projected"]
    assert term.values(signals(4), signals(8), BATCH).shape == (6,)


def test_similarity_targets_need_no_projection():
    term = SimilarityTargets(1.0, temperature=0.1)
    term.setup(signals(4), signals(8), BATCH)
    assert not list(term.parameters()) and term.items(BATCH).shape == term.values(
        signals(4), signals(8), BATCH
    ).shape == (1,)


def test_both_embedding_terms_can_be_made_from_config():
    spec = [{"predictions": {"weight": 0.5}}, {"embedding": {"distance": "mse"}}, {"similarity_targets": None}]
    first, second, third = objective_from(spec, problem_type="embedding").terms
    assert isinstance(first, EmbeddingMatching) and second.distance == "mse" and isinstance(third, SimilarityTargets)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: EmbeddingMatching(1.0, distance="l1"), "must be one of mse, cosine; got 'l1'"),
        (lambda: SimilarityTargets(1.0, temperature=0), "temperature must lie in 0.001 to 1,000; got 0"),
        (
            lambda: default_objective("embedding", temperature=2.0),
            "temperature=2 would have no effect.*a vector has no",
        ),
        (lambda: SoftTargets(1.0, temperature=2.0, problem_type="embedding"), "'embedding' has none"),
        (
            lambda: EmbeddingMatching(1.0).setup(Signals(torch.ones(2, 3, 4)), Signals(torch.ones(2, 3, 4)), BATCH),
            "one vector a text or image",
        ),
        (
            lambda: SimilarityTargets(1.0).setup(Signals(torch.ones(2, 3, 4)), Signals(torch.ones(2, 3, 4)), BATCH),
            "SimilarityTargets compares whole sequences",
        ),
    ],
)
def test_invalid_settings_of_embedding_terms_are_refused(make, message):
    with pytest.raises(ValueError, match=message):
        make()
