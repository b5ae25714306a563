"""The recipe of faces, from files to a student that the auto class loads."""

import json

import pytest
import torch
import transformers
from huggingface_hub import ModelCard

from distil_nlp.cli.commands import run
from distil_nlp.models import NetworkForImageEmbedding
from tests.faces import PROCESSOR, make_faces, tiny_embedder

from .runs import words

PLAIN = {"task": "image-feature-extraction", "num_layers": None, "student": "mobilefacenetx0.1"}


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("faces")
    tiny_embedder(width=5).save_pretrained(folder / "teacher")
    PROCESSOR.save_pretrained(folder / "teacher")
    make_faces(6, 4).to_parquet(folder / "train.parquet")
    make_faces(6, 2, seed=1).to_parquet(folder / "validation.parquet")
    return folder


def arguments(folder, output, **changes):
    files = {f"{split}_file": folder / f"{split}.parquet" for split in ("train", "validation")}
    return words(folder, output, **{**PLAIN, **files, **changes})


def test_a_teacher_with_an_embedding_is_not_trained(folder, tmp_path, capsys):
    output = tmp_path / "run"
    comparison = run(arguments(folder, output))
    assert comparison.metric == "verification_auc"
    assert [model.role for model in comparison.models] == ["teacher", "student", "control"]
    assert all(0 <= model.metrics["rank_1"] <= 1 for model in comparison.models)
    report = json.loads((output / "report.json").read_text())
    assert [(term["name"], term.get("centers")) for term in report["objective"]] == [
        ("margin", "teacher"),
        ("embedding", None),
    ]
    assert report["models"][0]["metrics"]["tar_at_far_0.001"] is None  # 60 pairs of different people
    assert not (output / "teacher").exists()  # it has no random weights
    student = transformers.AutoModel.from_pretrained(output / "student")
    assert isinstance(student, NetworkForImageEmbedding) and student.config.embedding_width == 5
    assert student.config.id2label[5] == "person 5"
    card = ModelCard.load(output / "student" / "README.md")
    assert card.data.pipeline_tag == "image-feature-extraction" and "import distil_nlp.models" in card.text
    assert "distil_nlp.models" in capsys.readouterr().out


def test_a_network_by_name_is_trained_first_and_people_can_be_held_out_for_the_comparison(folder, tmp_path):
    output = tmp_path / "run"
    settings = {"teacher": "resnet8x0.25", "image_size": 16, "held_out_people": "0.34", "teacher_num_train_epochs": 1}
    comparison = run(arguments(folder, output, control="false", **settings))
    teacher, student = (transformers.AutoModel.from_pretrained(output / role) for role in ("teacher", "student"))
    assert (teacher.config.embedding_width, student.config.embedding_width) == (128, 128)
    with torch.no_grad():
        answer = student.eval()(torch.zeros(1, 1, 16, 16)).logits
    assert answer.shape == (1, 128)
    report = json.loads((output / "report.json").read_text())
    assert report["data"]["compared_on"] == "test" and comparison.num_examples == 2 * (4 + 2)
    assert report["data"]["rows"] == {"train": 16, "validation": 8, "test": 12}


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"temperature": "2"}, "temperature=2 would have no effect"),
        ({"problem_type": "regression"}, "takes no such setting"),
        ({"main_metric": "accuracy"}, "verification_auc, tar_at_far_0.01.*got 'accuracy'"),
        ({"held_out_people": "0.1"}, "of 6 people would be 1"),
        ({"task": "image-classification", "held_out_people": "0.5"}, "held_out_people=0.5 would have no effect"),
        ({"max_length": "64"}, "max_length=64 would have no effect"),
    ],
)
def test_settings_without_effect_on_faces_are_refused(settings, message, folder, tmp_path):
    with pytest.raises(ValueError, match=message):
        run(arguments(folder, tmp_path / "run", **settings))
