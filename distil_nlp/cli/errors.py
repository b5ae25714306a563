"""How a command ends: a mistake that the user can correct in one sentence, an error of this package with its traceback."""

import linecache
import os
import select
import signal
import sys
import traceback
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

from ..internals.messages import printable
from ..internals.secrets import hide_secrets
from ..internals.stopping import Stopped, stop_at_signals

_PACKAGE = Path(__file__).resolve().parents[1]
_MAX_LENGTH = 4_000  # characters of a message
# Errors of libraries about files, models and settings, by name, so that no library is imported for them.
_OF_INPUT = ("SafetensorError", "BadZipFile", "ArrowInvalid", "YAMLError", "OutOfMemoryError", "HfHubHTTPError")
# Kinds of RuntimeError and ValueError that no input should cause.
_BUGS = (NotImplementedError, RecursionError)


def run_command(command: Callable[[], Any], *, stopped: str = "Stopped.") -> None:
    """Run a command; end the process with a message where it raises.

    Args:
        command (callable): Called without arguments.
        stopped (`str`): The message after Ctrl-C, where the command gives none.

    Raises:
        SystemExit: It was stopped by Ctrl-C, SIGTERM or SIGHUP (128 and the number of the signal, one sentence); the user
            can correct the error (status 1, one sentence); an error of this package (status 1, traceback and where to
            report it).
    """
    with suppress(AttributeError, OSError):  # a name that the terminal's encoding does not have is shown as its code
        sys.stdout.reconfigure(errors="backslashreplace")
    try:
        with stop_at_signals():
            command()
            sys.stdout.flush()
    except KeyboardInterrupt as stop:
        if os.environ.get("RANK", "0") == "0":  # several processes stop together
            with suppress(OSError):
                message = f"{stop} Run the same command again to continue from there." if str(stop) else stopped
                print(message, file=sys.stderr, flush=True)
        sys.exit(stop.exit_status if isinstance(stop, Stopped) else 128 + signal.SIGINT)
    except BrokenPipeError as error:
        if not _stdout_is_closed():
            sys.exit(f"error: {error}")
        sys.exit(1)  # the program that reads the output has ended, as in `| head`
    except Exception as error:
        if not _is_of_input(error):
            traceback.print_exc()
            sys.exit(
                "error: this looks like an error of distil_nlp, not of your input. Please report it in the project's issue "
                "tracker, with the lines above and the command."
            )
        sys.exit(f"error: {_message(error)}")


def _is_of_input(error: BaseException) -> bool:
    """Whether an error is about the input: of a kind that libraries raise for it, or raised by this package on purpose."""
    if isinstance(error, (ValueError, OSError, RuntimeError, ImportError, MemoryError)) and not isinstance(
        error, _BUGS
    ):
        return True
    return any(cls.__name__ in _OF_INPUT for cls in type(error).__mro__) or _is_raised_here(error)


def _is_raised_here(error: BaseException) -> bool:
    """Whether a `raise` statement of this package raised it."""
    frames = list(traceback.walk_tb(error.__traceback__))
    if not frames:
        return False
    frame, line = frames[-1]
    file = frame.f_code.co_filename
    return Path(file).is_relative_to(_PACKAGE) and linecache.getline(file, line).lstrip().startswith("raise ")


def _message(error: BaseException) -> str:
    text = str(error).strip() or type(error).__name__
    if isinstance(error, MemoryError):
        text = f"there is not enough memory ({text}). Use a smaller model, batch or data set."
    elif isinstance(error, OSError) and error.filename is not None and error.strerror:
        text = f"{error.filename}: {error.strerror}."
    text = printable(hide_secrets(text), keep="\n\t")
    return text if len(text) <= _MAX_LENGTH else f"{text[:_MAX_LENGTH]}... ({len(text):,} characters)"


def _stdout_is_closed() -> bool:
    """Whether nothing reads standard output; it is then replaced, so that Python's flush at exit prints no error."""
    try:
        poll = select.poll()
        poll.register(sys.stdout.fileno(), 0)
        is_closed = any(event & (select.POLLERR | select.POLLHUP) for _, event in poll.poll(0))
    except (AttributeError, OSError):  # Windows has no poll; a replaced standard output has no number
        is_closed = True
    if is_closed:
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
    return is_closed
