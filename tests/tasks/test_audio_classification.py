"""Audio of data sets becomes rows of waves and batches of model inputs."""

import io

import datasets
import numpy as np
import pytest
import soundfile
import torch

from distil_nlp.data import audio_files
from distil_nlp.models import feature_extractor_for
from distil_nlp.tasks import AudioClassification

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
    return task.prepare(data["train"], processor or feature_extractor_for(RATE)), task


def waves(rows):
    return [np.frombuffer(one, dtype=np.float32) for one in rows["audio"]]


def test_prepared_waves_equal_the_files_with_labels_and_ids():
    clips = [wave(row, 800 + row) for row in range(4)]
    rows, task = rows_of([encoded(clip) for clip in clips])
    assert (task.sampling_rate, task.label_names) == (RATE, NAMES)
    assert all(np.array_equal(one, other) for one, other in zip(waves(rows), clips, strict=True))
    assert rows["labels"] == [0, 1, 2, 0] and rows["example_id"] == [0, 1, 2, 3]
    assert rows["length"] == [800, 801, 802, 803]


def test_a_batch_is_padded_with_a_mask():
    rows, task = rows_of([encoded(wave(row, 800 + 100 * row)) for row in range(3)])
    batch = task.collator(feature_extractor_for(RATE))(list(rows))
    assert batch["input_values"].shape == batch["attention_mask"].shape == (3, 1000)
    assert batch["attention_mask"].sum(1).tolist() == [800, 900, 1000]
    assert batch["input_values"][0, 800:].abs().max() == 0
    assert batch["labels"].tolist() == [0, 1, 2] and batch["labels"].dtype == torch.int64


@pytest.mark.parametrize("format", ["WAV", "AIFF", "FLAC"])
def test_half_of_a_file_is_refused_and_a_whole_one_is_not(format, tmp_path):
    whole = encoded(wave(0, 8000), format=format, subtype="PCM_16")
    (tmp_path / "half").write_bytes(whole[: len(whole) // 2])
    (tmp_path / "whole").write_bytes(whole)
    assert len(audio_files.read_audio_file(tmp_path / "whole")[0]) == 8000
    with pytest.raises(ValueError, match=r"half\) .*cut off"):
        audio_files.read_audio_file(tmp_path / "half")


@pytest.mark.parametrize(
    ("sample", "message"),
    [
        (np.nan, "1 samples that are not finite"),
        (-np.inf, "1 samples that are not"),
        (1e30, "up to 1e.30, and audio lies"),
    ],
)
def test_a_sample_that_is_no_sound_is_refused_with_its_row(sample, message):
    broken = wave(2)
    broken[7] = sample
    with pytest.raises(ValueError, match=rf"(?i)row 2 .*clip2.wav.*{message}"):
        rows_of([encoded(wave(0)), encoded(wave(1)), encoded(broken)])


def test_a_wave_file_with_an_unknown_length_in_its_header_is_read():
    piped = encoded(wave(0))
    piped = piped[:4] + b"\xff\xff\xff\xff" + piped[8:]
    rows, _ = rows_of([piped] * 3)
    assert np.array_equal(waves(rows)[0], wave(0))


def test_a_column_that_holds_no_sound_is_refused():
    with pytest.raises(
        ValueError, match=r"columns are noise, label\. None of them contains audio files\. Set audio_column"
    ):
        AudioClassification.from_splits(splits(column="noise"))
    task = AudioClassification.from_splits(splits(column="noise"), audio_column="noise")
    assert task.audio_column == "noise"


def test_a_model_without_a_feature_extractor_is_refused(tmp_path):
    with pytest.raises(ValueError, match="has no feature extractor beside it"):
        AudioClassification.from_splits(splits()).load_processor(tmp_path)
