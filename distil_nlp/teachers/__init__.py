"""Teachers: a batch goes in, Signals come out, never a gradient."""

from .base import Teacher
from .cache.build import build_cache
from .cache.teacher import CachedTeacher
from .ensemble import TeacherEnsemble
from .online import OnlineTeacher, as_teacher, load_teacher
from .probe import ProbeResult, probe
from .reconcile import label_order, reorder
from .separate_inputs import SeparateInputs
from .zero_shot import ZeroShotClassifier

__all__ = [
    "CachedTeacher",
    "OnlineTeacher",
    "SeparateInputs",
    "ProbeResult",
    "Teacher",
    "TeacherEnsemble",
    "ZeroShotClassifier",
    "as_teacher",
    "build_cache",
    "label_order",
    "load_teacher",
    "probe",
    "reorder",
]
