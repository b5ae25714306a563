"""Soft targets learn from sparse targets; terms that read all of the teacher's logits refuse them."""

import pytest
import torch

from distil_nlp.losses import sparse_target_kl
from distil_nlp.objectives import (
    BatchCorrelation,
    ClassCorrelation,
    DecoupledSoftTargets,
    EmbeddingMatching,
    HardLabels,
    HiddenStates,
    LogitMatching,
    NormalizedSoftTargets,
    Objective,
    SimilarityTargets,
    SoftTargets,
    StandardizedSoftTargets,
    Term,
)
from distil_nlp.signals.base import Signals
from distil_nlp.teachers import Teacher, probe
from distil_nlp.teachers.cache.sparse import SampledFormat, TopKFormat, sampling_offsets
from distil_nlp.training.projections import dry_run
from tests.tiny import tiny_model

DRAW = torch.Generator().manual_seed(0)
OURS, THEIRS = (3 * torch.randn(4, 9, generator=DRAW) for _ in range(2))
BATCH = {"input_ids": torch.ones(4, 6, dtype=torch.long), "labels": torch.tensor([0, -100, 2, 1])}


def signals(logits=THEIRS, *, temperature=2.0, form=SampledFormat, **settings):
    form = form(logits.shape[-1], temperature=temperature, **settings)
    return Signals(None, sparse=form.decode(form.encode(logits, sampling_offsets(0, 0, len(logits)))))


def built(terms, teacher, student=OURS, batch=BATCH):
    objective = Objective(terms)
    objective.setup(Signals(student), teacher, batch)
    return objective


@pytest.mark.parametrize("teacher", [signals(), signals(form=TopKFormat, k=3)], ids=["sampled", "top_k"])
def test_soft_targets_on_sparse_targets_are_the_sparse_loss(teacher):
    objective = built([HardLabels(0.25), SoftTargets(0.75, temperature=2.0)], teacher)
    loss, parts = objective(Signals(OURS), teacher, BATCH, objective.count([BATCH]))
    kept = teacher.sparse
    values = sparse_target_kl(OURS, kept.ids, kept.weights, temperature=2.0, rest=kept.rest, entropy=kept.entropy)
    torch.testing.assert_close(parts["loss/soft"], values.mean())
    torch.testing.assert_close(loss, 0.25 * parts["loss/hard"] + 0.75 * values.mean())
    assert parts["agreement"] == (OURS.argmax(-1) == kept.best()).float().mean()


def test_the_loss_on_many_sampled_tokens_is_that_of_the_whole_distribution():
    teacher = signals(num_draws=20_000)
    term = SoftTargets(1.0, temperature=2.0)
    of_parts, of_all = (term.values(Signals(OURS), one, BATCH) for one in (teacher, Signals(THEIRS)))
    torch.testing.assert_close(of_parts, of_all, rtol=0, atol=2e-2)


def test_every_token_is_an_item_of_soft_targets():
    tokens, batch = OURS.view(2, 2, 9), {"attention_mask": torch.tensor([[1, 1], [1, 0]])}
    teacher = signals()
    for name in ("ids", "weights"):
        setattr(teacher.sparse, name, getattr(teacher.sparse, name).unflatten(0, (2, 2)))
    teacher.sparse.entropy = teacher.sparse.entropy.view(2, 2)
    objective = built([SoftTargets(1.0, temperature=2.0)], teacher, tokens, batch)
    _, parts = objective(Signals(tokens), teacher, batch, objective.count([batch]))
    flat = SoftTargets(1.0, temperature=2.0).values(Signals(OURS), signals(), BATCH)
    torch.testing.assert_close(parts["loss/soft"], flat[:3].mean())


READS_ALL = [
    LogitMatching(1.0),
    StandardizedSoftTargets(1.0, temperature=2.0),
    ClassCorrelation(1.0, temperature=2.0),
    DecoupledSoftTargets(1.0, temperature=2.0),
    NormalizedSoftTargets(1.0, temperature=2.0),
    BatchCorrelation(1.0),
    SimilarityTargets(1.0),
    EmbeddingMatching(1.0),
]


@pytest.mark.parametrize("term", READS_ALL, ids=lambda term: type(term).__name__)
def test_the_error_of_a_term_that_reads_all_logits_names_the_term(term):
    with pytest.raises(ValueError, match=f"{type(term).__name__} reads all .* 9 classes .*Use SoftTargets"):
        built([HardLabels(0.5), term], signals())


def test_a_custom_term_refuses_sparse_targets_unless_it_needs_no_logits():
    class Own(Term):
        def items(self, batch):
            return torch.ones(4, dtype=torch.bool)

        def values(self, student, teacher, batch):
            return torch.zeros(4)

    with pytest.raises(ValueError, match="Own reads all of the teacher's logits"):
        built([Own(1.0)], signals())
    Own.needs_logits = False
    built([Own(1.0)], signals())


def test_a_term_between_layers_needs_no_logits():
    assert not HiddenStates(1.0).needs_logits


def test_the_error_for_another_temperature_than_that_of_the_sparse_targets_has_both():
    with pytest.raises(ValueError, match="temperature 2 .* student's at 3, .*temperature=2, .*rebuild the cache at 3"):
        built([SoftTargets(1.0, temperature=3.0)], signals())


def test_a_temperature_that_changes_during_training_is_refused_with_sparse_targets():
    term, teacher = SoftTargets(1.0, temperature=2.0), signals()
    term.setup(Signals(OURS), teacher, BATCH)
    term.temperature = 1.5
    with pytest.raises(ValueError, match="student's at 1.5"):
        term.values(Signals(OURS), teacher, BATCH)


def test_another_vocabulary_than_that_of_the_sparse_targets_is_refused():
    with pytest.raises(ValueError, match="student has 9 classes .* over 11"):
        built([SoftTargets(1.0, temperature=2.0)], signals(torch.randn(4, 11)))


def test_sparse_targets_of_several_labels_are_refused():
    with pytest.raises(
        ValueError, match="stored part of a teacher's distribution compares .*'multi_label_classification'"
    ):
        built([SoftTargets(1.0, temperature=2.0, problem_type="multi_label_classification")], signals())


class Remembered(Teacher):
    """Returns the signals of the first items."""

    def __init__(self, teacher):
        self.teacher = teacher

    def __call__(self, batch):
        return self.teacher


def test_a_wrong_temperature_is_refused_in_the_dry_run():
    model = tiny_model(num_labels=9)
    batch = {"input_ids": torch.ones(4, 6, dtype=torch.long), "attention_mask": torch.ones(4, 6, dtype=torch.long)}
    dry_run(Objective([SoftTargets(1.0, temperature=2.0)]), model, Remembered(signals()), batch)
    with pytest.raises(ValueError, match="softened at temperature 2"):
        dry_run(Objective([SoftTargets(1.0, temperature=1.0)]), model, Remembered(signals()), batch)


def test_a_teacher_with_sparse_targets_is_probed_by_its_best_tokens():
    teacher = signals(torch.eye(9)[:4] * 40)
    found = probe(Remembered(teacher), [{"labels": torch.tensor([0, 1, 7, -100])}])
    assert found.num_items == 3 and found.accuracy == pytest.approx(2 / 3)
