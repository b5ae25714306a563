"""What `make wheel-test` runs in an empty environment with the wheel alone: help, recipes, and a tiny run."""

import json
import subprocess
import sys
import time
from pathlib import Path


def command(*words):
    begin = time.monotonic()
    done = subprocess.run([str(Path(sys.executable).with_name("distil-nlp")), *words], capture_output=True, text=True)
    print(f"distil-nlp {' '.join(words[:2])}: {time.monotonic() - begin:.1f} s", flush=True)
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-4000:]
    return done.stdout


def save_teacher(folder):
    """A tiny BERT with a trained head's name on it, and a tokenizer of the words in the rows."""
    from tokenizers import Tokenizer, models, pre_tokenizers
    from transformers import BertConfig, BertForSequenceClassification, PreTrainedTokenizerFast

    words = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "good", "bad", "film", "plot", "very"]
    tokenizer = Tokenizer(models.WordLevel({word: index for index, word in enumerate(words)}, unk_token="[UNK]"))
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, pad_token="[PAD]", unk_token="[UNK]", cls_token="[CLS]", sep_token="[SEP]",
        mask_token="[MASK]", model_max_length=64,
    ).save_pretrained(folder)  # fmt: skip
    config = BertConfig(
        vocab_size=len(words), hidden_size=16, num_hidden_layers=2, num_attention_heads=2, intermediate_size=32,
        max_position_embeddings=64, num_labels=2,
    )  # fmt: skip
    BertForSequenceClassification(config).save_pretrained(folder)


def main():
    folder = Path("tiny").resolve()
    folder.mkdir(exist_ok=True)
    assert "sst2-2x128" in command("recipes")
    assert "usage: distil-nlp run" in command("run", "--help")
    rows = [{"text": text, "label": label} for label, text in enumerate(["very bad plot", "very good film"] * 20)]
    rows = [{**row, "label": row["label"] % 2} for row in rows]
    for split in ("train", "validation"):
        (folder / f"{split}.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    save_teacher(folder / "teacher")
    output = command(
        "run", "--teacher", str(folder / "teacher"), "--train_file", str(folder / "train.jsonl"), "--validation_file",
        str(folder / "validation.jsonl"), "--num_layers", "1", "--max_steps", "5", "--latency_seconds", "1", "--use_cpu",
        "true", "--output_dir", str(folder / "out"),
    )  # fmt: skip
    assert "student" in output and (folder / "out" / "student" / "model.safetensors").is_file()
    print(output[-1500:])


if __name__ == "__main__":
    main()
