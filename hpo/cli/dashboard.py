"""The command that serves the dashboard."""

from __future__ import annotations

import sys
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from hpo.cli.options import Output, StorageUrl, open_storage
from hpo.cli.output import Format, show
from hpo.tables import Column, Table
from hpo.tables.kinds import NUMBER, Kind
from hpo.tables.numbers import counted

if TYPE_CHECKING:
    from collections.abc import Sequence

    from hpo.dashboard import Checked

ASKED = (
    Column("path"),
    Column("status", Kind(lambda status: str(status or "no answer"))),
    Column("bytes", NUMBER, ("size",)),
    Column("ms", Kind(lambda milliseconds: str(round(milliseconds)), is_number=True), ("milliseconds",)),
)


def dashboard(
    storage: StorageUrl = None,
    host: Annotated[
        str, typer.Option(help="Where to listen; others than this machine need the token.")
    ] = "127.0.0.1",
    port: Annotated[
        int, typer.Option(min=0, max=65535, metavar="PORT", help="Port; 0 takes a free one.")
    ] = 8080,
    read_write: Annotated[
        bool,
        typer.Option("--read-write", help="Let people change notes, upload artifacts and delete studies."),
    ] = False,
    token_file: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="Take the token from this file; it is made if it is not there."),
    ] = None,
    no_token: Annotated[bool, typer.Option("--no-token", help="Let everybody on this machine in.")] = False,
    allowed_host: Annotated[
        list[str] | None,
        typer.Option(metavar="NAME", help="A name by which browsers may call it, as a reverse proxy's."),
    ] = None,
    root_path: Annotated[
        str, typer.Option(metavar="PATH", help="The path below which a reverse proxy serves it, as /hpo.")
    ] = "",
    no_browser: Annotated[
        bool, typer.Option("--no-browser", help="Open no browser; else one is opened on a desktop.")
    ] = False,
    access_log: Annotated[bool, typer.Option("--access-log", help="Print a line for each request.")] = False,
    check: Annotated[
        bool, typer.Option("--check", help="Start, request every GET route of a study, and exit.")
    ] = False,
    output: Output = Format.table,
) -> None:
    """Look at studies in a browser: read-only, for who has the link that this prints."""
    from hpo import dashboard as service

    opened = open_storage(storage)
    settings = service.Settings(
        host=host,
        port=port,
        may_write=read_write,
        needs_token=not no_token,
        token_file=token_file,
        allowed_hosts=tuple(allowed_host or ()),
        root_path=root_path,
    )
    if check:
        _check(service.check(opened, settings), output)
        return
    service.serve(
        opened,
        settings,
        open_browser=not no_browser,
        announce=_say,
        log=_say if access_log else None,
    )


def _check(found: Sequence[Checked], output: Format) -> None:
    show(Table("Paths", ASKED, [asdict(asked) for asked in found]), output=output)
    failed = [asked.path for asked in found if not asked.is_well]
    print(f"{counted(len(found), 'path')} asked for, {len(failed)} failed.", file=sys.stderr)
    if failed:
        raise typer.Exit(1)


def _say(line: str) -> None:
    print(line, file=sys.stderr)
