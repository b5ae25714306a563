"""A training that gets a signal saves; signals that the program handles itself, and other processes, are left alone."""

import os
import signal
import traceback
from contextlib import contextmanager

import pytest
from accelerate import PartialState
from transformers import TrainerControl

from distil_nlp.internals.stopping import SIGNALS
from distil_nlp.recipe.callbacks import SaveOnSignal
from tests.signals import handler


@contextmanager
def training():
    """A callback in a training, and what it sets at the end of a step."""
    stop = SaveOnSignal(PartialState())
    stop.on_train_begin(None, None, None)
    try:
        yield stop
    finally:
        stop.close()


def step(stop, during=lambda: None):
    control = TrainerControl()
    stop.on_step_begin(None, None, control)
    during()
    stop.on_step_end(None, None, control)
    return control.should_save, control.should_training_stop


def send(number):
    os.kill(os.getpid(), number)


def in_fork(check):
    """Whether `check` passes in a fork of this process."""
    child = os.fork()
    if child == 0:
        try:
            check()
            os._exit(0)
        except BaseException:
            traceback.print_exc()
            os._exit(1)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_the_first_signal_saves_and_stops_after_the_step_and_the_second_has_its_default(number):
    default = signal.default_int_handler if number == signal.SIGINT else signal.SIG_DFL
    with handler(number, default), training() as stop:
        assert step(stop) == (False, False)
        assert signal.getsignal(number) != default  # otherwise the signal would end the tests
        assert step(stop, lambda: send(number)) == (True, True)
        assert (stop.signal_number, stop.has_stopped) == (number, True)
        assert signal.getsignal(number) == default


@pytest.mark.parametrize("before", [signal.SIG_IGN, lambda number, frame: None], ids=["ignored", "handled"])
def test_a_signal_that_is_ignored_or_handled_by_the_program_is_left_alone(before):
    with handler(signal.SIGTERM, before), training() as stop:
        assert step(stop, lambda: send(signal.SIGTERM)) == (False, False)
        assert signal.getsignal(signal.SIGTERM) == before


def test_handlers_are_as_before_after_the_training(default_handlers):
    before = [signal.getsignal(number) for number in SIGNALS]
    with training():
        assert all(signal.getsignal(number) != old for number, old in zip(SIGNALS, before, strict=True))
    assert [signal.getsignal(number) for number in SIGNALS] == before


def test_a_signal_to_the_group_does_not_end_the_workers_that_load_data():
    def check():
        assert os.getpgid(0) == os.getpid()
        assert signal.getsignal(signal.SIGTERM) == signal.SIG_DFL  # the DataLoader ends its workers by it

    with training():
        assert in_fork(check)


def test_a_closed_terminal_does_not_stop_the_training_before_it_saves():
    def check():
        reading, writing = os.pipe()
        os.close(reading)
        for file in (1, 2):
            os.dup2(writing, file)
        assert step(stop, lambda: send(signal.SIGHUP)) == (True, True)
        os.write(1, b"goes nowhere")
        os.write(2, b"goes nowhere")

    stop = SaveOnSignal(PartialState())

    def check_in_training():
        stop.on_train_begin(None, None, None)
        check()

    with handler(signal.SIGHUP, signal.SIG_DFL):
        assert in_fork(check_in_training)
