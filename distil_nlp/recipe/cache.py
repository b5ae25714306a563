"""The teacher is asked once; every epoch, seed and later run reads what it said."""

import hashlib

import torch
from pyarrow.ipc import RecordBatchStreamWriter

from ..evaluation import predict_logits
from ..teachers import CachedTeacher, write_cache
from ..teachers.labels import label_names


def cached_teacher(run):
    """The teacher of a run as a `CachedTeacher`, asked now where that has not happened yet.

    Args:
        run (`Run`): With teacher, transfer data and collator.
    """
    folder = run.folder.path / "teacher_cache"
    header = {
        "fingerprint": run.teacher.fingerprint(),
        "data": data_fingerprint(run.data.transfer),
        "labels": label_names(run.teacher.model),
        "teacher": run.teacher.name,
    }
    if run.state.is_main_process and not (folder / "cache.json").is_file():
        logits = predict_logits(
            run.teacher.model.to(run.state.device),
            run.data.transfer,
            run.data.collator,
            description="Asking the teacher",
        )
        write_cache(folder, torch.from_numpy(logits), header)
    run.state.wait_for_everyone()
    return CachedTeacher(folder, expect=header)


def data_fingerprint(dataset):
    """SHA-256 over the token ids (and segments) of a prepared data set, in order."""
    columns = [name for name in ("input_ids", "token_type_ids") if name in dataset.column_names]
    digest = hashlib.sha256()

    class Sink:
        def write(self, data):
            digest.update(data)
            return len(data)

        closed = False

        def flush(self):
            pass

        def close(self):
            pass

    table = dataset.select_columns(columns).with_format("arrow")[:].replace_schema_metadata(None).combine_chunks()
    with RecordBatchStreamWriter(Sink(), table.schema) as writer:
        writer.write_table(table)
    return digest.hexdigest()
