"""A recipe for detectors on tiny models: table, picture, card, and what is refused."""

import json

import pytest
from PIL import Image
from transformers import pipeline

from distil_nlp.cli.commands import run
from tests.detectors import draw_things
from tests.recipe.runs import same_students, words

SHORT = {
    "task": "object-detection",
    "num_layers": None,
    "teacher": "detr-32x1",
    "student": "detr-32x1",
    "image_size": 32,
}


@pytest.fixture(scope="module")
def things(tmp_path_factory):
    folder = tmp_path_factory.mktemp("things")
    draw_things(12, counts=(2, 0, 1)).to_parquet(folder / "train.parquet")
    draw_things(6, seed=1, counts=(1, 2)).to_parquet(folder / "validation.parquet")
    return folder


def arguments(things, output, **changes):
    files = {"train_file": things / "train.parquet", "validation_file": things / "validation.parquet"}
    return words(things, output, **{**SHORT, **files, "teacher_num_train_epochs": 1, **changes})


@pytest.fixture(scope="module")
def finished(things, tmp_path_factory):
    output = tmp_path_factory.mktemp("run") / "out"
    draw_things(5, seed=2).remove_columns("objects").to_parquet(things / "more.parquet")
    run(arguments(things, output, unlabeled_file=things / "more.parquet", augmentation="{flip: 0.5}"))
    return output


def test_teacher_student_and_control_are_judged_by_average_precision(finished):
    report = json.loads((finished / "report.json").read_text())
    assert (report["task"], report["metric"], report["num_examples"]) == ("object-detection", "map", 6)
    assert [model["role"] for model in report["models"]] == ["teacher", "student", "control"]
    assert all(list(model["metrics"]) == ["map", "map_50"] for model in report["models"])
    assert [term["name"] for term in report["objective"]] == ["classes", "boxes", "queries"]
    assert report["data"]["learned_from"] == {"labeled": 12, "unlabeled": 5, "altered": 0}


def test_the_report_shows_true_boxes_beside_those_of_every_model(finished):
    assert "](boxes.png)" in (finished / "report.md").read_text()
    with Image.open(finished / "boxes.png") as picture:
        assert picture.width == 4 * 320 + 3 * 4


def test_the_student_works_in_the_pipeline_of_transformers(finished):
    found = pipeline("object-detection", str(finished / "student"))(Image.new("RGB", (96, 64)), threshold=0.0)
    assert found and set(found[0]["box"]) == {"xmin", "ymin", "xmax", "ymax"}
    assert "pipeline_tag: object-detection" in (finished / "student" / "README.md").read_text()


def test_a_student_that_answers_otherwise_than_its_teacher_is_refused_before_anything_is_trained(things, tmp_path):
    with pytest.raises(ValueError, match="'no object'"):
        run(arguments(things, tmp_path / "out", student="deformable_detr-32x2"))
    assert not (tmp_path / "out" / "teacher").exists()


def test_hints_between_feature_maps_go_with_detectors(things, tmp_path):
    stage = "model.backbone.model.encoder.stages.1"
    terms = [{"classes": {}}, {"boxes": {}}, {"queries": {}}, {"pearson": {"layers": [[stage, stage]]}}]
    stages = [{"name": "all", "objective": terms}]
    run(arguments(things, tmp_path / "out", student="detr-64x1", control="false", stages=json.dumps(stages)))
    report = json.loads((tmp_path / "out" / "report.json").read_text())
    assert [term["name"] for term in report["objective"]] == ["classes", "boxes", "queries", "pearson"]


def test_a_teacher_asked_once_makes_the_student_that_one_asked_at_every_step_makes(things, tmp_path):
    run(arguments(things, tmp_path / "first", control="false"))

    def with_teacher(output, **settings):
        return arguments(things, output, **{"teacher": tmp_path / "first" / "teacher", **settings})

    assert same_students(run, with_teacher, tmp_path)


def test_mirrored_images_and_a_cache_are_refused(things, tmp_path):
    with pytest.raises(ValueError, match="again in every epoch"):
        run(arguments(things, tmp_path / "out", cache="true", augmentation="{flip: 0.5}"))
