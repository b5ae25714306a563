"""A teacher that was asked once: its logits lie on disk, keyed by example."""

from pathlib import Path

from safetensors import safe_open
from safetensors.torch import save_file

from ..files import read_json, replacing, write_json
from ..signals import Signals
from .base import Teacher
from .labels import label_names, reorder

_LOGITS, _HEADER = "logits.safetensors", "cache.json"
KEY = "example_id"


def write_cache(folder, logits, header):
    """Write logits so that `CachedTeacher(folder)` can give them back, whole or not at all.

    Args:
        folder (`str` or `Path`): Made when missing.
        logits (`torch.Tensor`): Shape (examples, classes), float32; row i answers example_id i.
        header (`dict`): JSON-ready: "fingerprint" (the teacher's), "teacher" (its name), "labels" (names or None),
            and whatever else a reader must find unchanged, such as the data's fingerprint.
    """
    folder = Path(folder)
    with replacing(folder / _LOGITS) as temporary:
        save_file({"logits": logits.contiguous()}, temporary)
    # Last, because its presence says that the rest is whole.
    write_json(folder / _HEADER, {**header, "shape": list(logits.shape), "dtype": "float32"})


class CachedTeacher(Teacher):
    """Gives back what a teacher said when it was asked once; no model is in memory.

    Args:
        folder (`str` or `Path`): Written by `write_cache`.
        expect (`dict`, *optional*): Parts of the header that must be as given.

    Raises:
        FileNotFoundError: No finished cache is there.
        ValueError: A part of the header differs; the message says which.
    """

    columns = (KEY,)

    def __init__(self, folder, *, expect=None):
        self.folder = Path(folder)
        if not (self.folder / _HEADER).is_file():
            raise FileNotFoundError(f"{self.folder} holds no finished cache of teacher logits ({_HEADER} is missing).")
        self.header = read_json(self.folder / _HEADER)
        for part, value in (expect or {}).items():
            if self.header.get(part) != value:
                raise ValueError(
                    f"The cache in {self.folder} was made with another {part} ({self.header.get(part)!r}, now {value!r}), "
                    f"so its logits answer other questions. Delete the folder to have it made anew."
                )
        self.name = self.header["teacher"]
        with safe_open(self.folder / _LOGITS, framework="pt") as file:
            self._logits = file.get_tensor("logits")
        self._order = None

    def match(self, student, tokenizer=None):
        ours, theirs = label_names(student), self.header.get("labels")
        self._order = reorder(ours, theirs) if ours and theirs else None

    def __call__(self, batch):
        ids = batch[KEY]
        logits = self._logits[ids.cpu()].to(ids.device)
        return Signals(logits if self._order is None else logits[..., self._order])

    def fingerprint(self):
        return self.header["fingerprint"]
