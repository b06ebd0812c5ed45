"""Two nodes of Ray and a PostgreSQL, each on a host of its own address, and `hpo run` on one of them."""

from __future__ import annotations

import os
import secrets
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.command import COLD_PYTHON, HPO, environment
from tests.faults.places import WORKER_HOSTS, Place

HEAD, NODE = WORKER_HOSTS
PORT = 6379
TOKEN = secrets.token_hex(32)
START_SECONDS = 120.0
# What a node needs to say that it has begun.
BEGUN = "Ray runtime started"


@contextmanager
def nodes(place: Place) -> Iterator[str]:
    """Ray on both hosts, one core each, heard on them alone; yields its address."""
    assert place.network is not None
    address = f"{place.network.address(HEAD)}:{PORT}"
    head = ("--head", f"--port={PORT}", "--include-dashboard=false", f"--temp-dir={place.ledgers.parent}/ray")
    started = []
    try:
        for host, options in ((HEAD, head), (NODE, (f"--address={address}",))):
            started.append(_start(place, host, *options))
        yield address
    finally:
        # The node first: without its head it would wait for it.
        for process in reversed(started):
            process.terminate()
        for process in reversed(started):
            process.wait(30)


def _start(place: Place, host: str, *options: str) -> subprocess.Popen[bytes]:
    assert place.network is not None
    own = (
        f"--node-ip-address={place.network.address(host)}",
        "--num-cpus=1",
        "--object-store-memory=80000000",
    )
    command = [
        str(Path(COLD_PYTHON).parent / "ray"),
        "start",
        *own,
        *options,
        "--disable-usage-stats",
        "--block",
    ]
    written = place.ledgers / f"ray-{host}.txt"
    with written.open("wb") as file:
        process = subprocess.Popen(
            [*place.network.prefix(host), *command],
            env=_environment(place),
            stdin=subprocess.DEVNULL,
            stdout=file,
            stderr=file,
            start_new_session=True,
        )
    until = time.monotonic() + START_SECONDS
    while BEGUN not in written.read_text():
        assert process.poll() is None, written.read_text()
        assert time.monotonic() < until, written.read_text()
        time.sleep(0.1)
    return process


def run(place: Place, address: str, spec: Path) -> subprocess.Popen[str]:
    """`hpo run` of a study on the head's host, with a worker for each node."""
    assert place.network is not None
    command = [*HPO, "run", str(spec), "--engine", "ray", "--address", address]
    return subprocess.Popen(
        [*place.network.prefix(HEAD), *command, "--workers", "2", "--checkpoint-seconds", "0.5"],
        env=_environment(place),
        cwd=place.ledgers,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
    )


def _environment(place: Place) -> dict[str, str]:
    root = str(Path(__file__).parents[2])
    path = f"{Path(COLD_PYTHON).parent}{os.pathsep}{os.environ['PATH']}"
    token = {"RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN": TOKEN}
    return environment(PYTHONPATH=root, PATH=path, **token, **place.environment)
