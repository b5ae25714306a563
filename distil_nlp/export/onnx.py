"""Exports a network of `distil_nlp.models` as one ONNX file, front end included."""

import copy
import logging
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

import torch

from ..internals.disk import explain_full_disk
from ..internals.files import replacing
from ..internals.imports import import_extra
from ..models.network import NetworkModel

if TYPE_CHECKING:
    from onnxruntime import InferenceSession

_TOLERANCE = 1e-4  # of logits, between torch and the runtime


def export_onnx(model: NetworkModel, path: str | Path) -> Path:
    """Write an image or audio network as an ONNX file, and check that the file gives the model's logits.

    Args:
        model (`NetworkModel`): An image classifier or embedder, or a classifier of clips or frames of sound. The front end
            is included: the file takes waveforms and their mask (batch, samples), or pixels (batch, channels, height,
            width).
        path (`str` or `Path`): Of the file. It takes any batch size and any length of sound. Its weights are float32 in
            every precision of the model.

    Returns:
        `Path`: The file, written completely or not at all.

    Raises:
        ImportError: onnx, onnxscript or onnxruntime is not installed.
        TypeError: Another kind of model; optimum exports those of transformers.
        RuntimeError: The logits of the file differ from the model's.
    """
    if not isinstance(model, NetworkModel):
        raise TypeError(
            f"export_onnx takes the networks of distil_nlp.models; got {type(model).__name__}. Models of transformers "
            f"are exported by optimum: `optimum-cli export onnx --model FOLDER OUT`."
        )
    runtime, path = import_extra("onnx"), Path(path)
    model = copy.deepcopy(model).cpu().float().eval()  # runtimes lack operators in half precision
    inputs = model.sample_inputs(2)
    logging.getLogger("torch.onnx").setLevel(logging.ERROR)
    # A temporary name of its own: another export to the same file may run.
    with explain_full_disk(path.parent, work="an ONNX file"), replacing(path) as part:
        program = torch.onnx.export(
            _Logits(model, list(inputs)).eval(),
            tuple(inputs.values()),
            dynamo=True,
            verbose=False,
            input_names=list(inputs),
            output_names=["logits"],
            dynamic_shapes={"inputs": tuple(model.dynamic_dims(torch.export.Dim.DYNAMIC) for _ in inputs)},
        )
        program.save(part)
        for batch_size in (2, 3):
            _check(model, runtime.InferenceSession(str(part)), model.sample_inputs(batch_size))
    return path


class _Logits(torch.nn.Module):
    """The model with positional inputs and a tensor as output, as the exporter needs it."""

    def __init__(self, model: NetworkModel, names: list[str]):
        super().__init__()
        self.model, self.names = model, names

    def forward(self, *inputs: torch.Tensor) -> torch.Tensor:
        """Logits of the model."""
        return self.model(**dict(zip(self.names, inputs, strict=True))).logits


def _check(model: NetworkModel, session: "InferenceSession", inputs: Mapping[str, torch.Tensor]) -> None:
    with torch.no_grad():
        expected = model(**inputs).logits.numpy()
    (actual,) = session.run(None, {name: tensor.numpy() for name, tensor in inputs.items()})
    same_shape = actual.shape == expected.shape
    if not same_shape or not abs(actual - expected).max() <= _TOLERANCE:
        difference = abs(actual - expected).max() if same_shape else f"{actual.shape}, {expected.shape}"
        raise RuntimeError(
            f"The logits of the ONNX file differ from those of {type(model).__name__} ({difference}; {_TOLERANCE:g} "
            f"allowed), so the file was deleted. Please report the network."
        )
