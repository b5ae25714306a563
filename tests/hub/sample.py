"""A report and a saved student, as a run would leave them."""

import pickle

import torch

from distil_nlp.hub import model_card
from distil_nlp.internals.files import write_text
from distil_nlp.reports import Report
from tests.tiny import tiny_model, tiny_tokenizer

TEXTS = ["this film is great", "a very boring plot", "not bad", "the movie was poor and boring"]
TERMS = [
    {"name": "hard", "weight": 0.5, "paper": None},
    {"name": "soft", "weight": 0.5, "paper": "Hinton et al. 2015", "temperature": 4.0},
]


def make_report():
    """The numbers are invented: they are checked for where they appear, not for what they are."""
    return {
        "task": "sst2",
        "problem_type": "single_label_classification",
        "metric": "accuracy",
        "num_examples": 872,
        "models": [
            {
                "role": "teacher", "name": "/home/ada/runs/teacher", "metrics": {"accuracy": 0.9100, "f1": 0.9050},
                "kept": 1.0, "agreement": 1.0, "parameters": 22_700_000, "size_bytes": 90_800_000,
                "latency_ms": {"p50": 20.0, "p95": 24.0}, "throughput_per_s": 100.0,
                "speed_up": {"value": 1.0, "low": 1.0, "high": 1.0},
            },
            {
                "role": "student", "name": "student", "metrics": {"accuracy": 0.8995, "f1": 0.8941}, "kept": 0.98846,
                "agreement": 0.9512, "parameters": 11_350_000, "size_bytes": 45_400_000,
                "latency_ms": {"p50": 10.0, "p95": 12.5}, "throughput_per_s": 200.0,
                "speed_up": {"value": 2.0, "low": 1.9, "high": 2.1},
            },
            {
                "role": "control", "name": "control", "metrics": {"accuracy": 0.8600, "f1": 0.8580}, "kept": 0.94505,
                "agreement": 0.8800, "parameters": 11_350_000, "size_bytes": 45_400_000,
                "latency_ms": {"p50": 10.1, "p95": 12.4}, "throughput_per_s": 199.0,
                "speed_up": {"value": 2.0, "low": 1.9, "high": 2.1},
            },
        ],
        "differences": [
            {
                "of": "student", "to": "teacher", "metric": "accuracy", "value": -0.0105, "low": -0.0211,
                "high": 0.0001, "of_name": "student", "to_name": "/home/ada/runs/teacher",
            },
            {
                "of": "student", "to": "control", "metric": "accuracy", "value": 0.0395, "low": 0.0204,
                "high": 0.0587, "of_name": "student", "to_name": "control",
            },
        ],
        "environment": {"python": "3.11.2", "torch": "2.13.0", "machine": {"cores": 2, "hostname": "ada-laptop"}},
        "command": "python /home/ada/run.py recipes/text_classification/sst2.yaml --teacher /home/ada/runs/teacher",
        "seeds": [0],
    }  # fmt: skip


def make_card(report, **changed):
    """`model_card` with the arguments of a plain run."""
    arguments = {
        "model_name": "ada/sst2-small", "teacher": "ada/bert-sst2", "dataset": "nyu-mll/glue",
        "dataset_config": "sst2", "objective": TERMS, "arguments": {"learning_rate": 5e-5, "num_train_epochs": 3},
    }  # fmt: skip
    return model_card(Report.from_dict(report), **{**arguments, **changed})


def save_student(folder):
    """A tiny BERT classifier with its tokenizer and card, and beside them what a training run leaves in a folder."""
    model = tiny_model("bert", num_labels=3, seed=7)
    model.config.id2label = {0: "negative", 1: "neutral", 2: "positive"}
    model.config.label2id = {label: index for index, label in model.config.id2label.items()}
    model.save_pretrained(folder)
    tiny_tokenizer().save_pretrained(folder)
    write_text(folder / "README.md", make_card(make_report()))
    torch.save({"learning_rate": 1e-4}, folder / "training_args.bin")
    torch.save({"state": 1}, folder / "optimizer.pt")
    torch.save({"state": 1}, folder / "state.model")  # a pickle that its name does not give away
    (folder / "cache").write_bytes(pickle.dumps({"rows": 1}))
    (folder / "trainer_state.json").write_text("{}")
    (folder / "_private").mkdir()
    (folder / "_private" / "notes.txt").write_text("not for the Hub")
    (folder / "checkpoint-3").mkdir()
    (folder / "checkpoint-3" / "config.json").write_text("{}")
    (folder / ".config.json.1234.part").write_text("{")
    return folder
