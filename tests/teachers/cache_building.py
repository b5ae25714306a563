"""Builds small caches for tests, also in a process that a test kills."""

import time

from transformers import DataCollatorForTokenClassification, DataCollatorWithPadding

from distil_nlp.collators.text import MaskedCollator
from distil_nlp.data.examples import add_example_ids
from distil_nlp.teachers import OnlineTeacher, build_cache
from distil_nlp.teachers.cache import build as caching
from tests.tiny import tiny_model, tiny_tokenizer
from tests.training.runs import make_rows

_TASKS = {"token": "token", "masked": "mlm"}
_COLLATORS = {"token": DataCollatorForTokenClassification, "masked": MaskedCollator}


def teacher_of(problem="single_label_classification", *, seed=2):
    num_labels = 1 if problem == "regression" else 3
    return OnlineTeacher(tiny_model(task=_TASKS.get(problem, "sequence"), seed=seed, num_labels=num_labels))


def collator_of(problem="single_label_classification"):
    return _COLLATORS.get(problem, DataCollatorWithPadding)(tiny_tokenizer())


def make_cache(folder, *, problem="single_label_classification", teacher=None, rows=None, **settings):
    """Build a cache; return its rows, teacher and collator."""
    rows = add_example_ids(make_rows(problem=problem)) if rows is None else rows
    teacher = teacher_of(problem) if teacher is None else teacher
    collator = collator_of(problem)
    build_cache(folder, teacher, rows, collator, **settings)
    return rows, teacher, collator


def one_example_per_shard(setattr=setattr):
    """Make shards of one example; `setattr` may be a monkeypatch's."""
    setattr(caching, "_SHARD_BYTES", 1)
    setattr(caching, "_MAX_SHARDS", 1 << 20)


def build_slowly(folder, pause):
    """Build a cache with one shard per example, and wait before and after every shard."""
    one_example_per_shard()
    write = caching.write_shard

    def slowly(*shard):
        time.sleep(pause)
        record = write(*shard)
        time.sleep(pause)
        return record

    caching.write_shard = slowly
    make_cache(folder)
