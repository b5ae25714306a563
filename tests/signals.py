"""Signal handlers for the time of a test."""

import signal
from contextlib import contextmanager


@contextmanager
def handler(number, action):
    """Handle a signal by `action`, and as before afterwards."""
    before = signal.signal(number, action)
    try:
        yield
    finally:
        signal.signal(number, before)
