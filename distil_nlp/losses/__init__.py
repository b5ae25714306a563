"""Distillation losses: tensors in, one value per item out, never reduced. Imports torch only."""

from .features import hidden_mse
from .hard import binary_cross_entropy, cross_entropy, squared_error
from .reduction import mean_over_items
from .soft import logit_mse, soft_target_bce, soft_target_kl

__all__ = [
    "binary_cross_entropy",
    "cross_entropy",
    "hidden_mse",
    "logit_mse",
    "mean_over_items",
    "soft_target_bce",
    "soft_target_kl",
    "squared_error",
]
