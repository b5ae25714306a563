"""Tables of strings for a terminal and for Markdown, and names of users in both."""

import re
from collections.abc import Sequence
from typing import Any

from ..internals.messages import MAX_SHOWN, printable

_HTML = {"&": "&amp;", "<": "&lt;", ">": "&gt;"}
# Markdown reads these as code, emphasis, links, tables, HTML or entities; "_" within a word, as in f1_macro, is a letter.
_MARKDOWN = re.compile(r"[\\`*\[\]<>|~]|(?<![^\W_])_|_(?![^\W_])|&(?=[#\w])|(?<=:)/(?=/)|(?<=www)\.", re.IGNORECASE)


def escape_markdown(text: Any) -> str:
    """Text for a line or a table of Markdown, which shows it as it is: no markup, no HTML, no link, no line break."""
    return _MARKDOWN.sub(lambda match: _HTML.get(match[0], "\\" + match[0]), printable(text))


def code_span(text: Any) -> str:
    """Text as code within a line of Markdown."""
    return "`" + printable(text).replace("`", "'") + "`"


def _cut(cell: str) -> str:
    cell = str(cell)  # a damaged report may contain numbers as names
    return cell if len(cell) <= MAX_SHOWN else f"{cell[:MAX_SHOWN]}..."


def text_rows(header: Sequence[str], rows: Sequence[Sequence[str]], *, num_words: int = 2) -> str:
    """Rows of strings under a header, in columns; the first `num_words` left-aligned, numbers right-aligned."""
    header, *rows = ([printable(_cut(cell)) for cell in row] for row in [header, *rows])
    widths = [max(len(row[column]) for row in [header, *rows]) for column in range(len(header))]
    return "\n".join(
        "  ".join(
            cell.ljust(width) if column < num_words else cell.rjust(width)
            for column, (cell, width) in enumerate(zip(row, widths, strict=True))
        ).rstrip()
        for row in [header, ["-" * width for width in widths], *rows]
    )


def markdown_rows(header: Sequence[str], rows: Sequence[Sequence[str]], *, num_words: int = 2) -> str:
    """Rows of strings under a header as a Markdown table; alignment as in `text_rows`."""
    header, *rows = ([escape_markdown(_cut(cell)) for cell in row] for row in [header, *rows])
    ruler = [*["---"] * num_words, *["---:"] * (len(header) - num_words)]
    return "\n".join("| " + " | ".join(row) + " |" for row in [header, ruler, *rows])
