"""Identities are read from the data, and people are held out of training."""

import datasets
import pytest

from distil_nlp.metrics import VerificationEvaluator
from distil_nlp.tasks import FaceVerification, hold_out_people
from tests.faces import PROCESSOR, make_faces


def splits(train=None, validation=None, **others):
    return {
        "train": make_faces() if train is None else train,
        "validation": make_faces(num_images=2, seed=1) if validation is None else validation,
        **others,
    }


def renamed(names, num_images=2):
    """Faces labeled with plain values instead of class labels."""
    faces = make_faces(len(names), num_images)
    labels = [names[label] for label in faces["label"]]
    return faces.remove_columns("label").add_column("label", labels)


def people_of(found):
    return {name: sorted(set(split.features["label"].int2str(split["label"][:]))) for name, split in found.items()}


def test_the_people_of_the_training_split_are_the_models_and_a_row_is_an_image():
    task = FaceVerification.from_splits(splits())
    assert task.people == [f"person {place}" for place in range(4)] and task.num_labels is None
    assert task.config_labels()["num_labels"] == 4 and task.config_labels()["id2label"][3] == "person 3"
    rows = task.prepare(make_faces(), PROCESSOR)
    assert rows["labels"][:] == [label for label in range(4) for _ in range(6)] and task.labeled(rows).all()
    batch = task.collator(PROCESSOR)(list(rows.select(range(5))))
    assert batch["pixel_values"].shape == (5, 1, 16, 12) and batch["labels"].tolist() == [0] * 5
    assert isinstance(task.evaluator(rows), VerificationEvaluator)


@pytest.mark.parametrize(
    ("ours", "others", "expected"),
    [
        (["Eve", "Bob"], ["Eve", "Ann"], ["Bob", "Eve"]),
        ([30, 4], [4, 7], ["4", "30"]),
        (["007", "7a"], ["007", "7a"], ["007", "7a"]),
    ],
)
def test_people_may_be_names_or_numbers_and_others_count_on_from_them(ours, others, expected):
    found = splits(renamed(ours), renamed(others))
    task = FaceVerification.from_splits(found)
    assert task.people == expected
    of_training, of_others = (task.prepare(found[name], PROCESSOR)["labels"][:] for name in ("train", "validation"))
    assert sorted(set(of_training)) == [0, 1]
    strangers = [name for name in others if name not in ours]
    assert [label for label in of_others if label > 1] == [2] * 2 * len(strangers)


def test_of_a_subset_only_the_people_that_are_left_get_a_center():
    found = splits(make_faces().filter(lambda row: row["label"] != 1, keep_in_memory=True))
    task = FaceVerification.from_splits(found)
    assert task.people == ["person 0", "person 2", "person 3"]
    assert set(task.prepare(found["train"], PROCESSOR)["labels"]) == {0, 1, 2}
    assert set(task.prepare(found["validation"], PROCESSOR)["labels"]) == {0, 1, 2, 3}


def test_images_without_a_name_count_for_nothing():
    task = FaceVerification.from_splits(splits(renamed(["Eve", "Bob", None], 2)))
    rows = task.prepare(renamed(["Eve", None], 2), PROCESSOR)
    assert rows["labels"][:] == [1, 1, -100, -100] and task.labeled(rows).tolist() == [True, True, False, False]
    blank = task.prepare(make_faces(), PROCESSOR, with_labels=False)
    assert set(blank["labels"]) == {-100}


def test_people_held_out_are_in_no_other_split_and_come_with_all_their_images():
    found = hold_out_people(splits(make_faces(8, 6), make_faces(8, 2, seed=1)), 0.25)
    people = people_of(found)
    assert len(people["test"]) == 2 and len(people["train"]) == 6 and people["validation"] == people["train"]
    assert not set(people["test"]) & set(people["train"])
    assert (len(found["test"]), len(found["train"]), len(found["validation"])) == (16, 36, 12)
    again = hold_out_people(splits(make_faces(8, 6), make_faces(8, 2, seed=1)), 0.25)
    assert people_of(again) == people and people_of(found.whole) == people
    task = FaceVerification.from_splits(found)
    assert len(task.people) == 6 and set(task.prepare(found["test"], PROCESSOR)["labels"]) == {6, 7}


@pytest.mark.parametrize("written", ["{}.0", "+{}", "0{}", float, int])
def test_people_are_held_out_whatever_the_format_of_their_numbers(written):
    names = [written.format(row) if isinstance(written, str) else written(row) for row in range(1, 9)]
    found = hold_out_people(splits(renamed(names), renamed(names)), 0.25)
    task = FaceVerification.from_splits(found)
    assert {name: len(split) for name, split in found.items()} == {"train": 12, "validation": 12, "test": 8}
    assert set(task.prepare(found["test"], PROCESSOR)["labels"]) == {6, 7}


def test_a_number_is_the_same_person_beside_words():
    task = FaceVerification.from_splits(splits(renamed(["1.0", "2.0"]), renamed(["1.0", "Eve"])))
    assert task.people == ["1", "2"]
    assert task.prepare(renamed(["1.0", "Eve"]), PROCESSOR)["labels"][:] == [0, 0, 2, 2]


def test_of_a_test_split_only_the_people_held_out_are_left_and_unlabeled_images_stay():
    unlabeled = make_faces(1, 3).remove_columns("label")
    found = hold_out_people(splits(test=make_faces(4, 1, seed=2), unlabeled=unlabeled), 0.5)
    people = people_of({"train": found["train"], "test": found["test"]})
    assert len(found["test"]) == 2 * (6 + 2 + 1) and not set(people["train"]) & set(people["test"])
    assert len(found["unlabeled"]) == 3


@pytest.mark.parametrize("share", [0.1, 0.9, 1.0])
def test_a_share_that_leaves_too_few_people_is_refused(share):
    with pytest.raises(ValueError, match="of 4 people would be .* two or more on either side"):
        hold_out_people(splits(), share)


def test_people_are_not_mixed():
    with pytest.raises(ValueError, match="mixup=0.2 .* this is identity. Leave both out"):
        FaceVerification.from_splits(splits()).collator_for(PROCESSOR, {}, augmentation={"mixup": 0.2})


def test_fractions_are_no_people():
    with pytest.raises(ValueError, match="contains fractions"):
        FaceVerification.from_splits(splits(renamed([0.5, 1.5])))


def test_an_evaluation_split_without_identities_is_refused():
    with pytest.raises(ValueError, match="validation split has no column 'label'"):
        FaceVerification.from_splits(splits(validation=make_faces().remove_columns("label")))
    cut = datasets.Dataset.from_dict({"image": [{"bytes": b"no image", "path": None}], "label": [0]})
    with pytest.raises(ValueError, match="Row 0 .* of the validation split cannot be read as an image"):
        FaceVerification.from_splits(splits(validation=cut.cast_column("image", datasets.Image())))
