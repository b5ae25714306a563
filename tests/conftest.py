"""What every test may rely on: no network, one thread, tiny models, and real data where there is some."""

import csv
import gc
import json
import os
import signal

# Before transformers and datasets are imported: they read these once.
os.environ["HF_HUB_OFFLINE"] = "1"
os.environ["TRANSFORMERS_OFFLINE"] = "1"
os.environ["HF_DATASETS_OFFLINE"] = "1"
os.environ["TOKENIZERS_PARALLELISM"] = "false"

from pathlib import Path  # noqa: E402

import pytest  # noqa: E402

from tests.drawn import register_profiles  # noqa: E402
from tests.forked import ForkServer  # noqa: E402

ROOT = Path(__file__).resolve().parents[1]

register_profiles()

# Folders with the longest files, the longest first.
LONG = ["sweeps", "distributed", "recipe", "training", "hub", "benchmarks", "teachers"]

# torch, datasets and transformers are imported by the fixtures: the process that only distributes tests to workers
# reads this file as well, and the workers start after it.


def pytest_collection_modifyitems(items):
    """Long files first: a worker that began one of them last would work on it alone while the others are done."""
    items.sort(key=lambda item: LONG.index(item.path.parent.name) if item.path.parent.name in LONG else len(LONG))


@pytest.fixture(autouse=True, scope="session")
def one_thread():
    """Tests are small and several may run at once: threads that wait for each other would cost more than they give."""
    import torch

    torch.set_num_threads(1)


@pytest.fixture(autouse=True, scope="module")
def imported_modules_are_no_garbage():
    """Trainer collects garbage at the start of every run; that takes 0.5 s among everything imported, 0.01 s without."""
    gc.collect()
    gc.freeze()


@pytest.fixture
def make_model():
    """`tests.tiny.tiny_model`: makes a tiny model from a config."""
    from tests.tiny import tiny_model

    return tiny_model


@pytest.fixture
def tokenizer():
    """A tokenizer of a handful of words, see `tests.tiny.tiny_tokenizer`."""
    from tests.tiny import tiny_tokenizer

    return tiny_tokenizer()


@pytest.fixture(scope="session")
def shared_data():
    """The folder of real data sets and models beside the repository; the test is skipped where it is missing."""
    folder = ROOT.parent / "shared" / "data"
    if not folder.is_dir():
        pytest.skip(f"needs the real data in {folder}, which is not part of the repository")
    return folder


@pytest.fixture(autouse=True, scope="session")
def cache_of_datasets(tmp_path_factory):
    import datasets

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(datasets.config, "HF_DATASETS_CACHE", tmp_path_factory.mktemp("datasets"))
        yield


@pytest.fixture(autouse=True, scope="session")
def no_progress_bars():
    import datasets

    datasets.disable_progress_bars()
    yield
    datasets.enable_progress_bars()


@pytest.fixture(scope="session")
def forks():
    """Starts processes that begin with the libraries imported, see `tests.forked`."""
    server = ForkServer(os.environ)
    yield server
    server.close()


@pytest.fixture
def default_handlers():
    """Signals have the handlers of a program that is started in a terminal, also where `nohup` or `&` ignores some."""
    from distil_nlp.internals.stopping import SIGNALS

    before = {number: signal.getsignal(number) for number in SIGNALS}
    for number in SIGNALS:
        signal.signal(number, signal.default_int_handler if number == signal.SIGINT else signal.SIG_DFL)
    yield
    for number, handler in before.items():
        signal.signal(number, handler)


@pytest.fixture
def write(tmp_path):
    """write("train.csv", {"text": [...], "label": [...]}) -> path; the extension decides the format."""
    import datasets

    def write(name, columns):
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        if isinstance(columns, str):
            path.write_text(columns, encoding="utf-8")
        elif path.suffix == ".parquet":
            rows = columns if isinstance(columns, datasets.Dataset) else datasets.Dataset.from_dict(columns)
            rows.to_parquet(path)
        else:
            _write_text(path, [dict(zip(columns, row, strict=True)) for row in zip(*columns.values(), strict=True)])
        return path

    return write


def _write_text(path, rows):
    with path.open("w", encoding="utf-8", newline="") as file:
        if path.suffix == ".json":
            json.dump(rows, file)
        elif path.suffix == ".jsonl":
            file.writelines(json.dumps(row) + "\n" for row in rows)
        else:
            writer = csv.DictWriter(file, rows[0], delimiter="\t" if path.suffix == ".tsv" else ",")
            writer.writeheader()
            writer.writerows(rows)
