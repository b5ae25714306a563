"""Recipes of speech: keywords, sentences by a DNN-HMM, CTC models and encoder-decoders, up to a working student."""

import io
import json
from contextlib import redirect_stdout

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
from tests.recipe.runs import CACHE, QUICK, checked
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


HYBRID = {"task": "hybrid-speech-recognition", "num_states": 3}
CTC = {"task": "automatic-speech-recognition"}


def arguments(folder, output, kind, **changes):
    settings = {
        "teacher": "splicedmlp16" if kind == "sentences" else "streamcnn16",
        "student": "streamcnn4",
        "teacher_learning_rate": 1e-2,  # a teacher that would be better with its labels permuted is refused
        "teacher_num_train_epochs": 6,
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


@pytest.fixture(scope="module")
def hybrid(folder, tmp_path_factory):
    """The folder of a run of a DNN-HMM, and what the run printed."""
    output, printed = tmp_path_factory.mktemp("hybrid") / "out", io.StringIO()
    with redirect_stdout(printed):
        run(arguments(folder, output, "sentences", **HYBRID, augmentation="{noise: 0.5}"))
    return output, printed.getvalue()


@pytest.fixture(scope="module")
def ctc(folder, tmp_path_factory):
    """The folder of a run of CTC models."""
    output = tmp_path_factory.mktemp("ctc") / "out"
    run(arguments(folder, output, "sentences", **CTC, teacher="streamcnn16", cache="true"))
    return output


@pytest.fixture(scope="module")
def more(folder):
    """A file of sentences without texts."""
    sentences = datasets.Dataset.from_parquet(str(folder / "sentences-train.parquet"))
    sentences.remove_columns("text").select(range(8)).to_parquet(folder / "more.parquet")
    return folder / "more.parquet"


def test_keywords_give_a_student_that_works_in_a_pipeline(folder, tmp_path):
    changes = {
        "task": "audio-classification",
        "num_augmented_copies": 1,
        "cache": "true",
        "teacher_num_train_epochs": 2,
    }
    run(arguments(folder, tmp_path / "out", "words", **changes))
    contents = report(tmp_path / "out")
    assert [model["role"] for model in contents["models"]] == ["teacher", "student", "control"]
    assert contents["data"]["learned_from"] == {"labeled": 48, "unlabeled": 0, "altered": 48}
    student = pipeline("audio-classification", str(tmp_path / "out" / "student"), device="cpu")
    assert {prediction["label"] for prediction in student(wave_of(["hi"], 3))} == set(WORDS)


def test_a_transformers_model_teaches_a_network_that_reads_other_features(folder, tmp_path):
    config = Wav2Vec2Config(
        hidden_size=16, num_hidden_layers=1, num_attention_heads=2, intermediate_size=16, conv_dim=(8, 8),
        conv_kernel=(400, 3), conv_stride=(160, 2), num_conv_pos_embeddings=4, num_conv_pos_embedding_groups=2,
        classifier_proj_size=8, num_labels=3, id2label=dict(enumerate(WORDS)),
    )  # fmt: skip
    Wav2Vec2ForSequenceClassification(config).save_pretrained(tmp_path / "teacher")
    extractor = Wav2Vec2FeatureExtractor(sampling_rate=16000, do_normalize=True, return_attention_mask=True)
    extractor.save_pretrained(tmp_path / "teacher")
    changes = {"task": "audio-classification", "teacher": tmp_path / "teacher", "train_teacher": "true"}
    run(arguments(folder, tmp_path / "out", "words", **changes, teacher_num_train_epochs=1, control="false"))
    student = AutoModelForAudioClassification.from_pretrained(tmp_path / "out" / "student")
    assert student.config.sampling_rate == 16000
    assert AutoFeatureExtractor.from_pretrained(tmp_path / "out" / "student").to_dict() == extractor.to_dict()


def test_sentences_give_a_student_that_recognizes_words_online(hybrid):
    output, printed = hybrid
    models = report(output)["models"]
    assert [model["role"] for model in models] == ["teacher", "student", "control"]
    assert all(set(model["metrics"]) == {"wer", "sentences", "frames"} for model in models)
    card = (output / "student" / "README.md").read_text()
    assert "pipeline_tag: automatic-speech-recognition" in card and 'Recognizer.from_pretrained("out")' in card
    assert "pipeline(" not in card
    student = Recognizer.from_pretrained(output / "student")
    assert student.sampling_rate == RATE and list(student.decoder.lexicon.words) == sorted(WORDS)
    stream, wave = student.stream(), wave_of(["ho", "hi"], 5)
    assert [*stream.accept_waveform(wave), *stream.end()] == student(wave)
    assert f"distil-nlp listen {output / 'student'} clip.wav" in printed


def test_a_cached_teacher_of_many_sentences_teaches_a_student_with_few_texts(folder, hybrid, tmp_path):
    first, _ = hybrid
    changes = {
        "teacher": first / "teacher",
        "max_train_samples": 6,
        "unlabeled_file": folder / "sentences-train.parquet",
        "teacher_learning_rate": None,
        "teacher_num_train_epochs": None,
    }
    run(arguments(folder, tmp_path, "sentences", **HYBRID, **changes, cache="true"))
    before, after = (report(output)["models"][0]["metrics"] for output in (first, tmp_path))
    assert after["wer"] == before["wer"]
    # The teacher aligns the frames now: it cannot be worse on its own alignment than on another model's.
    assert after["frames"] >= before["frames"]
    teacher, student = (
        json.loads((path / "config.json").read_text()) for path in (first / "teacher", tmp_path / "student")
    )
    assert teacher["hmm"] == student["hmm"]
    learned_from = report(tmp_path)["data"]["learned_from"]
    assert learned_from["labeled"] == 6 and learned_from["unlabeled"] > 0 and learned_from["altered"] == 0
    header = json.loads((tmp_path / "teacher_cache" / "cache.json").read_text())
    assert header["signals"]["logits"]["layout"] == "frames" and header["num_examples"] == sum(learned_from.values())


def test_texts_give_a_student_that_works_in_a_pipeline(ctc):
    contents = report(ctc)
    assert [model["role"] for model in contents["models"]] == ["teacher", "student", "control"]
    assert [term["name"] for term in contents["objective"]] == ["ctc", "ctc_frames"]
    assert all(set(model["metrics"]) == {"wer", "cer", "sentences"} for model in contents["models"])
    student = pipeline("automatic-speech-recognition", str(ctc / "student"), device="cpu")
    assert set(student(wave_of(["ho", "hi"], 5))["text"]) <= set("eiho ")


def save_wav2vec2(folder):
    """A model with frames of 20 ms and upper-case letters, like those of the Hub."""
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
def test_a_ctc_model_with_longer_frames_and_its_own_letters_teaches_a_network(cache, folder, tmp_path):
    changes = {"teacher": save_wav2vec2(tmp_path), "train_teacher": "true", "cache": cache, "control": "false"}
    run(arguments(folder, tmp_path / "out", "sentences", **CTC, **changes, teacher_num_train_epochs=1))
    student = AutoModelForCTC.from_pretrained(tmp_path / "out" / "student")
    assert student.config.sampling_rate == 16000
    assert list(student.config.id2label.values()) == ["<pad>", "<s>", "</s>", "<unk>", "|", *"EHIO"]
    recognizer = pipeline("automatic-speech-recognition", str(tmp_path / "out" / "student"), device="cpu")
    assert isinstance(recognizer({"raw": wave_of(["hi"], 3), "sampling_rate": 16000})["text"], str)
    assert [model["role"] for model in report(tmp_path / "out")["models"]] == ["teacher", "student"]
    if cache == "true":
        header = json.loads((tmp_path / "out" / "teacher_cache" / "cache.json").read_text())
        assert header["signals"]["logits"]["layout"] == "ctc_frames"


def test_the_teachers_transcripts_teach_clips_without_texts(folder, ctc, more, tmp_path):
    changes = {"teacher": ctc / "teacher", "preset": "transcripts", "unlabeled_file": more, "control": "false"}
    unused = {"teacher_learning_rate": None, "teacher_num_train_epochs": None}
    run(arguments(folder, tmp_path / "out", "sentences", **CTC, **changes, **unused))
    contents = report(tmp_path / "out")
    assert contents["data"]["learned_from"] == {"labeled": 48, "unlabeled": 8, "altered": 0}
    assert [term["name"] for term in contents["objective"]] == ["ctc_transcript", "ctc_frames"]


JOINED = {**HYBRID, "joined_clips": 3, "control": "false"}


def test_joined_clips_make_sentences_of_keywords(folder, tmp_path):
    data = checked(arguments(folder, tmp_path, "words", **JOINED)).data
    assert 0 < data.learned_from["labeled"] < 48


@pytest.mark.slow  # trains a teacher of its own; the joined clips are checked above
def test_joined_clips_teach_a_student(folder, tmp_path):
    run(arguments(folder, tmp_path / "out", "words", **JOINED))
    assert report(tmp_path / "out")["data"]["learned_from"]["labeled"] < 48


@pytest.mark.parametrize(
    ("kind", "changes", "message"),
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
def test_invalid_settings_are_refused_before_training(kind, changes, message, folder, tmp_path):
    with pytest.raises((ValueError, RuntimeError), match=message):
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
    words += ["--teacher", "streamcnn8", "--student", "streamcnn4", "--output_dir", str(tmp_path / "out")]
    data = checked(words).data
    assert data.learned_from["labeled"] == 18 and set(data.task.label_names) == set(WORDS)


@pytest.fixture
def short_texts(monkeypatch):
    """At most 16 tokens are generated: a model that has learned little would generate all it may."""
    monkeypatch.setattr(seq2seq_speech_recognition, "_MAX_TOKENS", 16)


def writing(folder, output, **changes):
    settings = {
        "task": "seq2seq-speech-recognition", "teacher": "whisper-2x16", "student": None, "num_layers": 1,
        "freeze_encoder": "true", "max_word_error": 9.0, "teacher_num_train_epochs": 1, "max_train_samples": 16,
        **changes,
    }  # fmt: skip
    return arguments(folder, output, "sentences", **settings)


@pytest.mark.parametrize("cache", CACHE)
@pytest.mark.usefixtures("short_texts")
def test_an_encoder_decoder_learns_the_texts_that_its_teacher_generates(cache, folder, more, tmp_path, capsys):
    run(writing(folder, tmp_path / "out", cache=cache, unlabeled_file=more))
    contents = report(tmp_path / "out")
    assert [model["role"] for model in contents["models"]] == ["teacher", "student", "control"]
    assert all(set(model["metrics"]) == {"wer", "cer", "sentences"} for model in contents["models"])
    assert contents["data"]["learned_from"] == {"labeled": 16, "unlabeled": 8, "altered": 0}
    pseudo_labels = json.loads((tmp_path / "out" / "pseudo_labels" / "00000000.json").read_text())
    assert len(pseudo_labels["texts"]) == 24
    teacher, student = (
        AutoModelForSpeechSeq2Seq.from_pretrained(tmp_path / "out" / name) for name in ("teacher", "student")
    )
    encoder = teacher.get_encoder().state_dict()
    assert all((encoder[name] == value).all() for name, value in student.get_encoder().state_dict().items())
    assert (student.config.encoder_layers, student.config.decoder_layers) == (2, 1)
    assert f'pipeline("automatic-speech-recognition", "{tmp_path / "out" / "student"}")' in capsys.readouterr().out
    recognizer = pipeline("automatic-speech-recognition", str(tmp_path / "out" / "student"), device="cpu")
    assert isinstance(recognizer({"raw": wave_of(["hi"], 3), "sampling_rate": 2 * RATE})["text"], str)


@pytest.mark.usefixtures("short_texts")
def test_the_texts_of_the_data_can_be_learned_instead(folder, tmp_path):
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
def test_invalid_settings_of_an_encoder_decoder_are_refused_before_training(changes, message, folder, tmp_path):
    with pytest.raises(ValueError, match=message):
        run(writing(folder, tmp_path / "out", **changes))
    assert not (tmp_path / "out" / "teacher").exists()


def test_pseudo_labels_are_refused_for_models_that_do_not_generate_text(folder, tmp_path):
    with pytest.raises(ValueError, match="hybrid-speech-recognition generates none"):
        run(arguments(folder, tmp_path / "out", "sentences", **HYBRID, pseudo_labels="true"))
