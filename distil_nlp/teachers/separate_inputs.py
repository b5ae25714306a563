"""A teacher with its own input columns, made by its own tokenizer or image processor."""

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any, cast

import torch
from torch import nn

from ..data.examples import TOKENS
from ..internals.messages import listed, shown
from ..signals.base import Signals
from .base import Teacher
from .online import TeacherSource, as_teacher
from .reconcile import StudentProxy

if TYPE_CHECKING:
    from accelerate import Accelerator
    from transformers import PreTrainedTokenizerBase


class SeparateInputs(Teacher):
    """A teacher with other inputs than the student: it reads the columns with a prefix, such as "teacher_input_ids".

    For texts, the task must have one prediction per text (a class, a score), which does not depend on the tokens. The
    rows are prepared once for each tokenizer and joined, and a collator pads each group with its own tokenizer: see
    `distil_nlp.tasks.with_separate_inputs` and `SeparateInputsCollator`. For images, an `ImageCollator` makes the columns.

    Args:
        teacher: `Teacher`, `nn.Module`, Hub id or folder.
        prefix (`str`): Prefix of its columns, such as "teacher_2_". It is removed before the teacher reads them.

    Raises:
        ValueError: The prefix is empty. For a batch: the teacher's logits or tapped layers have one position per token,
            because its tokens differ from the student's.
    """

    def __init__(self, teacher: TeacherSource, prefix: str) -> None:
        if not prefix:
            raise ValueError(
                f"The teacher's columns need a prefix to differ from the student's; got {shown(prefix)}. Use 'teacher_'."
            )
        self.teacher = cast(Teacher, teacher)  # a Teacher after `load`
        self.prefix = prefix

    def load(self, **settings: Any) -> None:
        self.teacher = as_teacher(self.teacher, **settings)

    @property
    def name(self) -> str:  # type: ignore[override]
        return getattr(self.teacher, "name", str(self.teacher))

    @property
    def columns(self) -> tuple[str, ...]:  # type: ignore[override]
        # A forward without named columns takes a tokenizer's columns. The student's tokens are kept: its collator needs
        # a column to pad.
        return (*(self.prefix + name for name in self.teacher.columns or TOKENS), *TOKENS)

    @property
    def tokenizer(self) -> "PreTrainedTokenizerBase | None":
        return getattr(self.teacher, "tokenizer", None)

    @property
    def label_names(self) -> list[str] | None:  # type: ignore[override]
        return self.teacher.label_names

    @property
    def architecture(self) -> nn.Module | None:  # type: ignore[override]
        return self.teacher.architecture

    @property
    def num_parameters(self) -> int | None:
        return self.teacher.num_parameters

    @property
    def is_precomputed(self) -> bool:  # type: ignore[override]
        return getattr(self.teacher, "is_precomputed", False)

    @property
    def models(self) -> tuple[nn.Module, ...]:
        return self.teacher.models

    def reconcile(self, student: nn.Module, tokenizer: "PreTrainedTokenizerBase | None" = None) -> None:
        self.load(student=student)
        self.teacher.reconcile(cast(nn.Module, StudentProxy(student, own_tokens=True)))

    def prepare(self, accelerator: "Accelerator") -> None:
        self.teacher.prepare(accelerator)

    def tap_layers(self, names: Iterable[str]) -> None:
        self.teacher.tap_layers(names)

    def __call__(self, batch: Mapping[str, torch.Tensor]) -> Signals:
        teacher_batch = {
            name.removeprefix(self.prefix): tensor for name, tensor in batch.items() if name.startswith(self.prefix)
        }
        if not teacher_batch:
            raise ValueError(
                f"{self.name} reads columns that begin with {shown(self.prefix)}, and the batch has none (it has "
                f"{listed(batch)}). Add them with `with_separate_inputs`, and pad them with a `SeparateInputsCollator`."
            )
        signals = self.teacher(teacher_batch)
        for name, feature in signals.features.items():
            if feature.dim() == 3:
                raise ValueError(
                    f"The objective compares '{name}' of {self.name}, which has its own inputs and returned states of "
                    f"shape {tuple(feature.shape)}. Its positions are other parts of the text than the student's. Use a "
                    f"teacher with the student's tokenizer for terms between token layers."
                )
        if signals.logits is not None and signals.logits.dim() > 2:
            raise ValueError(
                f"{self.name} has its own tokenizer and returned logits of shape {tuple(signals.logits.shape)}, one "
                f"prediction per token, and its tokens differ from the student's. A different tokenizer is for tasks with "
                f"one prediction per text. Choose a teacher with the student's tokenizer."
            )
        return signals

    def fingerprint(self) -> str:
        return self.teacher.fingerprint()
