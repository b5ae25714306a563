"""Students made of the teacher's layers."""

import copy
import logging

import pytest
import torch
import transformers
from torch import nn

from distil_nlp.students import choose_layers, student_from_teacher, transfer_weights

from .encoders import (
    ARCHITECTURES,
    NUM_LAYERS,
    TASKS,
    answer,
    make_batch,
    make_teacher,
    randomized,
    same_tensors,
    tensors,
    truncated,
)


@pytest.mark.parametrize("task", TASKS)
@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_the_outputs_of_a_student_with_all_layers_equal_the_teachers_bit_for_bit(architecture, task):
    teacher, batch = make_teacher(architecture, task), make_batch()
    student = student_from_teacher(teacher, num_layers=NUM_LAYERS)
    assert type(student) is type(teacher)
    assert torch.equal(answer(student, batch), answer(teacher, batch))


@pytest.mark.parametrize("layers", [[0, 2, 3], [0, 1, 4, 5], [0]])
@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_the_outputs_of_a_student_equal_the_teachers_without_the_other_layers(architecture, layers):
    teacher, batch = make_teacher(architecture), make_batch()
    student = student_from_teacher(teacher, layers=layers)
    assert student.config.num_hidden_layers == len(layers)
    assert torch.equal(answer(student, batch), answer(truncated(teacher, layers), batch))
    assert not torch.equal(answer(student, batch), answer(teacher, batch))


@pytest.mark.parametrize("task", ["SequenceClassification", "MaskedLM"])
@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_a_saved_student_reloads_with_the_same_outputs(architecture, task, tmp_path):
    student, batch = student_from_teacher(make_teacher(architecture, task), layers=[0, 2, 3]), make_batch()
    student.save_pretrained(tmp_path)
    reloaded, info = type(student).from_pretrained(tmp_path, output_loading_info=True)
    assert not info["missing_keys"] and not info["unexpected_keys"]
    assert torch.equal(answer(reloaded, batch), answer(student, batch))


@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_the_teacher_is_bit_identical_after_its_student_was_made_and_trained(architecture):
    teacher = make_teacher(architecture)
    before, config = tensors(teacher), copy.deepcopy(teacher.config.to_dict())
    student = student_from_teacher(teacher, num_layers=2)
    with torch.no_grad():
        for parameter in student.parameters():
            parameter.add_(1.0)
    assert same_tensors(tensors(teacher), before)
    assert teacher.config.to_dict() == config
    assert not teacher.training


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_a_half_precision_teacher_is_unchanged_and_gives_a_float32_student_of_the_same_values(dtype):
    teacher = make_teacher().to(dtype)
    before = tensors(teacher)
    student = student_from_teacher(teacher, num_layers=NUM_LAYERS)
    assert same_tensors(tensors(teacher), before)
    assert {parameter.dtype for parameter in student.parameters()} == {torch.float32}
    assert student.config.dtype == torch.float32
    assert torch.equal(answer(student, make_batch()), answer(copy.deepcopy(teacher).float(), make_batch()))


def test_a_student_of_a_frozen_teacher_is_ready_to_train():
    teacher = make_teacher().requires_grad_(False)
    student = student_from_teacher(teacher, num_layers=2)
    assert student.training and all(parameter.requires_grad for parameter in student.parameters())


def test_a_masked_language_student_keeps_its_head_tied_to_its_embeddings():
    student = student_from_teacher(make_teacher(task="MaskedLM"), num_layers=2)
    assert student.get_output_embeddings().weight is student.get_input_embeddings().weight


def test_the_config_keeps_labels_problem_type_dropouts_and_attention():
    settings = {"problem_type": "multi_label_classification", "hidden_dropout_prob": 0.2, "classifier_dropout": 0.3}
    teacher = make_teacher(attn_implementation="eager", attention_probs_dropout_prob=0.15, **settings)
    config = student_from_teacher(teacher, num_layers=2).config
    kept = {
        name: value for name, value in teacher.config.to_dict().items() if name not in ("num_hidden_layers", "dtype")
    }
    assert kept.items() <= config.to_dict().items()
    assert config._attn_implementation == "eager"


def test_a_modernbert_layer_keeps_its_kind_of_attention():
    teacher = make_teacher("modernbert")
    student = student_from_teacher(teacher, layers=[0, 3, 5])
    assert student.config.layer_types == [teacher.config.layer_types[layer] for layer in (0, 3, 5)]
    assert student.config.layer_types != teacher.config.layer_types[:3]


def test_a_modernbert_student_that_does_not_begin_with_layer_0_is_refused():
    with pytest.raises(ValueError, match=r"no place for model.layers.1.attn_norm.weight.*layers=\[0, 3\]"):
        student_from_teacher(make_teacher("modernbert"), layers=[1, 3])


def test_half_of_the_layers_is_the_default():
    student = student_from_teacher(make_teacher(num_hidden_layers=5))
    assert student.config.num_hidden_layers == 3


def test_num_layers_keeps_the_layers_of_choose_layers():
    teacher = make_teacher()
    chosen = student_from_teacher(teacher, layers=choose_layers(NUM_LAYERS, 4))
    assert same_tensors(tensors(student_from_teacher(teacher, num_layers=4)), tensors(chosen))


def test_a_bare_encoder_gives_a_bare_student():
    teacher = make_teacher(task=None)
    student = student_from_teacher(teacher, layers=[0, 5])
    assert torch.equal(answer(student, make_batch()), answer(truncated(teacher, [0, 5]), make_batch()))


def test_an_unknown_encoder_works_if_it_has_one_list_of_layers():
    config = transformers.DebertaV2Config(
        vocab_size=60, hidden_size=24, num_hidden_layers=4, num_attention_heads=4, intermediate_size=40,
        relative_attention=True, pos_att_type=["p2c", "c2p"], position_buckets=8, max_position_embeddings=40,
    )  # fmt: skip
    teacher = randomized(transformers.DebertaV2ForSequenceClassification(config))
    student = student_from_teacher(teacher, layers=[0, 2])
    teacher.deberta.encoder.layer = nn.ModuleList(teacher.deberta.encoder.layer[layer] for layer in (0, 2))
    assert torch.equal(answer(student, make_batch()), answer(teacher, make_batch()))


def test_per_layer_lists_of_an_unknown_encoder_follow_the_layers():
    config = transformers.LongformerConfig(
        vocab_size=60, hidden_size=24, num_hidden_layers=4, num_attention_heads=4, intermediate_size=40,
        attention_window=[2, 4, 6, 8], max_position_embeddings=40, pad_token_id=1,
    )  # fmt: skip
    teacher = randomized(transformers.LongformerForSequenceClassification(config))
    assert student_from_teacher(teacher, layers=[0, 3]).config.attention_window == [2, 8]


def test_an_encoder_that_shares_one_layer_is_refused_with_its_module_lists():
    config = transformers.AlbertConfig(vocab_size=60, embedding_size=8, hidden_size=24, num_hidden_layers=4,
                                       num_attention_heads=4, intermediate_size=40)  # fmt: skip
    teacher = transformers.AlbertForSequenceClassification(config)
    with pytest.raises(ValueError, match=r"num_hidden_layers=4; its module lists are .*albert_layer_groups \(1\)"):
        student_from_teacher(teacher, num_layers=2)


def test_an_encoder_with_a_decoder_is_refused():
    config = transformers.BartConfig(vocab_size=60, d_model=24, encoder_layers=2, decoder_layers=3,
                                     encoder_attention_heads=4, decoder_attention_heads=4)  # fmt: skip
    with pytest.raises(ValueError, match=r"model.encoder.layers \(2\), model.decoder.layers \(3\)"):
        student_from_teacher(transformers.BartForSequenceClassification(config), num_layers=1)


def test_num_layers_together_with_layers_is_refused_with_both():
    with pytest.raises(ValueError, match=r"num_layers=2 and layers=\[0, 1\] exclude each other"):
        student_from_teacher(make_teacher(), num_layers=2, layers=[0, 1])


def test_more_layers_than_the_teacher_has_are_refused():
    with pytest.raises(ValueError, match="from 1 to 6, the layers of the teacher; got 7"):
        student_from_teacher(make_teacher(), num_layers=7)


def test_an_unknown_architecture_is_refused_with_the_known_ones():
    with pytest.raises(
        ValueError, match="'tinybert' out of a 'bert' teacher.*modernbert.*from 'bert' to 'distilbert'"
    ):
        student_from_teacher(make_teacher(), num_layers=2, architecture="tinybert")


def test_an_architecture_the_teacher_cannot_become_is_refused():
    with pytest.raises(ValueError, match="'distilbert' out of a 'roberta' teacher.*for a 'roberta' student"):
        student_from_teacher(make_teacher("roberta"), num_layers=2, architecture="distilbert")


def test_the_teachers_own_architecture_may_be_named():
    assert student_from_teacher(make_teacher(), num_layers=2, architecture="bert").config.model_type == "bert"


@pytest.mark.parametrize(
    ("teacher", "named"), [(None, "got None"), (nn.Linear(2, 2), "got torch.nn"), ("id", "got b")]
)
def test_a_teacher_that_is_not_a_transformers_model_is_refused(teacher, named):
    with pytest.raises(TypeError, match=f"PreTrainedModel.*{named}"):
        student_from_teacher(teacher, num_layers=2)


def test_a_quantized_teacher_is_refused():
    teacher = make_teacher()
    teacher.config.quantization_config = {"quant_method": "bitsandbytes"}
    with pytest.raises(ValueError, match="BertForSequenceClassification.*is quantized"):
        student_from_teacher(teacher, num_layers=2)


def test_the_copied_tensors_are_logged(caplog):
    with caplog.at_level(logging.INFO, logger="distil_nlp"):
        student_from_teacher(make_teacher(), layers=[0, 4])
    assert "tensors copied from the teacher, layers [0, 4]" in caplog.text


def test_the_report_lists_the_newly_initialized_tensors_of_another_head(caplog):
    teacher, student = make_teacher(), make_teacher(task="TokenClassification", num_labels=5, id2label=None, seed=1)
    report = transfer_weights(student, teacher)
    assert report.newly_initialized == ["classifier.weight", "classifier.bias"]
    assert report.unused == [
        "bert.pooler.dense.weight", "bert.pooler.dense.bias", "classifier.weight", "classifier.bias"
    ]  # fmt: skip
    assert "newly initialized: classifier.weight" in caplog.text


def test_weights_go_into_a_bare_student_from_a_teacher_with_a_head():
    teacher, student = make_teacher(), make_teacher(task=None, num_hidden_layers=2, seed=1)
    report = transfer_weights(student, teacher, layers=[1, 4])
    assert report.copied["encoder.layer.1.output.dense.weight"] == "bert.encoder.layer.4.output.dense.weight"
    assert not report.newly_initialized and report.unused == ["classifier.weight", "classifier.bias"]


def test_weights_do_not_go_between_architectures():
    with pytest.raises(ValueError, match="No weights go from 'bert' to 'roberta'"):
        transfer_weights(make_teacher("roberta"), make_teacher())


def test_one_layer_is_needed_for_each_of_the_students():
    with pytest.raises(ValueError, match=r"each of the student's 2; got \[0, 1, 2\]"):
        transfer_weights(make_teacher(num_hidden_layers=2), make_teacher(), layers=[0, 1, 2])


def test_a_teacher_whose_config_has_no_layer_count_is_refused_before_anything_is_built():
    from transformers import ResNetConfig, ResNetForImageClassification

    teacher = ResNetForImageClassification(
        ResNetConfig(embedding_size=8, hidden_sizes=[8, 8], depths=[1, 1], num_labels=2)
    )
    with pytest.raises(ValueError, match="config of ResNetForImageClassification has no num_hidden_layers"):
        student_from_teacher(teacher, num_layers=1)
