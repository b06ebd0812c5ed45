"""Commands on data sets: data list, data fetch, data show."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from hpo.cli.console import Format, show, show_fields, show_picture
from hpo.cli.options import Output, fetch
from hpo.errors import DataError

if TYPE_CHECKING:
    from PIL.Image import Image

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
    show(rows, output)
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
    """Shape, classes, digest and a picture of a data set."""
    import numpy as np

    from hpo.data import load_train, samples_picture

    fetch(name)
    dataset = load_train(name)
    if out is not None:
        _save(samples_picture(dataset), out)
    fields = {
        "name": dataset.name,
        "samples": len(dataset.x),
        "sample_shape": list(dataset.sample_shape),
        "dtype": str(dataset.x.dtype),
        "classes": dataset.classes,
        "class_names": list(dataset.class_names),
        "class_counts": np.bincount(dataset.y, minlength=dataset.classes).tolist(),
        "digest": dataset.digest,
    }
    if output != Format.table:
        show([fields], output, full=fields)
        return
    show_fields(fields, f"{name}, training part")
    if out is None and len(dataset.sample_shape) in (2, 3):
        show_picture(lambda: samples_picture(dataset, rows=3, columns=5))


def _save(picture: Image, path: Path) -> None:
    try:
        picture.save(path, "PNG")
    except OSError as error:
        raise DataError(str(path), f"cannot be written: {error.strerror}") from None
