"""How much larger a teacher is than its student, and a word about it where that is much."""

import functools
import logging

from torch import nn

from ..metrics.display import short_count

logger = logging.getLogger(__name__)

# Zhang et al. 2023, Lifting the Curse of Capacity Gap in Distilling Language Models, table 1: with a student of a tenth
# of BERT-base, exchanging the teacher for BERT-large makes the student worse on GLUE.
LARGE_GAP = 10


def num_parameters(model):
    """Parameters of a model that are no embeddings, tied ones once: what its layers can hold.

    Embeddings are left out because they grow with the vocabulary, and two models of one vocabulary would look alike.
    """
    tables = {id(one) for part in model.modules() if isinstance(part, nn.Embedding) for one in part.parameters()}
    return sum(one.numel() for one in model.parameters() if id(one) not in tables)


def far_larger(teacher, student):
    """Whether a teacher (`Teacher`) has `LARGE_GAP` times the parameters of a student (`nn.Module`), or more.

    False where nobody knows the teacher's.
    """
    return teacher.num_parameters is not None and teacher.num_parameters >= LARGE_GAP * max(num_parameters(student), 1)


def warn_of_gap(student, teacher):
    """Say once, with numbers, that a student is far smaller than its teacher, and what there is against it.

    A larger teacher need not make a better student: Mirzadeh et al. 2020, Improved Knowledge Distillation via Teacher
    Assistant; Cho and Hariharan 2019, On the Efficacy of Knowledge Distillation.

    Args:
        student (`nn.Module`): To be trained.
        teacher (`Teacher`): Its `num_parameters` is None where nobody knows: then nothing is said.
    """
    if far_larger(teacher, student):
        _warn_once(teacher.num_parameters, num_parameters(student))


@functools.cache
def _warn_once(theirs, ours):
    """Once for two sizes: the seeds and stages of a recipe all train the same pair."""
    logger.warning(
        "The student is far smaller than its teacher: %s parameters against %s, embeddings aside, %.0f times fewer. From "
        "about %d times on a better teacher need not make a better student. Look at the control, and try: an assistant "
        "of a size between the two (assistants in a recipe), a teacher that stopped early (teacher_stop_epoch), the "
        "terms ClassCorrelation and BatchCorrelation (DIST, in a recipe preset: dist), or more layers.",
        short_count(ours),
        short_count(theirs),
        theirs / max(ours, 1),
        LARGE_GAP,
    )
