"""CTC terms: a distribution over tokens and the blank for each frame."""

import pytest
import torch
from transformers import Wav2Vec2Config, Wav2Vec2ForCTC

from distil_nlp.collators.audio import CtcCollator
from distil_nlp.losses import ctc_loss
from distil_nlp.models import NetworkForCTC, feature_extractor_for
from distil_nlp.objectives import (
    CtcLabels,
    CtcSoftTargets,
    CtcTranscript,
    HardLabels,
    Objective,
    SoftTargets,
    default_objective,
    objective_from,
)
from distil_nlp.signals.base import Signals
from distil_nlp.signals.forward import accepted_columns, forward_logits, frame_logits
from distil_nlp.signals.frames import align_to_frames, frame_stride, output_frame_mask
from distil_nlp.signals.problem_kinds import CTC, problem_kind_of
from distil_nlp.teachers import OnlineTeacher


def batch_of(lengths=(5, 3), labels=((1, 2), (3, -100))):
    return {"labels": torch.tensor(labels), "frames": torch.arange(5) < torch.tensor(lengths).unsqueeze(1)}


def signals(seed):
    return Signals(2 * torch.randn(2, 5, 4, generator=torch.Generator().manual_seed(seed)))


def loss_of(objective, batch, student, teacher):
    objective.setup(student, teacher, batch)
    loss, logs = objective(student, teacher, batch, objective.count([batch]))[:2]
    return loss, logs


def test_a_batch_with_frames_is_ctc_and_its_default_terms_are_labels_and_frames():
    assert problem_kind_of(None, batch_of()).name == CTC
    names = {ratio: default_objective(CTC, kd_ratio=ratio).names for ratio in (0.0, 0.5, 1.0)}
    assert names == {0.0: ["ctc"], 0.5: ["ctc", "ctc_frames"], 1.0: ["ctc_frames"]}


def test_an_item_is_a_clip_for_labels_and_a_frame_for_soft_targets():
    batch = batch_of(labels=((1, 2), (-100, -100)))
    assert CtcLabels(1.0).items(batch).tolist() == [True, False]
    assert CtcTranscript(1.0).items(batch).tolist() == [True, True]
    assert CtcSoftTargets(1.0).items(batch).sum() == 8


def test_an_unlabeled_clip_learns_from_the_teacher_alone():
    batch = batch_of(labels=((1, 2), (-100, -100)))
    student, teacher = signals(0), signals(1)
    loss, _ = loss_of(Objective([CtcLabels(1.0)]), batch, student, teacher)
    torch.testing.assert_close(loss, ctc_loss(student.logits, batch["frames"], batch["labels"], blank=0)[0])


def test_the_transcript_loss_is_the_label_loss_if_the_teacher_predicts_the_labels():
    batch, student = batch_of(), signals(0)
    paths = torch.tensor([[1, 1, 0, 2, 2], [0, 3, 3, 1, 1]])  # what follows the three frames of the second is padding
    teacher = Signals(9.0 * torch.nn.functional.one_hot(paths, 4))
    one, _ = loss_of(Objective([CtcTranscript(1.0)]), batch, student, teacher)
    other, _ = loss_of(Objective([CtcLabels(1.0)]), batch, student, teacher)
    torch.testing.assert_close(one, other)


def test_ctc_terms_can_be_made_from_config():
    objective = objective_from(
        [
            {"ctc": {"weight": 0.2}},
            {"ctc_transcript": {"weight": 0.8}},
            {"ctc_frames": {"temperature": 3, "blank": 2}},
        ],
        problem_type=CTC,
    )
    assert objective.names == ["ctc", "ctc_transcript", "ctc_frames"]
    assert objective.terms[2].settings() == {"temperature": 3.0, "blank_weight": 0.1, "blank": 2}


@pytest.mark.parametrize(
    ("term", "change", "message"),
    [
        (CtcLabels(1.0), {"frames": None}, r"a column 'frames'.*the column has none among labels"),
        (
            CtcSoftTargets(1.0),
            {"frames": torch.ones(2, 7, dtype=torch.bool)},
            r"logits of shape \(2, 7, 4\).* got \(2, 5, 4\)",
        ),
        (CtcLabels(1.0), {"labels": torch.tensor([1, 2])}, r"whole numbers of shape \(batch, most tokens\)"),
        (CtcLabels(1.0), {"labels": torch.tensor([[1, 4], [0, 1]])}, "tokens from 0 to 3 but for the blank, 0"),
        (CtcLabels(1.0, blank=4), {}, "one of the 4 tokens, from 0; got 4"),
        (HardLabels(1.0), {}, "labels of a clip are for all its frames together. Use CtcLabels"),
        (SoftTargets(1.0, temperature=2.0), {}, "Use CtcLabels.*CtcSoftTargets"),
    ],
)
def test_terms_that_do_not_fit_a_batch_are_refused(term, change, message):
    batch = {name: value for name, value in {**batch_of(), **change}.items() if value is not None}
    with pytest.raises(ValueError, match=message):
        term.setup(signals(0), signals(1), batch)


def test_a_blank_weight_out_of_its_range_is_refused():
    with pytest.raises(ValueError, match="blank_weight must lie in 0 to 1; got 1.5"):
        CtcSoftTargets(1.0, blank_weight=1.5)


def test_a_model_may_have_fewer_output_frames_than_the_batch_has_frames():
    batch = {"labels": torch.tensor([[1, 2], [3, -100]]), "frames": torch.arange(6) < torch.tensor([[6], [4]])}
    slow, teacher = Signals(2 * torch.randn(2, 3, 4), frame_stride=2.0), Signals(2 * torch.randn(2, 6, 4))
    labels, _ = loss_of(Objective([CtcLabels(1.0)]), batch, slow, None)
    own = torch.tensor([[True, True, True], [True, True, False]])
    torch.testing.assert_close(labels, ctc_loss(slow.logits, own, batch["labels"], blank=0).mean())
    frames, logs = loss_of(Objective([CtcSoftTargets(1.0)]), batch, slow, teacher)
    twice = Signals(slow.logits.repeat_interleave(2, dim=1))
    expected, twice_logs = loss_of(Objective([CtcSoftTargets(1.0)]), batch, twice, teacher)
    torch.testing.assert_close(frames, expected)
    assert logs["agreement"] == twice_logs["agreement"]


def test_a_clip_with_more_tokens_than_output_frames_does_not_count_and_is_logged_once(caplog):
    batch = {"labels": torch.tensor([[1, 2, 3], [1, 1, -100]]), "frames": torch.arange(6) < torch.tensor([[6], [4]])}
    term, slow = CtcLabels(1.0), Signals(torch.randn(2, 3, 4, requires_grad=True), frame_stride=2.0)
    assert term.items(batch).tolist() == [True, True]
    for _ in range(2):
        loss, _ = loss_of(Objective([term]), batch, slow, None)
    assert term.items(batch).tolist() == [True, False]  # it has two answers, and its letters need a blank between
    own = torch.tensor([[True] * 3, [True, True, False]])
    torch.testing.assert_close(loss, ctc_loss(slow.logits, own, batch["labels"], blank=0)[0])
    assert caplog.text.count("has more tokens than the student has output frames for") == 1


def test_an_output_frame_counts_for_the_frames_that_begin_during_it():
    row = torch.tensor([[10, 20, 30]])
    assert align_to_frames(row, 6, 2.0).tolist() == [[10, 10, 20, 20, 30, 30]] and align_to_frames(row, 3, 1.0) is row
    assert align_to_frames(row, 3, None) is row and align_to_frames(row, 4, 2.0).tolist() == [[10, 10, 20, 20]]
    assert align_to_frames(row, 2, 0.5).tolist() == [[20, 30]] and align_to_frames(row, 7, 2.0).tolist()[0][-2:] == [
        30,
        30,
    ]
    frames = torch.arange(6) < torch.tensor([[6], [3], [0]])
    assert (
        output_frame_mask(frames, 4, 2.0).sum(1).tolist() == [3, 2, 0] and output_frame_mask(frames, 6, None) is frames
    )
    for unknown in (lambda: align_to_frames(row, 6, None), lambda: output_frame_mask(frames, 3, None)):
        with pytest.raises(
            ValueError,
            match="3 output frames for clips of 6 frames of 10 ms, and the config does not",
        ):
            unknown()
    with pytest.raises(
        ValueError, match="3 output frames for clips of 16 frames .* one output frame for 2 of them.*sampling_rate"
    ):
        align_to_frames(row, 16, 2.0)


@pytest.fixture(scope="module")
def models():
    """A model with an output frame every 20 ms and a network with one every 10 ms."""
    torch.manual_seed(0)
    config = Wav2Vec2Config(
        vocab_size=6, hidden_size=16, num_hidden_layers=1, num_attention_heads=2, intermediate_size=16,
        conv_dim=(8,) * 7, num_conv_pos_embeddings=4, num_conv_pos_embedding_groups=2, feat_extract_norm="layer",
        do_stable_layer_norm=True,
    )  # fmt: skip
    network = NetworkForCTC.from_network("streamcnn4", sampling_rate=16000, num_labels=6)
    return [model.eval().double() for model in (Wav2Vec2ForCTC(config), network)]


def test_frame_stride_is_read_from_the_model(models):
    assert [frame_stride(model) for model in (*models, torch.nn.Linear(1, 1))] == [2.0, 1.0, None]
    adapted = Wav2Vec2Config(add_adapter=True)
    assert frame_stride(type("Model", (), {"config": adapted})) == 2.0 * 2**3


@pytest.mark.parametrize("term", [CtcSoftTargets(1.0), CtcLabels(1.0), CtcTranscript(1.0)])
@pytest.mark.parametrize("length", [1050, 1440, 16000])
def test_padding_of_a_clip_does_not_change_the_loss_of_models_with_different_frame_strides(term, length, models):
    collator = CtcCollator(16000, {"": feature_extractor_for(16000)})
    draw = torch.Generator().manual_seed(0)
    rows = [
        {"audio": (0.1 * torch.randn(size, generator=draw)).numpy().tobytes(), "length": size, "labels": [3]}
        for size in (length, 50000)
    ]
    for student, teacher in (models, reversed(models)):
        values, said = [], []
        for some in (rows[:1], rows):
            batch = collator(some)
            batch["input_values"] = batch["input_values"].double()
            with torch.no_grad():
                logits = forward_logits(student, batch, accepted_columns(student))
                ours = Signals(logits, frame_stride=frame_stride(student))
                values.append(term.values(ours, OnlineTeacher(teacher)(batch), batch)[0])
                each = frame_logits(student, batch, accepted_columns(student))
            values[-1] = values[-1][term.items(batch)[0]]
            said.append(each[0][batch["frames"][0]])
        torch.testing.assert_close(values[1], values[0], rtol=0, atol=1e-6)
        torch.testing.assert_close(said[1], said[0], rtol=0, atol=1e-6)
