"""Words become states of frames, and states become words again."""

import io
import time
from types import SimpleNamespace

import datasets
import numpy as np
import pytest
import soundfile
import torch

from distil_nlp.data import concatenated_clips
from distil_nlp.data.concatenated_clips import join_clips
from distil_nlp.hmm import SILENCE, Decoder
from distil_nlp.metrics import HybridSpeechEvaluator
from distil_nlp.models import feature_extractor_for
from distil_nlp.tasks import HybridSpeechRecognition
from tests.speech import RATE, WORDS, clip_of, spoken, wave_of

SETTINGS = {"num_states": 3}


@pytest.fixture(scope="module")
def task_and_splits():
    splits = {"train": spoken(40), "validation": spoken(6, seed=1), "test": spoken(6, seed=2)}
    return HybridSpeechRecognition.from_splits(splits, **SETTINGS), splits


def test_the_words_of_the_training_split_are_the_states_of_the_model(task_and_splits):
    task, _ = task_and_splits
    names = task.config_labels()["id2label"].values()
    assert list(names) == [f"{unit}.{place}" for unit in (SILENCE, *sorted(WORDS)) for place in range(3)]
    kept = Decoder.from_dict(task.config_labels()["hmm"])
    assert kept.lexicon == task.decoder.lexicon
    torch.testing.assert_close(kept.log_prior, task.decoder.log_prior, rtol=0, atol=1e-4)


def test_every_frame_has_the_state_of_its_word(task_and_splits):
    task, splits = task_and_splits
    rows = task.prepare(splits["train"], feature_extractor_for(RATE))
    for text, labels in zip(splits["train"]["text"], rows["labels"], strict=True):
        words = [task.label_names[label].split(".")[0] for label in labels]
        assert _without_repeats([word for word in words if word != SILENCE]) == _without_repeats(text.split())


def _without_repeats(words):
    return [word for word, before in zip(words, [None, *words[:-1]], strict=True) if word != before]


def test_logits_of_the_aligned_states_have_no_error(task_and_splits):
    task, splits = task_and_splits
    rows = task.prepare(splits["test"], feature_extractor_for(RATE))
    batch = task.collator(feature_extractor_for(RATE))(list(rows))
    logits = 20 * torch.nn.functional.one_hot(batch["labels"].clamp(min=0), task.num_labels).float()
    evaluator = task.evaluator(rows, splits["test"])
    statistics = evaluator.statistics(evaluator.answers(logits, batch))
    assert evaluator.scores(statistics) == {"wer": 0, "sentences": 1, "frames": 1}
    silent = torch.zeros_like(logits)
    silent[..., :3] = 20
    assert evaluator.scores(evaluator.statistics(evaluator.answers(silent, batch)))["wer"] == 1


def test_clips_too_short_for_their_words_have_no_labels_and_a_warning(task_and_splits, caplog):
    task, _ = task_and_splits
    split = spoken(4, seed=3)
    texts = [*split["text"][:3], " ".join(["hi"] * 60)]
    split = split.remove_columns("text").add_column("text", texts)
    rows = task.prepare(split, feature_extractor_for(RATE))
    assert task.labeled(rows).tolist() == [True, True, True, False]
    assert "1 of 4 clips are too short for their words: Row 3 " in caplog.text and "last 180 at least" in caplog.text


def test_a_task_whose_words_are_longer_than_its_clips_is_refused():
    with pytest.raises(ValueError, match=r"clips are too short for their words: Row 0 .*Set fewer states.*num_states"):
        HybridSpeechRecognition.from_splits({"train": spoken(4), "validation": spoken(2, seed=1)}, num_states=200)


def test_a_word_outside_the_lexicon_is_reported_with_its_row(task_and_splits):
    task, _ = task_and_splits
    split = spoken(2, seed=3)
    split = split.remove_columns("text").add_column("text", ["hi", "zebra"])
    with pytest.raises(ValueError, match=r"^Row 1 \(counted from 0\) .*: The word 'zebra' is not among the 3"):
        task.prepare(split, feature_extractor_for(RATE))


def test_a_batch_has_a_label_per_frame_and_a_mask_of_frames(task_and_splits):
    task, splits = task_and_splits
    rows = task.prepare(splits["test"], feature_extractor_for(RATE))
    batch = task.collator(feature_extractor_for(RATE))(list(rows))
    lengths = [len(labels) for labels in rows["labels"]]
    assert batch["labels"].shape == batch["soft_items"].shape == (6, max(lengths))
    assert batch["soft_items"].sum(1).tolist() == lengths
    assert (batch["labels"][~batch["soft_items"]] == -100).all()
    model = task.auto_class.from_pretrained("streamcnn4", **task.config_labels())
    model.eval()
    logits = model(input_values=batch["input_values"], attention_mask=batch["attention_mask"]).logits
    assert logits.shape == (6, max(lengths), task.num_labels)


class Elsewhere(torch.nn.Module):
    """A teacher that was trained on another alignment: to it, every state begins two frames later."""

    device = torch.device("cpu")

    def __init__(self, task, rows):
        super().__init__()
        self.config = SimpleNamespace(hmm=task.config_labels()["hmm"])
        self.states = {
            row["length"]: torch.tensor([row["labels"][0]] * 2 + row["labels"][:-2]).clamp(min=0) for row in rows
        }
        self.num_states = task.num_labels

    def forward(self, input_values, attention_mask=None):
        states = self.states[input_values.shape[1]].unsqueeze(0)
        return SimpleNamespace(logits=20 * torch.nn.functional.one_hot(states, self.num_states).float())


def test_labels_are_aligned_by_a_teacher_that_was_trained_on_other_clips(task_and_splits):
    task, splits = task_and_splits
    processor, split = feature_extractor_for(RATE), splits["test"]
    own = task.prepare(split, processor)
    teacher = Elsewhere(task, own)
    assert len(teacher.states) == len(own)
    known = task.for_teacher(teacher, processor)
    for before, after in zip(own["labels"], known.prepare(split, processor)["labels"], strict=True):
        assert after[4:-4] == before[2:-6] != before[4:-4]
    assert known.decoder.to_dict() == {**task.decoder.to_dict(), "insertion_penalty": 0.0}
    assert known.prepare(split.remove_columns("text"), processor)["labels"] == task.without_labels(own)["labels"]


def test_the_insertion_penalty_comes_from_the_recipe_and_not_from_the_teacher(task_and_splits):
    task, splits = task_and_splits
    own = task.prepare(splits["test"], feature_extractor_for(RATE))
    teacher = Elsewhere(task, own)
    teacher.config.hmm = {**teacher.config.hmm, "insertion_penalty": -7.0}
    assert task.for_teacher(teacher, feature_extractor_for(RATE)).decoder.insertion_penalty == 0
    teacher.config = SimpleNamespace()
    assert task.for_teacher(teacher, feature_extractor_for(RATE)) is task


def test_rows_without_texts_have_frames_without_labels(task_and_splits):
    task, splits = task_and_splits
    rows = task.prepare(splits["test"].remove_columns("text"), feature_extractor_for(RATE))
    known = task.prepare(splits["test"], feature_extractor_for(RATE))
    assert not task.labeled(rows).any() and task.labeled(known).all()
    assert task.without_labels(known)["labels"] == rows["labels"]


def test_a_word_outside_the_lexicon_counts_as_an_error_and_nan_gives_nan(task_and_splits):
    task, splits = task_and_splits
    evaluator = HybridSpeechEvaluator([["ho", "unheard"], []], task.decoder)
    number = list(task.decoder.lexicon.words).index("ho")
    statistics = evaluator.statistics([np.array([3, 4, number]), np.array([0, 0])])
    assert evaluator.scores(statistics) == {"wer": 0.5, "sentences": 0.5, "frames": 0.75}
    with pytest.warns(UserWarning, match="1 of 2 clips contain NaN"):
        statistics = evaluator.statistics([np.array([np.nan]), np.array([0, 0])])
    assert np.isnan(evaluator.compute("wer", statistics))


def of_single_words(num_clips=24):
    """Clips of one word each, of three speakers in turn."""
    stored = {"bytes": datasets.Value("binary"), "path": datasets.Value("string")}
    features = datasets.Features(
        {
            "audio": stored,
            "label": datasets.ClassLabel(names=list(WORDS)),
            "speaker": datasets.ClassLabel(names=["ada", "bea", "cem"]),
        }
    )
    rows = {
        "audio": [{"bytes": clip_of(wave_of([list(WORDS)[row % 3]], row)), "path": None} for row in range(num_clips)],
        "label": [row % 3 for row in range(num_clips)],
        "speaker": [row // 3 % 3 for row in range(num_clips)],
    }
    return datasets.Dataset.from_dict(rows, features).cast_column("audio", datasets.Audio(decode=False))


def test_single_words_are_joined_to_sentences_of_the_same_speaker_each_word_once():
    split = of_single_words()
    settings = {"audio_column": "audio", "label_column": "label", "max_words": 4, "speaker_column": "speaker"}
    joined = join_clips(split, "train", **settings)
    words = [word for text in joined["text"] for word in text.split()]
    assert sorted(words) == sorted(split.features["label"].int2str(split["label"]))
    assert 1 < max(len(text.split()) for text in joined["text"]) <= 4
    assert set(joined["speaker"]) == {0, 1, 2}
    assert join_clips(split, "train", **settings)["text"] == joined["text"]
    assert join_clips(split, "train", **settings, seed=1)["text"] != joined["text"]


def test_joined_clips_have_the_same_bytes_at_any_time():
    first = concatenated_clips._wav(np.linspace(-0.5, 0.5, 400, dtype=np.float32), 8000)
    time.sleep(1.1)  # the clock in a WAV file counts seconds
    assert concatenated_clips._wav(np.linspace(-0.5, 0.5, 400, dtype=np.float32), 8000) == first
    samples, rate = soundfile.read(io.BytesIO(first), dtype="float32")
    assert rate == 8000 and (samples == np.linspace(-0.5, 0.5, 400, dtype=np.float32)).all()


def test_unlabeled_clips_are_joined_without_a_text():
    labeled = of_single_words(9)
    for unlabeled in (labeled, labeled.remove_columns("label")):
        found = HybridSpeechRecognition.arrange_splits({"train": labeled, "unlabeled": unlabeled}, joined_clips=2)
        assert found["train"].column_names == ["audio", "text", "speaker"]
        assert found["unlabeled"].column_names == ["audio", "speaker"]
        assert found["unlabeled"][0]["audio"] == found["train"][0]["audio"]


def test_held_out_speakers_are_in_the_test_split_only():
    splits = {"train": of_single_words(), "validation": of_single_words(9), "test": of_single_words(9)}
    found = HybridSpeechRecognition.arrange_splits(splits, held_out_speakers=["bea"])
    assert set(found["train"]["speaker"]) == set(found["validation"]["speaker"]) == {0, 2}
    assert set(found["test"]["speaker"]) == {1} and len(found["test"]) == 9 + 3 + 3


def test_unlabeled_clips_of_held_out_speakers_are_in_no_split():
    labeled, bare = of_single_words(12), of_single_words(12).remove_columns("label")
    splits = {"train": labeled, "validation": of_single_words(9), "unlabeled": bare}
    found = HybridSpeechRecognition.arrange_splits(splits, held_out_speakers=["bea"])
    assert len(found["test"]) == 3 + 3 and set(found["unlabeled"]["speaker"]) == {0, 2}
    assert set(found["test"]["speaker"]) == {1} and None not in found["test"]["label"]
    splits["unlabeled"] = bare.remove_columns("speaker").add_column("speaker", ["dan"] * 12)
    with pytest.raises(ValueError, match="contains dan, with unlabeled clips only"):
        HybridSpeechRecognition.arrange_splits(splits, held_out_speakers=["dan"])


@pytest.mark.parametrize(
    ("settings", "complaint"),
    [
        ({"held_out_speakers": ["zoe"]}, "'zoe', which is not among the 3 speakers"),
        ({"held_out_speakers": ["ada", "bea", "cem"]}, "no clip is left to train on"),
        ({"joined_clips": 0}, "1 or more; got 0"),
    ],
)
def test_arrangements_that_leave_nothing_are_refused(settings, complaint):
    with pytest.raises(ValueError, match=complaint):
        HybridSpeechRecognition.arrange_splits({"train": of_single_words(9)}, **settings)


def test_a_teacher_of_other_states_is_refused(task_and_splits):
    _, splits = task_and_splits
    with pytest.raises(ValueError, match=r"has 2 states \(x, y\), and the words .* have 12"):
        HybridSpeechRecognition.from_splits(splits, label_names=["x", "y"], **SETTINGS)


def test_a_word_that_training_does_not_have_is_named(task_and_splits):
    task, splits = task_and_splits
    other = splits["test"].map(lambda row: {"text": "hello"}, load_from_cache_file=False)
    with pytest.raises(ValueError, match="'hello' is not among the 3 of the lexicon"):
        task.prepare(other, feature_extractor_for(RATE))
