"""The versions that a worker trains with, beside those that its studies were made with."""

from __future__ import annotations

import logging
from functools import cached_property

from hpo.errors import StudyError
from hpo.registry import StoredStudy, place_of
from hpo.versions import differing, versions

logger = logging.getLogger(__name__)


class WorkerVersions:
    """What a worker records of its versions with each trial, and says of them once a study."""

    def __init__(self) -> None:
        self._told: set[int] = set()

    @cached_property
    def _ours(self) -> dict[str, str]:
        return versions()

    def recorded_for(self, study: StoredStudy) -> dict[str, dict[str, str]]:
        """A trial's attributes: this worker's versions, and those of the study where they are others.

        Raises:
            StudyError: the study is strict, and some are.
        """
        theirs = differing(study.versions, self._ours)
        if not theirs:
            return {"versions": self._ours}
        place, made = place_of(study.name), ", ".join(f"{name} {version}" for name, version in theirs.items())
        ours = ", ".join(f"{name} {self._ours[name]}" for name in theirs)
        if study.spec.strict_versions:
            rule = f"was made with {made}, and must be trained with that, as strict_versions says"
            raise StudyError(place, rule, got=ours, remedy="Install what it was made with.")
        if study.id not in self._told:
            self._told.add(study.id)
            logger.warning("%s was made with %s, and is trained here with %s", place, made, ours)
        return {"versions": self._ours, "other_versions": theirs}
