"""Settings that change during training, such as a temperature that falls."""

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

from ..internals.messages import shown

_SHAPES = {
    "linear": lambda progress: progress,
    "cosine": lambda progress: (1 - math.cos(math.pi * progress)) / 2,
}
SHAPES = tuple(_SHAPES)


@dataclass(frozen=True)
class Schedule:
    """A number that goes from one value to another over a training. A constant is a plain number.

    Papers lower the weight of the teacher linearly to 0, so that training ends on the labels (teacher annealing: Clark et
    al. 2019, BAM! Born-Again Multi-Task Networks), or lower the temperature of its predictions (Jafari et al. 2021,
    Annealing Knowledge Distillation, which scales its logits under a squared distance and ends on the labels). Li et al.
    2023, Curriculum Temperature for Knowledge Distillation, learn the temperature, which no schedule does.

    Args:
        start, end (`float`): Values of the first and of the last optimizer step.
        schedule (`str`): "linear", or "cosine", which starts and ends slowly.

    Raises:
        ValueError: An unknown schedule; a start or an end that is not a finite number.
    """

    start: float
    end: float
    schedule: str = "linear"

    def __post_init__(self) -> None:
        if self.schedule not in _SHAPES:
            raise ValueError(
                f"schedule must be {' or '.join(SHAPES)}; got {shown(self.schedule)}. For a constant give a plain number."
            )
        for name in ("start", "end"):
            value = getattr(self, name)
            if isinstance(value, bool) or not isinstance(value, (int, float)) or not math.isfinite(value):
                raise ValueError(f"The {name} of a schedule must be a number; got {shown(value)}.")

    @classmethod
    def of(cls, value: "Scheduled") -> "Schedule | None":
        """`value` as a schedule if it is one or a mapping of its fields ({"start": 4, "end": 1}); None for a number.

        Raises:
            ValueError: A mapping with other keys.
        """
        if not isinstance(value, dict):
            return value if isinstance(value, cls) else None
        if not {"start", "end"} <= value.keys() <= {"start", "end", "schedule"}:
            raise ValueError(
                f"A setting with a schedule is written {{start: 4, end: 1, schedule: linear}}, the last of which may be "
                f"omitted; got {shown(value)}."
            )
        return cls(**value)

    def at(self, progress: float) -> float:
        """The value at a fraction of the training, 0 (first step) to 1 (last step); exactly start and end there."""
        part = _SHAPES[self.schedule](progress)
        return (1 - part) * self.start + part * self.end

    def rest(self) -> "Schedule":
        """The schedule of 1 minus this: the two sum to 1 at every step."""
        return Schedule(1 - self.start, 1 - self.end, self.schedule)

    def to_dict(self) -> dict[str, Any]:
        """The mapping that `of` reads, for reports and YAML."""
        return asdict(self)


# A setting that may have a schedule: a number, a schedule, or a mapping of the fields of a schedule.
Scheduled = float | Schedule | Mapping[str, Any]
