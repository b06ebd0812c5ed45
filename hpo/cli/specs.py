"""Commands on study files: init, validate, schema."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from hpo.cli.options import Output, StorageUrl, StudyName, open_study
from hpo.cli.output import Format, show
from hpo.errors import HpoError, SpecError
from hpo.files import check_new_file, new_file
from hpo.tables import Column, Table
from hpo.tables.console import say
from hpo.tables.kinds import NUMBER
from hpo.tables.numbers import counted

if TYPE_CHECKING:
    from hpo.spec import SearchSpec, StudySpec

WORKLOAD = (
    Column("file"),
    Column("study", drop=2),
    Column("kind", drop=1),
    Column("trials", NUMBER),
    Column("replicates", NUMBER, drop=3),
    Column("max_epochs", NUMBER),
    Column("max_steps", NUMBER),
)

# Of a search whose sampler learns.
ADAPTIVE = (
    "its sampler learns from trials that have finished, so its choices depend on how many workers there are"
    " and on when their trials end. With --workers 1, or the sampler random, grid or qmc, it repeats."
)


def init(
    directory: Annotated[
        Path, typer.Argument(metavar="DIR", help="The folder to write it to.", show_default="this one")
    ] = Path(),
    comparison: Annotated[
        bool, typer.Option("--comparison", help="A comparison of fixed configurations, in place of a search.")
    ] = False,
) -> None:
    """Write a commented example study file, study.toml."""
    from hpo.spec import example, example_comparison

    path = directory / "study.toml"
    if path.exists():
        raise SpecError(str(path), "is there already", remedy="Choose another folder.")
    try:
        directory.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise SpecError(str(path), f"cannot be written: {error.strerror}") from None
    with new_file(path) as draft:
        draft.write_text(example_comparison() if comparison else example(), encoding="utf-8")
    print(f"Wrote {path}. Run it with: hpo run {path}", file=sys.stderr)


def promote(
    study: StudyName,
    top: Annotated[int, typer.Option(min=2, help="How many configurations.")] = 3,
    seeds: Annotated[int, typer.Option(min=1, help="Seeds for each, none of those of the search.")] = 5,
    out: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="The file to write.", show_default="STUDY-top-N.toml"),
    ] = None,
    force: Annotated[bool, typer.Option("--force", help="Replace a file that is there.")] = False,
    storage: StorageUrl = None,
) -> None:
    """Write a study file that compares the best of a search over fresh seeds: from luck to a verdict."""
    from hpo.spec import to_toml
    from hpo.studies.promotion import promoted

    spec = promoted(open_study(study, storage), top=top, seeds=seeds)
    path = out or Path(f"{spec.name}.toml")
    check_new_file(path, suffix=".toml", force=force)
    with new_file(path, force=force) as draft:
        draft.write_text(to_toml(spec), encoding="utf-8")
    arms = ", ".join(arm.name for arm in spec.arms)
    say(f"Wrote {path}: {arms} of {study} with {counted(seeds, 'seed')} each. Run it with: hpo run {path}")


def validate(
    specs: Annotated[list[Path], typer.Argument(metavar="SPEC", help="Study files.")],
    output: Output = Format.table,
) -> None:
    """Check study files; print what each would run."""
    from hpo.analysis import doubts
    from hpo.spec import SearchSpec, load

    rows, errors = [], []
    for path in specs:
        try:
            rows.append(_workload(path, spec := load(path)))
            if doubt := doubts(spec):
                print(f"{path}: {doubt}.", file=sys.stderr)
            for line in _about_search(spec) if isinstance(spec, SearchSpec) else ():
                print(f"{path}: {line}", file=sys.stderr)
        except HpoError as error:
            errors.append(error)
    if rows:
        show(Table("Workloads", WORKLOAD, rows), output=output)
        if output == Format.table:
            valid = ", ".join(row["file"] for row in rows)
            say(f"{valid}: {'valid' if len(rows) == 1 else 'all valid'}. Nothing has been created.")
    for broken in errors[:-1]:
        print("\n".join(broken.lines), file=sys.stderr)
    if errors:
        raise errors[-1]


def _about_search(spec: SearchSpec) -> list[str]:
    """What a search does that its file does not say."""
    from hpo.search import room
    from hpo.spec.strategies import ABILITIES

    said = [f"sampler auto is {spec.strategy!r}: {spec.why}."] if spec.why else []
    if (race := spec.race) is not None:
        how = f"the best {race.top} on {counted(race.seeds, 'fresh seed')} each at most"
        said.append(
            f"{spec.searched} trials search, {race.runs} confirm: {how}; confirm = false turns that off."
        )
    if (left := room(spec, []).trials) < spec.searched:
        which = f"{left} of the {spec.searched} trials that search, and for more if some end early"
        said.append(f"max_epochs_total leaves epochs for {which}.")
    if ABILITIES[spec.strategy].is_whole and spec.size is not None and spec.searched < spec.size:
        first = f"the first {spec.searched} of {spec.size} configurations in order, {_last_of(spec)} changing"
        said.append(f'the grid is {first} fastest; sampler = {{ name = "random" }} draws from all.')
    return [*said, ADAPTIVE] if spec.is_adaptive else said


def _last_of(spec: SearchSpec) -> str:
    """The hyperparameter whose values a grid goes through first."""
    from hpo.spec.conditions import drawn_for

    *_, last = spec.drawn
    return next(name for name in spec.space if last in drawn_for(spec.space, name))


def _workload(path: Path, spec: StudySpec) -> dict[str, Any]:
    from hpo.data import doubts_about, load_labels
    from hpo.registry import check_data, scaling_of, settled
    from hpo.search import workload
    from hpo.spec import SearchSpec
    from hpo.spec.strategies import check_installed

    try:
        if isinstance(spec, SearchSpec):
            check_installed(spec.strategy)
        dataset, test = load_labels(spec.data, task=spec.task)
        check_data(spec, dataset)
        spec = settled(spec, dataset)
    except HpoError as error:
        raise error.inside(str(path)) from None
    if dataset.said and spec.task is None:
        say(f"{path}: {dataset.said}")
    for line in (
        doubts_about(dataset, spec.data, test=test, scaling=scaling_of(spec)) if dataset.columns else ()
    ):
        say(f"{path}: {line}")
    work = workload(spec, len(dataset))
    return {
        "file": str(path),
        "study": spec.name,
        "kind": spec.kind,
        "trials": spec.planned,
        "replicates": spec.planned * spec.replicates,
        "max_epochs": work.epochs,
        "max_steps": work.steps,
    }


def schema() -> None:
    """Print the JSON Schema of a study file, for editors."""
    from hpo.spec import json_schema

    print(json.dumps(json_schema(), indent=2))
