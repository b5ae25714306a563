"""The commands that faults are tried on: their inputs, their arguments, and what they leave when all goes well."""

import hashlib
import io
import json
from pathlib import Path

import datasets
import numpy as np
from PIL import Image

from tests.recipe.runs import QUICK, save_model, save_rows
from tests.speech import WORDS, clip_of, wave_of
from tests.tiny import tiny_image_model

# A checkpoint every second step, so that a fault falls between checkpoints, too.
_SAVING = {"save_strategy": "steps", "save_steps": 2, "per_device_train_batch_size": 8, "learning_rate": 1e-2}


def save_inputs(folder):
    """The files that all commands read: text, images and clips, each with its teacher."""
    save_model(folder / "teacher")
    save_rows(folder / "train.jsonl", 32)
    save_rows(folder / "validation.jsonl", 12, seed=1)
    for name, rows in (("train", range(24)), ("validation", range(100, 109))):
        image_files(rows).to_parquet(folder / f"images-{name}.parquet")
        clips(rows).to_parquet(folder / f"clips-{name}.parquet")
    tiny_image_model("resnet", num_labels=3).save_pretrained(folder / "resnet")


def image_files(rows):
    """Images of noise, encoded, with three classes."""
    files = []
    for row in rows:
        buffer = io.BytesIO()
        noise = np.random.default_rng(row).integers(80 * (row % 3), 80 * (row % 3) + 90, (16, 16, 3), dtype=np.uint8)
        Image.fromarray(noise).save(buffer, "PNG")
        files.append({"bytes": buffer.getvalue(), "path": None})
    features = datasets.Features(
        {"image": datasets.Image(decode=False), "label": datasets.ClassLabel(names=["low", "middle", "high"])}
    )
    return datasets.Dataset.from_dict({"image": files, "label": [row % 3 for row in rows]}, features=features)


def clips(rows):
    """Spoken words, encoded, with three classes."""
    stored = {"bytes": datasets.Value("binary"), "path": datasets.Value("string")}
    features = datasets.Features({"audio": stored, "label": datasets.ClassLabel(names=list(WORDS))})
    audio = [{"bytes": clip_of(wave_of([list(WORDS)[row % 3]], row)), "path": None} for row in rows]
    return datasets.Dataset.from_dict({"audio": audio, "label": [row % 3 for row in rows]}, features)


def _flags(output, settings):
    settings = {**_SAVING, **settings, "output_dir": output}
    return [*QUICK, *(str(word) for name, value in settings.items() for word in (f"--{name}", value))]


def _text(inputs, output, **changes):
    files = {"train_file": inputs / "train.jsonl", "validation_file": inputs / "validation.jsonl"}
    return _flags(output, {"teacher": inputs / "teacher", "num_layers": 1, **files, **changes})


def _of_files(kind):
    def arguments(inputs, output, **changes):
        files = {name: inputs / f"{kind}-{name.split('_')[0]}.parquet" for name in ("train_file", "validation_file")}
        return _flags(output, {**files, "control": "false", **changes})

    return arguments


def _images(inputs, output):
    networks = {"teacher": "cnn8", "student": "cnn4", "teacher_num_train_epochs": 2}
    return _of_files("images")(inputs, output, task="image-classification", **networks)


def _clips(inputs, output):
    networks = {"teacher": "streamcnn8", "student": "streamcnn4", "teacher_num_train_epochs": 12}
    changes = {"task": "audio-classification", "teacher_learning_rate": 1e-2, "cache": "true", **networks}
    return _of_files("clips")(inputs, output, **changes)


# name -> (subcommand, its arguments from the folder of inputs and the output folder).
COMMANDS = {
    "text": ("run", _text),
    "text, cached": ("run", lambda inputs, output: _text(inputs, output, cache="true", control="false")),
    "text, two stages": ("run", lambda inputs, output: _text(inputs, output, preset="minilmv2", control="false")),
    "images": ("run", _images),
    "clips": ("run", _clips),
    "sweep": ("sweep", lambda inputs, output: _text(inputs, output, sweep="{temperature: [1, 8]}", control="false")),
    "cache": ("cache", lambda inputs, output: _text(inputs, output)),
}


def digest(output):
    """What must be the same after a fault: hashes of weights and caches, figures of reports, by file name."""
    found = {}
    for path in sorted(Path(output).rglob("*")):
        name = str(path.relative_to(output))
        if path.suffix in (".safetensors", ".bin", ".npy") and "checkpoint" not in name:
            found[name] = hashlib.sha256(path.read_bytes()).hexdigest()
        elif name == "report.json":
            found[name] = [[model["role"], model["metrics"]] for model in json.loads(path.read_text())["models"]]
        elif name == "sweep.json":
            trials = json.loads(path.read_text())["trials"]
            found[name] = [[trial["settings"], trial["value"]] for trial in trials]
    return found


def files(output):
    """The names of all files of an output folder, locks aside."""
    return {str(path.relative_to(output)) for path in Path(output).rglob("*") if "lock" not in path.name}
