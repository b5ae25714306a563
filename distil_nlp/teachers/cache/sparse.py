"""Sparse targets: some tokens of a teacher's distribution over a large vocabulary, with their weights."""

from collections.abc import Iterator, Mapping, Sequence

import numpy as np
import torch

from ...internals.messages import shown
from ...internals.numbers import TEMPERATURE, Interval
from ...signals.base import SparseTargets

# Numbers in a chunk of logits during encoding: temporary tensors stay within about 16 MiB.
_CHUNK = 2**20
_RESOLUTION = 2.0**-32  # offsets are multiples of it, so that rounding moves no sampling point to the end


def sampling_offsets(seed: int, example_id: int, num_items: int) -> np.ndarray:
    """Random offsets of the sampling points of an example's items, independent of how examples are batched.

    Args:
        seed (`int`): Seed of the whole cache, 0 or greater.
        example_id (`int`): Id of the example, 0 or greater.
        num_items (`int`): Number of items of the example, such as its tokens. An item's offset does not depend on it.

    Returns:
        `np.ndarray` of shape (num_items,), float64, 0 to below 1.
    """
    stream = np.random.Philox(key=np.array([seed, example_id], dtype=np.uint64))
    return (stream.random_raw(num_items) >> np.uint64(32)) * _RESOLUTION


class SampledFormat:
    """Tokens sampled from the teacher's distribution: few and unbiased.

    Sampling is systematic: `num_draws` points lie at equal distances on the cumulative sum of the distribution, shifted
    by one random offset, and a token's weight is its fraction of the points. The number of points of a token differs by
    less than one from its expected value, so the noise is far below that of the independent draws of Anshumann et al.

    Entries are unsigned little-endian integers: the token id in the lower bits, its number of points minus one above
    it, in the fewest bytes (3 for a vocabulary of 151,936 and 50 draws).

    Args:
        vocabulary (`int`): Size of the vocabulary, 2 or more.
        num_draws (`int`): Points per item, 1 to 65,535.
        temperature (`float`): Greater than 0; softens the distribution before sampling.

    Attributes:
        arrays (`dict[str, (np.dtype, tuple)]`): Type and row shape of the arrays of `encode`. "sizes" (number of entries)
            and "entropy" (nats) have one row per item, "entries" one row per entry, item after item.

    Raises:
        ValueError: An argument is out of range.

    Reference: Anshumann et al. 2025, Sparse Logit Sampling: Accelerating Knowledge Distillation in LLMs. Systematic
    sampling: Madow and Madow 1944, On the Theory of Systematic Sampling.
    """

    kind = "sampled"

    def __init__(self, vocabulary: int, *, num_draws: int = 50, temperature: float = 1.0) -> None:
        self.vocabulary, self.temperature = _checked(vocabulary, temperature)
        self.num_draws = Interval(1, 65_535, whole=True).check(num_draws, "num_draws")
        self._id_bits = (self.vocabulary - 1).bit_length()
        size = np.dtype(np.uint8 if self._max_entries < 256 else np.uint16)
        width = _bytes_for(self._id_bits + (self.num_draws - 1).bit_length())
        self.arrays = {
            "sizes": (size, ()),
            "entries": (np.dtype(np.uint8), (width,)),
            "entropy": (np.dtype(np.float16), ()),
        }

    @property
    def _max_entries(self) -> int:
        return min(self.num_draws, self.vocabulary)

    def describe(self) -> dict:
        """Return a JSON-ready description, from which `sparse_format` makes an equal format."""
        return {
            "kind": self.kind,
            "vocabulary": self.vocabulary,
            "num_draws": self.num_draws,
            "temperature": self.temperature,
        }

    def encode(self, logits: torch.Tensor, offsets: np.ndarray) -> dict[str, np.ndarray]:
        """Sample tokens from the distribution of each item.

        Args:
            logits (`torch.Tensor`): Shape (items, vocabulary), on any device, in any precision.
            offsets (`np.ndarray`): Shape (items,), 0 to below 1, see `sampling_offsets`.

        Returns:
            `dict[str, np.ndarray]`, see `arrays`. Items are independent: the result does not depend on the batching.

        Raises:
            ValueError: The shapes are wrong, or logits are NaN or infinite.
        """
        _check_logits(logits, self.vocabulary)
        start = torch.as_tensor(np.asarray(offsets, dtype=np.float64))
        if start.shape != logits.shape[:1] or not ((start >= 0) & (start < 1)).all():
            raise ValueError(
                f"Each item needs its own offset, 0 to below 1; got {len(logits)} items and offsets of shape "
                f"{tuple(start.shape)}. Make them with sampling_offsets."
            )
        parts = [self._draw(*chunk) for chunk in _chunks(logits, start.clamp(max=1 - _RESOLUTION), self.vocabulary)]
        ids, entropy = (np.concatenate(part) for part in zip(*parts, strict=True))
        is_first = np.ones(ids.shape, dtype=bool)
        is_first[:, 1:] = ids[:, 1:] != ids[:, :-1]
        starts = np.flatnonzero(is_first)  # the first token of an item always starts an entry, so none spans two items
        points = np.diff(starts, append=ids.size)
        values = ids.reshape(-1)[starts].astype(np.uint64) | (points - 1).astype(np.uint64) << np.uint64(self._id_bits)
        return {
            "sizes": is_first.sum(axis=1, dtype=self.arrays["sizes"][0]),
            "entries": _pack(values, *self.arrays["entries"][1]),
            "entropy": entropy.astype(np.float16),
        }

    def _draw(self, logits: torch.Tensor, offsets: torch.Tensor) -> tuple[np.ndarray, np.ndarray]:
        """Tokens at the sampling points, ascending, shape (items, num_draws), and entropies."""
        shifted = _shifted(logits, self.temperature)
        shares = shifted.exp()
        cumulative = shares.cumsum(dim=-1, dtype=torch.float64)
        total = cumulative[:, -1:]
        entropy = total.squeeze(-1).log() - (shares * shifted).sum(dim=-1, dtype=torch.float64) / total.squeeze(-1)
        steps = torch.arange(self.num_draws, dtype=torch.float64, device=logits.device)
        points = (offsets.to(logits.device).unsqueeze(-1) + steps) / self.num_draws * total
        ids = torch.searchsorted(cumulative, points, right=True)  # right: never a token of probability 0
        return ids.cpu().numpy(), entropy.cpu().numpy()

    def decode(self, arrays: dict[str, np.ndarray]) -> SparseTargets:
        """Decode arrays of `encode`, or any of their items in any order.

        Args:
            arrays (`dict[str, np.ndarray]`): Arrays as returned by `encode`.

        Returns:
            `SparseTargets` of shape (items, K), with K the largest number of entries of an item; token ids ascend.

        Raises:
            ValueError: The lengths of the arrays do not match.
        """
        sizes, entries = arrays["sizes"].astype(np.int64), arrays["entries"]
        if sizes.sum() != len(entries) or len(sizes) != len(arrays["entropy"]):
            raise ValueError(
                f"{len(sizes)} items should have {sizes.sum()} entries and {len(sizes)} entropies; got {len(entries)} and "
                f"{len(arrays['entropy'])}. The arrays are of different items."
            )
        values = _unpack(entries)
        is_real = np.arange(sizes.max(initial=1)) < sizes[:, None]
        ids, weights = np.zeros(is_real.shape, np.int64), np.zeros(is_real.shape, np.float32)
        ids[is_real] = values & ((1 << self._id_bits) - 1)
        weights[is_real] = ((values >> self._id_bits) + 1) / self.num_draws
        entropy = torch.from_numpy(arrays["entropy"].astype(np.float32))
        return SparseTargets(
            torch.from_numpy(ids), torch.from_numpy(weights), None, entropy, self.temperature, self.vocabulary
        )

    def rows(self, arrays: dict[str, np.ndarray], num_items: Sequence[int]) -> dict[str, np.ndarray]:
        """Count the rows of each array that belong to each example.

        Args:
            arrays (`dict[str, np.ndarray]`): Arrays of `encode` for several examples.
            num_items (`Sequence[int]`): Number of items of each example, in order.

        Returns:
            `dict[str, np.ndarray]`: Array name to one integer per example.
        """
        counts = np.asarray(num_items, dtype=np.int64)
        ends = np.concatenate([[0], arrays["sizes"].cumsum(dtype=np.int64)])[np.append(0, counts.cumsum())]
        return {"sizes": counts, "entries": np.diff(ends), "entropy": counts}


class TopKFormat:
    """The k likeliest tokens with their probabilities, and the total probability of all others.

    Model servers return this, too. It is biased: the student learns only the total probability of the other tokens.

    An entry is an unsigned little-endian integer: the token id in the lower bits, the negative log-probability as
    float16 without its sign bit above it, in the fewest bytes (5 for a vocabulary of 151,936).

    Args:
        vocabulary (`int`): Size of the vocabulary, 2 or more.
        k (`int`): Number of tokens per item, 1 to `vocabulary`.
        temperature (`float`): Greater than 0; softens the distribution first.

    Attributes:
        arrays (`dict[str, (np.dtype, tuple)]`): What `encode` returns: type and shape of a row; all have a row an item.
            "entries": k entries, likeliest first; "rest": minus the logarithm of the others' probability.

    Raises:
        ValueError: Numbers out of range.
    """

    kind = "top_k"

    def __init__(self, vocabulary: int, *, k: int = 50, temperature: float = 1.0) -> None:
        self.vocabulary, self.temperature = _checked(vocabulary, temperature)
        self.k = Interval(1, self.vocabulary, whole=True).check(k, "k", "It is at most the size of the vocabulary.")
        self._id_bits = (self.vocabulary - 1).bit_length()
        self.arrays = {
            "entries": (np.dtype(np.uint8), (self.k, _bytes_for(self._id_bits + 15))),
            "rest": (np.dtype(np.float16), ()),
        }

    def describe(self) -> dict:
        """Return a JSON-ready description, from which `sparse_format` makes an equal format."""
        return {"kind": self.kind, "vocabulary": self.vocabulary, "k": self.k, "temperature": self.temperature}

    def encode(self, logits: torch.Tensor, offsets: np.ndarray | None = None) -> dict[str, np.ndarray]:
        """Select the likeliest tokens of each item.

        Args:
            logits (`torch.Tensor`): Shape (items, vocabulary), on any device, in any precision.
            offsets: Ignored; for the same signature as `SampledFormat.encode`.

        Returns:
            `dict[str, np.ndarray]`, see `arrays`. Items are independent: the result does not depend on the batching.

        Raises:
            ValueError: The shapes are wrong, or logits are NaN or infinite.
        """
        _check_logits(logits, self.vocabulary)
        parts = [self._top(chunk) for chunk, _ in _chunks(logits, torch.zeros(len(logits)), self.vocabulary)]
        ids, surprisal, rest = (np.concatenate(part) for part in zip(*parts, strict=True))
        values = ids.astype(np.uint64) | surprisal.view(np.uint16).astype(np.uint64) << np.uint64(self._id_bits)
        return {"entries": _pack(values, self.arrays["entries"][1][-1]), "rest": rest}

    def _top(self, logits: torch.Tensor) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        shares = _shifted(logits, self.temperature).exp()
        total = shares.sum(dim=-1, keepdim=True, dtype=torch.float64)
        top_shares, ids = shares.topk(self.k, dim=-1)
        top_shares = top_shares.double()
        rest = (1 - top_shares.sum(dim=-1, keepdim=True) / total).clamp(min=0)
        return ids.cpu().numpy(), _surprisal(top_shares / total), _surprisal(rest).squeeze(-1)

    def decode(self, arrays: dict[str, np.ndarray]) -> SparseTargets:
        """Decode arrays of `encode`, or any of their items in any order.

        Probabilities are scaled so that they sum to 1 with the rest again, despite rounding.

        Args:
            arrays (`dict[str, np.ndarray]`): Arrays as returned by `encode`.

        Returns:
            `SparseTargets` of shape (items, k), likeliest first.

        Raises:
            ValueError: The lengths of the arrays do not match.
        """
        if len(arrays["entries"]) != len(arrays["rest"]):
            raise ValueError(
                f"Each item needs its entries and its rest; got {len(arrays['entries'])} and {len(arrays['rest'])} rows. "
                f"The arrays are of different items."
            )
        values = _unpack(arrays["entries"])
        ids = torch.from_numpy((values & ((1 << self._id_bits) - 1)).astype(np.int64))
        surprisal = (values >> self._id_bits).astype(np.uint16).view(np.float16)
        weights = torch.from_numpy(np.exp(-surprisal.astype(np.float32)))
        rest = torch.from_numpy(np.exp(-arrays["rest"].astype(np.float32)))
        weights *= ((1 - rest) / weights.sum(dim=-1)).unsqueeze(-1)
        return SparseTargets(ids, weights, rest, None, self.temperature, self.vocabulary)

    def rows(self, arrays: dict[str, np.ndarray], num_items: Sequence[int]) -> dict[str, np.ndarray]:
        """Count the rows of each array that belong to each example: its items. See `SampledFormat.rows`."""
        return dict.fromkeys(self.arrays, np.asarray(num_items, dtype=np.int64))


FORMATS: dict[str, type[SampledFormat] | type[TopKFormat]] = {
    SampledFormat.kind: SampledFormat,
    TopKFormat.kind: TopKFormat,
}


def sparse_format(description: Mapping) -> SampledFormat | TopKFormat:
    """Build a sparse format from its description.

    Args:
        description (`dict`): Result of `describe`: "kind" and the format's arguments.

    Raises:
        ValueError: The kind is unknown.
    """
    settings = dict(description)
    kind = settings.pop("kind", None)
    if kind not in FORMATS:
        raise ValueError(f"A format of sparse targets is one of {', '.join(FORMATS)}; got {shown(kind)}.")
    return FORMATS[kind](**settings)


def _checked(vocabulary: int, temperature: float) -> tuple[int, float]:
    size = Interval(2, 2**32, whole=True).check(vocabulary, "The size of a vocabulary")
    return size, float(TEMPERATURE.check(temperature, "temperature"))


def _check_logits(logits: torch.Tensor, vocabulary: int) -> None:
    if logits.dim() != 2 or logits.shape[-1] != vocabulary:
        raise ValueError(
            f"Logits must have shape (items, {vocabulary}), one row per token; got {tuple(logits.shape)}. Remove padding "
            f"and flatten further dimensions."
        )


def _chunks(
    logits: torch.Tensor, offsets: torch.Tensor, vocabulary: int
) -> Iterator[tuple[torch.Tensor, torch.Tensor]]:
    size = max(1, _CHUNK // vocabulary)
    return zip(logits.detach().split(size), offsets.split(size), strict=True)


def _shifted(logits: torch.Tensor, temperature: float) -> torch.Tensor:
    """Softened logits minus their maximum: their exponentials are proportional to the distribution."""
    softened = (logits if logits.dtype == torch.float64 else logits.float()) / temperature
    largest = softened.amax(dim=-1, keepdim=True)
    if not largest.isfinite().all():
        num_rows = int((~largest.isfinite()).sum())
        raise ValueError(
            f"{num_rows} of {len(logits)} rows of the teacher's logits contain NaN or infinity, or only -inf, so they are "
            f"no distribution. Run the teacher in float32 (teacher_dtype), and check its weights."
        )
    return softened.sub_(largest).clamp_(min=-1e4)  # for tokens at -inf: 0 times infinity would be NaN in the entropy


def _surprisal(probabilities: torch.Tensor) -> np.ndarray:
    """Negative log-probabilities as float16."""
    return (-probabilities.log()).clamp(min=0).half().cpu().numpy()


def _bytes_for(bits: int) -> int:
    return -(-bits // 8)


def _pack(values: np.ndarray, width: int) -> np.ndarray:
    """The lower bytes of integers, lowest first: shape (..., width)."""
    return np.ascontiguousarray(values.astype("<u8")[..., None].view(np.uint8)[..., :width])


def _unpack(entries: np.ndarray) -> np.ndarray:
    """Integers from their bytes, lowest first."""
    values: np.ndarray = entries[..., 0].astype(np.int32 if entries.shape[-1] < 4 else np.int64)
    for index in range(1, entries.shape[-1]):
        values |= entries[..., index].astype(values.dtype) << (8 * index)
    return values
