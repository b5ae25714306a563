"""Values and names of users in messages: short, and without control characters."""

import pytest

from distil_nlp.internals.messages import nearest, printable, quoted, shown


def test_a_value_is_cut_to_a_length_and_its_size_is_named():
    assert shown("x" * 10_000) == f"'{'x' * 200}'... (10,000 characters)"
    assert shown(list(range(1_000_000))).endswith("... (1,000,000 entries)") and len(shown(list(range(10_000)))) < 250
    assert shown({"a": 1}) == "{'a': 1}" and shown("\x1b[31m") == r"'\x1b[31m'"
    assert len(nearest("temprature" * 10_000, ["temperature"])) < 250


@pytest.mark.parametrize(
    ("name", "text"),
    [("a\x1b[2Jb", r"a\x1b[2Jb"), ("a\nb\tc", r"a\nb\tc"), ("\u202etxt.exe", r"\u202etxt.exe"), ("\udcff", r"\udcff")],
)
def test_a_name_cannot_act_as_a_code_of_the_terminal(name, text):
    assert printable(name) == text and printable(f"é {name}") == f"é {text}"


def test_line_breaks_of_a_message_are_kept():
    assert printable("one\ntwo\r", keep="\n") == "one\ntwo\\r"


def test_a_quoted_text_is_a_literal_of_python():
    for text in ('a"b', "a\\b", "a\nb", "ü"):
        assert eval(quoted(text)) == text
