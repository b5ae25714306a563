"""Distillation losses: tensors in, one value per item out, never reduced. Imports torch only."""

from .attention import attention_kl, attention_mse, dot_products
from .boxes import (
    box_distance,
    foreground_probability,
    generalized_iou,
    matching_cost,
    query_class_loss,
    query_soft_target_loss,
)
from .class_targets import decoupled_kl, normalized_soft_targets
from .correlation import batch_correlation, class_correlation
from .ctc import ctc_frame_kl, ctc_loss, ctc_transcript
from .ensemble import mean_number, mean_sigmoid, mean_softmax
from .hard import binary_cross_entropy, cross_entropy, squared_error
from .hidden import hidden_cosine, hidden_mse, mean_of_tokens, normalized_mse
from .maps import attention_transfer, channel_wise_kl, hint_mse, mean_of_pixels, pearson_maps, to_smaller_size
from .margins import angular_margin_loss, class_centers, cosine_margin_loss
from .reduction import mean_over_items
from .similarity import pair_cosine_error, relational_angle, relational_distance, similarity_kl, similarity_preserving
from .soft import logit_mse, soft_target_bce, soft_target_kl, sparse_target_kl, standardized_kl

__all__ = [
    "angular_margin_loss",
    "attention_kl",
    "attention_mse",
    "attention_transfer",
    "batch_correlation",
    "binary_cross_entropy",
    "box_distance",
    "channel_wise_kl",
    "class_centers",
    "class_correlation",
    "cosine_margin_loss",
    "cross_entropy",
    "ctc_frame_kl",
    "ctc_loss",
    "ctc_transcript",
    "decoupled_kl",
    "dot_products",
    "foreground_probability",
    "generalized_iou",
    "hidden_cosine",
    "hidden_mse",
    "hint_mse",
    "logit_mse",
    "matching_cost",
    "mean_number",
    "mean_of_pixels",
    "mean_of_tokens",
    "mean_over_items",
    "mean_sigmoid",
    "mean_softmax",
    "normalized_mse",
    "normalized_soft_targets",
    "pair_cosine_error",
    "pearson_maps",
    "query_class_loss",
    "query_soft_target_loss",
    "relational_angle",
    "relational_distance",
    "similarity_kl",
    "similarity_preserving",
    "soft_target_bce",
    "soft_target_kl",
    "sparse_target_kl",
    "squared_error",
    "standardized_kl",
    "to_smaller_size",
]
