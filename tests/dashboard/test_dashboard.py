"""`hpo dashboard`: the real process, read over HTTP."""

from __future__ import annotations

import csv
import gzip
import io
import itertools
import json
import re
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import optuna
import optuna_dashboard
import pandas as pd
import pytest
from optuna.trial import TrialState
from werkzeug.test import Client

import hpo as library
from hpo.dashboard.live_summaries import LiveSummaries
from hpo.dashboard.publishing import publish, summarize
from hpo.dashboard.study_details import as_json
from hpo.dashboard.upstream import trial_json
from hpo.spec import loads
from hpo.storage import Storage, study_id, trial_id
from hpo.trials.outcome import Outcome
from hpo.workers.worker import Worker
from tests.command import SEARCH, Trained, environment, quick
from tests.dashboards import Dashboard, dashboard
from tests.databases import Crowd, new_storage
from tests.recorded import comparison, created, record
from tests.storage.test_storage import of_every_kind
from tests.tiny_studies import eventually, states


@pytest.fixture(scope="module")
def running(trained: Trained) -> Iterator[Dashboard]:
    """A read-only dashboard on the trained studies."""
    with dashboard(trained.folder) as found:
        yield found


@pytest.fixture(scope="module")
def studies(running: Dashboard) -> dict[str, int]:
    """Each study's id by its name."""
    return {name: running.study(name) for name in ("search", "comparison")}


def test_the_link_opens_the_dashboard(running: Dashboard) -> None:
    entered = running.send("GET", running.link.removeprefix(running.address), login=False)
    assert entered.status == 200
    assert 'url=/"' in entered.text
    assert running.token not in entered.text
    cookie = entered.headers["Set-Cookie"]
    assert "HttpOnly" in cookie
    assert "SameSite=Strict" in cookie
    assert running.token not in cookie
    page = running.send("GET", "/dashboard", login=False, Cookie=cookie.split(";")[0])
    assert page.status == 200
    assert page.headers["Content-Type"].startswith("text/html")
    assert "Optuna Dashboard" in page.text


def test_both_studies_are_there(running: Dashboard) -> None:
    found = running.json("/api/studies")["study_summaries"]
    assert {study["study_name"] for study in found} == {"search", "comparison"}


def test_a_study_shows_its_trials_their_parameters_and_each_epoch(
    running: Dashboard, studies: dict[str, int], trained: Trained
) -> None:
    found = running.json(f"/api/studies/{studies['search']}?after=0")
    assert found["directions"] == ["maximize"]
    known = library.open_study("search", storage=f"sqlite:///{trained.folder / 'hpo.db'}").all_trials
    assert len(found["trials"]) == len(known) == 4
    for shown, trial in zip(found["trials"], known, strict=True):
        assert (shown["number"], shown["state"]) == (trial.number, "Complete")
        epochs = [(value["step"], value["value"]) for value in shown["intermediate_values"]]
        assert epochs == list(enumerate(trial.reported, start=1))
        assert shown["values"] == [trial.value]
        assert {param["name"] for param in shown["params"]} == trial.params.keys()


def test_failed_trials_say_why(running: Dashboard, studies: dict[str, int]) -> None:
    trials = running.json(f"/api/studies/{studies['comparison']}?after=0")["trials"]
    failed = [trial for trial in trials if trial["state"] == "Fail"]
    assert len(failed) == 2
    for trial in failed:
        attributes = {attribute["key"]: attribute["value"] for attribute in trial["user_attrs"]}
        assert "loss is nan at epoch 1" in attributes["reason"]


def test_the_learning_curves_of_a_trial_can_be_downloaded(
    running: Dashboard, studies: dict[str, int], trained: Trained
) -> None:
    study = library.open_study(
        "search",
        storage=f"sqlite:///{trained.folder / 'hpo.db'}",
        artifact_dir=trained.folder / "hpo-artifacts",
    )
    for shown in running.json(f"/api/studies/{studies['search']}?after=0")["trials"]:
        (artifact,) = (a for a in shown["artifacts"] if a["filename"] == "curves.csv")
        assert artifact["mimetype"] == "text/csv"
        path = f"{studies['search']}/{shown['trial_id']}/{artifact['artifact_id']}"
        curves = pd.read_csv(io.BytesIO(running.get(f"/artifacts/{path}").body))
        assert curves["epoch"].tolist() == [1, 2]
        pd.testing.assert_frame_equal(curves, study.curves(shown["number"]))


def test_nothing_but_artifacts_can_be_downloaded(running: Dashboard, studies: dict[str, int]) -> None:
    trial = running.json(f"/api/studies/{studies['search']}?after=0")["trials"][0]["trial_id"]
    for path in ("..%2Fhpo.db", "../hpo.db", "%2Fetc%2Fpasswd", "nothing"):
        assert running.get(f"/artifacts/{studies['search']}/{trial}/{path}").status == 404


def test_it_listens_on_loopback_alone(running: Dashboard) -> None:
    assert running.address == f"http://127.0.0.1:{running.port}"
    port = f"{running.port:04X}"
    listening = [
        entry[1].split(":")[0]
        for table in (Path("/proc/net/tcp"), Path("/proc/net/tcp6"))
        if table.exists()
        for entry in (line.split() for line in table.read_text().splitlines()[1:])
        if entry[1].endswith(f":{port}") and entry[3] == "0A"
    ]
    assert listening == ["0100007F"]  # 127.0.0.1 in the kernel's order of bytes


@pytest.mark.slow
def test_a_study_that_is_created_later_appears_and_ctrl_c_ends_it_with_code_0(tmp_path: Path) -> None:
    storage = f"sqlite:///{tmp_path / 'later.db'}"
    library.create_study(loads(SEARCH), storage=storage)
    with dashboard(tmp_path, "--storage", storage) as running:
        assert len(running.json("/api/studies")["study_summaries"]) == 1
        library.create_study(loads(SEARCH.replace('"search"', '"later"', 1)), storage=storage)
        time.sleep(1.1)  # within a second clients share an answer
        assert len(running.json("/api/studies")["study_summaries"]) == 2
        running.process.send_signal(signal.SIGINT)
        out, rest = running.process.communicate(timeout=30)
    assert (running.process.returncode, out, rest) == (0, "", "")


def test_a_port_that_is_free_again_is_taken_with_the_token_of_a_file(
    trained: Trained, tmp_path: Path
) -> None:
    file = tmp_path / "token"
    with dashboard(trained.folder, "--token-file", file) as first:
        assert file.stat().st_mode & 0o777 == 0o600
        token = file.read_text().strip()
        assert token not in first.link
        cookie = first.get(f"/?token={token}").headers["Set-Cookie"].split(";")[0]
    with dashboard(trained.folder, "--token-file", file, port=first.port) as again:
        # A browser that was logged in still is.
        assert again.get("/api/studies", Cookie=cookie).status == 200
        assert again.get("/api/studies").status == 401


# ---------------------------------------------------------------------------------------- what is shown


def test_attributes_are_each_hyperparameter_and_metric_in_one_order(
    running: Dashboard, studies: dict[str, int], trained: Trained
) -> None:
    found = running.json(f"/api/studies/{studies['comparison']}")
    known = library.open_study("comparison", storage=f"sqlite:///{trained.folder / 'hpo.db'}").all_trials
    orders = set()
    for shown, trial in zip(found["trials"], known, strict=True):
        attributes = {attribute["key"]: attribute["value"] for attribute in shown["user_attrs"]}
        assert attributes["arm"] == trial.arm
        assert attributes["seed"] == str(trial.seed)
        assert attributes["worker"] == trial.worker
        assert json.loads(attributes["hidden_units"]) == [8]
        for name, value in trial.hyperparameters.items():
            assert (name in attributes) == (value is not None)
        for name, value in trial.metrics.items():
            assert float(attributes[name]) == value
        orders.add(tuple(attributes))
    assert len(orders) == 2  # of complete trials and of failed ones
    complete = next(order for order in orders if "val_loss" in order)
    expected = [
        "arm",
        "seed",
        "worker",
        "hidden_units",
        "learning_rate",
        "epochs",
        "val_accuracy",
        "val_loss",
    ]
    assert [name for name in complete if name in expected] == expected
    assert {attribute["key"] for attribute in found["union_user_attrs"]} == set(itertools.chain(*orders))


def test_a_metric_has_its_name_and_a_study_its_note_and_graphs(
    running: Dashboard, studies: dict[str, int]
) -> None:
    found = running.json(f"/api/studies/{studies['comparison']}")
    assert found["objective_names"] == ["val_loss"]
    assert "## comparison" in found["note"]["body"]
    assert {graph["id"] for graph in found["plotly_graph_objects"]} >= {"hpo-curves", "hpo-times"}
    assert all(trial["note"]["body"] == "" for trial in found["trials"])


def recorded_study(folder: Path) -> library.Study:
    """A comparison whose trials have ended, of which no summary was written."""
    study = created(comparison(["slow", "fast"]), folder)
    record(
        study,
        lambda arm, seed: {
            "val_accuracy": (0.9 if arm == "fast" else 0.8) + 0.001 * seed,
            "val_loss": 0.5 + 0.01 * seed,
            "train_seconds": 1.0 + 0.1 * seed,
        },
    )
    return study


@pytest.mark.slow
def test_a_study_that_nobody_has_published_is_summarised_and_nothing_is_written(tmp_path: Path) -> None:
    study = recorded_study(tmp_path)
    before = study.storage.rdb.get_study_system_attrs(study.id)
    with dashboard(tmp_path) as running:
        path = f"/api/studies/{study.id}"
        eventually(lambda: "## " in running.json(path)["note"]["body"], within=60)
        found = running.json(path)
    assert found["note"]["body"] == summarize(study).note
    assert {graph["id"] for graph in found["plotly_graph_objects"]} == summarize(study).graphs.keys()
    assert study.storage.rdb.get_study_system_attrs(study.id) == before


@pytest.mark.slow
def test_after_a_summary_that_failed_the_published_one_is_shown_and_told_once(tmp_path: Path) -> None:
    study = recorded_study(tmp_path)
    publish(study)
    published = summarize(study)
    spec = study.optuna.user_attrs["spec"]
    study.optuna.set_user_attr("spec", spec | {"format": 99})
    with dashboard(tmp_path) as running:
        path = f"/api/studies/{study.id}"
        assert running.process.stderr is not None
        running.json(path)
        said = running.process.stderr.readline()
        assert said.startswith("study 'comparison' cannot be summarised now: "), said
        for _ in range(3):
            found = running.json(path)
            assert found["note"]["body"] == published.note
            assert {graph["id"] for graph in found["plotly_graph_objects"]} == published.graphs.keys()
            time.sleep(1.1)  # within a second clients share an answer
        # A study that has changed is summarised at once.
        study.optuna.set_user_attr("spec", spec)
        library.create_study(comparison(["slow", "fast"], seeds=6), storage=study.storage)
        record(study, lambda *_: {"val_accuracy": 0.9, "val_loss": 0.5, "train_seconds": 1.0})
        expected = summarize(library.open_study(study.name, storage=study.storage)).note
        assert expected != published.note
        eventually(lambda: running.json(path)["note"]["body"] == expected, within=15)
        running.process.terminate()
        _, rest = running.process.communicate()
    assert "cannot be summarised" not in rest


@pytest.mark.slow
def test_a_summary_that_failed_is_tried_again_though_the_study_has_not_changed(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    study = recorded_study(tmp_path)
    summaries = LiveSummaries(study.storage, seconds=0.05)

    def full(_: library.Study) -> None:
        raise OSError("the disk is full")

    def note() -> str:
        page: dict[str, Any] = {"note": {"body": "stored"}, "plotly_graph_objects": []}
        summaries.put_on(page, study.id, {})
        body: str = page["note"]["body"]
        return body

    with monkeypatch.context() as patch:
        patch.setattr("hpo.dashboard.publishing.summarize", full)
        until = time.monotonic() + 2
        while time.monotonic() < until:
            assert note() == "stored"
            time.sleep(0.02)
    eventually(lambda: "## comparison" in note(), within=30)
    assert len([record for record in caplog.records if "cannot be summarised" in record.message]) == 1
    summaries.close()


@pytest.mark.slow
def test_a_note_of_a_person_s_is_kept_and_shown(tmp_path: Path) -> None:
    study = recorded_study(tmp_path)
    publish(study)
    with dashboard(tmp_path, "--read-write") as running:
        path = f"/api/studies/{study.id}"
        eventually(lambda: len(running.json(path)["plotly_graph_objects"]) > 0, within=60)
        version = running.json(path)["note"]["version"]
        note = {"version": version + 1, "body": "my own words"}
        assert running.send("PUT", f"{path}/note", body=note).status == 204
        assert running.json(path)["note"]["body"] == "my own words"
        publish(study)
        time.sleep(1.1)
        assert running.json(path)["note"] == note


def test_importances_of_a_search_are_of_what_it_varies(running: Dashboard, studies: dict[str, int]) -> None:
    found = running.json(f"/api/studies/{studies['search']}/param_importances")
    assert {entry["name"] for entry in found["param_importances"][0]} == {"learning_rate", "dropout"}


def test_a_trial_is_what_optuna_dashboard_says_of_it(tmp_path: Path) -> None:
    storage = new_storage(f"sqlite:///{tmp_path}/hpo.db")
    study = optuna.create_study(storage=storage.optuna, directions=["minimize", "maximize"])
    study.add_trials(of_every_kind())
    key = study_id(study)
    storage.rdb.set_study_system_attr(key, "dashboard:2:note_ver", 1)
    storage.rdb.set_study_system_attr(key, "dashboard:2:note_str:0", "mine")
    attributes = storage.rdb.get_study_system_attrs(key)
    for trial in study.trials:
        theirs = trial_json(key, trial, attributes)
        assert json.loads(as_json(key, trial, attributes)) == json.loads(json.dumps(theirs))


def test_a_study_is_what_optuna_dashboard_says_of_it(tmp_path: Path) -> None:
    storage = new_storage(f"sqlite:///{tmp_path}/hpo.db")
    study = optuna.create_study(storage=storage.optuna, directions=["minimize", "maximize"])
    study.add_trials(of_every_kind())
    theirs = optuna_dashboard.wsgi(storage.rdb)
    with dashboard(tmp_path, "--read-write") as running:
        for _ in range(2):  # the second time out of what was kept
            note = {"body": "a note", "version": 1}
            for after in (0, 3, 100):
                path = f"/api/studies/{study_id(study)}?after={after}"
                expected = Client(theirs).get(path).json
                found = running.json(path)
                for answer in (found, expected):
                    for dimension in answer["union_search_space"]:  # in the order of a set
                        dimension["distribution"].get("choices", []).sort(key=str)
                assert found == expected
            running.send("PUT", f"/api/studies/{study_id(study)}/{trial_id(study.trials[0])}/note", body=note)


def test_a_table_of_trials_runs_nothing(tmp_path: Path) -> None:
    storage = new_storage(f"sqlite:///{tmp_path}/hpo.db")
    study = optuna.create_study(storage=storage.optuna, study_name='a "name"; x=y')
    study.add_trial(
        optuna.trial.create_trial(value=-1.5, user_attrs={"=1+1": "=cmd|' /C calc'!A0", "text": "+1 a\r\n-b"})
    )
    with dashboard(tmp_path) as running:
        reply = running.get(f"/csv/{study_id(study)}")
    assert reply.headers["Content-Type"] == "text/csv; charset=utf-8"
    assert reply.headers["Content-Disposition"].startswith("attachment; ")
    head, row = csv.reader(io.StringIO(reply.text))
    cells = dict(zip(head, row, strict=True))
    assert cells["Value"] == "-1.5"
    assert cells["UserAttribute =1+1"] == "'=cmd|' /C calc'!A0"
    assert cells["UserAttribute text"] == "'+1 a\n-b"


def test_answers_are_compressed_for_who_takes_that(running: Dashboard, studies: dict[str, int]) -> None:
    path = f"/api/studies/{studies['comparison']}"
    # Graphs are added as they are drawn, and the note as the last.
    eventually(lambda: "## " in running.json(path)["note"]["body"], within=60)
    plain = running.get(path)
    packed = running.get(path, Accept_Encoding="br, gzip")
    assert plain.headers["Content-Encoding"] is None
    assert packed.headers["Content-Encoding"] == "gzip"
    assert packed.headers["Vary"] == "Accept-Encoding"
    assert json.loads(gzip.decompress(packed.body)) == plain.json
    assert len(packed.body) < len(plain.body) / 3
    script = running.get("/static/bundle.js", Accept_Encoding="gzip")
    assert script.headers["Content-Encoding"] == "gzip"
    again = running.get("/static/bundle.js", If_Modified_Since=script.headers["Last-Modified"])
    assert (again.status, again.body) == (304, b"")
    head = running.send("HEAD", path)
    assert (head.status, head.body, head.headers["Content-Length"]) == (200, b"", str(len(plain.body)))


@pytest.mark.slow
def test_each_epoch_of_a_large_study_is_seen_within_two_seconds(tmp_path: Path) -> None:
    storage = new_storage(f"sqlite:///{tmp_path}/hpo.db")
    study = optuna.create_study(storage=storage.optuna)
    # optuna-dashboard itself looks every 10 s at so many.
    study.add_trials([optuna.trial.create_trial(value=1.0)] * 600)
    assert storage.add_trials(
        study_id(study), [optuna.trial.create_trial(state=TrialState.WAITING)], after=600
    )
    claim = storage.claim([study_id(study)], owner="worker", seconds=60)
    assert claim is not None
    with dashboard(tmp_path) as running:
        for epoch in (1, 2, 3):
            storage.rdb.set_trial_intermediate_value(claim.trial_id, epoch, epoch / 10)
            reported = time.monotonic()
            expected = [{"step": step, "value": step / 10} for step in range(1, epoch + 1)]
            while True:
                trial = running.json(f"/api/studies/{study_id(study)}?after=600")["trials"][-1]
                if trial["intermediate_values"] == expected:
                    break
                assert time.monotonic() - reported < 2, trial["intermediate_values"]
                time.sleep(0.05)
        assert claim.finish(TrialState.COMPLETE, value=0.0)
        time.sleep(1.1)
        found = running.json(f"/api/studies/{study_id(study)}?after=600")
    assert (found["trials"][0]["state"], found["trials"][0]["values"]) == ("Complete", [0.0])


@pytest.mark.slow
def test_twenty_clients_poll_while_four_workers_train_and_nobody_fails(tmp_path: Path, crowd: Crowd) -> None:
    spec = loads(SEARCH.replace("epochs = 2", "epochs = 8"))
    study = library.create_study(
        spec, storage=f"sqlite:///{tmp_path}/hpo.db", artifact_dir=tmp_path / "hpo-artifacts"
    )
    replies: list[int] = []
    failures: list[object] = []
    done = threading.Event()

    def poll(running: Dashboard) -> None:
        after = 0
        while not done.is_set():
            try:
                reply = running.get(f"/api/studies/{study.id}?after={after}", Accept_Encoding="gzip")
                replies.append(reply.status)
                after = (after + 1) % 3
            except OSError as error:
                failures.append(error)

    with dashboard(tmp_path) as running:
        clients = [threading.Thread(target=poll, args=(running,)) for _ in range(20)]
        for client in clients:
            client.start()
        finished = crowd(train_slowly, study.storage.url, str(tmp_path / "hpo-artifacts"), count=4)
        done.set()
        for client in clients:
            client.join()
    assert sum(finished) == 4
    assert states(study) == ["complete"] * 4
    assert failures == []
    assert set(replies) == {200}
    assert len(replies) >= 40


def train_slowly(url: str, folder: str, number: int) -> int:
    """A worker whose trials are nothing but epochs to report; returns how many it has finished."""
    worker = Worker(Storage(url, artifact_dir=folder), name=f"worker-{number}", runner=lambda _: reporting)
    return worker.run(exit_when_idle=True)


def reporting(trial: optuna.Trial, hyperparameters: Any, **_: Any) -> Outcome:
    for epoch in range(1, hyperparameters.epochs + 1):
        trial.report(epoch / 10, epoch)
        time.sleep(0.1)
    return Outcome(TrialState.COMPLETE, 0.5, None, {"val_accuracy": 0.5}, [])


@pytest.mark.slow
def test_check_asks_for_every_route_and_ends(trained: Trained) -> None:
    done = quick("dashboard", "--check", "--port", "0", "--format", "json", folder=trained.folder)
    found = {asked["path"]: asked["status"] for asked in json.loads(done.stdout)}
    assert done.returncode == 0, done.stderr
    app = optuna_dashboard.wsgi(optuna.storages.InMemoryStorage())
    rules = [route.rule for route in app.routes if route.method == "GET"]
    for rule in rules:
        pattern = re.escape(rule).replace("\\", "")
        beginning = re.sub("<.*", "", pattern)
        if "artifacts/<study_id:int>/<artifact_id" not in rule:  # a study that has none
            assert any(path.startswith(beginning) for path in found), rule
    assert {"/", "/home", "/studies/comparison"} < found.keys()
    assert any(path.startswith("/compare?study=") for path in found)
    assert any(path.count("/") == 4 for path in found if path.startswith("/artifacts/"))
    assert all(status < 400 for path, status in found.items() if "/plot/" not in path), found
    assert done.stderr == f"{len(found)} paths asked for, 0 failed.\n"


def test_check_without_a_study_asks_for_the_rest(tmp_path: Path) -> None:
    new_storage(f"sqlite:///{tmp_path}/hpo.db")
    done = quick("dashboard", "--check", "--port", "0", "--format", "csv", folder=tmp_path)
    assert done.returncode == 0
    assert [row["path"] for row in csv.DictReader(io.StringIO(done.stdout))] == [
        "/",
        "/dashboard",
        "/api/meta",
        "/api/studies",
        "/favicon.ico",
        "/static/bundle.js",
        "/static/plotly.js",
        "/incompatible-rdb-schema",
        "/home",
    ]


# Starts and ends dashboards in one process; what the threads of their servers end in goes to standard error.
CHECKS = """
import sys
from hpo.dashboard import Settings, check
from hpo.storage import Storage
for _ in range(int(sys.argv[2])):
    assert all(asked.is_well for asked in check(Storage(sys.argv[1]), Settings(port=0)))
"""


@pytest.mark.long
@pytest.mark.parametrize("times", [5, 20])
def test_a_dashboard_that_is_ended_from_another_thread_ends_without_a_word(
    times: int, tmp_path: Path
) -> None:
    url = f"sqlite:///{tmp_path}/hpo.db"
    Storage(url, create=True)
    command = [sys.executable, "-c", CHECKS, url, str(times)]
    done = subprocess.run(command, cwd=tmp_path, env=environment(), capture_output=True, text=True)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


# --------------------------------------------------------------------------------------------- bad input


def test_a_taken_port_is_told_in_one_line_and_nothing_is_created(tmp_path: Path) -> None:
    library.create_study(loads(SEARCH), storage=f"sqlite:///{tmp_path / 'hpo.db'}")
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        done = quick("dashboard", "--port", str(port), "--no-browser", folder=tmp_path)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr == f"port {port}: cannot be used: Address already in use. Choose another: --port.\n"
    assert not (tmp_path / "hpo-artifacts").exists()


def test_a_damaged_database_is_told_in_one_line(trained: Trained, tmp_path: Path) -> None:
    whole = (trained.folder / "hpo.db").read_bytes()
    (tmp_path / "hpo.db").write_bytes(whole[: len(whole) // 2])
    done = quick("dashboard", "--port", "0", "--no-browser", folder=tmp_path)
    assert (done.returncode, done.stdout) == (2, "")
    (line,) = done.stderr.splitlines()
    said = "must be a whole database, but got 'database disk image is malformed'. Put a backup in its place"
    assert line.startswith(f"storage sqlite:///hpo.db: {said}")


def test_an_artifact_folder_that_cannot_be_made_is_told_in_one_line(trained: Trained) -> None:
    done = quick("dashboard", "--port=0", folder=trained.folder, HPO_ARTIFACT_DIR="search.toml")
    assert done.returncode == 2
    assert done.stderr == "artifact folder search.toml: cannot be made: File exists.\n"
