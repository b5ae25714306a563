"""Reconciles a teacher's labels (by name) and vocabulary with the student's."""

import copy
import logging
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, cast

import torch
from torch import nn

from ..internals.messages import listed, shown
from ..signals.forward import predicts_spans
from ..signals.problem_kinds import problem_kind_of
from ..signals.wrappers import config_of, unwrapped

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

logger = logging.getLogger(__name__)

_WAY_OUT = (
    "Tokenize with the teacher's tokenizer and use a student made for it (`student_from_teacher`), or choose a teacher "
    "with the student's tokenizer. With one prediction per text, the teacher may have separate columns: `SeparateInputs`."
)


def label_order(student: nn.Module, teacher: nn.Module) -> list[int] | None:
    """Index of the teacher's logit for each of the student's labels.

    Args:
        student, teacher (`nn.Module`): Labels are read from `config.id2label`. Models without it, or that predict tokens
            of a vocabulary, have no labels to reconcile.

    Returns:
        `list[int]`, or None if the order is the same.

    Raises:
        ValueError: The student has more classes than the teacher, or a label that the teacher does not have.
    """
    student_labels, teacher_labels = label_names(student), label_names(teacher)
    if student_labels is None or teacher_labels is None:
        return None
    return reorder(student_labels, teacher_labels)


def reorder(student_labels: Sequence[str], teacher_labels: Sequence[str]) -> list[int] | None:
    """`label_order` for lists of names. Generic names (numbers or LABEL_0) on one side only keep their order."""
    student_labels, teacher_labels = list(map(str, student_labels)), list(map(str, teacher_labels))
    if student_labels == teacher_labels:
        return None
    if len(student_labels) > len(teacher_labels):
        raise ValueError(
            f"The student has more classes ({len(student_labels)}: {listed(student_labels)}) than the teacher "
            f"({len(teacher_labels)}: {listed(teacher_labels)}), so the teacher has no logits for some. Give the student "
            f"the teacher's labels, or fine-tune the teacher on the student's."
        )
    named_on_one_side = _generic(student_labels) != _generic(teacher_labels)
    order = [None] if named_on_one_side else label_indices(student_labels, teacher_labels)
    same_names = None not in order and len(student_labels) == len(teacher_labels)
    if _generic(student_labels + teacher_labels) and not same_names or named_on_one_side:
        if len(student_labels) != len(teacher_labels):
            raise ValueError(
                f"The student has {len(student_labels)} classes ({listed(student_labels)}), the teacher "
                f"{len(teacher_labels)} ({listed(teacher_labels)}), and without names on both sides they cannot be "
                f"assigned to each other. Set `config.id2label`."
            )
        if named_on_one_side:
            logger.warning(
                "Only one model has label names (student: %s; teacher: %s); the order is taken to be the same.",
                listed(student_labels),
                listed(teacher_labels),
            )
        return None
    unknown = [name for name, index in zip(student_labels, order, strict=True) if index is None]
    if unknown:
        raise ValueError(
            f"The teacher does not have the label{'s' if len(unknown) > 1 else ''} {listed(unknown)} of the student "
            f"(teacher: {listed(teacher_labels)}). Rename them in `config.id2label` if they mean the same, or fine-tune "
            f"the teacher on these labels."
        )
    if order == list(range(len(teacher_labels))):
        return None
    if len(student_labels) < len(teacher_labels):
        logger.warning(
            "The teacher has %d labels, the student %d of them; the others are ignored.",
            len(teacher_labels),
            len(student_labels),
        )
    else:
        logger.warning(
            "The teacher's labels have another order (%s); its logits are reordered.", listed(teacher_labels)
        )
    return cast(list[int], order)


def label_indices(labels: Sequence[str], other_labels: Sequence[str]) -> list[int | None]:
    """Index of each label in another list, by name; None for a label that is not in it.

    An equal name counts before one that differs in case, "_" or "-" only, so "A" and "a" may be two labels.

    Raises:
        ValueError: A label fits several others.
    """
    indices, own = _distinct(other_labels), _distinct(labels)
    similar: dict[str, tuple[list[str], list[str]]] = {}
    for side, names, others in ((0, own, indices), (1, indices, own)):
        for name in names.keys() - others.keys():
            similar.setdefault(_plain(name), ([], []))[side].append(name)
    for left, right in similar.values():
        if left and right and len(left + right) > 2:
            raise ValueError(
                f"The labels {listed(sorted(left))} and {listed(sorted(right))} differ in case or separators only, so they "
                f"cannot be assigned to each other. Give student and teacher equal names in `config.id2label`."
            )
    renamed = {left[0]: right[0] for left, right in similar.values() if left and right}
    return [indices.get(renamed.get(name, name)) for name in labels]


def ordered(logits: torch.Tensor, order: list[int], num_classes: int) -> torch.Tensor:
    """Reorder a teacher's logits to the student's classes; columns after the classes (no object, a box) are kept.

    Args:
        logits (`torch.Tensor`): Shape (..., classes), or more columns for a detector.
        order (`list[int]`): Result of `label_order`.
        num_classes (`int`): Number of the teacher's classes.

    Returns:
        `torch.Tensor` of shape (..., student's classes), with the further columns of a detector last.
    """
    return logits[..., [*order, *range(num_classes, logits.shape[-1])]]


def shared_labels(student_labels: Sequence[str] | None, teacher_labels: Sequence[str] | None) -> list[int] | None:
    """Indices of the student's labels that a teacher has, by name; None for all, or if names are missing or generic."""
    if not student_labels or not teacher_labels or _generic(student_labels) or _generic(teacher_labels):
        return None
    matches = label_indices(student_labels, teacher_labels)
    indices = [index for index, match in enumerate(matches) if match is not None]
    return None if len(indices) == len(student_labels) else indices


def label_names(model: nn.Module) -> list[str] | None:
    """Label names of a classifier in order, or None for other models."""
    config = config_of(model)
    if config is None or getattr(config, "id2label", None) is None or getattr(config, "num_labels", 1) < 2:
        return None
    if predicts_spans(model):
        return None  # its two logits are start and end of a span
    inner: Any = unwrapped(model)
    if getattr(inner, "get_output_embeddings", lambda: None)() is not None:
        return None
    if inner is not model and type(inner).__name__.endswith("Model"):
        return None  # a bare encoder inside a module with a head of its own
    if not problem_kind_of(config).named_classes:
        return None  # such as embeddings
    return _names_in_order(config.id2label, config.num_labels)


def _names_in_order(id2label: Mapping[Any, Any], num_labels: int) -> list[str]:
    names = {str(index): str(name) for index, name in id2label.items()}  # keys of a file are strings
    missing = [index for index in range(num_labels) if str(index) not in names]
    if missing:
        raise ValueError(
            f"config.id2label must have a name for each of 0 to {num_labels - 1}; it has {listed(names)} and no "
            f"{missing[0]}. Number the classes from 0 without a gap."
        )
    return [names[str(index)] for index in range(num_labels)]


def _distinct(labels: Sequence[str]) -> dict[str, int]:
    """Label -> its index; a ValueError for two equal labels."""
    indices = {label: index for index, label in enumerate(labels)}
    if len(indices) < len(labels):
        twice = next(label for index, label in enumerate(labels) if indices[label] != index)
        raise ValueError(
            f"The label {shown(twice)} is in config.id2label more than once ({listed(labels)}), so it does not name one "
            f"class. Give every class a name of its own."
        )
    return indices


def _plain(name: str) -> str:
    return str(name).strip().lower().replace("_", " ").replace("-", " ")


def _generic(names: Sequence[str]) -> bool:
    return all(_plain(name).removeprefix("label ").isdigit() for name in names)


def check_vocabulary(
    student: nn.Module,
    teacher: nn.Module,
    student_tokenizer: "PreTrainedTokenizerBase | None" = None,
    teacher_tokenizer: "PreTrainedTokenizerBase | None" = None,
) -> None:
    """Raise a ValueError if the same token ids are different texts for student and teacher.

    Args:
        student, teacher (`nn.Module`): Models without an embedding table (images, audio) pass.
        student_tokenizer, teacher_tokenizer (*optional*): Compared token by token if both are passed. With equal
            tokenizers, the embedding tables may differ in padding.

    Raises:
        ValueError: The tokenizers or the sizes of the embedding tables differ.
    """
    if student_tokenizer is not None and teacher_tokenizer is not None:
        _compare_tokenizers(student_tokenizer, teacher_tokenizer)
    student_size, teacher_size = num_embeddings(student), num_embeddings(teacher)
    if student_size is None or teacher_size is None or student_size == teacher_size:
        return
    if _vocabulary(student_tokenizer) and _vocabulary(teacher_tokenizer):  # equal, see above
        if min(student_size, teacher_size) >= len(_vocabulary(student_tokenizer)):
            return
    raise ValueError(
        f"The student ({type(student).__name__}) has an embedding table of {student_size} rows, the teacher "
        f"({type(teacher).__name__}) of {teacher_size}: the same token ids would be different texts. {_WAY_OUT} If "
        f"only the padding of the tables differs, pass `OnlineTeacher(teacher, tokenizer=tokenizer)`, whose tokenizer is "
        f"compared with processing_class."
    )


def _vocabulary(processor: Any) -> dict[str, int]:
    """Token -> id of a tokenizer, or of the tokenizer inside a processor; empty without one."""
    tokenizer = getattr(processor, "tokenizer", processor)
    return getattr(tokenizer, "get_vocab", dict)()


def _compare_tokenizers(student: "PreTrainedTokenizerBase", teacher: "PreTrainedTokenizerBase") -> None:
    student_ids, teacher_ids = _vocabulary(student), _vocabulary(teacher)
    if not student_ids or not teacher_ids or student_ids == teacher_ids:
        return
    token = next((token for token in student_ids if student_ids[token] != teacher_ids.get(token)), None)
    example = (
        f"'{token}' is {student_ids[token]} for the student and {teacher_ids.get(token, 'unknown')} for the teacher"
        if token is not None
        else f"the teacher has {len(teacher_ids) - len(student_ids)} more tokens"
    )
    raise ValueError(
        f"Student and teacher use different tokenizers ({len(student_ids)} and {len(teacher_ids)} tokens; {example}): "
        f"the same token ids would be different texts. {_WAY_OUT}"
    )


def num_embeddings(model: nn.Module) -> int | None:
    """Number of rows of the token embedding table; None if the model has none."""
    try:
        table = unwrapped(model).get_input_embeddings()  # type: ignore[operator]
    except (AttributeError, NotImplementedError):
        return None
    return getattr(table, "num_embeddings", None)


class StudentProxy:
    """The student as `Teacher.reconcile` should see it: with a subset of its labels, or without token embeddings.

    All other attributes are the student's.

    Args:
        student (`nn.Module`): The student.
        label_names (`list[str]`, *optional*): Labels in order, instead of all of the student's.
        own_tokens (`bool`): True if the teacher reads other token ids, so that embeddings are not compared.
    """

    def __init__(self, student: nn.Module, *, label_names: list[str] | None = None, own_tokens: bool = False) -> None:
        self._student: Any = student  # a transformers model, or any other module
        self._own_tokens = own_tokens
        self.config: Any = config_of(student)
        if label_names is not None:
            self.config = copy.deepcopy(self.config)
            self.config.id2label = dict(enumerate(label_names))
            self.config.num_labels = len(label_names)

    def get_input_embeddings(self) -> nn.Module | None:
        return None if self._own_tokens else unwrapped(self._student).get_input_embeddings()  # type: ignore[operator]

    def __getattr__(self, name: str) -> Any:
        if name == "_student":  # not set yet while this object is being copied
            raise AttributeError(name)
        return getattr(self._student, name)
