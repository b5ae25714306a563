"""How recipes are read: plain words and numbers as their writer means them, every mistake in one sentence."""

import pytest
import yaml

from distil_nlp.recipe.parsing import parse
from distil_nlp.recipe.yaml_loader import load_yaml

BOMB = "a: &a [x,x,x,x,x,x,x,x,x,x]\n" + "".join(
    f"{name}: &{name} [{','.join([f'*{before}'] * 10)}]\n" for before, name in zip("abcdef", "bcdefg", strict=True)
)


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("no", "no"), ("off", "off"), ("yes", "yes"), ("y", "y"), ("true", True), ("FALSE", False),
        ("010", "010"), ("007", "007"), ("0", 0), ("-3", -3), ("1_000", "1_000"), ("0x1F", "0x1F"),
        ("12:30", "12:30"), ("2026-01-31", "2026-01-31"), ("=", "="),
        ("1e-4", 1e-4), ("1.5E3", 1500.0), (".5", 0.5), ("1.", 1.0), ("-.inf", -float("inf")), ("1e", "1e"),
        ("~", None), ("", None), ("null", None), ("'5'", "5"),
    ],
)  # fmt: skip
def test_a_plain_word_is_what_it_looks_like(text, value):
    got = load_yaml(f"a: {text}", "file")["a"]
    assert got == value and type(got) is type(value)


@pytest.mark.parametrize(
    "value", ["no", "010", "12:30", "2026-01-31", "1_000", 1e-4, 3, True, None, "true", "", "~", "5"]
)
def test_what_a_run_writes_is_read_as_it_was(value):
    assert load_yaml(yaml.safe_dump({"a": value}), "file") == {"a": value}


def test_merge_keys_and_aliases_of_ordinary_size_are_read():
    assert load_yaml("x: &a {b: 1, c: 2}\ny: {<<: *a, c: 3}", "file")["y"] == {"b": 1, "c": 3}


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("a: 1\na: 2", r"the key 'a' occurs twice \(line 2, column 1\)"),
        ("a: {b: 1, b: 2}", "the key 'b' occurs twice"),
        ("a: {true: 1, True: 2}", "the key 'True' occurs twice"),
        ("a: {1: 1, 1.0: 2}", "the key '1.0' occurs twice"),
        ("a: {.nan: 1, .nan: 2}", "the key '.nan' occurs twice"),
        ("a: !!bool maybe", "a value does not fit the type that is written before it"),
        ("a: !!timestamp maybe", "a value does not fit the type"),
        ("a: !!int abc", "invalid literal"),
        ("a:\n\tb: 1", "a tab; indent with spaces"),
        ("a: &x [*x]", "more than 100,000 values: its aliases"),
        (BOMB, "more than 100,000 values: its aliases"),
        ("[" * 5000, "nested too deeply"),
        ("a: " + "9" * 5000, "5000 digits"),
        ("a: 'x", r"unexpected end of stream \(line 1"),
        ("a: !!python/object/apply:os.system [x]", "could not determine a constructor"),
        ("? [a]\n: 1", "unhashable key"),
        ("a: 1\n---\nb: 2", "another document"),
        ("a\x00b", "#x0000"),
    ],
)
def test_text_that_is_no_settings_is_refused_in_one_line(text, message):
    with pytest.raises(ValueError, match=message) as refused:
        load_yaml(text, "my.yaml")
    assert str(refused.value).startswith("my.yaml") and "\n" not in str(refused.value)


def parsed(folder, text):
    file = folder / "r.yaml"
    file.write_bytes(text if isinstance(text, bytes) else f"teacher: x\n{text}".encode())
    return parse([str(file)])


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("seeds: 2.5", "seeds should be a whole number; got 2.5"),
        ("seeds:", "seeds should be a whole number; got no value"),
        ("seeds: two", "--seeds: invalid int value: 'two'"),
        ("cache: [1]", r"cache should be true or false; got \[1\]"),
        ("cache: on", "Truthy value expected: got on"),
        ("learning_rate: true", "learning_rate should be a number; got True"),
        ("layers: [0, a]", r"layers should be a list of whole numbers; got \[0, 'a'\]"),
        ("label_column: true", "label_column should be a text; got True. Put a text in quotation marks"),
        ("label_column: 1.10", "label_column should be a text; got 1.1. Put a text in quotation marks"),
        ("label_column: [a]", "label_column should be a text"),
        ("held_out_speakers: [a, ~]", r"should be a list of texts; got \['a', None\]"),
        ("1: 2", "sets 1, which is not a setting"),
        ('train_file: "a\\0b"', r"train_file should be text in UTF-8.*got 'a\\x00b'"),
        ('more_teachers: ["\\udcff"]', r"more_teachers should be text in UTF-8.*got '\\udcff'. Rename"),
        ("seeds: 1" + "0" * 400, "seeds must be a whole number, 1 to 10,000 and finite; got 1000"),
        ("learning_rate: 1" + "0" * 400, "learning_rate must be 0 or greater and finite"),
        ("max_steps: 1e300", r"max_steps must be a whole number, -1 or greater and below 2\*\*63"),
        (b"- 1\n- 2", "should contain `name: value` lines; got .*a list"),
        (b"\xff\xfet\x00", "not text in UTF-8 .byte 0xff at position 0.. .*save it as UTF-8"),
        (b"PK\x03\x04\x99", "not text in UTF-8"),
        (b"#" * ((1 << 20) + 1), "1,048,577 bytes; a recipe is a few lines"),
    ],
)
def test_a_setting_of_another_type_is_refused_with_its_file(text, message, tmp_path):
    with pytest.raises(ValueError, match=message):
        parsed(tmp_path, text)


def test_words_and_numbers_reach_their_settings(tmp_path):
    text = "language: no\ndataset_config_name: 2023\ndataset_name: x\ncache: yes\nmax_steps: 1e3\nsave_strategy: no"
    recipe, training, overrides = parsed(tmp_path, f"{text}\nheld_out_speakers: [007, 1]\nlayers: [0, 1]")
    assert recipe.preprocessing.language == "no" and recipe.data.dataset_config_name == "2023"
    assert recipe.caching.cache is True and training.max_steps == 1000 and training.save_strategy == "no"
    assert recipe.data.held_out_speakers == ["007", "1"] and recipe.models.layers == [0, 1]
    again = parsed(tmp_path, yaml.safe_dump({name: value for name, value in overrides.items() if name != "teacher"}))
    assert again[2] == overrides
    assert parsed(tmp_path, b"\xef\xbb\xbfteacher: a\r\nseeds: 2\r\n")[0].report.seeds == 2


def test_home_stands_for_its_folder_in_every_path(tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    flags = ["--train_file=~/t.csv", "--output_dir", "~/out", "--label_column", "~"]
    (tmp_path / "r.yaml").write_text("teacher: ~/m\nmore_teachers: [~/a, b]\ncache: true\nteacher_cache: ~/c")
    recipe, training, overrides = parse([str(tmp_path / "r.yaml"), *flags])
    assert recipe.models.teacher == f"{tmp_path}/m" == overrides["teacher"]
    assert recipe.models.more_teachers == [f"{tmp_path}/a", "b"] and recipe.caching.teacher_cache == f"{tmp_path}/c"
    assert recipe.data.train_file == f"{tmp_path}/t.csv" and training.output_dir == f"{tmp_path}/out"
    assert overrides["label_column"] == "~"
    monkeypatch.chdir(tmp_path)
    (tmp_path / "~").mkdir()  # a folder of this name is meant
    assert parse(["--teacher", "~"])[0].models.teacher == "~"


def test_a_message_of_the_parser_is_cut():
    with pytest.raises(ValueError, match="invalid int value") as refused:
        parse(["--teacher", "a", "--max_steps", "\x1b1" * 5000])
    assert len(str(refused.value)) < 700 and "\x1b" not in str(refused.value)


def test_a_folder_or_a_missing_file_is_no_recipe(tmp_path):
    with pytest.raises(ValueError, match="is a folder; a recipe is a YAML file"):
        parse([str(tmp_path)])
    with pytest.raises(FileNotFoundError, match="There is no recipe"):
        parse([str(tmp_path / "no.yaml")])
