"""A study's summary, made of its report: Markdown as its note, the main figures as its graphs."""

from __future__ import annotations

from collections.abc import Sequence

from hpo.dashboard.notes import Summary, store
from hpo.report.document import Block, Paragraph, Picture, Table
from hpo.report.outline import about
from hpo.report.renderers import as_markdown
from hpo.studies import Study
from hpo.tables.numbers import counted

LONGEST_TABLE = 20


def publish(study: Study, blocks: Sequence[Block] | None = None) -> None:
    """Put the summary of a study on it; `blocks` about it are made anew unless they are given."""
    store(summarize(study, blocks), study)


def summarize(study: Study, blocks: Sequence[Block] | None = None) -> Summary:
    """The note of a study and its graphs, of these blocks about it or of new ones."""
    shown = [_shortened(block, study.name) for block in (about(study) if blocks is None else blocks)]
    pictures = [block for block in shown if isinstance(block, Picture) and block.key]
    graphs = {p.key: (p.figure if p.small is None else p.small).to_json() for p in pictures}
    return Summary(as_markdown("", shown), graphs)


def _shortened(block: Block, name: str) -> Block:
    """A long table as the sentence that says where it is."""
    if isinstance(block, Table) and len(block.rows) > LONGEST_TABLE:
        rows = counted(len(block.rows), "row")
        return Paragraph(f"{block.title}: {rows}, in the report. Make it with: hpo report {name} --out DIR")
    return block
