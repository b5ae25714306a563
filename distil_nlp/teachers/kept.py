"""In which form a cache keeps what a teacher said."""

import numpy as np
import torch

DENSE = ("float32", "float16")


class Dense:
    """Every number, as float32 or float16.

    Args:
        dtype (`str`): "float32" or "float16".
    """

    arrays = ("",)

    def __init__(self, dtype):
        self.dtype = np.dtype(dtype)

    def describe(self):
        """What makes it again, JSON-ready."""
        return {"kind": self.dtype.name}

    def pack(self, rows, counts, example_ids):
        """Rows of several examples, end to end, as one dictionary of arrays for each example.

        Args:
            rows (`torch.Tensor`): Shape (sum of counts, ...), on the CPU.
            counts (`list[int]`): How many are each example's.
            example_ids (`list[int]`): Whose they are.
        """
        rows = rows.float().numpy().astype(self.dtype)
        return [{"": part} for part in np.split(rows, np.cumsum(counts)[:-1])]

    def unpack(self, arrays):
        """The rows again, float32, from the arrays of several examples end to end."""
        return torch.from_numpy(arrays[""]).float()


def kept_as(description):
    """The form that a description of itself makes, such as {"kind": "float16"}.

    Raises:
        ValueError: An unknown one.
    """
    kind = description["kind"]
    if kind in DENSE:
        return Dense(kind)
    raise ValueError(f"A cache keeps {', '.join(DENSE)}; got {kind!r}.")
