"""A network of ours as one ONNX file, its front end inside."""

import copy
import logging
import os
from pathlib import Path

import torch

from ..internals.imports import import_extra
from ..models.network import NetworkModel

_TOLERANCE = 1e-4  # of logits, between torch and the runtime


def export_onnx(model, path):
    """Write a network of images or sound as an ONNX file, and check that it answers as the model does.

    Args:
        model (`NetworkModel`): An image classifier or embedder, or a classifier of clips or frames of sound. A front end is
            part of it: the file takes waves and their mask (batch, samples), or pixels (batch, channels, height, width).
        path (`str` or `Path`): Of the file. Any batch size, and of sound any length, can be asked. Numbers are
            float32, whatever the model's are.

    Returns:
        `Path`: The file. It is there whole or not at all.

    Raises:
        ImportError: onnx, onnxscript or onnxruntime is not there.
        TypeError: Another kind of model; transformers' own are exported by optimum.
        RuntimeError: The file answers otherwise than the model.
    """
    if not isinstance(model, NetworkModel):
        raise TypeError(
            f"export_onnx takes the networks of distil_nlp.models; got {type(model).__name__}. Models of transformers "
            f"are exported by optimum: `optimum-cli export onnx --model FOLDER OUT`."
        )
    runtime, path = import_extra("onnx"), Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    model = copy.deepcopy(model).cpu().float().eval()  # in half precision runtimes lack operators
    inputs = model.sample_inputs(2)
    part = path.with_name(f".{path.name}.part")
    logging.getLogger("torch.onnx").setLevel(logging.ERROR)
    try:
        program = torch.onnx.export(
            _Logits(model, list(inputs)).eval(),
            tuple(inputs.values()),
            dynamo=True,
            verbose=False,
            input_names=list(inputs),
            output_names=["logits"],
            dynamic_shapes={"inputs": tuple(model.free_sizes(torch.export.Dim.DYNAMIC) for _ in inputs)},
        )
        program.save(part)
        for batch_size in (2, 3):
            _check(model, runtime.InferenceSession(str(part)), model.sample_inputs(batch_size))
        os.replace(part, path)
    finally:
        part.unlink(missing_ok=True)
    return path


class _Logits(torch.nn.Module):
    """The model with its inputs by position and a tensor for an answer, as the exporter wants it."""

    def __init__(self, model, names):
        super().__init__()
        self.model, self.names = model, names

    def forward(self, *inputs):
        return self.model(**dict(zip(self.names, inputs, strict=True))).logits


def _check(model, session, inputs):
    with torch.no_grad():
        expected = model(**inputs).logits.numpy()
    (found,) = session.run(None, {name: tensor.numpy() for name, tensor in inputs.items()})
    if found.shape != expected.shape or not abs(found - expected).max() <= _TOLERANCE:
        apart = abs(found - expected).max() if found.shape == expected.shape else f"{found.shape}, {expected.shape}"
        raise RuntimeError(
            f"The ONNX file answers otherwise than {type(model).__name__} ({apart}; {_TOLERANCE:g} allowed), so it was "
            f"not kept. Please report the network."
        )
