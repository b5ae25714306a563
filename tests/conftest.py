"""What every test may rely on: no network, one thread, tiny models, and real data where there is some."""

import os

# Before transformers and datasets are imported: they read these once.
os.environ["HF_HUB_OFFLINE"] = "1"
os.environ["TRANSFORMERS_OFFLINE"] = "1"
os.environ["HF_DATASETS_OFFLINE"] = "1"
os.environ["TOKENIZERS_PARALLELISM"] = "false"

from pathlib import Path  # noqa: E402

import pytest  # noqa: E402
import torch  # noqa: E402

from tests.tiny import tiny_model, tiny_tokenizer  # noqa: E402

ROOT = Path(__file__).resolve().parents[1]

# Tests are small and several may run at once: threads that wait for each other would cost more than they give.
torch.set_num_threads(1)


@pytest.fixture
def make_model():
    """`tests.tiny.tiny_model`: makes a tiny model from a config."""
    return tiny_model


@pytest.fixture
def tokenizer():
    """A tokenizer of a handful of words, see `tests.tiny.tiny_tokenizer`."""
    return tiny_tokenizer()


@pytest.fixture(scope="session")
def shared_data():
    """The folder of real data sets and models beside the repository; the test is skipped where it is missing."""
    folder = ROOT.parent / "shared" / "data"
    if not folder.is_dir():
        pytest.skip(f"needs the real data in {folder}, which is not part of the repository")
    return folder
