"""Commands on data sets: data list, data fetch, data show."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from hpo.cli.options import Output, fetch
from hpo.cli.output import Format, show
from hpo.cli.pictures import show_picture
from hpo.cli.table import said_of, show_table
from hpo.errors import HpoError
from hpo.files import new_file
from hpo.tables import Column, Table
from hpo.tables.kinds import NUMBER, PROSE, VALUE

if TYPE_CHECKING:
    from hpo.data import Dataset
    from hpo.spec import Data, StudySpec

app = typer.Typer(help="Data sets: list, fetch, show.", no_args_is_help=True)


@app.command("list")
def known_sets(output: Output = Format.table) -> None:
    """The data sets that studies can name."""
    from hpo.data import bundled_sets, data_dir, known

    rows: list[dict[str, Any]] = [
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
    rows += [
        {
            "name": name,
            "sample": None,
            "classes": None,
            "train": None,
            "test": None,
            "download_mb": 0,
            "present": "yes",
            "what": f"a table: {summary}",
        }
        for name, summary in bundled_sets().items()
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
        print(
            f"Kept in {data_dir()}. A study can also name a table or an .npz file by its path.",
            file=sys.stderr,
        )


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
    name: Annotated[
        str,
        typer.Argument(
            metavar="NAME", help="A data set's name, its file, or a study file that says the rest."
        ),
    ],
    target: Annotated[
        list[str] | None, typer.Option(metavar="COLUMN", help="Of a table: the column to predict.")
    ] = None,
    drop: Annotated[
        list[str] | None, typer.Option(metavar="COLUMN", help="Of a table: a column to leave out.")
    ] = None,
    task: Annotated[
        str | None, typer.Option(metavar="TASK", help="What is learned.", show_default="told")
    ] = None,
    page: Annotated[
        Path | None,
        typer.Option("--html", metavar="FILE", help="Of a table: write a page with histograms to this file."),
    ] = None,
    out: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="Of images: write a picture of samples to this PNG file."),
    ] = None,
    output: Output = Format.table,
) -> None:
    """What is in a data set; what keeps a study from being made of it, what makes it doubtful."""
    from hpo.data import is_table_set

    data, task, study = _asked(name, target, drop, task)
    if is_table_set(data.name):
        if out is not None:
            raise HpoError("--out", f"is for images, and {data.name} is a table", remedy="Use --html FILE.")
        show_table(data, task=task, study=study, page=page, output=output)
        return
    for option, value in (("--target", target), ("--drop", drop), ("--html", page)):
        if value:
            raise HpoError(option, f"is for tables, and {data.name} is none", got=str(value))
    _show_arrays(data, task, study, out, output)


def _asked(
    name: str, target: list[str] | None, drop: list[str] | None, task: str | None
) -> tuple[Data, str | None, StudySpec | None]:
    """The data that are meant, the task if one is, and the study if a file of one is named, of these two."""
    from hpo.spec import Data, load
    from hpo.tasks import TASKS

    if task is not None and task not in TASKS:
        raise HpoError("--task", f"must be one of {', '.join(TASKS)}", got=task)
    options = {key: tuple(value) for key, value in (("target", target), ("drop", drop)) if value}
    if not name.endswith(".toml"):
        key = "file" if name.endswith(".py") else "name"
        return Data(**{key: name, **options}), task, None
    study = load(name)
    data = Data(**{**study.data.model_dump(exclude_unset=True), **options})
    study = study.model_copy(update={"data": data, "task": task or study.task})
    return data, study.task, study


def _show_arrays(
    data: Data, task: str | None, study: StudySpec | None, out: Path | None, output: Format
) -> None:
    """Print what is in arrays or images as the study reads them; what is wrong goes to standard error."""
    from hpo.data import check_keys, has_test, load_test, load_train, mapped, samples_picture

    check_keys(data)
    fetch(data.name)
    dataset = load_train(data, task=task)
    test = load_test(data, task=task) if has_test(data) else None
    if out is not None:
        with new_file(out, force=True) as draft:
            samples_picture(dataset).save(draft, "PNG")
    fields = {
        "name": dataset.name,
        "samples": len(dataset),
        "sample_shape": mapped(lambda x: list(x.shape[1:]), dataset.x),
        "dtype": dataset.dtype,
        "range": mapped(lambda x: [x.min().item(), x.max().item()], dataset.x),
        "task": dataset.task_name,
        **_targets(dataset),
        "digest": dataset.digest,
        "test_samples": 0 if test is None else len(test),
        **({"test_class_counts": [] if test is None else test.class_counts} if dataset.class_counts else {}),
        "test_digest": None if test is None else test.digest,
    }
    columns = tuple(Column(key, PROSE if isinstance(value, list) else VALUE) for key, value in fields.items())
    table = Table("Data set", columns, [fields], caption=data.name, is_record=True)
    show(table, output=output, whole=fields)
    for line in said_of(dataset, data, task=task, study=study):
        print(line, file=sys.stderr)
    has_images = not dataset.is_nested and len(dataset.sample_shape) in (2, 3)
    if output == Format.table and out is None and has_images:
        show_picture(lambda: samples_picture(dataset, rows=3, columns=5))


def _targets(dataset: Dataset) -> dict[str, Any]:
    """The classes and how many samples they have, or the names of labels or quantities and their means."""
    if dataset.class_counts:
        names = list(dataset.class_names)
        return {"classes": dataset.classes, "class_names": names, "class_counts": dataset.class_counts}
    means = dataset.y.mean(axis=0, dtype="float64").tolist()
    return {"targets": list(dataset.names), "target_means": [float(f"{mean:.4g}") for mean in means]}
