"""A report of studies: composed once, then written into a folder."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from hpo.errors import HpoError
from hpo.files import new_file
from hpo.report.document import Block
from hpo.report.outline import about, together
from hpo.report.renderers import as_html, as_markdown
from hpo.studies import Study


@dataclass(frozen=True)
class Report:
    """What is said of studies: `parts` of each by itself, `ranking` of all, if there are several."""

    studies: tuple[Study, ...]
    parts: tuple[list[Block], ...]
    ranking: list[Block]

    @property
    def title(self) -> str:
        """What stands on top of the page."""
        if len(self.studies) == 1:
            return f"Report: {self.studies[0].name}"
        return f"Report of {len(self.studies)} studies"

    @property
    def blocks(self) -> list[Block]:
        """What follows the title, which of one study is its heading too."""
        if len(self.studies) == 1:
            return self.parts[0][1:]
        return [*self.ranking, *(block for part in self.parts for block in part)]

    def write(self, out: Path) -> tuple[Path, Path]:
        """Write `report.md` and `report.html` into a folder, made if need be; returns both.

        Raises:
            HpoError: the folder cannot be made or written to.
        """
        made = datetime.now(UTC).strftime("%Y-%m-%d %H:%M UTC")
        _make(out)
        markdown, page = out / "report.md", out / "report.html"
        for path, render in ((markdown, as_markdown), (page, as_html)):
            with new_file(path, force=True) as draft:
                draft.write_text(render(self.title, self.blocks, made=made), encoding="utf-8")
        return markdown, page


def compose(studies: Sequence[Study]) -> Report:
    """The report on studies of one storage."""
    parts = tuple(about(study) for study in studies)
    return Report(tuple(studies), parts, together(studies) if len(studies) > 1 else [])


def _make(folder: Path) -> None:
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except (FileExistsError, NotADirectoryError):
        raise HpoError(f"--out {folder}", "must be a folder, and a file is in its place") from None
    except OSError as error:
        raise HpoError(f"--out {folder}", f"cannot be made: {error.strerror}") from None
