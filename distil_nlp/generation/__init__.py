"""Texts that a model generates: sequence-level targets."""
