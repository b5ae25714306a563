"""Teachers: a batch goes in, Signals come out, never a gradient."""

from .base import Teacher
from .cached import CachedTeacher
from .caching import build_cache
from .ensemble import TeacherEnsemble
from .labels import label_order, reorder
from .online import OnlineTeacher, as_teacher, load_teacher
from .own_columns import OwnColumns
from .probe import ProbeResult, probe
from .zero_shot import ZeroShotClassifier

__all__ = [
    "CachedTeacher",
    "OnlineTeacher",
    "OwnColumns",
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
