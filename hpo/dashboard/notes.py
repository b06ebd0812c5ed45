"""The note and the graphs of a study in optuna-dashboard: ours, until a person has written another note."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import optuna_dashboard

from hpo.dashboard.upstream import stored_graphs, stored_note
from hpo.registry import StoredStudy
from hpo.storage import set_system_attribute, system_attributes

# What we wrote last. Without it, in a study of an earlier version, a note is ours.
DIGEST_ATTRIBUTE = "hpo:note"


@dataclass(frozen=True)
class Summary:
    """What a study has shown: a note in Markdown, and graphs by their ids, as plotly's JSON."""

    note: str
    graphs: dict[str, str]


def is_written_by_person(attributes: Mapping[str, Any]) -> bool:
    """Whether a person has written the note, by the system attributes of the study."""
    note = stored_note(attributes)
    return bool(note) and attributes.get(DIGEST_ATTRIBUTE, _digest(note)) != _digest(note)


def show(summary: Summary, page: dict[str, Any], attributes: Mapping[str, Any]) -> None:
    """Put a summary in the place of the stored one on what a study's page gets.

    `page` is the API's JSON of the study, `attributes` are its system attributes.
    """
    if not is_written_by_person(attributes):
        page["note"]["body"] = summary.note
    others = [graph for graph in page["plotly_graph_objects"] if graph["id"] not in summary.graphs]
    ours = [{"id": key, "graph_object": graph} for key, graph in summary.graphs.items()]
    page["plotly_graph_objects"] = [*ours, *others]


def store(summary: Summary, study: StoredStudy) -> None:
    """Put a summary on a study. What is there already and has not changed is not written again."""
    # Notes and graphs lie in pieces of 2 kB: two writers at once would mix them.
    with study.storage.lock(f"publish:{study.name}"):
        attributes = system_attributes(study.optuna)
        if not is_written_by_person(attributes) and stored_note(attributes) != summary.note:
            # First: what is written without it would be taken for a person's.
            set_system_attribute(study.optuna, DIGEST_ATTRIBUTE, _digest(summary.note))
            optuna_dashboard.save_note(study.optuna, summary.note)
        there = stored_graphs(attributes)
        for key, graph in summary.graphs.items():
            if there.get(key) != graph:
                _store_graph(key, graph, study)


def _store_graph(key: str, graph: str, study: StoredStudy) -> None:
    import plotly.io  # takes a third of a second, which a dashboard's start need not wait for

    figure = plotly.io.from_json(graph)
    optuna_dashboard.save_plotly_graph_object(study.optuna, figure, graph_object_id=key)


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()
