"""Learning from what the teacher predicts."""

from ..losses import cross_entropy, logit_mse, sparse_target_kl
from ..signals.columns import SOFT_ITEMS
from ..signals.forward import predicts_spans
from ..signals.problem_kinds import problem_kind_of
from .base import Term, every_example, positive
from .problem_kinds import check_exclusive_classes, check_label_per_prediction, kind_objective


class TeacherPredictions(Term):
    """What terms on the teacher's logits share: which items count, and how often both models agree.

    An item is a sequence where logits have two dimensions, a token where they have three. A task may say which count
    by a column "soft_items". Otherwise all sequences do, and a token where it has a label, or, without labels, where the
    attention mask is 1.

    Of a model that marks spans, the two items of a sequence are where an answer begins and where it ends.
    """

    over_positions = True  # what it makes of logits does not depend on the padding among them

    def __init__(self, weight, *, problem_type):
        super().__init__(weight)
        self.problem_type = problem_type
        self.per_token = False
        self._losses = kind_objective(problem_type)
        check_label_per_prediction(problem_type, type(self).__name__)

    def resolve_layers(self, student, teacher):
        if predicts_spans(student) and not self.over_positions:
            raise ValueError(
                f"{type(self).__name__} takes a mean over all logits of an item, and {type(student).__name__} has one for "
                f"each position of a text, padding included: the loss would depend on the padding. Use SoftTargets."
            )

    def setup(self, student, teacher, batch):
        check_label_per_prediction(problem_kind_of(None, batch).name, type(self).__name__)
        self.check_head(student)
        self.per_token = student.logits.dim() == 3

    def items(self, batch):
        if SOFT_ITEMS in batch:
            return batch[SOFT_ITEMS].bool()
        if not self.per_token:
            return every_example(batch)
        return batch["labels"] >= 0 if "labels" in batch else batch["attention_mask"].bool()

    def metrics(self, student, teacher, batch):
        if self._losses.agreement is None:
            return {}
        return {"agreement": self._losses.agreement(student, teacher)}


class SoftTargets(TeacherPredictions):
    """Match the teacher's softened class probabilities, all of them or the parts that were kept (`Signals.sparse`).

    Args:
        weight (`float`): `kd_ratio` in the default objective.
        temperature (`float` or `Schedule`): Greater than 0; higher shows more of how the teacher ranks the wrong
            classes.
        problem_type (`str`): Softmax for single-label, a sigmoid per label for multi-label classification.
        head (`str`, *optional*): A module of the student whose logits are read instead of the model's. Agreement stays
            that of the model's.

    Raises:
        ValueError: Regression: one number has no distribution over classes. Parts of a distribution that was softened at
            another temperature, or that are of other classes than the student's.
    """

    name = "soft"
    paper = "Hinton et al. 2015, Distilling the Knowledge in a Neural Network"
    needs_logits = False

    def __init__(self, weight, *, temperature, problem_type="single_label_classification", head=None):
        super().__init__(weight, problem_type=problem_type)
        self.read_from(head)
        self.temperature = self.follow("temperature", temperature, positive)
        if self._losses.soft_loss is None:
            raise ValueError(
                f"SoftTargets compare class probabilities, and problem_type={problem_type!r} has none: a KL "
                f"divergence over one number is always 0. Use LogitMatching, as the default objective of a regression."
            )

    def setup(self, student, teacher, batch):
        super().setup(student, teacher, batch)
        if teacher.sparse is not None:
            check_exclusive_classes(self.problem_type, "SoftTargets on a teacher's distribution kept in parts")
            self._check_standing(teacher.sparse)
            _check_vocabulary(student, teacher.sparse)

    def values(self, student, teacher, batch):
        if teacher.sparse is not None:
            return self._of_parts(student, teacher.sparse)
        return self._losses.soft_loss(
            self.logits_of(student), teacher.at(self.temperature), temperature=self.temperature
        )

    def _check_standing(self, targets):
        schedule = self.schedules.get("temperature")
        if schedule is not None:
            raise ValueError(
                f"The temperature of SoftTargets goes from {schedule.start:g} to {schedule.end:g}, and parts of the "
                f"teacher's distribution were kept at {targets.temperature:g}: they cannot follow. Give one "
                f"temperature, or keep all of the teacher's logits (float16), or ask it at every step."
            )

    def _of_parts(self, student, targets):
        if targets.temperature != self.temperature:
            raise ValueError(
                f"The teacher's distribution was softened at temperature {targets.temperature:g} before parts of it were "
                f"kept, and SoftTargets soften the student's at {self.temperature:g}: the two would never meet. Set "
                f"temperature={targets.temperature:g}, or keep the teacher's answers anew at {self.temperature:g}."
            )
        return sparse_target_kl(
            self.logits_of(student),
            targets.ids,
            targets.weights,
            temperature=self.temperature,
            rest=targets.rest,
            entropy=targets.entropy,
        )

    def settings(self):
        head = {} if self.head is None else {"head": self.head}
        return {"temperature": self.temperature, "problem_type": self.problem_type, **head}


def _check_vocabulary(student, targets):
    if student.logits.shape[-1] != targets.vocabulary:
        raise ValueError(
            f"The student has {student.logits.shape[-1]} classes (logits of shape {tuple(student.logits.shape)}), and the "
            f"teacher's distribution was over {targets.vocabulary}: a token would be another one. Give both one vocabulary."
        )


class TeacherLabels(TeacherPredictions):
    """Take the class the teacher finds best for a label: cross-entropy (hard distillation).

    Args:
        weight (`float` or `Schedule`): 0.5 in the paper, beside 0.5 for the labels.
        problem_type (`str`): Must be single-label; anything else is refused.
        head (`str`, *optional*): A module of the student whose logits are read instead of the model's. Agreement stays
            that of the model's.

    Raises:
        ValueError: Another problem; a head that is not there, or gives no such logits.
    """

    name = "teacher_labels"
    paper = "Touvron et al. 2021, Training data-efficient image transformers & distillation through attention"

    def __init__(self, weight, *, problem_type="single_label_classification", head=None):
        super().__init__(weight, problem_type=problem_type)
        self.read_from(head)
        check_exclusive_classes(problem_type, "TeacherLabels")

    def values(self, student, teacher, batch):
        return cross_entropy(self.logits_of(student), teacher.best())

    def settings(self):
        return {} if self.head is None else {"head": self.head}


class LogitMatching(TeacherPredictions):
    """Match the teacher's logits by squared distance; for a regression, the teacher's number.

    Args:
        weight (`float`): `kd_ratio` in the default objective of a regression.
        problem_type (`str`): Decides how agreement is read; the loss is the same.
    """

    name = "logits"
    paper = "Ba and Caruana 2014, Do Deep Nets Really Need to be Deep?"
    over_positions = False

    def __init__(self, weight, *, problem_type="single_label_classification"):
        super().__init__(weight, problem_type=problem_type)

    def values(self, student, teacher, batch):
        return logit_mse(student.logits, teacher.logits)
