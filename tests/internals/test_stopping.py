"""A process that is asked to stop ends with a message and the customary status; handlers of the program are left alone."""

import os
import signal
import time

import pytest

from distil_nlp.cli.errors import run_command
from distil_nlp.internals.stopping import SIGNALS, Stopped, is_unhandled, stop_at_signals
from tests.signals import handler


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP])
def test_a_signal_raises_once_and_the_default_is_restored(number):
    with handler(number, signal.SIG_DFL), stop_at_signals():
        assert signal.getsignal(number) != signal.SIG_DFL  # otherwise the signal would end the tests
        with pytest.raises(Stopped) as stop:
            os.kill(os.getpid(), number)
        assert stop.value.exit_status == 128 + number
        assert signal.getsignal(number) == signal.SIG_DFL  # the next one kills


@pytest.mark.parametrize("before", [signal.SIG_IGN, lambda number, frame: None], ids=["ignored", "handled"])
def test_a_signal_that_is_ignored_or_handled_by_the_program_is_left_alone(before):
    with handler(signal.SIGHUP, before), stop_at_signals():
        assert signal.getsignal(signal.SIGHUP) == before and not is_unhandled(signal.SIGHUP)


def test_handlers_are_as_before_after_the_command(default_handlers):
    before = [signal.getsignal(number) for number in SIGNALS]
    with stop_at_signals():
        assert all(is_unhandled(number) for number in SIGNALS)
    assert [signal.getsignal(number) for number in SIGNALS] == before


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_that_arrives_in_a_destructor_stops_the_command_a_moment_later(number, default_handlers, capsys):
    class Slow:
        def __del__(self):
            signal.raise_signal(number)
            time.sleep(0.001)

    def command():
        slow = Slow()
        del slow
        time.sleep(20)
        raise AssertionError("the signal was lost")

    with pytest.raises(SystemExit) as end:
        run_command(command)
    assert end.value.code == 128 + number and "Traceback" not in capsys.readouterr().err


@pytest.mark.parametrize(
    ("stop", "status", "message"),
    [
        (KeyboardInterrupt(), 130, "Stopped."),
        (Stopped("a is at step 3 of 5.", signal.SIGTERM), 143, "a is at step 3 of 5. Run the same command again"),
        (Stopped(signal_number=signal.SIGHUP), 129, "Stopped."),
    ],
)
def test_a_command_that_is_stopped_ends_with_a_message_and_the_customary_status(stop, status, message, capsys):
    def command():
        raise stop

    with pytest.raises(SystemExit) as end:
        run_command(command)
    assert end.value.code == status and capsys.readouterr().err.startswith(message)
