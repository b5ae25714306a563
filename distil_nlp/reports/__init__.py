"""The report of a comparison, and how it is shown: tables, Markdown, plots."""

from .markdown import report_markdown, write_report
from .report import Difference, ModelResult, Report, environment, text_table

__all__ = ["Difference", "ModelResult", "Report", "environment", "report_markdown", "text_table", "write_report"]
