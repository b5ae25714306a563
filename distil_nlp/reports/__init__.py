"""The report of a comparison: its data and table (`report`), its page (`markdown`, `templates`) and pictures (`box_plots`).

The metrics, intervals and retention in it are computed by `distil_nlp.evaluation.comparison`.
"""

from .markdown import report_markdown, write_report
from .report import Difference, ModelResult, Report, environment, text_table

__all__ = ["Difference", "ModelResult", "Report", "environment", "report_markdown", "text_table", "write_report"]
