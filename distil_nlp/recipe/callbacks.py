"""Callbacks that stop a training before its end: at Ctrl-C, or at an epoch."""

import signal
import threading
from typing import Any

from transformers import TrainerCallback, TrainerControl, TrainerState, TrainingArguments


class Interrupted(KeyboardInterrupt):
    """Training stopped at Ctrl-C; a checkpoint was written."""


class SaveOnInterrupt(TrainerCallback):
    """The first Ctrl-C ends the step, writes a checkpoint and stops; the second stops at once.

    With several processes the signal is not handled: they would receive it at different steps, and wait for each other
    without end. Their next run continues from the last regular checkpoint.

    Args:
        num_processes (`int`): Of the training.

    Attributes:
        requested (`bool`): Whether Ctrl-C was pressed.
    """

    def __init__(self, num_processes: int = 1):
        self.requested = False
        self._active = num_processes == 1 and threading.current_thread() is threading.main_thread()
        self._before = None

    def on_train_begin(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any
    ) -> None:
        if self._active:
            self._before = signal.signal(signal.SIGINT, self._request)

    def on_train_end(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any
    ) -> None:
        self._restore()

    def on_step_end(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any
    ) -> None:
        if self.requested:
            control.should_save = control.should_training_stop = True

    def _request(self, *_):
        self.requested = True
        self._restore()
        print("\nInterrupted: finishing this step and saving a checkpoint. Ctrl-C again stops at once.", flush=True)

    def _restore(self):
        if self._before is not None:
            signal.signal(signal.SIGINT, self._before)
            self._before = None


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
