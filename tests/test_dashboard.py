"""`hpo dashboard`: the real process, read over HTTP."""

from __future__ import annotations

import json
import re
import signal
import socket
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.error import HTTPError
from urllib.parse import urlsplit
from urllib.request import ProxyHandler, build_opener

import pandas as pd
import pytest

import hpo as library
from hpo.spec import loads
from tests.command import HPO, SEARCH, Trained, environment, quick

# Not urlopen: it keeps the proxies that were set when somebody in this process first called it.
open_url = build_opener(ProxyHandler({})).open


@contextmanager
def dashboard(folder: Path, *options: str, **variables: str) -> Iterator[tuple[subprocess.Popen[str], str]]:
    """A running dashboard, and the address that it has announced."""
    process = subprocess.Popen(
        [*HPO, "dashboard", "--port", "0", "--no-browser", *options],
        cwd=folder,
        env=environment(**variables),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        assert process.stderr is not None
        line = process.stderr.readline()
        announced = re.search(r"http://\S+", line)
        assert announced is not None, line + process.stderr.read()
        yield process, announced[0]
    finally:
        process.kill()
        process.communicate()


@pytest.fixture(scope="module")
def address(trained: Trained) -> Iterator[str]:
    """Scheme, host and port of a dashboard on the trained studies."""
    with dashboard(trained.folder) as (_, page):
        yield page.removesuffix("/dashboard")


def get(url: str) -> Any:
    with open_url(url, timeout=30) as reply:
        return json.loads(reply.read())


@pytest.fixture(scope="module")
def studies(address: str) -> dict[str, int]:
    """Each study's id by its name."""
    return {
        study["study_name"]: study["study_id"] for study in get(f"{address}/api/studies")["study_summaries"]
    }


def test_the_announced_page_is_the_dashboard(address: str) -> None:
    with open_url(f"{address}/dashboard", timeout=30) as reply:
        assert reply.headers["Content-Type"].startswith("text/html")
        assert "Optuna Dashboard" in reply.read().decode()


def test_both_studies_are_there(studies: dict[str, int]) -> None:
    assert studies.keys() == {"search", "comparison"}


def test_a_study_shows_its_trials_their_parameters_and_each_epoch(
    address: str, studies: dict[str, int], trained: Trained
) -> None:
    found = get(f"{address}/api/studies/{studies['search']}?after=0")
    assert found["directions"] == ["maximize"]
    known = library.open_study("search", storage=f"sqlite:///{trained.folder / 'hpo.db'}").all_trials
    assert len(found["trials"]) == len(known) == 4
    for shown, trial in zip(found["trials"], known, strict=True):
        assert (shown["number"], shown["state"]) == (trial.number, "Complete")
        epochs = [(value["step"], value["value"]) for value in shown["intermediate_values"]]
        assert epochs == list(enumerate(trial.curve, start=1))
        assert shown["values"] == [trial.value]
        assert {param["name"] for param in shown["params"]} == trial.params.keys()


def test_failed_trials_say_why(address: str, studies: dict[str, int]) -> None:
    trials = get(f"{address}/api/studies/{studies['comparison']}?after=0")["trials"]
    failed = [trial for trial in trials if trial["state"] == "Fail"]
    assert len(failed) == 2
    for trial in failed:
        attributes = {attribute["key"]: attribute["value"] for attribute in trial["user_attrs"]}
        assert "loss is nan at epoch 1" in attributes["reason"]


def test_the_learning_curves_of_a_trial_can_be_downloaded(
    address: str, studies: dict[str, int], trained: Trained
) -> None:
    study = library.open_study(
        "search",
        storage=f"sqlite:///{trained.folder / 'hpo.db'}",
        artifact_dir=trained.folder / "hpo-artifacts",
    )
    for shown in get(f"{address}/api/studies/{studies['search']}?after=0")["trials"]:
        (artifact,) = shown["artifacts"]
        assert (artifact["filename"], artifact["mimetype"]) == ("curves.csv", "text/csv")
        path = f"{studies['search']}/{shown['trial_id']}/{artifact['artifact_id']}"
        with open_url(f"{address}/artifacts/{path}", timeout=30) as reply:
            curves = pd.read_csv(reply)
        assert curves["epoch"].tolist() == [1, 2]
        pd.testing.assert_frame_equal(curves, study.curves(shown["number"]))


def test_nothing_but_artifacts_can_be_downloaded(address: str, studies: dict[str, int]) -> None:
    trial = get(f"{address}/api/studies/{studies['search']}?after=0")["trials"][0]["trial_id"]
    for path in ("..%2Fhpo.db", "../hpo.db", "%2Fetc%2Fpasswd", "nothing"):
        with pytest.raises(HTTPError) as refused:
            open_url(f"{address}/artifacts/{studies['search']}/{trial}/{path}", timeout=30)
        assert refused.value.code == 404


def test_it_listens_on_loopback_alone(address: str) -> None:
    where = urlsplit(address)
    assert where.hostname == "127.0.0.1"
    port = f"{where.port:04X}"
    listening = [
        entry[1].split(":")[0]
        for table in (Path("/proc/net/tcp"), Path("/proc/net/tcp6"))
        if table.exists()
        for entry in (line.split() for line in table.read_text().splitlines()[1:])
        if entry[1].endswith(f":{port}") and entry[3] == "0A"
    ]
    assert listening == ["0100007F"]  # 127.0.0.1 in the kernel's order of bytes


def test_a_study_that_is_created_later_appears_and_ctrl_c_ends_it_with_code_0(tmp_path: Path) -> None:
    storage = f"sqlite:///{tmp_path / 'later.db'}"
    library.create_study(loads(SEARCH), storage=storage)
    with dashboard(tmp_path, "--storage", storage) as (process, page):
        summaries = f"{page.removesuffix('/dashboard')}/api/studies"
        assert len(get(summaries)["study_summaries"]) == 1
        library.create_study(loads(SEARCH.replace('"search"', '"later"', 1)), storage=storage)
        assert len(get(summaries)["study_summaries"]) == 2
        process.send_signal(signal.SIGINT)
        out, rest = process.communicate(timeout=30)
    assert (process.returncode, out, rest) == (0, "", "")


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
    assert line.startswith("storage sqlite:///hpo.db: cannot be used: database disk image is malformed.")


def test_an_artifact_folder_that_cannot_be_made_is_told_in_one_line(trained: Trained) -> None:
    done = quick("dashboard", "--port=0", folder=trained.folder, HPO_ARTIFACT_DIR="search.toml")
    assert done.returncode == 2
    assert done.stderr == "artifact folder search.toml: cannot be made: File exists.\n"
