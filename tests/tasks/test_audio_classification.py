"""Sound as data sets have it becomes rows of waves, and batches as models hear them."""

import io
import logging

import datasets
import numpy as np
import pytest
import soundfile
import torch

from distil_nlp import sound_files
from distil_nlp.adapters import extractor_for
from distil_nlp.tasks import AudioClassification, load_splits

RATE = 8000
NAMES = ["one", "two", "three"]


def wave(seed, num_samples=800, channels=None):
    shape = num_samples if channels is None else (num_samples, channels)
    return np.random.default_rng(seed).uniform(-0.5, 0.5, shape).astype(np.float32)


def encoded(samples, rate=RATE, format="WAV", subtype="FLOAT"):
    buffer = io.BytesIO()
    soundfile.write(buffer, samples, rate, format=format, subtype=subtype)
    return buffer.getvalue()


def split(clips, column="audio"):
    """Rows of encoded clips; a clip of None is missing."""
    files = [{"bytes": clip, "path": None if clip is None else f"clip{place}.wav"} for place, clip in enumerate(clips)]
    stored = {"bytes": datasets.Value("binary"), "path": datasets.Value("string")}
    features = datasets.Features({column: stored, "label": datasets.ClassLabel(names=NAMES)})
    rows = datasets.Dataset.from_dict({column: files, "label": [row % 3 for row in range(len(clips))]}, features)
    # Not at once: `datasets` would want torchcodec to encode what is encoded already.
    return rows.cast_column(column, datasets.Audio(decode=False)) if column == "audio" else rows


def splits(train=None, **settings):
    train = [encoded(wave(row, 800 + 100 * row)) for row in range(6)] if train is None else train
    return {"train": split(train, **settings), "validation": split([encoded(wave(9))] * 3, **settings)}


def rows_of(clips, processor=None):
    data = splits(clips)
    task = AudioClassification.from_splits(data)
    return task.prepare(data["train"], processor or extractor_for(RATE)), task


def waves(rows):
    return [np.frombuffer(one, dtype=np.float32) for one in rows["audio"]]


def test_waves_are_read_as_they_are_with_their_labels_and_ids():
    clips = [wave(row, 800 + row) for row in range(4)]
    rows, task = rows_of([encoded(clip) for clip in clips])
    assert (task.sampling_rate, task.label_names) == (RATE, NAMES)
    assert all(np.array_equal(one, other) for one, other in zip(waves(rows), clips, strict=True))
    assert rows["labels"] == [0, 1, 2, 0] and rows["example_id"] == [0, 1, 2, 3]
    assert rows["length"] == [800, 801, 802, 803]


def test_a_batch_is_padded_and_says_where():
    rows, task = rows_of([encoded(wave(row, 800 + 100 * row)) for row in range(3)])
    batch = task.collator(extractor_for(RATE))(list(rows))
    assert batch["input_values"].shape == batch["attention_mask"].shape == (3, 1000)
    assert batch["attention_mask"].sum(1).tolist() == [800, 900, 1000]
    assert batch["input_values"][0, 800:].abs().max() == 0
    assert batch["labels"].tolist() == [0, 1, 2] and batch["labels"].dtype == torch.int64


@pytest.mark.parametrize(("format", "subtype"), [("WAV", "PCM_16"), ("FLAC", "PCM_16"), ("OGG", "VORBIS")])
def test_formats_that_soundfile_knows_can_be_read(format, subtype):
    tone = (0.3 * np.sin(np.arange(1600) / 5)).astype(np.float32)
    rows, _ = rows_of([encoded(tone, format=format, subtype=subtype)] * 3)
    assert np.abs(waves(rows)[0] - tone).max() < (0.05 if format == "OGG" else 1e-4)


@pytest.mark.parametrize("parts", [("train", "validation"), (".",)], ids=["with splits", "classes alone"])
def test_a_folder_of_files_one_subfolder_a_class_is_a_data_set(parts, tmp_path):
    for part in parts:
        for name in NAMES:
            (tmp_path / part / name).mkdir(parents=True)
            for place in range(2):
                soundfile.write(tmp_path / part / name / f"{place}.flac", wave(place), RATE)
    data = load_splits(dataset_name=str(tmp_path), train_val_split=None if len(parts) == 2 else 0.34)
    task = AudioClassification.from_splits(data)
    assert task.label_names == sorted(NAMES)
    rows = task.prepare(data["train"], task.load_processor("streamcnn8"))
    assert len(rows) == (6 if len(parts) == 2 else 4)
    names = [task.label_names[label] for label in rows["labels"]]
    assert all(name in one["path"] for name, one in zip(names, data["train"]["audio"], strict=True))


@pytest.mark.parametrize("path", ["clip.wav", "somewhere/one/clip.wav", "train/one/more/clip.wav"])
def test_a_file_that_lies_in_no_class_is_named(path, tmp_path):
    (tmp_path / path).parent.mkdir(parents=True, exist_ok=True)
    soundfile.write(tmp_path / path, wave(0), RATE)
    with pytest.raises(ValueError, match=rf"{path.split('/')[-1]} is neither in CLASS/ nor in SPLIT/CLASS/"):
        load_splits(dataset_name=str(tmp_path), train_val_split=0.5)


def test_several_channels_are_averaged_and_the_log_says_so(caplog):
    sound_files._SAID.clear()
    stereo = wave(0, channels=2)
    with caplog.at_level(logging.WARNING):
        rows, _ = rows_of([encoded(stereo)] * 3)
    np.testing.assert_allclose(waves(rows)[0], stereo.mean(1), rtol=0, atol=1e-7)
    assert sum("has 2 channels" in one for one in caplog.messages) == 1


def test_another_sampling_rate_becomes_the_models_and_the_log_says_so(caplog):
    sound_files._SAID.clear()
    tone = np.sin(2 * np.pi * 440 * np.arange(4000) / 16000).astype(np.float32)
    with caplog.at_level(logging.WARNING):
        rows, _ = rows_of([encoded(tone, 16000)] * 3)
    expected = np.sin(2 * np.pi * 440 * np.arange(2000) / RATE)
    assert len(waves(rows)[0]) == 2000
    assert np.abs(waves(rows)[0] - expected)[50:-50].max() < 0.01
    assert any("has 16000 samples a second, and models hear 8000" in one for one in caplog.messages)


def test_teacher_and_student_hear_the_same_wave_each_at_its_rate():
    data = splits()
    task = AudioClassification.from_splits(data)
    student, teacher = extractor_for(4000), extractor_for(RATE)
    rows = task.prepare_for(data["train"], student, {"teacher_": teacher})
    batch = task.collator_for(student, {"teacher_": teacher})(list(rows)[:2])
    alone = task.collator(teacher)(list(rows)[:2])
    assert torch.equal(batch["teacher_input_values"], alone["input_values"])
    assert batch["input_values"].shape == (2, 450) and batch["teacher_input_values"].shape == (2, 900)


BAD = encoded(np.array([0.1] * 500 + [np.nan] * 3 + [0.1] * 500, dtype=np.float32))


@pytest.mark.parametrize(
    ("clip", "complaint"),
    [
        (encoded(wave(0))[:30], r"Row 2 .*\(clip2.wav\) holds no sound that can be read.*cut off"),
        (b"no sound", r"Row 2 .*\(clip2.wav\) holds no sound that can be read.*b'no sound'"),
        (encoded(wave(0, 0)), r"Row 2 .*\(clip2.wav\) lasts 0.000 s \(0 samples"),
        (encoded(wave(0, 200)), r"Row 2 .*\(clip2.wav\) lasts 0.025 s \(200 samples at 8000 Hz\).*0.04 s at least"),
        (BAD, r"Row 2 .*\(clip2.wav\) holds 3 samples that are not finite"),
        (None, r"Row 2 .*has no sound"),
    ],
    ids=["cut off", "not sound", "empty", "short", "nan", "missing"],
)
def test_a_clip_that_cannot_be_used_is_named(clip, complaint):
    clips = [encoded(wave(row)) for row in range(4)]
    clips[2] = clip
    data = splits(clips)
    task = AudioClassification.from_splits(data)
    with pytest.raises(ValueError, match=complaint):
        task.prepare(data["train"], extractor_for(RATE))


def test_a_column_that_holds_no_sound_is_refused():
    with pytest.raises(ValueError, match=r"columns are noise, label\. None of them holds sounds\. Set audio_column"):
        AudioClassification.from_splits(splits(column="noise"))
    task = AudioClassification.from_splits(splits(column="noise"), audio_column="noise")
    assert task.audio_column == "noise"


def test_a_model_without_a_feature_extractor_is_refused(tmp_path):
    with pytest.raises(ValueError, match="has no feature extractor beside it"):
        AudioClassification.from_splits(splits()).load_processor(tmp_path)
