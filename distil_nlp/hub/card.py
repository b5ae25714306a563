"""The model card of a student, built from the report of its run: what was measured, and what was not."""

import math
from collections.abc import Mapping
from numbers import Real

from huggingface_hub import EvalResult, ModelCardData

from .limits import limits
from .names import is_hub_id, public_command, public_facts, public_name
from .tables import comparison_table, differences_list, of_role, percent

_METRIC_IDS = {"pearson": "pearsonr", "spearman": "spearmanr", "matthews": "matthews_correlation"}  # the Hub's words
_AUTO_CLASSES = {
    "text-classification": ("AutoModelForSequenceClassification", "tokenizer", "AutoTokenizer"),
    "token-classification": ("AutoModelForTokenClassification", "tokenizer", "AutoTokenizer"),
    "image-classification": ("AutoModelForImageClassification", "processor", "AutoImageProcessor"),
    "audio-classification": ("AutoModelForAudioClassification", "processor", "AutoFeatureExtractor"),
}
_INPUTS = {"image-classification": "photo.jpg", "audio-classification": "clip.wav"}
_HYPERPARAMETERS = (
    "learning_rate", "per_device_train_batch_size", "gradient_accumulation_steps", "num_train_epochs", "max_steps",
    "lr_scheduler_type", "warmup_steps", "weight_decay", "max_grad_norm", "optim", "bf16", "fp16", "seed",
)  # fmt: skip


def model_card(
    report,
    *,
    model_name,
    teacher,
    dataset,
    objective,
    arguments=None,
    dataset_config=None,
    dataset_split="validation",
    base_model=None,
    student_start=None,
    language=None,
    license=None,
):
    """The text of a student's `README.md`: metadata for the Hub, then what a reader should know before using it.

    Everything comes from the arguments; a part that is missing is said to be missing. Folders of this machine are
    shown by their last component, and only Hub ids enter the metadata, because the Hub turns them into links.

    Args:
        report (`dict`): `report.json` of the run: models with metrics, differences, environment, command, seeds.
        model_name (`str`): Where the card will live, "user/name", or a plain name.
        teacher (`str`): Hub id or folder of the teacher.
        dataset (`str`): Hub id or file of the data, or a few words for what it is.
        objective (`Objective` or `list[dict]`): Anything with `describe()`, or what `describe()` gives.
        arguments (`TrainingArguments` or `dict`, *optional*): The hyper-parameters of the run.
        dataset_config (`str`, *optional*): Configuration of the data set ("sst2" of "nyu-mll/glue").
        dataset_split (`str`): Split that the numbers were measured on.
        base_model (`str`, *optional*): Model that the student's first weights came from: usually the teacher, or what
            the teacher was fine-tuned from. None for a student from random weights: without this the Hub would call
            it a fine-tune. Only a Hub id is shown.
        student_start (`str`, *optional*): The same in words, for the reader: "layers 0, 4, 8 of the teacher".
        language (`str` or `list[str]`, *optional*): ISO codes.
        license (`str`, *optional*): Hub licence id. Never guessed: teacher and data both bind the student.

    Returns:
        `str`: Markdown with a YAML block, as `huggingface_hub.ModelCard` reads it.

    Raises:
        ValueError: The report has no student.
    """
    student = of_role(report, "student")
    if student is None:
        roles = ", ".join(str(model.get("role")) for model in report.get("models", [])) or "no model at all"
        raise ValueError(
            f"A card describes a student, and the report has none (it has {roles}). "
            f"Build the report with an entry whose role is 'student'."
        )
    terms = objective.describe() if hasattr(objective, "describe") else list(objective)
    data = public_name(dataset) + (f" ({dataset_config})" if dataset_config else "")
    metadata = _metadata(
        report, student, model_name=model_name, dataset=dataset, data=data, dataset_config=dataset_config,
        dataset_split=dataset_split, base_model=base_model, language=language, license=license,
    )  # fmt: skip
    sections = [
        f"# {public_name(model_name).split('/')[-1]}",
        _what_it_is(report, student, teacher=teacher, data=data),
        "## Results\n\n" + _results(report, data=data, split=dataset_split),
        "## How to load it\n\n" + _how_to_load(_pipeline_tag(report), public_name(model_name)),
        "## How it was trained\n\n" + _how_trained(terms, arguments, teacher=teacher, data=data, start=student_start),
        "## Limits\n\n" + "\n".join(f"- {limit}" for limit in limits(report, data=data)),
        "## Environment\n\n" + _environment(report),
    ]
    return f"---\n{metadata.to_yaml()}\n---\n\n" + "\n\n".join(sections) + "\n"


def _pipeline_tag(report):
    return str(report.get("task", "text-classification")).replace("_", "-")


def _metadata(
    report, student, *, model_name, dataset, data, dataset_config, dataset_split, base_model, language, license
):
    metrics = {name: float(value) for name, value in student.get("metrics", {}).items() if _is_finite(value)}
    lineage = {"base_model": base_model, "base_model_relation": "finetune"} if is_hub_id(base_model) else {}
    about = {
        "task_type": _pipeline_tag(report), "dataset_type": public_name(dataset), "dataset_name": data,
        "dataset_config": dataset_config, "dataset_split": dataset_split,
    }  # fmt: skip
    results = [
        EvalResult(metric_type=_METRIC_IDS.get(name, name), metric_name=name, metric_value=value, **about)
        for name, value in metrics.items()
    ]
    if _is_finite(student.get("agreement")):
        name, agreement = "agreement with the teacher", float(student["agreement"])
        results.append(EvalResult(metric_type="agreement", metric_name=name, metric_value=agreement, **about))
    return ModelCardData(
        language=language,
        license=license,
        library_name="transformers",
        pipeline_tag=_pipeline_tag(report),
        tags=["knowledge-distillation", "distil_nlp"],
        datasets=[dataset] if is_hub_id(dataset) else None,
        metrics=[_METRIC_IDS.get(name, name) for name in metrics] or None,
        model_name=public_name(model_name).split("/")[-1],
        eval_results=results or None,
        **lineage,
    )


def _is_finite(value):
    return isinstance(value, Real) and not isinstance(value, bool) and math.isfinite(value)


def _what_it_is(report, student, *, teacher, data):
    lines = [f"A student of {_linked(teacher)}: smaller, and trained to answer as it does, on {data}."]
    original = of_role(report, "teacher") or {}
    parts = []
    if _is_finite(student.get("kept")):
        parts.append(f"keeps {percent(student['kept'])} of the teacher's {report.get('metric', 'main metric')}")
    if _is_finite(student.get("parameters")) and original.get("parameters"):
        parts.append(f"has {percent(student['parameters'] / original['parameters'])} of its parameters")
    ours, theirs = (model.get("latency_ms") or {} for model in (student, original))
    if ours.get("p50") and theirs.get("p50"):
        parts.append(f"answers in {percent(ours['p50'] / theirs['p50'])} of its time (median, one input at a time)")
    if parts:
        lines.append(f"It {_enumerated(parts)}.")
    lines.append("Made by knowledge distillation with `distil_nlp`; this card was written from the run's report.")
    return "\n".join(lines)


def _enumerated(parts):
    return parts[0] if len(parts) == 1 else f"{', '.join(parts[:-1])} and {parts[-1]}"


def _linked(name):
    return f"[{name}](https://huggingface.co/{name})" if is_hub_id(name) else f"`{public_name(name)}`"


def _results(report, *, data, split):
    parts = [f"Measured on the {split} split of {data}.", comparison_table(report)]
    metric = report.get("metric", "main metric")
    words = [f"*Kept* is the {metric} over the teacher's."]
    if any(_is_finite(model.get("agreement")) for model in report["models"]):
        words.append("*Agreement* is the share of examples on which a model gives the teacher's answer.")
    if of_role(report, "control"):
        words.append("The *control* was trained without the teacher.")
    parts += [" ".join(words), differences_list(report)]
    return "\n\n".join(part for part in parts if part)


def _how_to_load(tag, repo_id):
    example = _INPUTS.get(tag, "One sentence to judge.")
    pipeline = f'from transformers import pipeline\n\nprint(pipeline("{tag}", model="{repo_id}")("{example}"))'
    if tag not in _AUTO_CLASSES:
        return f"```python\n{pipeline}\n```"
    model_class, name, name_class = _AUTO_CLASSES[tag]
    return (
        f"```python\nfrom transformers import {', '.join(sorted((model_class, name_class)))}\n\n"
        f'model = {model_class}.from_pretrained("{repo_id}")\n'
        f'{name} = {name_class}.from_pretrained("{repo_id}")\n```\n\n'
        f"or, with everything around it:\n\n```python\n{pipeline}\n```"
    )


def _how_trained(terms, arguments, *, teacher, data, start):
    lines = [f"Teacher: {_linked(teacher)}. Data: {data}."]
    if start:
        lines[0] += f" The student started from {' '.join(public_name(word) for word in start.split())}."
    lines += ["", "| Term of the objective | Weight | Settings | Paper |", "|---|---|---|---|"]
    for term in terms:
        settings = {key: value for key, value in term.items() if key not in ("name", "weight", "paper")}
        shown = ", ".join(f"{key} {value}" for key, value in public_facts(settings)) or "–"
        lines.append(f"| {term.get('name', '–')} | {term.get('weight', '–')} | {shown} | {term.get('paper') or '–'} |")
    chosen = _hyperparameters(arguments)
    lines += ["", "Hyper-parameters: " + ", ".join(f"`{key}={value}`" for key, value in chosen.items()) + "."]
    if not chosen:
        lines[-1] = "The hyper-parameters were not recorded."
    return "\n".join(lines)


def _hyperparameters(arguments):
    """The settings that decide the result; the other hundred fields of TrainingArguments say where and how often."""
    read = arguments.get if isinstance(arguments, Mapping) else lambda name: getattr(arguments, name, None)
    chosen = {name: getattr(read(name), "value", read(name)) for name in _HYPERPARAMETERS}
    if (chosen["max_steps"] or 0) > 0:
        chosen["num_train_epochs"] = None  # the Trainer ignores it then
    else:
        chosen["max_steps"] = None
    return {name: value for name, value in chosen.items() if value is not None and value is not False}


def _environment(report):
    facts = public_facts(report.get("environment") or {})
    lines = [f"- {key}: {value}" for key, value in facts] or ["The environment was not recorded."]
    if report.get("seeds"):
        lines.append(f"- seeds: {', '.join(str(seed) for seed in report['seeds'])}")
    if report.get("command"):
        lines += ["", "```", public_command(report["command"]), "```"]
    else:
        lines += ["", "The command was not recorded."]
    return "\n".join(lines)
