"""The quickstart's data set: docstrings of installed libraries, to be classified by library.

It needs no download: the libraries are dependencies, and their files are parsed with `ast`, never imported. A row is the
first paragraph of a docstring; its label is the library. Features that would reveal the library without its content are
removed:

- the names of the libraries, their dotted paths and usual import names (`nx`, `pd`), in the texts of all libraries;
- markup, which differs between libraries (roles, double or single backticks, links);
- repetition: a text that two libraries share is dropped, and of texts that differ only in identifiers and numbers
  ("Construct a BertTokenizer", "Construct a RobertaTokenizer") one remains.

Words of the library's subject, such as "dataframe" and "graph", remain. Rows of one file are never in two of train,
validation and test; labeled and unlabeled training rows may share files.
"""

import ast
import hashlib
import importlib.metadata
import importlib.util
import json
import platform
import random
import re
import sysconfig
import warnings
from collections.abc import Iterable, Mapping
from pathlib import Path

from tqdm.auto import tqdm

from ..internals.files import read_json, write_json, write_text
from ..internals.locks import waiting_lock
from ..internals.messages import listed, shown

LIBRARIES = ("networkx", "pandas", "python", "sympy", "transformers")
SIZES = {"train": 250, "unlabeled": 6600, "validation": 500, "test": 1250}
MASK = "library"
MIN_WORDS, MAX_WORDS = 5, 60
MAX_ROWS_PER_FILE = 20  # a file of a thousand methods is not representative of its library

_MANIFEST = "manifest.json"
_SKIPPED_FOLDERS = {"__pycache__", "test", "tests", "benchmarks", "site-packages", "dist-packages", "_vendor"}
_OTHER_NAMES = {"networkx": [r"\bnx\b"], "pandas": [r"\bpd\b"], "transformers": [r"hugging ?face", r"\bhf\b"]}
_SECTION = re.compile(
    r"\s*(>>>|\.\. |:\w+[ \w]*:\s|[-=~*^#]{3,}|@\w+"
    r"|(args?|arguments|parameters?|params|returns?|yields?|raises|examples?|usage|notes?|see also)\s*:?\s*$)",
    re.IGNORECASE,
)
_MARKUP = [
    (re.compile(r"!?\[([^\]]*)\]\([^)]*\)"), r"\1"),  # [text](address)
    (re.compile(r"`([^`<]*?)\s*<[^>`]*>`_*"), r"\1"),  # `text <address>`_
    (re.compile(r"\bhttps?://\S+"), " "),
    (re.compile(r":[a-z]+(?::[a-z]+)?:`[~!]?([^`]*)`"), r"\1"),  # :func:`name`
    (re.compile(r"[`*|$\[\]{}<>\\~]|(?<=\w)_(?=\W|$)"), " "),
    (re.compile(r"\s+(?=[.,;:!?)])"), ""),  # spaces left where markup was
]
_IDENTIFIER = re.compile(r"\b(?:\w*[._\d]\w[\w.]*|\w*[a-z]\w*[A-Z]\w*|\w*[A-Z]{2}\w*)\b")
_COMMON_WORDS = set("a an and are as at be by for from if in into is it not of on or that the this to with".split())


def installed_libraries() -> dict[str, Path]:
    """The folder of each of `LIBRARIES`; "python" is the standard library.

    Raises:
        ModuleNotFoundError: A library is not installed.
    """
    folders = {}
    for label in LIBRARIES:
        spec = None if label == "python" else importlib.util.find_spec(label)
        if label == "python":
            folders[label] = Path(sysconfig.get_paths()["stdlib"])
        elif spec is None:
            raise ModuleNotFoundError(
                f"The quickstart reads the docstrings of {', '.join(LIBRARIES)}, and {shown(label)} is not installed. "
                f'Install it: pip install "distil-nlp[quickstart]".'
            )
        else:
            folders[label] = Path(spec.submodule_search_locations[0])
    return folders


def docstring_splits(
    libraries: Mapping[str, Path] | None = None, *, seed: int = 0, sizes: Mapping[str, int] = SIZES
) -> dict[str, list[dict[str, str]]]:
    """Splits of docstrings labeled with their library, every class equally often in train, validation and test.

    Args:
        libraries (`dict[str, Path]`, *optional*): Label -> folder. Default: `installed_libraries()`.
        seed (`int`): Decides which files are in which split and which training rows keep their label. The same
            versions and the same seed give the same rows.
        sizes (`dict[str, int]`): Rows of "train", "unlabeled", "validation" and "test", all classes together.

    Returns:
        `dict[str, list[dict]]`: Split -> rows `{"text", "label"}`, shuffled. The rows of "unlabeled" have their label,
        too, for inspection. There are fewer of them than `sizes` where a library has too few docstrings.

    Raises:
        ModuleNotFoundError: See `installed_libraries`.
        ValueError: A library has too few docstrings to fill train, validation and test.
    """
    libraries = installed_libraries() if libraries is None else libraries
    shares = {split: count // len(libraries) for split, count in sizes.items()}
    # The rest of the last file of a split is not used elsewhere, hence more than the sizes.
    max_rows = sum(shares.values()) + 3 * MAX_ROWS_PER_FILE
    splits = {split: [] for split in sizes}
    for label, rows in _collect(libraries, max_rows).items():
        for split, texts in _divide(label, rows, shares, random.Random(f"{seed} {label}")).items():
            splits[split] += [{"text": text, "label": label} for text in texts]
    for split, rows in splits.items():
        random.Random(f"{seed} {split}").shuffle(rows)
    return splits


def write_docstring_splits(folder: str | Path, *, seed: int = 0, sizes: Mapping[str, int] = SIZES) -> dict[str, Path]:
    """Write `docstring_splits()` to `train.jsonl`, `unlabeled.jsonl` (no labels), `validation.jsonl`, `test.jsonl`.

    `manifest.json`, written last, contains versions, seed, counts and the files' fingerprint. Where it matches the
    arguments and the files, they are not written again.

    Args:
        folder (`str` or `Path`): Created where it does not exist.
        seed, sizes: See `docstring_splits`.

    Returns:
        `dict[str, Path]`: Split -> file.
    """
    folder = Path(folder)
    libraries = installed_libraries()
    paths = {split: folder / f"{split}.jsonl" for split in sizes}
    request = {
        "versions": {label: _version(label) for label in sorted(libraries)},
        "code": hashlib.sha256(Path(__file__).read_bytes()).hexdigest()[:16],
        "seed": seed,
        "sizes": dict(sizes),
    }
    if not _is_written(folder / _MANIFEST, request, paths.values()):
        with waiting_lock(folder, "writes the docstrings there"):
            if not _is_written(folder / _MANIFEST, request, paths.values()):
                _write(folder, paths, libraries, request)
    return paths


def _write(folder: Path, paths: Mapping[str, Path], libraries: Mapping[str, Path], request: dict) -> None:
    splits = docstring_splits(libraries, seed=request["seed"], sizes=request["sizes"])
    _check_own(folder, paths.values())
    write_json(folder / _MANIFEST, request)  # first, so that the files of a killed writer are known as its own
    for split, rows in splits.items():
        written_rows = [{"text": row["text"]} for row in rows] if split == "unlabeled" else rows
        write_text(paths[split], "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in written_rows))
    counts = {split: len(rows) for split, rows in splits.items()}
    write_json(folder / _MANIFEST, {**request, "counts": counts, "fingerprint": _fingerprint(paths.values())})


def _check_own(folder: Path, paths: Iterable[Path]) -> None:
    """Raise ValueError for files of a user with the names of those that are written."""
    manifest = folder / _MANIFEST
    content = read_json(manifest) if manifest.is_file() else None
    is_own = isinstance(content, dict) and {"versions", "code", "seed"} <= content.keys()
    foreign = [path.name for path in [manifest, *paths] if path.exists()]
    if foreign and not is_own:
        raise ValueError(
            f"{folder} contains {listed(foreign)}, and the files that are written there have these names. Move yours, or "
            f"choose another folder."
        )


def _is_written(manifest: Path, request: dict, paths: Iterable[Path]) -> bool:
    """Whether the files are those of the same request."""
    if not all(path.is_file() for path in [manifest, *paths]):
        return False
    written = read_json(manifest)
    return (
        isinstance(written, dict)
        and request.items() <= written.items()
        and written.get("fingerprint") == _fingerprint(paths)
    )


def _fingerprint(paths: Iterable[Path]) -> str:
    digest = hashlib.sha256()
    for path in paths:
        digest.update(hashlib.sha256(path.read_bytes()).digest())
    return digest.hexdigest()


def _version(label: str) -> str:
    try:
        return platform.python_version() if label == "python" else importlib.metadata.version(label)
    except importlib.metadata.PackageNotFoundError:  # a folder that is not an installed package
        return "unknown"


def _collect(libraries: Mapping[str, Path], max_rows: int) -> dict[str, list[tuple[Path, str]]]:
    """Label -> up to `max_rows` (file, text), without texts that differ only in identifiers and numbers."""
    mask = _mask(libraries)
    rows_of, owner, shared = {}, {}, set()
    with tqdm(total=max_rows * len(libraries), desc="Reading docstrings", unit="row", delay=3) as progress:
        for label, root in sorted(libraries.items()):
            rows = rows_of[label] = {}
            for file in _source_files(Path(root)):
                for text in _texts(file, mask):
                    key = _normalized(text)
                    if owner.setdefault(key, label) != label:
                        shared.add(key)
                    elif key not in rows:
                        rows[key] = (file, text)
                        progress.update()
                if len(rows) >= max_rows:
                    break
    return {label: [row for key, row in rows.items() if key not in shared] for label, rows in rows_of.items()}


def _divide(
    label: str, rows: list[tuple[Path, str]], shares: Mapping[str, int], generator: random.Random
) -> dict[str, list[str]]:
    """Split -> texts: whole files for test and validation, the others for train and unlabeled."""
    by_file = {}
    for file, text in rows:
        by_file.setdefault(file, []).append(text)
    files = list(by_file)
    generator.shuffle(files)
    splits = {}
    for split in ("test", "validation"):
        splits[split] = []
        while files and len(splits[split]) < shares[split]:
            splits[split] += by_file[files.pop()]
    pool = [text for file in files for text in by_file[file]]
    generator.shuffle(pool)
    splits["train"], splits["unlabeled"] = pool[: shares["train"]], pool[shares["train"] :]
    for split, share in shares.items():
        if len(splits[split]) < share and split != "unlabeled":
            raise ValueError(
                f"{shown(label)} has {len(rows)} usable docstrings, too few for {share} rows in {shown(split)} (rows per "
                f"library: {shares}). Choose smaller `sizes`, or leave the library out."
            )
        splits[split] = splits[split][:share]
    return splits


def _source_files(root: Path) -> list[Path]:
    """The Python files below `root` without tests, ordered by a hash of their names: the same order on every machine."""
    files = {path.relative_to(root).as_posix(): path for path in root.rglob("*.py")}
    names = [name for name in files if not _SKIPPED_FOLDERS & set(name.split("/")) and "test" not in files[name].name]
    return [files[name] for name in sorted(names, key=lambda name: hashlib.sha256(name.encode()).digest())]


def _texts(file: Path, mask: re.Pattern) -> list[str]:
    """The cleaned first paragraphs of the docstrings in `file`, at most `MAX_ROWS_PER_FILE`."""
    texts = []
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # invalid escapes in their sources
            tree = ast.parse(file.read_bytes())
    except (SyntaxError, ValueError):  # templates and broken samples are not data
        return texts
    for node in ast.walk(tree):
        if isinstance(node, (ast.Module, ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)):
            text = _clean(ast.get_docstring(node) or "", mask)
            if _reads_like_english(text):
                texts.append(text)
    return texts[:MAX_ROWS_PER_FILE]


def _clean(docstring: str, mask: re.Pattern) -> str:
    """The first paragraph on one line, without markup and without the libraries' names."""
    lines = []
    for line in docstring.splitlines():
        if not line.strip() or _SECTION.match(line):
            break
        lines.append(line)
    text = " ".join(lines)
    for pattern, replacement in _MARKUP:
        text = pattern.sub(replacement, text)
    return " ".join(mask.sub(MASK, text).split())


def _mask(labels: Iterable[str]) -> re.Pattern:
    """A pattern of the names of all libraries: "SymPy", "sympy.core.add", "nx", also inside of a word."""
    names = [re.escape(label) for label in labels] + [name for label in labels for name in _OTHER_NAMES.get(label, [])]
    return re.compile(rf"(?:{'|'.join(names)})(?:\.\w+)*", re.IGNORECASE)


def _reads_like_english(text: str) -> bool:
    """Whether a text looks like an English sentence: enough words, mostly letters, at least one common word."""
    words = re.findall(r"[^\W\d_]+", text)
    letters = sum(character.isascii() and (character.isalpha() or character == " ") for character in text)
    return (
        MIN_WORDS <= len(text.split()) <= MAX_WORDS
        and len(words) >= MIN_WORDS
        and letters >= 0.85 * len(text)
        and any(word.lower() in _COMMON_WORDS for word in words)
    )


def _normalized(text: str) -> str:
    """The text without identifiers, numbers, case and punctuation."""
    return " ".join(re.findall(r"[a-z]+", _IDENTIFIER.sub(" ", text).lower()))
