"""Storage formats of a cache: dense numbers, or some tokens of each distribution."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace

import numpy as np
import torch

from ...internals.messages import shown
from .sparse import FORMATS, SparseTargets, sampling_offsets, sparse_format

DENSE = ("float32", "float16")
STORAGE_KINDS = (*DENSE, *FORMATS)
_SEED = 0  # of the sampling; fixed, so that rebuilding a cache gives the same bytes


class DenseFormat:
    """Stores every number as float32 or float16.

    Args:
        dtype (`str`): "float32" or "float16".

    Attributes:
        signal (`str`): Name of the logits in the header and in `Signals`.
        arrays (`tuple[str]`): Suffixes of the names of the arrays that store a tensor.
        features (`dict`): Description of the format of stored layers, see `describe`.
    """

    signal = "logits"
    arrays: tuple[str, ...] = ("",)

    def __init__(self, dtype: str) -> None:
        self._dtype = np.dtype(dtype)
        self.features = self.describe()

    def describe(self) -> dict:
        """Return a JSON-ready description, from which `format_from` makes an equal format."""
        return {"kind": self._dtype.name}

    def pack(
        self, rows: torch.Tensor, counts: Sequence[int], example_ids: Sequence[int]
    ) -> list[dict[str, np.ndarray]]:
        """Convert the concatenated rows of several examples to one dictionary of arrays per example.

        Args:
            rows (`torch.Tensor`): Shape (sum of counts, ...).
            counts (`list[int]`): Number of rows of each example.
            example_ids (`list[int]`): Ids of the examples.

        Returns:
            `list[dict[str, np.ndarray]]`: One dictionary per example, with the names in `arrays` as keys.
        """
        with np.errstate(over="ignore"):  # a logit far below all others becomes -inf, a probability of 0
            return [{"": part} for part in _split(rows.cpu().float().numpy().astype(self._dtype), counts)]

    def as_stored(self, rows: torch.Tensor) -> torch.Tensor:
        """The rows in the precision in which they are stored."""
        return rows.half() if self._dtype == np.float16 else rows

    def restore(
        self, arrays: dict[str, np.ndarray], into_batch: Callable[[torch.Tensor], torch.Tensor]
    ) -> torch.Tensor:
        """Restore the tensor of a batch from the concatenated arrays of its examples.

        Args:
            arrays (`dict[str, np.ndarray]`): Arrays by the names in `arrays`.
            into_batch (callable): float32 rows -> tensor of the batch, see `Layout.tensor`.

        Returns:
            `torch.Tensor`, float32, of the shape that the teacher returned for the batch.
        """
        return into_batch(torch.from_numpy(arrays[""]).float())


class SparseFormat:
    """Stores some tokens of each distribution over a vocabulary.

    Args:
        description (`dict`): Description of a format of `distil_nlp.teachers.cache.sparse`.
    """

    signal = "sparse"
    features = {"kind": "float16"}

    def __init__(self, description: Mapping) -> None:
        self._format = sparse_format(description)
        self.arrays = tuple(f":{name}" for name in self._format.arrays)

    def describe(self) -> dict:
        """See `DenseFormat.describe`."""
        return self._format.describe()

    def pack(
        self, rows: torch.Tensor, counts: Sequence[int], example_ids: Sequence[int]
    ) -> list[dict[str, np.ndarray]]:
        """See `DenseFormat.pack`; the rows are logits."""
        offsets = [sampling_offsets(_SEED, *example) for example in zip(example_ids, counts, strict=True)]
        arrays = self._format.encode(rows, np.concatenate(offsets))
        sizes = self._format.rows(arrays, counts)
        parts = {f":{name}": _split(array, sizes[name]) for name, array in arrays.items()}
        return [dict(zip(parts, example, strict=True)) for example in zip(*parts.values(), strict=True)]

    def as_stored(self, rows: torch.Tensor) -> torch.Tensor:
        """See `DenseFormat.as_stored`; the rows as they are: parts of their distributions are stored."""
        return rows

    def restore(
        self, arrays: dict[str, np.ndarray], into_batch: Callable[[torch.Tensor], torch.Tensor]
    ) -> SparseTargets:
        """See `DenseFormat.restore`; returns `SparseTargets` with every tensor placed into the batch."""
        targets = self._format.decode({name[1:]: array for name, array in arrays.items()})
        return replace(
            targets,
            ids=into_batch(targets.ids),
            weights=into_batch(targets.weights),
            rest=None if targets.rest is None else into_batch(targets.rest),
            entropy=None if targets.entropy is None else into_batch(targets.entropy),
        )


def format_from(description: Mapping) -> DenseFormat | SparseFormat:
    """Build a format from its description, such as {"kind": "float16"}.

    Raises:
        ValueError: The kind is unknown.
    """
    kind = description["kind"]
    if kind in DENSE:
        return DenseFormat(kind)
    if kind in FORMATS:
        return SparseFormat(description)
    raise ValueError(f"The storage kind of a cache must be one of {', '.join(STORAGE_KINDS)}; got {shown(kind)}.")


def is_format(description: object) -> bool:
    """Whether `format_from` accepts a description."""
    try:
        format_from(description)  # type: ignore[arg-type]  # of another type it raises
    except (ValueError, TypeError, KeyError):
        return False
    return True


def full_description(storage: str | Mapping, num_classes: int) -> dict:
    """Complete a user's description of a format with its defaults and the size of the vocabulary.

    Args:
        storage (`str` or `dict`): One of `STORAGE_KINDS`, or {"kind": "sampled", "num_draws": 50, "temperature": 2}, or
            {"kind": "top_k", "k": 50, "temperature": 2}.
        num_classes (`int`): Number of classes of the teacher's logits.

    Returns:
        `dict`: A description that `format_from` accepts.
    """
    description = {"kind": storage} if isinstance(storage, str) else dict(storage)
    if description.get("kind") in FORMATS:
        description["vocabulary"] = num_classes
    return format_from(description).describe()


def _split(rows: np.ndarray, counts: Sequence[int] | np.ndarray) -> list[np.ndarray]:
    return np.split(rows, np.cumsum(counts)[:-1])
