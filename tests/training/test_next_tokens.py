"""Causal language models: the label of a position is the token after it, and other alignments are refused."""

import datasets
import numpy as np
import peft
import pytest
import torch
import transformers
from transformers import DataCollatorForLanguageModeling, DataCollatorForSeq2Seq

from distil_nlp.signals.problem_kinds import problem_kind_of_model
from distil_nlp.training.trainer import DistillationTrainer
from tests.tiny import tiny_model, tiny_tokenizer
from tests.training.runs import gradients_of, make_arguments, make_rows, relative_difference

SMALL = {"vocab_size": 64, "bos_token_id": 2, "eos_token_id": 3, "pad_token_id": 0}


def causal_model(seed=0, width=16, layers=1):
    sizes = {"n_positions": 32, "n_embd": width, "n_layer": layers, "n_head": 2, "initializer_range": 0.3}
    dropout = {"embd_pdrop": 0.0, "resid_pdrop": 0.0, "attn_pdrop": 0.0}
    return seeded(transformers.GPT2LMHeadModel, transformers.GPT2Config(**SMALL, **sizes, **dropout), seed)


def seeded(model_class, config, seed=0):
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return model_class(config).eval()


def text_rows():
    return make_rows(8, problem="none").remove_columns("token_type_ids")


def trainer_of(student, teacher, folder, *, collator=None, rows=None, **settings):
    collator = DataCollatorForLanguageModeling(tiny_tokenizer(), mlm=False) if collator is None else collator
    arguments = make_arguments(folder, train_sampling_strategy="sequential", **settings)
    rows = text_rows() if rows is None else rows
    return DistillationTrainer(
        student, teacher, arguments, train_dataset=rows, eval_dataset=rows, data_collator=collator
    )


def own_loss(model):
    return model(**DataCollatorForLanguageModeling(tiny_tokenizer(), mlm=False)(list(text_rows()))).loss


def test_the_evaluation_loss_is_that_of_the_model(tmp_path):
    model = causal_model()
    with torch.no_grad():
        expected = own_loss(model).item()
    trainer = trainer_of(model, None, tmp_path, per_device_eval_batch_size=3)
    assert trainer.evaluate()["eval_loss"] == pytest.approx(expected, rel=1e-5)


@pytest.mark.parametrize("wrap", [lambda model: model, torch.nn.DataParallel])
@pytest.mark.parametrize("num_micro_batches", [1, 4])
def test_the_gradients_of_a_step_are_those_of_the_model(num_micro_batches, wrap, tmp_path):
    class Keep(transformers.TrainerCallback):
        def on_pre_optimizer_step(self, args, state, control, model=None, **kwargs):
            kept.append(gradients_of(student))

    kept, student, expected = [], causal_model().double(), causal_model().double()
    own_loss(expected).backward()
    batch_size = 8 // num_micro_batches
    settings = {"per_device_train_batch_size": batch_size, "gradient_accumulation_steps": num_micro_batches}
    trainer = trainer_of(wrap(student), None, tmp_path, **settings)
    trainer.add_callback(Keep())
    trainer.train()
    assert relative_difference(kept[0], gradients_of(expected)) < 1e-6


def test_soft_targets_compare_the_positions_whose_next_token_counts(tmp_path):
    """By hand: KL divergence of the next tokens at temperature 2, and their cross-entropy."""
    student, teacher = causal_model(), causal_model(seed=1, width=24, layers=2)
    trainer = trainer_of(student, teacher, tmp_path, logging_strategy="steps", logging_steps=1, learning_rate=0.0)
    trainer.train()
    logged = trainer.state.log_history[0]
    batch = DataCollatorForLanguageModeling(tiny_tokenizer(), mlm=False)(list(text_rows()))
    inputs = {name: batch[name] for name in ("input_ids", "attention_mask")}
    with torch.no_grad():
        ours, theirs = (
            model(**inputs).logits[:, :-1][batch["labels"][:, 1:] >= 0] / 2 for model in (student, teacher)
        )
    kl = (theirs.softmax(-1) * (theirs.log_softmax(-1) - ours.log_softmax(-1))).sum(-1).mean() * 4
    assert logged["loss/soft"] == pytest.approx(kl.item(), rel=1e-4)
    assert logged["loss/hard"] == pytest.approx(own_loss(student).item(), rel=1e-4)


def test_a_comparison_has_the_perplexity_of_the_next_tokens(tmp_path):
    student, teacher = causal_model(), causal_model(seed=1)
    report = trainer_of(student, teacher, tmp_path).compare(seconds=0.02)
    perplexities = {model.role: model.metrics["perplexity"] for model in report.models}
    for role, model in (("student", student), ("teacher", teacher)):
        assert perplexities[role] == pytest.approx(np.exp(own_loss(model).item()), rel=1e-4)


def test_an_adapted_causal_model_is_one(tmp_path):
    model = peft.get_peft_model(causal_model(), peft.LoraConfig(r=2, target_modules=["c_attn"], fan_in_fan_out=True))
    trainer = trainer_of(model, causal_model(seed=1), tmp_path)
    assert trainer.evaluate()["eval_loss"] == pytest.approx(own_loss(causal_model()).item(), rel=1e-4)


def seq2seq_rows():
    rows = text_rows()
    return datasets.Dataset.from_list([{**row, "labels": row["input_ids"][::-1][:3]} for row in rows])


def bart(kind="ForConditionalGeneration"):
    config = transformers.BartConfig(
        **SMALL,
        d_model=16,
        encoder_layers=1,
        decoder_layers=1,
        encoder_attention_heads=2,
        decoder_attention_heads=2,
        encoder_ffn_dim=16,
        decoder_ffn_dim=16,
        max_position_embeddings=32,
        decoder_start_token_id=3,
        forced_eos_token_id=3,
        init_std=0.3,
        dropout=0.0,
    )
    return seeded(getattr(transformers, f"Bart{kind}"), config)


def test_an_encoder_decoder_learns_with_decoder_inputs_and_is_refused_without_them(tmp_path):
    model, tokenizer = bart(), tiny_tokenizer()
    collator = DataCollatorForSeq2Seq(tokenizer, model=model)
    rows = seq2seq_rows()
    with torch.no_grad():
        expected = model(**collator(list(rows))).loss.item()
    trainer = trainer_of(model, None, tmp_path, collator=collator, rows=rows)
    assert trainer.evaluate()["eval_loss"] == pytest.approx(expected, rel=1e-5)
    with pytest.raises(ValueError, match="no decoder_input_ids .*DataCollatorForSeq2Seq"):
        trainer_of(model, None, tmp_path, collator=DataCollatorForSeq2Seq(tokenizer), rows=rows)


def test_a_decoder_whose_labels_are_not_the_next_tokens_is_refused(tmp_path):
    with pytest.raises(ValueError, match="BartForCausalLM assigns labels to positions in its own way"):
        trainer_of(bart("ForCausalLM"), None, tmp_path)


def test_virtual_tokens_before_a_text_are_refused(tmp_path):
    config = peft.PromptTuningConfig(task_type="CAUSAL_LM", num_virtual_tokens=2)
    with pytest.raises(ValueError, match=r"labels must be .*whole numbers of shape \(batch, sequence\)"):
        trainer_of(peft.get_peft_model(causal_model(), config), None, tmp_path)


@pytest.mark.parametrize(("task", "kind"), [("mlm", "single_label_classification"), ("sequence", "regression")])
def test_other_heads_are_no_causal_models(task, kind):
    assert problem_kind_of_model(tiny_model(task=task, num_labels=1)).name in (kind, "regression")
    assert problem_kind_of_model(bart()).name != "next_token"
