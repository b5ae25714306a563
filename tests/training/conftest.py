"""Trainer collects garbage at the start of every run; that takes 0.2 s among everything imported, 0.01 s without."""

import gc

import pytest


@pytest.fixture(autouse=True, scope="module")
def imported_modules_are_no_garbage():
    gc.collect()
    gc.freeze()
    yield
    gc.unfreeze()
