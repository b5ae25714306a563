"""Publishing a student: its model card, and the push to the Hub."""

from .card import model_card, pipeline_tag_of
from .push import push_to_hub

__all__ = ["model_card", "pipeline_tag_of", "push_to_hub"]
