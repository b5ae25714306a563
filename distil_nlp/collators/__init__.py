"""From rows to batches: the base class of collators, and those of texts, images and audio."""

from ..data.collator import Collator, as_collator

__all__ = ["Collator", "as_collator"]
