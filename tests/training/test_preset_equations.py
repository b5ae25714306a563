"""The first loss of a preset is the equation of its paper, written out here with the outputs of the models."""

import pytest
import torch
from torch.nn.functional import cosine_similarity, cross_entropy, kl_div, log_softmax, mse_loss, normalize

from distil_nlp.objectives import objective_from, preset
from tests.tiny import tiny_model

from .runs import make_rows, make_trainer

STUDENT_LAYERS, TEACHER_LAYERS, HEADS, WIDTH, LENGTH, ROWS = 3, 6, 2, 64, 9, 4


@pytest.fixture(scope="module")
def models():
    """Student and teacher of one width and one number of heads, with weights large enough to tell layers apart."""
    settings = {"num_labels": 3, "hidden_size": WIDTH}
    student = tiny_model(num_layers=STUDENT_LAYERS, seed=1, **settings)
    teacher = tiny_model(num_layers=TEACHER_LAYERS, seed=2, **settings)
    with torch.no_grad():
        for parameter in [*student.parameters(), *teacher.parameters()]:
            if parameter.dim() > 1:
                parameter.mul_(6.0)
    return student, teacher


@pytest.fixture
def first_loss(models, tmp_path):
    """first_loss("tinybert") -> loss of the first stage on one batch, outputs of student and teacher, labels."""

    def first_loss(name):
        rows = make_rows(ROWS, lengths=(LENGTH, LENGTH))
        objective = objective_from(preset(name)[0]["objective"])
        trainer = make_trainer(*models, rows, tmp_path, objective=objective)
        batch = trainer._prepare_inputs(trainer.data_collator([rows[row] for row in range(ROWS)]))
        trainer.model.eval()
        with torch.no_grad():
            loss = trainer.compute_loss(trainer.model, dict(batch))
            columns = {name: batch[name] for name in ("input_ids", "attention_mask", "token_type_ids")}
            outputs = [model(**columns, output_hidden_states=True) for model in models]
        return loss, *outputs, batch["labels"]

    return first_loss


def qkv(model, hidden_states, part, *, heads=HEADS):
    """Queries, keys or values of every layer, (batch, heads, sequence, head width)."""
    layers = model.bert.encoder.layer
    return [
        getattr(layer.attention.self, part)(states).unflatten(-1, (heads, -1)).transpose(1, 2)
        for layer, states in zip(layers, hidden_states, strict=False)
    ]


def scores(first, second):
    return first @ second.transpose(-1, -2) / first.shape[-1] ** 0.5


def attention_divergence(teacher_scores, student_scores):
    """Equations 6 and 9 of MiniLM: KL divergence, averaged over heads and positions, here of a batch without padding."""
    divergence = kl_div(
        log_softmax(student_scores, -1), log_softmax(teacher_scores, -1), log_target=True, reduction="sum"
    )
    return divergence / student_scores[..., 0].numel()


def test_tinybert_sums_embeddings_hidden_states_and_attention_over_the_layers(models, first_loss):
    loss, student, teacher, _ = first_loss("tinybert")
    block = TEACHER_LAYERS // STUDENT_LAYERS
    hidden = [
        mse_loss(student.hidden_states[layer], teacher.hidden_states[layer * block])
        for layer in range(STUDENT_LAYERS + 1)
    ]
    (student_scores, teacher_scores) = (
        [
            scores(query, key)
            for query, key in zip(*(qkv(model, output.hidden_states, part) for part in ("query", "key")), strict=True)
        ]
        for model, output in zip(models, (student, teacher), strict=True)
    )
    attention = [
        mse_loss(student_scores[layer], teacher_scores[(layer + 1) * block - 1]) for layer in range(STUDENT_LAYERS)
    ]
    torch.testing.assert_close(loss, sum(hidden) + sum(attention))


@pytest.mark.parametrize(
    ("name", "relations", "heads"),
    [
        ("minilm", [("query", "key"), ("value", "value")], HEADS),
        ("minilmv2", [("query", "query"), ("key", "key"), ("value", "value")], WIDTH // 16),
    ],
)
def test_minilm_has_the_heads_of_the_models_and_minilmv2_heads_of_width_16(models, first_loss, name, relations, heads):
    loss, student, teacher, _ = first_loss(name)
    last = {
        part: [
            qkv(model, output.hidden_states, part, heads=heads)[-1]
            for model, output in zip(models, (student, teacher), strict=True)
        ]
        for part in ("query", "key", "value")
    }
    expected = 0.0
    for first, second in relations:
        student_scores, teacher_scores = (scores(last[first][side], last[second][side]) for side in (0, 1))
        expected += attention_divergence(teacher_scores, student_scores)
    torch.testing.assert_close(loss, expected)


def soft_targets(student, teacher, temperature):
    student, teacher = (log_softmax(output.logits / temperature, -1) for output in (student, teacher))
    return kl_div(student, teacher, log_target=True, reduction="batchmean") * temperature**2


def test_distilbert_is_five_parts_soft_targets_two_parts_labels_and_one_part_cosine(first_loss):
    loss, student, teacher, labels = first_loss("distilbert")
    cosine = 1 - cosine_similarity(student.hidden_states[-1], teacher.hidden_states[-1], dim=-1).mean()
    expected = 5 * soft_targets(student, teacher, 2.0) + 2 * cross_entropy(student.logits, labels) + cosine
    torch.testing.assert_close(loss, expected)


def test_pkd_sums_the_first_tokens_directions_over_all_layers_but_the_last(first_loss):
    loss, student, teacher, labels = first_loss("pkd")
    block = TEACHER_LAYERS // STUDENT_LAYERS
    patience = sum(
        (
            normalize(student.hidden_states[layer][:, 0], dim=-1)
            - normalize(teacher.hidden_states[layer * block][:, 0], dim=-1)
        )
        .square()
        .sum(-1)
        .mean()
        for layer in range(1, STUDENT_LAYERS)
    )
    labels_and_teacher = 0.5 * cross_entropy(student.logits, labels) + 0.5 * soft_targets(student, teacher, 10.0)
    torch.testing.assert_close(loss, labels_and_teacher + 100 / 768 * patience)


def test_relations_over_the_attention_heads_take_fewer_where_these_do_not_divide_the_students_width(tmp_path, caplog):
    student, teacher = tiny_model(num_layers=1, hidden_size=16), tiny_model(hidden_size=48, seed=1)
    teacher.config.num_attention_heads = 6
    objective = objective_from([{"relations": {"num_heads": "attention"}}])
    make_trainer(student, teacher, make_rows(ROWS), tmp_path, objective=objective)
    assert objective.describe()[0]["num_heads"] == 4
    assert "6 attention heads, which do not divide the student's width of 16" in caplog.text
