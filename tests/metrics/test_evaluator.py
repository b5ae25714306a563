"""A custom evaluator works in prediction, comparison, table, report and card."""

import json

import numpy as np
import pytest
import torch

from distil_nlp.evaluation import Candidate, compare, predict
from distil_nlp.hub import model_card
from distil_nlp.metrics import Evaluator
from distil_nlp.reports import report_markdown, write_report
from distil_nlp.signals.finite import NonFiniteError


class TextPerplexity(Evaluator):
    """Perplexity at the labeled positions of texts; a text may be cut into two rows."""

    def __init__(self, texts, main_metric=None):
        self._texts = np.asarray(texts)
        super().__init__(
            ["perplexity", "accuracy"],
            num_rows=len(texts),
            num_examples=len(set(texts)),
            problem_type="masked_language_modeling",
            main_metric=main_metric,
        )

    def answers(self, logits, batch):
        counted = batch["labels"] != -100
        rows = zip(logits.log_softmax(dim=-1), batch["labels"], counted, strict=True)
        return [torch.stack([row[here, label[here]], 1.0 * (row.argmax(-1) == label)[here]]).numpy()
                for row, label, here in rows]  # fmt: skip

    def statistics(self, answers):
        statistics = np.zeros((self.num_examples, 3))
        for text, (values, correct) in zip(self._texts, answers, strict=True):
            statistics[text] += [-values.sum(), correct.sum(), len(values)]
        return statistics

    def compute(self, name, statistics):
        loss, correct, count = statistics.sum(axis=0)
        return float(np.exp(loss / count) if name == "perplexity" else correct / count)

    def agreement(self, student_answers, teacher_answers):
        student, teacher = (
            np.concatenate([correct for _, correct in side]) for side in (student_answers, teacher_answers)
        )
        return float(np.mean(student == teacher))


TEXTS = [0, 0, *range(1, 39)]


def collator(rows):
    width = max(len(row["input_ids"]) for row in rows)
    columns = {"input_ids": 0, "labels": -100}
    return {
        name: torch.tensor([row[name] + [empty] * (width - len(row[name])) for row in rows])
        for name, empty in columns.items()
    }


@pytest.fixture
def rows():
    generator, rows = np.random.default_rng(0), []
    for _ in TEXTS:
        ids = generator.integers(1, 6, size=generator.integers(3, 9)).tolist()
        rows.append({"input_ids": ids, "labels": [ids[0], *[-100] * (len(ids) - 2), ids[-1]]})
    return rows


def model(sharpness):
    """A model that predicts its own input tokens, with these logits."""
    return lambda batch: sharpness * torch.nn.functional.one_hot(batch["input_ids"], 6).float()


def compared(rows, main_metric=None, sharp=(3.0, 2.0, 1.0)):
    evaluator = TextPerplexity(TEXTS, main_metric)
    names = ("teacher", "student", "control")
    answers = [predict(model(one), rows, collator, keep=evaluator.answers, batch_size=7) for one in sharp]
    return compare(
        [Candidate(name, name, [of_model], parameters=10) for name, of_model in zip(names, answers, strict=True)],
        evaluator,
        task="guessing",
        seeds=[0],
    )


def perplexity(sharpness):
    return 1 + 5 * np.exp(-sharpness)


def test_rows_of_the_same_text_are_evaluated_together(rows):
    comparison = compared(rows)
    assert (comparison.num_examples, comparison.metric, comparison.problem_type) == (
        39,
        "perplexity",
        "masked_language_modeling",
    )
    assert [model.metrics["perplexity"] for model in comparison.models] == pytest.approx(
        [perplexity(one) for one in (3, 2, 1)], rel=1e-5
    )


def test_where_lower_is_better_kept_is_the_teachers_value_over_the_models(rows):
    comparison = compared(rows)
    assert comparison.models[1].retention == pytest.approx(perplexity(3) / perplexity(2))
    assert compared(rows, main_metric="accuracy").models[1].retention == 1.0


def test_a_difference_where_lower_is_better_keeps_its_sign_and_has_no_points(rows):
    comparison = compared(rows)
    to_teacher, to_control = comparison.differences
    assert to_teacher.value > 0 > to_control.value == pytest.approx(perplexity(2) - perplexity(1), rel=1e-4)
    line = comparison.table().splitlines()[-1]
    assert line.startswith("student (student) - control (control): perplexity -1.16 (lower is better; 95 % interval -")
    assert "points" not in comparison.table()


def test_a_plain_number_is_displayed_unchanged_and_a_fraction_in_percent(rows):
    lines = compared(rows).table().split("\n\n")[1].splitlines()  # below the verdict
    assert lines[0].split()[2:6] == ["perplexity", "accuracy", "kept", "agreement"]
    assert lines[3].split()[2:6] == [
        f"{perplexity(2):.2f}",
        "100.0",
        f"{100 * perplexity(3) / perplexity(2):.1f}",
        "100.0",
    ]
    page = report_markdown(compared(rows))
    assert "perplexity is a plain number, lower is better. *kept*: the teacher's perplexity over the model's." in page


def test_the_report_reads_back(rows, tmp_path):
    report = compared(rows)
    assert json.loads(write_report(tmp_path, report).read_text()) == report.to_dict()


def test_the_card_calls_a_lower_perplexity_a_gain(rows):
    settings = {"model_name": "small", "teacher": "big", "dataset": "toy", "objective": [], "arguments": {}}
    better, worse = (model_card(compared(rows, sharp=sharp), **settings) for sharp in ((3, 2, 1), (3, 1, 2)))
    assert "worse than the control" not in better and "within the noise" not in better
    assert "worse than the control (control: perplexity +1.16)" in worse


def test_a_model_with_nan_outputs_is_not_compared(rows):
    with pytest.raises(NonFiniteError, match="no metric would have a meaning"):
        compared(rows, sharp=(3.0, float("nan"), 1.0))
