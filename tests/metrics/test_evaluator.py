"""A task of another kind goes through prediction, comparison, table, report and card with an evaluator of its own."""

import json

import numpy as np
import pytest
import torch

from distil_nlp.evaluation import Candidate, compare, predict
from distil_nlp.hub import model_card
from distil_nlp.metrics import Evaluator
from distil_nlp.reports import report_markdown, write_report


class Guessing(Evaluator):
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
        facts = np.zeros((self.num_examples, 3))
        for text, (values, right) in zip(self._texts, answers, strict=True):
            facts[text] += [-values.sum(), right.sum(), len(values)]
        return facts

    def compute(self, name, facts):
        loss, right, count = facts.sum(axis=0)
        return float(np.exp(loss / count) if name == "perplexity" else right / count)

    def agreement(self, ours, theirs):
        ours, theirs = (np.concatenate([right for _, right in side]) for side in (ours, theirs))
        return float(np.mean(ours == theirs))


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
    """PixelPreprocessor the tokens and believes in them this much."""
    return lambda batch: sharpness * torch.nn.functional.one_hot(batch["input_ids"], 6).float()


def judged(rows, main_metric=None, sharp=(3.0, 2.0, 1.0)):
    evaluator = Guessing(TEXTS, main_metric)
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


def test_positions_are_kept_and_rows_of_one_text_are_judged_together(rows):
    found = judged(rows)
    assert (found.num_examples, found.metric, found.problem_type) == (39, "perplexity", "masked_language_modeling")
    assert [one["metrics"]["perplexity"] for one in found.models] == pytest.approx(
        [perplexity(one) for one in (3, 2, 1)], rel=1e-5
    )


def test_where_lower_is_better_kept_is_the_teachers_over_the_models(rows):
    found = judged(rows)
    assert found.models[1]["kept"] == pytest.approx(perplexity(3) / perplexity(2))
    assert judged(rows, main_metric="accuracy").models[1]["kept"] == 1.0


def test_the_difference_is_of_minus_to_all_the_same_and_in_no_points(rows):
    found = judged(rows)
    to_teacher, to_control = found.differences
    assert to_teacher["value"] > 0 > to_control["value"] == pytest.approx(perplexity(2) - perplexity(1), rel=1e-4)
    line = found.table().splitlines()[-1]
    assert line.startswith("student (student) - control (control): perplexity -1.16 (lower is better; 95 % interval -")
    assert "points" not in found.table()


def test_a_plain_number_is_shown_as_it_is_and_a_fraction_in_percent(rows):
    lines = judged(rows).table().splitlines()
    assert lines[0].split()[2:6] == ["perplexity", "accuracy", "kept", "agreement"]
    assert lines[3].split()[2:6] == [
        f"{perplexity(2):.2f}",
        "100.0",
        f"{100 * perplexity(3) / perplexity(2):.1f}",
        "100.0",
    ]
    page = report_markdown(judged(rows).to_dict())
    assert "perplexity is a plain number, lower is better. *kept*: the teacher's perplexity over the model's." in page


def test_the_report_reads_back(rows, tmp_path):
    report = judged(rows).to_dict()
    assert json.loads(write_report(tmp_path, report).read_text()) == report


def test_the_card_calls_a_lower_perplexity_a_gain(rows):
    settings = {"model_name": "small", "teacher": "big", "dataset": "toy", "objective": [], "arguments": {}}
    better, worse = (model_card(judged(rows, sharp=sharp).to_dict(), **settings) for sharp in ((3, 2, 1), (3, 1, 2)))
    assert "worse than the control" not in better and "within the noise" not in better
    assert "worse than the control (control: perplexity +1.16)" in worse


def test_a_model_that_said_nan_has_an_undefined_difference(rows):
    report = judged(rows, sharp=(3.0, float("nan"), 1.0)).to_dict()
    assert [report["models"][1]["metrics"]["perplexity"], report["differences"][0]["value"]] == [None, None]
