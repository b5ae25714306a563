"""The training arguments of transformers, and the few that distillation adds."""

from dataclasses import dataclass, field
from typing import Literal, get_args

from transformers import TrainingArguments

TeacherDtype = Literal["float32", "bfloat16", "float16"]


@dataclass
class DistillationTrainingArguments(TrainingArguments):
    """Everything `transformers.TrainingArguments` takes, and what distillation adds.

    One default differs: `train_sampling_strategy` is "group_by_length", by our own seeded sampler.
    A setting that could have no effect is refused.

    Raises:
        ValueError: `kd_ratio` outside 0 to 1, `temperature` not above 0, an unknown dtype, label smoothing.
    """

    temperature: float | None = field(
        default=None,
        metadata={
            "help": "Softens both predictions before they are compared, greater than 0. It shapes the loss only. "
            "Default: 2. Not together with an objective of your own."
        },
    )
    kd_ratio: float | None = field(
        default=None,
        metadata={
            "help": "Weight of the soft targets, 0 to 1. The hard labels weigh 1 - kd_ratio. Default: 0.5, and 1 for "
            "data without labels. Not together with an objective of your own."
        },
    )
    teacher_dtype: TeacherDtype = field(
        default="float32",
        metadata={
            "help": "Precision a teacher given by name is loaded in: float32, bfloat16 or float16. Half precision pays "
            "on GPUs; the loss is computed in float32 whatever comes."
        },
    )
    eval_with_teacher: bool = field(
        default=False,
        metadata={"help": "Ask the teacher during evaluation, too: adds its loss terms and agreement to the metrics."},
    )
    train_sampling_strategy: str = field(
        default="group_by_length",
        metadata={
            "help": "How training meets its examples: group_by_length (seeded, resumes bit-identically), random, "
            "sequential or batch_rebalance."
        },
    )

    def __post_init__(self):
        super().__post_init__()
        if self.kd_ratio is not None and not 0 <= self.kd_ratio <= 1:
            raise ValueError(
                f"kd_ratio must lie in 0 to 1; got {self.kd_ratio!r}. It is the share of the soft targets; the hard "
                f"labels weigh 1 - kd_ratio, which would be {1 - self.kd_ratio:g}."
            )
        if self.temperature is not None and not self.temperature > 0:
            raise ValueError(f"temperature must be greater than 0; got {self.temperature!r}. 1 changes nothing.")
        if self.teacher_dtype not in get_args(TeacherDtype):
            raise ValueError(
                f"teacher_dtype must be one of {', '.join(get_args(TeacherDtype))}; got {self.teacher_dtype!r}."
            )
        if self.label_smoothing_factor:
            raise ValueError(
                f"label_smoothing_factor={self.label_smoothing_factor} would have no effect: the loss is the "
                f"objective's, and soft targets are already smooth. Set it to 0."
            )


def refuse_idle(args, objective, teacher, kwargs):
    """Refuse what a trainer was given and would not use.

    Args:
        args: Should be `DistillationTrainingArguments`.
        objective (`Objective`, *optional*), teacher (*optional*), kwargs (`dict`): As given to the trainer.

    Raises:
        TypeError, ValueError: See the messages.
    """
    if not isinstance(args, DistillationTrainingArguments):
        raise TypeError(
            f"args must be DistillationTrainingArguments; got {type(args).__name__}. It takes the same fields and adds "
            f"temperature and kd_ratio."
        )
    if kwargs.get("compute_loss_func") is not None:
        raise ValueError(
            f"compute_loss_func={kwargs['compute_loss_func']!r} would have no effect: the loss is the objective's. Write "
            f"a Term and pass `objective=Objective([...])`."
        )
    if objective is None:
        return
    idle = {name: getattr(args, name) for name in ("temperature", "kd_ratio") if getattr(args, name) is not None}
    if idle:
        raise ValueError(
            f"Got an objective and {', '.join(f'{name}={value:g}' for name, value in idle.items())}; these set the "
            f"default objective and would have no effect on yours. Set them on its terms: {', '.join(objective.names)}."
        )
    if objective.needs_teacher and teacher is None:
        needing = [name for name, term in zip(objective.names, objective.terms, strict=True) if term.needs_teacher]
        raise ValueError(f"The terms {', '.join(needing)} compare with a teacher, and none was given (teacher=None).")
