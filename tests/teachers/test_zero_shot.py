"""The logits of a zero-shot teacher are the entailment logits of each text with each hypothesis."""

import pytest
import torch
from tokenizers import processors

from distil_nlp.teachers import OnlineTeacher, ZeroShotClassifier
from tests.tiny import tiny_model, tiny_tokenizer

NLI = {0: "contradiction", 1: "entailment", 2: "neutral"}
TEXTS = ["a good film", "boring", "the plot is not great and the story was never fine"]
CLASSES = ["very_good", "bad"]
TEMPLATE = "this was {} ."


def nli_model(architecture="bert", **settings):
    model = tiny_model(architecture, num_labels=3, **settings)
    model.config.id2label, model.config.label2id = NLI, {name: index for index, name in NLI.items()}
    return model


def roberta_tokenizer():
    """Two separators between the texts of a pair, and no token types."""
    tokenizer = tiny_tokenizer(token_type_ids=False)
    tokenizer.backend_tokenizer.post_processor = processors.TemplateProcessing(
        single="[CLS] $A [SEP]", pair="[CLS] $A [SEP] [SEP] $B [SEP]", special_tokens=[("[CLS]", 2), ("[SEP]", 3)]
    )
    return tokenizer


def batch_of(tokenizer, texts=TEXTS, **settings):
    return dict(tokenizer(texts, padding=True, return_tensors="pt", **settings))


@pytest.mark.parametrize(
    ("architecture", "make_tokenizer"),
    [("bert", tiny_tokenizer), ("roberta", roberta_tokenizer), ("distilbert", roberta_tokenizer)],
)
def test_the_logits_equal_those_of_the_model_on_pairs(architecture, make_tokenizer):
    model, tokenizer = nli_model(architecture), make_tokenizer()
    logits = ZeroShotClassifier(model, tokenizer, CLASSES, template=TEMPLATE)(**batch_of(tokenizer))
    for column, name in enumerate(["very good", "bad"]):
        for row, text in enumerate(TEXTS):
            pair = dict(tokenizer(text, TEMPLATE.format(name), return_tensors="pt"))
            expected = model(**pair).logits[0, 1]
            torch.testing.assert_close(logits[row, column], expected, rtol=0, atol=1e-6)


def test_padding_changes_nothing():
    tokenizer = tiny_tokenizer()
    teacher = OnlineTeacher(ZeroShotClassifier(nli_model(), tokenizer, CLASSES, template=TEMPLATE))
    more = batch_of(tokenizer, pad_to_multiple_of=32)
    torch.testing.assert_close(teacher(more).logits, teacher(batch_of(tokenizer)).logits)


def test_a_long_text_is_truncated_to_fit_the_hypothesis():
    tokenizer = tiny_tokenizer(max_length=16)
    model = ZeroShotClassifier(nli_model(), tokenizer, CLASSES, template=TEMPLATE)
    long = batch_of(tokenizer, ["film " * 40], truncation=True)
    assert torch.isfinite(model(**long)).all()
    pair = tokenizer("film " * 40, "this was bad .", truncation="only_first", max_length=16, return_tensors="pt")
    torch.testing.assert_close(model(**long)[0, 1], model.model(**pair).logits[0, 1], rtol=0, atol=1e-6)


def test_the_fingerprint_depends_on_the_template():
    prints = {
        OnlineTeacher(ZeroShotClassifier(nli_model(), tiny_tokenizer(), CLASSES, template=one)).fingerprint()
        for one in (TEMPLATE, "this film is {} .")
    }
    assert len(prints) == 2


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"template": "good"}, "must have {} in place of the class"),
        ({"class_names": ["one"]}, "two or more"),
        ({"class_names": None}, "two or more"),
        ({"class_names": ["very_good", "very good"]}, "same hypothesis"),
        ({"model": tiny_model(num_labels=2)}, "with a label 'entailment'; the labels of .* are LABEL_0, LABEL_1"),
    ],
)
def test_unusable_arguments_are_rejected(changes, message):
    settings = {"model": nli_model(), "class_names": CLASSES, **changes}
    with pytest.raises(ValueError, match=message):
        ZeroShotClassifier(settings.pop("model"), tiny_tokenizer(), settings.pop("class_names"), **settings)
