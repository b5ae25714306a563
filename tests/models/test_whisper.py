"""Encoder-decoders by name: their config, tokenizer and generation, and a frozen encoder shared with the teacher."""

import numpy as np
import pytest
import torch
from transformers import AutoProcessor, BertConfig, BertForSequenceClassification, pipeline

from distil_nlp.models import AutoSpeechSeq2Seq, GreedyGenerator, parse_whisper_name, whisper_processor
from distil_nlp.students import build_student, freeze_encoder, share_encoder, student_from_teacher

TEXTS = ["ho hi he", "hi", "he ho"] * 5


@pytest.fixture(scope="module")
def processor():
    return whisper_processor(TEXTS, 2)


@pytest.fixture
def teacher(processor):
    torch.manual_seed(0)
    return AutoSpeechSeq2Seq(lambda: processor).from_pretrained("whisper-3x16").eval()


def features(count=2):
    return torch.randn(count, 80, 200, generator=torch.Generator().manual_seed(1))


def test_the_tokenizer_has_the_special_tokens_of_whisper_before_and_after_saving(processor, tmp_path):
    processor.save_pretrained(tmp_path)
    for tokenizer in (processor.tokenizer, AutoProcessor.from_pretrained(tmp_path).tokenizer):
        tokens = tokenizer("ho hi").input_ids
        assert tokenizer.convert_ids_to_tokens([*tokens[:2], tokens[-1]]) == [
            "<|startoftranscript|>",
            "<|notimestamps|>",
            "<|endoftext|>",
        ]
        assert tokenizer.decode(tokens, skip_special_tokens=True) == "ho hi"


def test_a_whisper_name_is_layers_and_width_and_an_impossible_size_is_refused():
    assert parse_whisper_name("whisper-2x64") == (2, 64) and parse_whisper_name("openai/whisper-tiny") is None
    for spec in ("whisper-0x64", "whisper-2x65", "whisper-2x96"):
        with pytest.raises(ValueError, match=spec):
            parse_whisper_name(spec)


def test_greedy_generation_stops_at_max_length_and_with_fixed_length_not_before(teacher):
    assert GreedyGenerator(teacher, 6)(features()).shape[1] <= 6
    assert GreedyGenerator(teacher, 6, fixed_length=True)(features()).shape == (2, 6)
    assert teacher.generation_config.max_length == 448


def test_a_multilingual_model_and_its_students_use_the_language_that_is_set(teacher, processor, tmp_path):
    ids, generation = processor.tokenizer.convert_tokens_to_ids, teacher.generation_config
    generation.is_multilingual, generation.lang_to_id = True, {"<|en|>": ids("<|en|>"), "<|de|>": 5}
    generation.task_to_id = {name: ids(f"<|{name}|>") for name in ("transcribe", "translate")}
    generation.no_timestamps_token_id = ids("<|notimestamps|>")
    generation._from_model_config = False  # else it is built again from the config, without the languages
    teacher.save_pretrained(tmp_path / "teacher")
    with pytest.raises(ValueError, match="teacher is multilingual .* Set it: language=en"):
        AutoSpeechSeq2Seq(lambda: processor).from_pretrained(tmp_path / "teacher")
    told = AutoSpeechSeq2Seq(lambda: processor, "en").from_pretrained(tmp_path / "teacher").eval()
    student_from_teacher(told, num_layers=1).save_pretrained(tmp_path / "student")
    student = AutoSpeechSeq2Seq(lambda: processor).from_pretrained(tmp_path / "student").eval()
    for model in (told, student):
        shown = []
        model.model.decoder.register_forward_pre_hook(
            lambda module, args, kwargs, shown=shown: shown.append(kwargs["input_ids"].tolist()), with_kwargs=True
        )
        GreedyGenerator(model, 8)(features(1))
        begin = ["<|startoftranscript|>", "<|en|>", "<|transcribe|>", "<|notimestamps|>"]
        assert shown[0] == [[ids(token) for token in begin]]  # at once: no look at the clip for its language


def test_a_language_for_a_monolingual_model_is_refused(processor):
    with pytest.raises(ValueError, match="'en'.*whisper-1x16 has one language only"):
        AutoSpeechSeq2Seq(lambda: processor, "en").from_pretrained("whisper-1x16")


def test_a_saved_model_works_in_a_pipeline(teacher, processor, tmp_path):
    for one in (teacher, processor):
        one.save_pretrained(tmp_path)
    said = pipeline("automatic-speech-recognition", str(tmp_path), device="cpu")
    assert isinstance(said({"raw": np.zeros(8000, dtype=np.float32), "sampling_rate": 16000})["text"], str)


def test_a_student_of_the_layers_keeps_the_encoder_and_some_of_the_decoder(teacher):
    tokens = torch.tensor([[1, 2, 3]] * 2)
    whole = student_from_teacher(teacher, num_layers=3).eval()
    inputs = {"input_features": features(), "decoder_input_ids": tokens}
    assert torch.equal(whole(**inputs).logits, teacher(**inputs).logits)
    student = student_from_teacher(teacher)
    assert student.config.decoder_layers == 2 and student.config.encoder_layers == 3
    last = student.model.decoder.layers[1].state_dict()
    assert all(torch.equal(last[name], one) for name, one in teacher.model.decoder.layers[2].state_dict().items())
    assert student.generation_config.max_length == 448
    by_name = build_student("whisper-1x32", teacher)
    assert by_name(input_features=features(), decoder_input_ids=tokens).logits.shape == (
        2,
        3,
        teacher.config.vocab_size,
    )


def test_a_frozen_encoder_does_not_change_and_runs_once_for_both_models(teacher):
    student = student_from_teacher(teacher, num_layers=1)
    student.config.dropout = 0.5
    for layer in student.model.encoder.layers:
        layer.dropout = 0.5
    freeze_encoder(student, teacher)
    student.train()
    batch = {"input_features": features(), "decoder_input_ids": torch.tensor([[1, 2, 3]] * 2)}
    alone = student(**batch).logits
    assert torch.equal(alone, student(**batch).logits)  # no dropout in the frozen encoder
    asked = []
    teacher.get_encoder().layers[0].register_forward_hook(lambda *_: asked.append("teacher"))
    student.get_encoder().layers[0].register_forward_hook(lambda *_: asked.append("student"))
    assert share_encoder(student, teacher)
    for number in (1, 2):
        batch["input_features"] = features(1 + number)[-2:]
        with torch.inference_mode():
            teacher(**batch)
        together = student(**batch).logits
        together.sum().backward()
        assert asked == ["teacher"] * number
    batch["input_features"] = features()
    assert torch.equal(student(**batch).logits, alone)
    trained = {name for name, one in student.named_parameters() if one.grad is not None}
    assert trained and not any(".encoder." in name for name in trained)


def test_an_encoder_that_is_not_the_teachers_cannot_be_frozen(teacher):
    with pytest.raises(ValueError, match="is not the teacher's"):
        freeze_encoder(build_student("whisper-1x16", teacher), teacher)
    student = student_from_teacher(teacher, num_layers=1)
    assert not share_encoder(student, teacher)  # it is trained
    config = BertConfig(vocab_size=9, hidden_size=8, num_hidden_layers=1, num_attention_heads=1)
    with pytest.raises(ValueError, match="BertForSequenceClassification, is none"):
        freeze_encoder(BertForSequenceClassification(config), teacher)
