"""Tables of strings for a terminal and for Markdown."""

from collections.abc import Sequence


def text_rows(header: Sequence[str], rows: Sequence[Sequence[str]], *, num_words: int = 2) -> str:
    """Rows of strings under a header, in columns; the first `num_words` left-aligned, numbers right-aligned."""
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
    ruler = [*["---"] * num_words, *["---:"] * (len(header) - num_words)]
    return "\n".join(
        "| " + " | ".join(cell.replace("|", "\\|") for cell in row) + " |" for row in [header, ruler, *rows]
    )
