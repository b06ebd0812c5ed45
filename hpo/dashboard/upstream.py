"""What optuna-dashboard keeps private, asked for here alone: its version is bounded to what is tested."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from optuna.distributions import BaseDistribution
from optuna.trial import FrozenTrial
from optuna_dashboard._app import JupyterLabExtensionContext as JupyterLabExtensionContext
from optuna_dashboard._custom_plot_data import get_plotly_graph_objects
from optuna_dashboard._note import get_note_from_system_attrs
from optuna_dashboard._serializer import serialize_frozen_trial, serialize_search_space


def stored_note(attributes: Mapping[str, Any]) -> str:
    """The note of a study, by its system attributes; empty if it has none."""
    body: str = get_note_from_system_attrs(dict(attributes), None)["body"]
    return body


def stored_graphs(attributes: Mapping[str, Any]) -> dict[str, str]:
    """The graphs of a study by their ids, as plotly's JSON, by its system attributes."""
    graphs: dict[str, str] = get_plotly_graph_objects(dict(attributes))
    return graphs


def trial_json(study_id: int, trial: FrozenTrial, attributes: dict[str, Any]) -> dict[str, Any]:
    """A trial as the API shows it; `attributes` are the study's system attributes."""
    found: dict[str, Any] = serialize_frozen_trial(study_id, trial, attributes)
    return found


def space_json(distributions: Mapping[str, BaseDistribution]) -> list[dict[str, Any]]:
    """A search space as the API shows it, by name."""
    found: list[dict[str, Any]] = serialize_search_space(sorted(distributions.items()))
    return found
