"""What several commands share: arguments, options, and how they open a study and its data."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from hpo.cli.output import Format

if TYPE_CHECKING:
    from hpo.storage import Storage
    from hpo.studies import Study


def _told_of_passwords(context: typer.Context, parameter: typer.CallbackParam, url: str | None) -> str | None:
    """`--storage` as it is; says so if a password was typed in it, where everybody can see it."""
    source = context.get_parameter_source(str(parameter.name))
    if url and not url.startswith("@") and source is not None and source.name == "COMMANDLINE":
        from hpo.storage.engine import masked  # takes a third of a second

        if masked(url) != url:
            print(
                "--storage: its password stands in the list of processes, which everybody on this machine"
                " sees. Put the URL in HPO_STORAGE, or in a file, and name that: --storage @FILE",
                file=sys.stderr,
            )
    return url


def stored_names(context: typer.Context, incomplete: str) -> list[str]:
    """The studies whose names a shell may complete so: those of `--storage`, if it can be read."""
    from hpo.registry import summaries

    try:
        found = summaries(open_storage(context.params.get("storage")))
    except Exception:  # to the prompt of a shell nothing is to be said
        return []
    return [summary.name for summary in found if summary.name.startswith(incomplete)]


SpecPath = Annotated[Path, typer.Argument(metavar="SPEC", help="A study file.")]
StudyName = Annotated[
    str, typer.Argument(metavar="STUDY", help="A study's name.", autocompletion=stored_names)
]
StudyNames = Annotated[
    list[str], typer.Argument(metavar="STUDY", help="Studies' names.", autocompletion=stored_names)
]
StorageUrl = Annotated[
    str | None,
    typer.Option(
        "--storage",
        envvar="HPO_STORAGE",
        callback=_told_of_passwords,
        help="Database URL; @FILE reads it from a file.",
        show_default="sqlite:///hpo.db",
    ),
]
Output = Annotated[
    Format, typer.Option("--format", metavar="FORMAT", help="table, json, csv, latex, markdown or html.")
]
Trials = Annotated[int | None, typer.Option(min=1, help="Trials of a search, in place of the file's.")]
Workers = Annotated[
    int | None, typer.Option(min=1, help="Worker processes.", show_default="one for each core")
]
EngineName = Annotated[
    Literal["local", "ray"],
    typer.Option("--engine", help="Who starts workers: this machine, or a Ray cluster (extra: ray)."),
]
Address = Annotated[
    str | None,
    typer.Option(
        metavar="HOST:PORT", help="Of a Ray cluster, or auto.", show_default="one on this machine alone"
    ),
]
CpusPerWorker = Annotated[
    float | None, typer.Option(min=0.01, help="Cores of a Ray cluster for each.", show_default="1")
]
GpusPerWorker = Annotated[
    float | None, typer.Option(min=0.0, help="GPUs of a Ray cluster for each, or a share of one.")
]
Timeout = Annotated[
    float | None,
    typer.Option(min=0, metavar="SECONDS", help="Stop after this time; `hpo resume` goes on."),
]

AcceptCode = Annotated[
    bool,
    typer.Option(
        "--accept-code",
        help="Code of your own has changed since: take it as it is now, in a new study, NAME-2 and so on.",
    ),
]

# Defaults live in what is called; here is only what is shown of them.
CheckpointSeconds = Annotated[
    float | None,
    typer.Option(
        min=0,
        metavar="SECONDS",
        help="How often a trial's state is saved, to go on from if its worker dies; by default 30.",
    ),
]
MaxWorkerMemory = Annotated[
    float | None,
    typer.Option(
        min=1,
        metavar="MIB",
        help="A worker that grows beyond this is replaced.",
        show_default="its share of four fifths of the machine's",
    ),
]


def open_storage(url: str | None) -> Storage:
    """The storage that `--storage` names."""
    from hpo.storage import Storage

    return Storage(url)


def open_study(name: str, storage: Storage | str | None) -> Study:
    """A study of that storage."""
    from hpo.studies import open_study

    return open_study(name, storage=storage)


def fetch(name: str) -> Path:
    """Make sure that a data set is at hand, with a progress bar; returns its file."""
    from hpo.cli.progress import downloads
    from hpo.data import fetch

    with downloads() as progress:
        return fetch(name, progress=progress)
