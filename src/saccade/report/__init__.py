"""HTML pages from a run or a study."""

from saccade.report.run_report import write_report

__all__ = ["write_report"]
