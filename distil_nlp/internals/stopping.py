"""Stopping a process at a signal: Ctrl-C, what clusters send before they kill a process, and a closed terminal."""

import os
import signal
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from types import FrameType

SIGNALS = tuple(getattr(signal, name) for name in ("SIGINT", "SIGTERM", "SIGHUP") if hasattr(signal, name))
_AGAIN_S = 0.05
_HANGUP = getattr(signal, "SIGHUP", None)


class Stopped(KeyboardInterrupt):
    """The process was asked to stop.

    Args:
        message (`str`): What is saved.
        signal_number (`int`): The signal.

    Attributes:
        exit_status (`int`): 128 and the number of the signal, as is customary.
    """

    def __init__(self, message: str = "", signal_number: int = signal.SIGINT):
        super().__init__(message)
        self.exit_status = 128 + signal_number

    def __str__(self) -> str:
        return str(self.args[0])


@contextmanager
def stop_at_signals() -> Iterator[None]:
    """Raise `Stopped` at SIGTERM and SIGHUP, as Python raises KeyboardInterrupt at Ctrl-C; the next signal kills.

    A signal that the program handles itself, or that is ignored (`nohup`), is left alone. One that arrives while Python
    runs a destructor or the callback of a weak reference, which cannot raise, is raised a moment later.
    """
    if threading.current_thread() is threading.main_thread():
        for number in SIGNALS:
            if signal.getsignal(number) == signal.SIG_DFL:
                signal.signal(number, _stop)
    hook = sys.unraisablehook
    sys.unraisablehook = lambda unraisable: _raise_later(unraisable.exc_value) or hook(unraisable)
    try:
        yield
    finally:
        sys.unraisablehook = hook
        _restore_defaults()


def is_unhandled(number: int) -> bool:
    """Whether the program neither handles a signal itself nor ignores it."""
    return signal.getsignal(number) in (signal.SIG_DFL, signal.default_int_handler, _stop)


def survive_closed_terminal(number: int) -> None:
    """Discard the output at a SIGHUP if its terminal was closed: printing would raise before anything is saved."""
    for file in (1, 2) if number == _HANGUP else ():
        try:
            os.write(file, b"\n")
        except OSError:
            with suppress(OSError):
                os.dup2(os.open(os.devnull, os.O_WRONLY), file)


def _raise_later(error: BaseException | None) -> bool:
    """Send the signal again of which Python has ignored the exception; return whether it was one."""
    if not isinstance(error, KeyboardInterrupt):
        return False
    number = error.exit_status - 128 if isinstance(error, Stopped) else signal.SIGINT
    if isinstance(error, Stopped):
        signal.signal(number, _stop)
    timer = threading.Timer(_AGAIN_S, _interrupt_main_thread, [number])
    timer.daemon = True
    timer.start()
    return True


def _interrupt_main_thread(number: int) -> None:
    if hasattr(signal, "pthread_kill"):
        signal.pthread_kill(threading.main_thread().ident, number)  # type: ignore[arg-type]  # it has started
    else:
        signal.raise_signal(number)


def _stop(number: int, frame: FrameType | None) -> None:
    _restore_defaults()
    survive_closed_terminal(number)
    raise Stopped(signal_number=number)


def _restore_defaults() -> None:
    if threading.current_thread() is threading.main_thread():
        for number in SIGNALS:
            if signal.getsignal(number) == _stop:
                signal.signal(number, signal.SIG_DFL)
