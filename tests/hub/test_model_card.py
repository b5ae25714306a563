"""The card shows what the report contains, names what the report lacks, and hides the machine."""

import numpy as np
import pytest
from huggingface_hub import ModelCard

from distil_nlp.evaluation import Candidate, compare
from distil_nlp.hub import model_card
from distil_nlp.hub.card import named_card
from distil_nlp.hub.redaction import public_report
from distil_nlp.metrics import ClassificationEvaluator
from distil_nlp.objectives import HardLabels, Objective, SoftTargets
from distil_nlp.reports import Report
from distil_nlp.reports.report import difference_lines, markdown_table
from tests.hub.sample import make_card, make_report


def metadata(card):
    return ModelCard(card).data.to_dict()


def section(card, heading):
    """The text under a heading; fails where the card has no such heading."""
    assert f"## {heading}\n" in card
    return card.split(f"## {heading}\n")[1].split("\n## ")[0]


def row(card, role):
    return next(line for line in section(card, "Results").splitlines() if line.startswith(f"| {role} |"))


def test_metadata_names_library_task_tags_data_and_metrics(report):
    data = metadata(make_card(report))
    assert data["library_name"] == "transformers" and data["pipeline_tag"] == "text-classification"
    assert {"knowledge-distillation", "distil_nlp"} <= set(data["tags"])
    assert data["datasets"] == ["nyu-mll/glue"] and data["metrics"] == ["accuracy", "f1"]


def test_model_index_holds_the_students_numbers_and_no_one_elses(report):
    result = metadata(make_card(report))["model-index"][0]["results"][0]
    values = {metric["type"]: metric["value"] for metric in result["metrics"]}
    assert values == {"accuracy": 0.8995, "f1": 0.8941, "agreement": 0.9512}
    assert result["dataset"] == {
        "name": "nyu-mll/glue (sst2)", "type": "nyu-mll/glue", "config": "sst2", "split": "validation"
    }  # fmt: skip


def test_the_metrics_of_regression_go_by_the_hubs_names(report):
    report["metric"] = "pearson"
    for model in report["models"]:
        model["metrics"] = {"pearson": 0.88, "spearmanr": 0.87}
        model["agreement"] = None
    assert metadata(make_card(report))["metrics"] == ["pearsonr", "spearmanr"]


def test_a_number_that_is_not_finite_is_a_dash_in_the_table_and_absent_from_the_metadata(report):
    report["models"][1]["metrics"]["f1"] = float("nan")
    card = make_card(report)
    assert "nan" not in card and "| - |" in row(card, "student")
    assert metadata(card)["metrics"] == ["accuracy"]


def test_lineage_is_stated_where_the_students_weights_came_from_a_hub_model(report):
    data = metadata(make_card(report, base_model="google-bert/bert-base-uncased"))
    assert data["base_model"] == "google-bert/bert-base-uncased" and data["base_model_relation"] == "finetune"


@pytest.mark.parametrize("base_model", [None, "/home/ada/runs/teacher", "./teacher"])
def test_no_lineage_is_claimed_for_random_weights_or_a_folder(report, base_model):
    data = metadata(make_card(report, base_model=base_model))
    assert "base_model" not in data and "base_model_relation" not in data


def test_a_license_is_in_the_metadata_only_where_it_was_given(report):
    assert "license" not in metadata(make_card(report))
    assert metadata(make_card(report, license="apache-2.0", language="en"))["license"] == "apache-2.0"


def test_a_data_file_is_no_hub_dataset(report):
    data = metadata(make_card(report, dataset="data/train.csv", dataset_config=None))
    assert "datasets" not in data
    assert data["model-index"][0]["results"][0]["dataset"]["name"] == "train.csv"


def test_every_model_has_its_row_with_kept_agreement_size_and_latency(report):
    card = make_card(report)
    assert {"90.0", "89.4", "98.8", "95.1", "45.4", "2.0x", "200"} <= {
        cell.strip() for cell in row(card, "student").split("|")
    }
    assert "| 91.0 |" in row(card, "teacher") and "| 86.0 |" in row(card, "control")
    assert markdown_table(public_report(Report.from_dict(report))) in card


def test_the_columns_of_the_table_match_its_rows(report):
    lines = [line for line in section(make_card(report), "Results").splitlines() if line.startswith("|")]
    assert len(lines) == 5 and len({line.count("|") for line in lines}) == 1


def test_both_bootstrap_intervals_are_in_the_card(report):
    text = section(make_card(report), "Results")
    assert difference_lines(public_report(Report.from_dict(report)))[0] in text and "-2.1" in text
    assert difference_lines(public_report(Report.from_dict(report)))[1] in text and "+5.9" in text


def test_the_loading_lines_run_as_python_and_name_the_repository(report):
    blocks = section(make_card(report), "How to load it").split("```python\n")[1:]
    for block in blocks:
        code = block.split("```")[0]
        compile(code, "card", "exec")
        assert '"ada/sst2-small"' in code
    assert len(blocks) == 2


def test_the_loading_lines_show_every_label_of_a_multi_label_student_and_both_texts_of_a_pair(report):
    report["problem_type"] = "multi_label_classification"
    text = section(make_card(report, example={"text": "a", "text_pair": "b"}), "How to load it")
    assert "top_k=None" in text and "student({'text': 'a', 'text_pair': 'b'})" in text


def test_the_objective_is_listed_with_weights_settings_and_papers(report):
    objective = Objective([HardLabels(0.3), SoftTargets(0.7, temperature=4.0)])
    text = section(make_card(report, objective=objective), "How it was trained")
    assert "| hard | 0.3 |" in text and "| soft | 0.7 |" in text
    assert "temperature 4.0" in text and "Hinton et al. 2015" in text


def test_epochs_are_not_quoted_where_max_steps_decided(report):
    arguments = {"learning_rate": 5e-5, "num_train_epochs": 3.0, "max_steps": 200}
    text = section(make_card(report, arguments=arguments), "How it was trained")
    assert "max_steps=200" in text and "num_train_epochs" not in text


def test_hyper_parameters_are_read_from_training_arguments(report, tmp_path):
    from transformers import TrainingArguments

    arguments = TrainingArguments(str(tmp_path / "secret"), learning_rate=3e-5, use_cpu=True)
    text = section(make_card(report, arguments=arguments), "How it was trained")
    assert "`learning_rate=3e-05`" in text and "`lr_scheduler_type=linear`" in text and "secret" not in text


def test_a_missing_control_is_admitted(report):
    report["models"] = [model for model in report["models"] if model["role"] != "control"]
    report["differences"] = report["differences"][:1]
    assert "No control run" in section(make_card(report), "Limits")


def test_a_gain_within_the_noise_is_called_noise(report):
    report["differences"][1].update(value=0.004, low=-0.01, high=0.02)
    assert "does not show that the teacher helped" in make_card(report)


def test_each_control_is_judged_by_its_own_difference(report):
    report["models"].append({"role": "control", "name": "tf-idf", "metrics": {"accuracy": 0.9}})
    line = {**report["differences"][1], "to_name": "tf-idf", "value": 0.0, "low": -0.02, "high": 0.02}
    report["differences"].append(line)
    text = make_card(report)
    assert "control is as good as the student (tf-idf: accuracy +0.0 points)" in text and "(control:" not in text


def test_a_difference_without_an_interval_is_not_called_a_gain(report):
    report["differences"][1].update(value=None, low=None, high=None)
    assert "The gain over the control (control) has no interval" in make_card(report)


def test_a_student_worse_than_its_control_is_called_so(report):
    report["differences"][1].update(value=-0.03, low=-0.05, high=-0.01)
    assert "worse than the control" in make_card(report)


def test_a_clear_gain_brings_no_doubt_about_the_control(report):
    assert "control" not in section(make_card(report), "Limits")


def test_a_single_seed_is_admitted_and_three_are_listed(report):
    assert "One seed (0)" in section(make_card(report), "Limits")
    report["seeds"] = [0, 1, 2]
    card = make_card(report)
    assert "One seed" not in card and "seeds: 0, 1, 2" in section(card, "Environment")


def test_a_report_with_only_a_student_gives_a_card_that_says_what_is_missing():
    report = {"task": "text-classification", "models": [{"role": "student", "metrics": {"accuracy": 0.5}}]}
    card = make_card(report, arguments=None)
    for words in (
        "No control run", "The teacher was not measured", "Latency was not measured", "seeds were not recorded",
        "No bootstrap intervals", "command was not recorded", "environment was not recorded",
        "hyper-parameters were not recorded",
    ):  # fmt: skip
        assert words in card


def test_a_report_without_a_student_is_refused_with_the_roles_it_has(report):
    report["models"] = report["models"][:1]
    with pytest.raises(ValueError, match="it has teacher"):
        make_card(report)


def test_nothing_of_the_machine_is_in_the_card(report):
    card = make_card(
        report, teacher="/home/ada/runs/teacher", dataset=r"C:\Users\ada\train.csv", base_model="/home/ada/runs/base",
        student_start="layers 0, 2 of /home/ada/runs/teacher",
    )  # fmt: skip
    for leak in ("/home", "ada/runs", "C:", "Users", "ada-laptop", "hostname"):
        assert leak not in card, leak
    assert "`teacher`" in card and "train.csv" in card and "run.py recipes/text_classification/sst2.yaml" in card


def test_a_folder_here_that_looks_like_a_hub_id_is_a_folder(report, tmp_path, monkeypatch):
    (tmp_path / "runs" / "teacher").mkdir(parents=True)
    monkeypatch.chdir(tmp_path)
    card = make_card(report, teacher="runs/teacher", base_model="runs/teacher")
    assert "huggingface.co/runs" not in card and "base_model" not in metadata(card)


def test_the_same_report_gives_the_same_card(report):
    assert make_card(report) == make_card(make_report())


def test_the_card_says_how_many_texts_student_and_control_learned_from(report):
    counts = {"labeled": 250, "unlabeled": 6_381, "altered": 13_262}
    card = make_card({**report, "data": {"learned_from": counts}})
    assert "250 with a label, 6,381 without one, 13,262 augmented copies without a label" in card
    assert "learned from" not in make_card(report)


def test_the_card_of_a_model_trained_elsewhere_needs_no_objective():
    models = [Candidate(role, role, np.eye(2)[[0, 1, 1]]) for role in ("teacher", "student")]
    report = compare(models, ClassificationEvaluator("single_label_classification", np.array([0, 1, 0]), 2))
    card = model_card(report, model_name="ada/small", teacher="ada/big", dataset="nyu-mll/glue")
    assert "The objective was not recorded." in section(card, "How it was trained")
    assert "Evaluated with `distil_nlp`" in card and "Made with" not in card


def test_the_objective_of_the_report_is_in_the_card(report):
    card = make_card({**report, "objective": [{"name": "soft", "weight": 0.7, "temperature": 4.0}]}, objective=None)
    assert "| soft | 0.7 | temperature 4.0 | – |" in section(card, "How it was trained")


@pytest.mark.parametrize("name", ["runs/sst2", "ada/sst2", 'a "quoted" [name]'])
def test_a_card_that_is_pushed_loads_the_student_from_its_repository(name):
    card = make_card(make_report(), model_name=name)
    pushed = named_card(card, "eva/other")
    assert '"eva/other"' in pushed and "# other\n" in pushed and "name: other" in pushed
    assert pushed == make_card(make_report(), model_name="eva/other") and named_card(pushed, "eva/other") == pushed


def test_a_card_of_another_program_stays_as_it_is():
    for card in ("# A page", "---\ntags: [x]\nmodel_name: a\n---\n# a", "---\n{[\n---\n", ""):
        assert named_card(card, "eva/other") == card
