"""Sound through all stages of a recipe: keywords, and sentences by a DNN-HMM, up to a student that hears them."""

import json

import datasets
import numpy as np
import pytest
from transformers import (
    AutoFeatureExtractor,
    AutoModelForAudioClassification,
    AutoModelForCTC,
    AutoModelForSpeechSeq2Seq,
    Wav2Vec2Config,
    Wav2Vec2CTCTokenizer,
    Wav2Vec2FeatureExtractor,
    Wav2Vec2ForCTC,
    Wav2Vec2ForSequenceClassification,
    Wav2Vec2Processor,
    pipeline,
)

from distil_nlp.cli.commands import run
from distil_nlp.streaming import Recognizer
from distil_nlp.tasks import seq2seq_speech_recognition
from tests.recipe.runs import CACHE, QUICK
from tests.speech import RATE, WORDS, clip_of, spoken, wave_of


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("sound")
    for name, count, seed in (("train", 48, 0), ("validation", 9, 1)):
        spoken(count, seed=seed).to_parquet(folder / f"sentences-{name}.parquet")
        stored = {"bytes": datasets.Value("binary"), "path": datasets.Value("string")}
        features = datasets.Features({"audio": stored, "label": datasets.ClassLabel(names=list(WORDS))})
        clips = [clip_of(wave_of([list(WORDS)[row % 3]], 50 * seed + row)) for row in range(count)]
        rows = {"audio": [{"bytes": clip, "path": None} for clip in clips], "label": [row % 3 for row in range(count)]}
        datasets.Dataset.from_dict(rows, features).to_parquet(folder / f"words-{name}.parquet")
    return folder


def arguments(folder, output, kind, **changes):
    settings = {
        "teacher": "splicedmlp16" if kind == "sentences" else "streamcnn16",
        "student": "streamcnn4",
        "teacher_learning_rate": 1e-2,  # a teacher that is right on less than it would be under other names is refused
        "teacher_num_train_epochs": 12,
        "train_file": folder / f"{kind}-train.parquet",
        "validation_file": folder / f"{kind}-validation.parquet",
        "per_device_train_batch_size": 8,
        "output_dir": output,
        **changes,
    }
    return [
        *QUICK,
        *(str(word) for name, value in settings.items() if value is not None for word in (f"--{name}", value)),
    ]


def report(output):
    return json.loads((output / "report.json").read_text())


def test_keywords_go_through_all_stages_and_the_student_answers_in_a_pipeline(folder, tmp_path):
    changes = {"task": "audio-classification", "num_augmented_copies": 1, "cache": "true"}
    run(arguments(folder, tmp_path / "out", "words", **changes))
    found = report(tmp_path / "out")
    assert [model["role"] for model in found["models"]] == ["teacher", "student", "control"]
    assert found["data"]["learned_from"] == {"labeled": 48, "unlabeled": 0, "altered": 48}
    said = pipeline("audio-classification", str(tmp_path / "out" / "student"), device="cpu")(wave_of(["hi"], 3))
    assert {one["label"] for one in said} == set(WORDS)


def test_a_model_of_transformers_teaches_a_network_and_both_hear_what_they_are_made_for(folder, tmp_path):
    config = Wav2Vec2Config(
        hidden_size=16, num_hidden_layers=1, num_attention_heads=2, intermediate_size=16, conv_dim=(8, 8),
        conv_kernel=(400, 3), conv_stride=(160, 2), num_conv_pos_embeddings=4, num_conv_pos_embedding_groups=2,
        classifier_proj_size=8, num_labels=3, id2label=dict(enumerate(WORDS)),
    )  # fmt: skip
    Wav2Vec2ForSequenceClassification(config).save_pretrained(tmp_path / "teacher")
    extractor = Wav2Vec2FeatureExtractor(sampling_rate=16000, do_normalize=True, return_attention_mask=True)
    extractor.save_pretrained(tmp_path / "teacher")
    changes = {"task": "audio-classification", "teacher": tmp_path / "teacher", "train_teacher": "true"}
    run(arguments(folder, tmp_path / "out", "words", **changes, control="false"))
    student = AutoModelForAudioClassification.from_pretrained(tmp_path / "out" / "student")
    assert student.config.sampling_rate == 16000
    assert AutoFeatureExtractor.from_pretrained(tmp_path / "out" / "student").to_dict() == extractor.to_dict()


def test_sentences_go_through_all_stages_and_the_student_hears_words(folder, tmp_path, capsys):
    changes = {"task": "hybrid-speech-recognition", "num_states": 3, "augmentation": "{noise: 0.5}"}
    run(arguments(folder, tmp_path / "out", "sentences", **changes))
    found = report(tmp_path / "out")
    assert [model["role"] for model in found["models"]] == ["teacher", "student", "control"]
    assert all(set(model["metrics"]) == {"wer", "sentences", "frames"} for model in found["models"])
    card = (tmp_path / "out" / "student" / "README.md").read_text()
    assert "pipeline_tag: automatic-speech-recognition" in card and 'Recognizer.from_pretrained("out")' in card
    assert "pipeline(" not in card
    student = Recognizer.from_pretrained(tmp_path / "out" / "student")
    assert student.sampling_rate == RATE and list(student.decoder.lexicon.words) == sorted(WORDS)
    stream, wave = student.stream(), wave_of(["ho", "hi"], 5)
    assert [*stream.accept_waveform(wave), *stream.end()] == student(wave)
    assert f"distil-nlp listen {tmp_path / 'out' / 'student'} clip.wav" in capsys.readouterr().out


def test_a_cached_teacher_of_frames_teaches_unlabeled_clips_too(folder, tmp_path):
    sentences = datasets.Dataset.from_parquet(str(folder / "sentences-train.parquet"))
    sentences.remove_columns("text").select(range(20)).to_parquet(tmp_path / "more.parquet")
    settings = {"task": "hybrid-speech-recognition", "num_states": 3, "unlabeled_file": tmp_path / "more.parquet"}
    run(arguments(folder, tmp_path / "out", "sentences", **settings, cache="true", control="false"))
    assert report(tmp_path / "out")["data"]["learned_from"] == {"labeled": 48, "unlabeled": 20, "altered": 0}
    header = json.loads((tmp_path / "out" / "teacher_cache" / "cache.json").read_text())
    assert header["signals"]["logits"]["layout"] == "frames" and header["num_examples"] == 68


def test_a_teacher_that_learned_from_all_labels_teaches_where_few_are_left(folder, tmp_path):
    settings = {"task": "hybrid-speech-recognition", "num_states": 3}
    run(arguments(folder, tmp_path / "first", "sentences", **settings, control="false"))
    changes = {
        "teacher": tmp_path / "first" / "teacher",
        "max_train_samples": 6,
        "unlabeled_file": folder / "sentences-train.parquet",
        "teacher_learning_rate": None,
        "teacher_num_train_epochs": None,
    }
    run(arguments(folder, tmp_path / "second", "sentences", **settings, **changes))
    (first, *_), (second, *_) = (report(tmp_path / one)["models"] for one in ("first", "second"))
    assert second["metrics"]["wer"] == first["metrics"]["wer"]
    # Its own alignment of what was said is what the frames are called now: it cannot do worse than by another's.
    assert second["metrics"]["frames"] >= first["metrics"]["frames"]
    models = [json.loads((tmp_path / one / "config.json").read_text()) for one in ("first/teacher", "second/student")]
    assert models[0]["hmm"] == models[1]["hmm"]


def test_texts_go_through_all_stages_and_the_student_writes_in_a_pipeline(folder, tmp_path):
    changes = {"task": "automatic-speech-recognition", "teacher": "streamcnn16", "cache": "true"}
    run(arguments(folder, tmp_path / "out", "sentences", **changes))
    found = report(tmp_path / "out")
    assert [model["role"] for model in found["models"]] == ["teacher", "student", "control"]
    assert [term["name"] for term in found["objective"]] == ["ctc", "ctc_frames"]
    assert all(set(model["metrics"]) == {"wer", "cer", "sentences"} for model in found["models"])
    written = pipeline("automatic-speech-recognition", str(tmp_path / "out" / "student"), device="cpu")(
        wave_of(["ho", "hi"], 5)
    )
    assert set(written["text"]) <= set("eiho ")


def save_wav2vec2(folder):
    """A model with frames of 20 ms and upper-case letters, as those of the Hub."""
    tokens = ["<pad>", "<s>", "</s>", "<unk>", "|", *"EHIO"]
    (folder / "vocab").mkdir(parents=True)
    (folder / "vocab" / "vocab.json").write_text(json.dumps({token: place for place, token in enumerate(tokens)}))
    tokenizer = Wav2Vec2CTCTokenizer(str(folder / "vocab" / "vocab.json"))
    extractor = Wav2Vec2FeatureExtractor(sampling_rate=16000, do_normalize=True, return_attention_mask=True)
    Wav2Vec2Processor(extractor, tokenizer).save_pretrained(folder / "teacher")
    config = Wav2Vec2Config(
        vocab_size=len(tokenizer), hidden_size=16, num_hidden_layers=1, num_attention_heads=2, intermediate_size=16,
        conv_dim=(8, 8), conv_kernel=(400, 3), conv_stride=(160, 2), num_conv_pos_embeddings=4,
        num_conv_pos_embedding_groups=2, pad_token_id=0, feat_extract_norm="layer", do_stable_layer_norm=True,
    )  # fmt: skip
    Wav2Vec2ForCTC(config).save_pretrained(folder / "teacher")
    return folder / "teacher"


@pytest.mark.parametrize("cache", CACHE)
def test_a_model_with_longer_frames_and_letters_of_its_own_teaches_a_network_to_write(cache, folder, tmp_path):
    teacher = save_wav2vec2(tmp_path)
    changes = {"task": "automatic-speech-recognition", "teacher": teacher, "train_teacher": "true", "cache": cache}
    run(arguments(folder, tmp_path / "out", "sentences", **changes))
    student = AutoModelForCTC.from_pretrained(tmp_path / "out" / "student")
    assert student.config.sampling_rate == 16000
    assert list(student.config.id2label.values()) == ["<pad>", "<s>", "</s>", "<unk>", "|", *"EHIO"]
    written = pipeline("automatic-speech-recognition", str(tmp_path / "out" / "student"), device="cpu")
    assert isinstance(written({"raw": wave_of(["hi"], 3), "sampling_rate": 16000})["text"], str)
    found = report(tmp_path / "out")
    assert [model["role"] for model in found["models"]] == ["teacher", "student", "control"]
    if cache == "true":
        header = json.loads((tmp_path / "out" / "teacher_cache" / "cache.json").read_text())
        assert header["signals"]["logits"]["layout"] == "ctc_frames"


def test_the_teachers_transcripts_teach_clips_without_texts(folder, tmp_path):
    sentences = datasets.Dataset.from_parquet(str(folder / "sentences-train.parquet"))
    sentences.remove_columns("text").select(range(20)).to_parquet(tmp_path / "more.parquet")
    changes = {"task": "automatic-speech-recognition", "teacher": "streamcnn16", "preset": "transcripts"}
    run(arguments(folder, tmp_path / "out", "sentences", **changes, unlabeled_file=tmp_path / "more.parquet"))
    found = report(tmp_path / "out")
    assert found["data"]["learned_from"] == {"labeled": 48, "unlabeled": 20, "altered": 0}
    assert [term["name"] for term in found["objective"]] == ["ctc_transcript", "ctc_frames"]


def test_words_become_sentences_where_that_is_asked_for(folder, tmp_path):
    changes = {"task": "hybrid-speech-recognition", "num_states": 3, "joined_clips": 3, "control": "false"}
    run(arguments(folder, tmp_path / "out", "words", **changes))
    data = report(tmp_path / "out")["data"]
    assert data["learned_from"]["labeled"] < 48


@pytest.mark.parametrize(
    ("kind", "changes", "complaint"),
    [
        ("words", {"task": "audio-classification", "joined_clips": 3}, "joined_clips=3 would have no effect"),
        (
            "words",
            {"task": "audio-classification", "augmentation": "{flip: 0.5}"},
            "augmentation is a mapping of shift",
        ),
        ("sentences", {"task": "hybrid-speech-recognition", "augmentation": "{shift: 0.1}"}, "mapping of noise"),
        ("words", {"task": "hybrid-speech-recognition"}, "no column 'text'.*Set text_column"),
        (
            "words",
            {"task": "audio-classification", "student": "resnet8"},
            "'resnet' does not run in a Network.*on audio input",
        ),
    ],
)
def test_what_makes_no_sense_is_refused_before_training(kind, changes, complaint, folder, tmp_path):
    with pytest.raises((ValueError, RuntimeError), match=complaint):
        run(arguments(folder, tmp_path / "out", kind, **changes))
    assert not (tmp_path / "out" / "teacher").exists()


def test_a_folder_of_clips_is_a_data_set(tmp_path):
    import soundfile

    for part, count in (("train", 6), ("validation", 2)):
        for word in WORDS:
            (tmp_path / "data" / part / word).mkdir(parents=True)
            for place in range(count):
                wave = wave_of([word], place)
                soundfile.write(tmp_path / "data" / part / word / f"{place}.wav", np.asarray(wave), RATE)
    words = [*QUICK, "--task", "audio-classification", "--dataset_name", str(tmp_path / "data"), "--control", "false"]
    run([*words, "--teacher", "streamcnn8", "--student", "streamcnn4", "--output_dir", str(tmp_path / "out")])
    assert report(tmp_path / "out")["data"]["learned_from"]["labeled"] == 18


def writing(folder, output, **changes):
    settings = {
        "task": "seq2seq-speech-recognition", "teacher": "whisper-2x16", "student": None, "num_layers": 1,
        "freeze_encoder": "true", "max_word_error": 9.0, "teacher_num_train_epochs": 2, **changes,
    }  # fmt: skip
    return arguments(folder, output, "sentences", **settings)


@pytest.mark.parametrize("cache", CACHE)
def test_an_encoder_decoder_learns_what_its_teacher_writes(cache, folder, tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(seq2seq_speech_recognition, "_MAX_TOKENS", 32)  # it has learned little and would never end
    sentences = datasets.Dataset.from_parquet(str(folder / "sentences-train.parquet"))
    sentences.remove_columns("text").select(range(20)).to_parquet(tmp_path / "more.parquet")
    run(writing(folder, tmp_path / "out", cache=cache, unlabeled_file=tmp_path / "more.parquet"))
    found = report(tmp_path / "out")
    assert [model["role"] for model in found["models"]] == ["teacher", "student", "control"]
    assert all(set(model["metrics"]) == {"wer", "cer", "sentences"} for model in found["models"])
    assert found["data"]["learned_from"] == {"labeled": 48, "unlabeled": 20, "altered": 0}
    written = json.loads((tmp_path / "out" / "pseudo_labels" / "00000000.json").read_text())
    assert len(written["texts"]) == 68
    teacher, student = (
        AutoModelForSpeechSeq2Seq.from_pretrained(tmp_path / "out" / name) for name in ("teacher", "student")
    )
    theirs = teacher.get_encoder().state_dict()
    assert all((theirs[name] == one).all() for name, one in student.get_encoder().state_dict().items())
    assert (student.config.encoder_layers, student.config.decoder_layers) == (2, 1)
    assert f'pipeline("automatic-speech-recognition", "{tmp_path / "out" / "student"}")' in capsys.readouterr().out
    said = pipeline("automatic-speech-recognition", str(tmp_path / "out" / "student"), device="cpu")
    assert isinstance(said({"raw": wave_of(["hi"], 3), "sampling_rate": 2 * RATE})["text"], str)


def test_texts_that_were_given_can_be_learned_instead(folder, tmp_path):
    run(writing(folder, tmp_path / "out", max_word_error=None, pseudo_labels="false", control="false"))
    assert not (tmp_path / "out" / "pseudo_labels").exists()


@pytest.mark.parametrize(
    "changes, message",
    [
        ({"more_teachers": "whisper-1x16"}, "learns the texts that one teacher"),
        ({"student": "whisper-1x16", "num_layers": None}, "is not the teacher's"),
        ({"pseudo_labels": "false"}, "max_word_error=9.0 would have no effect"),
    ],
)
def test_what_an_encoder_decoder_cannot_do_is_said_first(changes, message, folder, tmp_path):
    with pytest.raises(ValueError, match=message):
        run(writing(folder, tmp_path / "out", **changes))
    assert not (tmp_path / "out" / "teacher").exists()


def test_only_what_writes_has_pseudo_labels(folder, tmp_path):
    changes = {"task": "hybrid-speech-recognition", "num_states": 3, "pseudo_labels": "true"}
    with pytest.raises(ValueError, match="hybrid-speech-recognition generates none"):
        run(arguments(folder, tmp_path / "out", "sentences", **changes))
