"""Memory: what is available, a refusal of what cannot fit, and the setting by which freed memory stays in the process."""

import ctypes
import os
import platform
from pathlib import Path

_TRIM_THRESHOLD, _TOP_PAD, _MMAP_THRESHOLD = -1, -2, -3  # option numbers of malloc.h
_KEPT_BYTES, _REQUEST_BYTES = 1 << 30, 1 << 26


def available_memory() -> int | None:
    """Bytes of memory that this process can still allocate, by the kernel and by the limit of its container; None where
    the system does not tell."""
    return min((amount for amount in (_of_the_kernel(), _of_the_container()) if amount is not None), default=None)


def _of_the_kernel() -> int | None:
    lines = _read("/proc/meminfo").splitlines()
    amounts = [1024 * int(line.split()[1]) for line in lines if line.startswith(("MemAvailable:", "SwapFree:"))]
    return sum(amounts) if amounts else None


def _of_the_container() -> int | None:
    limit, used = (_read(f"/sys/fs/cgroup/memory.{name}").strip() for name in ("max", "current"))
    if not (limit.isdigit() and used.isdigit()):  # no limit, or no such files
        return None
    lines = (line.split() for line in _read("/sys/fs/cgroup/memory.stat").splitlines())
    # Cached files count as used, and are given up when memory is needed.
    cached = sum(int(amount) for name, amount in lines if name in ("active_file", "inactive_file"))
    return max(0, int(limit) - int(used) + cached)


def _read(path: str) -> str:
    return Path(path).read_text() if Path(path).is_file() else ""


def require_memory(num_bytes: int, what: str, way_out: str) -> None:
    """Raise a ValueError where `num_bytes` are more than the memory that is available.

    Args:
        num_bytes (`int`): A lower bound of what is needed.
        what (`str`): What needs it, the beginning of a sentence.
        way_out (`str`): A sentence.
    """
    available = available_memory()
    if available is not None and num_bytes > available:
        raise ValueError(
            f"{what} needs at least {_size(num_bytes)} of memory, and {_size(available)} are available. {way_out}"
        )


def _size(num_bytes: int) -> str:
    return f"{num_bytes / 1e9:,.1f} GB"


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
