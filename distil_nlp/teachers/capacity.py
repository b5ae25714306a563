"""Warning about a large capacity gap between teacher and student."""

import functools
import logging

from torch import nn

from ..metrics.display import short_count
from .base import Teacher, num_parameters

logger = logging.getLogger(__name__)

# Zhang et al. 2023, Lifting the Curse of Capacity Gap in Distilling Language Models, table 1: a student with a tenth of
# the parameters of BERT-base scores lower on GLUE with BERT-large as its teacher than with BERT-base.
LARGE_GAP = 10


def far_larger(teacher: Teacher, student: nn.Module) -> bool:
    """Whether a teacher has at least `LARGE_GAP` times the student's parameters; False if its size is unknown."""
    return teacher.num_parameters is not None and teacher.num_parameters >= LARGE_GAP * max(num_parameters(student), 1)


def warn_of_gap(student: nn.Module, teacher: Teacher) -> None:
    """Warn once, with numbers and remedies, if a student is far smaller than its teacher.

    A larger teacher does not always make a better student: Mirzadeh et al. 2020, Improved Knowledge Distillation via
    Teacher Assistant; Cho and Hariharan 2019, On the Efficacy of Knowledge Distillation.

    Args:
        student (`nn.Module`): The model to train.
        teacher (`Teacher`): No warning if its `num_parameters` is None.
    """
    if far_larger(teacher, student):
        _warn_once(num_parameters(student), teacher.num_parameters)


@functools.cache
def _warn_once(student_size: int, teacher_size: int) -> None:
    """Log the warning once per pair of sizes: all seeds and stages of a recipe train the same pair."""
    logger.warning(
        "The student is far smaller than its teacher: %s parameters against %s, without embeddings, %.0f times fewer. "
        "Beyond about %d times, a better teacher does not always make a better student. Compare with the control, and "
        "try: an assistant of a size between the two (assistants in a recipe), a teacher from early stopping "
        "(teacher_stop_epoch), the terms ClassCorrelation and BatchCorrelation (DIST, in a recipe preset: dist), or more "
        "layers.",
        short_count(student_size),
        short_count(teacher_size),
        teacher_size / max(student_size, 1),
        LARGE_GAP,
    )
