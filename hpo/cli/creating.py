"""How commands make a study of a file."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from hpo.cli.options import fetch, open_storage
from hpo.errors import DataError, HpoError, SpecError
from hpo.tables.console import say

if TYPE_CHECKING:
    from hpo.studies import Study


def say_accepted(study: Study, asked: str) -> None:
    """Say which study is that of people's code as it is now, if it is not the one that was asked for."""
    if study.name != asked:
        files = ", ".join(dict.fromkeys(Path(code.file).name for code in study.spec.own_code.values()))
        say(f"{study.name} is the study with {files} as it is now; {asked} stays as it is.")


def create_from(path: Path, storage: str | None, trials: int | None, *, accept_code: bool) -> Study:
    """The study of a file, registered; `trials`: in place of the file's."""
    from hpo.spec import SearchSpec, load, parse, to_table

    _refuse_name(path, storage)
    spec = load(path)
    if trials is not None:
        if not isinstance(spec, SearchSpec):
            raise SpecError(
                "--trials", f"is for a search, and {path} is a comparison", remedy="Set seeds instead."
            )
        spec = parse(to_table(spec) | {"trials": trials}, source="--trials")
    from hpo.studies import create_study  # takes longer than to find a mistake in the file

    try:
        fetch(spec.data.name)
        study = create_study(spec, storage=storage, accept_code=accept_code)
    except DataError as error:
        raise error.inside(str(path)) from None
    if accept_code:
        say_accepted(study, spec.name)
    return study


def _refuse_name(path: Path, storage: str | None) -> None:
    """Say what trains a stored study, to somebody who names one in the place of a file."""
    if path.exists() or path.suffix:
        return
    from hpo.registry import summaries

    name = str(path)
    try:
        names = [summary.name for summary in summaries(open_storage(storage))]
    except HpoError:  # there is no database
        return
    if name in names:
        rule = "is the name of a stored study, not of a study file"
        raise SpecError(name, rule, remedy=f"Train what is left of it with: hpo resume {name}")
