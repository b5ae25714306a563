"""Audio and texts become features and tokens, and tokens become texts again."""

import pytest
import torch

from distil_nlp.generation.sequence_targets import pseudo_labeled
from distil_nlp.tasks import Seq2SeqSpeechRecognition
from distil_nlp.teachers import CachedTeacher, OnlineTeacher, build_cache
from tests.speech import spoken


@pytest.fixture(scope="module")
def task_and_splits():
    splits = {"train": spoken(12), "validation": spoken(4, seed=1)}
    return Seq2SeqSpeechRecognition.from_splits(splits), splits


def test_the_input_length_of_named_models_is_that_of_the_longest_clip(task_and_splits):
    task, _ = task_and_splits
    processor = task.load_processor("whisper-1x16")
    assert processor.feature_extractor.chunk_length == 2
    model = task.auto_class.from_pretrained("whisper-1x16")
    assert model.config.max_source_positions == 100 and model.config.vocab_size == len(processor.tokenizer)
    assert task.cache_format == "float32"


def test_a_large_vocabulary_is_cached_sampled_and_no_processor_is_made_for_it():
    task = Seq2SeqSpeechRecognition.from_splits({"train": spoken(2)})
    assert task.auto_class is not None and task._new_processor is None and task.cache_format == "sampled"


def test_decoder_inputs_are_the_labels_shifted_by_a_token(task_and_splits):
    task, splits = task_and_splits
    processor = task.load_processor("whisper-1x16")
    rows = task.prepare(splits["train"], processor)
    assert task.texts_of(rows, processor) == list(splits["train"]["text"])
    unknown = task.without_labels(rows)
    assert task.labeled(rows).all() and not task.labeled(unknown).any()
    batch = task.collator(processor)([rows[0], rows[1], unknown[2]])
    assert batch["input_features"].shape == (3, 80, 200)
    for place in (0, 1):
        tokens, count = torch.tensor(rows[place]["labels"]), len(rows[place]["labels"]) - 1
        assert torch.equal(batch["decoder_input_ids"][place, :count], tokens[:-1])
        assert (
            torch.equal(batch["labels"][place, :count], tokens[1:]) and (batch["labels"][place, count:] == -100).all()
        )
    assert batch["decoder_input_ids"][2, 0] == rows[0]["labels"][0] and (batch["labels"][2] == -100).all()
    assert torch.equal(batch["soft_items"], batch["labels"] != -100)
    assert batch["decoder_attention_mask"].sum(1).tolist() == [
        *(len(rows[place]["labels"]) - 1 for place in (0, 1)),
        1,
    ]


def test_cached_logits_of_a_row_do_not_depend_on_its_batch(task_and_splits, tmp_path):
    task, splits = task_and_splits
    processor = task.load_processor("whisper-1x16")
    rows, collator = task.prepare(splits["train"], processor), task.collator(processor)
    order = sorted(range(12), key=lambda row: len(rows[row]["labels"]))
    assert len(rows[order[0]]["labels"]) < len(rows[order[-1]]["labels"])
    teacher = OnlineTeacher(task.auto_class.from_pretrained("whisper-1x16").eval())
    build_cache(tmp_path, teacher, rows, collator)
    cached = CachedTeacher(tmp_path)
    for some in ([order[0]], order[2:9]):
        batch = collator([rows[row] for row in some])
        said, kept = teacher(batch).logits, cached(batch).logits
        assert (said - kept)[batch["soft_items"]].abs().max() < 1e-5


def test_a_clip_longer_than_the_models_input_is_reported_with_its_row(task_and_splits):
    task, splits = task_and_splits
    processor = task.load_processor("whisper-1x16")
    longer = spoken(1).select([0])
    processor.feature_extractor.chunk_length = 0.1
    try:
        with pytest.raises(ValueError, match=r"Row 0 .* lasts 0.\d s, and the model.s input is 0.1 s"):
            task.prepare(longer, processor)
    finally:
        processor.feature_extractor.chunk_length = 2


def test_max_new_tokens_fits_the_longest_text_of_any_split_and_is_the_models_limit_with_unlabeled_clips():
    short, long = spoken(4), spoken(1).map(lambda row: {"text": "ho " * 50}, load_from_cache_file=False)
    splits = {"train": short, "validation": short}
    usual = Seq2SeqSpeechRecognition.from_splits(splits).max_new_tokens
    assert usual == 8 + max(map(len, short["text"]))
    for name in ("validation", "test"):
        assert Seq2SeqSpeechRecognition.from_splits({**splits, name: long}).max_new_tokens == 8 + 150
    assert (
        Seq2SeqSpeechRecognition.from_splits({**splits, "unlabeled": long.remove_columns("text")}).max_new_tokens
        == 440
    )


def test_a_text_longer_than_the_models_positions_is_reported_with_its_row(task_and_splits):
    task, splits = task_and_splits
    processor = task.load_processor("whisper-1x16")
    split = splits["validation"]
    texts = [*split["text"][:3], "x " * 300]
    longer = split.remove_columns("text").add_column("text", texts).select([3, 0])
    with pytest.raises(ValueError, match=r"Row 3 .* has a text of 60\d tokens, and a model generates 448 at most"):
        task.prepare(longer, processor)
    with pytest.raises(ValueError, match="Row 1 .* a model generates 448 at most"):
        task.with_texts(task.prepare(split, processor), ["ho", "x " * 300, "ho", "ho"], processor)


class _FixedPredictions:
    """A task whose predictor returns fixed texts, whatever the audio."""

    def __init__(self, task, processor, texts):
        self.task, self.tokens = task, [processor.tokenizer(text).input_ids for text in texts]
        self.calls = 0

    def __getattr__(self, name):
        return getattr(self.task, name)

    def predictor(self, model):
        def write(batch):
            self.calls += 1
            rows = [torch.tensor(self.tokens[number]) for number in batch["example_id"].tolist()]
            return torch.nn.utils.rnn.pad_sequence(rows, batch_first=True, padding_value=self.tokens[0][-1])

        return write


def test_pseudo_labels_replace_texts_that_the_teacher_transcribes_with_few_errors(task_and_splits, tmp_path):
    task, splits = task_and_splits
    processor = task.load_processor("whisper-1x16")
    rows = task.prepare(splits["train"], processor)
    texts = task.texts_of(rows, processor)
    rows = task.with_unlabeled(rows.select(range(10)), rows.select(range(10, 12)))
    wrote = [text.upper() for text in texts]
    wrote[3], wrote[11] = "he he he he he he", "hi hi"  # wrong, but of the last nobody knows it
    teacher = OnlineTeacher(task.auto_class.from_pretrained("whisper-1x16"))
    hears = _FixedPredictions(task, processor, wrote)
    found, kept = pseudo_labeled(rows, hears, teacher, processor, tmp_path)
    assert kept == [number for number in range(12) if number != 3]
    assert task.texts_of(found, processor) == [wrote[number] for number in kept]
    assert list(found["example_id"]) == list(range(11)) and hears.calls == 1
    again, _ = pseudo_labeled(rows, hears, teacher, processor, tmp_path)
    assert again["labels"] == found["labels"] and hears.calls == 1  # read, not asked again
    other = OnlineTeacher(task.auto_class.from_pretrained("whisper-1x16"))
    pseudo_labeled(rows, hears, other, processor, tmp_path, max_word_error=9.0)
    assert hears.calls == 2  # another teacher's texts are no use


def test_a_teacher_with_errors_in_every_clip_is_refused(task_and_splits, tmp_path):
    task, splits = task_and_splits
    processor = task.load_processor("whisper-1x16")
    rows = task.prepare(splits["train"], processor)
    teacher = OnlineTeacher(task.auto_class.from_pretrained("whisper-1x16"))
    with pytest.raises(ValueError, match=r"word error rate is above 0.1 in every one of 12 clips"):
        pseudo_labeled(rows, _FixedPredictions(task, processor, ["x"] * 12), teacher, processor, tmp_path)
    with pytest.raises(ValueError, match="max_word_error is a share"):
        pseudo_labeled(
            rows, _FixedPredictions(task, processor, ["x"] * 12), teacher, processor, tmp_path, max_word_error=-1
        )
