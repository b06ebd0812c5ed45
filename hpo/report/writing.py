"""A report of studies, written into a folder."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path

from hpo.errors import HpoError
from hpo.files import new_file
from hpo.report.composing import about, together
from hpo.report.publishing import publish_blocks
from hpo.report.rendering import as_html, as_markdown
from hpo.study import Study


def write_report(studies: Sequence[Study], out: Path, *, published: bool = False) -> tuple[Path, Path]:
    """Write `report.md` and `report.html` about studies of one storage into a folder, made if need be.

    With `published`, also put its summary on each study, as `publish` does.

    Raises:
        HpoError: the folder cannot be made or written to.
    """
    parts = [about(study) for study in studies]
    first = together(studies) if len(studies) > 1 else []
    blocks = [*first, *(block for part in parts for block in part)]
    title = f"Report: {', '.join(study.name for study in studies)}"
    made = datetime.now(UTC).strftime("%Y-%m-%d %H:%M UTC")
    _make(out)
    markdown, page = out / "report.md", out / "report.html"
    for path, render in ((markdown, as_markdown), (page, as_html)):
        with new_file(path, force=True) as draft:
            draft.write_text(render(title, blocks, made=made), encoding="utf-8")
    if published:
        for study, part in zip(studies, parts, strict=True):
            publish_blocks(study, part)
    return markdown, page


def _make(folder: Path) -> None:
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except (FileExistsError, NotADirectoryError):
        raise HpoError(f"--out {folder}", "must be a folder, and a file is in its place") from None
    except OSError as error:
        raise HpoError(f"--out {folder}", f"cannot be made: {error.strerror}") from None
