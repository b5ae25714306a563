"""Audio and texts become waves and characters, and characters become texts again."""

import numpy as np
import pytest
import torch
from transformers import AutoModelForCTC, pipeline

from distil_nlp.collators.audio import CtcCollator
from distil_nlp.models import NetworkForCTC, feature_extractor_for
from distil_nlp.tasks import CtcSpeechRecognition
from tests.speech import spoken, wave_of


@pytest.fixture(scope="module")
def task_and_splits():
    splits = {"train": spoken(12), "validation": spoken(4, seed=1)}
    return CtcSpeechRecognition.from_splits(splits), splits


def test_the_letters_of_the_texts_are_the_tokens(task_and_splits):
    task, splits = task_and_splits
    assert task.label_names == ["<pad>", "<unk>", "|", "e", "h", "i", "o"]
    processor = task.load_processor("streamcnn4")
    rows = task.prepare(splits["train"], processor)
    assert rows["labels"] == processor.tokenizer(list(splits["train"]["text"]))["input_ids"]
    assert [processor.tokenizer.decode(row, group_tokens=False) for row in rows["labels"]] == list(
        splits["train"]["text"]
    )


def test_a_batch_has_masks_of_frames_and_of_letters(task_and_splits):
    task, splits = task_and_splits
    processor = task.load_processor("streamcnn4")
    rows = task.prepare(splits["train"], processor)
    batch = task.collator(processor)(list(rows)[:3])
    model = task.auto_class.from_pretrained("streamcnn4", **task.config_labels()).eval()
    logits = model(input_values=batch["input_values"], attention_mask=batch["attention_mask"]).logits
    assert logits.shape == (*batch["frames"].shape, 7)
    assert (logits.argmax(-1)[~batch["frames"]] == 0).all() and (~batch["frames"]).any()
    assert [(row >= 0).sum().item() for row in batch["labels"]] == [len(row) for row in rows["labels"][:3]]


@pytest.mark.parametrize("length", [2110, 2111, 2112])
def test_there_are_as_many_frames_as_the_model_has_answers_at_another_sampling_rate(length):
    row = {"audio": np.zeros(length, dtype=np.float32).tobytes(), "length": length, "labels": [3]}
    batch = CtcCollator(16000, {"": feature_extractor_for(8000)})([row])
    model = NetworkForCTC.from_network("streamcnn4", sampling_rate=8000, num_labels=5)
    answers = model(batch["input_values"], batch["attention_mask"]).logits.shape[1]
    assert batch["frames"].sum() == batch["frames"].shape[1] == answers


def test_a_saved_model_is_the_auto_class_s_and_its_blank_is_its_padding(task_and_splits, tmp_path):
    task, _ = task_and_splits
    model = task.auto_class.from_pretrained("streamcnn4", **task.config_labels()).eval()
    model.save_pretrained(tmp_path)
    loaded = AutoModelForCTC.from_pretrained(tmp_path)
    wave = torch.from_numpy(wave_of(["ho"]))[None]
    assert loaded.config.pad_token_id == 0 and torch.equal(loaded(wave).logits, model(wave).logits)


def test_a_long_clip_in_chunks_has_the_transcript_and_times_of_the_whole(task_and_splits):
    task, _ = task_and_splits
    torch.manual_seed(1)
    model = task.auto_class.from_pretrained("streamcnn4", **task.config_labels()).eval()
    with torch.no_grad():
        model.network.classifier.weight.mul_(20)
    processor = task.load_processor("streamcnn4")
    write = pipeline(
        "automatic-speech-recognition",
        model,
        tokenizer=processor.tokenizer,
        feature_extractor=processor.feature_extractor,
    )
    wave = wave_of(["ho", "hi", "he"] * 8)
    whole = write(wave.copy(), return_timestamps="char")
    assert len(whole["text"]) > 20
    assert write(wave.copy(), chunk_length_s=3)["text"] == whole["text"]
    seconds = len(wave) / task.sampling_rate
    assert whole["chunks"][-1]["timestamp"][1] > 0.9 * seconds


def test_logits_of_the_reference_letters_have_no_error(task_and_splits):
    task, splits = task_and_splits
    processor = task.load_processor("streamcnn4")
    rows = task.prepare(splits["validation"], processor)
    batch = task.collator(processor)(list(rows))
    paths = torch.zeros(batch["frames"].shape, dtype=torch.long)
    for place, labels in enumerate(rows["labels"]):
        paths[place, 1 : 2 * len(labels) : 2] = torch.tensor(labels)  # a blank before each
    logits = 9.0 * torch.nn.functional.one_hot(paths, 7)
    evaluator = task.evaluator(rows, splits["validation"])
    assert evaluator.scores(evaluator.statistics(evaluator.answers(logits, batch))) == {
        "wer": 0,
        "cer": 0,
        "sentences": 1,
    }
    logits[0] = float("nan")
    with pytest.warns(UserWarning, match="1 of 4 clips contain NaN"):
        assert np.isnan(evaluator.compute("wer", evaluator.statistics(evaluator.answers(logits, batch))))


def test_a_text_too_long_for_its_clip_is_reported_with_its_row(task_and_splits):
    task, splits = task_and_splits
    split = splits["validation"].map(lambda row: {"text": "h" * 300}, load_from_cache_file=False)
    with pytest.raises(
        ValueError,
        match=r"Row 0 .* has \d+ frames, and its text 'h+'... \(300 characters\) needs 599, one per character",
    ):
        task.prepare(split, task.load_processor("streamcnn4"))


def test_a_teacher_without_the_letters_is_refused_and_a_larger_vocabulary_is_adopted(task_and_splits):
    task, splits = task_and_splits
    with pytest.raises(ValueError, match="it lacks e, h, i, o"):
        CtcSpeechRecognition.from_splits(splits, label_names=["<pad>", "<unk>", "|", "x"])
    for tokens in (
        ["e", "h", "i", "o", "|", "[UNK]", "[PAD]"],
        ["<pad>", "[UNK]", "|", *"ehio"],
        ["|", "<unk>", "<pad>"],
    ):
        with pytest.raises(ValueError, match=r"begin with <pad>, .* contain <unk> and \|.* got .*\. Take a teacher"):
            CtcSpeechRecognition.from_splits(splits, label_names=tokens)
    theirs = ["<pad>", "<unk>", "|", "o", "x", "i", "h", "e"]
    assert CtcSpeechRecognition.from_splits(splits, label_names=theirs).label_names == theirs


def test_texts_are_converted_to_the_case_of_the_teachers_letters(task_and_splits):
    _, splits = task_and_splits
    theirs = ["<pad>", "<s>", "</s>", "<unk>", "|", *"OIHE"]
    task = CtcSpeechRecognition.from_splits(splits, label_names=theirs)
    processor = task.load_processor("streamcnn4")
    assert task.output_names(processor) == theirs
    rows = task.prepare(splits["validation"], processor)
    written = [text.upper() for text in splits["validation"]["text"]]
    assert [task._decode(row) for row in rows["labels"]] == written
    evaluator = task.evaluator(rows, splits["validation"])
    statistics = evaluator.statistics([np.array(row, dtype=np.float64) for row in rows["labels"]])
    assert evaluator.compute("wer", statistics) == 0.0
