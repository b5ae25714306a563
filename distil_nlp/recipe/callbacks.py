"""Stopping before the end: by Ctrl-C (finish the step, save, stop; again: stop now), or at an epoch."""

import signal
import threading

from transformers import TrainerCallback


class Interrupted(KeyboardInterrupt):
    """Training stopped because somebody asked; a checkpoint was written."""


class SaveOnInterrupt(TrainerCallback):
    """The first Ctrl-C ends the step, writes a checkpoint and stops; the second stops at once.

    With several processes it stays out of the way: they would see the signal at different steps, and wait for each
    other for ever. They go on from their last regular checkpoint.
    """

    def __init__(self, num_processes=1):
        self.asked = False
        self._active = num_processes == 1 and threading.current_thread() is threading.main_thread()
        self._before = None

    def on_train_begin(self, args, state, control, **kwargs):
        if self._active:
            self._before = signal.signal(signal.SIGINT, self._ask)

    def on_train_end(self, args, state, control, **kwargs):
        self._restore()

    def on_step_end(self, args, state, control, **kwargs):
        if self.asked:
            control.should_save = control.should_training_stop = True

    def _ask(self, *_):
        self.asked = True
        self._restore()
        print("\nInterrupted: finishing this step and saving a checkpoint. Ctrl-C again stops at once.", flush=True)

    def _restore(self):
        if self._before is not None:
            signal.signal(signal.SIGINT, self._before)
            self._before = None


class StopAtEpoch(TrainerCallback):
    """Ends a training in the course of its schedule, after Cho and Hariharan 2019: a small student may learn more from a
    teacher that was stopped early.

    The learning rate is still high then: a training of fewer epochs, whose rate has come down, is another thing.

    Args:
        epoch (`float`): The first step that ends at or after it is the last.
    """

    def __init__(self, epoch):
        self.epoch = epoch

    def on_step_end(self, args, state, control, **kwargs):
        control.should_training_stop |= state.epoch >= self.epoch

    # A run resumed from its last step has none to take.
    on_epoch_begin = on_step_end
