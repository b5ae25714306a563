"""In which form a cache keeps what a teacher said."""

from dataclasses import replace

import numpy as np
import torch

from .sparse import FORMATS, offsets_for, sparse_format

DENSE = ("float32", "float16")
KEPT = (*DENSE, *FORMATS)
_SEED = 0  # of the draws; who builds a cache anew should get the same one


class Dense:
    """Every number, as float32 or float16.

    Args:
        dtype (`str`): "float32" or "float16".

    Attributes:
        signal (`str`): What the logits become in `Signals`.
        arrays (`tuple[str]`): Names of the arrays that one tensor is kept as.
        features (`dict`): In which form layers are kept beside it, as `describe` says it.
    """

    signal = "logits"
    arrays = ("",)

    def __init__(self, dtype):
        self._dtype = np.dtype(dtype)
        self.features = self.describe()

    def describe(self):
        """What makes it again, JSON-ready."""
        return {"kind": self._dtype.name}

    def pack(self, rows, counts, example_ids):
        """Rows of several examples, end to end, as one dictionary of arrays for each example.

        Args:
            rows (`torch.Tensor`): Shape (sum of counts, ...).
            counts (`list[int]`): How many are each example's.
            example_ids (`list[int]`): Whose they are.
        """
        return [{"": part} for part in _split(rows.cpu().float().numpy().astype(self._dtype), counts)]

    def restore(self, arrays, into):
        """What was packed, from the arrays of several examples end to end.

        Args:
            arrays (`dict[str, np.ndarray]`): By the names of `arrays`.
            into (callable): Rows, float32 -> the tensor of a batch.
        """
        return into(torch.from_numpy(arrays[""]).float())


class Sparse:
    """Some tokens of each distribution over a vocabulary.

    Args:
        description (`dict`): Of a format of `distil_nlp.teachers.cache.sparse`.
    """

    signal = "sparse"
    features = {"kind": "float16"}

    def __init__(self, description):
        self._format = sparse_format(description)
        self.arrays = tuple(f":{name}" for name in self._format.arrays)

    def describe(self):
        """See `Dense.describe`."""
        return self._format.describe()

    def pack(self, rows, counts, example_ids):
        """See `Dense.pack`; the rows are logits."""
        offsets = [offsets_for(_SEED, *of) for of in zip(example_ids, counts, strict=True)]
        arrays = self._format.encode(rows, np.concatenate(offsets))
        sizes = self._format.rows(arrays, counts)
        parts = {f":{name}": _split(array, sizes[name]) for name, array in arrays.items()}
        return [dict(zip(parts, of, strict=True)) for of in zip(*parts.values(), strict=True)]

    def restore(self, arrays, into):
        """See `Dense.restore`: `SparseTargets`, each of whose tensors is brought into the batch."""
        targets = self._format.decode({name[1:]: array for name, array in arrays.items()})
        tensors = {name: getattr(targets, name) for name in ("ids", "weights", "rest", "entropy")}
        return replace(targets, **{name: into(tensor) for name, tensor in tensors.items() if tensor is not None})


def format_from(description):
    """The form that a description of itself makes, such as {"kind": "float16"}.

    Raises:
        ValueError: An unknown one.
    """
    kind = description["kind"]
    if kind in DENSE:
        return Dense(kind)
    if kind in FORMATS:
        return Sparse(description)
    raise ValueError(f"A cache keeps {', '.join(KEPT)}; got {kind!r}.")


def describe_kept(kept, num_classes):
    """The whole description of a form of which a user named what matters.

    Args:
        kept (`str` or `dict`): One of `KEPT`, or {"kind": "sampled", "num_draws": 50, "temperature": 2}, or
            {"kind": "top_k", "k": 50, "temperature": 2}.
        num_classes (`int`): Of the teacher's logits.
    """
    description = {"kind": kept} if isinstance(kept, str) else dict(kept)
    if description.get("kind") in FORMATS:
        description["vocabulary"] = num_classes
    return format_from(description).describe()


def _split(rows, counts):
    return np.split(rows, np.cumsum(counts)[:-1])
