"""Studies found by their names."""

from __future__ import annotations

import difflib

import optuna

from hpo.errors import StudyError
from hpo.registry.stored import is_ours, place_of
from hpo.storage import Storage


def find(name: str, storage: Storage, *, asked: str | None = None) -> optuna.Study:
    """The study of that name; `asked` is the place of an error, by default the study.

    Raises:
        StudyError: there is none.
    """
    try:
        return optuna.load_study(study_name=name, storage=storage.optuna)
    except KeyError:
        names = [row.name for row in storage.overview() if is_ours(row.attributes)]
        near = difflib.get_close_matches(name, names, n=1)
        there = f"There are: {', '.join(names)}." if names else "It holds no study yet."
        remedy = f"Did you mean {near[0]!r}?" if near else there
        which = "such study" if asked is None else f"study {name!r}"
        rule = f"there is no {which} in {storage.place}"
        raise StudyError(asked or place_of(name), rule, remedy=remedy) from None
