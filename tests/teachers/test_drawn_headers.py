"""Caches with drawn damage to a header or a shard: opened as they were written, or refused with a sentence."""

import json
import shutil
import zlib
from functools import cache
from pathlib import Path
from tempfile import mkdtemp

import torch
from hypothesis import strategies as st

from distil_nlp.teachers import CachedTeacher
from tests.drawn import drawn

from .cache_building import make_cache

JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**70), 2**70)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(max_size=6)
    | st.sampled_from(["../../secret", "float16", "sampled", "tokens", "spans", "Trainer"]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=6), inner, max_size=3),
    max_leaves=4,
)
PLACES = st.floats(0, 1, exclude_max=True)


@cache
def written(problem):
    """`(folder, header, content by file name, ids of a batch, batch, logits)` of a cache."""
    folder = Path(mkdtemp())
    rows, teacher, collator = make_cache(folder, problem=problem)
    files = {path.name: path.read_bytes() for path in folder.iterdir()}
    batch = dict(collator([rows[number] for number in (3, 0, 7)]))
    return folder, json.loads(files["cache.json"]), files, batch, CachedTeacher(folder)(batch).logits


def opened(folder, files, changed):
    """The teacher of a folder in which one file has changed, or None if it is refused with a sentence."""
    shutil.rmtree(folder)
    folder.mkdir()
    for name, content in {**files, **changed}.items():
        (folder / name).write_bytes(content)
    try:
        return CachedTeacher(folder)
    except ValueError as error:
        assert len(str(error)) > 60 and str(folder) in str(error), error
        return None


def damaged(content, kind, place, value):
    """Bytes with one bit flipped, some inserted, or an end cut off."""
    place = int(place * len(content))
    if kind == "flip":
        return content[:place] + bytes([content[place] ^ (1 << value % 8)]) + content[place + 1 :]
    return content[:place] + (bytes([value, value ^ 1]) + content[place:] if kind == "insert" else b"")


PROBLEMS = st.sampled_from(["single_label_classification", "token"])
DAMAGE = {"kind": st.sampled_from(["flip", "insert", "cut"]), "place": PLACES, "value": st.integers(0, 255)}


@drawn(problem=PROBLEMS, **DAMAGE)
def test_a_damaged_header_is_refused_or_means_the_same(problem, kind, place, value):
    folder, header, files, batch, logits = written(problem)
    teacher = opened(folder, files, {"cache.json": damaged(files["cache.json"], kind, place, value)})
    if teacher is not None:
        assert {name: teacher.header.get(name) for name in header if name != "crc32"} == {
            name: entry for name, entry in header.items() if name != "crc32"
        }
        assert torch.equal(teacher(batch).logits, logits)


@drawn(problem=PROBLEMS, **DAMAGE)
def test_a_damaged_shard_is_refused(problem, kind, place, value):
    folder, _, files, _, _ = written(problem)
    name = "shard-00000.safetensors"
    assert opened(folder, files, {name: damaged(files[name], kind, place, value)}) is None


def entries(value, path=()):
    """Places of all entries of nested lists and dicts."""
    children = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for name, child in children:
        yield (*path, name)
        yield from entries(child, (*path, name))


@drawn(problem=PROBLEMS, place=PLACES, value=JSON, is_removed=st.booleans())
def test_a_header_with_another_entry_and_no_checksum_is_opened_or_refused(problem, place, value, is_removed):
    folder, header, files, _, _ = written(problem)
    header = json.loads(json.dumps({name: entry for name, entry in header.items() if name != "crc32"}))
    settings = header["model"].pop("config")  # its many entries are not looked at
    places = list(entries(header))
    *path, last = places[int(place * len(places))]
    header["model"]["config"] = settings
    parent = header
    for name in path:
        parent = parent[name]
    if is_removed:
        del parent[last]
    else:
        parent[last] = value
    opened(folder, files, {"cache.json": json.dumps(header).encode()})


@drawn(problem=PROBLEMS, **DAMAGE)
def test_a_shard_of_any_content_with_its_checksum_is_opened_or_refused(problem, kind, place, value):
    folder, header, files, _, _ = written(problem)
    name = "shard-00000.safetensors"
    # Half of the places in the header of the shard, which is what can be misread.
    size = int.from_bytes(files[name][:8], "little") + 8
    place = place * 2 * size / len(files[name]) if place < 0.5 else place
    content = damaged(files[name], kind, min(place, 0.999), value)
    header = {entry: header[entry] for entry in header if entry != "crc32"}
    record = {**header["shards"][0], "bytes": max(1, len(content)), "crc32": f"{zlib.crc32(content):08x}"}
    header["shards"] = [record, *header["shards"][1:]]
    opened(folder, files, {name: content, "cache.json": json.dumps(header).encode()})
