"""Commands on trained models: export, predict."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from hpo.cli.options import Output, StorageUrl, StudyName, fetch, open_study
from hpo.cli.output import Format, show
from hpo.tables import Column, Table
from hpo.tables.console import say
from hpo.tables.kinds import SHARE, VALUE

if TYPE_CHECKING:
    from hpo.prediction import Predictions

# Programs get all.
SHOWN_SAMPLES = 20
PREDICTED = (Column("source"), Column("class", VALUE), Column("probability", SHARE), Column("label", VALUE))


def export(
    study: StudyName,
    out: Annotated[Path, typer.Option(metavar="FILE", help="The file to write, model.keras.")],
    trial: Annotated[
        int | None, typer.Option(min=0, help="A trial's number.", show_default="the study's best")
    ] = None,
    force: Annotated[bool, typer.Option("--force", help="Replace a file that is there.")] = False,
    storage: StorageUrl = None,
) -> None:
    """Write a trial's model, with its preprocessing, as a .keras file; one not kept is trained again."""
    opened = open_study(study, storage)
    number = opened.best.number if trial is None else trial
    is_kept = opened.has_model(number)
    if not is_kept:
        fetch(opened.spec.data.name)
    opened.export(out, trial=number, force=force)
    how = "as it was kept" if is_kept else "trained again"
    print(f"Wrote {out}: the model of trial {number} of {study}, {how}.", file=sys.stderr)


def predict(
    model: Annotated[Path, typer.Argument(metavar="MODEL", help="A .keras file.")],
    data: Annotated[
        list[Path],
        typer.Argument(metavar="DATA", help="An .npz file; or images, PNG or JPEG, and folders of them."),
    ],
    plot: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Write a picture of samples to this PNG file.")
    ] = None,
    output: Output = Format.table,
) -> None:
    """Classes and probabilities of samples by a model."""
    from hpo.files import check_new_file
    from hpo.prediction import predictions

    if plot is not None:
        check_new_file(plot, suffix=".png", force=True)
    predicted = predictions(model, data)
    _show(predicted, output)
    if plot is not None:
        _draw(predicted, plot)


def _show(predicted: Predictions, output: Format) -> None:
    records, count = predicted.records, len(predicted.x)
    shown = records[:SHOWN_SAMPLES] if output.is_for_people else records
    show(Table("Predictions", PREDICTED, shown), output=output)
    if output.is_for_people and count > SHOWN_SAMPLES:
        print(f"and {count - SHOWN_SAMPLES} more; --format csv or json has all.", file=sys.stderr)
    if predicted.correct is not None:
        accuracy = predicted.correct / count
        print(f"accuracy {accuracy:.4f}: {predicted.correct} of {count}", file=sys.stderr)


def _draw(predicted: Predictions, path: Path) -> None:
    from hpo.data import is_image_shape
    from hpo.files import new_file
    from hpo.prediction import contact_sheet

    if not is_image_shape(predicted.x.shape[1:]):
        say(f"There is nothing to draw: samples of shape {predicted.x.shape[1:]} are no images.")
        return
    with new_file(path, force=True) as draft:
        contact_sheet(predicted).save(draft)
