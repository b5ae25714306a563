"""Memory that one training step frees is kept for the next."""

import ctypes
import os
import platform

_TRIM_THRESHOLD, _TOP_PAD, _MMAP_THRESHOLD = -1, -2, -3  # as malloc.h numbers them
_AT_MOST, _AT_ONCE = 1 << 30, 1 << 26  # bytes


def keep_freed_memory():
    """Have this process keep up to 1 GiB of freed memory instead of handing it back to the system.

    The activations of a step are blocks of megabytes. glibc returns most of them to the system when they are freed, and
    asks for as many in the next step; the system fills them with zeros, every step anew.
    `benchmarks/freed_memory.py` prints what that costs. A recipe calls this where it trains on a processor; it concerns
    the whole process, so a library must not do it unasked.

    Returns:
        `bool`: Whether it was done: not where another C library than glibc allocates, nor where the environment says
        already what to do (`MALLOC_..._`, `GLIBC_TUNABLES`).
    """
    told = any(name.startswith("MALLOC_") or name == "GLIBC_TUNABLES" for name in os.environ)
    if told or platform.libc_ver()[0] != "glibc":
        return False
    set_option = ctypes.CDLL(None).mallopt
    wishes = ((_MMAP_THRESHOLD, _AT_MOST), (_TRIM_THRESHOLD, _AT_MOST), (_TOP_PAD, _AT_ONCE))
    return all([set_option(option, value) for option, value in wishes])
