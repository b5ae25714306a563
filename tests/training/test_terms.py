"""What holds for the loss of logits holds for every term: micro-batches, padding, resumption, any architecture."""

import pytest
import torch

from distil_nlp.losses import dot_products
from distil_nlp.models.architectures import qkv_slices
from distil_nlp.objectives import Attention, HardLabels, HiddenStates, Objective, PatientStates, Relations
from distil_nlp.signals.taps import FeatureTap
from tests.tiny import tiny_model, tiny_tokenizer

from .runs import (
    BATCH_TERMS,
    FIRST_LAYER,
    TERMS,
    in_float64,
    make_pair,
    make_rows,
    make_trainer,
    objective_of,
    relative_difference,
    same_weights,
    step_gradients,
)
from .test_padding import loss_of, padded

terms = pytest.mark.parametrize("term", TERMS)
batch_terms = pytest.mark.parametrize("term", BATCH_TERMS)
# Rotary and relative positions: what is tapped is not all there is to the scores.
POSITIONAL = {"modernbert", "mpnet"}


def a_third_labeled(num_rows=32):
    return make_rows(num_rows, labeled=lambda row: row % 3 == 0)


def cut(term, num_micro_batches, folder, rows=None):
    rows = a_third_labeled() if rows is None else rows
    pair = in_float64(make_pair())
    return step_gradients(*pair, rows, folder, objective=objective_of(term), num_micro_batches=num_micro_batches)


@terms
def test_the_gradients_of_a_term_do_not_depend_on_how_a_step_is_cut(term, tmp_path):
    whole, quarters = (cut(term, number, tmp_path) for number in (1, 4))
    for part, gradients in whole.items():
        if gradients:
            assert relative_difference(quarters[part], gradients) < 1e-9


@batch_terms
def test_a_term_between_examples_is_the_mean_over_micro_batches(term, tmp_path):
    rows = make_rows(32)
    first, second = (cut(term, 1, tmp_path, rows.select(half))["student"] for half in (range(16), range(16, 32)))
    found = cut(term, 2, tmp_path, rows)["student"]
    assert relative_difference(found, {name: (first[name] + second[name]) / 2 for name in found}) < 1e-9


@pytest.mark.parametrize("term", {**TERMS, **BATCH_TERMS})
def test_more_padding_changes_no_term(term, tmp_path):
    rows = make_rows(6)
    trainer = make_trainer(*in_float64(make_pair()), rows, tmp_path, objective=objective_of(term))
    batch = next(trainer._batches_of(rows, range(6)))
    torch.testing.assert_close(loss_of(trainer, padded(batch, 7)), loss_of(trainer, batch), rtol=1e-9, atol=1e-12)


# A trained projection, relations of a layer, and a term over a micro-batch. The others take two runs each: slow.
RESUMED = ["hidden states", "relations", "distance"]


@pytest.mark.parametrize(
    "term", [pytest.param(term, marks=[] if term in RESUMED else pytest.mark.slow) for term in [*TERMS, *BATCH_TERMS]]
)
def test_a_run_with_a_term_resumes_bit_identical(term, tmp_path):
    def trained(folder, checkpoint=None):
        settings = {"optim": "adamw_torch", "learning_rate": 1e-2, "save_strategy": "steps", "save_steps": 1}
        trainer = make_trainer(
            *make_pair(dropout=0.1),
            make_rows(16),
            folder,
            objective=objective_of(term),
            per_device_train_batch_size=4,
            **settings,
        )
        trainer.train(resume_from_checkpoint=checkpoint)
        return trainer

    whole = trained(tmp_path / "whole")
    resumed = trained(tmp_path / "resumed", str(tmp_path / "whole" / "checkpoint-2"))
    assert same_weights(resumed.model, whole.model)
    assert same_weights(resumed.objective, whole.objective)


@pytest.mark.parametrize("architecture", [*FIRST_LAYER, "electra", "mpnet"])
def test_layers_are_found_in_every_architecture(architecture, tmp_path):
    terms = [HiddenStates(1.0), HiddenStates(1.0, layers=[("embeddings", "embeddings")]), Relations(1.0, num_heads=4)]
    if architecture not in POSITIONAL:
        terms.append(Attention(1.0))
    student, teacher = make_pair(architecture)
    trainer = make_trainer(student, teacher, make_rows(8), tmp_path, objective=Objective(terms))
    loss = trainer.compute_loss(trainer.model, next(trainer._batches_of(trainer.train_dataset, range(8))))
    assert loss > 0 and loss.isfinite()
    assert student.config._attn_implementation == ("eager" if architecture == "mpnet" else "sdpa")  # MPNet has no sdpa


def test_attention_of_taps_is_the_attention_of_the_model():
    model = tiny_model("bert", seed=3)
    eager = tiny_model("bert", seed=3)
    eager.set_attn_implementation("eager")
    batch = {"input_ids": torch.randint(5, 60, (2, 9)), "attention_mask": torch.ones(2, 9, dtype=torch.long)}
    batch["attention_mask"][1, 6:] = 0
    slots = qkv_slices(model, 1)
    with torch.no_grad(), FeatureTap(model, [slots["query"].module, slots["key"].module]) as tap:
        model(**batch)
        features = tap.take()
        expected = eager(**batch, output_attentions=True).attentions[1]
    scores = dot_products(slots["query"].read(features), slots["key"].read(features), 2)
    scores = scores.masked_fill(batch["attention_mask"][:, None, None] == 0, float("-inf"))
    torch.testing.assert_close(scores.softmax(-1), expected)


@pytest.mark.parametrize("part", ["query", "key", "value"])
def test_the_parts_of_a_fused_map_are_those_the_model_splits(part):
    model = tiny_model("modernbert")
    (slot,) = [qkv_slices(model, 0)[part]]
    fused = torch.arange(48.0).expand(2, 3, 48)
    # As ModernBERT's own forward pass views it: (batch, sequence, 3, heads, head width).
    expected = fused.view(2, 3, 3, 2, 8).unbind(dim=-3)[["query", "key", "value"].index(part)].flatten(-2)
    torch.testing.assert_close(slot.read({slot.module: fused}), expected)


def test_any_width_and_any_heads_can_be_related(tmp_path):
    student = tiny_model("bert", seed=1, num_layers=1, hidden_size=12)
    teacher = tiny_model("bert", seed=2, num_layers=3, hidden_size=32)
    relations = Relations(1.0)
    trainer = make_trainer(student, teacher, make_rows(8), tmp_path, objective=Objective([relations]))
    assert relations.num_heads == 2  # divides 12 and 32, and leaves the teacher's heads 16 wide
    assert not list(trainer.objective.parameters())


@pytest.mark.parametrize(
    ("term", "message"),
    [
        (lambda: HiddenStates(1.0, layers=[(3, 0)]), r"Layer 3 is not in BertFor.* has layers 0 to 0"),
        (lambda: HiddenStates(1.0, layers=[(0, -3)]), r"Layer -3 is not in BertFor.* has layers 0 to 1"),
        (lambda: HiddenStates(1.0, layers=[("bert.encoder.layer.9", 0)]), "the nearest here are"),
        (lambda: HiddenStates(1.0, layers=[(0,)]), r"must be pairs .* got \[\(0,\)\]"),
        (lambda: HiddenStates(1.0, layers="top"), "must be one of uniform, skip, last.* got 'top'"),
        (lambda: HiddenStates(1.0, distance="l1"), "must be one of mse, cosine; got 'l1'"),
        (lambda: PatientStates(1.0), "leaves out the last layer, and the student has 1"),
        (lambda: Relations(1.0, num_heads=5), "num_heads=5 relation heads must divide .* 16 wide, the teacher 24"),
        (lambda: Relations(1.0, relations=["values"]), "must be some of query-query.* got .'values'."),
        (lambda: Attention(1.0, compare="maps"), "must be one of scores, probabilities; got 'maps'"),
    ],
)
def test_a_term_that_cannot_be_built_says_why_before_the_first_step(term, message, tmp_path):
    with pytest.raises(ValueError, match=message):
        make_trainer(*make_pair(), make_rows(8), tmp_path, objective=Objective([HardLabels(1.0), term()]))


def test_attention_between_different_numbers_of_heads_is_refused_and_relations_are_named(tmp_path):
    student, teacher = make_pair()
    teacher.config.num_attention_heads = 4
    with pytest.raises(ValueError, match="student has 2 attention heads and the teacher 4.*Use Relations"):
        make_trainer(student, teacher, make_rows(8), tmp_path, objective=Objective([Attention(1.0)]))


@pytest.mark.parametrize("architecture", sorted(POSITIONAL))
def test_attention_that_depends_on_positions_is_refused(architecture, tmp_path):
    with pytest.raises(ValueError, match="depend on positions.*Use Relations"):
        make_trainer(*make_pair(architecture), make_rows(8), tmp_path, objective=Objective([Attention(1.0)]))


def test_a_module_whose_attention_nobody_knows_is_refused():
    unknown = torch.nn.Linear(2, 2)
    with pytest.raises(ValueError, match=r"query, key and value projections of Linear \(None\) are not known"):
        Relations(1.0, layers=[("layer", "layer")]).resolve_layers(unknown, unknown)


def test_a_first_token_that_is_padding_is_refused(tmp_path):
    tokenizer = tiny_tokenizer()
    tokenizer.padding_side = "left"
    with pytest.raises(ValueError, match="first token of each text, and in 1 of 2 it is padding"):
        make_trainer(
            *make_pair(),
            make_rows(8),
            tmp_path,
            objective=Objective([PatientStates(1.0, layers="last")]),
            tokenizer=tokenizer,
        )
