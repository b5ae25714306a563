"""What a user does with the Hub, in a process of its own (see conftest.py). Prints what came of it as JSON."""

import json
import sys
from pathlib import Path

import torch
from huggingface_hub import ModelCard
from transformers import AutoModelForSequenceClassification, AutoTokenizer, pipeline

from distil_nlp import push_to_hub
from tests.hub.sample import TEXTS

REPO = "tester/sst2-small"


def logits_of(model, tokenizer):
    with torch.inference_mode():
        return model(**tokenizer(TEXTS, padding=True, return_tensors="pt")).logits


def loaded(name, **kwargs):
    model = AutoModelForSequenceClassification.from_pretrained(name, **kwargs)
    return logits_of(model, AutoTokenizer.from_pretrained(name, **kwargs))


def refusal(action):
    try:
        return {"kind": None, "message": str(action())}
    except Exception as error:
        cause = error.__cause__
        return {"kind": type(error).__name__, "message": str(error), "cause": cause and type(cause).__name__}


def round_trip(folder):
    torch.set_num_threads(1)
    folder = Path(folder)
    seen = {"url": push_to_hub(folder, REPO)}
    here, there = loaded(folder), loaded(REPO)
    seen["bit_identical"] = torch.equal(here, there)
    seen["logits_differ_between_texts"] = not torch.equal(here[0], here[1])
    found_by_task = pipeline("text-classification", model=REPO, device="cpu")
    seen["pipeline"] = found_by_task(TEXTS)
    seen["pipeline_without_task"] = pipeline(model=REPO, device="cpu").task
    probabilities = here.softmax(-1)
    labels = [found_by_task.model.config.id2label[int(index)] for index in probabilities.argmax(-1)]
    scores = probabilities.max(-1).values.tolist()
    seen["expected"] = [{"label": label, "score": score} for label, score in zip(labels, scores, strict=True)]
    seen["card"] = ModelCard.load(REPO).data.to_dict()

    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps({**config, "note": "second push"}))
    seen["second_url"] = push_to_hub(folder, REPO, commit_message="second push")
    seen["unchanged_url"] = push_to_hub(folder, REPO, commit_message="nothing changed")
    seen["branch_url"] = push_to_hub(folder, REPO, revision="v2", commit_message="on a branch")
    seen["branch_is_bit_identical"] = torch.equal(here, loaded(REPO, revision="v2"))
    seen["private_url"] = push_to_hub(folder, "sst2-private", private=True)
    seen["refusals"] = {
        "read-only token": refusal(lambda: push_to_hub(folder, REPO + "-2", token="hf_read")),
        "unknown token": refusal(lambda: push_to_hub(folder, REPO + "-2", token="hf_unknown")),
        "private over public": refusal(lambda: push_to_hub(folder, REPO, private=True)),
    }
    return seen


if __name__ == "__main__":
    print(json.dumps(round_trip(sys.argv[1])))
