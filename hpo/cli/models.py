"""Commands on trained models: export, predict."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

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
# Of a class, among those of a sample.
PER_CLASS = "probabilities."


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
    from hpo.models.needs import needs_of

    opened = open_study(study, storage)
    number = opened.chosen if trial is None else trial
    is_kept = opened.has_model(number)
    if not is_kept:
        fetch(opened.spec.data.name)
    opened.export(out, trial=number, force=force)
    how = "as it was kept" if is_kept else "trained again"
    print(f"Wrote {out}: the model of trial {number} of {study}, {how}.", file=sys.stderr)
    if needs := needs_of(out):
        options = "custom_objects" if needs.names else ""
        options += " and " * bool(needs.names and needs.has_lambdas) + "safe_mode=False" * needs.has_lambdas
        load = f"keras.saving.load_model with {options}"
        say(f"It needs code to be loaded, {needs}: hpo predict --trust {out} DATA, or {load}.")


def predict(
    model: Annotated[Path, typer.Argument(metavar="MODEL", help="A .keras file.")],
    data: Annotated[
        list[Path],
        typer.Argument(
            metavar="DATA",
            help="A table, .csv or .parquet, with the columns that the model takes; an .npz file; or images, "
            "PNG or JPEG, and folders of them.",
        ),
    ],
    plot: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Write a picture of the predictions to this PNG file.")
    ] = None,
    out: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE", help="Write all predictions to this file, .csv or .parquet, and print none."
        ),
    ] = None,
    force: Annotated[bool, typer.Option("--force", help="Replace a file that is there.")] = False,
    trust: Annotated[
        bool,
        typer.Option(
            "--trust", help="Run the code that the model needs: of its Lambda layers, and of --code."
        ),
    ] = False,
    code: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE",
            help="The Python file that has the model's own layers.",
            show_default="the one that it was trained with, beside it or where it was",
        ),
    ] = None,
    output: Output = Format.table,
) -> None:
    """What a model makes of samples or rows: classes and probabilities, labels, or values."""
    from hpo.files import check_new_file
    from hpo.prediction import check_out, predictions, write

    if plot is not None:
        check_new_file(plot, suffix=".png", force=True)
    if out is not None:
        check_out(out, force=force)
    predicted = predictions(model, data, trust=trust, code=code)
    if out is None:
        _show(predicted, output)
    else:
        write(predicted.table, out, force=force)
        count = len(predicted.outputs)
        print(f"Wrote {out}: {count} row{'' if count == 1 else 's'}.", file=sys.stderr)
    _say_metrics(predicted)
    if plot is not None:
        _draw(predicted, plot)


def _show(predicted: Predictions, output: Format) -> None:
    count = len(predicted.outputs)
    if not output.is_for_people:
        show(Table("Predictions", (), predicted.records), output=output)
        return
    columns, shown = _for_people(predicted)
    show(Table("Predictions", columns, shown), output=output)
    if count > SHOWN_SAMPLES:
        print(f"and {count - SHOWN_SAMPLES} more; --format csv or json has all.", file=sys.stderr)


def _for_people(predicted: Predictions) -> tuple[tuple[Column, ...], list[dict[str, Any]]]:
    """The first samples, by their source or row: what is said of them, without the share of every class."""
    said = {name: values[:SHOWN_SAMPLES] for name, values in predicted.columns.items()}
    if predicted.task.probabilities(predicted.outputs) is not None:
        said = {name: values for name, values in said.items() if PER_CLASS not in name}
    if predicted.frame is not None:
        # What is known to be true stands beside it.
        targets = [name for name in predicted.target if name in predicted.frame]
        said |= {name: predicted.frame[name].to_numpy(object)[:SHOWN_SAMPLES] for name in targets}
    place = "source" if predicted.frame is None else "row"
    rows = [
        {place: source} | {name: _cell(values[index]) for name, values in said.items()}
        for index, source in enumerate(predicted.sources[:SHOWN_SAMPLES])
    ]
    shares = [name for name in said if "probabilit" in name]
    # A name may have dots, which lead into mappings only where a row has no such key.
    return (
        Column(place),
        *(Column(name, SHARE if name in shares else VALUE) for name in said),
    ), rows


def _cell(value: Any) -> Any:
    return value.item() if hasattr(value, "item") else value


def _say_metrics(predicted: Predictions) -> None:
    if predicted.labels is None:
        return
    metrics, known = predicted.metrics, len(predicted.labels)
    weighted = "" if predicted.weight is None else "weighted "
    if predicted.correct is not None:
        accuracy = metrics.pop("accuracy")
        print(f"{weighted}accuracy {accuracy:.4f}: {predicted.correct} of {known}", file=sys.stderr)
    print(weighted + ", ".join(f"{name} {value:.4g}" for name, value in metrics.items()), file=sys.stderr)


def _draw(predicted: Predictions, path: Path) -> None:
    from hpo.files import new_file
    from hpo.prediction import chart, contact_sheet, is_drawn

    drawn = contact_sheet if is_drawn(predicted) else chart
    with new_file(path, force=True) as draft:
        drawn(predicted).save(draft)
