"""Teachers over a vocabulary, smaller students, and text for both: what sparse targets are measured on."""

import itertools
from pathlib import Path

import torch
from timing import require
from transformers import AutoModelForCausalLM, LlamaConfig, LlamaForCausalLM, set_seed

from distil_nlp import build_student
from distil_nlp.data.splits import load_splits
from distil_nlp.models.loading import load_model, load_tokenizer
from distil_nlp.signals.forward import accepted_columns, forward_logits
from distil_nlp.tasks import MaskedLanguageModeling


class Stories:
    """Next tokens of children's stories: the teacher tells them, and a student a sixth of its size learns from it.

    The words of a story are themselves draws of the teacher, one each: what is learned from labels alone is right on
    average here, too, and the loss on them is the KL divergence plus the teacher's entropy.

    Args:
        teacher (`str`): Folder of a causal language model.
        scale (`float`): Of the amount of text; 1 is what results are made with.
    """

    learning_rate, num_epochs, batch_size, length = 3e-3, 6, 16, 128
    num_rows = {"train": 768, "held_out": 128}

    def __init__(self, teacher, *, scale=1.0):
        self.teacher = AutoModelForCausalLM.from_pretrained(teacher).eval()
        self.vocabulary = self.teacher.config.vocab_size
        rows = {split: max(self.batch_size, int(scale * count)) for split, count in self.num_rows.items()}
        stories = self._told(sum(rows.values())).split(self.batch_size)
        self.train = stories[: -(-rows["train"] // self.batch_size)]
        self.held_out = stories[len(self.train) :]

    def student(self, seed):
        """A fresh student, 2 layers, 32 wide."""
        set_seed(seed)
        sizes = {"hidden_size": 32, "intermediate_size": 96, "num_hidden_layers": 2, "num_attention_heads": 4}
        return LlamaForCausalLM(LlamaConfig(vocab_size=self.vocabulary, tie_word_embeddings=True, **sizes))

    def logits(self, model, batch):
        """Of all tokens but the first of each story, one row a token."""
        return model(batch).logits[:, :-1].flatten(0, 1)

    def labels(self, batch):
        """These tokens."""
        return batch[:, 1:].flatten()

    def _told(self, count):
        set_seed(0)
        begin = torch.full((count, 1), self.teacher.config.bos_token_id)
        settings = {"do_sample": True, "top_k": 0, "eos_token_id": None, "pad_token_id": 0}
        parts = [self.teacher.generate(part, max_new_tokens=self.length - 1, **settings) for part in begin.split(128)]
        return torch.cat(parts)


class Masked:
    """Hidden words of encyclopaedia text: a fine-tuned masked language model and a 2 x 128 student from scratch.

    Args:
        teacher (`str`): Folder of a masked language model.
        data (`str`): Folder with validation.parquet, to learn from, and test.parquet, to be judged on.
        scale (`float`): See `Stories`.
    """

    learning_rate, num_epochs, batch_size, length = 1e-3, 2, 8, 128
    num_rows = {"train": 640, "held_out": 160}

    def __init__(self, teacher, *, data, scale=1.0):
        splits = load_splits(train_file=f"{data}/validation.parquet", validation_file=f"{data}/test.parquet")
        task, tokenizer = MaskedLanguageModeling.from_splits(splits), load_tokenizer(teacher)
        self.teacher, _ = load_model(task.auto_class, teacher)
        self.teacher.eval()
        self.vocabulary = self.teacher.config.vocab_size
        collate = task.collator(tokenizer)
        batches = {}
        for split, of in (("train", "train"), ("held_out", "validation")):
            rows = task.prepare(splits[of], tokenizer, max_length=self.length)
            rows = rows.select(range(min(len(rows), max(self.batch_size, int(scale * self.num_rows[split])))))
            batches[split] = [collate(part) for part in _batched(rows, self.batch_size)]
        self.train, self.held_out = batches["train"], batches["held_out"]

    def student(self, seed):
        """A fresh student."""
        set_seed(seed)
        return build_student("2x128", self.teacher)

    def logits(self, model, batch):
        """At the hidden words, one row a word."""
        return forward_logits(model, batch, accepted_columns(model))

    def labels(self, batch):
        """The hidden words."""
        return batch["labels"]


def language_pair(name, *, teacher, data, scale, quick=False):
    """One of the two by its name.

    Raises:
        SystemExit: The teacher is missing; with exit status 0 if `quick`.
    """
    if quick:
        require(Path(teacher) / "config.json", quick=True)
    if not (Path(teacher) / "config.json").is_file():
        raise SystemExit(
            f"{teacher} holds no model (config.json is missing). Name a folder with --teacher: for stories a causal "
            f"language model, for masked one with a masked-language head, such as the teacher that a recipe of "
            f"masked language modeling leaves in its output folder."
        )
    return Stories(teacher, scale=scale) if name == "stories" else Masked(teacher, data=data, scale=scale)


def _batched(rows, size):
    rows = iter(rows)
    while part := list(itertools.islice(rows, size)):
        yield part
