"""Publishing a student: its model card, and the push to the Hub."""

from .card import model_card, pipeline_tag_of, write_card
from .push import check_pushable, push_to_hub

__all__ = ["check_pushable", "model_card", "pipeline_tag_of", "push_to_hub", "write_card"]
