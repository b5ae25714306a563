"""Objectives: weighted sums of terms, each a comparison of student and teacher, or of student and labels."""

from .attention import Attention, Relations
from .base import Term, positive
from .boxes import BoxLabels, QueryLabels, QuerySoftTargets
from .class_targets import ClassCorrelation, DecoupledSoftTargets, NormalizedSoftTargets, StandardizedSoftTargets
from .ctc import CtcLabels, CtcSoftTargets, CtcTranscript
from .default import default_objective, kd_weight
from .from_config import objective_from, register_term
from .hard_labels import HardLabels
from .hidden import HiddenStates, PatientStates
from .kind_objectives import KindObjective, register_kind_objective
from .layers import layer_pairs
from .maps import AttentionMaps, ChannelMaps, FeatureMaps, PearsonMaps
from .margins import MarginLabels
from .objective import Objective
from .presets import PRESETS, preset
from .relational import BatchCorrelation, RelationalAngle, RelationalDistance, SimilarityPreserving, SimilarityTargets
from .schedules import Schedule
from .soft import EmbeddingMatching, LogitMatching, SoftTargets, TeacherLabels

__all__ = [
    "PRESETS",
    "Attention",
    "AttentionMaps",
    "BatchCorrelation",
    "BoxLabels",
    "ChannelMaps",
    "ClassCorrelation",
    "CtcLabels",
    "CtcSoftTargets",
    "CtcTranscript",
    "DecoupledSoftTargets",
    "EmbeddingMatching",
    "FeatureMaps",
    "HardLabels",
    "HiddenStates",
    "KindObjective",
    "LogitMatching",
    "MarginLabels",
    "NormalizedSoftTargets",
    "Objective",
    "PatientStates",
    "PearsonMaps",
    "QueryLabels",
    "QuerySoftTargets",
    "RelationalAngle",
    "RelationalDistance",
    "Relations",
    "Schedule",
    "SimilarityPreserving",
    "SimilarityTargets",
    "SoftTargets",
    "StandardizedSoftTargets",
    "TeacherLabels",
    "Term",
    "default_objective",
    "kd_weight",
    "layer_pairs",
    "objective_from",
    "positive",
    "preset",
    "register_kind_objective",
    "register_term",
]
