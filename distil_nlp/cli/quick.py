"""Answers that need no torch: the help of one screen, and wrong flags, before seconds of imports."""

import ast
from collections.abc import Iterator, Sequence
from functools import cache
from importlib.util import find_spec
from pathlib import Path

from ..internals.messages import nearest, printable

_PACKAGE = Path(__file__).resolve().parents[1]
# One screen: what most runs set. `--help-all` and `distil-nlp settings` list the rest.
_SCREEN = {
    "teacher": {
        "teacher": "Hub id or folder; fine-tuned first if it has no head for the task",
        "teacher_num_train_epochs": "epochs of that fine-tuning (3)",
        "more_teachers": "further teachers: their probabilities are averaged",
        "cache": "true: run the teacher once and store its outputs (false)",
    },
    "student": {
        "num_layers": "layers of the teacher to start from (half of them)",
        "hidden_size": "narrower than the teacher, from its weights",
        "student": "instead: a Hub id, a folder, 4x256 (layers x width, random), resnet8",
        "preset": "objective of a paper: logits, distilbert, pkd, tinybert, minilm, dist, ...",
        "kd_ratio": "weight of the teacher's soft targets, 0 to 1 (0.5)",
        "temperature": "softens both predictions (2)",
    },
    "data": {
        "task": "text-classification (default), token-classification, question-answering, ...",
        "train_file": "csv, tsv, json, jsonl or parquet; or --dataset_name, of the Hub",
        "validation_file": "evaluated during training and, without --test_file, at the end",
        "text_column": "found by its name; also --label_column, --image_column, --audio_column",
        "max_length": "tokens of a text (128)",
        "unlabeled_file": "more text, for the teacher to label",
    },
    "learning": {
        "learning_rate": "of the student",
        "num_train_epochs": "or --max_steps",
        "per_device_train_batch_size": "examples per step and device",
        "bf16": "true: mixed precision",
        "seeds": "train student and control so many times: mean and spread (1)",
    },
    "output": {
        "output_dir": "models, report, card; the same command continues a stopped run",
        "control": "false: no student without a teacher to compare with (true)",
        "report_to": "trackers: wandb, tensorboard, trackio, ...",
        "push_to_hub": "true: upload the student with its card",
    },
}
_COMMANDS = {
    "quickstart": "Train a student on docstrings of installed libraries: a complete distillation in about five minutes.",
    "run": "Train a student with its teacher, train its control without one, and compare the three.",
    "cache": "Run the teacher of a recipe once over the data and store its outputs.",
    "sweep": "Train students with the settings of a search space: --sweep, --num_trials (20).",
}
# The quickstart has its recipe, teacher and data.
_USAGE = {"quickstart": "distil-nlp quickstart [--setting value ...]"}
_QUICKSTART_EXAMPLES = """\
examples:
  distil-nlp quickstart --seeds 3
  distil-nlp quickstart --student 4x256 --output_dir runs/larger
"""
_EXAMPLES = """\
examples:
  distil-nlp {command} sst2 --seeds 3
  distil-nlp {command} --teacher google-bert/bert-base-uncased --train_file train.csv \\
      --validation_file validation.csv --num_layers 3 --output_dir runs/tickets
  distil-nlp {command} --task image-classification --teacher my-resnet --student resnet8 --train_file a.csv
"""
_EXAMPLES_OF = {"quickstart": _QUICKSTART_EXAMPLES}
_HELP_FLAGS = ("--help", "-h")
_HELP_ALL = "--help-all"


def answered(command: str, argv: Sequence[str]) -> bool:
    """Print the help of a command that takes a recipe, if `argv` asks for it; return whether it did.

    Args:
        command (`str`): "run", "cache" or "sweep".
        argv (`list[str]`): YAML files and flags.

    Raises:
        ValueError: A flag that is no setting; the nearest one is suggested.
    """
    if any(word in _HELP_FLAGS for word in argv):
        print(_screen(command))
        return True
    if _HELP_ALL in argv:
        from ..recipe.settings import page

        print(page())
        return True
    known = {name for setting in setting_names() for name in (setting, f"no_{setting}")}
    for word in argv:
        flag = word.split("=", 1)[0]
        if flag.startswith("--") and flag[2:].replace("-", "_") not in known:
            raise ValueError(
                f"{printable(flag)} is not a setting{nearest(flag[2:], setting_names(), '--')}. "
                f"`distil-nlp settings WORD` finds one, `distil-nlp {command} --help` shows the most used."
            )
    return False


@cache
def setting_names() -> tuple[str, ...]:
    """The names of all settings, read from the source of their dataclasses: importing it would import torch."""
    transformers = find_spec("transformers")
    folders = transformers.submodule_search_locations if transformers is not None else None
    files = [_PACKAGE / "recipe" / "arguments.py", _PACKAGE / "training" / "arguments.py"]
    files += [Path(folder) / "training_args.py" for folder in folders or ()]
    return tuple(dict.fromkeys(name for file in files for name in _fields(file)))


def _fields(file: Path) -> Iterator[str]:
    for node in ast.parse(file.read_text(encoding="utf-8")).body:
        if isinstance(node, ast.ClassDef) and node.name.endswith("Arguments"):
            for field in node.body:
                if isinstance(field, ast.AnnAssign) and isinstance(field.target, ast.Name):
                    yield field.target.id


def _screen(command: str) -> str:
    lines = [
        f"usage: {_USAGE.get(command, f'distil-nlp {command} [FILE.yaml or NAME ...] [--setting value ...]')}",
        "",
        _COMMANDS[command],
        "Every setting is a flag and a key of a YAML file; later files override earlier ones, flags override files.",
    ]
    for title, settings in _SCREEN.items():
        lines += ["", f"{title}:", *(f"  --{name:<28} {text}" for name, text in settings.items())]
    more = ["", f"All settings: distil-nlp {command} {_HELP_ALL}, or distil-nlp settings [WORD]", ""]
    return "\n".join([*lines, *more, _EXAMPLES_OF.get(command, _EXAMPLES).format(command=command)])
