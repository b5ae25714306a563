"""The model card of a student, built from the report of its run: what was measured, and what was not."""

import math
from collections.abc import Mapping
from numbers import Real

from huggingface_hub import EvalResult, ModelCardData

from .. import __version__
from ..metrics import display
from ..metrics.display import short_count
from ..reports.tables import difference_lines, legend, markdown_table
from ..signals.problem_kinds import PROBLEM_KINDS
from .caveats import caveats
from .redaction import is_hub_id, public_command, public_facts, public_name
from .report_view import of_role, percent, public_report

_METRIC_IDS = {"pearson": "pearsonr", "f1_micro": "f1", "f1_macro": "f1"}  # where the Hub has another word
_AUTO_CLASSES = {
    "text-classification": ("AutoModelForSequenceClassification", "tokenizer", "AutoTokenizer"),
    "token-classification": ("AutoModelForTokenClassification", "tokenizer", "AutoTokenizer"),
    "question-answering": ("AutoModelForQuestionAnswering", "tokenizer", "AutoTokenizer"),
    "image-classification": ("AutoModelForImageClassification", "processor", "AutoImageProcessor"),
    "audio-classification": ("AutoModelForAudioClassification", "processor", "AutoFeatureExtractor"),
}
# transformers 5 has no pipeline for it.
_EXTRACTING = """question = {question!r}
context = {context!r}
tokens = tokenizer(question, context, truncation="only_second", return_tensors="pt")
said = model(**tokens)
start, end = said.start_logits.argmax(), said.end_logits.argmax()
print(tokenizer.decode(tokens["input_ids"][0, start : end + 1]))"""
_EMBEDDINGS = "sentence-similarity"
# The end of a class's name to its task, by the Hub's word.
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
    report,
    *,
    model_name,
    teacher,
    dataset,
    objective,
    arguments=None,
    dataset_config=None,
    dataset_split="validation",
    pipeline_tag="text-classification",
    example="One sentence to judge.",
    base_model=None,
    student_start=None,
    imports=None,
    loading_code=None,
    **metadata,
):
    """The text of a student's `README.md`: metadata for the Hub, then what a reader should know before using it.

    A part that is missing is said to be missing. Folders of this machine are shown by their last component; only Hub ids
    enter the metadata.

    Args:
        report (`dict`): `report.json` of the run: models with metrics, differences, environment, command, seeds.
        model_name (`str`): Where the card will live, "user/name", or a plain name.
        teacher (`str`): Hub id or folder of the teacher.
        dataset (`str`): Hub id or file of the data, or a few words for what it is.
        objective (`Objective` or `list[dict]`): Anything with `describe()`, or what `describe()` gives.
        arguments (`TrainingArguments` or `dict`, *optional*): The hyper-parameters of the run.
        dataset_config (`str`, *optional*), dataset_split (`str`): "sst2" of "nyu-mll/glue", and what was measured on.
        pipeline_tag (`str`): The Hub's word for the task.
        example (`str` or `dict`): What the loading lines feed the pipeline; {"text": ..., "text_pair": ...} for pairs.
        base_model (`str`, *optional*): Where its first weights came from; a Hub id, or it is not shown. None: random.
        student_start (`str`, *optional*): The same in words: "layers 0, 4, 8 of the teacher".
        imports (`str`, *optional*): What must be imported to load it, see `distil_nlp.models.import_line`.
        loading_code (`str`, *optional*): Python that loads it and asks it, instead of what `pipeline_tag` implies.
        metadata: Further metadata for the Hub: `license`, `language`, ... None of it is guessed.

    Returns:
        `str`: Markdown with a YAML block, as `huggingface_hub.ModelCard` reads it.

    Raises:
        ValueError: The report has no student.
    """
    report, model_name = public_report(report), public_name(model_name)
    data = public_name(dataset) + (f" ({dataset_config})" if dataset_config else "")
    start, metadata = student_start, metadata | _metadata(report, pipeline_tag, model_name, base_model)
    metadata |= _results_metadata(report, pipeline_tag, dataset, dataset_config, dataset_split, data)
    loading = _python(loading_code) or _how_to_load(report, pipeline_tag, model_name, example, imports)
    titled = {
        "Results": _results(report, data=data, split=dataset_split),
        "How to load it": loading,
        "How it was trained": _how_trained(report, objective, arguments, teacher=teacher, data=data, start=start),
        "Limits": "\n".join(f"- {limit}" for limit in caveats(report, data=data)),
        "Environment": _environment(report),
    }
    return _laid_out(metadata, model_name, _what_it_is(report, teacher=teacher, data=data), titled)


def _laid_out(metadata, model_name, first, titled):
    """The text of a card: metadata, the name, a first paragraph without a title, then parts by their titles."""
    sections = [f"# {model_name.split('/')[-1]}", first, *(f"## {title}\n\n{text}" for title, text in titled.items())]
    return f"---\n{ModelCardData(**metadata).to_yaml()}\n---\n\n" + "\n\n".join(sections) + "\n"


def pipeline_tag_of(model):
    """The Hub's word for the task of a model, by its class; text-classification where that says nothing."""
    names = (tag for end, tag in _TAGS.items() if type(model).__name__.endswith(end))
    return next(names, "text-classification")


def _metadata(report, pipeline_tag, model_name, base_model):
    metrics = _finite_metrics(report)
    return {
        "library_name": "sentence-transformers" if pipeline_tag == _EMBEDDINGS else "transformers",
        "pipeline_tag": pipeline_tag,
        "tags": ["knowledge-distillation", "distil_nlp"],
        "metrics": list(dict.fromkeys(_METRIC_IDS.get(name, name) for name in metrics)) or None,
        "model_name": model_name.split("/")[-1],
        **({"base_model": base_model, "base_model_relation": "finetune"} if is_hub_id(base_model) else {}),
    }


def _results_metadata(report, pipeline_tag, dataset, config, split, data):
    about = {
        "task_type": pipeline_tag, "dataset_type": public_name(dataset), "dataset_name": data,
        "dataset_config": config, "dataset_split": split,
    }  # fmt: skip
    results = [
        EvalResult(metric_type=_METRIC_IDS.get(name, name), metric_name=name, metric_value=value, **about)
        for name, value in _finite_metrics(report).items()
    ]
    agreement = of_role(report, "student").get("agreement")
    if _is_finite(agreement):
        name = "agreement with the teacher"
        results.append(EvalResult(metric_type="agreement", metric_name=name, metric_value=float(agreement), **about))
    return {"datasets": [dataset] if is_hub_id(dataset) else None, "eval_results": results or None}


def _finite_metrics(report):
    metrics = of_role(report, "student")["metrics"]
    return {name: float(value) for name, value in metrics.items() if _is_finite(value)}


def _is_finite(value):
    return isinstance(value, Real) and not isinstance(value, bool) and math.isfinite(value)


def _what_it_is(report, *, teacher, data):
    student, original = of_role(report, "student"), of_role(report, "teacher") or {}
    lines = [f"A student of {_linked(teacher)}: smaller, and trained to answer as it does, on {data}."]
    parts = []
    if _is_finite(student.get("kept")):
        unlike = " (lower is better: the teacher's over its own)" if display(report["metric"]).lower_is_better else ""
        parts.append(f"keeps {percent(student['kept'])} of the teacher's {report['metric']}{unlike}")
    if student.get("parameters") and original.get("parameters"):
        parts.append(f"has {percent(student['parameters'] / original['parameters'])} of its parameters")
    speed_up = (student.get("speed_up") or {}).get("value")
    if _is_finite(speed_up):
        parts.append(f"answers {speed_up:.1f} times as fast (one input at a time)")
    if parts:
        lines.append(f"It {_enumerated(parts)}.")
    lines.append(f"Made with `distil_nlp` {__version__}, which wrote this card from the report of the run.")
    return "\n".join(lines)


def _enumerated(parts):
    return parts[0] if len(parts) == 1 else f"{', '.join(parts[:-1])} and {parts[-1]}"


def _linked(name):
    if " + " in name:  # several teachers
        return " + ".join(map(_linked, name.split(" + ")))
    return f"[{name}](https://huggingface.co/{name})" if is_hub_id(name) else f"`{public_name(name)}`"


def _results(report, *, data, split):
    counted = f", {report['num_examples']:,} examples" if report.get("num_examples") else ""
    words = legend(report)
    if any(_is_finite(model.get("agreement")) for model in report["models"]):
        words.append("*Agreement*: the share of examples on which a model gives the teacher's answer.")
    if any(model.get("spread") for model in report["models"]):
        words.append("±: the standard deviation over seeds.")
    if of_role(report, "control"):
        words.append("A *control* was trained without the teacher.")
    if any(model["latency_ms"] for model in report["models"]):
        words.append("*ms*: one input at a time, median and 95th percentile; *per s*: in large batches.")
    parts = [f"Measured on the {split} split of {data}{counted}.", markdown_table(report), " ".join(words)]
    lines = [f"- {line}" for line in difference_lines(report)]
    return "\n\n".join([*parts, *(["\n".join(lines)] if lines else [])])


def _python(code):
    return code and f"```python\n{code}\n```"


def _how_to_load(report, tag, repo_id, example, imports):
    if tag == _EMBEDDINGS:
        return (
            f"```python\nfrom sentence_transformers import SentenceTransformer\n\n"
            f'student = SentenceTransformer("{repo_id}")\nprint(student.encode({example!r}))\n```'
        )
    kind = PROBLEM_KINDS.get(report.get("problem_type"))  # tasks may report a name of their own
    every = ", top_k=None" if kind is not None and kind.several_labels else ""
    if tag == "token-classification" and "precision" in _finite_metrics(report):  # entities, whole
        every = ', aggregation_strategy="first"'
    registers = f"{imports}\n" if imports else ""
    pipeline = (
        f'{registers}from transformers import pipeline\n\nstudent = pipeline("{tag}", model="{repo_id}"{every})\n'
        f"print(student({example!r}))"
    )
    if tag not in _AUTO_CLASSES:
        return f"```python\n{pipeline}\n```"
    model_class, name, name_class = _AUTO_CLASSES[tag]
    loading = (
        f"{registers}from transformers import {', '.join(sorted((model_class, name_class)))}\n\n"
        f'model = {model_class}.from_pretrained("{repo_id}")\n'
        f'{name} = {name_class}.from_pretrained("{repo_id}")\n'
    )
    if tag == "question-answering":
        whole = f'from distil_nlp.tasks import answer_question\n\nprint(answer_question("{repo_id}", **{example!r}))'
        return (
            f"```python\n{loading}{_EXTRACTING.format(**example)}\n```\n\nor, with windows over a long context and the "
            f"best span that can be an answer:\n\n```python\n{whole}\n```"
        )
    return f"```python\n{loading}```\n\nor, with everything around it:\n\n```python\n{pipeline}\n```"


def _how_trained(report, objective, arguments, *, teacher, data, start):
    lines = [f"Teacher: {_linked(teacher)}. Data: {data}."]
    if start:
        lines[0] += f" The student started from {' '.join(public_name(word) for word in start.split())}."
    lines[0] += _chain(report) + _learned_from((report.get("data") or {}).get("learned_from") or {})
    lines += ["", "| Term of the objective | Weight | Settings | Paper |", "|---|---|---|---|"]
    for term in objective.describe() if hasattr(objective, "describe") else objective:
        settings = {key: _moving(value) for key, value in term.items() if key not in ("name", "weight", "paper")}
        shown = ", ".join(f"{key} {value}" for key, value in public_facts(settings)) or "–"
        weight = _moving(term.get("weight", "–"))
        lines.append(f"| {term.get('name', '–')} | {weight} | {shown} | {term.get('paper') or '–'} |")
    chosen = _hyperparameters(arguments)
    lines += ["", "Hyper-parameters: " + ", ".join(f"`{key}={value}`" for key, value in chosen.items()) + "."]
    if not chosen:
        lines[-1] = "The hyper-parameters were not recorded."
    return "\n".join(lines)


def _moving(value):
    """A setting that follows a schedule, in words; any other as it came."""
    if isinstance(value, dict) and value.keys() == {"start", "end", "schedule"}:
        return f"{value['start']} to {value['end']} ({value['schedule']})"
    return value


def _chain(report):
    """Who taught whom, where the teacher did not teach the student itself; otherwise nothing."""
    between = [
        model["name"] + (f" ({short_count(model['parameters'])} parameters)" if model.get("parameters") else "")
        for model in report["models"]
        if model["role"] == "assistant"
    ]
    if not between:
        return ""
    return f" It was taught in a chain, each link by the one before: teacher, {', '.join(between)}, student."


def _learned_from(counts):
    """The student's texts and the control's, in a sentence; nothing where they were not recorded."""
    words = {"labeled": "with a label", "unlabeled": "without one", "altered": "altered copies that nobody labeled"}
    seen = [f"{counts[kind]:,} {words[kind]}" for kind in words if counts.get(kind)]
    if not seen:
        return ""
    return f" Texts the student learned from: {', '.join(seen)}; a control sees those with a label only."


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
    lines = []
    for key, value in report["environment"].items():
        if isinstance(value, dict):  # {"packages": {"torch": "2.13.0", ...}} on one line
            lines.append(f"- {key}: {', '.join(' '.join(fact) for fact in public_facts(value))}")
        else:
            lines += [f"- {name}: {fact}" for name, fact in public_facts({key: value})]
    lines = lines or ["The environment was not recorded."]
    if report["seeds"]:
        lines.append(f"- seeds: {', '.join(str(seed) for seed in report['seeds'])}")
    if report.get("command"):
        return "\n".join([*lines, "", "```", public_command(report["command"]), "```"])
    return "\n".join([*lines, "", "The command was not recorded."])
