"""What a teacher writes down becomes what its student learns to write."""

import hashlib
from pathlib import Path

from ..evaluation import predict
from ..internals.files import read_json, write_json
from ..metrics import plain_text, word_errors

USUAL_MOST_ERRORS = 0.1
_ROWS_AT_ONCE = 512


def pseudo_labeled(rows, task, teacher, processor, folder, *, max_word_error=USUAL_MOST_ERRORS, device=None):
    """Rows with the teacher's texts, without those whose given text the teacher did not hear.

    Gandhi et al. 2023, "Distil-Whisper: Robust Knowledge Distillation via Large-Scale Pseudo Labeling", section 3.

    Args:
        rows (`datasets.Dataset`): From `prepare` of the task.
        task (`Task`): One that `writes`.
        teacher (`OnlineTeacher`), processor: Who writes, and what its tokens are.
        folder (`str` or `Path`): Where the texts are kept; of a run that was cut off, those that are there are read.
        max_word_error (`float`): Rows are left out where the teacher made more errors a word than this.
        device (`torch.device`, *optional*): Where the teacher writes.

    Returns:
        `(datasets.Dataset, list[int])`: the rows, with ids from 0; their numbers among those that came.

    Raises:
        ValueError: A limit below 0; no row is left.
    """
    if max_word_error < 0:
        raise ValueError(f"max_word_error is a share of words, 0 or more; got {max_word_error}.")
    texts = _written(rows, task, teacher, processor, Path(folder), device)
    errors = [
        0.0 if given is None else _errors_a_word(given, text)
        for given, text in zip(task.texts_of(rows, processor), texts, strict=True)
    ]
    kept = [number for number, error in enumerate(errors) if error <= max_word_error]
    if not kept:
        raise ValueError(
            f"The teacher made more than {max_word_error} errors a word in every one of {len(rows)} clips (the fewest: "
            f"{min(errors):.2f}), so that its student would learn nothing right. Is it a model of this language, and does "
            f"it hear this sampling rate? Train it first (train_teacher: true), or raise max_word_error."
        )
    return task.with_texts(rows.select(kept), [texts[number] for number in kept], processor), kept


def _errors_a_word(given, written):
    said = plain_text(given).split()
    return word_errors(said, plain_text(written).split()) / max(len(said), 1)


def _written(rows, task, teacher, processor, folder, device):
    """The teacher's text of every row, in parts that a killed run does not lose."""
    asked = hashlib.sha256(f"{teacher.fingerprint()} {rows._fingerprint} {len(rows)}".encode()).hexdigest()
    speaker, texts = task.predictor(teacher.model), []
    for start in range(0, len(rows), _ROWS_AT_ONCE):
        file = folder / f"{start:08d}.json"
        part = read_json(file) if file.is_file() else {}
        if part.get("asked") != asked:
            part = {"asked": asked, "texts": _texts(rows, start, task, speaker, processor, device)}
            write_json(file, part)
        texts += part["texts"]
    return texts


def _texts(rows, start, task, speaker, processor, device):
    end = min(start + _ROWS_AT_ONCE, len(rows))
    tokens = predict(
        speaker,
        rows.select(range(start, end)),
        task.collator_for(processor, {}),
        keep=lambda tokens, batch: list(tokens.cpu().numpy()),
        device=device,
        description=f"Teacher writes {start:,} to {end:,} of {len(rows):,}",
    )
    return [processor.tokenizer.decode(row, skip_special_tokens=True) for row in tokens]
