"""The training arguments of transformers, and the few that distillation adds."""

import copy
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal, get_args

from transformers import TrainingArguments

from ..internals.messages import listed, shown
from ..internals.numbers import (
    COUNT,
    FRACTION,
    NOT_NEGATIVE,
    POSITIVE,
    SEED,
    TEMPERATURE,
    Interval,
    check_numbers,
)
from ..signals.columns import LABELS, SPAN_LABELS, TASK_COLUMNS

if TYPE_CHECKING:
    from ..objectives import Objective

TeacherDtype = Literal["float32", "bfloat16", "float16"]
KdSchedule = Literal["constant", "linear", "cosine"]
# The settings of the default objective and their defaults.
NO_BLEND = {
    "temperature": None, "kd_ratio": None, "temperature_end": None, "kd_ratio_end": None, "kd_schedule": "constant",
}  # fmt: skip

# The ranges of the settings that are numbers, those of transformers included.
INTERVALS = {
    **dict.fromkeys(("temperature", "temperature_end"), TEMPERATURE),
    **dict.fromkeys(("kd_ratio", "kd_ratio_end", "warmup_ratio"), FRACTION),
    **dict.fromkeys(
        ("learning_rate", "weight_decay", "adam_epsilon", "max_grad_norm", "warmup_steps", "num_train_epochs"),
        NOT_NEGATIVE,
    ),
    **dict.fromkeys(("adam_beta1", "adam_beta2"), Interval(0, below=1)),
    **dict.fromkeys(("logging_steps", "save_steps", "eval_steps"), POSITIVE),
    **dict.fromkeys(
        ("per_device_train_batch_size", "per_device_eval_batch_size", "gradient_accumulation_steps"), COUNT
    ),
    **dict.fromkeys(("seed", "data_seed"), SEED),
    "max_steps": Interval(-1, whole=True),
    "dataloader_num_workers": Interval(0, 1024, whole=True),  # each is a process
}


@dataclass
class DistillationTrainingArguments(TrainingArguments):
    """`transformers.TrainingArguments` with the settings of distillation.

    Two defaults differ: `train_sampling_strategy` is "group_by_length", with a seeded sampler of this package, and
    `logging_nan_inf_filter` is False: a loss that is NaN or infinite ends the training, and is not logged as 0.
    A setting that could have no effect is an error.

    Raises:
        ValueError: A number outside its range (`INTERVALS`), a schedule without an end or an end without a schedule, an
            unknown dtype, label smoothing.
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
    temperature_end: float | None = field(
        default=None, metadata={"help": "Value of temperature at the last step, reached by kd_schedule."}
    )
    kd_ratio_end: float | None = field(
        default=None,
        metadata={"help": "Value of kd_ratio at the last step, reached by kd_schedule; 0: labels only at the end."},
    )
    kd_schedule: KdSchedule = field(
        default="constant",
        metadata={
            "help": "How temperature and kd_ratio change to their end values over the training: linear, or cosine, which "
            "starts and ends slowly. constant: no change."
        },
    )
    teacher_dtype: TeacherDtype = field(
        default="float32",
        metadata={
            "help": "Precision of a teacher given by name: float32, bfloat16 or float16. Half precision is faster on GPUs; "
            "the loss is always computed in float32."
        },
    )
    eval_with_teacher: bool = field(
        default=False,
        metadata={"help": "Run the teacher during evaluation, too: adds its loss terms and agreement to the metrics."},
    )
    logging_nan_inf_filter: bool = field(
        default=False,
        metadata={"help": "Without effect: a loss that is NaN or infinite ends the training, so none is logged."},
    )
    train_sampling_strategy: str = field(
        default="group_by_length",
        metadata={
            "help": "Order of the training examples: group_by_length (seeded, resumes bit-identically), random, "
            "sequential or batch_rebalance."
        },
    )

    def __post_init__(self) -> None:
        check_numbers(self, INTERVALS)
        super().__post_init__()
        self._check_schedule()
        if self.teacher_dtype not in get_args(TeacherDtype):
            raise ValueError(
                f"teacher_dtype must be one of {', '.join(get_args(TeacherDtype))}; got {shown(self.teacher_dtype)}."
            )
        if unread := [name for name in self.label_names or () if name not in TASK_COLUMNS]:
            raise ValueError(
                f"label_names={shown(self.label_names)} would have no effect: labels are read from a column named "
                f"{' or '.join(LABELS)}, or from {' and '.join(SPAN_LABELS)}. Rename the column {listed(unread)}."
            )
        if self.label_smoothing_factor:
            raise ValueError(
                f"label_smoothing_factor={self.label_smoothing_factor} would have no effect: the loss is the "
                f"objective's, and soft targets are already smooth. Set it to 0."
            )

    def __getstate__(self) -> dict[str, Any]:
        """The fields without tokens: Trainer pickles its arguments into training_args.bin."""
        return {name: None if name.endswith("_token") else value for name, value in vars(self).items()}

    def __deepcopy__(self, memo: dict[int, Any]) -> "DistillationTrainingArguments":
        """A copy in this process, with the tokens."""
        copied = object.__new__(type(self))
        copied.__dict__.update({name: copy.deepcopy(value, memo) for name, value in vars(self).items()})
        return copied

    def __copy__(self) -> "DistillationTrainingArguments":
        """A copy in this process, with the tokens."""
        copied = object.__new__(type(self))
        copied.__dict__.update(vars(self))
        return copied

    def _check_schedule(self) -> None:
        if self.kd_schedule not in get_args(KdSchedule):
            raise ValueError(
                f"kd_schedule must be one of {', '.join(get_args(KdSchedule))}; got {shown(self.kd_schedule)}."
            )
        ends = {
            name: value for name in ("temperature_end", "kd_ratio_end") if (value := getattr(self, name)) is not None
        }
        if ends and self.kd_schedule == "constant":
            raise ValueError(
                f"{format_settings(ends)} would have no effect: kd_schedule is 'constant'. "
                f"Set kd_schedule to linear or cosine."
            )
        if not ends and self.kd_schedule != "constant":
            raise ValueError(
                f"kd_schedule={shown(self.kd_schedule)} would have no effect: neither temperature nor kd_ratio has an end "
                f"value. Set temperature_end or kd_ratio_end."
            )


def objective_settings(args: "DistillationTrainingArguments") -> dict[str, Any]:
    """The settings of the default objective by name, for `default_objective`."""
    return {name: getattr(args, name) for name in NO_BLEND}


def format_settings(settings: Mapping[str, Any]) -> str:
    """`temperature=3, kd_ratio=0.5`: those of the settings of the default objective that differ from their defaults."""
    changed = {name: value for name, value in settings.items() if value != NO_BLEND[name]}
    return ", ".join(f"{name}={value if isinstance(value, str) else f'{value:g}'}" for name, value in changed.items())


def check_unused(
    args: TrainingArguments, objective: "Objective | None", teacher: object, kwargs: Mapping[str, Any]
) -> None:
    """Raise for arguments of a trainer that would have no effect, or that are missing.

    Args:
        args: Expected to be `DistillationTrainingArguments`.
        objective (`Objective`, *optional*), teacher (*optional*), kwargs (`dict`): The trainer's.

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
            f"compute_loss_func={shown(kwargs['compute_loss_func'])} would have no effect: the loss is the objective's. "
            f"Write a Term and pass `objective=Objective([...])`."
        )
    if objective is None:
        return
    if unused := format_settings(objective_settings(args)):
        raise ValueError(
            f"Got an objective and {unused}; these set the default objective and would have no effect on yours. Set "
            f"them on its terms: {', '.join(objective.names)}."
        )
    if objective.needs_teacher and teacher is None:
        needing = [name for name, term in zip(objective.names, objective.terms, strict=True) if term.needs_teacher]
        raise ValueError(f"The terms {', '.join(needing)} compare with a teacher, and none was given (teacher=None).")
