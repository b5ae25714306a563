"""Terms on feature maps: pairs of maps, projections, errors."""

import pytest
import torch

from distil_nlp.losses import relational_distance, to_smaller_size
from distil_nlp.objectives import (
    AttentionMaps,
    ChannelMaps,
    FeatureMaps,
    HiddenStates,
    Objective,
    PatientStates,
    PearsonMaps,
    RelationalAngle,
    RelationalDistance,
    SimilarityPreserving,
    SoftTargets,
    objective_from,
)
from distil_nlp.signals.base import Signals
from distil_nlp.teachers import OnlineTeacher
from distil_nlp.training.projections import dry_run
from tests.tiny import tiny_image_model

BATCH = {"pixel_values": torch.randn(4, 3, 32, 32, generator=torch.Generator().manual_seed(7))}
PROJECTED = [FeatureMaps, ChannelMaps, PearsonMaps]
POOLED = [RelationalDistance, RelationalAngle, SimilarityPreserving]
terms_of_maps = pytest.mark.parametrize("kind", [*PROJECTED, AttentionMaps])


def random(*shape, seed=0, dtype=torch.float32):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed)).to(dtype)


def signals(name, value):
    return Signals(logits=torch.zeros(4, 2), features={name: value})


def built(kind, ours, theirs, batch=BATCH):
    objective = Objective([kind(1.0, layers=[("low", "high")])])
    objective.resolve_layers(torch.nn.Module(), torch.nn.Module())
    objective.setup(signals("low", ours), signals("high", theirs), batch)
    return objective


def loss_of(objective, ours, theirs):
    return objective(signals("low", ours), signals("high", theirs), BATCH, objective.count([BATCH]))[0]


def dry_run_of(term, student="resnet", teacher="resnet", **settings):
    objective = Objective([term])
    larger = {"hidden_sizes": [6, 10]} if teacher in ("resnet", "convnext") else {}
    teacher = OnlineTeacher(tiny_image_model(teacher, seed=1, **larger))
    dry_run(objective, tiny_image_model(student, **settings), teacher, BATCH)
    return objective


def test_similarities_are_those_of_whole_maps_as_in_the_paper():
    """Tung and Mori 2019, equation 1: Q is the map reshaped to (batch, channels * height * width)."""
    ours, theirs = random(4, 3, 5, 5, dtype=torch.float64), random(4, 6, 4, 4, seed=1, dtype=torch.float64)
    grams = [maps.reshape(4, -1) @ maps.reshape(4, -1).T for maps in (ours, theirs)]
    left, right = (gram / gram.norm(dim=1, keepdim=True) for gram in grams)
    torch.testing.assert_close(
        loss_of(built(SimilarityPreserving, ours, theirs), ours, theirs), ((left - right) ** 2).sum() / 16
    )


@pytest.mark.parametrize("kind", PROJECTED)
def test_maps_with_equal_channels_have_no_projection(kind):
    assert not list(built(kind, random(4, 3, 5, 5), random(4, 3, 5, 5, seed=1)).parameters())


@pytest.mark.parametrize("kind", PROJECTED)
def test_maps_with_different_channels_are_projected_by_a_1x1_convolution_without_bias(kind):
    (weight,) = built(kind, random(4, 3, 5, 5), random(4, 6, 5, 5, seed=1)).parameters()
    assert weight.shape == (6, 3, 1, 1) and weight.requires_grad


def test_attention_maps_have_no_projection_with_any_channels():
    assert not list(built(AttentionMaps, random(4, 3, 5, 5), random(4, 6, 7, 3, seed=1)).parameters())


def test_a_hint_is_the_mean_square_between_maps_of_the_smaller_size():
    ours, theirs = random(4, 3, 8, 4), random(4, 6, 4, 8, seed=1)
    objective = built(FeatureMaps, ours, theirs)
    (weight,) = objective.parameters()
    small = torch.nn.functional.adaptive_avg_pool2d
    expected = (torch.nn.functional.conv2d(small(ours, (4, 4)), weight) - small(theirs, (4, 4))).square().mean()
    torch.testing.assert_close(loss_of(objective, ours, theirs), expected)


def test_maps_of_equal_size_are_unchanged():
    ours, theirs = random(2, 3, 5, 4), random(2, 1, 5, 4)
    small = to_smaller_size(ours, theirs)
    assert small[0] is ours and small[1] is theirs


@terms_of_maps
@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16, torch.float64])
def test_a_term_on_maps_accepts_a_student_of_any_precision(kind, dtype):
    ours, theirs = random(4, 3, 5, 5, dtype=dtype), random(4, 6, 4, 4, seed=1, dtype=dtype)
    assert loss_of(built(kind, ours, theirs), ours, theirs).isfinite()


@terms_of_maps
def test_the_loss_is_averaged_over_the_pairs_of_layers(kind):
    ours, theirs = random(4, 3, 5, 5), random(4, 3, 5, 5, seed=1)
    once, twice = (
        Objective([kind(1.0, layers=[("low", "high")])]),
        Objective([kind(1.0, layers=[("low", "high")] * 2)]),
    )
    for objective in (once, twice):
        objective.resolve_layers(torch.nn.Module(), torch.nn.Module())
        objective.setup(signals("low", ours), signals("high", theirs), BATCH)
    torch.testing.assert_close(loss_of(once, ours, theirs), loss_of(twice, ours, theirs))


@terms_of_maps
@pytest.mark.parametrize(
    "shape", [(4, 9, 3), (4, 3), (3, 3, 5, 5), (4, 3, 0, 5)], ids=["tokens", "vector", "rows", "empty"]
)
def test_the_error_for_a_tensor_that_is_not_a_map_of_the_batch_names_its_layer(kind, shape):
    with pytest.raises(ValueError, match=r"layer 'low' of the student needs .*\(batch, channels, height, width\)"):
        built(kind, torch.zeros(shape), random(4, 3, 5, 5))


@pytest.mark.parametrize("kind", [AttentionMaps, ChannelMaps])
def test_a_map_of_one_pixel_is_refused_before_the_first_step(kind):
    with pytest.raises(ValueError, match="of one pixel"):
        built(kind, random(4, 3, 1, 1), random(4, 3, 5, 5))


@pytest.mark.parametrize(
    ("layers", "pairs"),
    [
        ("uniform", [[0, 0], [1, 1], [2, 2]]),
        ("skip", [[0, 0], [1, 1]]),
        ("last", [[2, 2]]),
        ([(-1, 1), (0, "resnet.encoder.stages.0")], [[-1, 1], [0, "resnet.encoder.stages.0"]]),
    ],
)
def test_layers_of_convolutional_networks_are_their_stages(layers, pairs):
    objective = dry_run_of(FeatureMaps(1.0, layers=layers))
    assert objective.describe()[0]["layers"] == pairs
    assert set(objective.student_taps) <= {
        "resnet.embedder.embedder",
        "resnet.encoder.stages.0",
        "resnet.encoder.stages.1",
    }


@pytest.mark.parametrize("teacher", ["convnext", "mobilenet_v2"])
@terms_of_maps
def test_maps_of_different_architectures_can_be_compared(kind, teacher):
    assert dry_run_of(kind(1.0, layers="last"), teacher=teacher).teacher_taps


def test_a_projection_is_drawn_from_the_seed_and_trained_in_the_students_precision():
    one, other = (dry_run_of(FeatureMaps(1.0, layers="last")) for _ in range(2))
    assert torch.equal(*(next(objective.parameters()) for objective in (one, other)))


@pytest.mark.parametrize("kind", POOLED)
@pytest.mark.parametrize(
    ("ours", "theirs"),
    [((4, 3, 5, 5), (4, 6, 2, 2)), ((4, 3), (4, 6, 2, 2)), ((4, 7, 3), (4, 6)), ((4, 7, 3), (4, 5, 6))],
    ids=["maps", "vector and map", "tokens and vector", "tokens"],
)
def test_relations_of_examples_are_computed_from_maps_vectors_or_tokens_of_images(kind, ours, theirs):
    ours, theirs = random(*ours), random(*theirs, seed=1)
    of_map = (lambda one: one.flatten(1)) if kind is SimilarityPreserving else (lambda one: one.mean(dim=(2, 3)))
    points = [one if one.dim() == 2 else one.mean(dim=1) if one.dim() == 3 else of_map(one) for one in (ours, theirs)]
    torch.testing.assert_close(loss_of(built(kind, ours, theirs), ours, theirs), kind.loss(*points)[0])


def test_relations_of_texts_do_not_depend_on_padding():
    batch = {"input_ids": torch.ones(3, 4), "attention_mask": torch.tensor([[1, 1, 1, 1], [1, 1, 0, 0], [1, 0, 0, 0]])}
    ours, theirs = random(3, 5), random(3, 4, 6, seed=1)
    objective = built(RelationalDistance, ours, theirs, batch)
    pooled = torch.stack([theirs[0].mean(0), theirs[1, :2].mean(0), theirs[2, 0]])
    found = objective(signals("low", ours), signals("high", theirs), batch, objective.count([batch]))[0]
    torch.testing.assert_close(found, relational_distance(ours, pooled)[0])


@pytest.mark.parametrize("kind", POOLED)
def test_vectors_of_another_number_of_examples_are_refused(kind):
    with pytest.raises(
        ValueError, match=r"needs a tensor of shape \(batch, width\) or .* for a batch of 4; .* \(8, 3\)"
    ):
        built(kind, random(8, 3), random(4, 6))


@pytest.mark.parametrize("layers", ["uniform", [("embeddings", "embeddings"), (-1, 1)]])
def test_hidden_states_of_image_transformers_are_compared_at_all_positions(layers):
    student, teacher = tiny_image_model("vit"), tiny_image_model("vit", seed=1, hidden_size=24)
    objective = Objective([HiddenStates(1.0, layers=layers)])
    dry_run(objective, student, OnlineTeacher(teacher), BATCH)
    assert objective.count([BATCH]).tolist() == [4]  # examples
    ours, theirs = random(4, 17, 16), random(4, 17, 24, seed=1)
    signals = [
        Signals(torch.zeros(4, 3), dict.fromkeys(taps, value))
        for taps, value in ((objective.student_taps, ours), (objective.teacher_taps, theirs))
    ]
    loss, _ = objective(*signals, BATCH, objective.count([BATCH]))
    weights = list(objective.parameters())
    expected = sum((ours @ weight.T - theirs).square().mean() for weight in weights) / len(weights)
    torch.testing.assert_close(loss, expected)


def test_patient_states_of_image_transformers_compare_the_class_token():
    objective = dry_run_of(PatientStates(1.0, layers="last"), student="vit", teacher="vit")
    assert objective.count([BATCH]).tolist() == [4]


def test_a_text_without_an_attention_mask_is_refused():
    with pytest.raises(ValueError, match="no attention_mask"):
        built(HiddenStates, random(4, 5, 3), random(4, 5, 3), {"input_ids": torch.ones(4, 5)})


def test_the_error_for_a_convolutional_student_with_hidden_states_names_the_term_for_maps():
    with pytest.raises(ValueError, match=r"needs a tensor of shape \(batch, sequence, width\).*there is FeatureMaps"):
        dry_run_of(HiddenStates(1.0, layers="last"), teacher="vit")
    with pytest.raises(ValueError, match="of the teacher needs .*there is HiddenStates"):
        dry_run_of(FeatureMaps(1.0, layers="last"), teacher="vit")


def test_the_terms_on_maps_can_be_made_from_config():
    spec = [{"hints": {"layers": "last"}}, {"attention_maps": None}, {"channels": {"temperature": 2}}, {"pearson": {}}]
    objective = objective_from(spec)
    assert objective.names == ["hints", "attention_maps", "channels", "pearson"]
    assert all(term.paper for term in objective.terms)


def test_a_dry_run_restores_the_training_modes_of_the_students_modules():
    student = tiny_image_model("resnet").train()
    norm = student.resnet.encoder.stages[0].layers[0].layer[0].normalization
    norm.eval()
    dry_run(Objective([AttentionMaps(1.0)]), student, OnlineTeacher(tiny_image_model("resnet", seed=1)), BATCH)
    assert student.training and not norm.training


def test_the_temperature_of_maps_is_not_a_temperature_of_the_teachers_logits():
    assert Objective([SoftTargets(1.0, temperature=2.0), ChannelMaps(1.0, temperature=4.0)]).temperatures == [2.0]
