"""The command line: parse, call one function, print."""

from __future__ import annotations

import json
import logging
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from hpo.console import Format, StudyProgress, downloads, picture, show, show_fields, stdout, text_of
from hpo.errors import HpoError, SpecError, WorkerError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from hpo.compare import ArmSummary
    from hpo.spec import StudySpec
    from hpo.storage import Storage
    from hpo.study import Study, StudySummary
    from hpo.trial import Trial

app = typer.Typer(
    help="Declarative, restartable hyperparameter studies for Keras models on Optuna.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)
data_app = typer.Typer(help="Data sets: list, fetch, show.", no_args_is_help=True)
app.add_typer(data_app, name="data")


def _version(asked: bool) -> None:
    if asked:
        from hpo import __version__

        print(f"hpo {__version__}")
        raise typer.Exit


@app.callback()
def options(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Print the version.")
    ] = False,
) -> None:
    """Declarative, restartable hyperparameter studies for Keras models on Optuna."""


SpecPath = Annotated[Path, typer.Argument(metavar="SPEC", help="A study file.")]
StudyName = Annotated[str, typer.Argument(metavar="STUDY", help="A study's name.")]
StorageUrl = Annotated[
    str | None,
    typer.Option("--storage", envvar="HPO_STORAGE", help="Database URL.", show_default="sqlite:///hpo.db"),
]
Output = Annotated[Format, typer.Option("--format", help="How to print.")]
Workers = Annotated[
    int | None, typer.Option(min=1, help="Worker processes.", show_default="one for each core")
]
Timeout = Annotated[float | None, typer.Option(min=0, help="Stop after this many seconds; resume later.")]


# A search may have hundreds of configurations; `hpo compare` shows them all.
SHOWN_ARMS = 10


def main() -> None:
    """The entry point of the `hpo` command."""
    logging.basicConfig(level=logging.WARNING, format="%(message)s", stream=sys.stderr)
    try:
        app()
    except HpoError as error:
        print(error, file=sys.stderr)
        sys.exit(2)
    except WorkerError as error:
        print(error, file=sys.stderr)
        sys.exit(1)
    except KeyboardInterrupt:
        sys.exit(130)


@app.command()
def init(directory: Annotated[Path, typer.Argument(metavar="[DIR]")] = Path()) -> None:
    """Write a commented example study file, study.toml."""
    from hpo.spec import example

    path = directory / "study.toml"
    if path.exists():
        raise SpecError(str(path), "is there already", remedy="Choose another folder.")
    try:
        directory.mkdir(parents=True, exist_ok=True)
        path.write_text(example(), encoding="utf-8")
    except OSError as error:
        raise SpecError(str(path), f"cannot be written: {error.strerror}") from None
    print(f"Wrote {path}. Run it with: hpo run {path}", file=sys.stderr)


@app.command()
def validate(
    specs: Annotated[list[Path], typer.Argument(metavar="SPEC...", help="Study files.")],
    output: Output = Format.table,
) -> None:
    """Check study files; print what each would run."""
    from hpo.spec import load

    rows, errors = [], []
    for path in specs:
        try:
            rows.append(_workload(path, load(path)))
        except HpoError as error:
            errors.append(error)
    if rows:
        show(rows, output)
    for broken in errors[:-1]:
        print(broken, file=sys.stderr)
    if errors:
        raise errors[-1]


def _workload(path: Path, spec: StudySpec) -> dict[str, Any]:
    from hpo.data import train_samples
    from hpo.planning import workload

    try:
        samples = train_samples(spec.data.name)
    except HpoError as error:
        raise type(error)(f"{path}: {error.place}", error.rule, remedy=error.remedy) from None
    work = workload(spec, samples)
    return {
        "file": str(path),
        "study": spec.name,
        "kind": spec.kind,
        "trials": spec.planned,
        "replicates": spec.planned * spec.replicates,
        "epochs at most": work.epochs,
        "steps at most": work.steps,
    }


@app.command()
def schema() -> None:
    """Print the JSON Schema of a study file, for editors."""
    from hpo.spec import json_schema

    print(json.dumps(json_schema(), indent=2))


@data_app.command("list")
def data_list(output: Output = Format.table) -> None:
    """The data sets that studies can name."""
    from hpo.data import data_dir, known

    rows = [
        {
            "name": entry.name,
            "sample": "x".join(map(str, entry.sample_shape)),
            "classes": entry.classes,
            "train": entry.train_samples,
            "test": entry.test_samples,
            "download MB": round(entry.download_bytes / 1e6),
            "present": "yes" if entry.present else "no",
            "what": entry.summary,
        }
        for entry in known()
    ]
    show(rows, output)
    if output == Format.table:
        print(f"Kept in {data_dir()}. A study can also name an .npz file by its path.", file=sys.stderr)


@data_app.command("fetch")
def data_fetch(names: Annotated[list[str], typer.Argument(metavar="NAME...")]) -> None:
    """Download data sets, check them and keep them."""
    for name in names:
        print(f"{name}: {_fetch(name)}")


@data_app.command("show")
def data_show(
    name: Annotated[str, typer.Argument(metavar="NAME", help="A data set's name, or an .npz file.")],
    out: Annotated[Path | None, typer.Option(help="Write the picture of samples to this PNG file.")] = None,
    output: Output = Format.table,
) -> None:
    """Shape, classes, digest and a picture of a data set."""
    import numpy as np

    from hpo.data import load_train, samples_picture

    _fetch(name)
    dataset = load_train(name)
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
    else:
        show_fields(fields, f"{name}, training part")
    if out is not None:
        samples_picture(dataset).save(out, "PNG")
    elif output == Format.table and stdout().is_terminal and len(dataset.sample_shape) in (2, 3):
        small = samples_picture(dataset, rows=3, columns=5).convert("RGB")
        small.thumbnail((100, 100))
        stdout().print(picture(np.asarray(small)))


@app.command()
def create(spec: SpecPath, storage: StorageUrl = None) -> None:
    """Register a study and plan its trials; train nothing."""
    study = _create(spec, storage, None)
    left = len(study.storage.unfinished(study.id))
    print(f"{study.name}: {left} trials to train. Run: hpo resume {study.name}", file=sys.stderr)


@app.command()
def run(
    spec: SpecPath,
    storage: StorageUrl = None,
    workers: Workers = None,
    trials: Annotated[
        int | None, typer.Option(min=1, help="Trials of a search, in place of its own.")
    ] = None,
    timeout: Timeout = None,
) -> None:
    """Create or resume a study, train it, print what it shows."""
    _train(_create(spec, storage, trials), workers, timeout)


@app.command()
def resume(
    study: StudyName, storage: StorageUrl = None, workers: Workers = None, timeout: Timeout = None
) -> None:
    """Train what is left of a study, by the specification that is stored with it."""
    opened = _open(study, storage)
    _fetch(opened.spec.data.name)
    opened.load_data()
    _train(opened, workers, timeout)


@app.command()
def worker(
    studies: Annotated[
        list[str] | None, typer.Argument(metavar="[STUDY...]", help="Studies to serve; all by default.")
    ] = None,
    storage: StorageUrl = None,
    max_trials: Annotated[int | None, typer.Option(min=1, help="Stop after this many trials.")] = None,
    exit_when_idle: Annotated[bool, typer.Option(help="Stop once all trials have finished.")] = False,
    threads: Annotated[int, typer.Option(min=1, help="TensorFlow's threads.")] = 1,
    stop_on_end_of_input: Annotated[bool, typer.Option(hidden=True)] = False,
) -> None:
    """Claim trials and train them, one after the other, until told to stop (Ctrl-C, SIGTERM)."""
    from hpo.study import list_studies
    from hpo.worker import Worker

    opened = _storage(storage)
    if studies:
        named = [_open(name, opened) for name in studies]
        served = Worker(lambda: named, threads=threads)
    else:
        kept: dict[str, Study] = {}

        def every() -> list[Study]:
            names = [summary.name for summary in list_studies(storage=opened)]
            return [kept.setdefault(name, _open(name, opened)) for name in names]

        served = Worker(every, threads=threads)
    served.stop_on_signals()
    if stop_on_end_of_input:
        served.stop_on_end_of_input()
    served.run(max_trials=max_trials, exit_when_idle=exit_when_idle)


@app.command("list")
def list_command(storage: StorageUrl = None, output: Output = Format.table) -> None:
    """The studies in the storage."""
    from hpo.study import list_studies

    summaries = list_studies(storage=_storage(storage))
    rows = [_summary_json(summary) for summary in summaries]
    if output == Format.table and not rows:
        print("There is no study yet. Start one with: hpo run SPEC", file=sys.stderr)
        return
    show([_summary_row(summary) for summary in summaries], output, full=rows)


@app.command("show")
def show_command(study: StudyName, storage: StorageUrl = None, output: Output = Format.table) -> None:
    """One study: how far it is, its specification, its best trial."""
    from hpo.spec import to_json, to_toml

    opened = _open(study, storage)
    summary = opened.summary
    best = opened.best if summary.best_value is not None else None
    if output != Format.table:
        full = _summary_json(summary) | {"spec": to_json(opened.spec), "best": best and best.to_json()}
        show([_summary_row(summary)], output, full=full)
        return
    show_fields(_summary_row(summary), f"study {summary.name}")
    stdout().print()
    print(to_toml(opened.spec))
    if best is not None:
        _show_trial(best, f"best trial, #{best.number}")


@app.command("trials")
def trials_command(study: StudyName, storage: StorageUrl = None, output: Output = Format.table) -> None:
    """Every trial of a study."""
    trials = _open(study, storage).all_trials
    show([_trial_row(trial) for trial in trials], output, full=[trial.to_json() for trial in trials])


@app.command()
def best(
    studies: Annotated[list[str], typer.Argument(metavar="STUDY...")],
    storage: StorageUrl = None,
    output: Output = Format.table,
) -> None:
    """The best trial of a study; of several, the best of each."""
    found = [(name, _open(name, storage).best) for name in studies]
    if output != Format.table:
        full = [trial.to_json() for _, trial in found]
        show([_trial_row(t) for _, t in found], output, full=full[0] if len(full) == 1 else full)
        return
    for name, trial in found:
        _show_trial(trial, f"best trial of {name}, #{trial.number}")


@app.command()
def compare(study: StudyName, storage: StorageUrl = None, output: Output = Format.table) -> None:
    """Means, standard deviations and runs of every arm, or of every configuration of a search."""
    _show_comparison(_open(study, storage), output)


@app.command()
def delete(
    study: StudyName,
    storage: StorageUrl = None,
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask.")] = False,
) -> None:
    """Delete a study with its trials and artifacts."""
    opened = _open(study, storage)
    count = len(opened.optuna.get_trials(deepcopy=False))
    if not yes:
        if not sys.stdin.isatty():
            raise HpoError("hpo delete", "must be confirmed", remedy="Add --yes.")
        typer.confirm(f"Delete study {study} with its {count} trials and their artifacts?", abort=True)
    opened.delete()
    print(f"Deleted {study} and its {count} trials.", file=sys.stderr)


@app.command()
def dashboard(
    storage: StorageUrl = None,
    port: Annotated[int, typer.Option(min=0, max=65535, help="Port on loopback; 0 takes a free one.")] = 8080,
    browser: Annotated[bool, typer.Option(help="Open a browser, on a desktop.")] = True,
) -> None:
    """Look at studies in optuna-dashboard, on this machine."""
    from hpo.dashboard import serve

    serve(
        _storage(storage), port=port, open_browser=browser, announce=lambda line: print(line, file=sys.stderr)
    )


def _storage(url: str | None) -> Storage:
    from hpo.storage import Storage

    return Storage(url)


def _open(name: str, storage: Storage | str | None) -> Study:
    from hpo.study import open_study

    return open_study(name, storage=storage)


def _create(path: Path, storage: str | None, trials: int | None) -> Study:
    from hpo.spec import SearchSpec, load, parse, to_json
    from hpo.study import create_study

    spec = load(path)
    if trials is not None:
        if not isinstance(spec, SearchSpec):
            raise SpecError(
                "--trials", f"is for a search, and {path} is a comparison", remedy="Set seeds instead."
            )
        spec = parse(to_json(spec) | {"trials": trials}, source="--trials")
    _fetch(spec.data.name)
    return create_study(spec, storage=storage)


def _fetch(name: str) -> Path:
    from hpo.data import fetch

    with downloads() as progress:
        return fetch(name, progress=progress)


def _train(study: Study, workers: int | None, timeout: float | None) -> None:
    try:
        with StudyProgress(study.spec) as progress:
            summary = study.run(workers=workers, timeout=timeout, watch=progress.watch, log=progress.log)
    except KeyboardInterrupt:
        print(f"Stopped. Go on with: hpo resume {study.name}", file=sys.stderr)
        raise typer.Exit(130) from None
    if summary.counts["complete"]:
        _show_comparison(study, Format.table, most=SHOWN_ARMS)
        stdout().print()
        best = study.best
        _show_trial(best, f"best trial, #{best.number}")
    _conclude(study, summary)


def _conclude(study: Study, summary: StudySummary) -> None:
    """The last line, which says whether all is well; exit code 1 if something failed."""
    counts = summary.counts
    left = counts["waiting"] + counts["running"]
    states = ", ".join(f"{count} {state}" for state, count in counts.items() if count)
    line = f"{study.name}: {states}."
    if left:
        line += f" Go on with: hpo resume {study.name}"
    if counts["failed"]:
        failed = next(trial for trial in study.all_trials if trial.state == "failed")
        line += f" The first that failed, #{failed.number}: {failed.reason}"
    print(line, file=sys.stderr)
    if counts["failed"]:
        raise typer.Exit(1)


def _show_comparison(study: Study, output: Format, *, most: int | None = None) -> None:
    comparison = study.compare()
    if output == Format.table:
        show([_arm_row(arm, comparison.metrics) for arm in comparison.arms[:most]], output)
        return
    rows = comparison.table.to_dict("records")
    show([{str(key): value for key, value in row.items()} for row in rows], output, full=comparison.to_json())


def _arm_row(arm: ArmSummary, metrics: Sequence[str]) -> dict[str, Any]:
    row: dict[str, Any] = {"arm": arm.arm, "n": arm.n}
    if arm.failed:
        row["n"] = f"{arm.n} ({arm.failed} failed)"
    for metric in metrics:
        mean, sd = arm.mean.get(metric), arm.sd.get(metric)
        row[metric] = text_of(mean) if sd is None else f"{text_of(mean)} ± {text_of(sd)}"
    return row | {name: text_of(value) for name, value in arm.differs.items()}


def _show_trial(trial: Trial, title: str) -> None:
    fields: dict[str, Any] = {"value": trial.value}
    if trial.arm is not None:
        fields |= {"arm": trial.arm, "seed": trial.seed}
    show_fields(fields | trial.params | trial.metrics, title)


def _summary_json(summary: StudySummary) -> dict[str, Any]:
    from dataclasses import asdict

    return asdict(summary) | {"created": summary.created.isoformat()}


def _summary_row(summary: StudySummary) -> dict[str, Any]:
    counts = summary.counts
    finished = counts["complete"] + counts["pruned"] + counts["failed"]
    row: dict[str, Any] = {
        "name": summary.name,
        "kind": summary.kind,
        "finished": f"{finished}/{summary.planned}",
        **counts,
        "metric": summary.metric,
        "best_value": summary.best_value,
        "created": summary.created.astimezone().strftime("%Y-%m-%d %H:%M"),
    }
    return row


def _trial_row(trial: Trial) -> dict[str, Any]:
    row: dict[str, Any] = {"number": trial.number, "state": trial.state, "value": trial.value}
    if trial.arm is not None:
        row |= {"arm": trial.arm, "seed": trial.seed}
    return row | {
        **{
            name: text_of(value) if isinstance(value, list) else value for name, value in trial.params.items()
        },
        "epochs": len(trial.curve),
        "train_seconds": trial.metrics.get("train_seconds"),
        "worker": trial.worker,
        "reason": trial.reason,
    }
