"""A sweep over images: its trials are the runs that they would have been alone."""

import json

import yaml

from distil_nlp.cli.commands import sweep
from tests.recipe import test_image_classification as images

folder = images.folder


def test_a_trial_on_images_has_the_method_that_a_run_of_it_chooses(folder, tmp_path):
    """DIST, where the teacher is far larger; and no cache, where images are augmented in every epoch."""
    settings = {"teacher": "cnn1000", "student": "cnn4", "augmentation": "{flip: 0.5}", "control": "false"}
    sweep([*images.arguments(folder, tmp_path / "out", **settings), "--sweep", "{learning_rate: [0.01]}"])
    trial = tmp_path / "out" / "trials" / "1"
    terms = {term["name"] for term in json.loads((trial / "student" / "_stage.json").read_text())["objective"]}
    assert terms == {"hard", "class_correlation", "batch_correlation"}
    assert not yaml.safe_load((tmp_path / "out" / "best.yaml").read_text()).get("cache")
