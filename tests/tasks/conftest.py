"""Small data in files and in memory, and a cache of `datasets` that goes away with the tests."""

import csv
import json

import datasets
import pytest


@pytest.fixture(autouse=True, scope="session")
def cache_of_datasets(tmp_path_factory):
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(datasets.config, "HF_DATASETS_CACHE", tmp_path_factory.mktemp("datasets"))
        yield


@pytest.fixture(autouse=True, scope="session")
def no_progress_bars():
    datasets.disable_progress_bars()
    yield
    datasets.enable_progress_bars()


@pytest.fixture
def write(tmp_path):
    """write("train.csv", {"text": [...], "label": [...]}) -> path; the extension decides the format."""

    def write(name, columns):
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        if isinstance(columns, str):
            path.write_text(columns, encoding="utf-8")
        elif path.suffix == ".parquet":
            (columns if isinstance(columns, datasets.Dataset) else datasets.Dataset.from_dict(columns)).to_parquet(
                path
            )
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
