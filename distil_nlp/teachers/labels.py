"""Labels are reconciled by name, not by place."""

import logging

from ..signals.forward import predicts_spans
from ..signals.problem_kinds import problem_kind_of

logger = logging.getLogger(__name__)


def label_order(student, teacher):
    """Which of the teacher's logits answers each of the student's labels.

    Args:
        student, teacher (`nn.Module`): Read are `config.id2label`; a model without one, or one that predicts
            tokens of a vocabulary, has no labels to reconcile.

    Returns:
        `list[int]`: The teacher's index for each label of the student, or None where the order is the same.

    Raises:
        ValueError: The student has more classes than the teacher, or a label the teacher does not know.
    """
    ours, theirs = label_names(student), label_names(teacher)
    if ours is None or theirs is None:
        return None
    return reorder(ours, theirs)


def reorder(ours, theirs):
    """`label_order` on lists of names. Names that are only numbers or LABEL_0 say nothing and keep their place."""
    if len(ours) > len(theirs):
        raise ValueError(
            f"The student has more classes ({len(ours)}: {listed(ours)}) than the teacher ({len(theirs)}: "
            f"{listed(theirs)}), so the teacher is silent on some. Give the student the teacher's labels, or fine-tune "
            f"the teacher on these."
        )
    if _generic(ours) or _generic(theirs):
        if len(ours) != len(theirs):
            raise ValueError(
                f"The student has {len(ours)} classes ({listed(ours)}), the teacher {len(theirs)} ({listed(theirs)}), "
                f"and without names on both sides nothing says which belong together. Set `config.id2label`."
            )
        if _generic(ours) != _generic(theirs):
            logger.warning(
                "Only one model names its labels (student: %s; teacher: %s); the order is taken to be the same.",
                listed(ours),
                listed(theirs),
            )
        return None
    places = {_plain(name): index for index, name in enumerate(theirs)}
    unknown = [name for name in ours if _plain(name) not in places]
    if unknown:
        raise ValueError(
            f"The teacher does not know the label{'s' if len(unknown) > 1 else ''} {listed(unknown)} of the student "
            f"(teacher: {listed(theirs)}). Rename them in `config.id2label` if they mean the same, or fine-tune the "
            f"teacher on these labels."
        )
    order = [places[_plain(name)] for name in ours]
    if order == list(range(len(theirs))):
        return None
    if len(ours) < len(theirs):
        logger.warning(
            "The teacher has %d labels, the student %d of them; the rest is left out.", len(theirs), len(ours)
        )
    else:
        logger.warning("The teacher's labels stand in another order (%s); its logits are reordered.", listed(theirs))
    return order


def ordered(logits, order, num_classes):
    """Logits of a teacher in the student's order of classes; what follows them (no object, a box) stays in its place.

    Args:
        logits (`torch.Tensor`): Shape (..., classes), or more of a detector.
        order (`list[int]`): From `label_order`.
        num_classes (`int`): Of the teacher.
    """
    return logits[..., [*order, *range(num_classes, logits.shape[-1])]]


def known_labels(ours, theirs):
    """Which of the student's labels a teacher knows by name.

    Args:
        ours, theirs (`list[str]` or None): Names of the student's labels and of the teacher's.

    Returns:
        `list[int]`: Their places among the student's; None where it knows all, or names say nothing.
    """
    if not ours or not theirs or _generic(ours) or _generic(theirs):
        return None
    names = {_plain(name) for name in theirs}
    known = [place for place, name in enumerate(ours) if _plain(name) in names]
    return None if len(known) == len(ours) else known


def label_names(model):
    """A classifier's label names in order, or None."""
    config = getattr(model, "config", None)
    if getattr(config, "id2label", None) is None or getattr(config, "num_labels", 1) < 2:
        return None
    if predicts_spans(model):
        return None  # its two logits are where an answer begins and where it ends
    if getattr(model, "get_output_embeddings", lambda: None)() is not None:
        return None
    if not problem_kind_of(config).named_classes:
        return None  # an embedding has no classes, whoever it was trained to tell apart
    return [str(config.id2label[index]) for index in range(config.num_labels)]


def _plain(name):
    return str(name).strip().lower().replace("_", " ").replace("-", " ")


def _generic(names):
    return all(_plain(name).removeprefix("label ").isdigit() for name in names)


def listed(names, most=6):
    """The first names, for a message."""
    return ", ".join(map(str, names[:most])) + (f", ... ({len(names)} in all)" if len(names) > most else "")
