"""Presets have the terms, layers and stages of their papers."""

import pytest
import torch

from distil_nlp.objectives import PRESETS, objective_from, preset
from distil_nlp.teachers import OnlineTeacher
from distil_nlp.training.projections import dry_run
from tests.tiny import tiny_image_model, tiny_model
from tests.training.runs import make_rows

# Student of 3 layers, teacher of 6: for each stage its share, then for each term its name, weight and pairs of layers.
UNIFORM = [[0, 1], [1, 3], [2, 5]]
LAST = [[2, 2]]
PAPERS = {
    "distilbert": [(None, [("soft", 5.0, None), ("hard", 2.0, None), ("hidden", 1.0, [[2, 5]])])],
    "pkd": [(None, [("hard", 0.5, None), ("soft", 0.5, None), ("patient", 100 / 768, UNIFORM[:2])])],
    "tinybert": [
        (20 / 23, [("hidden", 1.0, [["embeddings"] * 2]), ("hidden_2", 1.0, UNIFORM), ("attention", 1.0, UNIFORM)]),
        (3 / 23, [("soft", 1.0, None)]),
    ],
    "minilm": [(0.5, [("relations", 1.0, [[2, 5]])]), (0.5, [("hard", 1.0, None)])],
    "minilmv2": [(0.5, [("relations", 1.0, [[2, 5]])]), (0.5, [("hard", 1.0, None)])],
    "deit": [(None, [("hard", 0.5, None), ("teacher_labels", 0.5, None)])],
    "lskd": [(None, [("hard", 0.1, None), ("standardized", 9.0, None)])],
    "dist": [(None, [("hard", 1.0, None), ("class_correlation", 2.0, None), ("batch_correlation", 2.0, None)])],
    "dkd": [(None, [("hard", 1.0, None), ("decoupled", 1.0, None)])],
    "transcripts": [(None, [("ctc_transcript", 0.8, None), ("ctc_frames", 1.0, None)])],
    "fitnets": [(None, [("hard", 0.1, None), ("soft", 0.9, None), ("hints", 100.0, LAST)])],
    "at": [(None, [("hard", 0.1, None), ("soft", 0.9, None), ("attention_maps", 10.0, LAST)])],
    "cwd": [(None, [("hard", 0.1, None), ("soft", 0.9, None), ("channels", 10.0, LAST)])],
}
OF_IMAGES = {"deit", "lskd", "dist", "dkd", "fitnets", "at", "cwd"}
OF_SOUND = {"transcripts"}
SETTINGS = {
    "distilbert": {"soft": {"temperature": 2.0}, "hidden": {"distance": "cosine"}},
    "pkd": {"soft": {"temperature": 10.0}},
    "tinybert": {
        "hidden": {"distance": "mse"},
        "hidden_2": {"layer_reduction": "sum"},
        "attention": {"compare": "scores", "average_heads": False, "layer_reduction": "sum"},
        "soft": {"temperature": 1.0},
    },
    "minilm": {"relations": {"relations": ["query-key", "value-value"], "num_heads": 2}},
    "minilmv2": {"relations": {"relations": ["query-query", "key-key", "value-value"]}},
    "deit": {"hard": {"head": "cls_classifier"}, "teacher_labels": {"head": "distillation_classifier"}},
    "lskd": {"standardized": {"temperature": 2.0}},
    "dist": {"class_correlation": {"temperature": 4.0}, "batch_correlation": {"temperature": 4.0}},
    "dkd": {"decoupled": {"temperature": 4.0, "target_weight": 1.0, "other_weight": 8.0}},
    "transcripts": {"ctc_frames": {"temperature": 2.0, "blank_weight": 0.1}},
    "fitnets": {"soft": {"temperature": 4.0}},
    "at": {"soft": {"temperature": 4.0}},
    "cwd": {"soft": {"temperature": 4.0}, "channels": {"temperature": 4.0}},
}


def rehearsed_on_images(stage):
    """The objective of a stage after a dry run with a convolutional teacher and student, or a student with two heads."""
    objective = objective_from(stage["objective"])
    batch = {"pixel_values": torch.randn(2, 3, 32, 32), "labels": torch.tensor([0, 2])}
    student = tiny_image_model("deit" if stage["name"] == "deit" else "resnet")
    dry_run(objective, student, OnlineTeacher(tiny_image_model("resnet", seed=1)), batch)
    return objective


def dry_run_of(stage, *, student=None, problem="single_label_classification"):
    """The objective of a stage after a dry run with a student of 3 layers and a teacher of 6."""
    settings = {"num_labels": 1 if problem == "regression" else 3, "problem_type": problem}
    student = student or tiny_model(num_layers=3, **settings)
    teacher = OnlineTeacher(tiny_model(num_layers=6, hidden_size=32, seed=1, **settings))
    objective = objective_from(stage["objective"], problem_type=problem)
    rows = make_rows(2, problem=problem, lengths=(5, 5)).with_format("torch")[:]
    dry_run(objective, student, teacher if objective.needs_teacher else None, dict(rows))
    return objective


def described(stage):
    """The objective of a CTC stage; tests/recipe/test_speech.py runs it."""
    return objective_from(stage["objective"], problem_type="ctc")


def test_every_preset_is_tested_here():
    assert PRESETS.keys() == PAPERS.keys() == SETTINGS.keys()


@pytest.mark.parametrize("name", PAPERS)
def test_a_preset_has_the_terms_layers_and_stages_of_its_paper(name):
    look = rehearsed_on_images if name in OF_IMAGES else described if name in OF_SOUND else dry_run_of
    found = [(stage.get("share"), look(stage).describe()) for stage in preset(name)]
    terms = [(share, [(one["name"], one["weight"], one.get("layers")) for one in stage]) for share, stage in found]
    assert terms == PAPERS[name]
    for _, stage in found:
        for term in stage:
            for setting, value in SETTINGS[name].get(term["name"], {}).items():
                assert term[setting] == value, (term["name"], setting)
    assert sum(share or 1 for share, _ in found) == pytest.approx(1)


@pytest.mark.parametrize("name", [name for name in PAPERS if name not in OF_IMAGES | OF_SOUND])
def test_a_preset_matches_the_teachers_number_for_a_regression(name):
    terms = [one["name"] for stage in preset(name) for one in dry_run_of(stage, problem="regression").describe()]
    assert "soft" not in terms


def test_tinybert_averages_heads_only_where_their_numbers_differ():
    layers, _ = preset("tinybert")
    other = tiny_model(num_layers=3, hidden_size=16, num_labels=3)
    other.config.num_attention_heads = 4  # as a student of another width has
    assert dry_run_of(layers).describe()[2]["average_heads"] is False
    assert dry_run_of(layers, student=other).describe()[2]["average_heads"] is True


def test_an_unknown_preset_is_refused_with_the_known_ones():
    with pytest.raises(ValueError, match="one of distilbert, pkd, tinybert, .*, fitnets, at, cwd; got 'tinybart'"):
        preset("tinybart")


@pytest.mark.parametrize(
    ("spec", "message"),
    [
        ([], "list of terms"),
        ({"soft": {}}, "list of terms"),
        ([{"soft": {"temperature": 2}, "hard": {}}], "list of terms"),
        ([{"sofd": {"temperature": 2}}], "no term 'sofd'; the nearest is 'soft'"),
        ([{"soft": {"temprature": 2}}], "takes no 'temprature'; the nearest is 'temperature'"),
        ([{"soft": {}}], "temperature"),
        ([{"soft": {"temperature": 0}}], "temperature must lie in 0.001 to 1,000; got 0"),
        ([{"hidden": {"layers": 3}}], "cannot be made"),
    ],
)
def test_an_invalid_objective_is_refused(spec, message):
    with pytest.raises(ValueError, match=message):
        objective_from(spec)


def test_terms_get_the_problem_type_and_their_settings():
    objective = objective_from([{"hard": None}, {"logits": {"weight": 2}}], problem_type="regression")
    assert [(term.weight, term.problem_type) for term in objective.terms] == [(1, "regression"), (2, "regression")]


def test_decoupled_targets_of_a_regression_are_refused():
    with pytest.raises(ValueError, match="exclude each other, and problem_type='regression'"):
        objective_from([{"decoupled": {"temperature": 2}}], problem_type="regression")


def test_a_preset_for_two_heads_refuses_a_student_without_them():
    with pytest.raises(ValueError, match="Layer 'cls_classifier' is not in the model"):
        dry_run_of(preset("deit")[0])
