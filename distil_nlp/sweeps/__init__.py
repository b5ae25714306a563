"""Sweeps: many trainings of one recipe with other settings."""

from .sweep import run_sweep

__all__ = ["run_sweep"]
