"""Commands that train: create, run, resume, final, worker; and stop."""

from __future__ import annotations

import sys
import time
from typing import TYPE_CHECKING, Annotated, Any

import typer

from hpo.cli.conclusion import conclude, left_of, states_of
from hpo.cli.creating import create_from, say_accepted
from hpo.cli.options import (
    AcceptCode,
    CheckpointSeconds,
    Output,
    SpecPath,
    StorageUrl,
    StudyName,
    StudyNames,
    Trials,
    fetch,
    open_storage,
    open_study,
    stored_names,
)
from hpo.cli.output import Format
from hpo.cli.results import show_comparison, show_final, show_front
from hpo.cli.training_options import Training, trains
from hpo.errors import StorageError
from hpo.tables.console import say, tell
from hpo.tables.numbers import counted

if TYPE_CHECKING:
    from hpo.registry import StoredStudy
    from hpo.studies import Study

# A search may have hundreds of configurations; `hpo compare` shows them all.
SHOWN_ARMS = 10
# How long `stop` waits for workers to come to the end of their epoch.
STOP_SECONDS = 30.0
POLL_SECONDS = 0.2


def create(spec: SpecPath, storage: StorageUrl = None, accept_code: AcceptCode = False) -> None:
    """Register a study and plan its trials; train nothing."""
    study = create_from(spec, storage, None, accept_code=accept_code)
    left = left_of(study)
    said = f"{counted(left, 'trial')} to train. Run: hpo resume {study.name}" if left else "nothing to train."
    print(f"{study.name}: {said}", file=sys.stderr)


@trains
def run(
    *,
    spec: SpecPath,
    storage: StorageUrl = None,
    trials: Trials = None,
    accept_code: AcceptCode = False,
    training: Training,
) -> None:
    """Create or resume a study, train it, print what it shows.

    Exit code 1: a run of a comparison failed, or configurations of a search failed and none is complete.
    """
    study = create_from(spec, storage, trials, accept_code=accept_code)
    _train(study, training)


@trains
def resume(
    *,
    study: StudyName,
    storage: StorageUrl = None,
    accept_code: AcceptCode = False,
    training: Training,
) -> None:
    """Train what is left of a study, as it is stored.

    Exit code 1: a run of a comparison failed, or configurations of a search failed and none is complete.
    """
    opened = open_study(study, storage)
    fetch(opened.spec.data.name)
    if accept_code:
        opened = _accepted(opened)
    opened.check_code()
    opened.confirm_data()
    _train(opened, training)


@trains
def final(
    *,
    studies: StudyNames,
    top: Annotated[int | None, typer.Option(min=1, help="How many configurations; by default 1.")] = None,
    seeds: Annotated[int | None, typer.Option(min=1, help="Fresh seeds for each; by default 5.")] = None,
    again: Annotated[
        bool, typer.Option("--again", help="Look at the test set once more, on other seeds.")
    ] = False,
    storage: StorageUrl = None,
    output: Output = Format.table,
    training: Training,
) -> None:
    """Train the best configurations on fresh seeds and evaluate them, once, on the test set.

    Exit code 1: a run failed.
    """
    from hpo.studies.final import create_final

    opened = open_storage(storage)
    chosen = [open_study(name, opened) for name in studies]
    for study in chosen:
        fetch(study.spec.data.name)
        if left := left_of(study):
            print(f"{study.name}: {counted(left, 'trial')} not trained yet.", file=sys.stderr)
    evaluation = create_final(chosen, top=top, seeds=seeds, again=again)
    if not left_of(evaluation) and not again:
        said = f"{evaluation.name} has been evaluated. Another look at the test set is recorded: --again"
        say(said)
        show_final(evaluation, output)
        return
    _train(evaluation, training, output=output)


def worker(
    studies: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="STUDY", help="Studies to serve; all by default.", autocompletion=stored_names
        ),
    ] = None,
    storage: StorageUrl = None,
    max_trials: Annotated[int | None, typer.Option(min=1, help="Stop after this many trials.")] = None,
    exit_when_idle: Annotated[
        bool, typer.Option("--exit-when-idle", help="Stop once all trials have finished.")
    ] = False,
    threads: Annotated[int, typer.Option(min=1, help="TensorFlow's threads.")] = 1,
    gpu_memory: Annotated[
        float | None,
        typer.Option(
            min=1, metavar="MIB", help="Its share of each GPU.", show_default="as much as it comes to need"
        ),
    ] = None,
    max_memory: Annotated[float | None, typer.Option(min=1, hidden=True)] = None,
    name: Annotated[
        str | None, typer.Option(help="What it is called.", show_default="host name and process id")
    ] = None,
    checkpoint_seconds: CheckpointSeconds = None,
    stop_on_end_of_input: Annotated[bool, typer.Option("--stop-on-end-of-input", hidden=True)] = False,
) -> None:
    """Train trials of studies, one after the other, until told to stop (Ctrl-C, SIGTERM, `hpo stop`)."""
    from hpo.workers.engines import CANNOT_TRAIN, IS_FULL
    from hpo.workers.serving import CannotTrainError
    from hpo.workers.worker import Worker

    opened = open_storage(storage)
    given: dict[str, Any] = {} if checkpoint_seconds is None else {"checkpoint_seconds": checkpoint_seconds}
    # One of `hpo run` is heard through its parent, which has lines of its own.
    told = None if stop_on_end_of_input else _tell
    given |= {"gpu_memory": gpu_memory, "max_memory": max_memory, "name": name}
    served = Worker(opened, studies or (), threads=threads, on_finished=told, **given)
    served.stop_on_signals()
    if stop_on_end_of_input:
        served.stop_on_end_of_input()
    else:
        print(f"Worker {served.name} on {opened.place}. Ctrl-C stops it after its epoch.", file=sys.stderr)
    try:
        finished = served.run(max_trials=max_trials, exit_when_idle=exit_when_idle)
    except (CannotTrainError, StorageError) as error:
        if not stop_on_end_of_input:
            raise
        print(error, file=sys.stderr)
        raise typer.Exit(CANNOT_TRAIN) from None
    if served.is_full:
        raise typer.Exit(IS_FULL)
    if not stop_on_end_of_input:
        print(f"Worker {served.name} finished {counted(finished, 'trial')}.", file=sys.stderr)


def watch(study: StudyName, storage: StorageUrl = None) -> None:
    """A study as it is trained, by whichever workers: progress, curves, what has ended. Ctrl-C ends it."""
    from hpo.progress import watch as watch_trials
    from hpo.tables.console import stdout

    opened = open_study(study, storage)

    def is_over() -> bool:
        opened.refresh()
        return opened.is_stopped or not left_of(opened)

    try:
        watch_trials(opened.spec, lambda: opened.frozen_trials, is_over=is_over, console=stdout())
    except KeyboardInterrupt:
        return
    tell(opened.headline)
    say(states_of(opened, opened.summary))


def scale(
    study: StudyName,
    workers: Annotated[int, typer.Argument(min=1, help="Workers of each run of the study that goes on.")],
    storage: StorageUrl = None,
) -> None:
    """Let a study that is being trained have more workers, or fewer, wherever it was started."""
    opened = open_study(study, storage)
    if not left_of(opened):
        say(f"{study} has nothing left to train: there is nothing to scale.")
        return
    opened.workers = workers
    tell(f"{study}: {counted(workers, 'worker')}, of each hpo run or resume of it that goes on.")


def stop(study: StudyName, storage: StorageUrl = None) -> None:
    """Let a study's workers, wherever they are, stop after their epoch; its trials go back to the queue."""
    opened = open_study(study, storage)
    if not left_of(opened):
        say(f"{study} has nothing left to train: there is nothing to stop.")
        return
    opened.stop()
    deadline = time.monotonic() + STOP_SECONDS
    while (busy := len(opened.storage.in_training(opened.id))) and time.monotonic() < deadline:
        time.sleep(POLL_SECONDS)
    still = f", {counted(busy, 'trial')} still in an epoch" if busy else ""
    print(f"{study} is stopped{still}. Go on with: hpo resume {study}", file=sys.stderr)


def _accepted(study: Study) -> Study:
    """The study of its people's code as it is now: itself, or a new one."""
    from hpo.studies import create_study

    found = create_study(study.spec, storage=study.storage, accept_code=True)
    say_accepted(found, study.name)
    return found


def _tell(study: StoredStudy, trial_id: int) -> None:
    """A line about a trial that a worker has finished."""
    from hpo.progress.lines import ended

    trial = study.storage.rdb.get_trial(trial_id)
    print(f"{study.name} {ended(study.spec, trial)}", file=sys.stderr, flush=True)


def _train(study: Study, training: Training, *, output: Format = Format.table) -> None:
    from hpo.spec import FinalSpec

    if not left_of(study):
        print(f"{study.name}: nothing is left to train.", file=sys.stderr)
    try:
        summary = study.run(**training.given)
    except KeyboardInterrupt:
        print(f"Stopped. Go on with: hpo resume {study.name}", file=sys.stderr)
        raise typer.Exit(130) from None
    if study.unmet is not None:
        say(study.headline)
    elif summary.counts["complete"] and isinstance(study.spec, FinalSpec):
        show_final(study, output)
    elif summary.counts["complete"] and len(study.spec.judged_by) > 1:
        show_front([study])
    elif summary.counts["complete"]:
        show_comparison([study], Format.table, most=SHOWN_ARMS)
    if summary.counts["complete"]:
        from hpo.dashboard.publishing import publish

        publish(study)
    conclude(study, summary)
