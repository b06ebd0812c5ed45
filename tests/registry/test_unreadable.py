"""A study whose specification this version cannot read: one line about it, and all other studies as ever."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import hpo
from hpo.errors import SpecError
from hpo.registry import StoredStudy, find
from hpo.storage import Storage
from tests.command import Done, quick
from tests.recorded import comparison, created, record

STORED: dict[str, Callable[[dict[str, Any]], Any]] = {
    "a later format": lambda spec: spec | {"format": 4, "tournament": {"rounds": 3}},
    "an unknown kind": lambda spec: spec | {"kind": "tournament"},
    "an unknown key": lambda spec: spec | {"rounds": 3},
    "no table": lambda spec: "a drawing of a bridge",
}
LINE = "study 'new': its specification is of format 4, and this version of hpo reads up to 3. Update hpo."


def outcome(_: str | None, seed: int) -> dict[str, float]:
    return {"val_accuracy": 0.9 + 0.001 * seed, "val_loss": 0.5, "train_seconds": 1.0}


def folder_with(stored: Callable[[dict[str, Any]], Any], folder: Path) -> Path:
    """A folder with a study of this version, and one that another version has stored in its own way."""
    record(created(comparison(["a", "b"], seeds=2), folder), outcome)
    new = created(comparison(["a", "b"], seeds=2, name="new"), folder)
    record(new, outcome, most=1)
    new.optuna.set_user_attr("spec", stored(new.optuna.user_attrs["spec"]))
    return folder


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    made = folder_with(STORED["a later format"], tmp_path_factory.mktemp("unreadable"))
    (made / "study.toml").write_text("""
name = "new"
kind = "search"
data = { name = "digits" }
trials = 2
[space]
dropout = [0.1, 0.2]
""")
    return made


@pytest.mark.parametrize("stored", STORED.values(), ids=list(STORED))
def test_opening_it_raises_one_line_and_listing_it_does_not(stored, tmp_path):
    folder_with(stored, tmp_path)
    storage = Storage(f"sqlite:///{tmp_path / 'hpo.db'}")
    with pytest.raises(SpecError, match=r"^study 'new': its specification[^\n]*$"):
        StoredStudy(storage, find("new", storage))
    readable, unreadable = hpo.list_studies(storage=storage)
    assert (readable.name, readable.problem) == ("comparison", None)
    assert unreadable.name == "new"
    assert unreadable.problem.startswith("study 'new': its specification")
    assert (unreadable.kind, unreadable.metric, unreadable.planned, unreadable.best_value) == (None,) * 4
    assert unreadable.counts == {"complete": 1, "pruned": 0, "failed": 0, "running": 0, "waiting": 3}
    assert unreadable.created is not None


def test_a_study_that_becomes_unreadable_while_it_is_open_raises_the_same(tmp_path):
    study = created(comparison(["a", "b"], seeds=2, name="new"), tmp_path)
    study.optuna.set_user_attr("spec", STORED["a later format"](study.optuna.user_attrs["spec"]))
    for use in (study.refresh, study.plan):
        with pytest.raises(SpecError) as caught:
            use()
        assert str(caught.value) == LINE


def one_line(done: Done) -> str:
    assert done.returncode == 2, done
    assert done.stdout == ""
    (line,) = done.stderr.splitlines()
    return line


@pytest.mark.parametrize(
    "arguments",
    [
        "show new", "trials new", "best new", "compare new", "compare comparison new", "resume new",
        "stop new", "final new", "report new --out out", "export new --out x.keras", "delete new --yes",
        "worker new", "run study.toml", "create study.toml",
    ],
)  # fmt: skip
def test_each_command_on_it_says_so_in_one_line(arguments, folder):
    assert one_line(quick(*arguments.split(), folder=folder)) == LINE
    assert not (folder / "out").exists()
    assert not (folder / "x.keras").exists()


def test_it_is_one_row_of_the_list_which_is_else_whole(folder):
    shown = quick("list", folder=folder)
    assert (shown.returncode, shown.stderr) == (0, f"{LINE}\n")
    _, readable, unreadable = shown.stdout.splitlines()
    assert readable.split()[:4] == ["comparison", "comparison", "4", "complete"]
    assert unreadable.split()[:4] == ["new", "-", "1", "complete,"]
    one, other = json.loads(quick("list", "--format", "json", folder=folder).stdout)
    assert (one["problem"], other["problem"]) == (None, LINE)
    assert (other["name"], other["counts"]["waiting"], other["planned"]) == ("new", 3, None)
    assert LINE in quick("list", "--format", "csv", folder=folder).stdout


@pytest.mark.parametrize("arguments", ["show comparison", "best comparison", "compare comparison", "doctor"])
def test_the_others_are_read_as_ever(arguments, folder):
    assert quick(*arguments.split(), folder=folder).returncode == 0
