"""BERT to DistilBERT: the config, and the names of corresponding tensors."""

from collections.abc import Sequence

import transformers
from transformers import PreTrainedModel

from ..models.architectures import base_prefix

# A constant in DistilBERT's code, a config entry of BERT.
_LAYER_NORM_EPS = 1e-12

_EMBEDDINGS = ["word_embeddings", "position_embeddings", "LayerNorm"]
_LAYER = {
    "attention.q_lin": "attention.self.query",
    "attention.k_lin": "attention.self.key",
    "attention.v_lin": "attention.self.value",
    "attention.out_lin": "attention.output.dense",
    "sa_layer_norm": "attention.output.LayerNorm",
    "ffn.lin1": "intermediate.dense",
    "ffn.lin2": "output.dense",
    "output_layer_norm": "output.LayerNorm",
}
_HEADS = {
    "pre_classifier": "bert.pooler.dense",
    "classifier": "classifier",
    "qa_outputs": "qa_outputs",
    "vocab_transform": "cls.predictions.transform.dense",
    "vocab_layer_norm": "cls.predictions.transform.LayerNorm",
    "vocab_projector": "cls.predictions.decoder",
}


def distilbert_class(teacher: PreTrainedModel) -> type[PreTrainedModel]:
    """The DistilBERT class with the head of a BERT model: `BertForX` gives `DistilBertForX`.

    Raises:
        ValueError: DistilBERT has no such head.
    """
    name = "Distil" + type(teacher).__name__
    if not hasattr(transformers, name):
        raise ValueError(
            f"There is no {name} in transformers, so a {type(teacher).__name__} has no DistilBERT counterpart. Those "
            f"with one are BertModel and BertFor: SequenceClassification, TokenClassification, QuestionAnswering, "
            f"MultipleChoice, MaskedLM. Leave `architecture` out to get a student of the teacher's own class."
        )
    return getattr(transformers, name)


def distilbert_config(bert: transformers.BertConfig, num_layers: int) -> transformers.DistilBertConfig:
    """A `DistilBertConfig` with a BERT config's sizes, dropouts, labels and vocabulary, and with `num_layers` layers."""
    return transformers.DistilBertConfig(
        vocab_size=bert.vocab_size,
        max_position_embeddings=bert.max_position_embeddings,
        n_layers=num_layers,
        n_heads=bert.num_attention_heads,
        dim=bert.hidden_size,
        hidden_dim=bert.intermediate_size,
        dropout=bert.hidden_dropout_prob,
        attention_dropout=bert.attention_probs_dropout_prob,
        activation=bert.hidden_act,
        initializer_range=bert.initializer_range,
        qa_dropout=0.0,  # BERT has none here
        seq_classif_dropout=bert.hidden_dropout_prob if bert.classifier_dropout is None else bert.classifier_dropout,
        pad_token_id=bert.pad_token_id,
        bos_token_id=bert.bos_token_id,
        eos_token_id=bert.eos_token_id,
        tie_word_embeddings=bert.tie_word_embeddings,
        id2label=bert.id2label,
        label2id=bert.label2id,
        problem_type=bert.problem_type,
        attn_implementation=bert._attn_implementation,  # type: ignore[call-arg]  # one of its **kwargs
    )


def bert_names(student: PreTrainedModel, teacher: PreTrainedModel, layers: Sequence[int]) -> dict[str, str]:
    """Student tensor name -> teacher tensor name, for every pair that could exist.

    Args:
        student (`DistilBertPreTrainedModel`), teacher (`BertPreTrainedModel`): Bare or with a head.
        layers (`list` of `int`): Layer `i` of the student is layer `layers[i]` of the teacher.
    """
    student_prefix, teacher_prefix = base_prefix(student), base_prefix(teacher)
    modules = {f"{student_prefix}embeddings.{name}": f"{teacher_prefix}embeddings.{name}" for name in _EMBEDDINGS}
    for index, layer in enumerate(layers):
        for name, bert_name in _LAYER.items():
            student_name = f"{student_prefix}transformer.layer.{index}.{name}"
            modules[student_name] = f"{teacher_prefix}encoder.layer.{layer}.{bert_name}"
    modules.update(_HEADS)
    return {
        f"{student_name}.{part}": f"{teacher_name}.{part}"
        for student_name, teacher_name in modules.items()
        for part in ("weight", "bias")
    }


def fold_segment(student: PreTrainedModel, teacher: PreTrainedModel) -> list[str]:
    """Add BERT's embedding of segment 0 to every position embedding, because DistilBERT has no segment embeddings.

    Not to the word embeddings, because a masked-language head shares those.

    Returns:
        `list` of `str`: Notes for the report.
    """
    segments = teacher.base_model.get_parameter("embeddings.token_type_embeddings.weight")
    positions = student.base_model.get_parameter("embeddings.position_embeddings.weight")
    positions.add_(segments[0].to(positions))
    notes = [
        "segment 0 (token_type_embeddings[0]) is added to the position embeddings; the student cannot tell the "
        "second sentence of a pair by its segment, only by the separator"
    ]
    if hasattr(student, "pre_classifier"):
        notes.append("pre_classifier starts as the pooler, but DistilBERT puts a ReLU after it where BERT has a tanh")
    if teacher.config.layer_norm_eps != _LAYER_NORM_EPS:
        notes.append(
            f"DistilBERT's LayerNorm epsilon is {_LAYER_NORM_EPS:g} and cannot be set; the teacher's is "
            f"{teacher.config.layer_norm_eps:g}"
        )
    return notes
