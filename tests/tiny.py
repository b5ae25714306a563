"""Models and tokenizers small enough for a test, from configs: nothing is downloaded, the same seed gives the same."""

import torch
import transformers
from tokenizers import Tokenizer, models, pre_tokenizers, processors

SPECIAL = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
WORDS = "a and bad boring but film fine good great is it movie never not of plot poor story the this very was".split()

# The words each architecture's config uses for the same five things.
_BERT = {"dropout": ["hidden_dropout_prob", "attention_probs_dropout_prob"]}
_ARCHITECTURES = {
    "bert": _BERT,
    "roberta": _BERT,
    "mpnet": _BERT,
    "electra": {**_BERT, "hidden_size": ["hidden_size", "embedding_size"]},
    "distilbert": {
        "hidden_size": ["dim"],
        "num_layers": ["n_layers"],
        "num_heads": ["n_heads"],
        "intermediate_size": ["hidden_dim"],
        "dropout": ["dropout", "attention_dropout", "seq_classif_dropout", "qa_dropout"],
    },
    "modernbert": {"dropout": ["attention_dropout", "embedding_dropout", "mlp_dropout", "classifier_dropout"]},
}
_COMMON = {
    "hidden_size": ["hidden_size"],
    "num_layers": ["num_hidden_layers"],
    "num_heads": ["num_attention_heads"],
    "intermediate_size": ["intermediate_size"],
}
_AUTO = {
    "sequence": transformers.AutoModelForSequenceClassification,
    "token": transformers.AutoModelForTokenClassification,
    "mlm": transformers.AutoModelForMaskedLM,
    "span": transformers.AutoModelForQuestionAnswering,
}


def tiny_config(
    architecture="bert", *, num_labels=3, problem_type=None, num_layers=2, hidden_size=16, vocab_size=64, dropout=0.0
):
    """A config of one of `bert`, `distilbert`, `roberta`, `modernbert`, `electra`, `mpnet` with two heads.

    The special tokens are those of `tiny_tokenizer`, and the weights are spread wider than usual: with the
    customary 0.02 a model this small answers nearly the same to everything, and a test could not tell.
    """
    sizes = {
        "hidden_size": hidden_size,
        "num_layers": num_layers,
        "num_heads": 2,
        "intermediate_size": 2 * hidden_size,
        "dropout": dropout,
    }
    names = {**_COMMON, **_ARCHITECTURES[architecture]}
    settings = {name: sizes[size] for size, aliases in names.items() for name in aliases}
    special = {"pad_token_id": 0, "cls_token_id": 2, "bos_token_id": 2, "sep_token_id": 3, "eos_token_id": 3}
    return transformers.AutoConfig.for_model(
        architecture,
        vocab_size=vocab_size,
        num_labels=num_labels,
        problem_type=problem_type,
        max_position_embeddings=80,
        initializer_range=0.2,
        **special,
        **settings,
    )


def tiny_model(architecture="bert", task="sequence", *, seed=0, **settings):
    """A randomly initialized model in eval mode. The global random state is left as it was.

    Args:
        architecture (`str`): See `tiny_config`.
        task (`str`): "sequence", "token", "mlm", or "span" (with `num_labels=2`).
        seed (`int`): The same seed gives the same weights.
        settings: Passed to `tiny_config`.
    """
    config = tiny_config(architecture, **settings)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return _AUTO[task].from_config(config).eval()


def tiny_tokenizer(words=WORDS, *, max_length=64, token_type_ids=True, pieces=False):
    """A tokenizer of whole words: [PAD] [UNK] [CLS] [SEP] [MASK] are 0 to 4, then `words` in order.

    With `pieces` a word may be put together of several: "goods" of "good" and "##s". Like
    BERT's it returns `token_type_ids`; DistilBERT's, MPNet's and ModernBERT's do not (`token_type_ids=False`).
    """
    vocabulary = {word: index for index, word in enumerate([*SPECIAL, *words])}
    model = models.WordPiece if pieces else models.WordLevel
    tokenizer = Tokenizer(model(vocabulary, unk_token="[UNK]"))
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    tokenizer.post_processor = processors.TemplateProcessing(
        single="[CLS] $A [SEP]",
        pair="[CLS] $A [SEP] $B:1 [SEP]:1",
        special_tokens=[("[CLS]", vocabulary["[CLS]"]), ("[SEP]", vocabulary["[SEP]"])],
    )
    return transformers.PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        pad_token="[PAD]",
        unk_token="[UNK]",
        cls_token="[CLS]",
        sep_token="[SEP]",
        mask_token="[MASK]",
        model_max_length=max_length,
        model_input_names=["input_ids", *(["token_type_ids"] if token_type_ids else []), "attention_mask"],
    )


def tiny_encoder(architecture="bert", *, seed=0, pooling="mean", normalize=False, **settings):
    """A randomly initialized `SentenceEncoder` in eval mode, see `tiny_model`."""
    from distil_nlp.models.sentence_encoder import encoder_class

    config = tiny_config(architecture, **settings)
    config.sentence_embedding = {"pooling": pooling, "normalize": normalize}
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return encoder_class(config)(config).eval()


# What makes each architecture of images small; two stages or two layers, 32 x 32 pixels.
_IMAGE_SIZES = {
    "resnet": {"embedding_size": 4, "hidden_sizes": [4, 8], "depths": [1, 1], "layer_type": "basic"},
    "convnext": {"hidden_sizes": [4, 8], "depths": [1, 1], "num_stages": 2},
    "mobilenet_v2": {"depth_multiplier": 0.1},
    "efficientnet": {"width_coefficient": 0.1, "depth_coefficient": 0.1, "hidden_dim": 128},
    **dict.fromkeys(
        ["vit", "deit"],
        {
            "hidden_size": 16,
            "num_hidden_layers": 2,
            "num_attention_heads": 2,
            "intermediate_size": 32,
            "patch_size": 8,
        },
    ),
}


def tiny_image_model(architecture="resnet", *, seed=0, num_labels=3, num_channels=3, **settings):
    """A randomly initialized image classifier in eval mode; `deit` has the two heads of a distilled one.

    Args:
        architecture (`str`): One of `resnet`, `convnext`, `mobilenet_v2`, `efficientnet`, `vit`, `deit`.
        settings: Of its config, instead of the smallest.
    """
    settings = {**_IMAGE_SIZES[architecture], **settings}
    config = transformers.AutoConfig.for_model(
        architecture,
        num_labels=num_labels,
        num_channels=num_channels,
        image_size=32,
        problem_type="single_label_classification",
        **settings,
    )
    two_heads = {"deit": transformers.DeiTForImageClassificationWithTeacher._from_config}
    make = two_heads.get(architecture, transformers.AutoModelForImageClassification.from_config)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return make(config).eval()
