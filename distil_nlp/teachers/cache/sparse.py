"""A teacher's distribution over a large vocabulary, kept in parts: some tokens with their weights, not all of them."""

import numpy as np
import torch

from ...signals.base import SparseTargets

# Numbers of a chunk of logits while they are encoded: what is held besides them stays within some 16 MiB.
_CHUNK = 2**20
_FINEST = 2.0**-32  # offsets are multiples of it, so that no point of any item is rounded onto the end


def offsets_for(seed, example_id, num_items):
    """Where the points of an example's items begin: a function of the three alone, however the examples are batched.

    Args:
        seed (`int`): Of all draws, 0 or greater.
        example_id (`int`): Of the example, 0 or greater.
        num_items (`int`): Of the example: its tokens, say. The first items get the same numbers whatever it is.

    Returns:
        `np.ndarray` of shape (num_items,), float64, 0 to below 1.
    """
    stream = np.random.Philox(key=np.array([seed, example_id], dtype=np.uint64))
    return (stream.random_raw(num_items) >> np.uint64(32)) * _FINEST


class SampledFormat:
    """Tokens drawn from the teacher's distribution: few, and right on average.

    Drawing is systematic: `num_draws` points lie at equal distances on the cumulative sum of the distribution, shifted
    by one random offset, and a token's weight is its share of the points. No token gets more than one point more or less
    than its probability asks for, so the noise is far below that of independent draws, which Anshumann et al. make.

    Entries are whole numbers, little endian: the token in the lower bits, the points but one above it, in the fewest
    bytes (3 for a vocabulary of 151,936 and 50 draws).

    Args:
        vocabulary (`int`): Size of the vocabulary, 2 or more.
        num_draws (`int`): Points an item, 1 to 65,535.
        temperature (`float`): Greater than 0; softens the distribution before it is drawn from.

    Attributes:
        arrays (`dict[str, (np.dtype, tuple)]`): What `encode` returns: type and shape of a row. "sizes" (entries of the
            item) and "entropy" (nats) have a row an item, "entries" a row an entry, item after item.

    Raises:
        ValueError: Numbers out of range.

    Reference: Anshumann et al. 2025, Sparse Logit Sampling: Accelerating Knowledge Distillation in LLMs. Systematic
    sampling: Madow and Madow 1944, On the Theory of Systematic Sampling.
    """

    kind = "sampled"

    def __init__(self, vocabulary, *, num_draws=50, temperature=1.0):
        self.vocabulary, self.temperature = _checked(vocabulary, temperature)
        if not 1 <= num_draws <= 65_535:
            raise ValueError(f"num_draws counts the points of an item, 1 to 65,535; got {num_draws!r}.")
        self.num_draws = int(num_draws)
        self._id_bits = (self.vocabulary - 1).bit_length()
        size = np.dtype(np.uint8 if self._most < 256 else np.uint16)
        width = _bytes_for(self._id_bits + (self.num_draws - 1).bit_length())
        self.arrays = {
            "sizes": (size, ()),
            "entries": (np.dtype(np.uint8), (width,)),
            "entropy": (np.dtype(np.float16), ()),
        }

    @property
    def _most(self):
        return min(self.num_draws, self.vocabulary)

    def describe(self):
        """JSON-ready; `sparse_format` makes the same format of it."""
        return {
            "kind": self.kind,
            "vocabulary": self.vocabulary,
            "num_draws": self.num_draws,
            "temperature": self.temperature,
        }

    def encode(self, logits, offsets):
        """Draw.

        Args:
            logits (`torch.Tensor`): Shape (items, vocabulary), on any device, in any precision.
            offsets (`np.ndarray`): Shape (items,), 0 to below 1, see `offsets_for`.

        Returns:
            `dict[str, np.ndarray]`, see `arrays`. Every item by itself: batches may be cut anywhere.

        Raises:
            ValueError: Other shapes; logits that are no distribution (NaN, or infinity).
        """
        _check_logits(logits, self.vocabulary)
        offsets = torch.as_tensor(np.asarray(offsets, dtype=np.float64))
        if offsets.shape != logits.shape[:1] or not ((offsets >= 0) & (offsets < 1)).all():
            raise ValueError(
                f"Each item needs an offset of its own, 0 to below 1: {len(logits)} items came and offsets of shape "
                f"{tuple(offsets.shape)}. Make them with offsets_for."
            )
        parts = [self._draw(*chunk) for chunk in _chunks(logits, offsets.clamp(max=1 - _FINEST), self.vocabulary)]
        ids, entropy = (np.concatenate(part) for part in zip(*parts, strict=True))
        is_first = np.ones(ids.shape, dtype=bool)
        is_first[:, 1:] = ids[:, 1:] != ids[:, :-1]
        starts = np.flatnonzero(is_first)  # the first entry of an item is always one, so none spans two items
        points = np.diff(starts, append=ids.size)
        values = ids.reshape(-1)[starts].astype(np.uint64) | (points - 1).astype(np.uint64) << np.uint64(self._id_bits)
        return {
            "sizes": is_first.sum(axis=1, dtype=self.arrays["sizes"][0]),
            "entries": _pack(values, *self.arrays["entries"][1]),
            "entropy": entropy.astype(np.float16),
        }

    def _draw(self, logits, offsets):
        """Tokens under the points, ascending, shape (items, num_draws), and entropies."""
        shifted = _shifted(logits, self.temperature)
        shares = shifted.exp()
        cumulative = shares.cumsum(dim=-1, dtype=torch.float64)
        total = cumulative[:, -1:]
        entropy = total.squeeze(-1).log() - (shares * shifted).sum(dim=-1, dtype=torch.float64) / total.squeeze(-1)
        steps = torch.arange(self.num_draws, dtype=torch.float64, device=logits.device)
        points = (offsets.to(logits.device).unsqueeze(-1) + steps) / self.num_draws * total
        ids = torch.searchsorted(cumulative, points, right=True)  # a token without probability ends where it begins
        return ids.cpu().numpy(), entropy.cpu().numpy()

    def decode(self, arrays):
        """What `encode` returned, or any items of it in any order, as targets.

        Args:
            arrays (`dict[str, np.ndarray]`): As of `encode`.

        Returns:
            `SparseTargets` of shape (items, K), K the entries of the longest item; tokens ascend.

        Raises:
            ValueError: Arrays that do not belong together.
        """
        sizes, entries = arrays["sizes"].astype(np.int64), arrays["entries"]
        if sizes.sum() != len(entries) or len(sizes) != len(arrays["entropy"]):
            raise ValueError(
                f"{len(sizes)} items should have {sizes.sum()} entries and {len(sizes)} entropies; got {len(entries)} and "
                f"{len(arrays['entropy'])}. The arrays are cut at different places."
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

    def rows(self, arrays, num_items):
        """How many rows of each array every example takes.

        Args:
            arrays (`dict[str, np.ndarray]`): Of `encode`, for several examples at once.
            num_items (`Sequence[int]`): Items of each example, in their order.

        Returns:
            `dict[str, np.ndarray]`: Name to whole numbers, one an example.
        """
        num_items = np.asarray(num_items, dtype=np.int64)
        ends = np.concatenate([[0], arrays["sizes"].cumsum(dtype=np.int64)])[np.append(0, num_items.cumsum())]
        return {"sizes": num_items, "entries": np.diff(ends), "entropy": num_items}


class TopKFormat:
    """The k likeliest tokens with their probabilities, and the probability of all others as one number.

    What a served teacher gives, too. It is biased: of the others nothing is learned but how likely they are together.

    An entry is a whole number, little endian: the token in the lower bits, above it minus the log-probability as
    float16, which is never negative and needs no sign, in the fewest bytes (5 for a vocabulary of 151,936).

    Args:
        vocabulary (`int`): Size of the vocabulary, 2 or more.
        k (`int`): Tokens kept of each item, 1 to `vocabulary`.
        temperature (`float`): Greater than 0; softens the distribution first.

    Attributes:
        arrays (`dict[str, (np.dtype, tuple)]`): What `encode` returns: type and shape of a row; all have a row an item.
            "entries": k entries, likeliest first; "rest": minus the logarithm of the others' probability.

    Raises:
        ValueError: Numbers out of range.
    """

    kind = "top_k"

    def __init__(self, vocabulary, *, k=50, temperature=1.0):
        self.vocabulary, self.temperature = _checked(vocabulary, temperature)
        if not 1 <= k <= self.vocabulary:
            raise ValueError(f"k counts tokens of a vocabulary of {self.vocabulary}, 1 or more of them; got {k!r}.")
        self.k = int(k)
        self._id_bits = (self.vocabulary - 1).bit_length()
        self.arrays = {
            "entries": (np.dtype(np.uint8), (self.k, _bytes_for(self._id_bits + 15))),
            "rest": (np.dtype(np.float16), ()),
        }

    def describe(self):
        """JSON-ready; `sparse_format` makes the same format of it."""
        return {"kind": self.kind, "vocabulary": self.vocabulary, "k": self.k, "temperature": self.temperature}

    def encode(self, logits, offsets=None):
        """Keep the likeliest.

        Args:
            logits (`torch.Tensor`): Shape (items, vocabulary), on any device, in any precision.
            offsets: Nothing is drawn; taken so that formats are called alike.

        Returns:
            `dict[str, np.ndarray]`, see `arrays`. Every item by itself: batches may be cut anywhere.

        Raises:
            ValueError: Other shapes; logits that are no distribution (NaN, or infinity).
        """
        _check_logits(logits, self.vocabulary)
        parts = [self._keep(chunk) for chunk, _ in _chunks(logits, torch.zeros(len(logits)), self.vocabulary)]
        ids, surprise, rest = (np.concatenate(part) for part in zip(*parts, strict=True))
        values = ids.astype(np.uint64) | surprise.view(np.uint16).astype(np.uint64) << np.uint64(self._id_bits)
        return {"entries": _pack(values, self.arrays["entries"][1][-1]), "rest": rest}

    def _keep(self, logits):
        shares = _shifted(logits, self.temperature).exp()
        total = shares.sum(dim=-1, keepdim=True, dtype=torch.float64)
        kept, ids = shares.topk(self.k, dim=-1)
        kept = kept.double()
        rest = (1 - kept.sum(dim=-1, keepdim=True) / total).clamp(min=0)
        surprise, rest = (_surprise(one).cpu().numpy() for one in (kept / total, rest))
        return ids.cpu().numpy(), surprise, rest.squeeze(-1)

    def decode(self, arrays):
        """What `encode` returned, or any items of it in any order, as targets.

        Probabilities are scaled so that with the rest they add up to 1, which rounding has cost them.

        Args:
            arrays (`dict[str, np.ndarray]`): As of `encode`.

        Returns:
            `SparseTargets` of shape (items, k), likeliest first.

        Raises:
            ValueError: Arrays that do not belong together.
        """
        if len(arrays["entries"]) != len(arrays["rest"]):
            raise ValueError(
                f"Each item needs its entries and its rest; got {len(arrays['entries'])} and {len(arrays['rest'])} rows. "
                f"The arrays are cut at different places."
            )
        values = _unpack(arrays["entries"])
        ids = torch.from_numpy((values & ((1 << self._id_bits) - 1)).astype(np.int64))
        surprise = (values >> self._id_bits).astype(np.uint16).view(np.float16)
        weights = torch.from_numpy(np.exp(-surprise.astype(np.float32)))
        rest = torch.from_numpy(np.exp(-arrays["rest"].astype(np.float32)))
        weights *= ((1 - rest) / weights.sum(dim=-1)).unsqueeze(-1)
        return SparseTargets(ids, weights, rest, None, self.temperature, self.vocabulary)

    def rows(self, arrays, num_items):
        """How many rows of each array every example takes: its items. See `SampledFormat.rows`."""
        return dict.fromkeys(self.arrays, np.asarray(num_items, dtype=np.int64))


FORMATS = {one.kind: one for one in (SampledFormat, TopKFormat)}


def sparse_format(description):
    """The format that described itself so.

    Args:
        description (`dict`): Of `describe`: "kind" and the format's arguments.

    Raises:
        ValueError: An unknown kind.
    """
    settings = dict(description)
    kind = settings.pop("kind", None)
    if kind not in FORMATS:
        raise ValueError(f"A format of sparse targets is one of {', '.join(FORMATS)}; got {kind!r}.")
    return FORMATS[kind](**settings)


def _checked(vocabulary, temperature):
    if not 2 <= vocabulary <= 2**32:
        raise ValueError(f"A vocabulary has 2 tokens or more, 2**32 at most; got {vocabulary!r}.")
    if not temperature > 0:
        raise ValueError(f"temperature must be greater than 0; got {temperature!r}.")
    return int(vocabulary), float(temperature)


def _check_logits(logits, vocabulary):
    if logits.dim() != 2 or logits.shape[-1] != vocabulary:
        raise ValueError(
            f"Logits must have shape (items, {vocabulary}), one row a token; got {tuple(logits.shape)}. Flatten what has "
            f"more dimensions, padding left out."
        )


def _chunks(logits, offsets, vocabulary):
    size = max(1, _CHUNK // vocabulary)
    return zip(logits.detach().split(size), offsets.split(size), strict=True)


def _shifted(logits, temperature):
    """Softened logits less their largest: their exponentials are the distribution but for a factor."""
    softened = (logits if logits.dtype == torch.float64 else logits.float()) / temperature
    largest = softened.amax(dim=-1, keepdim=True)
    if not largest.isfinite().all():
        raise ValueError(
            "The teacher's logits hold NaN or infinity, or nothing but minus infinity: they are no distribution. Ask it "
            "in float32 (teacher_dtype), and look at its weights."
        )
    return softened.sub_(largest).clamp_(min=-1e4)  # a token ruled out by -inf: 0 times infinity is no entropy


def _surprise(probabilities):
    """Minus their logarithms as float16."""
    return (-probabilities.log()).clamp(min=0).half()


def _bytes_for(bits):
    return -(-bits // 8)


def _pack(values, width):
    """The lower bytes of whole numbers, the lowest first: shape (..., width)."""
    return np.ascontiguousarray(values.astype("<u8")[..., None].view(np.uint8)[..., :width])


def _unpack(entries):
    """Whole numbers from their bytes."""
    values = entries[..., 0].astype(np.int32 if entries.shape[-1] < 4 else np.int64)
    for place in range(1, entries.shape[-1]):
        values |= entries[..., place].astype(values.dtype) << (8 * place)
    return values
