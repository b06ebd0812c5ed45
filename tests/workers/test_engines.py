"""What every engine does: exact budgets, a killed worker replaced, a clean stop, lines handed on."""

from __future__ import annotations

import time
from functools import partial
from pathlib import Path
from typing import Any

import psutil
import pytest

from hpo import Study
from hpo.workers.crew import run_workers
from hpo.workers.engines import ENGINES, EngineOptions, make_engine
from tests.command import hpo, quick
from tests.tiny_studies import LONG, SEARCH, eventually, leases, new_studies, states, training


@pytest.fixture
def study(tmp_path: Path) -> Study:
    (made,) = new_studies(f"sqlite:///{tmp_path}/hpo.db", tmp_path, LONG | {"seeds": 1})
    return made


def run(study: Study, engine: str, lines: list[str], **options: Any) -> None:
    how: dict[str, Any] = {"workers": 2} | options
    made = partial(make_engine, engine, EngineOptions())
    run_workers(study, checkpoint_seconds=0.0, log=lines.append, engine=made, **how)


def processes_of(study: Study) -> list[psutil.Process]:
    """The `hpo worker` processes that are in the midst of this study's trials."""
    names = {trial.worker for trial in training(study)}
    found = psutil.process_iter(["cmdline"])
    return [p for p in found if names & set(p.info["cmdline"] or ()) and "worker" in p.info["cmdline"]]


@pytest.mark.parametrize(
    "engine",
    [pytest.param(name, marks=pytest.mark.slow if name == "local" else pytest.mark.long) for name in ENGINES],
)
def test_a_budget_is_exact_and_workers_have_the_names_that_they_were_given(engine, tmp_path):
    (study,) = new_studies(f"sqlite:///{tmp_path}/hpo.db", tmp_path, SEARCH)
    run(study, engine, [])
    assert states(study) == ["complete"] * 5
    assert {trial.worker[-2:] for trial in study.all_trials} <= {"-1", "-2"}
    assert leases(study.storage) == 0


@pytest.mark.long
@pytest.mark.parametrize("engine", ENGINES)
def test_a_killed_worker_is_replaced_and_its_trial_goes_on(engine, study):
    killed: list[str] = []

    def look() -> None:
        if not killed and (processes := processes_of(study)):
            killed.append(training(study)[0].worker or "")
            processes[0].kill()

    lines: list[str] = []
    run(study, engine, lines, workers=1, look=look)
    assert states(study) == ["complete"] * 2
    assert f"worker {killed[0]} died (SIGKILL): another one takes its place" in lines
    assert sum(trial.retries for trial in study.all_trials) == 1


@pytest.mark.long
@pytest.mark.parametrize("engine", ENGINES)
def test_a_run_has_more_workers_and_fewer_as_it_goes_on(engine, tmp_path):
    (study,) = new_studies(f"sqlite:///{tmp_path}/hpo.db", tmp_path, LONG | {"seeds": 8})
    wanted, lines = [2, 1], list[str]()

    def look() -> None:
        # Two at work are made one, and the trial of the other goes back.
        at_work = {trial.worker for trial in training(study)}
        if wanted and len(at_work) == (2 if wanted == [1] else 1):
            said = quick("scale", study.name, str(wanted[0]), folder=tmp_path)
            assert said.stdout.startswith(f"{study.name}: {wanted.pop(0)} worker")

    run(study, engine, lines, workers=1, look=look)
    assert not wanted
    assert states(study) == ["complete"] * 16
    assert lines == [f"{study.name}: 2 workers in place of 1", f"{study.name}: 1 worker in place of 2"]
    assert leases(study.storage) == 0
    assert sum(trial.retries for trial in study.all_trials) == 0


@pytest.mark.long
def test_a_run_is_not_given_more_workers_than_trials_are_left(tmp_path):
    (study,) = new_studies(f"sqlite:///{tmp_path}/hpo.db", tmp_path, LONG | {"seeds": 1})
    lines: list[str] = []

    def look() -> None:
        if study.workers is None and training(study):
            assert quick("scale", study.name, "4", folder=tmp_path).returncode == 0

    run(study, "local", lines, workers=1, look=look)
    assert states(study) == ["complete"] * 2
    assert lines == [f"{study.name}: 2 workers in place of 1"]


@pytest.mark.long
def test_there_is_nothing_to_scale_of_a_study_that_is_done_or_by_no_worker(study, tmp_path):
    assert "greater than or equal to 1" in quick("scale", study.name, "0", folder=tmp_path).stderr
    run(study, "local", [])
    assert "nothing to scale" in quick("scale", study.name, "3", folder=tmp_path).stderr


@pytest.mark.long
@pytest.mark.parametrize("engine", ENGINES)
def test_a_run_that_is_stopped_puts_its_trials_back_and_leaves_no_process(engine, study):
    begun: list[psutil.Process] = []

    def look() -> None:
        if not begun and (processes := processes_of(study)):
            begun.extend(processes)
            raise KeyboardInterrupt

    lines: list[str] = []
    with pytest.raises(KeyboardInterrupt):
        run(study, engine, lines, look=look)
    assert "Stopping after this epoch. Ctrl-C again stops at once." in lines
    assert "waiting" in states(study)
    assert "running" not in states(study)
    assert leases(study.storage) == 0
    eventually(lambda: not any(process.is_running() for process in begun), within=5)


@pytest.mark.long
@pytest.mark.parametrize("engine", ENGINES)
def test_what_workers_write_is_handed_on(engine, tmp_path):
    data = tmp_path / "own.npz"
    (study,) = new_studies(f"sqlite:///{tmp_path}/hpo.db", tmp_path, SEARCH)
    study.storage.set_study_attribute(study.id, "data_digest", "of other data")
    lines: list[str] = []
    with pytest.raises(Exception, match="cannot be trained"):
        run(study, engine, lines, workers=1)
    assert any("cannot be trained" in line for line in lines)
    assert not data.exists()


@pytest.mark.long
def test_a_task_whose_process_dies_is_started_again_by_ray(study):
    killed: list[str] = []

    def look() -> None:
        if not killed and (processes := processes_of(study)):
            killed.append(training(study)[0].worker or "")
            parent = processes[0].parent()
            assert parent is not None
            parent.kill()

    lines: list[str] = []
    run(study, "ray", lines, workers=1, look=look)
    assert states(study) == ["complete"] * 2
    assert f"worker {killed[0]} died: Ray has started it again" in lines


@pytest.mark.long
def test_workers_for_which_there_is_no_room_do_not_keep_a_run_from_its_end(study):
    started = time.monotonic()
    lines: list[str] = []
    engine = partial(make_engine, "ray", EngineOptions(cpus=psutil.cpu_count() or 1))
    run_workers(study, workers=2, engine=engine, log=lines.append)
    assert states(study) == ["complete"] * 2
    assert time.monotonic() - started < 120


@pytest.mark.long
def test_a_cluster_of_ones_own_is_heard_on_this_machine_alone(study):
    heard: set[str] = set()

    def look() -> None:
        me = psutil.Process()
        family = [me, *me.children(recursive=True)]
        # Raylets leave their parent.
        family += [p for p in psutil.process_iter(["name"]) if p.info["name"] in ("raylet", "gcs_server")]
        for process in family:
            try:
                connections = process.net_connections("inet")
            except psutil.Error:
                continue
            heard.update(c.laddr.ip for c in connections if c.status == psutil.CONN_LISTEN)

    run(study, "ray", [], workers=1, look=look)
    assert heard
    assert {ip.removeprefix("::ffff:") for ip in heard} == {"127.0.0.1"}


@pytest.mark.long
def test_an_address_without_a_cluster_and_options_of_another_engine_are_one_line(tmp_path):
    (tmp_path / "s.toml").write_text(
        'name = "s"\nkind = "search"\ntrials = 1\ndata = { name = "digits" }\n'
        "space = { dropout = [0.1, 0.2] }\n"
    )
    refused = hpo("run", "s.toml", "--cpus-per-worker", "2", folder=tmp_path)
    assert refused.returncode == 2
    assert "--cpus-per-worker: has no effect with --engine local. Say --engine ray too." in refused.stderr
    assert not (tmp_path / "hpo.db").exists()
