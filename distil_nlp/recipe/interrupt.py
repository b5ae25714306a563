"""Ctrl-C: finish the step, save, stop. Again: stop now."""

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
