"""Sound as it is handed to who hears."""

import numpy as np
import torch


def samples_of(sound):
    """Samples as networks take them.

    Args:
        sound (`np.ndarray` or sequence of `float`): Shape (samples,), from -1 to 1.

    Returns:
        `torch.Tensor` of float32, of the same shape.

    Raises:
        ValueError: Several channels, whole numbers, or numbers that are not finite.
    """
    sound = np.asarray(sound)
    if sound.ndim != 1 or sound.dtype.kind != "f":
        raise ValueError(
            f"Sound is one channel of floats from -1 to 1, shape (samples,); got {sound.dtype} of shape {sound.shape}. "
            f"Average channels, and divide 16-bit numbers by 32768."
        )
    if not np.isfinite(sound).all():
        raise ValueError(
            f"{int((~np.isfinite(sound)).sum())} of {len(sound)} samples are not finite (NaN or infinity): with one of "
            f"them nothing that follows could be heard."
        )
    return torch.from_numpy(sound.astype(np.float32))
