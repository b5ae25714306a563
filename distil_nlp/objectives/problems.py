"""What each kind of problem calls a label, a loss and an agreement: the one table."""

from collections.abc import Callable
from dataclasses import dataclass

import torch

from ..losses import (
    binary_cross_entropy,
    cross_entropy,
    ctc_frame_kl,
    ctc_loss,
    pair_cosine_error,
    query_class_loss,
    query_soft_target_loss,
    soft_target_bce,
    soft_target_kl,
    squared_error,
)
from ..signals.columns import BOXES, FRAMES
from ..signals.problem_kinds import CTC, DETECTION, are_soft

__all__ = [
    "PROBLEMS",
    "Problem",
    "check_exclusive_classes",
    "fits",
    "problem",
    "refuse_sets",
]


@dataclass(frozen=True)
class Problem:
    """How one problem type is learned and judged.

    Args:
        hard_loss: (logits, labels) -> values; None where a term of its own compares with the labels.
        soft_loss: (student_logits, teacher_logits, temperature=) -> values, or None where temperature has no meaning.
        labeled: labels -> mask of the items that have one.
        agree: (student, teacher), both `Signals` -> values in 0 to 1, or None.
        labels: What its labels look like, in words.
        kd_ratio: The teacher's share where nobody says another.
    """

    hard_loss: Callable
    soft_loss: Callable | None
    labeled: Callable
    agree: Callable | None
    labels: str
    kd_ratio: float = 0.5


def _has_class(labels):
    """Of soft labels, (batch, classes), a row; of others, each."""
    return (labels >= 0).all(-1) if labels.is_floating_point() else labels >= 0


def _same_class(student, teacher):
    return (student.best() == teacher.best()).float()


def _same_answers(student, teacher):
    return ((student.logits > 0) == (teacher.logits > 0)).float().mean(-1)


PROBLEMS = {
    "single_label_classification": Problem(
        hard_loss=cross_entropy,
        soft_loss=soft_target_kl,
        labeled=_has_class,
        agree=_same_class,
        labels="whole numbers, one per item, -100 where missing; or rows of class probabilities that sum to 1",
    ),
    "multi_label_classification": Problem(
        hard_loss=binary_cross_entropy,
        soft_loss=soft_target_bce,
        labeled=lambda labels: (labels >= 0).all(-1),
        agree=_same_answers,
        labels="floats of shape (batch, labels), 0 or 1, a row of -100 where missing",
    ),
    "regression": Problem(
        hard_loss=squared_error,
        soft_loss=None,
        labeled=lambda labels: ~torch.isnan(labels),
        agree=None,
        labels="floats, one per item, NaN where missing",
    ),
    # Ours, not transformers' word: texts in pairs, see `SentenceEmbeddings`.
    "embedding": Problem(
        hard_loss=pair_cosine_error,
        soft_loss=None,
        labeled=lambda labels: ~torch.isnan(labels),
        agree=None,
        labels="floats, one per pair of texts, NaN where missing",
        # What the teacher's vectors say of all texts, the score of a pair says of two, on one scale or another.
        kd_ratio=1.0,
    ),
    # Ours, too: an embedding of each image, whose it is as label. Without class centers there is no loss: `MarginLabels`.
    "identity": Problem(
        hard_loss=None,
        soft_loss=None,
        labeled=lambda labels: labels >= 0,
        agree=None,
        labels="whole numbers, one per image, -100 where missing",
    ),
    # Ours too: tokens and blanks, frame by frame, learned by terms of their own (`CtcLabels`, `CtcSoftTargets`).
    CTC: Problem(
        hard_loss=ctc_loss,
        soft_loss=ctc_frame_kl,
        labeled=lambda labels: (labels >= 0).any(1),
        agree=None,
        labels="whole numbers of shape (batch, most tokens), -100 behind the last, beside the column 'frames'",
    ),
    # Ours too: things in images, learned by terms of their own (`QueryLabels`, `BoxLabels`, `QuerySoftTargets`).
    DETECTION: Problem(
        hard_loss=query_class_loss,
        soft_loss=query_soft_target_loss,
        labeled=lambda labels: labels >= 0,
        agree=None,
        labels="whole numbers of shape (batch, most boxes), -100 where there is no box, beside the column 'boxes'",
    ),
}


def problem(problem_type):
    """The row of the table; a ValueError lists the known types."""
    if problem_type not in PROBLEMS:
        raise ValueError(f"problem_type must be one of {', '.join(PROBLEMS)}; got {problem_type!r}.")
    return PROBLEMS[problem_type]


def refuse_sets(who, *, problem_type=None, batch=()):
    """Refuse detectors, and models of frames, on behalf of the term `who`: their answers have no label each."""
    if problem_type == CTC or FRAMES in batch:
        raise ValueError(
            f"{who} compares one answer with one label, and labels of a clip are for all its frames together. Use "
            f"CtcLabels ('ctc') for the labels, CtcSoftTargets ('ctc_frames') and CtcTranscript ('ctc_transcript') for "
            f"the teacher."
        )
    if problem_type == DETECTION or BOXES in batch:
        raise ValueError(
            f"{who} compares one answer with one label, and a detector gives a set of queries, each a class and a box. "
            f"Use QueryLabels and BoxLabels ('classes' and 'boxes') for the labels, QuerySoftTargets ('queries') for the "
            f"teacher."
        )


def check_exclusive_classes(problem_type, who):
    """Refuse a problem that has no probabilities of classes of which one is right, on behalf of the term `who`."""
    problem(problem_type)
    if problem_type != "single_label_classification":
        raise ValueError(
            f"{who} compares probabilities of classes that exclude each other, and problem_type={problem_type!r} has "
            f"none. Use SoftTargets for several labels, LogitMatching for a regression."
        )


def _mixed(labels):
    """Whether they are soft and say so: rows that sum to 1, some of parts."""
    return are_soft(labels) and bool(((labels > 0) & (labels < 1)).any())


def fits(problem_type, labels):
    """Whether labels look like those of a problem type: regression data must not meet a cross-entropy."""
    floating = labels.is_floating_point()
    return {
        "single_label_classification": not floating or are_soft(labels),
        "multi_label_classification": floating and labels.dim() == 2 and not _mixed(labels),
        "regression": floating and (labels.dim() == 1 or labels.shape[-1] == 1),
        "embedding": floating and labels.dim() == 1,
        "identity": not floating,
        CTC: not floating and labels.dim() == 2,
        DETECTION: not floating and labels.dim() == 2,
    }[problem_type]
