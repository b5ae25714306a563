"""Which student tensor meets which teacher tensor, and with what weight."""

from .base import Objective, Term, kd_weight, positive
from .default import default_objective
from .hints import Hint
from .labels import HardLabels
from .soft import LogitMatching, SoftTargets

__all__ = [
    "HardLabels",
    "Hint",
    "LogitMatching",
    "Objective",
    "SoftTargets",
    "Term",
    "default_objective",
    "kd_weight",
    "positive",
]
