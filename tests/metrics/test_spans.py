"""Extracted answers: metrics equal those of SQuAD, spans lie within the context, examples are questions."""

import numpy as np
import pytest
import torch

from distil_nlp.metrics import SpanEvaluator
from distil_nlp.metrics.spans import best_spans, exact_match, normalize, token_f1


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("The LVMH Group", "lvmh group"),
        ("  a   cat, an owl\tand the\ndog!", "cat owl and dog"),
        ("Australian Federal Police.", "australian federal police"),
        ("theatre", "theatre"),
        ("5½ sacks", "5½ sacks"),
        ("the", ""),
    ],
)
def test_normalized_texts_have_no_case_no_punctuation_no_articles_and_single_spaces(text, expected):
    assert normalize(text) == expected


@pytest.mark.parametrize(
    ("prediction", "references", "f1", "exact"),
    [
        ("the cat sat", ["A cat sat."], 1.0, 1.0),
        ("the cat sat", ["cat sat down"], 0.8, 0.0),
        ("cat", ["dog", "a black cat", "cat sat on it"], 2 / 3, 0.0),
        ("to be to", ["to be"], 0.8, 0.0),
        ("dog", ["cat"], 0.0, 0.0),
        ("", [], 1.0, 1.0),
        ("cat", [], 0.0, 0.0),
        ("", ["cat"], 0.0, 0.0),
        ("", ["the", "cat"], 0.0, 0.0),
        ("the", ["a"], 1.0, 1.0),
    ],
)
def test_f1_and_exact_match_are_those_of_squad(prediction, references, f1, exact):
    assert token_f1(prediction, references) == pytest.approx(f1)
    assert exact_match(prediction, references) == exact


def slow_best(start, end, first, last, longest):
    spans = [(i, j) for i in range(first, last + 1) for j in range(i, min(last, i + longest - 1) + 1)]
    return max(spans, key=lambda span: start[span[0]] + end[span[1]])


@pytest.mark.parametrize("longest", [1, 3, 30])
def test_the_best_span_has_the_largest_sum_of_all_allowed_spans(longest):
    draw = np.random.default_rng(longest)
    start, end = draw.normal(size=(2, 40, 12))
    context = np.array([[draw.integers(1, 6), draw.integers(6, 12)] for _ in range(40)])
    for row, (first, last, score) in enumerate(best_spans(start, end, context, max_answer_length=longest)):
        assert (first, last) == slow_best(start[row], end[row], *context[row], longest)
        assert score == pytest.approx(start[row, int(first)] + end[row, int(last)])


def test_a_window_without_context_never_has_the_best_span():
    logits = np.zeros((1, 4))
    assert best_spans(logits, logits, np.array([[1, 0]]))[0, 2] == -np.inf


CONTEXT = "a good film and a bad plot"  # in two windows that share "and a"
WINDOWS = {
    "example": [0, 0, 1],
    "context_span": [[2, 6], [2, 5], [1, 2]],
    "token_starts": [[0, 2, 7, 12, 16], [12, 16, 18, 22], [0, 5]],
    "token_ends": [[1, 6, 11, 15, 17], [15, 17, 21, 26], [4, 12]],
}


def span_evaluator(references=(["bad plot"], ["fine"]), **settings):
    return SpanEvaluator([CONTEXT, "fine stories"], references, WINDOWS, **settings)


def logits_for(*spans, null=0.0, width=8):
    r"""Logits that favor a span with a score in each window, and `null` at \[CLS\]."""
    logits = torch.zeros(len(spans), 2, width)
    for row, (first, last, score) in enumerate(spans):
        logits[row, 0, first], logits[row, 1, last] = score / 2, score / 2
    logits[:, :, 0] = null / 2
    return logits


def answers_of(evaluator, logits):
    return evaluator.answers(logits, {"context_span": torch.tensor(WINDOWS["context_span"])})


def test_the_answer_of_a_question_is_that_of_its_best_window():
    evaluator = span_evaluator()
    answers = answers_of(evaluator, logits_for((3, 4, 5.0), (4, 5, 6.0), (1, 2, 1.0)))
    assert evaluator.texts(answers) == ["bad plot", "fine stories"]
    assert evaluator.statistics(answers).tolist() == [[1.0, 1.0], [pytest.approx(2 / 3), 0.0]]
    assert evaluator.scores(evaluator.statistics(answers)) == {"f1": pytest.approx(5 / 6), "exact_match": 0.5}
    assert (evaluator.main, evaluator.num_rows, evaluator.num_examples) == ("f1", 3, 2)


def test_answers_keep_four_numbers_a_window():
    assert answers_of(span_evaluator(), logits_for((3, 4, 5.0), (4, 5, 6.0), (1, 2, 1.0))).shape == (3, 4)


def test_no_answer_must_win_in_every_window_and_only_where_the_data_has_such_questions():
    logits = logits_for((3, 4, 5.0), (4, 5, 6.0), (1, 2, 1.0), null=4.0)
    assert span_evaluator().texts(answers_of(span_evaluator(), logits)) == ["bad plot", "fine stories"]
    evaluator = span_evaluator(([], ["fine"]), no_answer=True)
    assert evaluator.texts(answers_of(evaluator, logits)) == ["bad plot", ""]
    logits[:2, :, 0] = 4.0
    assert evaluator.texts(answers_of(evaluator, logits)) == ["", ""]
    logits[0, :, 0] = 0.0  # one window of two has a span above no answer
    assert evaluator.texts(answers_of(evaluator, logits)) == ["bad plot", ""]


def test_questions_without_references_count_for_agreement_only():
    evaluator = span_evaluator((None, ["fine"]))
    student = answers_of(evaluator, logits_for((3, 4, 5.0), (4, 5, 6.0), (1, 1, 1.0)))
    teacher = answers_of(evaluator, logits_for((3, 4, 9.0), (4, 5, 6.0), (1, 1, 1.0)))
    assert evaluator.statistics(student).tolist() == [[1.0, 1.0]]
    assert (evaluator.agreement(student, student), evaluator.agreement(student, teacher)) == (1.0, 0.5)
    with pytest.raises(ValueError, match="None of the 2 questions has answers"):
        span_evaluator((None, None))


def test_answers_that_differ_by_an_article_agree():
    evaluator = span_evaluator()
    student = answers_of(evaluator, logits_for((2, 4, 9.0), (2, 2, 1.0), (1, 1, 1.0)))
    teacher = answers_of(evaluator, logits_for((3, 4, 9.0), (2, 2, 1.0), (1, 1, 1.0)))
    assert [evaluator.texts(answers)[0] for answers in (student, teacher)] == ["a good film", "good film"]
    assert evaluator.agreement(student, teacher) == 1.0


def test_nan_in_the_logits_makes_every_metric_nan():
    evaluator, logits = span_evaluator(), logits_for((3, 4, 5.0), (4, 5, 6.0), (1, 2, 1.0))
    logits[1, 0, 3] = float("nan")
    with pytest.warns(UserWarning, match="1 of 3 windows contain NaN"):
        statistics = evaluator.statistics(answers_of(evaluator, logits))
    assert np.isnan(statistics).all() and statistics.shape == (2, 2)
    assert np.isnan(evaluator.agreement(answers_of(evaluator, logits), answers_of(evaluator, logits)))


def test_exact_match_can_be_the_main_metric_and_accuracy_cannot():
    assert span_evaluator(main_metric="exact_match").main == "exact_match"
    with pytest.raises(ValueError, match="question_answering has: f1, exact_match; got 'accuracy'"):
        span_evaluator(main_metric="accuracy")
