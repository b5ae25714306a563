"""Perplexity and accuracy at masked positions, by the evaluator and by hand."""

import numpy as np
import pytest
import torch

from distil_nlp.evaluation import Candidate, compare, predict
from distil_nlp.metrics import MaskedTokenEvaluator
from distil_nlp.signals.finite import NonFiniteError
from distil_nlp.tasks import MaskedLanguageModeling
from tests.tiny import tiny_model, tiny_tokenizer
from tests.training.runs import make_rows

ROWS = make_rows(20, problem="masked")
COLLATE = MaskedLanguageModeling("text").collator(tiny_tokenizer())


def answers(model, evaluator, rows=ROWS, batch_size=7):
    return predict(model, rows, COLLATE, keep=evaluator.answers, batch_size=batch_size)


def by_hand(model, rows):
    """Log-likelihoods and correct answers of all masked positions, one row at a time, logits everywhere."""
    losses, correct = [], []
    for row in rows:
        with torch.no_grad():
            logits = model(torch.tensor([row["input_ids"]])).logits[0].log_softmax(-1)
        for position, token in enumerate(row["labels"]):
            if token != -100:
                losses.append(-logits[position, token].item())
                correct.append(logits[position].argmax().item() == token)
    return np.array(losses), np.array(correct)


def test_perplexity_and_accuracy_equal_those_by_hand():
    model, evaluator = tiny_model(task="mlm"), MaskedTokenEvaluator(ROWS["labels"])
    losses, correct = by_hand(model, ROWS)
    scores = evaluator.scores(evaluator.statistics(answers(model, evaluator)))
    assert list(scores) == ["perplexity", "accuracy"] and evaluator.main == "perplexity"
    assert scores["perplexity"] == pytest.approx(np.exp(losses.mean()), rel=1e-5)
    assert scores["accuracy"] == pytest.approx(correct.mean())


def test_statistics_are_sums_and_counts_of_each_row():
    model, evaluator = tiny_model(task="mlm"), MaskedTokenEvaluator(ROWS["labels"])
    statistics = evaluator.statistics(answers(model, evaluator))
    assert statistics.shape == (20, 3)
    for number, row in enumerate(ROWS):
        losses, correct = by_hand(model, [row])
        assert statistics[number] == pytest.approx([losses.sum(), len(losses), correct.sum()], rel=1e-5)


def test_agreement_is_the_share_of_masked_positions_with_the_same_token():
    evaluator = MaskedTokenEvaluator(ROWS["labels"])
    student, teacher = (answers(tiny_model(task="mlm", seed=seed), evaluator) for seed in (0, 1))
    same = np.mean(np.concatenate(student)[:, 1] == np.concatenate(teacher)[:, 1])
    assert evaluator.agreement(student, student) == 1 and evaluator.agreement(student, teacher) == same < 1


def test_a_lower_perplexity_is_better_in_a_comparison():
    evaluator = MaskedTokenEvaluator(ROWS["labels"])
    found = compare(
        [
            Candidate(role, role, [answers(tiny_model(task="mlm", seed=seed), evaluator)], parameters=1)
            for seed, role in enumerate(("teacher", "student"))
        ],
        evaluator,
    ).to_dict()
    teacher, student = (model["metrics"]["perplexity"] for model in found["models"])
    assert found["models"][1]["kept"] == pytest.approx(teacher / student)
    assert found["differences"][0]["value"] == pytest.approx(student - teacher)


def test_nan_in_the_logits_is_refused_and_nan_answers_make_every_metric_nan():
    model, evaluator = tiny_model(task="mlm"), MaskedTokenEvaluator(ROWS["labels"])
    torch.nn.init.constant_(model.cls.predictions.bias, float("nan"))
    with pytest.raises(NonFiniteError, match="returns NaN for example"):
        answers(model, evaluator)
    predicted = [np.full_like(answer, float("nan")) for answer in answers(tiny_model(task="mlm"), evaluator)]
    assert all(np.isnan(value) for value in evaluator.scores(evaluator.statistics(predicted)).values())
    assert np.isnan(evaluator.agreement(predicted, predicted))


def test_rows_without_a_masked_position_and_answers_of_other_rows_are_refused():
    with pytest.raises(ValueError, match="row 1 of 2 has none"):
        MaskedTokenEvaluator([[-100, 3], [-100, -100]])
    with pytest.raises(ValueError, match="Row 0 has 1 masked positions and 2 answers"):
        MaskedTokenEvaluator([[-100, 3]]).statistics([np.zeros((2, 2))])
    with pytest.raises(ValueError, match="perplexity, accuracy; got 'f1'"):
        MaskedTokenEvaluator([[3]], main_metric="f1")
