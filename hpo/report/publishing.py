"""A study's summary in optuna-dashboard: Markdown as its note, the main figures as its graphs."""

from __future__ import annotations

from collections.abc import Sequence

import optuna_dashboard
from optuna_dashboard._custom_plot_data import get_plotly_graph_objects

from hpo.numbers import counted
from hpo.report.composing import about
from hpo.report.document import Block, Paragraph, Picture, Table
from hpo.report.rendering import as_markdown
from hpo.study import Study

LONGEST_TABLE = 20


def publish(study: Study) -> None:
    """Put the summary of a study on it. What is there already and has not changed is not written again."""
    publish_blocks(study, about(study))


def publish_blocks(study: Study, blocks: Sequence[Block]) -> None:
    """Put these blocks about a study on it."""
    note = as_markdown("", [_shortened(block, study.name) for block in blocks])
    pictures = [block for block in blocks if isinstance(block, Picture) and block.key]
    # Notes and graphs lie in pieces of 2 kB: two writers at once would mix them.
    with study.storage.lock(f"publish:{study.name}"):
        if optuna_dashboard.get_note(study.optuna) != note:
            optuna_dashboard.save_note(study.optuna, note)
        there = get_plotly_graph_objects(study.storage.optuna.get_study_system_attrs(study.id))
        for picture in pictures:
            figure = picture.figure if picture.small is None else picture.small
            if there.get(picture.key) != figure.to_json():
                optuna_dashboard.save_plotly_graph_object(study.optuna, figure, graph_object_id=picture.key)


def _shortened(block: Block, name: str) -> Block:
    """A long table as the sentence that says where it is."""
    if isinstance(block, Table) and len(block.rows) > LONGEST_TABLE:
        rows = counted(len(block.rows), "row")
        return Paragraph(f"{block.title}: {rows}, in the report. Make it with: hpo report {name} --out DIR")
    return block
