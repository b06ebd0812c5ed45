"""Reports of studies: Markdown and one page of HTML.

What they state of arms comes from verdicts alone; the rest are figures and counts.
"""

from hpo.report.folder import Report, compose
from hpo.report.outline import about
from hpo.report.renderers import as_markdown

__all__ = ["Report", "about", "as_markdown", "compose"]
