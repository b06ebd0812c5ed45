"""Commands that look after a storage: doctor, backup."""

from __future__ import annotations

import os
import re
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from hpo.cli.console import Format, show
from hpo.cli.options import Output, StorageUrl
from hpo.tables.numbers import counted

if TYPE_CHECKING:
    from hpo.doctor import Finding


def doctor(
    storage: StorageUrl = None,
    repair: Annotated[bool, typer.Option("--repair", help="Mend what can be mended.")] = False,
    output: Output = Format.table,
) -> None:
    """Find what dead workers, full disks and other programs left amiss; exit code 1 if faults remain."""
    from dataclasses import asdict

    from hpo.doctor import examine
    from hpo.storage.engine import located

    findings = examine(storage, repair=repair)
    _, place = located(storage)
    show(
        [_row(finding) for finding in findings],
        output,
        records=[asdict(finding) for finding in findings],
        columns=("place", "fault", "remedy", "repaired"),
        empty=f"No fault found in {place}.",
    )
    repaired = sum(finding.repaired for finding in findings)
    if findings and output == Format.table:
        done = f", {repaired} of them repaired" if repair else ""
        print(f"{counted(len(findings), 'fault')} in {place}{done}.", file=sys.stderr)
    if repaired < len(findings):
        raise typer.Exit(1)


def backup(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="The copy, which must not be there yet.")],
    storage: StorageUrl = None,
) -> None:
    """Copy an SQLite database while workers write to it."""
    from hpo.storage import DEFAULT_ARTIFACT_DIR
    from hpo.storage.backup import backup

    made = backup(file, storage)
    studies = "1 study" if made.studies == 1 else f"{made.studies} studies"
    print(f"Wrote {file}: {studies}, {counted(made.trials, 'trial')}.", file=sys.stderr)
    folder = os.environ.get("HPO_ARTIFACT_DIR") or DEFAULT_ARTIFACT_DIR
    print(
        f"Artifacts are files: copy {folder} now. Copied after the database, it has all that the copy names.",
        file=sys.stderr,
    )


def _row(finding: Finding) -> dict[str, str]:
    """A finding for people: names of files, which are long digests, by their beginnings."""
    text = f"{finding.fault}. {finding.remedy[:1].upper()}{finding.remedy[1:]}"
    return {"place": _short(finding.place), "fault": _short(text)}


def _short(text: str) -> str:
    return re.sub(r"([0-9a-f]{12})[0-9a-f]{20,}((-[0-9a-f]{16})?-[0-9a-f]{32})?", r"\1…", text)
