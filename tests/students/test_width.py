"""Students that are narrower than their teacher."""

import copy

import pytest
import torch
import transformers
from torch import nn

from distil_nlp.models.architectures import pooled_units
from distil_nlp.students import build_student, student_from_teacher, student_start, transfer_weights
from distil_nlp.students.narrow import _Svd
from distil_nlp.students.sizes import num_heads

from .encoders import ARCHITECTURES, NUM_LAYERS, answer, make_batch, make_teacher, same_tensors, tensors

WIDTH_INITS = ["svd", "slice"]


def narrowed(teacher, **settings):
    return student_from_teacher(teacher, **{"num_layers": NUM_LAYERS, **settings})


def feed_forward_width(config):
    return config.hidden_dim if config.model_type == "distilbert" else config.intermediate_size


@pytest.mark.parametrize("width_init", WIDTH_INITS)
@pytest.mark.parametrize("task", [None, "SequenceClassification", "MaskedLM"])
@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_a_narrower_student_has_the_given_sizes_and_reloads_with_the_same_outputs(
    architecture, task, width_init, tmp_path
):
    teacher, batch = make_teacher(architecture, task), make_batch()
    student = student_from_teacher(teacher, num_layers=3, hidden_size=18, width_init=width_init)
    assert type(student) is type(teacher) and student.training
    config = student.config
    assert (config.hidden_size, config.num_attention_heads, feed_forward_width(config)) == (18, 3, 30)
    assert answer(student, batch).isfinite().all()
    student.save_pretrained(tmp_path)
    reloaded, info = type(student).from_pretrained(tmp_path, output_loading_info=True)
    assert not info["missing_keys"] and not info["unexpected_keys"]
    assert torch.equal(answer(reloaded, batch), answer(student, batch))


@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_every_weight_of_a_narrower_student_comes_from_the_teacher(architecture):
    teacher = make_teacher(architecture)
    first = narrowed(teacher, hidden_size=18)
    torch.manual_seed(7)
    assert same_tensors(tensors(narrowed(teacher, hidden_size=18)), tensors(first))


@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_equal_sizes_change_nothing(architecture):
    teacher, batch = make_teacher(architecture), make_batch()
    student = narrowed(teacher, hidden_size=24, intermediate_size=40, num_attention_heads=4)
    assert torch.equal(answer(student, batch), answer(teacher, batch))


@torch.no_grad()
def silence(teacher, *, heads=(), units=()):
    """Take their effect on the hidden states from heads and units of every layer."""
    size = teacher.config.hidden_size // teacher.config.num_attention_heads
    for name, module in teacher.named_modules():
        if name.endswith(("attention.output.dense", "attn.o", "out_lin", "attn.Wo")):
            for head in heads:
                module.weight[:, head * size : (head + 1) * size] = 0
        elif name.endswith(("output.dense", "ffn.lin2", "mlp.Wo")):
            module.weight[:, list(units)] = 0
    return teacher


@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_svd_leaves_out_the_feed_forward_units_without_effect(architecture):
    teacher = silence(make_teacher(architecture), units=[0, 7, 8, 39])
    student = narrowed(teacher, intermediate_size=36)
    assert feed_forward_width(student.config) == 36
    assert (answer(student, make_batch()) - answer(teacher, make_batch())).abs().max() < 1e-4


@pytest.mark.parametrize("architecture", [name for name in ARCHITECTURES if name != "modernbert"])
def test_heads_without_effect_are_left_out_and_wider_heads_keep_their_outputs(architecture):
    teacher = silence(make_teacher(architecture), heads=[0, 2])
    student = narrowed(teacher, num_attention_heads=2)
    assert student.config.num_attention_heads == 2
    assert (answer(student, make_batch()) - answer(teacher, make_batch())).abs().max() < 1e-4


def test_the_added_rows_of_a_wider_head_get_gradients():
    student = narrowed(make_teacher(), num_attention_heads=2)
    student(**make_batch(), labels=torch.tensor([0, 1])).loss.backward()
    attention = student.bert.encoder.layer[0].attention
    assert attention.output.dense.weight.grad[:, 6:12].abs().max() > 0
    assert attention.self.query.weight.grad[6:12].abs().max() > 0


def test_the_mean_contribution_of_removed_units_is_added_to_the_bias():
    teacher = make_teacher(num_hidden_layers=1)
    layer = teacher.bert.encoder.layer[0]
    with torch.no_grad():  # units that are always on add the same to every token
        layer.intermediate.dense.weight[:4], layer.intermediate.dense.bias[:4] = 0, 5.0
    student = student_from_teacher(teacher, num_layers=1, intermediate_size=36)
    assert (answer(student, make_batch()) - answer(teacher, make_batch())).abs().max() < 1e-4


def test_slice_keeps_the_first_rows_columns_heads_and_units():
    teacher = make_teacher()
    student = narrowed(teacher, hidden_size=12, num_attention_heads=2, intermediate_size=10, width_init="slice")
    ours, theirs = student.bert.encoder.layer[4], teacher.bert.encoder.layer[4]
    assert torch.equal(student.get_input_embeddings().weight, teacher.get_input_embeddings().weight[:, :12])
    assert torch.equal(ours.attention.self.key.weight, theirs.attention.self.key.weight[:12, :12])
    assert torch.equal(ours.attention.output.dense.weight, theirs.attention.output.dense.weight[:12, :12])
    assert torch.equal(ours.intermediate.dense.weight, theirs.intermediate.dense.weight[:10, :12])
    assert torch.equal(ours.output.dense.weight, theirs.output.dense.weight[:12, :10])
    assert torch.equal(ours.output.LayerNorm.weight, theirs.output.LayerNorm.weight[:12])
    assert torch.equal(student.classifier.weight, teacher.classifier.weight[:, :12])


def test_slice_keeps_the_first_rows_of_each_narrower_head():
    teacher = make_teacher()
    student = narrowed(teacher, hidden_size=12, num_attention_heads=4, width_init="slice")  # heads 3 wide, not 6
    ours, theirs = student.bert.encoder.layer[0].attention.self, teacher.bert.encoder.layer[0].attention.self
    expected = theirs.value.weight[:, :12].view(4, 6, 12)[:, :3].reshape(12, 12)
    assert torch.equal(ours.value.weight, expected)
    query, key = (theirs.get_submodule(name).weight[:, :12].view(4, 6, 12)[:, :3] for name in ("query", "key"))
    scores = ours.query.weight.view(4, 3, 12).transpose(1, 2) @ ours.key.weight.view(4, 3, 12) / 3**0.5
    assert (scores - query.transpose(1, 2) @ key / 6**0.5).abs().max() < 1e-5


def test_a_product_of_low_rank_is_kept_exactly_by_a_narrower_head():
    left = torch.randn(3, 6).double().T @ torch.randn(3, 12).double()  # rank 3 of 6
    right = torch.randn(6, 9).double()
    narrow_left, narrow_right = _Svd.cut(None, left, right, 3)
    assert narrow_left.shape == (3, 12) and narrow_right.shape == (3, 9)
    assert (narrow_left.T @ narrow_right - left.T @ right).abs().max() < 1e-9


def low_rank_teacher(rank):
    """All that is written into the hidden states lies in few directions, which are none of the axes."""
    torch.manual_seed(0)
    teacher = make_teacher()
    basis, _ = torch.linalg.qr(torch.randn(24, rank, generator=torch.Generator().manual_seed(3)))
    inside = basis @ basis.T
    with torch.no_grad():
        for name, parameter in teacher.bert.named_parameters():
            if "_embeddings" in name:
                parameter.copy_(parameter @ inside)
            elif "output.dense" in name:
                parameter.copy_(inside @ parameter)
            elif "LayerNorm.weight" in name:
                parameter.fill_(1.0)
            elif "LayerNorm.bias" in name:
                parameter.fill_(0.0)
    return teacher


def test_svd_keeps_the_subspace_of_the_hidden_states():
    teacher, batch = low_rank_teacher(rank=10), make_batch()

    def products(model):
        """Of all hidden states with each other, which an orthonormal map would keep."""
        states = answer(model.bert, batch).flatten(0, 1)
        return states @ states.T

    def distance(width_init):
        sizes = {"hidden_size": 16, "num_attention_heads": 4, "intermediate_size": 40}
        ours = products(narrowed(teacher, **sizes, width_init=width_init))
        return ((ours - products(teacher)).norm() / products(teacher).norm()).item()

    assert distance("svd") < 0.5 * distance("slice")


@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_the_teacher_is_bit_identical_after_a_narrower_student_was_made(architecture):
    teacher = make_teacher(architecture).train()
    before, config = tensors(teacher), copy.deepcopy(teacher.config.to_dict())
    narrowed(teacher, hidden_size=18)
    assert same_tensors(tensors(teacher), before) and teacher.config.to_dict() == config
    assert teacher.training and not any(module._forward_hooks for module in teacher.modules())


def test_a_half_precision_teacher_gives_a_narrower_float32_student():
    student = narrowed(make_teacher().half(), hidden_size=12)
    assert {parameter.dtype for parameter in student.parameters()} == {torch.float32}
    assert answer(student, make_batch()).isfinite().all()


def test_a_masked_language_student_keeps_its_head_tied_when_it_gets_narrower():
    student = narrowed(make_teacher(task="MaskedLM"), hidden_size=12)
    assert student.get_output_embeddings().weight is student.get_input_embeddings().weight


def test_a_distilbert_can_be_narrower_than_its_bert():
    teacher = make_teacher()
    student = student_from_teacher(teacher, layers=[0, 2], architecture="distilbert", hidden_size=12)
    assert (student.config.model_type, student.config.dim, student.config.hidden_dim) == ("distilbert", 12, 20)
    assert answer(student, make_batch()).isfinite().all()


def test_narrow_electra_embeddings_are_unchanged():
    teacher = make_teacher("electra")
    student = narrowed(teacher, hidden_size=18)
    assert torch.equal(student.get_input_embeddings().weight, teacher.get_input_embeddings().weight)


def test_the_report_lists_reduced_sizes_and_the_method():
    teacher = make_teacher()
    student = narrowed(teacher, hidden_size=12)
    report = transfer_weights(student, teacher, width_init="svd")
    assert report.reduced == {
        "hidden_size": (24, 12), "intermediate_size": (40, 20), "num_attention_heads": (4, 2)
    }  # fmt: skip
    assert "made narrower by svd: hidden_size 24 to 12, intermediate_size 40 to 20" in str(report)
    assert "% of the squared length of hidden states" in str(report)


def test_a_head_for_other_labels_stays_newly_initialized_in_a_narrower_student():
    teacher = make_teacher(num_labels=5, id2label=None, label2id=None)
    student = make_teacher(task="TokenClassification", hidden_size=12, num_attention_heads=2)
    before = student.classifier.weight.clone()
    report = transfer_weights(student, teacher, width_init="slice")
    assert report.newly_initialized == ["classifier.weight", "classifier.bias"]
    assert torch.equal(student.classifier.weight, before)
    assert torch.equal(student.get_input_embeddings().weight, teacher.get_input_embeddings().weight[:, :12])


def test_a_student_model_that_is_wider_than_its_teacher_is_refused():
    with pytest.raises(ValueError, match="the student's intermediate_size=48 is above the teacher's 40"):
        transfer_weights(make_teacher(intermediate_size=48), make_teacher(), width_init="svd")


@pytest.mark.parametrize("architecture", ["bert", "roberta", "mpnet"])  # a ReLU has units that are never on
def test_svd_leaves_out_the_units_of_the_pooled_vector_without_effect(architecture):
    teacher = make_teacher(architecture)
    into, out = (teacher.get_submodule(name) for name in pooled_units(teacher))
    with torch.no_grad():
        out.weight[:, 0:24:2] = 0
    student = narrowed(teacher, hidden_size=12, num_attention_heads=4)
    ours, _ = (student.get_submodule(name) for name in pooled_units(student))
    assert torch.equal(ours.bias, into.bias[1:24:2])


def test_without_width_init_a_narrower_student_model_gets_only_tensors_of_its_shape():
    report = transfer_weights(make_teacher(hidden_size=12, num_attention_heads=2), make_teacher())
    assert "bert.embeddings.word_embeddings.weight" in report.newly_initialized and not report.reduced


@pytest.mark.parametrize(
    ("hidden_size", "head_size", "most", "expected"),
    [(192, 32, 12, 6), (256, 32, 12, 8), (384, 64, 12, 6), (500, 192, 4, 2)],
)
def test_heads_keep_the_teachers_width_where_it_divides_the_hidden_size(hidden_size, head_size, most, expected):
    assert num_heads(hidden_size, head_size=head_size, max_heads=most) == expected


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"hidden_size": 26}, "hidden_size must be a whole number from 1 to 24, the teacher's; got 26.*not wider"),
        ({"hidden_size": 0}, "hidden_size must be .* got 0"),
        ({"hidden_size": 12.0}, "got 12.0"),
        ({"intermediate_size": 41}, "intermediate_size must be a whole number from 1 to 40.*got 41"),
        ({"num_attention_heads": True}, "num_attention_heads must be .*got True"),
        ({"num_attention_heads": 8}, "num_attention_heads must be .*from 1 to 4.*got 8"),
        ({"hidden_size": 11}, "hidden_size must be even.*got 11. Use 12 or 10"),
        ({"hidden_size": 20, "num_attention_heads": 3}, "hidden_size=20 does not divide.*heads=3.*1, 2, 4"),
        ({"hidden_size": 12, "width_init": "pca"}, "width_init must be one of svd, slice; got 'pca'"),
        ({"width_init": "slice"}, "width_init='slice' .* no effect. Give a hidden_size"),
        ({"hidden_size": 24, "width_init": "slice"}, "width_init='slice' .* no effect"),
    ],
)
def test_impossible_sizes_are_refused_with_their_values(options, message):
    with pytest.raises(ValueError, match=message):
        student_from_teacher(make_teacher(), **options)
    with pytest.raises(ValueError, match=message):
        student_start(None, make_teacher(), **options)


def test_rotary_heads_of_another_width_are_refused():
    with pytest.raises(ValueError, match="heads 8 wide; the teacher's are 6 .*hidden_size = 6 x num_attention_heads"):
        student_from_teacher(make_teacher("modernbert"), hidden_size=16)


def test_an_electra_no_wider_than_its_embeddings_is_refused():
    with pytest.raises(ValueError, match="hidden_size=12 must be above 12, the width of the teacher's embeddings"):
        student_from_teacher(make_teacher("electra"), hidden_size=12)


def test_widths_of_an_unknown_architecture_are_refused():
    config = transformers.DebertaV2Config(
        vocab_size=60, hidden_size=24, num_hidden_layers=2, num_attention_heads=4, intermediate_size=40
    )
    with pytest.raises(ValueError, match="hidden_size=12 needs an architecture whose sizes are known.*'deberta-v2'"):
        student_from_teacher(transformers.DebertaV2ForSequenceClassification(config), hidden_size=12)


@pytest.mark.parametrize(
    ("student", "options", "message"),
    [
        ("2x8", {"hidden_size": 12}, "student='2x8' is a size.*so hidden_size=12 would"),
        ("2x8", {"width_init": "slice"}, "so width_init='slice' would"),
        (nn.Linear(2, 2), {"num_attention_heads": 2}, "so num_attention_heads=2 would"),
    ],
)
def test_widths_that_a_student_would_ignore_are_refused(student, options, message):
    with pytest.raises(ValueError, match=message):
        build_student(student, make_teacher(), **options)


def test_the_description_of_a_narrower_student_lists_its_sizes():
    options = {"layers": [0, 1], "hidden_size": 12, "architecture": "distilbert"}
    words = "layers 0, 1 of the teacher, made narrower by svd (hidden_size 24 to 12, intermediate_size 40 to 20, "
    words += "num_attention_heads 4 to 2), as a distilbert"
    assert student_start(None, make_teacher(), **options) == words
    assert build_student(None, make_teacher(), **options).config.dim == 12


def test_a_real_teacher_made_narrower_by_svd_agrees_more_with_itself_than_sliced(shared_data):
    import pandas

    folder = shared_data / "models" / "minilm-sst2"
    teacher = transformers.AutoModelForSequenceClassification.from_pretrained(folder, dtype=torch.float32).eval()
    tokenizer = transformers.AutoTokenizer.from_pretrained(folder)
    sentences = pandas.read_parquet(shared_data / "glue" / "sst2" / "validation.parquet")["sentence"]
    batch = tokenizer(sorted(sentences, key=len)[:100], padding=True, return_tensors="pt")
    expected = answer(teacher, batch).argmax(-1)

    def agreement(width_init):
        student = narrowed(teacher, hidden_size=192, width_init=width_init)
        return (answer(student, batch).argmax(-1) == expected).double().mean().item()

    svd, sliced = agreement("svd"), agreement("slice")
    assert svd > 0.75 and svd > sliced + 0.05
