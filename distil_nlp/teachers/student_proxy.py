"""A view of the student with fewer labels or without token embeddings."""

import copy
from typing import Any

from torch import nn


class StudentProxy:
    """The student as `Teacher.reconcile` should see it: with a subset of its labels, or without token embeddings.

    All other attributes are the student's.

    Args:
        student (`nn.Module`): The student.
        label_names (`list[str]`, *optional*): Labels in order, instead of all of the student's.
        own_tokens (`bool`): True if the teacher reads other token ids, so that embeddings are not compared.
    """

    def __init__(self, student: nn.Module, *, label_names: list[str] | None = None, own_tokens: bool = False) -> None:
        self._student, self._own_tokens = student, own_tokens
        self.config = getattr(student, "config", None)
        if label_names is not None:
            self.config = copy.deepcopy(self.config)
            self.config.id2label = dict(enumerate(label_names))
            self.config.num_labels = len(label_names)

    def get_input_embeddings(self) -> nn.Module | None:
        return None if self._own_tokens else self._student.get_input_embeddings()

    def __getattr__(self, name: str) -> Any:
        if name == "_student":  # not set yet while this object is being copied
            raise AttributeError(name)
        return getattr(self._student, name)
