"""Tags of words are read, assigned to first subwords, padded, augmented and evaluated; invalid data is refused."""

import logging

import datasets
import numpy as np
import pytest
import torch
from transformers import RobertaTokenizerFast

from distil_nlp.augmentation.text import augmented_copies
from distil_nlp.data.splits import load_splits
from distil_nlp.tasks import TokenClassification
from tests.tiny import SPECIAL, WORDS, tiny_model, tiny_tokenizer

PIECES = [*WORDS, "##s", "##ly"]
NAMES = ["O", "B-X", "I-X"]
ROWS = {
    "tokens": [["good", "films", "is"], [], ["badly"], ["the", "story"]],
    "ner_tags": [["B-X", "I-X", "O"], [], ["B-X"], None],
}


def splits_of(columns, **others):
    train = datasets.Dataset.from_dict(columns)
    return {"train": train, "validation": train, **{name: datasets.Dataset.from_dict(c) for name, c in others.items()}}


@pytest.fixture
def tokenizer():
    return tiny_tokenizer(PIECES, pieces=True)


@pytest.fixture
def splits():
    return splits_of(ROWS)


@pytest.fixture
def task(splits):
    return TokenClassification.from_splits(splits, label_names=NAMES)


def answers_of(prepared):
    return [np.array([label for label in row if label != -100], dtype=int) for row in prepared["labels"]]


# ---- Columns and tags ----


@pytest.mark.parametrize(("words", "tags"), [("tokens", "ner_tags"), ("words", "pos_tags"), ("tokens", "labels")])
def test_columns_are_found_by_their_usual_names(words, tags):
    task = TokenClassification.from_splits(splits_of({words: ROWS["tokens"], tags: ROWS["ner_tags"]}))
    assert (task.words_column, task.label_column) == (words, tags)


@pytest.mark.parametrize(
    ("tags", "names"),
    [
        ([["B-X", "O"], ["O"]], ["B-X", "O"]),
        ([[1, 0], [0]], None),
        ([[3, 7], [7]], ["3", "7"]),
        (datasets.List(datasets.ClassLabel(names=["O", "B-X", "I-X"])), ["O", "B-X", "I-X"]),
    ],
)
@pytest.mark.parametrize("extension", ["jsonl", "parquet"])
def test_tags_are_words_numbers_or_class_labels(tags, names, extension, write):
    if isinstance(tags, datasets.List):
        if extension == "jsonl":
            pytest.skip("jsonl has no class labels")
        features = datasets.Features({"tokens": datasets.List(datasets.Value("string")), "tags": tags})
        rows = datasets.Dataset.from_dict({"tokens": [["a", "b"], ["c"]], "tags": [[1, 0], [2]]}, features=features)
    else:
        rows = {"tokens": [["a", "b"], ["c"]], "tags": tags}
    splits = load_splits(train_file=write(f"a.{extension}", rows), validation_file=write(f"b.{extension}", rows))
    task = TokenClassification.from_splits(splits)
    assert task.label_names == names
    assert task.num_labels == (2 if names is None else len(names))


LISTS = {"tokens": [["a", "b"], ["c"]], "tags": [[0, 1], [1]]}


@pytest.mark.parametrize(
    ("train", "settings", "said"),
    [
        ({"text": ["a b"], "tags": [[0, 1]]}, {}, "no column 'tokens' or 'words'. Set text_column"),
        ({**LISTS, "pos_tags": [[0, 1], [1]]}, {}, "Both 'pos_tags' and 'tags' are there. Set label_column"),
        ({"tokens": [["a"]]}, {}, "no column 'ner_tags' or .*Set label_column.*unlabeled"),
        (
            {"tokens": ["a b"], "tags": [[0, 1]]},
            {},
            "'tokens' .*contains string.*needs a list of words.*Split the texts",
        ),
        ({"tokens": [["a", None]], "tags": [[0, 1]]}, {}, r"1 of 1 rows .* missing word \(rows 0,"),
        ({"tokens": [["a"], None], "tags": [[0], [1]]}, {}, r"1 of 2 rows .* no list of words .*\(rows 1,"),
        ({**LISTS, "tags": ["O O", "O"]}, {}, "'tags' .*contains string.*needs a list of tags, one for each word"),
        ({**LISTS, "tags": [[[0], [1]], [[1]]]}, {}, "'tags' .*contains list.*a word has one tag"),
        ({**LISTS, "tags": [[0], [1]]}, {}, "Row 0 .*train split has 2 words and 1 tags"),
        ({**LISTS, "tags": [None, None]}, {}, "'tags' .*contains null.*needs a list of tags"),
        ({**LISTS, "tags": [[], []]}, {}, "contains no tag in any of 2 rows"),
        ({**LISTS, "tags": [[-1, -1], [-100]]}, {}, "has 0 classes .*-1 and empty cells count as missing"),
        ({**LISTS, "tags": [["O", "O"], ["O"]]}, {}, "has 1 class"),
        (LISTS, {"label_column": "tokens", "text_column": "tokens"}, "named as both words and tags"),
        (LISTS, {"label_names": ["O"]}, "has 1 class"),
        (
            {**LISTS, "tags": [["O", "B"], ["X"]]},
            {"label_names": ["O", "B"]},
            "Row 1 .*label 'X' is not one of the 2 known",
        ),
    ],
)
def test_data_that_cannot_be_used_is_refused_before_training(train, settings, said):
    with pytest.raises(ValueError, match=said):
        TokenClassification.from_splits(splits_of(train), **settings)


def test_a_tag_that_training_does_not_have_is_an_error_with_its_row(splits):
    splits["validation"] = datasets.Dataset.from_dict(
        {"tokens": [["a"], ["b", "c"]], "ner_tags": [["O"], ["O", "B-Y"]]}
    )
    with pytest.raises(ValueError, match="Row 1 .*validation split: label 'B-Y' is not one of the 3 known classes"):
        TokenClassification.from_splits(splits)


def test_a_validation_split_without_any_tag_is_refused(splits):
    splits["validation"] = datasets.Dataset.from_dict({"tokens": [["a"]], "ner_tags": [["-1"]]})
    with pytest.raises(ValueError, match="All tags of the 1 words of the validation split are missing"):
        TokenClassification.from_splits(splits)


def test_words_without_a_tag_are_counted_in_a_warning(splits, caplog):
    with caplog.at_level(logging.WARNING, logger="distil_nlp"):
        TokenClassification.from_splits(splits)
    assert "2 of 6 words of the train split have no tag, in 1 of 4 rows" in caplog.text


# ---- Words and pieces ----


def test_the_first_subword_of_a_word_has_its_tag_and_the_soft_target(task, splits, tokenizer):
    rows = task.prepare(splits["train"], tokenizer)
    assert tokenizer.convert_ids_to_tokens(rows[0]["input_ids"]) == ["[CLS]", "good", "film", "##s", "is", "[SEP]"]
    assert rows["labels"] == [[-100, 1, 2, -100, 0, -100], [-100, -100], [-100, 1, -100, -100], [-100] * 4]
    assert rows[0]["soft_items"] == [False, True, True, False, True, False]
    assert rows[3]["soft_items"] == [False, True, True, False]  # no tags: the teacher alone speaks
    assert rows["length"] == [6, 2, 4, 4] and rows["example_id"] == [0, 1, 2, 3] and rows["lost_words"] == [[]] * 4
    assert task.labeled(rows).tolist() == [True, False, True, False]


def test_soft_targets_can_be_at_all_subwords(task, splits, tokenizer):
    rows = task.prepare(splits["train"], tokenizer, soft_pieces="all")
    assert rows[0]["soft_items"] == [False, True, True, True, True, False]
    with pytest.raises(ValueError, match="soft_pieces must be one of first, all; got 'last'"):
        task.prepare(splits["train"], tokenizer, soft_pieces="last")


def test_without_labels_every_tag_is_missing(task, splits, tokenizer):
    rows = task.prepare(splits["train"], tokenizer, with_labels=False)
    assert not task.labeled(rows).any() and sum(map(sum, rows["soft_items"])) == 6


def test_the_same_single_word_in_consecutive_rows_counts_as_two_words(tokenizer):
    splits = splits_of({"tokens": [["a"], ["a"], ["a", "a"]], "tags": [[0], [1], [1, 0]]})
    tokenizer.backend_tokenizer.post_processor = None  # no [CLS] between the rows
    rows = TokenClassification.from_splits(splits).prepare(splits["train"], tokenizer)
    assert rows["labels"] == [[0], [1], [1, 0]]


def test_lost_words_are_counted_and_evaluated_as_wrong(task, tokenizer, caplog):
    split = datasets.Dataset.from_dict(
        {"tokens": [["good", " ", "film", "is"], ["bad"]], "ner_tags": [["B-X", "I-X", "O", "B-X"], ["O"]]}
    )
    with caplog.at_level(logging.WARNING, logger="distil_nlp"):
        rows = task.prepare(split, tokenizer, max_length=4)
    assert rows["lost_words"] == [[1, 3], []]
    assert "2 of 5 words, in 1 of 2 rows, are cut off by max_length or have no subword" in caplog.text
    everything, pieces = task.evaluator(rows, split), task.evaluator(rows)
    of_all = everything.scores(everything.statistics(answers_of(rows)))
    assert of_all == {"f1": 0, "precision": 0, "recall": 0, "accuracy": pytest.approx(3 / 5)}
    assert pieces.scores(pieces.statistics(answers_of(rows)))["accuracy"] == 1


def test_words_without_a_tag_are_left_out_of_the_judgment(tokenizer):
    splits = splits_of({"tokens": [["good", "film"], ["bad"], ["bad"]], "tags": [["N", ""], ["A"], None]})
    task = TokenClassification.from_splits(splits)
    rows = task.prepare(splits["train"], tokenizer)
    evaluator = task.evaluator(rows, splits["train"])
    assert evaluator.num_examples == 2 and evaluator.names == ["accuracy"]
    assert evaluator.scores(evaluator.statistics(answers_of(rows))) == {"accuracy": 1}


def test_tokens_kept_in_a_file_are_read_again(task, splits, tokenizer, tmp_path):
    once, again = (task.prepare(splits["train"], tokenizer, cache_dir=tmp_path)[:] for _ in range(2))
    assert once == again and len(list(tmp_path.glob("*.arrow"))) == 1


def test_a_tokenizer_that_marks_words_by_a_space_gets_a_space_before_each(task):
    vocabulary = {piece: index for index, piece in enumerate(["<s>", "<pad>", "</s>", "<unk>", "<mask>"])}
    for piece in ["a", "b", "Ġ", "Ġa", "Ġb"]:
        vocabulary[piece] = len(vocabulary)
    roberta = RobertaTokenizerFast(vocab=vocabulary, merges=[("Ġ", "a"), ("Ġ", "b")])
    split = datasets.Dataset.from_dict({"tokens": [["a", "b", "ab"]]})
    rows = task.prepare(split, roberta)
    assert roberta.convert_ids_to_tokens(rows[0]["input_ids"]) == ["<s>", "Ġa", "Ġb", "Ġa", "b", "</s>"]
    assert rows[0]["soft_items"] == [False, True, True, True, False, False]


def test_a_slow_tokenizer_is_refused(task, splits):
    class Slow:
        is_fast = False

    with pytest.raises(ValueError, match="Slow is a slow tokenizer.*does not map subwords to words.*AutoTokenizer"):
        task.prepare(splits["train"], Slow())


# ---- Batches ----


@pytest.mark.parametrize("side", ["right", "left"])
def test_columns_per_token_are_padded_on_the_tokenizers_side(task, splits, tokenizer, side):
    tokenizer.padding_side = side
    rows = task.prepare(splits["train"], tokenizer)
    batch = task.collator(tokenizer, pad_to_multiple_of=8)(list(rows))
    assert batch["labels"].dtype == torch.int64 and batch["soft_items"].dtype == torch.bool
    assert {batch[name].shape for name in ("input_ids", "attention_mask", "labels", "soft_items")} == {(4, 8)}
    padding = batch["attention_mask"] == 0
    assert (batch["labels"][padding] == -100).all() and not batch["soft_items"][padding].any()
    for row, labels, mask in zip(rows, batch["labels"], batch["attention_mask"], strict=True):
        assert labels[mask.bool()].tolist() == row["labels"]
    assert {"length", "lost_words"}.isdisjoint(batch)


def test_augmented_copies_keep_columns_per_token_aligned_and_lose_their_tags(task, splits, tokenizer):
    split = datasets.Dataset.from_dict({"tokens": [["good", "films", "is"] * 5, ["badly"]] * 30})
    rows = task.prepare(split, tokenizer)
    altered = augmented_copies(rows, tokenizer, num_copies=2, per_token=task.per_token)
    assert altered.features == rows.features
    together = task.with_unlabeled(task.prepare(splits["train"], tokenizer), altered)
    first_pieces = {tokenizer.convert_tokens_to_ids(piece) for piece in WORDS}
    num_same = num_pieces = 0
    for row in together.select(range(4, len(together))):
        assert len({len(row[name]) for name in ("input_ids", "attention_mask", "labels", "soft_items")}) == 1
        assert set(row["labels"]) == {-100} and not row["soft_items"][0] and not row["soft_items"][-1]
        kept = [
            (one, soft) for one, soft in zip(row["input_ids"], row["soft_items"], strict=True) if one >= len(SPECIAL)
        ]
        num_same += sum((one in first_pieces) == soft for one, soft in kept)
        num_pieces += len(kept)
    assert num_same > 0.8 * num_pieces  # a swapped token stands where another stood
    assert together["example_id"] == list(range(len(together)))


def test_a_model_gets_the_names_of_the_tags(task):
    labels = task.config_labels()
    assert labels["id2label"] == {0: "O", 1: "B-X", 2: "I-X"}
    assert labels["num_labels"] == 3 and labels["problem_type"] == "single_label_classification"


def test_the_usage_example_aggregates_entities_but_not_parts_of_speech(task, splits):
    assert 'aggregation_strategy="first"' in task.usage_example("folder")
    others = TokenClassification.from_splits(splits_of({"tokens": [["a", "b"]], "tags": [["N", "V"]]}))
    assert "aggregation" not in others.usage_example("folder")


def test_a_model_answers_for_every_tagged_word(task, splits, tokenizer):
    from distil_nlp.evaluation import predict

    rows, model = task.prepare(splits["train"], tokenizer), tiny_model(task="token")
    evaluator = task.evaluator(rows, splits["train"])
    answers = predict(model, rows, task.collator(tokenizer), keep=evaluator.answers)
    assert [len(answer) for answer in answers] == [3, 0, 1, 0]
    assert evaluator.statistics(answers).shape == (2, 5)
