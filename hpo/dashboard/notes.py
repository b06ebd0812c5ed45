"""The note of a study in optuna-dashboard: ours until a person has written another."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from typing import Any

import optuna
import optuna_dashboard
from optuna_dashboard._note import get_note_from_system_attrs

# What we wrote last. Without it, in a study of an earlier version, a note is ours.
DIGEST_ATTRIBUTE = "hpo:note"


def is_people_s(attributes: Mapping[str, Any]) -> bool:
    """Whether a person has written the note, by the system attributes of the study."""
    body = get_note_from_system_attrs(dict(attributes), None)["body"]
    return bool(body) and attributes.get(DIGEST_ATTRIBUTE, _digest(body)) != _digest(body)


def write_note(study: optuna.Study, text: str) -> None:
    """Make `text` the study's note, unless it is already, or a person has written one."""
    attributes = study._storage.get_study_system_attrs(study._study_id)
    if is_people_s(attributes) or optuna_dashboard.get_note(study) == text:
        return
    # First: what is written without it would be taken for a person's.
    study._storage.set_study_system_attr(study._study_id, DIGEST_ATTRIBUTE, _digest(text))
    optuna_dashboard.save_note(study, text)


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()
