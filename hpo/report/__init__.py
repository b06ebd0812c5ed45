"""Reports of studies: Markdown, one page of HTML, and the note and graphs of a study in optuna-dashboard.

What they state of arms comes from verdicts alone; the rest are figures and counts.
"""

from hpo.report.publishing import publish, summary_of
from hpo.report.writing import write_report

__all__ = ["publish", "summary_of", "write_report"]
