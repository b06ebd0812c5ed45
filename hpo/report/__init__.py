"""Reports of studies: Markdown and one page of HTML.

What they state of arms comes from verdicts alone; the rest are the tables of `analysis` and `studies`,
figures and counts. `outline` puts blocks (`document`) in their order, which `sections`, `searches` and
`finals` make in the words of `sentences`; `renderers` put them out, and `folder` writes them. All but the
names below is private.
"""

from hpo.report.folder import Report, compose
from hpo.report.outline import about
from hpo.report.renderers import as_markdown

__all__ = ["Report", "about", "as_markdown", "compose"]
