"""Entities are counted as in seqeval, truncated words are wrong, and statistics are counts of sentences."""

import random
from types import SimpleNamespace

import numpy as np
import pytest
import seqeval.metrics
import torch

from distil_nlp.evaluation import Candidate, compare
from distil_nlp.metrics import TaggingEvaluator, marks_entities, tag_metrics

BIO = ["O", "B-PER", "I-PER", "B-LOC", "I-LOC"]


def scores(gold, predicted, names=BIO, **settings):
    """Metrics of sentences written as tags."""
    gold, predicted = (
        [np.array([names.index(tag) for tag in row.split()]) for row in side] for side in (gold, predicted)
    )
    evaluator = TaggingEvaluator(gold, len(names), names, **settings)
    return evaluator.scores(evaluator.statistics(predicted))


# Values of seqeval 1.2.2: f1, precision, recall, accuracy.
GOLDEN = [
    # A boundary missed is an entity missed.
    (["B-PER I-PER O", "B-LOC O"], ["B-PER O O", "B-LOC O"], BIO, (0.5, 0.5, 0.5, 0.8)),
    # IOB1: an I- after a word outside, or of another type, begins an entity.
    (["I-PER I-PER O I-LOC"], ["I-PER I-PER I-LOC I-LOC"], BIO, (0.5, 0.5, 0.5, 0.75)),
    (["B-PER I-LOC O O"], ["B-PER B-LOC O O"], BIO, (1.0, 1.0, 1.0, 0.75)),
    # Two entities side by side, and an I- at the beginning of a sentence, which continues no entity.
    (["B-PER B-PER", "I-PER O"], ["B-PER I-PER", "I-PER O"], BIO, (0.4, 0.5, 1 / 3, 0.75)),
    (["S-X O B-X E-X"], ["S-X O B-X I-X"], ["O", "B-X", "I-X", "E-X", "S-X"], (1.0, 1.0, 1.0, 0.75)),
    # Nothing predicted, nothing true: 0, not an error.
    (["B-PER O"], ["O O"], BIO, (0.0, 0.0, 0.0, 0.5)),
    (["O O"], ["O O"], BIO, (0.0, 0.0, 0.0, 1.0)),
]


@pytest.mark.parametrize(("gold", "predicted", "names", "expected"), GOLDEN)
def test_entities_are_counted_as_in_seqeval(gold, predicted, names, expected):
    found = scores(gold, predicted, names)
    assert list(found) == ["f1", "precision", "recall", "accuracy"]
    assert list(found.values()) == pytest.approx(expected)


def test_metrics_equal_those_of_seqeval_on_random_tags():
    draw = random.Random(0)
    for names in (BIO, ["I-A", "O", "I-B"], ["O", *(f"{part}-{kind}" for part in "BIES" for kind in "XY")]):
        for _ in range(50):
            gold = [draw.choices(names, k=draw.randint(1, 9)) for _ in range(5)]
            predicted = [[tag if draw.random() < 0.7 else draw.choice(names) for tag in row] for row in gold]
            found = scores(map(" ".join, gold), map(" ".join, predicted), names)
            for name, value in found.items():
                assert value == pytest.approx(getattr(seqeval.metrics, f"{name}_score")(gold, predicted)), (
                    gold,
                    predicted,
                )


def test_bilou_is_evaluated_like_iobes():
    names = ["O", "B-X", "I-X", "L-X", "U-X"]
    assert scores(["U-X U-X B-X L-X"], ["U-X U-X B-X L-X"], names)["f1"] == 1
    assert scores(["U-X U-X B-X L-X"], ["U-X I-X B-X L-X"], names)["f1"] == 1  # after U- another entity begins
    assert scores(["U-X U-X B-X L-X"], ["B-X I-X B-X L-X"], names)["recall"] == pytest.approx(1 / 3)


@pytest.mark.parametrize(
    ("names", "expected"),
    [
        (BIO, True),
        (["B", "I", "O"], True),
        (["I-PER", "O"], True),
        (["NOUN", "VERB", "O"], False),
        (["O"], False),
        (["B-PER", "NOUN"], False),
        (None, False),
    ],
)
def test_tags_mark_entities_where_each_of_them_names_a_part(names, expected):
    assert marks_entities(names) == expected


def test_parts_of_speech_are_evaluated_by_words():
    assert scores(["NOUN VERB", "NOUN"], ["NOUN NOUN", "NOUN"], ["NOUN", "VERB"]) == {"accuracy": pytest.approx(2 / 3)}


def test_a_truncated_word_is_wrong_and_its_entity_is_not_found():
    gold = [np.array([0, 1, 2, 0]), np.array([3])]
    seen = [np.array([True, True, False, False]), np.array([True])]
    evaluator = TaggingEvaluator(gold, len(BIO), BIO, seen=seen)
    found = evaluator.scores(evaluator.statistics([np.array([0, 1]), np.array([3])]))
    assert found == {"f1": 0.5, "precision": 0.5, "recall": 0.5, "accuracy": pytest.approx(3 / 5)}


def test_statistics_are_counts_of_each_sentence_that_add_up():
    evaluator = TaggingEvaluator([np.array([1, 2]), np.array([], dtype=int), np.array([0, 3])], len(BIO), BIO)
    statistics = evaluator.statistics([np.array([1, 2]), np.array([], dtype=int), np.array([3, 3])])
    assert statistics.tolist() == [[1, 1, 1, 2, 2], [1, 2, 1, 1, 2]]
    assert (evaluator.num_rows, evaluator.num_examples) == (3, 2)
    assert evaluator.compute("accuracy", statistics[:1]) == 1 and evaluator.compute("recall", statistics[[0, 0]]) == 1


def test_answers_are_read_at_labeled_tokens_only():
    evaluator = TaggingEvaluator([np.array([1]), np.array([0, 4])], len(BIO), BIO)
    labels = torch.tensor([[-100, 1, -100], [0, -100, 4]])
    logits = torch.nn.functional.one_hot(torch.tensor([[3, 1, 3], [0, 3, 4]]), 5).double()
    assert [row.tolist() for row in evaluator.answers(logits, {"labels": labels})] == [[1], [0, 4]]


def test_nan_in_the_logits_makes_metrics_and_agreement_nan():
    evaluator = TaggingEvaluator([np.array([1, 0])], len(BIO), BIO)
    logits = torch.zeros(1, 2, 5)
    logits[0, 1, 3] = torch.nan
    answers = evaluator.answers(logits, {"labels": torch.tensor([[1, 0]])})
    with pytest.warns(UserWarning, match="1 of 2 words contain NaN; every metric is nan"):
        statistics = evaluator.statistics(answers)
    assert np.isnan(list(evaluator.scores(statistics).values())).all()
    assert np.isnan(evaluator.agreement(answers, [np.array([1, 0])]))


@pytest.mark.parametrize(
    ("message", "make"),
    [
        ("None of the words of 2 rows has a tag", lambda: TaggingEvaluator([[], []], 5, BIO)),
        ("whole numbers from 0 to 4, for 5 classes; got 7", lambda: TaggingEvaluator([[0, 7]], 5, BIO)),
        ("must be one that .* has: f1, .*; got 'acuracy'; the nearest is 'accuracy'", lambda: _main("acuracy")),
        ("an answer for each of 1 rows.*3 in all.*got 1 with 2 tags", lambda: _main("f1").statistics([[0, 1]])),
        (r"shape \(batch, sequence, 5\).*\(2, 5\)", lambda: _main("f1").answers(torch.zeros(2, 5), {})),
    ],
)
def test_tags_and_answers_that_do_not_fit_are_refused(message, make):
    with pytest.raises(ValueError, match=message):
        make()


def _main(name):
    return TaggingEvaluator([[0, 1, 2]], 5, BIO, main_metric=name)


def test_two_taggers_are_compared_with_an_interval_over_sentences():
    draw = np.random.default_rng(0)
    gold = [draw.integers(0, 5, size=draw.integers(1, 12)) for _ in range(60)]
    noisy = [np.where(draw.random(len(row)) < 0.2, 0, row) for row in gold]
    comparison = compare(
        [Candidate("teacher", "teacher", [gold]), Candidate("student", "student", [noisy])],
        TaggingEvaluator(gold, 5, BIO),
    )
    report = comparison.to_dict()
    assert report["metric"] == "f1" and report["num_examples"] == 60
    (difference,) = report["differences"]
    assert difference["low"] < difference["value"] < difference["high"] < 0


def test_trainer_metrics_count_tokens_with_a_label_and_not_padding():
    logits = np.full((2, 4, 5), -100.0)
    logits[0, 0, 1] = logits[0, 2, 2] = logits[1, 1, 0] = 1
    labels = np.array([[1, -100, 2, -100], [-100, 3, -100, -100]])
    prediction = SimpleNamespace(predictions=(logits, "more"), label_ids=(labels,))
    found = tag_metrics(5, BIO)(prediction)
    assert found == {"f1": pytest.approx(2 / 3), "precision": 1, "recall": 0.5, "accuracy": pytest.approx(2 / 3)}
