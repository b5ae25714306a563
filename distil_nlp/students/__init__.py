"""Students: out of the teacher's layers, of a given size, from the Hub, or any module that returns logits."""

from .build import build_student, student_start
from .from_config import pca_embeddings, student_from_config
from .from_teacher import student_from_teacher
from .frozen_encoder import freeze_encoder, share_encoder
from .sizes import DEFAULT_LAYER_CHOICE, choose_layers
from .transfer import TransferReport, transfer_weights
from .vocabulary import TrimmedVocabulary, trim_vocabulary

__all__ = [
    "DEFAULT_LAYER_CHOICE",
    "TransferReport",
    "TrimmedVocabulary",
    "build_student",
    "choose_layers",
    "freeze_encoder",
    "pca_embeddings",
    "share_encoder",
    "student_from_config",
    "student_from_teacher",
    "student_start",
    "transfer_weights",
    "trim_vocabulary",
]
