"""Tiny teachers of every supported architecture, and a slow plain way to remove layers."""

import copy

import torch
import transformers
from torch import nn

NUM_LAYERS = 6
VOCABULARY = 60
ARCHITECTURES = ["bert", "roberta", "xlm-roberta", "camembert", "electra", "mpnet", "distilbert", "modernbert"]
TASKS = ["SequenceClassification", "TokenClassification", "MaskedLM", "QuestionAnswering"]
LAYERS = {architecture: "encoder.layer" for architecture in ARCHITECTURES}
LAYERS |= {"distilbert": "transformer.layer", "modernbert": "layers"}

_SIZES = {"hidden_size": 24, "num_hidden_layers": NUM_LAYERS, "num_attention_heads": 4, "intermediate_size": 40}
_ONLY = {
    "electra": {"embedding_size": 12},
    "distilbert": {"hidden_dim": 40},
    # a window and a pattern that matter within a dozen tokens, and a pattern no constructor would make
    "modernbert": {
        "local_attention": 4,
        "layer_types": ["full_attention", *["sliding_attention", "full_attention"] * 2] + ["sliding_attention"],
        "cls_token_id": 2,
        "sep_token_id": 3,
    },
}


def make_teacher(architecture="bert", task="SequenceClassification", *, seed=0, **settings):
    """A teacher with random values in every tensor, LayerNorms and biases too, so that a tensor not copied is noticed."""
    sizes = {
        name: value for name, value in _SIZES.items() if (architecture, name) != ("distilbert", "intermediate_size")
    }
    settings = {
        "vocab_size": VOCABULARY,
        "max_position_embeddings": 40,
        "pad_token_id": 1,
        "bos_token_id": 2,
        "eos_token_id": 3,
        "id2label": {0: "bad", 1: "so so", 2: "good"},
        "label2id": {"bad": 0, "so so": 1, "good": 2},
        **sizes,
        **_ONLY.get(architecture, {}),
        **settings,
    }
    if task == "QuestionAnswering":  # start and end
        del settings["id2label"], settings["label2id"]
    config = transformers.AutoConfig.for_model(architecture, **settings)
    return randomized(getattr(transformers, f"AutoModelFor{task}" if task else "AutoModel").from_config(config), seed)


@torch.no_grad()
def randomized(model, seed=0):
    generator = torch.Generator().manual_seed(seed)
    for parameter in model.parameters():
        parameter.add_(torch.randn(parameter.shape, generator=generator) * 0.3)
    return model.eval()


def make_batch(*, seed=0):
    """Two rows of token ids, the second padded."""
    ids = torch.randint(4, VOCABULARY, (2, 12), generator=torch.Generator().manual_seed(seed))
    mask = torch.ones_like(ids)
    ids[1, 8:], mask[1, 8:] = 1, 0
    return {"input_ids": ids, "attention_mask": mask}


@torch.no_grad()
def answer(model, batch):
    """The model's first output: logits, start logits, or the last hidden state of a bare model."""
    return model.eval()(**batch)[0]


def truncated(teacher, layers):
    """The teacher with all layers but `layers` removed from its list: the reference for a student."""
    model = copy.deepcopy(teacher)
    path = LAYERS[model.config.model_type]
    parent, _, name = path.rpartition(".")
    holder = model.base_model.get_submodule(parent)
    setattr(holder, name, nn.ModuleList(getattr(holder, name)[layer] for layer in layers))
    return model


def tensors(model):
    """A copy of everything the model holds: parameters, and buffers that are not saved as well."""
    return {name: value.clone() for name, value in [*model.named_parameters(), *model.named_buffers()]}


def same_tensors(first, second):
    return first.keys() == second.keys() and all(
        first[name].dtype == second[name].dtype and torch.equal(first[name], second[name]) for name in first
    )
