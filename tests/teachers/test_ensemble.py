"""Ensembles of teachers: means of predictions, labels, and separate inputs."""

import copy

import pytest
import torch

from distil_nlp.collators import Collator
from distil_nlp.collators.separate_inputs import SeparateInputsCollator, with_separate_inputs
from distil_nlp.data.splits import load_file
from distil_nlp.objectives import SoftTargets
from distil_nlp.signals.base import Signals
from distil_nlp.tasks import TextClassification
from distil_nlp.teachers import CachedTeacher, OnlineTeacher, SeparateInputs, TeacherEnsemble, build_cache
from tests.recipe.runs import save_rows
from tests.teachers.cache_building import make_cache
from tests.teachers.test_online import BATCH
from tests.tiny import WORDS, tiny_encoder, tiny_model, tiny_tokenizer

NAMES = ["a", "b", "c"]


def named(model, names=NAMES):
    model.config.id2label = dict(enumerate(names))
    model.config.label2id = {name: index for index, name in enumerate(names)}
    return model


def teacher(seed, names=NAMES, **settings):
    return named(tiny_model(seed=seed, num_labels=len(names), **settings), names)


def reconciled(*members, student=None, **settings):
    ensemble = TeacherEnsemble(members, **settings)
    ensemble.reconcile(student if student is not None else named(tiny_model("distilbert", seed=9)))
    return ensemble


def probabilities_of(model, temperature=1.0):
    """Probabilities in float64, by label name."""
    logits = OnlineTeacher(model)(BATCH).logits.double() / temperature
    return dict(zip(model.config.id2label.values(), logits.softmax(-1).unbind(-1), strict=True))


def by_label(signals, temperature=1.0, names=NAMES):
    probabilities = (signals.at(temperature).double() / temperature).softmax(-1)
    return dict(zip(names, probabilities.unbind(-1), strict=True))


def assert_close(result, expected, tolerance=1e-6):
    assert result.keys() == expected.keys()
    assert all((result[name] - expected[name]).abs().max() < tolerance for name in result)


@pytest.mark.parametrize("temperature", [1.0, 3.0])
def test_an_ensemble_predicts_the_weighted_mean_of_the_probabilities_at_each_temperature(temperature):
    one, other = teacher(1), teacher(2)
    signals = reconciled(one, other, weights=[3, 1])(BATCH)
    first, second = probabilities_of(one, temperature), probabilities_of(other, temperature)
    assert_close(by_label(signals, temperature), {name: 0.75 * first[name] + 0.25 * second[name] for name in NAMES})
    assert torch.equal(signals.logits, signals.at(1.0))


def test_an_ensemble_of_one_equals_its_teacher():
    model = teacher(1)
    torch.testing.assert_close(reconciled(model)(BATCH).logits, OnlineTeacher(model)(BATCH).logits)
    twice = reconciled(model, copy.deepcopy(model), weights=[1, 5])(BATCH)
    torch.testing.assert_close(twice.at(4.0), OnlineTeacher(model)(BATCH).logits)


def test_the_mean_is_computed_once_for_each_temperature():
    signals = reconciled(teacher(1), teacher(2))(BATCH)
    assert signals.at(2.0) is signals.at(2.0) and signals.at(2.0) is not signals.at(3.0)


def test_an_ensembles_logits_have_no_gradient_and_can_enter_a_graph():
    signals = reconciled(teacher(1), teacher(2))(BATCH)
    weight = torch.ones((), requires_grad=True)
    (weight * signals.at(2.0).sum()).backward()
    assert weight.grad is not None and not signals.logits.requires_grad and not signals.logits.is_inference()


def test_the_gradient_of_an_ensemble_is_that_of_the_averaged_probabilities():
    models = [teacher(seed).double() for seed in (1, 2, 3)]
    student = teacher(9).double()
    logits = student(**{name: BATCH[name] for name in ("input_ids", "attention_mask")}).logits
    signals = reconciled(*models, weights=[1, 2, 5], student=student)(BATCH)
    values = SoftTargets(1.0, temperature=2.0).values(Signals(logits), signals, BATCH)
    result = torch.autograd.grad(values.sum(), logits, retain_graph=True)[0]

    answers = [OnlineTeacher(model)(BATCH).logits for model in models]
    target = sum(share * (a / 2).softmax(-1) for share, a in zip((1 / 8, 2 / 8, 5 / 8), answers, strict=True))
    loss = -(target * (logits / 2).log_softmax(-1)).sum() * 4
    torch.testing.assert_close(result, torch.autograd.grad(loss, logits)[0], rtol=1e-10, atol=1e-12)


def test_sigmoids_are_averaged_for_a_multi_label_student():
    settings = {"problem_type": "multi_label_classification"}
    models = [teacher(seed, **settings) for seed in (1, 2)]
    signals = reconciled(*models, student=teacher(9, **settings))(BATCH)
    expected = sum((OnlineTeacher(model)(BATCH).logits / 2).sigmoid() for model in models) / 2
    torch.testing.assert_close((signals.at(2.0) / 2).sigmoid(), expected)


def test_numbers_are_averaged_for_a_regression_student():
    models = [tiny_model(seed=seed, num_labels=1) for seed in (1, 2)]
    signals = reconciled(*models, student=tiny_model(seed=9, num_labels=1), weights=[1, 3])(BATCH)
    first, second = (OnlineTeacher(model)(BATCH).logits for model in models)
    torch.testing.assert_close(signals.logits, 0.25 * first + 0.75 * second)
    assert signals.logits.shape == (2, 1)


def test_multi_label_batches_are_rejected_with_averaged_softmaxes():
    ensemble = reconciled(teacher(1), teacher(2))
    with pytest.raises(ValueError, match=r"floats of shape \(2, 3\).*Set problem_type='multi_label_classification'"):
        ensemble({**BATCH, "labels": torch.zeros(2, 3)})
    reconciled(teacher(1), problem_type="multi_label_classification")({**BATCH, "labels": torch.zeros(2, 3)})


def test_an_ensemble_of_embeddings_is_rejected():
    with pytest.raises(ValueError, match="problem is 'embedding'.*no axes in common"):
        reconciled(tiny_encoder(seed=1), tiny_encoder(seed=2), student=tiny_encoder(seed=3))


# ---- Labels ----


def test_members_with_labels_in_another_order_are_reconciled_by_name(caplog):
    one, other = teacher(1), teacher(2, ["c", "a", "b"])
    result = by_label(reconciled(one, other)(BATCH))
    first, second = probabilities_of(one), probabilities_of(other)
    assert_close(result, {name: (first[name] + second[name]) / 2 for name in NAMES})


def test_a_label_gets_the_mean_over_the_teachers_that_have_it():
    names = ["a", "b", "c", "d"]
    one, other = teacher(1, ["b", "a", "c"]), teacher(2, ["c", "d", "b"])
    result = by_label(reconciled(one, other, weights=[1, 3], student=teacher(9, names))(BATCH), names=names)
    first, second = probabilities_of(one), probabilities_of(other)
    mean = {
        "a": first["a"],
        "b": 0.25 * first["b"] + 0.75 * second["b"],
        "c": 0.25 * first["c"] + 0.75 * second["c"],
        "d": second["d"],
    }
    total = sum(mean.values())
    assert_close(result, {name: value / total for name, value in mean.items()})


def test_a_label_of_no_teacher_is_rejected_by_name():
    with pytest.raises(ValueError, match=r"No teacher of the ensemble has the labels c, d .*BertFor.*: a, b, x"):
        reconciled(teacher(1, ["a", "b", "x"]), teacher(2, ["b", "a"]), student=teacher(9, ["a", "b", "c", "d"]))


def test_a_member_with_one_shared_label_is_rejected():
    with pytest.raises(
        ValueError, match=r"has 1 of the student's labels.*\(the teacher's: x, a; the student's: a, b, c\)"
    ):
        reconciled(teacher(1), teacher(2, ["x", "a"]))


def test_errors_of_a_member_have_its_name():
    stranger = OnlineTeacher(teacher(1, vocab_size=80), name="stranger")
    with pytest.raises(ValueError, match="stranger, a teacher of the ensemble: The student .* 64 rows.* of 80"):
        reconciled(teacher(2), stranger)


@pytest.mark.parametrize(
    ("weights", "message"),
    [
        ([1.0], r"one weight for each teacher; got 1 for 2 \(\[1.0\]\)"),
        ([1.0, 0.0], r"must be above 0; got \[1.0, 0.0\]"),
        ([1.0, float("nan")], "must be above 0; got"),
    ],
)
def test_invalid_weights_are_rejected(weights, message):
    with pytest.raises(ValueError, match=message):
        TeacherEnsemble([teacher(1), teacher(2)], weights=weights)


def test_an_ensemble_needs_members_and_a_known_problem_type():
    with pytest.raises(ValueError, match="one teacher or more; got"):
        TeacherEnsemble([])
    with pytest.raises(ValueError, match="must be one of single.*; got 'ranking'"):
        TeacherEnsemble([teacher(1)], problem_type="ranking")


# ---- Members, layers and caches ----


def test_members_may_be_folders_models_and_caches(tmp_path):
    one, other = teacher(1), teacher(2)
    one.save_pretrained(tmp_path / "one")
    rows, _, collator = make_cache(tmp_path / "cache", teacher=OnlineTeacher(other, name="other"))
    mixed, batch = reconciled(tmp_path / "one", CachedTeacher(tmp_path / "cache")), collator([rows[4], rows[1]])
    torch.testing.assert_close(mixed(batch).at(2.0), reconciled(one, other)(batch).at(2.0))
    assert mixed.name == f"{tmp_path / 'one'} + other"
    assert {"input_ids", "token_type_ids", "example_id"} <= set(mixed.columns)
    assert mixed.models == () and len(reconciled(one, other).models) == 2


def test_the_fingerprint_depends_on_members_weights_and_problem_type():
    prints = {
        reconciled(teacher(1), teacher(2), **settings).fingerprint()
        for settings in ({}, {"weights": [1, 2]}, {"problem_type": "multi_label_classification"})
    }
    prints |= {reconciled(teacher(2), teacher(1)).fingerprint(), reconciled(teacher(1), teacher(3)).fingerprint()}
    assert len(prints) == 5
    assert reconciled(teacher(1), teacher(2)).fingerprint() in prints


def test_an_ensemble_has_no_layers():
    reconciled(teacher(1)).tap_layers(())
    with pytest.raises(ValueError, match="needs outputs of layer.1, and an ensemble .* has no layers of its own"):
        reconciled(teacher(1), teacher(2)).tap_layers(["layer.1"])


def test_a_cache_of_an_ensemble_is_rejected(tmp_path):
    with pytest.raises(ValueError, match="differ at every temperature.*a cache for each of its teachers"):
        build_cache(tmp_path, reconciled(teacher(1), teacher(2)), [], None)


def test_logits_of_different_shapes_are_rejected():
    ensemble = TeacherEnsemble([teacher(1), teacher(2, ["a", "b"])])
    ensemble.load(student=None)
    with pytest.raises(ValueError, match=r"one shape; got .*\(2, 3\); .*\(2, 2\)"):
        _ = ensemble(BATCH).logits


def test_sparse_targets_are_not_averaged():
    class Sparse(OnlineTeacher):
        def __call__(self, batch):
            return Signals(None, sparse="parts")

    with pytest.raises(ValueError, match="whole distributions, and sampled gives parts"):
        _ = reconciled(teacher(1), Sparse(teacher(2), name="sampled"))(BATCH).logits


# ---- Another tokenizer ----


@pytest.fixture
def two_tokenizers(tmp_path):
    """Rows and batch in two tokenizers' tokens, and each tokenizer's own rows and batch."""
    split = load_file(save_rows(tmp_path / "rows.jsonl", 6), "train")
    task = TextClassification.from_splits({"train": split})
    tokenizers = [tiny_tokenizer(), tiny_tokenizer(words=WORDS[::-1], token_type_ids=False)]
    rows = [task.prepare(split, tokenizer) for tokenizer in tokenizers]
    collators = [task.collator(tokenizer) for tokenizer in tokenizers]
    joined = with_separate_inputs(rows[0], {"teacher_2_": rows[1]})
    collator = SeparateInputsCollator(collators[0], {"teacher_2_": collators[1]})
    return joined, collator, [collate(list(own)) for collate, own in zip(collators, rows, strict=True)]


def test_separate_inputs_reads_the_columns_with_its_prefix(two_tokenizers):
    joined, collator, (student_batch, teacher_batch) = two_tokenizers
    model, student = teacher(2, vocab_size=80), teacher(9)
    own = SeparateInputs(model, "teacher_2_")
    own.reconcile(student, tiny_tokenizer())
    batch = collator(list(joined))
    assert "teacher_2_input_ids" in own.columns and not torch.equal(
        student_batch["input_ids"], teacher_batch["input_ids"]
    )
    assert torch.equal(own(batch).logits, OnlineTeacher(model)(teacher_batch).logits)
    assert all(torch.equal(batch[name], student_batch[name]) for name in student_batch)
    of_the_student = [name for name in joined.column_names if not name.startswith("teacher_2_")]
    assert collator(list(joined.select_columns(of_the_student))).keys() == student_batch.keys()


def test_a_cache_of_separate_inputs_works_with_any_padding(two_tokenizers, tmp_path):
    joined, collator, _ = two_tokenizers
    own = SeparateInputs(OnlineTeacher(teacher(2, ["c", "b"], vocab_size=80)), "teacher_2_")
    build_cache(tmp_path, own, joined, collator)
    cached = CachedTeacher(tmp_path)
    assert cached.label_names == ["c", "b"] and cached.fingerprint() == own.fingerprint()
    for numbers in ([0], [3, 1], range(6)):
        batch = collator(list(joined.select(numbers)))
        torch.testing.assert_close(cached(batch).logits, own(batch).logits)
    batch["teacher_2_input_ids"][0, 1] += 1
    with pytest.raises(ValueError, match="Example 0 differs from the cached example"):
        cached(batch)


def test_an_ensemble_combines_two_tokenizers_and_two_label_sets(two_tokenizers):
    joined, collator, (student_batch, teacher_batch) = two_tokenizers
    one, other = teacher(1), teacher(2, ["c", "b"], vocab_size=80)
    signals = reconciled(one, SeparateInputs(other, "teacher_2_"), student=teacher(9))(collator(list(joined)))
    first = OnlineTeacher(one)(student_batch).logits.softmax(-1).unbind(-1)
    c, b = OnlineTeacher(other)(teacher_batch).logits.softmax(-1).unbind(-1)
    mean = torch.stack([first[0], (first[1] + b) / 2, (first[2] + c) / 2], dim=-1)
    torch.testing.assert_close(signals.logits.softmax(-1), mean / mean.sum(-1, keepdim=True))


def test_separate_inputs_rejects_predictions_per_token():
    model = tiny_model("bert", "token")
    own = SeparateInputs(OnlineTeacher(model, name="tagger"), "teacher_")
    own.reconcile(tiny_model("distilbert", "token"), tiny_tokenizer())
    with pytest.raises(ValueError, match=r"tagger has its own tokenizer and returned logits of shape \(2, 4, 3\)"):
        own({f"teacher_{name}": BATCH[name] for name in ("input_ids", "attention_mask")})


def test_separate_inputs_rejects_token_layers_and_bad_columns(two_tokenizers):
    own = SeparateInputs(OnlineTeacher(teacher(1), name="other"), "teacher_")
    own.tap_layers(["bert.encoder.layer.1"])
    with pytest.raises(
        ValueError, match=r"layer\.1' of other, which has its own inputs and returned states of shape \(2, 4"
    ):
        own({f"teacher_{name}": BATCH[name] for name in ("input_ids", "attention_mask")})
    with pytest.raises(ValueError, match="begin with 'teacher_', and the batch has none"):
        own(BATCH)
    with pytest.raises(ValueError, match="got ''"):
        SeparateInputs(teacher(1), "")
    with pytest.raises(ValueError, match="'teacher_' is the beginning of 'teacher_2_'"):
        SeparateInputsCollator(None, {"teacher_": None, "teacher_2_": None})
    joined = two_tokenizers[0]
    with pytest.raises(ValueError, match="same examples in the same order; got 5 rows beside 6"):
        with_separate_inputs(joined, {"teacher_3_": joined.select(range(5))})


class Shuffled(Collator):
    """Adds the epoch to labels or tokens of training batches."""

    augmentation = staticmethod(lambda tokens: tokens)

    def __call__(self, rows):
        assert not self.augments or all("example_id" in row for row in rows)
        return {"input_ids": torch.tensor([row["input_ids"] for row in rows]) + (self.augments and 1 + self.epoch)}


def test_separate_inputs_are_augmented_as_the_collators_within():
    rows = [{"input_ids": 1, "example_id": 7, "teacher_2_input_ids": 2}]
    plain = SeparateInputsCollator(Shuffled(), {"teacher_2_": Shuffled()})
    training = plain.for_training()
    training.set_epoch(10)
    assert training.augments and not plain.augments and training.for_training() is training
    batches = [{name: tensor.item() for name, tensor in collate(rows).items()} for collate in (plain, training)]
    assert batches == [{"input_ids": 1, "teacher_2_input_ids": 2}, {"input_ids": 12, "teacher_2_input_ids": 13}]
    unchanged = SeparateInputsCollator(list, {"teacher_2_": list})
    assert unchanged.for_training() is unchanged
