"""Settings that move during training, such as a temperature that cools."""

import math
from dataclasses import asdict, dataclass

_SHAPES = {
    "linear": lambda progress: progress,
    "cosine": lambda progress: (1 - math.cos(math.pi * progress)) / 2,
}
SHAPES = tuple(_SHAPES)


@dataclass(frozen=True)
class Schedule:
    """A number that goes from one value to another over a training. A constant is a plain number.

    Papers let the teacher's share fall linearly to 0, so that labels have the last word (teacher annealing: Clark et
    al. 2019, BAM! Born-Again Multi-Task Networks), and let what the teacher says go from soft to sharp (Jafari et al.
    2021, Annealing Knowledge Distillation, which scales its logits under a squared distance and ends on the labels).
    Li et al. 2023, Curriculum Temperature for Knowledge Distillation, learn the temperature instead: no schedule does it.

    Args:
        start, end (`float`): Values of the first and of the last optimizer step.
        schedule (`str`): "linear", or "cosine", which starts and ends slowly.

    Raises:
        ValueError: An unknown schedule; an end that is no number.
    """

    start: float
    end: float
    schedule: str = "linear"

    def __post_init__(self):
        if self.schedule not in _SHAPES:
            raise ValueError(
                f"schedule must be {' or '.join(SHAPES)}; got {self.schedule!r}. For a constant give a plain number."
            )
        for name in ("start", "end"):
            value = getattr(self, name)
            if isinstance(value, bool) or not isinstance(value, (int, float)) or not math.isfinite(value):
                raise ValueError(f"The {name} of a schedule must be a number; got {value!r}.")

    @classmethod
    def of(cls, value):
        """`value` as a schedule where it is one or spells one out ({"start": 4, "end": 1}); None for a plain number.

        Raises:
            ValueError: A mapping with other keys.
        """
        if not isinstance(value, dict):
            return value if isinstance(value, cls) else None
        if not {"start", "end"} <= value.keys() <= {"start", "end", "schedule"}:
            raise ValueError(
                f"A setting that moves is written {{start: 4, end: 1, schedule: linear}}, the last of which may be left "
                f"out; got {value!r}."
            )
        return cls(**value)

    def at(self, progress):
        """The value at a part of the training, 0 (first step) to 1 (last step); exactly start and end there."""
        part = _SHAPES[self.schedule](progress)
        return (1 - part) * self.start + part * self.end

    def rest(self):
        """The schedule of 1 minus this: with it the two always add up to 1."""
        return Schedule(1 - self.start, 1 - self.end, self.schedule)

    def to_dict(self):
        """As YAML may hold it, and as `of` reads it."""
        return asdict(self)
