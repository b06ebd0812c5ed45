"""Commands on data sets: data list, data fetch, data show."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from hpo.cli.options import Output, fetch
from hpo.cli.output import Format, show
from hpo.cli.pictures import show_picture
from hpo.files import new_file
from hpo.tables import Column, Table
from hpo.tables.kinds import NUMBER, PROSE, VALUE
from hpo.tables.numbers import number

if TYPE_CHECKING:
    from hpo.data import Dataset

# Between the standard deviations of features.
MOST_RATIO = 100.0

app = typer.Typer(help="Data sets: list, fetch, show.", no_args_is_help=True)


@app.command("list")
def known_sets(output: Output = Format.table) -> None:
    """The data sets that studies can name."""
    from hpo.data import data_dir, known

    rows = [
        {
            "name": entry.name,
            "sample": "x".join(map(str, entry.sample_shape)),
            "classes": entry.classes,
            "train": entry.train_samples,
            "test": entry.test_samples,
            "download_mb": round(entry.download_bytes / 1e6),
            "present": "yes" if entry.present else "no",
            "what": entry.summary,
        }
        for entry in known()
    ]
    columns = (
        Column("name"),
        Column("sample", drop=3),
        Column("classes", NUMBER, drop=2),
        Column("train", NUMBER),
        Column("test", NUMBER),
        Column("download_mb", NUMBER, drop=4),
        Column("present"),
        Column("what", PROSE, drop=1),
    )
    show(Table("Data sets", columns, rows), output=output)
    if output == Format.table:
        print(f"Kept in {data_dir()}. A study can also name an .npz file by its path.", file=sys.stderr)


@app.command("fetch")
def fetch_sets(
    names: Annotated[list[str], typer.Argument(metavar="NAME", help="Data sets' names.")],
) -> None:
    """Download data sets, check them and keep them."""
    from hpo.data import check_name

    for name in names:
        check_name(name)
    for name in names:
        print(f"{name}: {fetch(name)}")


@app.command("show")
def show_set(
    name: Annotated[str, typer.Argument(metavar="NAME", help="A data set's name, or an .npz file.")],
    out: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Write the picture of samples to this PNG file.")
    ] = None,
    output: Output = Format.table,
) -> None:
    """Shape, classes, digests and a picture of a data set; what keeps a study from being made of it."""
    from hpo.data import digest_of_test, load_test, load_train, samples_picture

    fetch(name)
    dataset = load_train(name)
    test = load_test(name) if digest_of_test(name) else None
    if out is not None:
        with new_file(out, force=True) as draft:
            samples_picture(dataset).save(draft, "PNG")
    fields = {
        "name": dataset.name,
        "samples": len(dataset.x),
        "sample_shape": list(dataset.sample_shape),
        "dtype": str(dataset.x.dtype),
        "range": [dataset.x.min().item(), dataset.x.max().item()],
        "classes": dataset.classes,
        "class_names": list(dataset.class_names),
        "class_counts": dataset.class_counts,
        "digest": dataset.digest,
        "test_samples": 0 if test is None else len(test.x),
        "test_class_counts": [] if test is None else test.class_counts,
        "test_digest": None if test is None else test.digest,
    }
    columns = tuple(Column(key, PROSE if isinstance(value, list) else VALUE) for key, value in fields.items())
    table = Table("Data set", columns, [fields], caption=name, is_record=True)
    show(table, output=output, whole=fields)
    for label, count in zip(dataset.names, dataset.class_counts, strict=True):
        if count < 2:
            said = f"{name}: class {label} has {count} sample, and every study needs one to train and another"
            print(f"{said} to validate. Add samples, or remove the class.", file=sys.stderr)
    if said := _scales(dataset):
        print(f"{name}: {said}", file=sys.stderr)
    if output == Format.table and out is None and len(dataset.sample_shape) in (2, 3):
        show_picture(lambda: samples_picture(dataset, rows=3, columns=5))


def _scales(dataset: Dataset) -> str:
    """A warning of features on very different scales, which is how networks learn little of small ones."""
    if len(dataset.sample_shape) != 1 or len(dataset.x) < 2:
        return ""
    spreads = dataset.x.std(axis=0, dtype="float64")
    varying = [(float(spread), column) for column, spread in enumerate(spreads) if spread > 0]
    if not varying or (high := max(varying))[0] <= (low := min(varying))[0] * MOST_RATIO:
        return ""
    return (
        f"features are on very different scales: column {high[1]} has a standard deviation of"
        f" {number(high[0])}, column {low[1]} of {number(low[0])}. Networks learn little of the latter:"
        " bring both parts to the training part's scale, (x - x_train.mean(axis=0)) / x_train.std(axis=0)."
    )
