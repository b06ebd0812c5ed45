"""The benchmark of training: what a row says of what was measured, and the command."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from tests.benchmarks.training.figures import Row, in_turns
from tests.benchmarks.training.processes import ROOT, environment

ROW = Row(
    "steps", "mnist", "µs a step", {"ours": [3.0, 1.0, 2.0], "fit": [8.0, 4.0, 20.0]}, [("ours", "fit")]
)


def benchmark(*arguments: str, **variables: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "tests.benchmarks.training", *arguments]
    return subprocess.run(command, cwd=ROOT, env=environment(**variables), capture_output=True, text=True)


def test_a_row_says_medians_spreads_and_how_many_times_the_other_takes() -> None:
    said = ROW.as_json()
    assert said["n"] == 3
    assert said["median"] == {"ours": 2.0, "fit": 8.0}
    assert said["spread"] == {"ours": [1.0, 3.0], "fit": [4.0, 20.0]}
    assert said["times"] == {"fit / ours": 4.0}
    assert ROW.shown("fit") == "fit 8.00 (4.00-20.0)"


def test_what_is_compared_is_measured_in_turns() -> None:
    order: list[tuple[str, int]] = []

    def measure(name: str):
        return lambda turn: order.append((name, turn)) or float(turn)

    found = in_turns(2, {"a": measure("a"), "b": measure("b")})
    assert order == [("a", 0), ("b", 0), ("a", 1), ("b", 1)]
    assert found == {"a": [0.0, 1.0], "b": [0.0, 1.0]}


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (("--only", "nothing of it"), "Rows: steps mnist batch 1 plain;"),
        (("--repeats", "0"), "an integer of at least 1, but got '0'"),
        (("--against", "tests"), "a folder with hpo/ in it, but got 'tests'"),
    ],
)
def test_what_it_cannot_do_is_one_line(arguments: tuple[str, ...], says: str) -> None:
    done = benchmark(*arguments)
    assert done.returncode != 0
    assert says in done.stderr.splitlines()[-1]


def test_a_data_set_that_is_not_there_is_one_line_that_says_how_to_fetch_it(tmp_path: Path) -> None:
    done = benchmark("--only", "searches cifar10", HPO_DATA_DIR=str(tmp_path))
    assert done.returncode == 1
    assert done.stderr.splitlines()[-1].endswith(f"cifar10 is not in {tmp_path}. hpo data fetch cifar10")
    assert len(done.stdout.splitlines()) == 1


@pytest.mark.long
@pytest.mark.parametrize(
    ("only", "figures"),
    [
        ("steps cifar10 batch 128 plain", {"1 thread", "fit", "products"}),
        ("models embedding", {"1 thread", "fit, 1 thread", "two at once", "fit, 2 threads"}),
        ("compiling", {"cold"}),
    ],
)
def test_a_row_is_measured_and_is_in_the_table(only: str, figures: set[str]) -> None:
    done = benchmark("--repeats", "1", "--only", only)
    assert done.returncode == 0, done.stderr
    machine, row = map(json.loads, done.stdout.splitlines())
    assert machine["tensorflow"]
    assert set(row["median"]) == figures
    assert all(value > 0 for value in row["median"].values())
    table = done.stderr[done.stderr.index("how many times") :]
    assert row["row"] in table
    assert max(map(len, done.stderr.splitlines())) <= 100
