"""Teachers whose weights are packed (dynamic int8) or offloaded, and batches whose first column is no tensor."""

import warnings

import pytest
import torch
from accelerate import cpu_offload
from transformers import DataCollatorWithPadding

from distil_nlp.data.examples import add_example_ids
from distil_nlp.evaluation.comparison import count_parameters, saved_size
from distil_nlp.models.weights import device_of, num_weights
from distil_nlp.teachers import CachedTeacher, OnlineTeacher, build_cache
from distil_nlp.teachers.base import num_parameters
from distil_nlp.teachers.reconcile import check_vocabulary
from tests.tiny import tiny_model, tiny_tokenizer
from tests.training.runs import make_rows, make_trainer


def quantized(model):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return torch.ao.quantization.quantize_dynamic(model, {torch.nn.Linear}, dtype=torch.qint8)


def offloaded(model):
    return cpu_offload(model, execution_device=torch.device("cpu"))


UNUSUAL = {"int8": quantized, "offloaded": offloaded}


def make_unusual(kind, seed=2):
    return UNUSUAL[kind](tiny_model(seed=seed))


@pytest.mark.parametrize("kind", UNUSUAL)
def test_a_teacher_trains_is_compared_and_cached(kind, tmp_path):
    rows = add_example_ids(make_rows(8))
    model = make_unusual(kind)
    trainer = make_trainer(tiny_model(seed=1), model, rows, tmp_path)
    trainer.train()
    report = trainer.compare(rows, seconds=0.02)
    plain = tiny_model(seed=2)
    sizes = {result.role: result for result in report.models}
    assert sizes["teacher"].parameters == count_parameters(plain) == sizes["student"].parameters
    share = {"int8": 0.55, "offloaded": 1.0}[kind]
    assert sizes["teacher"].size_bytes == pytest.approx(share * saved_size(plain), rel=0.05)
    assert num_parameters(model) == num_parameters(plain)
    build_cache(tmp_path / "cache", OnlineTeacher(model), rows, DataCollatorWithPadding(tiny_tokenizer()))
    cached = CachedTeacher(tmp_path / "cache")
    assert cached.header["parameters"] == num_weights(plain) and device_of(model).type == "cpu"
    batch = DataCollatorWithPadding(tiny_tokenizer())(list(rows))
    torch.testing.assert_close(cached(batch).logits, OnlineTeacher(model)(batch).logits)


@pytest.mark.parametrize("kind", UNUSUAL)
def test_the_fingerprint_depends_on_the_weights_where_they_are(kind):
    prints = [OnlineTeacher(make_unusual(kind, seed)).fingerprint() for seed in (2, 2, 3)]
    assert prints[0] == prints[1] != prints[2]


def test_the_fingerprint_depends_on_a_packed_bias():
    teachers = [OnlineTeacher(make_unusual("int8")) for _ in range(2)]
    layer = teachers[0].model.classifier
    layer.set_weight_bias(layer.weight(), layer.bias() + 1)
    assert teachers[0].fingerprint() != teachers[1].fingerprint()


def test_an_offloaded_teacher_has_the_fingerprint_of_its_model():
    assert OnlineTeacher(make_unusual("offloaded")).fingerprint() == OnlineTeacher(tiny_model(seed=2)).fingerprint()


def test_a_packed_recurrent_layer_is_counted():
    layers = torch.nn.Sequential(torch.nn.LSTM(4, 4), torch.nn.Linear(4, 2))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        packed = torch.ao.quantization.quantize_dynamic(layers, {torch.nn.LSTM, torch.nn.Linear})
    assert num_weights(packed) == num_weights(layers) and 0 < saved_size(packed) < saved_size(layers)


def test_the_first_column_of_a_batch_may_be_no_tensor(tmp_path):
    pad = DataCollatorWithPadding(tiny_tokenizer())

    def collate(rows):
        return {"text": ["a"] * len(rows), "number": torch.tensor(3), "nothing": None, **pad(rows)}

    assert make_trainer(tiny_model(), tiny_model(seed=2), make_rows(8), tmp_path, collator=collate).train()


class Processor:
    """As transformers' processors: a tokenizer beside a feature extractor, and no length."""

    def __init__(self, tokenizer):
        self.tokenizer = tokenizer


def test_tokenizers_inside_processors_are_compared():
    student, padded = tiny_model(vocab_size=64), tiny_model(vocab_size=72)
    check_vocabulary(student, padded, Processor(tiny_tokenizer()), tiny_tokenizer())
    with pytest.raises(ValueError, match="different tokenizers"):
        check_vocabulary(student, padded, Processor(tiny_tokenizer()), Processor(tiny_tokenizer(["other"])))
    for processor in (object(), Processor(None)):
        with pytest.raises(ValueError, match=r"OnlineTeacher\(teacher, tokenizer=tokenizer\)"):
            check_vocabulary(student, padded, processor, tiny_tokenizer())
