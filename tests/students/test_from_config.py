"""Students in another size with weights from scratch."""

import pytest
import torch
import transformers

from distil_nlp.students import pca_embeddings, student_from_config
from distil_nlp.students.from_config import num_heads

from .encoders import ARCHITECTURES, answer, make_batch, make_teacher, same_tensors, tensors


@pytest.mark.parametrize("embeddings", ["random", "pca"])
@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_a_sized_student_has_the_teachers_class_and_labels_and_the_given_size(architecture, embeddings, tmp_path):
    teacher, batch = make_teacher(architecture), make_batch()
    student = student_from_config("2x8", teacher, embeddings=embeddings)
    assert type(student) is type(teacher)
    assert (student.config.num_hidden_layers, student.config.hidden_size) == (2, 8)
    assert student.config.id2label == teacher.config.id2label
    assert student.get_input_embeddings().weight.shape == (60, 8)
    student.save_pretrained(tmp_path)
    assert torch.equal(answer(type(student).from_pretrained(tmp_path), batch), answer(student, batch))


def test_the_feed_forward_width_is_four_times_the_hidden_size():
    assert student_from_config("1x8", make_teacher()).config.intermediate_size == 32
    assert student_from_config("1x8", make_teacher("distilbert")).config.hidden_dim == 32


@pytest.mark.parametrize(
    ("hidden_size", "expected"),
    [(128, 2), (256, 4), (768, 12), (312, 4), (384, 6), (100, 2), (32, 1), (2, 1), (1022, 7)],
)
def test_the_width_of_heads_is_the_divisor_nearest_to_64(hidden_size, expected):
    assert num_heads(hidden_size) == expected


def test_every_even_width_divides_into_heads_of_even_width():
    for hidden_size in range(2, 1030, 2):
        assert hidden_size % num_heads(hidden_size) == 0 and (hidden_size // num_heads(hidden_size)) % 2 == 0


def test_a_sized_student_may_be_deeper_than_its_teacher():
    teacher = make_teacher("modernbert")
    student = student_from_config("9x8", teacher)
    assert student.config.layer_types == teacher.config.layer_types + teacher.config.layer_types[:3]
    assert answer(student, make_batch()).isfinite().all()


def test_electra_embeddings_stay_narrow_and_never_get_wider_than_the_layers():
    teacher = make_teacher("electra")  # embeddings 12 wide
    assert student_from_config("1x16", teacher).config.embedding_size == 12
    assert student_from_config("1x8", teacher).config.embedding_size == 8


def test_the_teacher_is_bit_identical_after_a_sized_student_was_made_of_it():
    teacher = make_teacher().half()
    before, config = tensors(teacher), teacher.config.to_dict()
    student = student_from_config("2x8", teacher, embeddings="pca")
    assert same_tensors(tensors(teacher), before) and teacher.config.to_dict() == config
    assert {parameter.dtype for parameter in student.parameters()} == {torch.float32} and student.training


def test_random_embeddings_do_not_depend_on_the_teacher_and_pca_embeddings_do():
    teacher = make_teacher()
    other = make_teacher(seed=1)

    def embeddings(of, kind):
        torch.manual_seed(0)
        return student_from_config("1x8", of, embeddings=kind).get_input_embeddings().weight

    assert torch.equal(embeddings(teacher, "random"), embeddings(other, "random"))
    expected = pca_embeddings(teacher.get_input_embeddings().weight, 8, std=teacher.config.initializer_range)
    assert torch.equal(embeddings(teacher, "pca"), expected)
    assert not torch.equal(embeddings(teacher, "pca"), embeddings(other, "pca"))


def test_pca_embeddings_are_the_principal_components_up_to_scale():
    from sklearn.decomposition import PCA

    matrix = torch.randn(50, 12, generator=torch.Generator().manual_seed(0)) * torch.linspace(3, 0.1, 12) + 1.0
    ours = pca_embeddings(matrix, 4, std=0.02).double()
    theirs = torch.from_numpy(PCA(4, svd_solver="full").fit_transform(matrix.double().numpy()))
    ratio = (ours / theirs).abs()
    assert (ratio / ratio[0, 0] - 1).abs().max() < 1e-4


def test_pca_embeddings_of_full_width_keep_every_distance_up_to_scale():
    matrix = torch.randn(30, 6, generator=torch.Generator().manual_seed(0))
    ours, theirs = torch.pdist(pca_embeddings(matrix, 6, std=1.0)), torch.pdist(matrix)
    assert (ours / theirs / (ours[0] / theirs[0]) - 1).abs().max() < 1e-5


def test_pca_embeddings_have_the_given_deviation_and_mean_0():
    reduced = pca_embeddings(torch.randn(50, 12) + 5.0, 4, std=0.02)
    assert reduced.std().item() == pytest.approx(0.02, rel=1e-3)
    assert reduced.mean(dim=0).abs().max() < 1e-6


def test_the_largest_entry_of_every_pca_direction_is_positive():
    matrix = torch.randn(50, 12, generator=torch.Generator().manual_seed(0))
    directions = matrix.T @ pca_embeddings(matrix, 12, std=1.0)  # each times its positive eigenvalue
    assert (directions.gather(0, directions.abs().argmax(dim=0, keepdim=True)) > 0).all()


def test_a_pca_into_a_wider_student_is_refused_with_both_widths():
    with pytest.raises(ValueError, match=r"24 wide, to the student's, 32 wide \('2x32'\).*at most 24"):
        student_from_config("2x32", make_teacher(), embeddings="pca")


def test_a_random_student_may_be_wider_than_its_teacher():
    assert student_from_config("1x32", make_teacher()).config.hidden_size == 32


@pytest.mark.parametrize("spec", ["4", "4x", "x256", "4x256x2", "0x256", "4x0", "4x255", "4 x 256", 4, None])
def test_an_invalid_size_is_refused_with_an_example(spec):
    with pytest.raises(ValueError, match="such as '4x256'.*got"):
        student_from_config(spec, make_teacher())


def test_an_unknown_kind_of_embeddings_is_refused():
    with pytest.raises(ValueError, match="one of random, pca; got 'svd'"):
        student_from_config("2x8", make_teacher(), embeddings="svd")


def test_a_size_of_an_unknown_architecture_is_refused():
    config = transformers.DebertaV2Config(
        vocab_size=60, hidden_size=24, num_hidden_layers=2, num_attention_heads=4, intermediate_size=40
    )
    with pytest.raises(
        ValueError, match="'2x8' needs an architecture whose sizes are known.*the teacher is 'deberta-v2'"
    ):
        student_from_config("2x8", transformers.DebertaV2ForSequenceClassification(config))


def test_a_size_needs_a_teacher():
    with pytest.raises(TypeError, match="got None"):
        student_from_config("2x8", None)


@pytest.mark.parametrize("size", ["1000000000x2", "2x1000000000", "9999x999998"])
def test_a_size_that_cannot_be_built_is_refused_before_memory_is_taken(size):
    with pytest.raises(ValueError, match="at most 10,000 layers|needs at least .* GB of memory"):
        student_from_config(size, make_teacher("bert"))
