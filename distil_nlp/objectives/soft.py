"""Terms on the teacher's predictions: soft targets, its labels, its logits, its embeddings."""

from typing import Any

import torch
from torch import nn

from ..internals.messages import shown
from ..losses import cross_entropy, logit_mse, sparse_target_kl
from ..losses.precision import upcast
from ..signals.base import Signals, SparseTargets
from ..signals.columns import SOFT_ITEMS
from ..signals.forward import predicts_spans
from ..signals.problem_kinds import problem_kind_of
from .base import Batch, Term, every_example, valid_temperature
from .hidden import DISTANCES, projection
from .kind_objectives import check_exclusive_classes, check_label_per_prediction, kind_objective
from .schedules import Scheduled


class TeacherPredictions(Term):
    """Base class of terms on the teacher's logits: which items count, and agreement for the log.

    An item is a sequence where logits have two dimensions, a token where they have three. A column "soft_items" of the
    batch selects the items that count. Without it all sequences count, and the tokens with a label, or, without labels,
    the tokens whose attention mask is 1.

    Of a model that predicts spans, the two items of a sequence are the start and the end of an answer.
    """

    over_positions = True  # its loss does not depend on padding among the logits

    def __init__(self, weight: Scheduled, *, problem_type: str):
        super().__init__(weight)
        self.problem_type = problem_type
        self.per_token = self._over_positions_of_text = False
        self._losses = kind_objective(problem_type)
        check_label_per_prediction(problem_type, type(self).__name__)

    def resolve_layers(self, student: nn.Module, teacher: nn.Module | None) -> None:
        self._over_positions_of_text = predicts_spans(student)
        if self._over_positions_of_text and not self.over_positions:
            raise ValueError(
                f"{type(self).__name__} takes a mean over all logits of an item, and {type(student).__name__} has one for "
                f"each position of a text, padding included: the loss would depend on the padding. Use SoftTargets."
            )

    def setup(self, student: Signals, teacher: Signals, batch: Batch) -> None:
        check_label_per_prediction(problem_kind_of(None, batch).name, type(self).__name__)
        self.check_head(student)
        self.per_token = student.logits.dim() == 3

    def items(self, batch: Batch) -> torch.Tensor:
        if SOFT_ITEMS in batch:
            return batch[SOFT_ITEMS].bool()
        if not self.per_token:
            return every_example(batch)
        if self._over_positions_of_text:  # start and end of an answer
            return every_example(batch).unsqueeze(1).expand(-1, 2) if "labels" not in batch else batch["labels"] >= 0
        return batch["labels"] >= 0 if "labels" in batch else batch["attention_mask"].bool()

    def metrics(self, student: Signals, teacher: Signals, batch: Batch) -> dict[str, torch.Tensor]:
        if self._losses.agreement is None:
            return {}
        return {"agreement": self._losses.agreement(student, teacher)}


class SoftTargets(TeacherPredictions):
    """Match the teacher's softened class probabilities: all of them, or the stored part (`Signals.sparse`).

    Args:
        weight (`float` or `Schedule`): `kd_ratio` in the default objective.
        temperature (`float` or `Schedule`): Greater than 0; a higher one gives more weight to how the teacher ranks the
            wrong classes.
        problem_type (`str`): Name of the problem kind: softmax for single-label, a sigmoid per label for multi-label
            classification.
        head (`str`, *optional*): A module of the student whose logits are read instead of the model's. Agreement is
            computed from the model's.

    Raises:
        ValueError: Regression: one number has no distribution over classes. A stored part of a distribution with another
            temperature, or over other classes than the student's.
    """

    name = "soft"
    paper = "Hinton et al. 2015, Distilling the Knowledge in a Neural Network"
    needs_logits = False

    def __init__(
        self,
        weight: Scheduled,
        *,
        temperature: Scheduled,
        problem_type: str = "single_label_classification",
        head: str | None = None,
    ):
        super().__init__(weight, problem_type=problem_type)
        self.read_from(head)
        self.temperature = self.follow("temperature", temperature, valid_temperature)
        loss = self._losses.soft_loss
        if loss is None:
            raise ValueError(
                f"SoftTargets compare class probabilities, and problem_type={shown(problem_type)} has none: a KL "
                f"divergence over one number is always 0. Use LogitMatching, as the default objective of a regression."
            )
        self._loss = loss

    def setup(self, student: Signals, teacher: Signals, batch: Batch) -> None:
        super().setup(student, teacher, batch)
        if teacher.sparse is not None:
            check_exclusive_classes(self.problem_type, "SoftTargets on a stored part of a teacher's distribution")
            self._check_no_schedule(teacher.sparse)
            _check_vocabulary(student, teacher.sparse)

    def values(self, student: Signals, teacher: Signals, batch: Batch) -> torch.Tensor:
        if teacher.sparse is not None:
            return self._sparse_values(student, teacher.sparse)
        return self._loss(self.logits_of(student), teacher.at(self.temperature), temperature=self.temperature)

    def _check_no_schedule(self, targets: SparseTargets) -> None:
        schedule = self.schedules.get("temperature")
        if schedule is not None:
            raise ValueError(
                f"The temperature of SoftTargets goes from {schedule.start:g} to {schedule.end:g}, and the stored part of "
                f"the teacher's distribution has temperature {targets.temperature:g}, which cannot change. Give one "
                f"temperature, or store all of the teacher's logits (float16), or use a teacher that runs."
            )

    def _sparse_values(self, student: Signals, targets: SparseTargets) -> torch.Tensor:
        if targets.temperature != self.temperature:
            raise ValueError(
                f"The teacher's distribution was softened at temperature {targets.temperature:g} before a part of it was "
                f"stored, and SoftTargets soften the student's at {self.temperature:g}, so the two cannot match. Set "
                f"temperature={targets.temperature:g}, or rebuild the cache at {self.temperature:g}."
            )
        return sparse_target_kl(
            self.logits_of(student),
            targets.ids,
            targets.weights,
            temperature=self.temperature,
            rest=targets.rest,
            entropy=targets.entropy,
        )

    def settings(self) -> dict[str, Any]:
        head = {} if self.head is None else {"head": self.head}
        return {"temperature": self.temperature, "problem_type": self.problem_type, **head}


def _check_vocabulary(student: Signals, targets: SparseTargets) -> None:
    if student.logits.shape[-1] != targets.vocabulary:
        raise ValueError(
            f"The student has {student.logits.shape[-1]} classes (logits of shape {tuple(student.logits.shape)}), and the "
            f"teacher's distribution is over {targets.vocabulary}, so their tokens differ. Give both one vocabulary."
        )


class TeacherLabels(TeacherPredictions):
    """Use the most probable class of the teacher as the label: cross-entropy (hard distillation).

    Args:
        weight (`float` or `Schedule`): 0.5 in the paper, with 0.5 for the labels.
        problem_type (`str`): Must have classes that exclude each other; others raise.
        head (`str`, *optional*): A module of the student whose logits are read instead of the model's. Agreement is
            computed from the model's.

    Raises:
        ValueError: Another problem kind; a head that does not exist, or has logits of another shape.
    """

    name = "teacher_labels"
    paper = "Touvron et al. 2021, Training data-efficient image transformers & distillation through attention"

    def __init__(
        self, weight: Scheduled, *, problem_type: str = "single_label_classification", head: str | None = None
    ):
        super().__init__(weight, problem_type=problem_type)
        self.read_from(head)
        check_exclusive_classes(problem_type, "TeacherLabels")

    def values(self, student: Signals, teacher: Signals, batch: Batch) -> torch.Tensor:
        return cross_entropy(self.logits_of(student), teacher.best())

    def settings(self) -> dict[str, Any]:
        return {} if self.head is None else {"head": self.head}


class LogitMatching(TeacherPredictions):
    """Match the teacher's logits by squared distance; for a regression, the teacher's number.

    Args:
        weight (`float` or `Schedule`): `kd_ratio` in the default objective of a regression.
        problem_type (`str`): Decides how agreement is computed; the loss is the same.
    """

    name = "logits"
    paper = "Ba and Caruana 2014, Do Deep Nets Really Need to be Deep?"
    over_positions = False

    def __init__(self, weight: Scheduled, *, problem_type: str = "single_label_classification"):
        super().__init__(weight, problem_type=problem_type)

    def values(self, student: Signals, teacher: Signals, batch: Batch) -> torch.Tensor:
        return logit_mse(student.logits, teacher.logits)


_EMBEDDING_PAPERS = {
    "mse": "Reimers and Gurevych 2020, Making Monolingual Sentence Embeddings Multilingual using Knowledge Distillation",
    "cosine": "Sanh et al. 2019, DistilBERT, a distilled version of BERT",
}


class EmbeddingMatching(TeacherPredictions):
    """Match the teacher's embedding of every text or image.

    Where the student's embedding is narrower, a linear map without bias projects it to the teacher's width. The map is
    trained with the student and is not part of it. It may rotate and stretch vectors, so the similarities between the
    student's own vectors need not become the teacher's. `SimilarityTargets` compares these and is the better choice then.

    Args:
        weight (`float` or `Schedule`): `kd_ratio` in the default objective of embeddings.
        distance (`str`): "cosine": only the direction counts. "mse": the length counts, too; of vectors of length 1 it is
            the same up to a factor of 2 / width.
        problem_type (`str`): "embedding" for texts in pairs, "identity" for images labeled with identities.

    Raises:
        ValueError: An unknown distance; outputs that are not one row for each example.
    """

    name = "embedding"

    def __init__(self, weight: Scheduled, *, distance: str = "cosine", problem_type: str = "embedding"):
        super().__init__(weight, problem_type=problem_type)
        if distance not in DISTANCES:
            raise ValueError(f"distance must be one of {', '.join(DISTANCES)}; got {shown(distance)}.")
        self.distance, self.paper = distance, _EMBEDDING_PAPERS[distance]
        self._loss, _ = DISTANCES[distance]
        self.projection: nn.Module = nn.Identity()

    def setup(self, student: Signals, teacher: Signals, batch: Batch) -> None:
        super().setup(student, teacher, batch)
        shapes = {tuple(signals.logits.shape) for signals in (student, teacher)}
        if any(len(shape) != 2 for shape in shapes):
            raise ValueError(
                f"EmbeddingMatching compares one vector a text or image, shape (batch, width); got {sorted(shapes)}. Use "
                f"HiddenStates for tokens."
            )
        self.projection = projection(student.logits, teacher.logits)

    def values(self, student: Signals, teacher: Signals, batch: Batch) -> torch.Tensor:
        return self._loss(self.projection(upcast(student.logits)), teacher.logits)

    def settings(self) -> dict[str, Any]:
        return {"distance": self.distance, "projected": not isinstance(self.projection, nn.Identity)}
