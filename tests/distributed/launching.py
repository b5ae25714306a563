"""Two processes for a test, as `accelerate launch` starts them."""

import gc
import os
import signal
import socket
import time
from datetime import timedelta


def in_two_processes(forks, folder, script, *arguments, seconds=280):
    """Start a script with the arguments and, for each process, its rank and the port for `join`.

    Raises:
        AssertionError: A process failed, or both have not ended after some seconds.
    """
    port = free_port()
    processes = [forks.start(script, *arguments, rank, port, cwd=folder) for rank in (0, 1)]
    end = time.monotonic() + seconds
    try:
        while None in (codes := [process.poll() for process in processes]) and not any(codes):
            assert time.monotonic() < end, f"still running after {seconds} s"
            time.sleep(0.02)
        assert codes == [0, 0], "\n".join(process.stderr()[-5000:] for process in processes)
    finally:
        for process in processes:
            if process.poll() is None:
                process.send_signal(signal.SIGKILL)
    (folder / "printed.txt").write_text("".join(process.stdout() for process in processes))


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def join(rank, port, *, seconds=280):
    """Become one of the two processes. A process that waits for the other longer than some seconds fails."""
    import torch
    from accelerate import PartialState

    # What `accelerate launch` tells each process.
    launched = {"RANK": rank, "LOCAL_RANK": rank, "WORLD_SIZE": "2", "LOCAL_WORLD_SIZE": "2", "MASTER_PORT": port}
    os.environ.update(launched, MASTER_ADDR="127.0.0.1", ACCELERATE_USE_CPU="true")
    gc.freeze()
    torch.set_num_threads(1)
    process = PartialState(cpu=True, timeout=timedelta(seconds=seconds))
    assert torch.distributed.get_world_size() == process.num_processes == 2, process
    return process
