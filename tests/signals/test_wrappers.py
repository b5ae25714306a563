"""A wrapper is asked for what the model inside it reads, and has that model's labels, layers and config."""

import copy

import peft
import pytest
import torch
from torch import nn
from torch.optim.swa_utils import AveragedModel

from distil_nlp.evaluation.predict import predict_logits
from distil_nlp.models.architectures import layer_name, layer_names
from distil_nlp.objectives import HardLabels, HiddenStates, Objective
from distil_nlp.signals.forward import accepted_columns, forward_logits, predicts_spans
from distil_nlp.signals.wrappers import config_of, inner_prefix, unwrapped
from distil_nlp.teachers import OnlineTeacher, label_order
from tests.tiny import tiny_model
from tests.training.runs import make_rows, make_trainer


class AnyArguments(nn.Module):
    """Names no column."""

    def __init__(self, inner):
        super().__init__()
        self.inner = inner

    def forward(self, *args, **kwargs):
        return self.inner(*args, **kwargs)


class SomeArguments(AnyArguments):
    """Names some of the columns; has a config and a loss beside the model."""

    def __init__(self, inner):
        super().__init__(inner)
        self.config, self.loss = inner.config, nn.CrossEntropyLoss()

    def forward(self, input_ids, attention_mask=None, **kwargs):
        return self.inner(input_ids, attention_mask=attention_mask, **kwargs).logits


class Traced(nn.Module):
    def __init__(self, inner):
        super().__init__()
        self.inner = inner

    def forward(self, input_ids, attention_mask, token_type_ids):
        return self.inner(input_ids, attention_mask=attention_mask, token_type_ids=token_type_ids).logits


def lora(model, **settings):
    config = peft.LoraConfig(r=2, target_modules=["query", "value"])
    return peft.get_peft_model(copy.deepcopy(model), config, **settings).eval()


WRAPPERS = {
    "peft": lora,
    "peft, with a task": lambda model: peft.get_peft_model(
        copy.deepcopy(model), peft.LoraConfig(task_type="SEQ_CLS", r=2, target_modules=["query", "value"])
    ).eval(),
    "peft, mixed": lambda model: lora(model, mixed=True),
    "data parallel": nn.DataParallel,
    "averaged": AveragedModel,
    "any arguments": AnyArguments,
    "some arguments": SomeArguments,
    "two wrappers": lambda model: AnyArguments(nn.DataParallel(model)),
}


def pair_batch():
    rows = make_rows(4, pairs=True, lengths=(6, 6))
    return {name: torch.tensor(rows[name]) for name in rows.column_names} | {"example_id": torch.arange(4)}


@pytest.fixture(scope="module")
def model():
    model = tiny_model()
    model.config.id2label = {0: "red", 1: "green", 2: "blue"}
    return model


@pytest.fixture(scope="module")
def batch():
    return pair_batch()


# Importing the compiler takes seconds.
_SLOW = pytest.param(lambda model: torch.compile(model, backend="eager"), id="compiled", marks=pytest.mark.slow)


@pytest.fixture(params=[*(pytest.param(wrap, id=name) for name, wrap in WRAPPERS.items()), _SLOW])
def wrapper(request, model):
    return request.param(model)


def test_a_wrapper_gets_the_columns_of_the_model_inside(wrapper, model, batch):
    columns = {name: batch[name] for name in ("input_ids", "attention_mask", "token_type_ids")}
    with torch.no_grad():
        expected = model(**columns).logits
    assert torch.allclose(OnlineTeacher(wrapper)(batch).logits, expected, atol=1e-6)
    examples = [{name: tensor[row] for name, tensor in batch.items()} for row in range(4)]
    logits = predict_logits(wrapper, examples, lambda rows: {n: torch.stack([r[n] for r in rows]) for n in rows[0]})
    assert torch.allclose(torch.from_numpy(logits), expected, atol=1e-6)


def test_a_wrapper_has_the_labels_and_the_layers_of_the_model_inside(wrapper, model):
    other = copy.deepcopy(model)
    other.config.id2label = {0: "blue", 1: "red", 2: "green"}
    assert label_order(other, wrapper) == [2, 0, 1] and config_of(wrapper).num_labels == 3
    modules, inner = dict(wrapper.named_modules()), unwrapped(wrapper)
    assert type(inner) is type(model)
    assert layer_names(wrapper) == [inner_prefix(wrapper) + name for name in layer_names(model)]
    assert layer_name(wrapper, "bert.encoder.layer.1") == layer_name(wrapper, 1)
    assert modules[layer_name(wrapper, 1)] is inner.bert.encoder.layer[1]
    assert modules[layer_name(wrapper, "embeddings")] is inner.bert.embeddings


def test_a_torch_script_model_gets_the_columns_of_its_schema(model, batch):
    columns = {name: batch[name] for name in ("input_ids", "attention_mask", "token_type_ids")}
    script = torch.jit.trace(Traced(model), tuple(columns.values()), check_trace=False)
    assert accepted_columns(script) == tuple(columns)
    with torch.no_grad():
        assert torch.allclose(forward_logits(script, batch, tuple(columns)), model(**columns).logits, atol=1e-6)


def test_a_wrapped_model_of_answers_predicts_spans():
    assert predicts_spans(AnyArguments(tiny_model(task="span", num_labels=2)))


def test_the_labels_of_a_bare_encoder_inside_a_module_are_not_those_of_the_module():
    assert label_order(tiny_model(num_labels=3), AnyArguments(tiny_model().bert)) is None


@pytest.mark.parametrize("settings", [{"push_to_hub": True}, {}])
def test_a_student_without_a_config_is_not_pushed(settings, tmp_path):
    """Said before the training, where it is known that it will be pushed."""
    with pytest.raises(ValueError, match="without config.json.*merge_and_unload"):
        make_trainer(lora(tiny_model()), tiny_model(), make_rows(8), tmp_path, **settings).push_to_hub()


@pytest.mark.parametrize("wrap", [lora, SomeArguments])
def test_a_wrapped_student_reads_columns_that_its_teacher_does_not(wrap, tmp_path):
    """Layers by number, too."""
    seen = []
    student = wrap(tiny_model())
    unwrapped(student).register_forward_pre_hook(lambda module, args, kwargs: seen.append(kwargs), with_kwargs=True)
    objective = Objective([HardLabels(0.5), HiddenStates(1.0, layers="last")])
    teacher = tiny_model("distilbert", hidden_size=24)
    trainer = make_trainer(student, teacher, make_rows(8, pairs=True), tmp_path, objective=objective)
    trainer.train()
    assert seen and all(kwargs["token_type_ids"].any() for kwargs in seen)


class TakesX(nn.Module):
    def __init__(self, *names):
        super().__init__()
        self.embedding = nn.Embedding(64, 3)

    def forward(self, x):
        return self.embedding(x).mean(1)


class TakesXAndMask(TakesX):
    def forward(self, x, attention_mask):
        return self.embedding(x).mean(1)


class TakesPositions(TakesX):
    def forward(self, *args):
        return self.embedding(args[0]).mean(1)


@pytest.mark.parametrize("model", [TakesX(), TakesXAndMask(), TakesPositions()])
@pytest.mark.parametrize("as_student", [False, True])
def test_a_forward_without_columns_of_the_batch_is_refused_before_training(model, as_student, tmp_path):
    pair = (model, tiny_model()) if as_student else (tiny_model(), model)
    with pytest.raises(ValueError, match=r"columns .*input_ids.*the forward of Takes\w+ (requires x|names none)"):
        make_trainer(*pair, make_rows(8), tmp_path)
