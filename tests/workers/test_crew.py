"""`hpo run` and `Study.run`: workers that are interrupted, killed and told to stop, and how runs go on."""

from __future__ import annotations

import contextlib
import itertools
import json
import os
import re
import signal
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from multiprocessing import forkserver
from pathlib import Path
from typing import Any

import optuna
import psutil
import pytest
import sqlalchemy as sa
from optuna.trial import FrozenTrial

from hpo import Study, StudyError, StudySpec, create_study
from hpo.errors import WorkerError
from hpo.spec import to_toml
from hpo.storage.places import FolderPlace
from tests.command import COLD_PYTHON, environment, hpo, quick
from tests.forks import Forked
from tests.tiny_studies import (
    LONG,
    eventually,
    leases,
    new_studies,
    results,
    states,
    training,
    worker_of,
    worker_process,
)

RUN = ("run", "long.toml", "--workers", "2")
# One thread for each of two workers, without which results are the same only but for rounding.
CORES = set(list(os.sched_getaffinity(0))[:2])
# One sample a step over 17 million weights: an epoch takes the better part of a minute.
ENDLESS = {"hidden_units": [4096, 4096], "batch_size": 1, "epochs": 2}


def registered(folder: Path, table: dict[str, Any]) -> Study:
    """A study and its file in a folder, as `hpo create` leaves them."""
    (folder / f"{table['name']}.toml").write_text(to_toml(StudySpec(**table)))
    (study,) = new_studies(f"sqlite:///{folder}/hpo.db", folder, table)
    study.storage.artifacts.place = FolderPlace(folder / "hpo-artifacts")
    return study


@contextmanager
def running(folder: Path, *arguments: str, python: str | None = None) -> Iterator[Forked]:
    """An `hpo` process in a folder, which is gone at the end with all its workers."""
    how: dict[str, Any] = {"cores": CORES, "stderr": subprocess.PIPE, "python": python}
    process = Forked(arguments, cwd=folder, env=environment(), **how)
    try:
        yield process
    finally:
        workers = workers_of(process)
        for each in (psutil.Process(process.pid), *workers) if process.poll() is None else workers:
            each.kill()
        process.communicate()


def workers_of(process: Forked) -> list[psutil.Process]:
    try:
        return psutil.Process(process.pid).children()
    except psutil.NoSuchProcess:
        return []


def peak_memory(folder: Path, table: dict[str, Any]) -> float:
    """The most MiB that a worker of a run has held, which differs from machine to machine."""
    registered(folder, table)
    peak = 0
    with running(folder, "run", f"{table['name']}.toml", "--workers", "1", python=COLD_PYTHON) as run:
        while run.poll() is None:
            for worker in workers_of(run):
                with contextlib.suppress(psutil.NoSuchProcess):
                    peak = max(peak, worker.memory_info().rss)
            time.sleep(0.02)
        assert run.returncode == 0
    return peak / 1024**2


NEXT = "test: hpo final long · look: hpo report long --out report"


def last_line(process: Forked) -> str:
    return last_lines(process)[-1]


def last_lines(process: Forked) -> list[str]:
    """The last two lines that it writes: how the trials ended, and of a whole study what to do next."""
    _, err = process.communicate(timeout=180)
    assert "Traceback" not in err
    return err.strip().splitlines()[-2:]


def epochs_reported(study: Study) -> int:
    return sum(len(trial.reported) for trial in study.all_trials)


def situation(study: Study) -> dict[str, Any]:
    return {
        "states": states(study),
        "leases": leases(study.storage),
        "curves": [trial.reported for trial in study.all_trials],
    }


# ------------------------------------------------------------------------------- interrupted and gone on


@pytest.fixture(scope="module")
def story(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """A comparison whose first run is killed, whose second is interrupted and whose third loses a worker."""
    folder = tmp_path_factory.mktemp("story")
    study = registered(folder, LONG)
    seen: dict[str, Any] = {"study": study}

    with running(folder, *RUN) as killed:
        eventually(lambda: bool(training(study)))
        workers = workers_of(killed)
        killed.kill()
        _, alive = psutil.wait_procs(workers, timeout=180)
        seen["orphans"] = len(workers), alive
    seen["after the kill"] = situation(study)

    with running(folder, *RUN) as interrupted:
        before = epochs_reported(study)
        eventually(lambda: epochs_reported(study) > before)
        workers = workers_of(interrupted)
        interrupted.send_signal(signal.SIGINT)
        seen["last line"] = last_line(interrupted)
        seen["code"] = interrupted.returncode
        seen["workers left"] = [worker for worker in workers if worker.is_running()]
    seen["after the interrupt"] = situation(study)

    with running(folder, *RUN) as resumed:
        eventually(lambda: len(workers_of(resumed)) == 2)
        workers_of(resumed)[0].kill()
        seen["last lines of all"] = last_lines(resumed)
        seen["last code"] = resumed.returncode
    return seen


@pytest.mark.slow
def test_the_workers_of_a_killed_parent_stop_by_themselves_and_put_their_trials_back(story):
    assert story["orphans"] == (2, [])
    after = story["after the kill"]
    assert set(after["states"]) <= {"waiting", "complete"}
    assert "waiting" in after["states"]
    assert after["leases"] == 0
    assert any(after["curves"])


@pytest.mark.slow
def test_an_interrupted_run_says_how_to_go_on_and_leaves_no_worker_and_no_claim(story):
    assert story["code"] == 130
    assert story["last line"] == "Stopped. Go on with: hpo resume long"
    assert story["workers left"] == []
    after = story["after the interrupt"]
    assert set(after["states"]) <= {"waiting", "complete"}
    assert after["leases"] == 0


@pytest.mark.slow
def test_an_interrupted_trial_keeps_its_epochs(story):
    for before, after in zip(
        story["after the kill"]["curves"], story["after the interrupt"]["curves"], strict=True
    ):
        assert after[: len(before)] == before


@pytest.mark.slow
def test_a_run_ends_well_when_one_worker_dies_and_another_goes_on(story):
    assert story["last code"] == 0
    assert story["last lines of all"] == ["long: 4 complete.", NEXT]


@pytest.mark.slow
def test_a_run_that_was_killed_and_interrupted_ends_as_if_nothing_had_been_bit_for_bit(story, tmp_path):
    undisturbed = registered(tmp_path, LONG)
    worker_of(undisturbed).run(exit_when_idle=True)
    assert len(story["study"].all_trials) == 4
    assert results(story["study"]) == results(undisturbed)


@pytest.mark.slow
def test_a_second_interrupt_ends_everything_at_once_in_the_midst_of_an_epoch(tmp_path):
    study = registered(tmp_path, LONG | {"params": ENDLESS})
    with running(tmp_path, "run", "long.toml", "--workers", "1") as run:
        eventually(lambda: "hyperparameters" in study.frozen_trials[0].user_attrs)
        time.sleep(2)
        (worker,) = workers_of(run)
        run.send_signal(signal.SIGINT)
        time.sleep(1)
        assert run.poll() is None
        assert worker.is_running()
        run.send_signal(signal.SIGINT)
        started = time.monotonic()
        assert run.wait(180) == 130
        assert time.monotonic() - started < 5
        assert not worker.is_running()
    # As if it had been killed: its trial is another's once its lease is over.
    assert states(study)[0] == "running"
    assert leases(study.storage) == 1


# -------------------------------------------------------------------------------------------- timeouts


@pytest.mark.slow
@pytest.mark.parametrize("seconds", [0.3, 8])
def test_a_timeout_stops_before_or_after_the_workers_have_begun_and_leaves_the_rest_to_resume(
    tmp_path, seconds
):
    params = {"hidden_units": [], "batch_size": "full", "epochs": 1_000_000}
    study = registered(tmp_path, LONG | {"params": params})
    started = time.monotonic()
    with running(tmp_path, "run", "long.toml", "--workers", "1", "--timeout", str(seconds)) as run:
        assert last_line(run) == "long: 4 waiting. Go on with: hpo resume long"
        assert run.returncode == 0
    assert seconds < time.monotonic() - started < seconds + 60
    assert leases(study.storage) == 0


# -------------------------------------------------------------------------------------------- deaths


@pytest.mark.slow
def test_a_run_whose_workers_die_again_and_again_fails(tmp_path):
    study = registered(tmp_path, LONG)
    with running(tmp_path, *RUN) as run:
        killed: set[int] = set()
        while run.poll() is None:
            for worker in workers_of(run):
                if worker.pid not in killed:
                    killed.add(worker.pid)
                    worker.kill()
            time.sleep(0.01)
        assert last_line(run) == "6 workers were lost in 60 s, the last one died (SIGKILL); trials left: 4"
        assert run.returncode == 1
    assert states(study) == ["waiting"] * 4


@pytest.mark.slow
def test_a_dead_worker_s_trial_goes_on_at_once_in_the_one_that_takes_its_place(tmp_path):
    study = registered(tmp_path, LONG | {"seeds": 1})
    arguments = ("run", "long.toml", "--workers", "1", "--checkpoint-seconds", "0")
    started = time.monotonic()
    with running(tmp_path, *arguments) as run:
        eventually(lambda: bool(training(study)))
        (worker,), name = workers_of(run), training(study)[0].worker
        worker.kill()
        _, err = run.communicate(timeout=180)
        assert run.returncode == 0
    assert f"worker {name} died (SIGKILL): another one takes its place" in err
    assert states(study) == ["complete"] * 2
    assert [trial.retries for trial in study.all_trials] == [1, 0]
    # Nobody waited for the dead worker's lease.
    trial = study.all_trials[0]
    assert (trial.finished - trial.started).total_seconds() < 60 or time.monotonic() - started < 60


@pytest.mark.long
def test_a_worker_that_outgrows_its_memory_is_replaced_and_said(tmp_path):
    study = registered(tmp_path, LONG)
    # No worker can have so little.
    arguments = ("run", "long.toml", "--workers", "1", "--max-worker-memory", "50")
    with running(tmp_path, *arguments, python=COLD_PYTHON) as run:
        assert run.stderr is not None
        told, replaced, told_next = itertools.islice(run.stderr, 3)
        # A worker that has been told to stop is not told again by the first Ctrl-C, which would kill it.
        run.send_signal(signal.SIGINT)
        run.communicate(timeout=180)
        assert run.returncode == 130
    for line in (told, told_next):
        assert re.fullmatch(r"worker \S+ uses \d+ MiB, more than its 50: replaced after its epoch\n", line)
    assert re.fullmatch(r"worker \S+ outgrew its memory: another one takes its place\n", replaced)
    assert set(states(study)) <= {"waiting", "complete"}
    assert leases(study.storage) == 0


@pytest.mark.long
def test_a_worker_that_is_full_of_programs_ends_between_two_trials_and_no_trial_is_begun_twice(tmp_path):
    table = LONG | {"seeds": 1, "loop": "xla", "params": {"epochs": 1}}
    arms = [{"name": str(rate), "learning_rate": rate} for rate in (0.1, 0.2)]
    of_one_program = peak_memory(tmp_path, table | {"name": "one", "arms": arms})
    arms = [{"name": str(units), "hidden_units": [units]} for units in (20, 30, 40)]
    study = registered(tmp_path, table | {"arms": arms})
    # A worker that has compiled a program holds more than three quarters of this, and less than all of it.
    limit = f"{1.15 * of_one_program:.0f}"
    arguments = ("run", "long.toml", "--workers", "1", "--max-worker-memory", limit)
    with running(tmp_path, *arguments, python=COLD_PYTHON) as run:
        _, err = run.communicate(timeout=180)
        assert run.returncode == 0
    assert len(re.findall(r"worker \S+ is full of programs: another one takes its place\n", err)) == 2
    assert states(study) == ["complete"] * 3
    assert [trial.retries for trial in study.all_trials] == [0] * 3
    assert len({trial.worker for trial in study.all_trials}) == 3


# ------------------------------------------------------------------------------------------------- stop


@pytest.mark.slow
def test_hpo_stop_ends_a_run_from_anywhere_and_resume_goes_on(tmp_path):
    # Enough to be stopped in, all of the same program.
    arms = [{"name": str(rate), "learning_rate": rate} for rate in (0.01, 0.1)]
    study = registered(tmp_path, LONG | {"seeds": 3, "arms": arms})
    with running(tmp_path, "run", "long.toml", "--workers", "1") as run:
        eventually(lambda: bool(training(study)))
        stop = quick("stop", "long", folder=tmp_path)
        assert (stop.returncode, stop.stderr) == (0, "long is stopped. Go on with: hpo resume long\n")
        assert last_line(run).endswith("waiting. Stopped by hpo stop. Go on with: hpo resume long")
        assert run.returncode == 0
    assert set(states(study)) <= {"waiting", "complete"}
    assert leases(study.storage) == 0
    worker_of(study).run(exit_when_idle=True)
    assert "waiting" in states(study)
    with running(tmp_path, "resume", "long", "--workers", "1") as resumed:
        assert last_lines(resumed) == ["long: 6 complete.", NEXT]


@pytest.mark.slow
def test_a_worker_that_is_told_to_stop_gives_up_an_epoch_that_takes_too_long(tmp_path):
    study = registered(tmp_path, LONG | {"params": ENDLESS})
    with worker_process(study.storage, "long") as worker:
        eventually(lambda: "hyperparameters" in study.frozen_trials[0].user_attrs)
        time.sleep(2)
        worker.terminate()
        started = time.monotonic()
        assert worker.wait(60) == 0
        assert time.monotonic() - started < 20
    assert states(study) == ["waiting"] * 4
    assert leases(study.storage) == 0


# -------------------------------------------------------------------------------------------- from Python


@pytest.mark.slow
def test_a_run_from_python_is_watched_to_its_end_and_hands_over_what_its_workers_say(tmp_path, own_data):
    table: dict[str, Any] = {
        "name": "watched",
        "kind": "comparison",
        "data": {"name": str(own_data)},
        "seeds": 1,
        "params": {"hidden_units": [], "batch_size": "full", "epochs": 2},
        "arms": [{"name": "plain"}, {"name": "faster", "learning_rate": 0.1}],
    }
    study = create_study(
        StudySpec(**table), storage=f"sqlite:///{tmp_path}/hpo.db", artifact_dir=tmp_path / "artifacts"
    )
    # Without an arm: nobody can say what to train.
    study.optuna.enqueue_trial({})
    seen: list[list[str]] = []
    lines: list[str] = []

    def watch(trials: Any) -> None:
        seen.append([trial.state.name for trial in trials])

    summary = study.run(workers=1, watch=watch, log=lines.append)
    assert (summary.counts["complete"], summary.counts["failed"]) == (2, 1)
    assert seen[0] == ["WAITING", "WAITING", "WAITING"]
    assert seen[-1] == ["COMPLETE", "COMPLETE", "FAIL"]
    assert "trial 2 of watched failed:" in lines
    assert "KeyError: 'arm'" in lines
    # Nothing is left: no worker starts.
    seen.clear()
    assert study.run(workers=1, watch=watch) == summary
    assert seen == []


@pytest.fixture
def tiny(tmp_path: Path, own_data: Path) -> Study:
    table: dict[str, Any] = {
        "name": "tiny",
        "kind": "comparison",
        "data": {"name": str(own_data)},
        "seeds": 1,
        "params": {"hidden_units": [], "batch_size": "full", "epochs": 2},
        "arms": [{"name": "plain"}, {"name": "faster", "learning_rate": 0.1}],
    }
    (study,) = new_studies(f"sqlite:///{tmp_path}/hpo.db", tmp_path, table)
    return study


@pytest.mark.slow
def test_a_run_from_python_shows_how_far_it_is_unless_told_not_to(tiny, capsys):
    tiny.run(workers=1)
    shown = capsys.readouterr()
    assert [line.split()[0] for line in shown.err.splitlines() if line.startswith("#")] == ["#0", "#1"]
    assert shown.out == ""
    longer = create_study(tiny.spec.model_copy(update={"seeds": 2}), storage=tiny.storage)
    assert longer.run(workers=1, progress=False).counts["complete"] == 4
    # Nothing is left, and nothing is said.
    longer.run(workers=1)
    shown = capsys.readouterr()
    assert (shown.out, shown.err) == ("", "")


@pytest.mark.slow
def test_a_run_whose_study_nobody_can_train_ends_with_the_reason(tiny, tmp_path, own_data):
    own_data.unlink()
    lines: list[str] = []
    says = r"^study 'tiny' cannot be trained: data set: must be an existing \.npz file"
    with pytest.raises(WorkerError, match=says) as caught:
        tiny.run(workers=2, log=lines.append)
    assert lines == [str(caught.value)]
    assert states(tiny) == ["waiting"] * 2
    done = hpo("worker", "--exit-when-idle", "--storage", tiny.storage.url, folder=tmp_path)
    assert done.returncode == 1
    assert done.stderr.splitlines()[-1] == str(caught.value)
    assert "Traceback" not in done.stderr
    shown = quick("trials", "tiny", "--format", "json", "--storage", tiny.storage.url, folder=tmp_path)
    assert "must be an existing .npz file" in json.loads(shown.stdout)[0]["reason"]


def test_a_run_does_not_wait_for_what_another_program_runs_and_says_so(tiny):
    for _ in range(2):
        tiny.optuna.ask()
    lines: list[str] = []
    assert tiny.run(workers=1, log=lines.append).counts["running"] == 2
    assert lines == ["tiny: another program runs 2 trials, which hpo leaves alone"]


def test_a_study_that_is_deleted_ends_its_run_and_its_workers(tmp_path):
    study = registered(tmp_path, LONG)

    def watch(trials: list[FrozenTrial]) -> None:
        optuna.delete_study(study_name="long", storage=study.storage.url)

    forkserver.ensure_running()  # which the first of the tests' own processes begins, and which stays
    before = set(psutil.Process().children())
    with pytest.raises(StudyError, match="study 'long': has been deleted"):
        study.run(workers=2, watch=watch, log=lambda line: None)
    assert set(psutil.Process().children()) <= before


@pytest.mark.slow
def test_a_password_shows_in_no_process_no_log_and_no_row(tmp_path, new_postgresql, own_data):
    secret = "correct-horse"
    url = new_postgresql().replace("postgres@", f"postgres:{secret}@")
    (tmp_path / "url").write_text(f"{url}\n")
    params = {"hidden_units": [], "batch_size": "full", "epochs": 300}
    spec = StudySpec(**(LONG | {"seeds": 1, "data": {"name": str(own_data)}, "params": params}))
    (tmp_path / "long.toml").write_text(to_toml(spec))
    shown: set[str] = set()
    with running(tmp_path, *RUN, "--storage", "@url", python=COLD_PYTHON) as run:
        while run.poll() is None:
            for process in (psutil.Process(run.pid), *workers_of(run)):
                with contextlib.suppress(psutil.Error):
                    shown.add(" ".join([*process.cmdline(), *process.environ().values()]))
            time.sleep(0.2)
        _, err = run.communicate(timeout=60)
        assert run.returncode == 0
    assert any("hpo worker" in text for text in shown)
    engine = sa.create_engine(url)
    with engine.connect() as connection:
        tables = sa.inspect(engine).get_table_names()
        rows = [str(connection.execute(sa.text(f"SELECT * FROM {table}")).all()) for table in tables]
    assert "val_accuracy" in str(rows)
    refused = hpo("list", folder=tmp_path, HPO_STORAGE=url.replace("?host=", "?port=1&host="))
    assert refused.returncode == 2
    for text in (*shown, err, *rows, refused.stderr):
        assert secret not in text


@pytest.mark.parametrize(
    ("make", "says"),
    [
        (lambda path: None, "the file with the URL cannot be read: No such file or directory"),
        (lambda path: path.write_text(""), "must be a file with a database URL, and is empty"),
        (lambda path: path.write_bytes(b"\xff\xfe"), "the file with the URL cannot be read: it is no text"),
        (lambda path: path.write_text("nonsense"), "must be a database URL, but got 'nonsense'"),
    ],
)
def test_a_file_without_a_url_is_told_in_one_line(tmp_path, make, says):
    make(tmp_path / "url")
    refused = quick("list", "--storage", "@url", folder=tmp_path)
    assert refused.returncode == 2
    assert says in refused.stderr
    assert len(refused.stderr.splitlines()) == 1
