"""What the library raises when the cause lies outside its own code."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Self

_ABSENT = object()
# Of what is told at once.
MOST_LINES = 10


class HpoError(Exception):
    """Bad input, told in one line: `place: rule, but got value. remedy`.

    The command line prints the line and exits with code 2; nothing has been created or changed.
    """

    def __init__(self, place: str, rule: str, *, got: object = _ABSENT, remedy: str = "") -> None:
        self.place = place
        self.rule = rule
        self.got = got
        self.further: tuple[HpoError, ...] = ()
        self.remedy = remedy
        value = "" if got is _ABSENT else f", but got {got!r}"
        super().__init__(f"{place}: {rule}{value}." + (f" {remedy}" if remedy else ""))

    @property
    def shown(self) -> str | None:
        """The value as the line shows it; None of an error without one."""
        return None if self.got is _ABSENT else repr(self.got)

    def inside(self, place: str) -> Self:
        """The same error, its place found inside another one: `file: place: rule ...`."""
        inner = type(self)(f"{place}: {self.place}", self.rule, got=self.got, remedy=self.remedy)
        return inner.with_further([error.inside(place) for error in self.further])

    def elsewhere(self, place: str, other: str) -> Self:
        """The same error, of which people know a place by another name."""
        inner = type(self)(self.place.replace(place, other), self.rule, got=self.got, remedy=self.remedy)
        return inner.with_further([error.elsewhere(place, other) for error in self.further])

    def with_further(self, errors: Sequence[HpoError]) -> Self:
        """This error, the first of several that were found at once."""
        self.further = tuple(errors)
        return self

    @property
    def lines(self) -> list[str]:
        """This error and the further ones, a line each, up to ten."""
        told = [str(error) for error in (self, *self.further)]
        more = len(told) - MOST_LINES
        return [*told[:MOST_LINES], f"and {more} more"] if more > 0 else told


class SpecError(HpoError):
    """A study file, or a part of a specification, breaks a rule."""


class DataError(HpoError):
    """A data set is unknown, cannot be had, or is damaged."""


class ModelError(HpoError):
    """A function of a person's own, or the model that it builds, breaks a rule."""


class CodeError(ModelError):
    """A file of a person's own is not the one that a study was made with; `diff` says what changed in it."""

    diff: tuple[str, ...] = ()

    @property
    def lines(self) -> list[str]:
        """The line that says so, and below it what changed."""
        return [*super().lines, *self.diff]


class StorageError(HpoError):
    """The database or the artifact folder cannot be used."""


class StudyError(HpoError):
    """A study is unknown, or its name is taken by another specification."""


class WorkerError(Exception):
    """Workers died and left trials of a study unfinished."""
