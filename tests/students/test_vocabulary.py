"""Models and tokenizers without the tokens that the data never uses."""

import copy
import json

import pytest
import torch
import transformers
from tokenizers import Tokenizer, decoders, models, normalizers, pre_tokenizers, processors, trainers
from torch import nn

from distil_nlp.students import trim_vocabulary
from tests.tiny import SPECIAL, tiny_model, tiny_tokenizer

from .encoders import answer, make_teacher, same_tensors, tensors

TEXTS = [
    "the story was never boring", "a good film and a great plot", "bad, bad acting: it is not fine",
    "lower and lowest of the low", "newer is not new", "wide wider widest",
]  # fmt: skip
USED = TEXTS[:3]
UNSEEN = "unstoryable zebras"


def trained(model, trainer, texts=None, **parts):
    tokenizer = Tokenizer(model)
    for name, part in parts.items():
        setattr(tokenizer, name, part)
    tokenizer.train_from_iterator((texts or TEXTS) * 3, trainer)
    return tokenizer


def template(tokenizer, first, last):
    ids = [(token, tokenizer.token_to_id(token)) for token in (first, last)]
    return processors.TemplateProcessing(
        single=f"{first} $A {last}", pair=f"{first} $A {last} $B:1 {last}:1", special_tokens=ids
    )


def bert_tokenizer():
    trainer = trainers.WordPieceTrainer(vocab_size=120, special_tokens=["[PAD]", "[unused0]", *SPECIAL[1:]])
    backend = trained(
        models.WordPiece(unk_token="[UNK]"),
        trainer,
        [*TEXTS, "abcdefghijklmnopqrstuvwxyz"],
        normalizer=normalizers.BertNormalizer(),
        pre_tokenizer=pre_tokenizers.BertPreTokenizer(),
    )
    return transformers.BertTokenizer(vocab=backend.get_vocab())


def roberta_tokenizer():
    special = ["<s>", "<pad>", "</s>", "<unk>"]
    trainer = trainers.BpeTrainer(
        vocab_size=320, special_tokens=special, initial_alphabet=pre_tokenizers.ByteLevel.alphabet()
    )
    backend = trained(models.BPE(), trainer, pre_tokenizer=pre_tokenizers.ByteLevel(add_prefix_space=False))
    backend.decoder = decoders.ByteLevel()
    backend.add_special_tokens(["<mask>"])  # outside the model's own vocabulary, as added tokens are
    backend.post_processor = processors.RobertaProcessing(("</s>", 2), ("<s>", 0))
    return transformers.PreTrainedTokenizerFast(
        tokenizer_object=backend, bos_token="<s>", eos_token="</s>", cls_token="<s>", sep_token="</s>",
        pad_token="<pad>", unk_token="<unk>", mask_token="<mask>",
    )  # fmt: skip


def xlm_roberta_tokenizer():
    special = ["<s>", "<pad>", "</s>", "<unk>", "<mask>"]
    trainer = trainers.UnigramTrainer(vocab_size=80, special_tokens=special, unk_token="<unk>")
    backend = trained(models.Unigram(), trainer, pre_tokenizer=pre_tokenizers.Metaspace())
    backend.decoder = decoders.Metaspace()
    backend.post_processor = template(backend, "<s>", "</s>")
    backend.enable_padding(pad_id=1, pad_token="<pad>")
    return transformers.PreTrainedTokenizerFast(
        tokenizer_object=backend, bos_token="<s>", eos_token="</s>", cls_token="<s>", sep_token="</s>",
        pad_token="<pad>", unk_token="<unk>", mask_token="<mask>",
    )  # fmt: skip


def word_tokenizer():
    return tiny_tokenizer()


TOKENIZERS = {
    "bert": bert_tokenizer,
    "roberta": roberta_tokenizer,
    "xlm-roberta": xlm_roberta_tokenizer,
    "distilbert": word_tokenizer,
}
CASES = list(TOKENIZERS)


def make_pair(architecture, task="SequenceClassification", **settings):
    tokenizer = TOKENIZERS[architecture]()
    ids = {f"{name}_token_id": getattr(tokenizer, f"{name}_token_id") for name in ("pad", "bos", "eos", "cls", "sep")}
    ids = {name: value for name, value in ids.items() if value is not None}
    model = make_teacher(architecture, task, vocab_size=len(tokenizer), **{**ids, **settings})
    return model, tokenizer


def tokens(tokenizer, texts):
    return [tokenizer.convert_ids_to_tokens(ids) for ids in tokenizer(texts)["input_ids"]]


def batch(tokenizer, texts=USED):
    return tokenizer(texts, padding=True, return_tensors="pt", return_token_type_ids=False)


def trimmed(architecture, task="SequenceClassification", **settings):
    model, tokenizer = make_pair(architecture, task, **settings)
    return model, tokenizer, trim_vocabulary(model, tokenizer, tokenizer(USED)["input_ids"])


@pytest.mark.parametrize("architecture", CASES)
def test_text_of_the_data_gives_the_same_tokens_and_the_same_logits(architecture):
    model, tokenizer, result = trimmed(architecture)
    assert result.num_tokens_after < result.num_tokens_before == len(tokenizer)
    assert tokens(result.tokenizer, USED) == tokens(tokenizer, USED)
    before, after = answer(model, batch(tokenizer)), answer(result.model, batch(result.tokenizer))
    assert (after - before).abs().max() < 1e-6
    pair = {"text": USED[0], "text_pair": USED[1]}
    assert result.tokenizer(**pair).tokens() == tokenizer(**pair).tokens()


@pytest.mark.parametrize("architecture", CASES)
def test_a_saved_pair_reloads_with_the_auto_classes_and_the_same_logits(architecture, tmp_path):
    _, tokenizer, result = trimmed(architecture)
    result.model.save_pretrained(tmp_path)
    result.tokenizer.save_pretrained(tmp_path)
    model = transformers.AutoModelForSequenceClassification.from_pretrained(tmp_path)
    again = transformers.AutoTokenizer.from_pretrained(tmp_path)
    assert again.is_fast and again.get_vocab() == result.tokenizer.get_vocab()
    assert len(again) == model.config.vocab_size == result.num_tokens_after
    assert tokens(again, TEXTS) == tokens(result.tokenizer, TEXTS)
    assert tokens(again, USED) == tokens(tokenizer, USED)
    assert torch.equal(answer(model, batch(again)), answer(result.model, batch(result.tokenizer)))


@pytest.mark.parametrize("architecture", CASES)
def test_special_tokens_keep_their_names_and_the_config_has_their_new_ids(architecture):
    model, tokenizer, result = trimmed(architecture)
    assert result.tokenizer.special_tokens_map == tokenizer.special_tokens_map
    old, new = tokenizer.get_vocab(), result.tokenizer.get_vocab()
    for name in ("pad", "bos", "eos", "cls", "sep"):
        before, after = (getattr(one.config, f"{name}_token_id", None) for one in (model, result.model))
        if before is not None:
            assert new[tokenizer.convert_ids_to_tokens(before)] == after
    embeddings = result.model.get_input_embeddings()
    assert embeddings.num_embeddings == result.model.config.vocab_size == len(result.kept_ids)
    assert embeddings.padding_idx == result.model.config.pad_token_id
    assert [old[token] for token in sorted(new, key=new.get)] == result.kept_ids


@pytest.mark.parametrize("architecture", ["bert", "roberta", "xlm-roberta"])
def test_an_unseen_word_is_split_into_kept_pieces(architecture):
    _, tokenizer, result = trimmed(architecture)
    pieces = tokens(result.tokenizer, [UNSEEN])[0]
    if architecture != "xlm-roberta":  # a Unigram trained on these texts has no z
        assert tokenizer.unk_token not in pieces
    assert result.tokenizer.decode(result.tokenizer(UNSEEN)["input_ids"], skip_special_tokens=True)
    assert answer(result.model, batch(result.tokenizer, [UNSEEN, *TEXTS])).isfinite().all()


def test_an_unseen_word_of_a_vocabulary_of_whole_words_is_unknown_as_before():
    _, _, result = trimmed("distilbert")
    assert tokens(result.tokenizer, ["this film"])[0] == ["[CLS]", "[UNK]", "film", "[SEP]"]


@pytest.mark.parametrize("settings", [{}, {"tie_word_embeddings": False}])
@pytest.mark.parametrize("architecture", CASES)
def test_a_masked_language_model_keeps_its_logits_of_the_kept_tokens(architecture, settings):
    model, tokenizer, result = trimmed(architecture, "MaskedLM", **settings)
    before, after = answer(model, batch(tokenizer)), answer(result.model, batch(result.tokenizer))
    assert after.shape[-1] == result.num_tokens_after
    assert (after - before[..., result.kept_ids]).abs().max() < 1e-6
    tied = result.model.get_output_embeddings().weight is result.model.get_input_embeddings().weight
    assert tied == (settings == {})


@pytest.mark.parametrize("task", ["sequence", "mlm"])
@pytest.mark.parametrize("architecture", ["electra", "mpnet", "modernbert"])
def test_every_architecture_keeps_its_outputs(architecture, task):
    tokenizer, model = tiny_tokenizer(token_type_ids=False), tiny_model(architecture, task)
    result = trim_vocabulary(model, tokenizer, tokenizer(["a bad film"])["input_ids"])
    assert result.num_tokens_after == 8
    ours, theirs = (batch(one, ["a bad film", "film"]) for one in (result.tokenizer, tokenizer))
    expected = answer(model, theirs)
    expected = expected[..., result.kept_ids] if task == "mlm" else expected
    assert (answer(result.model, ours) - expected).abs().max() < 1e-6


def test_the_original_model_and_tokenizer_are_unchanged():
    model, tokenizer = make_pair("bert")
    model.half().train()
    before, config, vocabulary = tensors(model), copy.deepcopy(model.config.to_dict()), tokenizer.get_vocab()
    result = trim_vocabulary(model, tokenizer, tokenizer(USED)["input_ids"])
    assert same_tensors(tensors(model), before) and model.config.to_dict() == config
    assert tokenizer.get_vocab() == vocabulary
    assert result.model.training and result.model.dtype == torch.float16


def test_positions_counted_from_the_padding_id_are_unchanged():
    tokenizer = tiny_tokenizer(["x", "y", "z"])
    tokenizer.pad_token = "z"  # token 7, after words that the data does not use
    model = make_teacher("roberta", vocab_size=8, pad_token_id=7)
    result = trim_vocabulary(model, tokenizer, [[2, 5, 3]])
    assert result.model.config.pad_token_id == 7
    ours, theirs = (batch(one, ["x", "x x x"]) for one in (result.tokenizer, tokenizer))
    assert (answer(result.model, ours) - answer(model, theirs)).abs().max() < 1e-6


def test_merges_that_build_no_kept_token_are_removed():
    _, tokenizer, result = trimmed("roberta")
    assert "lowest" in "".join(tokens(tokenizer, ["lowest"])[0])
    model = json.loads(result.tokenizer.backend_tokenizer.to_str())["model"]
    assert all({first, second, first + second} <= model["vocab"].keys() for first, second in model["merges"])
    assert len(model["merges"]) < len(json.loads(tokenizer.backend_tokenizer.to_str())["model"]["merges"])


def test_kept_token_ids_can_be_renumbered_and_removed_ids_cannot():
    _, tokenizer, result = trimmed("bert")
    ids = tokenizer(USED[0])["input_ids"]
    assert result.renumber(ids) == result.tokenizer(USED[0])["input_ids"]
    left_out = tokenizer.convert_tokens_to_ids("[unused0]")
    with pytest.raises(ValueError, match=f"Token {left_out} was not kept"):
        result.renumber([left_out])


def test_the_result_prints_tokens_and_bytes_before_and_after():
    model, _, result = trimmed("bert")
    width, gone = model.config.hidden_size, result.num_tokens_before - result.num_tokens_after
    assert result.num_bytes_before - result.num_bytes_after == 4 * width * gone
    assert f"{result.num_tokens_after} of {result.num_tokens_before} tokens kept" in str(result)


def test_a_slow_tokenizer_is_refused():
    class Slow:
        is_fast = False

    with pytest.raises(ValueError, match="Only a fast tokenizer can be trimmed.*got Slow"):
        trim_vocabulary(tiny_model(), Slow(), [[5]])


def test_an_unsupported_model_is_refused():
    with pytest.raises(TypeError, match="PreTrainedModel.*got Linear"):
        trim_vocabulary(nn.Linear(2, 2), tiny_tokenizer(), [[5]])
    config = transformers.DebertaV2Config(
        vocab_size=60, hidden_size=24, num_hidden_layers=2, num_attention_heads=4, intermediate_size=40
    )
    with pytest.raises(
        ValueError, match=r"DebertaV2Model \('deberta-v2'\) that have a row for each token are not known"
    ):
        trim_vocabulary(transformers.DebertaV2Model(config), tiny_tokenizer(), [[5]])


def test_a_tokenizer_of_another_model_is_refused():
    with pytest.raises(ValueError, match="has token 26, but the word embeddings of Bert.* have 20 rows"):
        trim_vocabulary(tiny_model(vocab_size=20), tiny_tokenizer(), [[5]])


@pytest.mark.parametrize(
    ("token_ids", "message"), [([], "it is empty"), ([[5, 99], [-100]], "it contains -100, 99, not")]
)
def test_tokens_that_are_not_the_tokenizers_are_refused(token_ids, message):
    with pytest.raises(ValueError, match=message):
        trim_vocabulary(tiny_model(vocab_size=120), tiny_tokenizer(), token_ids)


def test_a_bpe_with_a_prefix_is_refused():
    backend = Tokenizer(models.BPE({"a": 0, "##b": 1}, [], continuing_subword_prefix="##"))
    tokenizer = transformers.PreTrainedTokenizerFast(tokenizer_object=backend)
    with pytest.raises(ValueError, match="BPE vocabulary with the prefix '##' cannot be trimmed"):
        trim_vocabulary(tiny_model(), tokenizer, [[0]])


def test_a_real_tokenizer_keeps_the_tokens_and_the_logits_of_the_datas_text(shared_data, tmp_path):
    import pandas

    folder = shared_data / "models" / "minilm-sst2"
    model = transformers.AutoModelForSequenceClassification.from_pretrained(folder, dtype=torch.float32).eval()
    tokenizer = transformers.AutoTokenizer.from_pretrained(folder)
    sentences = list(pandas.read_parquet(shared_data / "glue" / "sst2" / "validation.parquet")["sentence"])
    result = trim_vocabulary(model, tokenizer, tokenizer(sentences)["input_ids"])
    result.tokenizer.save_pretrained(tmp_path)
    smaller = transformers.AutoTokenizer.from_pretrained(tmp_path)
    assert len(smaller) < 8000
    assert tokens(smaller, sentences) == tokens(tokenizer, sentences)
    ours, theirs = batch(smaller, sentences[:16]), batch(tokenizer, sentences[:16])
    assert (answer(result.model, ours) - answer(model, theirs)).abs().max() < 1e-6
    assert "[UNK]" not in smaller.tokenize("antidisestablishmentarianism, quixotically")
