"""DistilBERT students of BERT teachers."""

import pytest
import torch
import transformers

from distil_nlp.students import student_from_teacher, transfer_weights

from .encoders import NUM_LAYERS, TASKS, answer, make_batch, make_teacher, truncated


def distilled(teacher, **settings):
    return student_from_teacher(teacher, architecture="distilbert", **settings)


def test_a_distilbert_with_all_layers_has_the_hidden_states_of_its_bert_on_single_sentences():
    teacher, batch = make_teacher(), make_batch()
    student = distilled(teacher, num_layers=NUM_LAYERS)
    ours, theirs = answer(student.distilbert, batch), answer(teacher.bert, batch)
    assert (ours - theirs).abs().max() < 1e-5


def test_a_distilbert_of_chosen_layers_has_the_hidden_states_of_its_bert_without_the_others():
    teacher, batch = make_teacher(), make_batch()
    student = distilled(teacher, layers=[1, 2, 5])
    assert (answer(student.distilbert, batch) - answer(truncated(teacher, [1, 2, 5]).bert, batch)).abs().max() < 1e-5


@pytest.mark.parametrize("task", [None, *TASKS[1:]])
def test_heads_on_hidden_states_are_copied_exactly(task):
    teacher, batch = make_teacher(task=task), make_batch()
    student = distilled(teacher, num_layers=NUM_LAYERS)
    assert type(student).__name__ == "Distil" + type(teacher).__name__
    assert (answer(student, batch) - answer(teacher, batch)).abs().max() < 1e-5


def test_the_classification_head_starts_as_pooler_and_classifier():
    teacher = make_teacher()
    student = distilled(teacher, num_layers=2)
    for part in ("weight", "bias"):
        assert torch.equal(getattr(student.pre_classifier, part), getattr(teacher.bert.pooler.dense, part))
        assert torch.equal(getattr(student.classifier, part), getattr(teacher.classifier, part))


def test_a_distilbert_differs_from_its_bert_on_the_second_segment():
    teacher, batch = make_teacher(), make_batch()
    student = distilled(teacher, num_layers=NUM_LAYERS)
    segments = torch.zeros_like(batch["input_ids"])
    segments[:, 6:] = 1
    assert (
        answer(student.distilbert, batch) - answer(teacher.bert, {**batch, "token_type_ids": segments})
    ).abs().max() > 0.01


def test_the_report_notes_segments_and_differences_of_the_function():
    teacher = make_teacher(layer_norm_eps=1e-5)
    report = transfer_weights(distilled(teacher, num_layers=2), teacher)
    assert report.newly_initialized == []
    assert report.unused == ["bert.embeddings.token_type_embeddings.weight"]
    assert (
        report.copied["distilbert.transformer.layer.1.ffn.lin1.weight"]
        == "bert.encoder.layer.5.intermediate.dense.weight"
    )
    assert [note for note in report.notes if "segment 0" in note]
    assert [note for note in report.notes if "ReLU" in note]
    assert [note for note in report.notes if "1e-12" in note and "1e-05" in note]


def test_a_distilbert_config_keeps_labels_problem_type_dropouts_and_sizes():
    teacher = make_teacher(
        problem_type="multi_label_classification",
        hidden_dropout_prob=0.2,
        attention_probs_dropout_prob=0.15,
        classifier_dropout=0.3,
        hidden_act="gelu_new",
        attn_implementation="eager",
    )
    config = distilled(teacher, num_layers=2).config
    assert (config.dropout, config.attention_dropout, config.seq_classif_dropout) == (0.2, 0.15, 0.3)
    assert (config.problem_type, config.id2label) == (teacher.config.problem_type, teacher.config.id2label)
    assert (config.label2id, config.activation) == (teacher.config.label2id, "gelu_new")
    assert (config.pad_token_id, config._attn_implementation) == (1, "eager")


def test_without_a_classifier_dropout_the_hidden_dropout_is_used():
    assert distilled(make_teacher(hidden_dropout_prob=0.25), num_layers=2).config.seq_classif_dropout == 0.25


@pytest.mark.parametrize("task", ["SequenceClassification", "MaskedLM"])
def test_a_saved_distilbert_student_reloads_with_the_same_outputs(task, tmp_path):
    student, batch = distilled(make_teacher(task=task), num_layers=3), make_batch()
    student.save_pretrained(tmp_path)
    reloaded = type(student).from_pretrained(tmp_path)
    assert torch.equal(answer(reloaded, batch), answer(student, batch))


def test_a_half_precision_bert_gives_a_float32_distilbert_of_the_same_hidden_states():
    teacher, batch = make_teacher().half(), make_batch()
    student = distilled(teacher, num_layers=NUM_LAYERS)
    assert {parameter.dtype for parameter in student.parameters()} == {torch.float32}
    assert (answer(student.distilbert, batch) - answer(teacher.float().bert, batch)).abs().max() < 1e-5


def test_a_bert_head_that_distilbert_lacks_is_refused_with_those_it_has():
    teacher = transformers.BertForNextSentencePrediction(make_teacher().config)
    with pytest.raises(ValueError, match="no DistilBertForNextSentencePrediction.*MaskedLM"):
        distilled(teacher, num_layers=2)


def test_a_distilbert_of_a_real_teacher_has_its_hidden_states_and_nearly_its_logits(shared_data):
    folder = shared_data / "models" / "minilm-sst2"
    teacher = transformers.AutoModelForSequenceClassification.from_pretrained(folder, dtype=torch.float32).eval()
    tokenizer = transformers.AutoTokenizer.from_pretrained(folder)
    sentences = ["a gripping film", "never funny and too long by half", "dull, but not without charm", "awful"]
    batch = tokenizer(sentences, padding=True, return_tensors="pt", return_token_type_ids=False)
    student = distilled(teacher, num_layers=6)
    assert (answer(student.distilbert, batch) - answer(teacher.bert, batch)).abs().max() < 1e-5
    assert torch.equal(answer(student, batch).argmax(-1), answer(teacher, batch).argmax(-1))
