"""Sequence-level targets: a student is trained on the texts that its teacher generates."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..evaluation import predict
from ..internals.files import read_json, write_json
from ..internals.messages import shown
from ..metrics import plain_text, word_errors
from ..teachers.cache.fingerprints import data_fingerprint

if TYPE_CHECKING:
    import datasets
    import torch

    from ..teachers import OnlineTeacher

MAX_WORD_ERROR = 0.1
_ROWS_PER_PART = 512


def pseudo_labeled(
    rows: datasets.Dataset,
    task: Any,
    teacher: OnlineTeacher,
    processor: Any,
    folder: str | Path,
    *,
    max_word_error: float = MAX_WORD_ERROR,
    device: torch.device | None = None,
) -> tuple[datasets.Dataset, list[int]]:
    """Replace the texts of rows by the teacher's, and leave out rows where the two differ too much.

    Gandhi et al. 2023, "Distil-Whisper: Robust Knowledge Distillation via Large-Scale Pseudo Labeling", section 3.

    Args:
        rows (`datasets.Dataset`): From `prepare` of the task.
        task (`Task`): A task with `generates_text`.
        teacher (`OnlineTeacher`), processor: The teacher and its processor.
        folder (`str` or `Path`): Where the texts are stored; those of an interrupted run are read.
        max_word_error (`float`): Rows where the teacher has a higher word error rate are left out. Default: 0.1.
        device (`torch.device`, *optional*): Device of the teacher.

    Returns:
        `(datasets.Dataset, list[int])`: the rows, with ids from 0; their indices in `rows`.

    Raises:
        ValueError: A limit below 0; no row is left.
    """
    if max_word_error < 0:
        raise ValueError(f"max_word_error is a share of words, 0 or more; got {shown(max_word_error)}.")
    texts = _generated_texts(rows, task, teacher, processor, Path(folder), device)
    errors = [
        0.0 if reference is None else _word_error_rate(reference, text)
        for reference, text in zip(task.texts_of(rows, processor), texts, strict=True)
    ]
    selected = [number for number, error in enumerate(errors) if error <= max_word_error]
    if not selected:
        raise ValueError(
            f"The teacher's word error rate is above {max_word_error} in every one of {len(rows)} clips (the lowest: "
            f"{min(errors):.2f}), so no row is left to train on. Is it a model of this language and this sampling rate? "
            f"Train it first (train_teacher: true), or raise max_word_error."
        )
    return task.with_texts(rows.select(selected), [texts[number] for number in selected], processor), selected


def _word_error_rate(reference: str, text: str) -> float:
    words = plain_text(reference).split()
    return word_errors(words, plain_text(text).split()) / max(len(words), 1)


def _generated_texts(
    rows: datasets.Dataset, task: Any, teacher: OnlineTeacher, processor: Any, folder: Path, device: Any
) -> list[str]:
    """The teacher's text of every row, stored in parts, which an interrupted run does not lose."""
    weights, predictor, texts = teacher.fingerprint(), task.predictor(teacher.model), []
    for start in range(0, len(rows), _ROWS_PER_PART):
        file = folder / f"{start:08d}.json"
        part_rows = rows.select(range(start, min(start + _ROWS_PER_PART, len(rows))))
        # Of the content: the fingerprint of `datasets` depends on places and times, and is random for data in memory.
        content = data_fingerprint(part_rows, part_rows.column_names)
        request = hashlib.sha256(f"{weights} {content}".encode()).hexdigest()
        part = read_json(file) if file.is_file() else {}
        if part.get("asked") != request:
            part = {"asked": request, "texts": _generate(rows, start, task, predictor, processor, device)}
            write_json(file, part)
        texts += part["texts"]
    return texts


def _generate(rows: datasets.Dataset, start: int, task: Any, predictor: Any, processor: Any, device: Any) -> list[str]:
    end = min(start + _ROWS_PER_PART, len(rows))
    tokens = predict(
        predictor,
        rows.select(range(start, end)),
        task.collator_for(processor, {}),
        keep=lambda tokens, batch: list(tokens.cpu().numpy()),
        device=device,
        description=f"Teacher generates texts {start:,} to {end:,} of {len(rows):,}",
    )
    return [processor.tokenizer.decode(row, skip_special_tokens=True) for row in tokens]
