"""Giving a student away: its model card, and the push to the Hub."""

from .card import model_card
from .push import push_to_hub

__all__ = ["model_card", "push_to_hub"]
