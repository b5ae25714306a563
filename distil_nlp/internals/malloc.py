"""Setting of the C allocator: memory that a training step frees stays in the process for the next step."""

import ctypes
import os
import platform

_TRIM_THRESHOLD, _TOP_PAD, _MMAP_THRESHOLD = -1, -2, -3  # option numbers of malloc.h
_KEPT_BYTES, _REQUEST_BYTES = 1 << 30, 1 << 26


def keep_freed_memory() -> bool:
    """Let this process keep up to 1 GiB of freed memory instead of returning it to the system.

    The activations of a step are blocks of megabytes. glibc returns most of them to the system when they are freed, and
    requests as many in the next step; the system has to zero them every time. `benchmarks/freed_memory.py` prints the
    cost. A recipe calls this when it trains on a CPU. The setting concerns the whole process, so only the
    program may call it, not library code.

    Returns:
        `bool`: Whether the setting was made. It is not made with another C library than glibc, or where environment
        variables (`MALLOC_..._`, `GLIBC_TUNABLES`) already configure the allocator.
    """
    is_configured = any(name.startswith("MALLOC_") or name == "GLIBC_TUNABLES" for name in os.environ)
    if is_configured or platform.libc_ver()[0] != "glibc":
        return False
    set_option = ctypes.CDLL(None).mallopt
    settings = ((_MMAP_THRESHOLD, _KEPT_BYTES), (_TRIM_THRESHOLD, _KEPT_BYTES), (_TOP_PAD, _REQUEST_BYTES))
    return all([set_option(option, value) for option, value in settings])
