"""Callbacks that stop a training before its end: at a signal, or at an epoch."""

import os
import signal
import threading
from contextlib import suppress
from types import FrameType
from typing import Any, ClassVar

import torch
from accelerate import PartialState
from torch import distributed
from transformers import TrainerCallback, TrainerControl, TrainerState, TrainingArguments

from ..internals.stopping import SIGNALS, Stopped, is_unhandled, survive_closed_terminal


class Interrupted(Stopped):
    """Training stopped at a signal; a checkpoint was written."""


class SaveOnSignal(TrainerCallback):
    """The first SIGINT (Ctrl-C), SIGTERM or SIGHUP ends the step, writes a checkpoint and stops; the second stops at once.

    Processes of one training stop after the same step, whichever of them gets the signal. A signal that the program
    handles itself, or that is ignored (`nohup`), is left alone. Handlers are installed when training begins, and `close`
    restores those of before.

    Args:
        process (`PartialState`): This process among those of the training.

    Attributes:
        signal_number (`int`): The signal that was received, in this process or another one; 0: none.
        has_stopped (`bool`): Whether the training was stopped for it.
    """

    active: ClassVar["SaveOnSignal | None"] = None  # while its handlers are installed

    def __init__(self, process: PartialState):
        self.process, self.signal_number, self.has_stopped = process, 0, False
        self._before: dict[int, Any] = {}
        self._agreement = _Agreement(process)

    def on_train_begin(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any
    ) -> None:
        if threading.current_thread() is threading.main_thread() and self._agreement.is_possible:
            self._before |= {
                number: signal.signal(number, self._request) for number in SIGNALS if is_unhandled(number)
            }
            SaveOnSignal.active = self

    def on_step_begin(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any
    ) -> None:
        self._agreement.begin(self.signal_number)

    def on_step_end(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any
    ) -> None:
        if number := self._agreement.end(self.signal_number):
            self.signal_number, self.has_stopped = number, True
            control.should_save = control.should_training_stop = True

    def close(self) -> None:
        """Restore the signal handlers of before."""
        for number, handler in self._before.items():
            signal.signal(number, handler)
        self._before = {}
        SaveOnSignal.active = None

    def agree(self) -> int:
        """The signal that any process of the training has received, or 0; call it in all of them."""
        self._agreement.begin(self.signal_number)
        self.signal_number = self._agreement.end(self.signal_number)
        return self.signal_number

    def _request(self, number: int, frame: FrameType | None) -> None:
        self.signal_number = number
        self.close()
        survive_closed_terminal(number)
        if self.process.is_main_process:
            name = "Interrupted" if number == signal.SIGINT else signal.Signals(number).name
            with suppress(OSError):
                print(
                    f"\n{name}: finishing this step and saving a checkpoint. A second signal (Ctrl-C) stops at once.",
                    flush=True,
                )


class StopAtEpoch(TrainerCallback):
    """Ends a training before the end of its schedule: a small student may learn more from a teacher that was stopped early
    (Cho and Hariharan 2019).

    The learning rate is still high then, unlike at the end of a training of fewer epochs.

    Args:
        epoch (`float`): The first step that ends at or after it is the last.
    """

    def __init__(self, epoch: float):
        self.epoch = epoch

    def on_step_end(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any
    ) -> None:
        control.should_training_stop |= state.epoch >= self.epoch

    # A run that resumes from its last step has no step left.
    on_epoch_begin = on_step_end


class _Agreement:
    """The greatest of a number among processes, exchanged while a step runs, and without the device that trains.

    Args:
        process (`PartialState`): This process among those of the training.
    """

    _group: Any = None  # of all processes, made once

    def __init__(self, process: PartialState):
        self.process = process
        self._value, self._work = torch.zeros(1, dtype=torch.int32), None

    @property
    def is_possible(self) -> bool:
        """Whether the processes can exchange a number."""
        return self.process.num_processes == 1 or (distributed.is_available() and distributed.is_initialized())

    def begin(self, number: int) -> None:
        """Start the exchange; call it in all processes."""
        if self.process.num_processes == 1 or not self.is_possible:
            return
        if _Agreement._group is None:
            _Agreement._group = distributed.new_group(backend="gloo")
        self._value.fill_(number)
        self._work = distributed.all_reduce(
            self._value, distributed.ReduceOp.MAX, group=_Agreement._group, async_op=True
        )

    def end(self, number: int) -> int:
        """The greatest number of all processes; of a single process, its own at this time."""
        if self._work is None:
            return number
        self._work.wait()
        self._work = None
        return int(self._value)


def _in_fork() -> None:
    """In a fork, such as a worker that loads data: signals to the whole group are for the process that trains."""
    if SaveOnSignal.active is not None:
        SaveOnSignal.active = None
        for number in SIGNALS:
            default = signal.default_int_handler if number == signal.SIGINT else signal.SIG_DFL
            signal.signal(number, default)
        with suppress(OSError):
            os.setpgid(0, 0)


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_in_fork)
