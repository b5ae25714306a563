"""Values and names of users in messages: short, and without control characters."""

import ast
import itertools
import re

import pytest
import torch

from distil_nlp.internals.messages import listed, nearest, printable, quoted, shown
from tests.test_layers import package_sources


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


class Unprintable:
    def __repr__(self):
        raise TypeError("no")


def nested(depth):
    value = []
    for _ in range(depth):
        value = [value]
    return value


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (10**5000, "a whole number of 16,610 bits"),
        (nested(10**5), "a list that cannot be printed"),
        (Unprintable(), "a Unprintable that cannot be printed"),
        ([10**5000], "a list that cannot be printed"),
        (torch.zeros(2, 1), r"tensor([[0.],\n        [0.]])"),
        (float("nan"), "nan"),
        ("\u202egood\u2028", r"'\u202egood\u2028'"),
        ({"a" * 300}, "{'" + "a" * 198 + "... (1 entries)"),
    ],
    ids=itertools.count(),
)
def test_a_message_about_a_value_never_fails_and_is_one_line(value, text):
    assert shown(value) == text


def test_names_are_cut_in_number_and_length_and_cannot_act_as_codes():
    names = listed(["x" * 10**7, "\x1b[31m", 10**5000, *range(100_000)])
    assert (
        names.startswith("x" * 200 + r"..., \x1b[31m, ")
        and names.endswith("... (100,003 in all)")
        and len(names) < 600
    )


def test_messages_print_values_by_shown_alone():
    """`!r` and `%r` print a value of 10 MB whole. Only names of our own are printed by them."""
    own = {"distil_nlp", "distil_nlp.evaluation", "distil_nlp.internals.messages"}
    found = {
        f"{module}: {ast.unparse(node.value)}"
        for module, source in package_sources().items()
        for node in ast.walk(ast.parse(source))
        if isinstance(node, ast.FormattedValue) and node.conversion == ord("r") and module not in own
    }
    assert not [module for module, source in package_sources().items() if re.search(r'"[^"\n]*%r\b', source)]
    assert {text for text in found if not text.endswith((".example", ": text"))} == set()
