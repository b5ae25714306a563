"""Knowledge distillation for people who live in the Hugging Face stack.

Importing torch and transformers takes seconds, so `import distil_nlp` imports neither: a public name brings its
module with it when it is first used.
"""

from importlib import import_module
from typing import TYPE_CHECKING

from .internals.imports import guard_torchvision

__version__ = "0.1.0"

_NAMES = {
    "models": ["NetworkForImageClassification", "image_processor_for", "register_network"],
    "training.arguments": ["DistillationTrainingArguments"],
    "data.examples": ["add_example_ids"],
    "evaluation": ["compare", "predict_logits"],
    "hub": ["model_card", "push_to_hub"],
    "objectives": [
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
        "objective_from",
        "register_term",
    ],
    "models.pixel_preprocessor": ["PixelPreprocessor"],
    "models.sentence_encoder": ["SentenceEncoder"],
    "signals.base": ["Signals", "SparseTargets"],
    "teachers.cache.sparse": ["SampledFormat", "TopKFormat"],
    "students": ["build_student", "student_from_config", "student_from_teacher", "trim_vocabulary"],
    "signals.taps": ["FeatureTap"],
    "tasks": [
        "FaceVerification",
        "ImageClassification",
        "MaskedLanguageModeling",
        "ObjectDetection",
        "QuestionAnswering",
        "SentenceEmbeddings",
        "TextClassification",
        "TokenClassification",
    ],
    "teachers": [
        "CachedTeacher",
        "OnlineTeacher",
        "SeparateInputs",
        "TeacherEnsemble",
        "build_cache",
        "ZeroShotClassifier",
        "load_teacher",
    ],
    "training.trainer": ["DistillationTrainer"],
    "augmentation": ["ImageAugmentation"],
}
guard_torchvision()
_HOME = {name: module for module, names in _NAMES.items() for name in names}

__all__ = ["__version__", *_HOME]

if TYPE_CHECKING:  # the same list for type checkers and editors; tests/test_import.py compares the two
    from .augmentation import ImageAugmentation as ImageAugmentation
    from .data.examples import add_example_ids as add_example_ids
    from .evaluation import compare as compare
    from .evaluation import predict_logits as predict_logits
    from .hub import model_card as model_card
    from .hub import push_to_hub as push_to_hub
    from .models import NetworkForImageClassification as NetworkForImageClassification
    from .models import image_processor_for as image_processor_for
    from .models import register_network as register_network
    from .models.pixel_preprocessor import PixelPreprocessor as PixelPreprocessor
    from .models.sentence_encoder import SentenceEncoder as SentenceEncoder
    from .objectives import Attention as Attention
    from .objectives import AttentionMaps as AttentionMaps
    from .objectives import BatchCorrelation as BatchCorrelation
    from .objectives import BoxLabels as BoxLabels
    from .objectives import ChannelMaps as ChannelMaps
    from .objectives import ClassCorrelation as ClassCorrelation
    from .objectives import CtcLabels as CtcLabels
    from .objectives import CtcSoftTargets as CtcSoftTargets
    from .objectives import CtcTranscript as CtcTranscript
    from .objectives import DecoupledSoftTargets as DecoupledSoftTargets
    from .objectives import EmbeddingMatching as EmbeddingMatching
    from .objectives import FeatureMaps as FeatureMaps
    from .objectives import HardLabels as HardLabels
    from .objectives import HiddenStates as HiddenStates
    from .objectives import LogitMatching as LogitMatching
    from .objectives import MarginLabels as MarginLabels
    from .objectives import NormalizedSoftTargets as NormalizedSoftTargets
    from .objectives import Objective as Objective
    from .objectives import PatientStates as PatientStates
    from .objectives import PearsonMaps as PearsonMaps
    from .objectives import QueryLabels as QueryLabels
    from .objectives import QuerySoftTargets as QuerySoftTargets
    from .objectives import RelationalAngle as RelationalAngle
    from .objectives import RelationalDistance as RelationalDistance
    from .objectives import Relations as Relations
    from .objectives import Schedule as Schedule
    from .objectives import SimilarityPreserving as SimilarityPreserving
    from .objectives import SimilarityTargets as SimilarityTargets
    from .objectives import SoftTargets as SoftTargets
    from .objectives import StandardizedSoftTargets as StandardizedSoftTargets
    from .objectives import TeacherLabels as TeacherLabels
    from .objectives import Term as Term
    from .objectives import objective_from as objective_from
    from .objectives import register_term as register_term
    from .signals.base import Signals as Signals
    from .signals.base import SparseTargets as SparseTargets
    from .signals.taps import FeatureTap as FeatureTap
    from .students import build_student as build_student
    from .students import student_from_config as student_from_config
    from .students import student_from_teacher as student_from_teacher
    from .students import trim_vocabulary as trim_vocabulary
    from .tasks import FaceVerification as FaceVerification
    from .tasks import ImageClassification as ImageClassification
    from .tasks import MaskedLanguageModeling as MaskedLanguageModeling
    from .tasks import ObjectDetection as ObjectDetection
    from .tasks import QuestionAnswering as QuestionAnswering
    from .tasks import SentenceEmbeddings as SentenceEmbeddings
    from .tasks import TextClassification as TextClassification
    from .tasks import TokenClassification as TokenClassification
    from .teachers import CachedTeacher as CachedTeacher
    from .teachers import OnlineTeacher as OnlineTeacher
    from .teachers import SeparateInputs as SeparateInputs
    from .teachers import TeacherEnsemble as TeacherEnsemble
    from .teachers import ZeroShotClassifier as ZeroShotClassifier
    from .teachers import build_cache as build_cache
    from .teachers import load_teacher as load_teacher
    from .teachers.cache.sparse import SampledFormat as SampledFormat
    from .teachers.cache.sparse import TopKFormat as TopKFormat
    from .training.arguments import DistillationTrainingArguments as DistillationTrainingArguments
    from .training.trainer import DistillationTrainer as DistillationTrainer


def __getattr__(name):
    if name not in _HOME:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}. It offers {', '.join(__all__)}.")
    value = getattr(import_module(f".{_HOME[name]}", __name__), name)
    globals()[name] = value  # found without this function from now on
    return value


def __dir__():
    return sorted({*globals(), *__all__})
