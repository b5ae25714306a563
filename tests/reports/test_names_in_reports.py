"""Names of files, folders and labels in tables, pages and cards: shown as text, whatever they contain."""

import dataclasses

import pytest

from distil_nlp.reports import Report
from distil_nlp.reports.layout import code_span, escape_markdown, markdown_rows, text_rows
from distil_nlp.reports.markdown import report_markdown
from tests.hub.sample import make_card, make_report

HOSTILE = "<img src=x onerror=alert(1)>\n# [click](http://evil.example)|`x`\x1b[31m"


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("f1_macro 4x256 sst2-small", "f1_macro 4x256 sst2-small"),
        ("<script>", "&lt;script&gt;"),
        ("[a](b)", r"\[a\](b)"),
        ("https://evil.example", r"https:\//evil.example"),
        ("www.evil.example", r"www\.evil.example"),
        ("a|b`c`*d*_e_", r"a\|b\`c\`\*d\*\_e\_"),
        ("a\n# b", r"a\\n# b"),
        ("&lt; a & b", "&amp;lt; a & b"),
    ],
)
def test_markdown_shows_a_name_as_it_is(name, text):
    assert escape_markdown(name) == text


def test_a_table_keeps_its_rows_and_columns():
    page = markdown_rows(["role", "model"], [["student", HOSTILE]])
    assert len(page.splitlines()) == 3 and page.splitlines()[2].replace(r"\|", "").count("|") == 3
    assert len(text_rows(["role", "model"], [["student", HOSTILE]]).splitlines()) == 3


def test_a_cell_of_a_table_is_cut():
    rows = [["x" * 10**6, "y"]]
    assert all(len(table(["role", "model"], rows)) < 1000 for table in (text_rows, markdown_rows))


def test_code_ends_where_it_should():
    assert code_span("a`b\nc") == r"`a'b\nc`"


def test_neither_a_page_nor_a_card_nor_a_table_contains_markup_of_a_name():
    values = make_report()
    values["models"][1]["name"] = values["differences"][0]["of_name"] = HOSTILE
    values |= {"command": f"distil-nlp run '{HOSTILE}'", "environment": {"cpu": HOSTILE, "packages": {"x": HOSTILE}}}
    report = Report.from_dict(values)
    card = make_card(
        values, model_name=f"runs/{HOSTILE}", dataset=HOSTILE, student_start=HOSTILE, dataset_split=HOSTILE
    )
    pictured = dataclasses.replace(report, pictures={"boxes.png": HOSTILE}, task=HOSTILE)
    # Within code, markup is text; the only code of these pages is in backticks or fences.
    for page in (report_markdown(pictured), card):
        outside = "".join(part for index, part in enumerate(page.split("---\n", 2)[-1].split("`")) if index % 2 == 0)
        assert "<img" not in outside and "\n# [click]" not in page and "\x1b" not in page
        assert "[click](http" not in outside and "http://evil" not in outside
    assert "\x1b" not in str(report) and len(str(report).splitlines()) == 8
