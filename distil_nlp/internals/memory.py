"""Available memory, and a refusal of what cannot fit before anything is allocated."""

from pathlib import Path


def available_memory() -> int | None:
    """Bytes of memory that this process can still allocate, by the kernel and by the limit of its container; None where
    the system does not tell."""
    amounts = []
    try:
        for line in Path("/proc/meminfo").read_text().splitlines():
            if line.startswith(("MemAvailable:", "SwapFree:")):
                amounts.append(1024 * int(line.split()[1]))
        amounts = [sum(amounts)] if amounts else []
        limit, used = (Path("/sys/fs/cgroup", name).read_text().strip() for name in ("memory.max", "memory.current"))
        if limit != "max":
            amounts.append(max(0, int(limit) - int(used)))
    except (OSError, ValueError):
        pass
    return min(amounts, default=None)


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
