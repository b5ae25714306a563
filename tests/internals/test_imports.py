"""Beside a torchvision that cannot be imported, everything works as without torchvision."""

import subprocess
import sys

import pytest

BROKEN = "raise RuntimeError('operator torchvision::nms does not exist')"
# Metadata by which transformers detects that a package is installed.
METADATA = "Metadata-Version: 2.1\nName: torchvision\nVersion: 0.28.0\n"
IMPORTS = """
import sys
import distil_nlp
assert "torch" not in sys.modules, "importing the package imports torch"
import transformers
print(transformers.utils.is_torchvision_available())
from transformers import BertForSequenceClassification, Trainer
from distil_nlp.models import NetworkForImageClassification, image_processor_for
from PIL import Image
pixels = image_processor_for(8, 1)(Image.new("RGB", (9, 9)), return_tensors="pt")["pixel_values"]
model = NetworkForImageClassification.from_network("cnn4", image_size=8, num_channels=1, num_labels=2)
print(tuple(model(pixels).logits.shape), sys.modules["torchvision"])
"""


def in_a_process_beside(folder, source, code):
    (folder / "torchvision").mkdir()
    (folder / "torchvision" / "__init__.py").write_text(source)
    (folder / "torchvision-0.28.0.dist-info").mkdir()
    (folder / "torchvision-0.28.0.dist-info" / "METADATA").write_text(METADATA)
    code = f"import sys; sys.path.insert(0, {str(folder)!r})\n{code}"
    return subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=200)


def test_a_broken_torchvision_is_hidden_with_a_warning(tmp_path):
    done = in_a_process_beside(tmp_path, BROKEN, IMPORTS)
    assert done.stdout.splitlines() == ["False", "(1, 2) None"], done.stderr
    assert "torchvision is installed and cannot be imported (RuntimeError: operator torchvision::nms" in done.stderr


@pytest.mark.parametrize("source", ["", "raise ImportError('no libcudart')", "import sys; sys.no_longer_there"])
def test_a_working_torchvision_stays_and_a_broken_one_is_hidden(source, tmp_path):
    code = "import distil_nlp, transformers, sys; print(sys.modules['torchvision'] is None)"
    assert in_a_process_beside(tmp_path, source, code).stdout.strip() == str(bool(source))


@pytest.mark.slow  # ten seconds of a fresh interpreter; it tests transformers, and fails once the guard is obsolete
def test_without_the_guard_transformers_cannot_import_bert_beside_a_broken_torchvision(tmp_path):
    code = "from transformers import BertForSequenceClassification"
    assert in_a_process_beside(tmp_path, BROKEN, code).returncode != 0
