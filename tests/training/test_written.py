"""Encoder-decoders under the trainer: texts of uneven length, cut and padded in any way, give one gradient."""

import pytest
import torch

from distil_nlp.collators.audio import Seq2SeqSpeechCollator
from distil_nlp.models import AutoSpeechSeq2Seq, whisper_processor
from distil_nlp.students import freeze_encoder, share_encoder, student_from_teacher

from .runs import in_float64, relative_difference, step_gradients
from .sound import make_waves

TOKENS = range(261, 267)


@pytest.fixture(scope="module")
def processor():
    return whisper_processor(["ho hi he", "hi", "he ho"] * 5, 1)


def make_rows(processor, num_rows=16):
    rows = make_waves(num_rows).remove_columns("labels")
    start, end = processor.tokenizer.prefix_tokens, processor.tokenizer.eos_token_id
    # Some rows have no text: they count for neither term.
    texts = [[] if row % 5 == 4 else [*start, *range(10, 11 + row % 7), end] for row in range(num_rows)]
    return rows.add_column("labels", texts)


class InFloat64(Seq2SeqSpeechCollator):
    def __call__(self, rows):
        batch = super().__call__(rows)
        return batch | {"input_features": batch["input_features"].double()}


def gradients(folder, processor, *, shared=False, **settings):
    torch.manual_seed(0)
    teacher = AutoSpeechSeq2Seq(lambda: processor).from_pretrained("whisper-2x16")
    student = student_from_teacher(teacher, num_layers=1)
    student, teacher = in_float64([student, teacher])
    freeze_encoder(student, teacher)
    if shared:
        assert share_encoder(student, teacher)
    return step_gradients(student, teacher, make_rows(processor), folder, collator=InFloat64(processor), **settings)


@pytest.mark.parametrize("num_micro_batches", [2, 16])
def test_the_gradients_of_a_step_do_not_depend_on_how_it_is_cut(num_micro_batches, processor, tmp_path):
    whole = gradients(tmp_path, processor)
    cut = gradients(tmp_path, processor, num_micro_batches=num_micro_batches)
    assert relative_difference(cut["student"], whole["student"]) < 1e-9


def test_a_shared_encoder_changes_no_gradient(processor, tmp_path):
    alone, shared = gradients(tmp_path, processor), gradients(tmp_path, processor, shared=True)
    assert relative_difference(shared["student"], alone["student"]) == 0.0
