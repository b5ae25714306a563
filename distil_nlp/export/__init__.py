"""Exports models for use without transformers."""

from .onnx import export_onnx

__all__ = ["export_onnx"]
