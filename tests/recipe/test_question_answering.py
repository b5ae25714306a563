"""A recipe for questions on tiny models: table, card, the printed line of code and errors."""

import io
import json
import re
from contextlib import redirect_stdout
from functools import partial

import pytest

from distil_nlp.cli.commands import run, sweep
from distil_nlp.tasks import answer_question
from tests.questions import make_questions, save_questions
from tests.recipe.runs import checked, same_students, save_model, words
from tests.tiny import tiny_model, tiny_tokenizer

SHORT = {"max_length": 24, "doc_stride": 8, "task": "question-answering"}


@pytest.fixture(scope="module")
def questions(tmp_path_factory):
    folder = tmp_path_factory.mktemp("questions")
    save_model(folder / "teacher", task="span")
    save_questions(folder / "train.jsonl", 24, num_words=(6, 30))
    save_questions(folder / "validation.jsonl", 12, num_words=(6, 30), seed=1)
    return folder


@pytest.fixture(scope="module")
def finished(questions, tmp_path_factory):
    output, printed = tmp_path_factory.mktemp("run") / "out", io.StringIO()
    save_questions(questions / "more.jsonl", 6, kinds=("unknown",), seed=2)
    with redirect_stdout(printed):
        run(words(questions, output, **SHORT, unlabeled_file=questions / "more.jsonl", eval_strategy="epoch"))
    return output, printed.getvalue()


def test_teacher_student_and_control_are_compared_by_question(finished):
    report = json.loads((finished[0] / "report.json").read_text())
    assert (report["task"], report["metric"], report["num_examples"]) == ("question-answering", "f1", 12)
    assert report["data"]["rows"]["validation"] > 12
    assert [list(model["metrics"]) for model in report["models"]] == [["f1", "exact_match"]] * 3
    assert report["models"][0]["agreement"] == 1.0 and report["models"][1]["agreement"] is not None
    assert [term["name"] for term in report["objective"]] == ["hard", "soft"]


def test_two_teachers_are_reported_as_an_ensemble(questions, tmp_path):
    save_model(tmp_path / "second", task="span", seed=3)
    run(words(questions, tmp_path / "out", **SHORT, more_teachers=tmp_path / "second", control="false"))
    models = json.loads((tmp_path / "out" / "report.json").read_text())["models"]
    assert [model["role"] for model in models] == ["teacher", "member", "member", "student"]
    assert models[0]["agreement"] == 1.0 and all(model["metrics"]["f1"] is not None for model in models)


def test_the_printed_line_of_code_answers_a_question(finished):
    line = finished[1].strip().splitlines()[-1].strip()
    assert line.startswith("distil_nlp.tasks.answer_question(")
    import distil_nlp.tasks

    answer = eval(line, {"distil_nlp": distil_nlp})
    assert answer and answer in "It was written in May, by a clerk of the court."


def test_the_code_of_the_card_answers_questions(finished):
    card = (finished[0] / "student" / "README.md").read_text()
    assert "pipeline(" not in card and "pipeline_tag: question-answering" in card
    blocks = re.findall(r"```python\n(.*?)```", card, re.DOTALL)
    assert len(blocks) == 2
    for block in blocks:
        shown = io.StringIO()
        with redirect_stdout(shown):
            exec(block.replace('"out"', repr(str(finished[0] / "student"))), {})
        assert shown.getvalue().endswith("\n")


def test_the_student_answers_from_a_context_above_its_maximum_length(finished):
    row = make_questions(1, num_words=(300, 300))[0]
    answer = answer_question(finished[0] / "student", question=row["question"], context=row["context"])
    assert answer and answer in row["context"]


def test_an_encoder_is_fine_tuned_first_and_loses_the_labels_of_another_task(questions, tmp_path):
    tiny_model(num_labels=3, problem_type="regression").save_pretrained(tmp_path / "encoder")
    tiny_tokenizer().save_pretrained(tmp_path / "encoder")
    settings = {"teacher": tmp_path / "encoder", "teacher_num_train_epochs": 1, "control": "false"}
    run(words(questions, tmp_path / "out", **settings, **SHORT))
    config = json.loads((tmp_path / "out" / "teacher" / "config.json").read_text())
    assert config["architectures"] == ["BertForQuestionAnswering"] and "LABEL_2" not in str(config)
    assert config.get("problem_type") is None


def test_training_rows_without_answers_teach_the_student_through_a_cache(questions, tmp_path):
    save_questions(tmp_path / "train.jsonl", 12, kinds=("unknown",))
    settings = {"train_file": tmp_path / "train.jsonl", "kd_ratio": 1, "cache": "true", "control": "false"}
    run(words(questions, tmp_path / "out", **settings, **SHORT))
    assert json.loads((tmp_path / "out" / "report.json").read_text())["data"]["labeled_train_rows"] == 0


@pytest.mark.parametrize("preset", ["distilbert", "minilmv2"])
def test_presets_pass_the_checks_on_questions(preset, questions, tmp_path):
    context = checked(words(questions, tmp_path, preset=preset, cache="true", **SHORT))
    assert context.cache_contents["teacher"].features


@pytest.mark.slow  # a run for each preset; each is tried on two examples above
@pytest.mark.parametrize("preset", ["distilbert", "minilmv2"])
def test_presets_run_on_questions(preset, questions, tmp_path):
    run(words(questions, tmp_path / "out", control="false", preset=preset, **SHORT))
    assert (tmp_path / "out" / "student" / "model.safetensors").is_file()


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"num_augmented_copies": 2}, "result is not an example of question-answering"),
        ({"tfidf_control": "true"}, "tfidf_control fits a logistic regression to single classes of whole texts"),
        ({"problem_type": "regression"}, "problem_type='regression' would have no effect"),
        ({"max_answer_length": 0}, "max_answer_length must be a whole number, 1 or greater; got 0"),
        ({"doc_stride": 23}, "doc_stride=23 tokens"),
        ({"main_metric": "accuracy"}, "question_answering has: f1, exact_match"),
    ],
)
def test_an_invalid_setting_is_refused(changes, message, questions, tmp_path):
    with pytest.raises(ValueError, match=message):
        run(words(questions, tmp_path / "out", **{**SHORT, **changes}))
    assert not (tmp_path / "out" / "recipe.yaml").exists()


def test_a_doc_stride_for_text_classification_is_refused(folder, tmp_path):
    with pytest.raises(ValueError, match="doc_stride=8 would have no effect: the task text-classification takes no"):
        run(words(folder, tmp_path / "out", doc_stride=8))


def test_answers_that_are_not_in_the_context_are_refused_before_training(questions, tmp_path):
    rows = [json.loads(line) for line in (questions / "train.jsonl").read_text().splitlines()]
    rows[5]["answers"]["answer_start"] = [rows[5]["answers"]["answer_start"][0] + 1]
    (tmp_path / "train.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    with pytest.raises(ValueError, match=r"1 of 24 rows of the train split .*\(rows 5, counted from 0\)"):
        run(words(questions, tmp_path / "out", train_file=tmp_path / "train.jsonl", **SHORT))
    assert not (tmp_path / "out" / "recipe.yaml").exists()


@pytest.mark.slow  # two runs; the recipe of texts compares cached and online teachers in the default run
def test_a_cached_and_an_online_teacher_give_the_same_student(questions, tmp_path):
    assert same_students(run, partial(words, questions, **SHORT), tmp_path)


@pytest.mark.slow  # the recipe of masked-language modeling has a sweep by its own metric in the default run
def test_a_sweep_is_decided_by_question_with_a_cached_teacher(questions, tmp_path):
    report = sweep(words(questions, tmp_path / "out", **SHORT, sweep="{kd_ratio: [0.5, 1]}", control="false"))
    assert (report["metric"], report["num_examples"], len(report["trials"])) == ("f1", 12, 2)
    assert (tmp_path / "out" / "teacher_cache" / "cache.json").is_file()
