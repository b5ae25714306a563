"""Recipes on images: networks by name, models of transformers, other sizes, copies and caches."""

import io
import json

import datasets
import numpy as np
import pytest
import torch
from PIL import Image
from transformers import AutoConfig, AutoImageProcessor, AutoModelForImageClassification, pipeline

from distil_nlp.cli.commands import run
from distil_nlp.models import image_processor_for
from tests.objectives.test_presets import OF_IMAGES
from tests.recipe.runs import QUICK, checked, term_names, weights
from tests.tiny import tiny_image_model

NAMES = ["bright", "dark", "split"]


def picture(row, size=16):
    """An image whose class can be seen: bright, dark, or one half of each."""
    noise = np.random.default_rng(row).integers(0, 60, (size, size, 3))
    base = [190, 0, 0][row % 3] + np.where(np.arange(size)[:, None, None] < size / 2, [0, 0, 190][row % 3], 0)
    return Image.fromarray((noise + base).astype(np.uint8))


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("images")
    for name, rows in (("train", range(48)), ("validation", range(100, 118))):
        files = []
        for row in rows:
            buffer = io.BytesIO()
            picture(row).save(buffer, "PNG")
            files.append({"bytes": buffer.getvalue(), "path": None})
        features = datasets.Features(
            {"image": datasets.Image(decode=False), "label": datasets.ClassLabel(names=NAMES)}
        )
        columns = {"image": files, "label": [row % 3 for row in rows]}
        datasets.Dataset.from_dict(columns, features=features).to_parquet(folder / f"{name}.parquet")
    for name, kind, size in (("resnet", "resnet", 16), ("deit", "deit", 32)):
        model = tiny_image_model(kind, num_labels=3)
        model.config.id2label = dict(enumerate(NAMES))
        model.config.label2id = {label: place for place, label in enumerate(NAMES)}
        model.save_pretrained(folder / name)
        image_processor_for(size, 3).save_pretrained(folder / name)
    return folder


def arguments(folder, output, **changes):
    settings = {
        "task": "image-classification",
        "teacher": "cnn16",
        "student": "cnn8",
        "teacher_num_train_epochs": 1,
        "train_file": folder / "train.parquet",
        "validation_file": folder / "validation.parquet",
        "per_device_train_batch_size": 8,
        "output_dir": output,
        **changes,
    }
    return [*QUICK, *(str(word) for name, value in settings.items() for word in (f"--{name}", value))]


def report(output):
    return json.loads((output / "report.json").read_text())


def test_two_networks_by_name_give_a_student_that_works_in_a_pipeline(folder, tmp_path):
    run(arguments(folder, tmp_path / "out"))
    assert [model["role"] for model in report(tmp_path / "out")["models"]] == ["teacher", "student", "control"]
    predictions = pipeline("image-classification", model=str(tmp_path / "out" / "student"), device="cpu")(picture(0))
    model = AutoModelForImageClassification.from_pretrained(tmp_path / "out" / "student")
    pixels = AutoImageProcessor.from_pretrained(tmp_path / "out" / "student")(picture(0), return_tensors="pt")
    expected = model(**pixels).logits.softmax(-1)[0].tolist()
    assert {prediction["label"] for prediction in predictions} == set(NAMES)
    assert sorted(prediction["score"] for prediction in predictions) == pytest.approx(sorted(expected), abs=1e-6)


@pytest.mark.parametrize("preset", sorted(OF_IMAGES - {"deit"}))
def test_every_preset_of_images_passes_the_checks(preset, folder, tmp_path):
    context = checked(arguments(folder, tmp_path, teacher=folder / "resnet", preset=preset))
    assert len(term_names(context)) >= 2


@pytest.mark.slow  # a run for each preset; each is tried on two examples above, and one trained below
@pytest.mark.parametrize("preset", sorted(OF_IMAGES - {"deit"}))
def test_every_preset_of_images_runs(preset, folder, tmp_path):
    run(arguments(folder, tmp_path / "out", preset=preset, control="false"))
    assert len(report(tmp_path / "out")["objective"]) >= 2


@pytest.mark.parametrize(
    ("changes", "terms"),
    [
        ({"teacher": "cnn200"}, ["hard", "class_correlation", "batch_correlation"]),
        ({"teacher": "cnn200", "preset": "logits"}, ["hard", "soft"]),
        ({"teacher": "cnn200", "kd_ratio": 0.9}, ["hard", "soft"]),
        ({"teacher": "cnn200", "assistants": "[cnn40]"}, ["hard", "soft"]),
        ({}, ["hard", "soft"]),
    ],
)
def test_the_preset_dist_is_the_default_for_a_teacher_ten_times_larger(changes, terms, folder, tmp_path, capsys):
    assert term_names(checked(arguments(folder, tmp_path, **changes))) == terms
    assert capsys.readouterr().out.count("== preset: dist") == (len(terms) == 3)


def test_a_student_with_two_heads_learns_from_a_transformers_model_of_another_image_size(folder, tmp_path):
    run(arguments(folder, tmp_path / "out", teacher=folder / "resnet", student=folder / "deit", preset="deit"))
    found = report(tmp_path / "out")
    assert [term["name"] for term in found["objective"]] == ["hard", "teacher_labels"]
    processor = AutoImageProcessor.from_pretrained(tmp_path / "out" / "student")
    assert processor.size == {"height": 32, "width": 32}


def test_a_student_of_a_smaller_image_size_learns_hints_and_is_saved_with_its_own_processor(folder, tmp_path):
    settings = {"teacher": folder / "resnet", "student": "resnet8", "student_image_size": 8, "preset": "fitnets"}
    run(arguments(folder, tmp_path / "out", control="false", **settings))
    processor = AutoImageProcessor.from_pretrained(tmp_path / "out" / "student")
    assert processor(picture(0), return_tensors="pt")["pixel_values"].shape == (1, 3, 8, 8)
    assert AutoConfig.from_pretrained(tmp_path / "out" / "student").image_size == 8
    assert report(tmp_path / "out")["models"][0]["kept"] == 1.0


def test_a_teacher_that_is_trained_first_keeps_its_own_image_size(folder, tmp_path):
    run(arguments(folder, tmp_path / "out", student_image_size=8, control="false"))
    for role, size in (("teacher", 16), ("student", 8)):
        assert AutoImageProcessor.from_pretrained(tmp_path / "out" / role).size == {"height": size, "width": size}


def test_augmented_copies_are_cached_and_have_the_labels_of_their_images(folder, tmp_path):
    changes = {"num_augmented_copies": 2, "cache": "true", "augmentation": "{crop_padding: 2, flip: 0.5}"}
    run(arguments(folder, tmp_path / "out", **changes))
    data = report(tmp_path / "out")["data"]
    assert data["learned_from"] == {"labeled": 48, "unlabeled": 0, "altered": 96}
    assert data["labeled_train_rows"] == 144
    assert json.loads((tmp_path / "out" / "teacher_cache" / "cache.json").read_text())["num_examples"] == 144


@pytest.mark.slow  # two runs; the recipe of texts compares cached and online teachers in the default run
def test_a_cached_and_an_online_teacher_give_the_same_student(folder, tmp_path):
    teacher = ["--optim", "sgd", "--learning_rate", "0.05"]
    for cache in ("true", "false"):
        run(arguments(folder, tmp_path / cache, teacher=folder / "resnet", cache=cache, control="false") + teacher)
    one, other = (weights(tmp_path / cache) for cache in ("true", "false"))
    assert all(torch.allclose(one[name].float(), other[name].float(), rtol=0, atol=1e-5) for name in one)


def test_a_student_learns_from_images_augmented_anew_in_each_epoch_and_mixed_labels(folder, tmp_path):
    run(arguments(folder, tmp_path / "out", augmentation="{mixup: 0.2, cutmix: 1.0}", control="false"))
    assert report(tmp_path / "out")["models"][1]["role"] == "student"


@pytest.mark.parametrize(
    ("changes", "complaint"),
    [
        ({"augmentation": "{flip: 0.5}", "cache": "true"}, "alters images again in every epoch.*num_augmented_copies"),
        ({"augmentation": "{flop: 0.5}"}, "augmentation is a mapping of flip, .*the nearest is 'flip'"),
        ({"augmentation": "0.5"}, "augmentation is a mapping of flip"),
        ({"augmentation": "{mixup: 0.2}", "num_augmented_copies": 1}, "labels are shares.*num_augmented_copies=0"),
        ({"text_column": "image"}, "text_column='image' would have no effect"),
        ({"max_length": "64"}, "max_length=64 would have no effect"),
        ({"trim_vocabulary": "true"}, "trim_vocabulary=true removes tokens"),
        ({"tfidf_control": "true"}, "tfidf_control"),
        ({"student": "resnet9"}, "6n \\+ 2.*got 9"),
        ({"student": "4x256"}, "network"),
        ({"image_column": "label"}, "label"),
        ({"preset": "dkd", "augmentation": "{mixup: 0.2}"}, "exclude each other"),
    ],
)
def test_invalid_settings_are_refused_before_training(changes, complaint, folder, tmp_path):
    with pytest.raises(ValueError, match=complaint):
        run(arguments(folder, tmp_path / "out", **changes))
    assert not (tmp_path / "out" / "teacher").exists()
