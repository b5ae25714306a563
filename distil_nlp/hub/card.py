"""The model card of a student, built from the report of a comparison."""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Mapping
from numbers import Real
from pathlib import Path
from typing import Any

import yaml
from huggingface_hub import EvalResult, ModelCard, ModelCardData
from torch import nn

from .. import __version__
from ..internals.messages import quoted
from ..metrics import display
from ..metrics.display import short_count
from ..reports.layout import code_span, escape_markdown
from ..reports.markdown import render
from ..reports.report import Report, difference_lines, legend, markdown_table
from ..signals.problem_kinds import PROBLEM_KINDS
from .caveats import caveats, percent
from .redaction import is_hub_id, public_command, public_name, public_pairs, public_report

_TEMPLATES = Path(__file__).parent / "templates"
_METRIC_IDS = {"pearson": "pearsonr", "f1_micro": "f1", "f1_macro": "f1"}  # the Hub's other names
# Task, by the Hub's name -> class of the model, name of the variable and class of its processor.
_AUTO_CLASSES = {
    "text-classification": ("AutoModelForSequenceClassification", "tokenizer", "AutoTokenizer"),
    "token-classification": ("AutoModelForTokenClassification", "tokenizer", "AutoTokenizer"),
    "question-answering": ("AutoModelForQuestionAnswering", "tokenizer", "AutoTokenizer"),
    "image-classification": ("AutoModelForImageClassification", "processor", "AutoImageProcessor"),
    "audio-classification": ("AutoModelForAudioClassification", "processor", "AutoFeatureExtractor"),
}
_EMBEDDINGS = "sentence-similarity"
# The end of a class's name -> its task, by the Hub's name.
_TAGS = {
    "ForTokenClassification": "token-classification",
    "ForQuestionAnswering": "question-answering",
    "ForMaskedLM": "fill-mask",
    "SentenceEncoder": _EMBEDDINGS,
    "ForImageClassification": "image-classification",
    "ForImageClassificationWithTeacher": "image-classification",
    "ForImageEmbedding": "image-feature-extraction",
    "ForObjectDetection": "object-detection",
    "ForAudioClassification": "audio-classification",
    "ForAudioFrameClassification": "automatic-speech-recognition",
}
_HYPERPARAMETERS = (
    "learning_rate", "per_device_train_batch_size", "gradient_accumulation_steps", "num_train_epochs", "max_steps",
    "lr_scheduler_type", "warmup_steps", "weight_decay", "max_grad_norm", "optim", "bf16", "fp16", "seed",
)  # fmt: skip


def model_card(
    report: Report,
    *,
    model_name: str,
    teacher: str,
    dataset: str,
    objective: Any = None,
    arguments: Any = None,
    dataset_config: str | None = None,
    dataset_split: str = "validation",
    pipeline_tag: str = "text-classification",
    example: str | dict[str, str] = "One sentence to judge.",
    base_model: str | None = None,
    student_start: str | None = None,
    imports: str | None = None,
    loading_code: str | None = None,
    **metadata: Any,
) -> str:
    """The text of a student's `README.md`: metadata for the Hub, then results, use, training and limits.

    The card names every missing part. Local folders are shown by their last component; only Hub ids enter the metadata.
    The student may have been trained elsewhere: only its report is needed.

    Args:
        report (`Report`): Models with metrics, differences, environment, command, seeds; see `Report.from_json`.
        model_name (`str`): Where the card will be, "user/name", or a plain name.
        teacher (`str`): Hub id or folder of the teacher.
        dataset (`str`): Hub id or file of the data, or a short description.
        objective (`Objective` or `list[dict]`, *optional*): Or the result of its `describe()`. Default: the report's.
        arguments (`TrainingArguments` or `dict`, *optional*): The hyper-parameters of the training.
        dataset_config, dataset_split (`str`): "sst2" of "nyu-mll/glue", and the split of the comparison.
        pipeline_tag (`str`): The Hub's name of the task.
        example (`str` or `dict`): Input of the pipeline in the loading lines; {"text": ..., "text_pair": ...} for pairs.
        base_model, student_start (`str`, *optional*): Origin of the first weights, as a Hub id and in words, such as
            "layers 0, 4, 8 of the teacher". None: random.
        imports, loading_code (`str`, *optional*): Imports that loading the student needs, see
            `distil_nlp.models.import_line`, and Python that loads and runs it, instead of what `pipeline_tag` implies.
        metadata: Further metadata for the Hub: `license`, `language`, ... None of it is guessed.

    Returns:
        `str`: Markdown with a YAML block, as `huggingface_hub.ModelCard` reads it. ValueError if there is no student.
    """
    report, model_name = public_report(report), public_name(model_name)
    data = public_name(dataset) + (f" ({dataset_config})" if dataset_config else "")
    results = _results_metadata(report, pipeline_tag, dataset, dataset_config, dataset_split, data)
    metadata |= {**_metadata(report, pipeline_tag, model_name, base_model), **results}
    return render(
        _TEMPLATES / "card.md.jinja",
        **_results(report) | {"version": __version__},
        metadata=ModelCardData(**metadata).to_yaml(),
        title=model_name.split("/")[-1],
        teacher=_linked(teacher),
        data=data,
        split=dataset_split,
        loading=_loading(report, pipeline_tag, model_name, example, imports, loading_code),
        start=student_start and " ".join(public_name(word) for word in student_start.split()),
        terms=_terms(report.objective if objective is None else objective),
        hyperparameters=_hyperparameters(arguments),
        limits=caveats(report, data=data),
    )


def _results(report: Report) -> dict[str, Any]:
    """The values of the template that the report alone decides."""
    return {
        "report": report,
        "strengths": _strengths(report),
        "table": markdown_table(report),
        "legend": " ".join(legend(report)),
        "has_agreement": any(_is_finite(model.agreement) for model in report.models),
        "has_spread": any(model.spread for model in report.models),
        "has_control": report.of_role("control") is not None,
        "has_latency": any(model.latency_ms for model in report.models),
        "differences": difference_lines(report),
        "assistants": _assistants(report),
        "learned_from": _learned_from((report.data or {}).get("learned_from") or {}),
        "environment": _environment(report.environment),
        "command": report.command and public_command(report.command),
    }


def named_card(card: str, repo_id: str) -> str:
    """A card of `model_card` with another name of the model: in its title, in its metadata, and in the code that loads it.

    Args:
        card (`str`): Markdown with a YAML block. A card without the tag "distil_nlp" is returned unchanged.
        repo_id (`str`): "user/name".
    """
    try:
        metadata = ModelCard(card, ignore_metadata_errors=True).data.to_dict()
    except (ValueError, yaml.YAMLError):  # no YAML block, or a broken one
        return card
    name = metadata.get("model_name") or next((entry.get("name") for entry in metadata.get("model-index") or []), None)
    if "distil_nlp" not in (metadata.get("tags") or []) or not name:
        return card
    new_name = repo_id.split("/")[-1]
    literal = re.compile(rf'"(?:[\w.-]+/)?{re.escape(quoted(name)[1:-1])}"')
    header, text = re.match(r"(---\n.*?\n---\n)(.*)", card, flags=re.DOTALL).groups()
    header = re.sub(
        rf"^((?:- name|model_name): ){re.escape(name)}$", lambda match: match[1] + new_name, header, flags=re.MULTILINE
    )
    text = text.replace(f"# {escape_markdown(name)}\n", f"# {escape_markdown(new_name)}\n", 1)
    code = re.compile(r"^```python\n.*?^```$", flags=re.DOTALL | re.MULTILINE)
    return header + code.sub(lambda match: literal.sub(lambda _: quoted(repo_id), match[0]), text)


def pipeline_tag_of(model: nn.Module) -> str:
    """The Hub's name of a model's task, by its class; text-classification for unknown classes."""
    names = (tag for end, tag in _TAGS.items() if type(model).__name__.endswith(end))
    return next(names, "text-classification")


def _metadata(report: Report, pipeline_tag: str, model_name: str, base_model: str | None) -> dict[str, Any]:
    metrics = _finite_metrics(report)
    return {
        "library_name": "sentence-transformers" if pipeline_tag == _EMBEDDINGS else "transformers",
        "pipeline_tag": pipeline_tag,
        "tags": ["knowledge-distillation", "distil_nlp"],
        "metrics": list(dict.fromkeys(_METRIC_IDS.get(name, name) for name in metrics)) or None,
        "model_name": model_name.split("/")[-1],
        **({"base_model": base_model, "base_model_relation": "finetune"} if is_hub_id(base_model) else {}),
    }


def _results_metadata(
    report: Report, pipeline_tag: str, dataset: str, config: str | None, split: str, data: str
) -> dict[str, Any]:
    about = {
        "task_type": pipeline_tag, "dataset_type": public_name(dataset), "dataset_name": data,
        "dataset_config": config, "dataset_split": split,
    }  # fmt: skip
    results = [
        EvalResult(metric_type=_METRIC_IDS.get(name, name), metric_name=name, metric_value=value, **about)
        for name, value in _finite_metrics(report).items()
    ]
    agreement = report.of_role("student").agreement
    if _is_finite(agreement):
        name = "agreement with the teacher"
        results.append(EvalResult(metric_type="agreement", metric_name=name, metric_value=float(agreement), **about))
    return {"datasets": [dataset] if is_hub_id(dataset) else None, "eval_results": results or None}


def _finite_metrics(report: Report) -> dict[str, float]:
    metrics = report.of_role("student").metrics
    return {name: float(value) for name, value in metrics.items() if _is_finite(value)}


def _is_finite(value: Any) -> bool:
    return isinstance(value, Real) and not isinstance(value, bool) and math.isfinite(value)


def _strengths(report: Report) -> str:
    """Retention, relative size and speed of the student, as the predicate of a sentence; empty if none was measured."""
    student, teacher = report.of_role("student"), report.of_role("teacher")
    parts = []
    if _is_finite(student.retention):
        unlike = " (lower is better: the teacher's over its own)" if display(report.metric).lower_is_better else ""
        parts.append(f"keeps {percent(student.retention)} of the teacher's {report.metric}{unlike}")
    if student.parameters and teacher is not None and teacher.parameters:
        parts.append(f"has {percent(student.parameters / teacher.parameters)} of its parameters")
    if student.speed_up is not None and _is_finite(student.speed_up.value):
        parts.append(f"answers {student.speed_up.value:.1f} times as fast (one input at a time)")
    return parts[0] if len(parts) == 1 else " and ".join(filter(None, (", ".join(parts[:-1]), *parts[-1:])))


def _linked(name: str) -> str:
    if " + " in name:  # several teachers
        return " + ".join(map(_linked, name.split(" + ")))
    return f"[{name}](https://huggingface.co/{name})" if is_hub_id(name) else code_span(public_name(name))


def _loading(
    report: Report,
    tag: str,
    repo_id: str,
    example: str | dict[str, str],
    imports: str | None,
    loading_code: str | None,
) -> str:
    kind = PROBLEM_KINDS.get(report.problem_type)  # tasks may report a name of their own
    options = ", top_k=None" if kind is not None and kind.several_labels else ""
    if tag == "token-classification" and "precision" in _finite_metrics(report):  # entities, whole
        options = ', aggregation_strategy="first"'
    auto = dict(zip(("model", "variable", "processor"), _AUTO_CLASSES.get(tag, ()), strict=False))
    return render(
        _TEMPLATES / "loading.md.jinja",
        tag=tag,
        repo_id=repo_id,
        example=example,
        imports=imports,
        loading_code=loading_code,
        options=options,
        auto=auto,
    ).rstrip("\n")


def _terms(objective: Any) -> list[dict[str, Any]]:
    """The rows of the table of terms."""
    terms: Iterable[Mapping] = objective.describe() if hasattr(objective, "describe") else objective or []
    rows = []
    for term in terms:
        settings = {
            key: _schedule_text(value) for key, value in term.items() if key not in ("name", "weight", "paper")
        }
        rows.append(
            {
                "name": term.get("name", "–"),
                "weight": _schedule_text(term.get("weight", "–")),
                "settings": ", ".join(f"{key} {value}" for key, value in public_pairs(settings)) or "–",
                "paper": term.get("paper") or "–",
            }
        )
    return rows


def _schedule_text(value: Any) -> Any:
    """A setting with a schedule as text; any other unchanged."""
    if isinstance(value, dict) and value.keys() == {"start", "end", "schedule"}:
        return f"{value['start']} to {value['end']} ({value['schedule']})"
    return value


def _assistants(report: Report) -> list[str]:
    """Names and sizes of the assistants between teacher and student."""
    return [
        model.name + (f" ({short_count(model.parameters)} parameters)" if model.parameters else "")
        for model in report.models
        if model.role == "assistant"
    ]


def _learned_from(counts: Mapping[str, int]) -> list[str]:
    """Numbers of labeled, unlabeled and augmented texts, as text; empty if they were not recorded."""
    words = {"labeled": "with a label", "unlabeled": "without one", "altered": "augmented copies without a label"}
    return [f"{counts[kind]:,} {words[kind]}" for kind in words if counts.get(kind)]


def _hyperparameters(arguments: Any) -> dict[str, Any]:
    """The settings that decide the result; the other hundred fields of TrainingArguments do not."""
    read = arguments.get if isinstance(arguments, Mapping) else lambda name: getattr(arguments, name, None)
    chosen = {name: getattr(read(name), "value", read(name)) for name in _HYPERPARAMETERS}
    if (chosen["max_steps"] or 0) > 0:
        chosen["num_train_epochs"] = None  # the Trainer ignores it then
    else:
        chosen["max_steps"] = None
    return {name: value for name, value in chosen.items() if value is not None and value is not False}


def _environment(environment: Mapping[str, Any]) -> list[tuple[str, str]]:
    """Names and values; a dictionary ({"packages": {"torch": "2.13.0", ...}}) is one value."""
    pairs = []
    for key, value in environment.items():
        if isinstance(value, dict):
            pairs.append((key, ", ".join(" ".join(pair) for pair in public_pairs(value))))
        else:
            pairs += public_pairs({key: value})
    return pairs
