"""The report of a comparison, and how it is shown: tables, Markdown, plots."""

from .markdown import environment, report_markdown, write_report
from .tables import text_table

__all__ = ["environment", "report_markdown", "text_table", "write_report"]
