"""A study's summary in optuna-dashboard: Markdown as its note, the main figures as its graphs."""

from __future__ import annotations

from collections.abc import Sequence

import optuna_dashboard
import plotly.io
from optuna_dashboard._custom_plot_data import get_plotly_graph_objects

from hpo.dashboard.notes import write_note
from hpo.report.document import Block, Paragraph, Picture, Table
from hpo.report.outline import about
from hpo.report.renderers import as_markdown
from hpo.studies import Study
from hpo.tables.numbers import counted

LONGEST_TABLE = 20


def summary_of(study: Study) -> tuple[str, dict[str, str]]:
    """The note of a study, and its graphs by their ids, as plotly's JSON."""
    return _summary(about(study), study.name)


def publish(study: Study) -> None:
    """Put the summary of a study on it. What is there already and has not changed is not written again."""
    publish_blocks(study, about(study))


def publish_blocks(study: Study, blocks: Sequence[Block]) -> None:
    """Put these blocks about a study on it."""
    note, graphs = _summary(blocks, study.name)
    # Notes and graphs lie in pieces of 2 kB: two writers at once would mix them.
    with study.storage.lock(f"publish:{study.name}"):
        write_note(study.optuna, note)
        there = get_plotly_graph_objects(study.storage.optuna.get_study_system_attrs(study.id))
        for key, graph in graphs.items():
            if there.get(key) != graph:
                figure = plotly.io.from_json(graph)
                optuna_dashboard.save_plotly_graph_object(study.optuna, figure, graph_object_id=key)


def _summary(blocks: Sequence[Block], name: str) -> tuple[str, dict[str, str]]:
    note = as_markdown("", [_shortened(block, name) for block in blocks])
    pictures = [block for block in blocks if isinstance(block, Picture) and block.key]
    return note, {p.key: (p.figure if p.small is None else p.small).to_json() for p in pictures}


def _shortened(block: Block, name: str) -> Block:
    """A long table as the sentence that says where it is."""
    if isinstance(block, Table) and len(block.rows) > LONGEST_TABLE:
        rows = counted(len(block.rows), "row")
        return Paragraph(f"{block.title}: {rows}, in the report. Make it with: hpo report {name} --out DIR")
    return block
