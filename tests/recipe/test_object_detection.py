"""A recipe for detectors on tiny models: table, picture, card and errors."""

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


def test_teacher_student_and_control_are_compared_by_average_precision(finished):
    report = json.loads((finished / "report.json").read_text())
    assert (report["task"], report["metric"], report["num_examples"]) == ("object-detection", "map", 6)
    assert [model["role"] for model in report["models"]] == ["teacher", "student", "control"]
    assert all(list(model["metrics"]) == ["map", "map_50"] for model in report["models"])
    assert [term["name"] for term in report["objective"]] == ["classes", "boxes", "queries"]
    assert report["data"]["learned_from"] == {"labeled": 12, "unlabeled": 5, "altered": 0}


def test_the_report_shows_true_and_predicted_boxes_side_by_side(finished):
    assert "](boxes.png)" in (finished / "report.md").read_text()
    with Image.open(finished / "boxes.png") as picture:
        assert picture.width == 4 * 320 + 3 * 4


def test_the_student_works_in_a_pipeline(finished):
    boxes = pipeline("object-detection", str(finished / "student"))(Image.new("RGB", (96, 64)), threshold=0.0)
    assert boxes and set(boxes[0]["box"]) == {"xmin", "ymin", "xmax", "ymax"}
    assert "pipeline_tag: object-detection" in (finished / "student" / "README.md").read_text()


def test_a_student_with_other_outputs_than_its_teacher_is_refused_before_training(things, tmp_path):
    with pytest.raises(ValueError, match="'no object'"):
        run(arguments(things, tmp_path / "out", student="deformable_detr-32x2"))
    assert not (tmp_path / "out" / "teacher").exists()


def test_a_detector_learns_hints_between_feature_maps_from_a_cache(finished, things, tmp_path):
    stage = "model.backbone.model.encoder.stages.1"
    terms = [{"classes": {}}, {"boxes": {}}, {"queries": {}}, {"pearson": {"layers": [[stage, stage]]}}]
    stages = [{"name": "all", "objective": terms}]
    settings = {"teacher": finished / "teacher", "student": "detr-64x1", "cache": "true", "stages": json.dumps(stages)}
    run(arguments(things, tmp_path / "out", control="false", **settings))
    report = json.loads((tmp_path / "out" / "report.json").read_text())
    assert [term["name"] for term in report["objective"]] == ["classes", "boxes", "queries", "pearson"]
    header = json.loads((tmp_path / "out" / "teacher_cache" / "cache.json").read_text())
    assert list(header["features"]) == [stage]


@pytest.mark.slow  # three runs; the recipe of texts compares cached and online teachers in the default run
def test_a_cached_and_an_online_teacher_give_the_same_student(things, tmp_path):
    run(arguments(things, tmp_path / "first", control="false"))

    def with_teacher(output, **settings):
        return arguments(things, output, **{"teacher": tmp_path / "first" / "teacher", **settings})

    assert same_students(run, with_teacher, tmp_path)


def test_a_cache_of_flipped_images_is_refused(things, tmp_path):
    with pytest.raises(ValueError, match="again in every epoch"):
        run(arguments(things, tmp_path / "out", cache="true", augmentation="{flip: 0.5}"))
