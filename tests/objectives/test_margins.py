"""Terms on identities: trained centers and the teacher's centers."""

import pytest
import torch
from torch.nn.functional import normalize

from distil_nlp.objectives import (
    EmbeddingMatching,
    HardLabels,
    MarginLabels,
    Objective,
    Schedule,
    default_objective,
    objective_from,
)
from distil_nlp.signals.base import Signals
from tests.faces import tiny_embedder

LABELS = torch.tensor([0, 1, 2, 0, 1, 2])
BATCH = {"pixel_values": torch.zeros(6, 1), "labels": LABELS}


def signals(width=4, seed=0, num_images=6):
    return Signals(torch.randn(num_images, width, generator=torch.Generator().manual_seed(seed)))


def built(teacher=None, **settings):
    term = MarginLabels(1.0, num_classes=3, **settings)
    term.setup(signals(), teacher, BATCH)
    return term


def test_the_default_objective_uses_the_teachers_centers_and_trains_centers_without_a_teacher():
    labels, vectors = default_objective("identity", kd_ratio=0.3).terms
    assert isinstance(labels, MarginLabels) and labels.needs_teacher and labels.weight == pytest.approx(0.7)
    assert isinstance(vectors, EmbeddingMatching) and vectors.weight == 0.3
    (alone,) = default_objective("identity", has_teacher=False).terms
    assert isinstance(alone, MarginLabels) and not alone.needs_teacher
    (vectors,) = default_objective("identity", has_labels=False).terms
    assert isinstance(vectors, EmbeddingMatching)


def test_trained_centers_depend_on_the_seed_alone():
    found = []
    for _ in range(2):
        torch.manual_seed(5)
        found.append(built())
    assert torch.equal(found[0].centers, found[1].centers) and found[0].centers.shape == (3, 4)
    found[0].values(signals(), None, BATCH).sum().backward()
    assert found[0].centers.grad.abs().sum() > 0


def test_the_teachers_centers_are_the_mean_directions_of_its_embeddings_and_are_not_trained():
    term = built(signals(seed=1), centers="teacher")
    batches = [{"labels": LABELS[:2]}, {"labels": LABELS[2:]}]
    answers = signals(seed=1).logits
    spoken = {id(batches[0]): Signals(answers[:2]), id(batches[1]): Signals(answers[2:])}
    term.fit_statistics(batches, lambda batch: spoken[id(batch)])
    for person in range(3):
        mean = normalize(answers, dim=1)[LABELS == person].mean(dim=0)
        torch.testing.assert_close(term.centers[person], normalize(mean, dim=0))
    assert list(term.parameters()) == [] and list(term.state_dict()) == ["centers"]


def test_the_number_of_classes_is_that_of_the_students_config():
    term = MarginLabels(1.0)
    term.resolve_layers(tiny_embedder(num_people=5), None)
    assert term.num_classes == 5


def test_the_default_margin_goes_from_0_to_that_of_the_paper():
    term = built()
    found = []
    for progress in (0.0, 0.5, 1.0):
        term.at_progress(progress)
        found.append((term.margin, term.values(signals(), None, BATCH).mean().item()))
    assert [margin for margin, _ in found] == [0.0, 0.25, 0.5]
    assert found[0][1] < found[1][1] < found[2][1]
    constant = built(margin=0.2)
    constant.at_progress(1.0)
    assert constant.margin == 0.2 and not constant.schedules
    assert built(margin={"start": 0.1, "end": 0.3}).schedules["margin"] == Schedule(0.1, 0.3)


def test_identities_without_a_center_do_not_count():
    term = built()
    strangers = {**BATCH, "labels": torch.tensor([0, 7, 2, -100, 3, 1])}
    assert term.items(strangers).tolist() == [True, False, True, False, False, True]
    values = term.values(signals(), None, strangers)
    assert (values != 0).tolist() == term.items(strangers).tolist()


def test_training_data_with_an_identity_without_a_center_or_a_center_without_an_image_is_refused():
    with pytest.raises(ValueError, match="3 classes, 0 to 2, and an example has the label 7"):
        built().fit_statistics([BATCH, {"labels": torch.tensor([7, 1])}], None)
    term = built(signals(), centers="teacher")
    with pytest.raises(ValueError, match=r"1 of 3 classes have no training example \(1\)"):
        term.fit_statistics([{"labels": torch.tensor([0, 2])}], lambda batch: signals(num_images=2))


def test_the_objective_fits_statistics_of_the_terms_that_need_it_only():
    objective = Objective([EmbeddingMatching(1.0, problem_type="identity"), built(signals(), centers="teacher")])
    assert objective.needs_fit and not Objective([EmbeddingMatching(1.0)]).needs_fit
    objective.fit_statistics(lambda: [BATCH], lambda batch: signals(seed=1))
    assert objective.terms[1].centers.norm(dim=1).tolist() == pytest.approx([1.0] * 3)


def test_margin_labels_can_be_made_from_config():
    first, second = objective_from(
        [{"margin": {"kind": "cosine", "centers": "teacher", "scale": 16}}, {"embedding": {}}],
        problem_type="identity",
    ).terms
    assert isinstance(first, MarginLabels) and isinstance(second, EmbeddingMatching)
    assert first.settings() == {"centers": "teacher", "kind": "cosine", "margin": 0.0, "scale": 16.0}
    assert first.schedules["margin"] == Schedule(0.0, 0.35)
    assert "CosFace" in first.paper and "ProxylessKD" in first.paper


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: MarginLabels(1.0, kind="arc"), "kind must be one of angular, cosine; got 'arc'"),
        (lambda: MarginLabels(1.0, centers="own"), "centers must be one of trained, teacher; got 'own'"),
        (lambda: MarginLabels(1.0, margin=-1), "margin must be 0 or greater; got -1"),
        (lambda: MarginLabels(1.0, margin=Schedule(0.5, -0.1)), "margin must be 0 or greater; got -0.1"),
        (lambda: MarginLabels(1.0, scale=0), "scale must be greater than 0; got 0"),
        (
            lambda: MarginLabels(1.0).resolve_layers(torch.nn.Linear(1, 1), None),
            "no config.num_labels. Give num_classes",
        ),
        (lambda: MarginLabels(1.0).setup(signals(), None, {"pixel_values": 0}), "no 'labels' column"),
        (lambda: MarginLabels(1.0).setup(signals(), None, {"labels": torch.rand(6)}), "one whole number.*float32"),
        (lambda: built(signals(5), centers="teacher"), "4 wide and the teacher's 5.*embedding_width=5"),
        (lambda: HardLabels(1.0, problem_type="identity"), "Use MarginLabels"),
        (lambda: default_objective("identity", temperature=2.0), "temperature=2 would have no effect"),
    ],
)
def test_invalid_settings_of_margin_labels_are_refused(make, message):
    with pytest.raises(ValueError, match=message):
        make()
