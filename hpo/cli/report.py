"""The command that writes what studies have shown: report."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import typer

from hpo.cli.options import StorageUrl, StudyNames, open_storage, open_study


def report(
    studies: StudyNames,
    out: Annotated[Path, typer.Option("--out", metavar="DIR", help="The folder to write into.")],
    storage: StorageUrl = None,
) -> None:
    """Write report.md and report.html, and put the summary on the studies in optuna-dashboard."""
    opened = open_storage(storage)
    found = [open_study(name, opened) for name in dict.fromkeys(studies)]
    from hpo.dashboard.publishing import publish
    from hpo.report import compose

    made = compose(found)
    for path in made.write(out):
        print(path)
    for study, blocks in zip(made.studies, made.parts, strict=True):
        publish(study, blocks)
    print("The summary is the studies' note in: hpo dashboard", file=sys.stderr)
