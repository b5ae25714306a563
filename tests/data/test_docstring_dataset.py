"""The quickstart's data set: docstrings read from folders of Python files, which are never run."""

import json
import re
from collections import Counter

import pytest

from distil_nlp.data import docstring_dataset
from distil_nlp.data.docstring_dataset import docstring_splits, write_docstring_splits

SIZES = {"train": 4, "unlabeled": 8, "validation": 4, "test": 4}
NOUNS = "anchor basket candle desert engine forest garden hammer island jacket kettle ladder".split()


def write_library(root, texts_by_file):
    for name, texts in texts_by_file.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        functions = [f'def f{index}():\n    """{text}"""\n' for index, text in enumerate(texts)]
        path.write_text("\n".join(functions), encoding="utf-8")
    return root


@pytest.fixture
def libraries(tmp_path):
    """Two libraries of twelve files with two docstrings each, no two of which share their words."""
    return {
        label: write_library(
            tmp_path / label,
            {
                f"{noun}.py": [f"{verb} the {noun} of a {label[::-1]} and go home.", f"Is this {noun} {verb} or not?"]
                for noun in NOUNS
            },
        )
        for label, verb in [("birdlib", "Feather"), ("fishlib", "Swim")]
    }


def texts_of(tmp_path, *docstring_list, label="birdlib"):
    """The texts collected from one file with these docstrings."""
    found = docstring_dataset._collect({label: write_library(tmp_path, {"module.py": docstring_list})}, max_rows=100)
    return [text for _, text in found[label]]


def test_classes_are_equally_frequent_in_every_split(libraries):
    for split, rows in docstring_splits(libraries, sizes=SIZES).items():
        assert Counter(row["label"] for row in rows) == dict.fromkeys(libraries, SIZES[split] // 2), split


def test_the_same_seed_gives_the_same_rows_and_another_seed_others(libraries):
    assert docstring_splits(libraries, sizes=SIZES) == docstring_splits(libraries, sizes=SIZES)
    assert docstring_splits(libraries, sizes=SIZES) != docstring_splits(libraries, seed=1, sizes=SIZES)


def test_rows_of_one_file_are_never_in_two_of_train_validation_and_test(libraries):
    sizes = {"train": 6, "unlabeled": 22, "validation": 10, "test": 10}
    splits = docstring_splits(libraries, sizes=sizes)
    parts = [splits["test"], splits["validation"], splits["train"] + splits["unlabeled"]]
    files = [{(row["label"], noun) for row in part for noun in NOUNS if noun in row["text"]} for part in parts]
    assert sum(len(part) for part in files) == len(set().union(*files)) == 24


def test_no_text_is_in_two_splits(libraries):
    texts = [row["text"] for rows in docstring_splits(libraries, sizes=SIZES).values() for row in rows]
    assert len(texts) == len(set(texts)) == sum(SIZES.values())


def test_only_the_first_paragraph_is_kept(tmp_path):
    assert texts_of(
        tmp_path,
        "Returns the weight of\n    every bird in the nest.\n\n    It is measured in grams.\n",
        "Counts the eggs of a nest.\n    Args:\n        nest: the nest that is looked at\n",
        "Paints a feather in the color.\n    >>> paint(the_feather, in_red)\n",
    ) == [
        "Returns the weight of every bird in the nest.",
        "Counts the eggs of a nest.",
        "Paints a feather in the color.",
    ]


def test_docstrings_of_modules_and_classes_are_read_and_the_code_is_not_run(tmp_path):
    (tmp_path / "module.py").write_text(
        '"""The module that is about nests."""\nraise SystemExit("run")\n\n'
        'class Nest:\n    """A place for the eggs of a bird."""\n',
        encoding="utf-8",
    )
    found = docstring_dataset._collect({"birdlib": tmp_path}, max_rows=100)["birdlib"]
    assert [text for _, text in found] == ["The module that is about nests.", "A place for the eggs of a bird."]


def test_all_forms_of_a_librarys_name_are_masked_in_the_texts_of_all_libraries(tmp_path):
    roots = {
        "birdlib": write_library(tmp_path / "b", {"m.py": ["Makes a BirdLib nest for the birdlib.nest.Nest class."]}),
        "fishlib": write_library(
            tmp_path / "f", {"m.py": ["Unlike a BIRDLIB-like thing, this is about fishlib's sea."]}
        ),
    }
    found = docstring_dataset._collect(roots, max_rows=100)
    assert [text for _, text in found["birdlib"]] == ["Makes a library nest for the library class."]
    assert [text for _, text in found["fishlib"]] == ["Unlike a library-like thing, this is about library's sea."]


@pytest.mark.parametrize(("label", "alias"), [("networkx", "nx"), ("pandas", "pd"), ("transformers", "Hugging Face")])
def test_the_usual_import_name_of_a_library_is_masked(tmp_path, label, alias):
    assert texts_of(tmp_path, f"This is the {alias} way to do it.", label=label) == [
        "This is the library way to do it."
    ]


@pytest.mark.parametrize(
    ("marked", "plain"),
    [
        ("Uses the :class:`~birds.Nest` to hatch an egg.", "Uses the birds.Nest to hatch an egg."),
        ("Uses the ``Nest`` to hatch an *egg*.", "Uses the Nest to hatch an egg."),
        ("Uses the [`Nest`](https://nest.example/a) to hatch an egg.", "Uses the Nest to hatch an egg."),
        ("Uses the `nest <https://nest.example>`_ to hatch an egg.", "Uses the nest to hatch an egg."),
    ],
)
def test_markup_is_removed(tmp_path, marked, plain):
    assert texts_of(tmp_path, marked) == [plain]


@pytest.mark.parametrize(
    "text",
    ["Too short to say.", "x_1 = [0, 1, 2, 3] + {4: 5} % 6", "word " * 61, "Größe für ähnliche Vögel überall über Öl"],
)
def test_texts_unlike_an_english_sentence_are_left_out(tmp_path, text):
    assert texts_of(tmp_path, text) == []


def test_texts_that_differ_only_in_identifiers_and_numbers_are_reduced_to_one(tmp_path):
    texts = [
        f"Construct a {name} for the eggs of {count} birds." for name, count in [("BigNest", 2), ("small_nest", 30)]
    ]
    assert texts_of(tmp_path, *texts) == texts[:1]


def test_a_text_that_two_libraries_share_is_in_neither(tmp_path):
    shared, own = "Returns the number of items in it.", "Returns the number of eggs in it."
    roots = {
        "birdlib": write_library(tmp_path / "b", {"m.py": [shared, own]}),
        "fishlib": write_library(tmp_path / "f", {"m.py": [shared]}),
    }
    found = docstring_dataset._collect(roots, max_rows=100)
    assert [text for _, text in found["birdlib"]] == [own]
    assert found["fishlib"] == []


def test_tests_and_files_that_do_not_parse_are_skipped(tmp_path):
    text = "Makes a nest for the bird."
    write_library(tmp_path, {"tests/nest.py": [text], "test_nest.py": [text]})
    (tmp_path / "template.py").write_text("def {{ name }}():", encoding="utf-8")
    assert docstring_dataset._collect({"birdlib": tmp_path}, max_rows=100) == {"birdlib": []}


def test_a_file_gives_at_most_max_rows_per_file(tmp_path):
    texts = [f"Makes the {first} of a {second}." for first in NOUNS for second in NOUNS]
    assert len(texts_of(tmp_path, *texts)) == docstring_dataset.MAX_ROWS_PER_FILE


def test_too_few_docstrings_is_an_error_that_names_the_library_and_counts(libraries):
    with pytest.raises(ValueError, match=r"'birdlib' has 24 usable docstrings, too few for 40 rows in 'train'"):
        docstring_splits(libraries, sizes={**SIZES, "train": 80})


def test_a_library_that_is_not_installed_is_an_error_with_the_install_command(monkeypatch):
    monkeypatch.setattr(docstring_dataset, "LIBRARIES", ("python", "no_such_library"))
    with pytest.raises(ModuleNotFoundError, match=r"'no_such_library' is not installed.*distil-nlp\[quickstart\]"):
        docstring_dataset.installed_libraries()


@pytest.fixture
def written(libraries, tmp_path, monkeypatch):
    """Splits written from the two libraries, and a list with one item for each time the docstrings were read."""
    calls = []
    monkeypatch.setattr(docstring_dataset, "installed_libraries", lambda: libraries)
    monkeypatch.setattr(
        docstring_dataset,
        "docstring_splits",
        lambda *args, **kwargs: calls.append(1) or docstring_splits(*args, **kwargs),
    )
    return write_docstring_splits(tmp_path / "data", sizes=SIZES), calls


def test_the_files_contain_the_collected_rows_and_unlabeled_rows_have_no_label(written, libraries):
    paths, _ = written
    read = {split: [json.loads(line) for line in path.read_text().splitlines()] for split, path in paths.items()}
    expected = docstring_splits(libraries, sizes=SIZES)
    expected["unlabeled"] = [{"text": row["text"]} for row in expected["unlabeled"]]
    assert read == expected


def test_written_files_are_not_written_again(written, tmp_path):
    paths, calls = written
    assert write_docstring_splits(tmp_path / "data", sizes=SIZES) == paths
    assert len(calls) == 1


def test_another_seed_or_size_or_a_changed_file_is_written_again(written, tmp_path):
    paths, calls = written
    write_docstring_splits(tmp_path / "data", sizes=SIZES, seed=1)
    write_docstring_splits(tmp_path / "data", sizes={**SIZES, "train": 6}, seed=1)
    paths["test"].write_text("cut off")
    write_docstring_splits(tmp_path / "data", sizes={**SIZES, "train": 6}, seed=1)
    assert len(calls) == 4
    assert paths["test"].read_text() != "cut off"


def test_the_manifest_contains_versions_and_counts(written, tmp_path):
    manifest = json.loads((tmp_path / "data" / "manifest.json").read_text())
    assert manifest["counts"] == SIZES
    assert manifest["versions"] == {"birdlib": "unknown", "fishlib": "unknown"}


@pytest.mark.parametrize("name", ["train.jsonl", "manifest.json"])
def test_files_of_a_user_are_not_overwritten(name, written, tmp_path):
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / name).write_text("[]")
    with pytest.raises(ValueError, match=f"contains {name}.*Move yours, or choose another folder"):
        write_docstring_splits(tmp_path / "mine", sizes=SIZES)
    assert [path.read_text() for path in (tmp_path / "mine").iterdir()] == ["[]"]


@pytest.mark.slow  # reads the sources of the installed libraries, about 10 s
def test_a_linear_model_is_right_on_half_to_seventy_percent_of_the_installed_libraries():
    from sklearn.feature_extraction.text import TfidfVectorizer
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline

    splits = docstring_splits()
    for rows in splits.values():
        assert not [row for row in rows if re.search("sympy|networkx|pandas|transformers|python", row["text"], re.I)]
    train, test = (
        ([row["text"] for row in rows], [row["label"] for row in rows]) for rows in map(splits.get, ("train", "test"))
    )
    model = make_pipeline(TfidfVectorizer(sublinear_tf=True), LogisticRegression(C=10.0)).fit(*train)
    assert 0.5 < model.score(*test) < 0.7
