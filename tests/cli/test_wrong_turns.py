"""What is said to somebody who took a wrong turn, and the steps on from a search."""

from __future__ import annotations

import json
import tomllib
from pathlib import Path

import numpy as np
import pytest

from hpo.spec import MlpHyperparameters, loads
from hpo.storage import Storage
from tests.command import COMPARISON, SEARCH, Trained, quick
from tests.recorded import created, record

BAD = """
name = "bad study"
kind = "search"
data = { name = "digits", validation = 2 }
trails = 20
trials = 0
sampler = { name = "tpee" }
[params]
optimizer = "AdamW"
hiden_units = [3]
[space]
learning_rate = [0.1, 0.01]
dropuot = [0.1]
"""


def test_all_that_is_wrong_with_a_study_file_is_told_at_once(tmp_path: Path) -> None:
    (tmp_path / "bad.toml").write_text(BAD)
    done = quick("validate", "bad.toml", folder=tmp_path)
    assert (done.returncode, done.stdout) == (2, "")
    lines = done.stderr.splitlines()
    assert [line.removeprefix("bad.toml: ").split(":")[0] for line in lines] == [
        "unknown key 'trails'. Did you mean trials?",
        "name",
        "data.validation",
        "params",
        "space",
        "sampler.name",
        "trials",
        "params.optimizer",
    ]
    assert lines[3].endswith("unknown key 'hiden_units'. Did you mean hidden_units?")
    # Not "did you mean adam": it is another one.
    assert lines[-1].endswith("but got 'AdamW'. This version has no AdamW.")
    run = quick("run", "bad.toml", folder=tmp_path)
    assert (run.returncode, run.stderr) == (2, done.stderr)


def test_a_study_to_start_from_that_is_not_there_leaves_no_database(tmp_path: Path) -> None:
    (tmp_path / "search.toml").write_text(f'start_from = "gone"\n{SEARCH}')
    for command in ("create", "run"):
        done = quick(command, "search.toml", folder=tmp_path)
        assert (done.returncode, len(done.stderr.splitlines())) == (2, 1)
        assert not (tmp_path / "hpo.db").exists()


def test_of_many_faults_the_first_ten_are_told(tmp_path: Path) -> None:
    keys = "\n".join(f"wrong_{letter} = 1" for letter in "abcdefghijklmn")
    (tmp_path / "bad.toml").write_text(f"{keys}\n{SEARCH}")
    lines = quick("validate", "bad.toml", folder=tmp_path).stderr.splitlines()
    assert len(lines) == 11
    assert lines[-1] == "and 4 more"


def test_the_name_of_a_stored_study_is_no_file(tmp_path: Path) -> None:
    (tmp_path / "search.toml").write_text(SEARCH)
    assert quick("create", "search.toml", folder=tmp_path).returncode == 0
    done = quick("run", "search", folder=tmp_path)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr == (
        "search: is the name of a stored study, not of a study file. "
        "Train what is left of it with: hpo resume search.\n"
    ).replace("search.\n", "search\n")
    assert "no such file" in quick("run", "other", folder=tmp_path).stderr


def test_a_misspelt_study_is_guessed(trained: Trained) -> None:
    done = quick("show", "serach", folder=trained.folder)
    assert done.returncode == 2
    assert done.stderr.endswith("Did you mean 'search'?\n")
    done = quick("show", "zzz", folder=trained.folder)
    assert done.stderr.endswith("There are: search, comparison.\n")


def test_stop_of_a_finished_study_says_so(trained: Trained) -> None:
    done = quick("stop", "search", folder=trained.folder)
    assert (done.returncode, done.stderr) == (
        0,
        "search has nothing left to train: there is nothing to stop.\n",
    )


def test_init_writes_either_kind(tmp_path: Path) -> None:
    for options, kind in (([], "search"), (["--comparison"], "comparison")):
        folder = tmp_path / kind
        assert quick("init", folder, *options, folder=tmp_path).returncode == 0
        assert tomllib.loads((folder / "study.toml").read_text())["kind"] == kind
        assert quick("validate", folder / "study.toml", folder=tmp_path).returncode == 0


def test_a_shell_completes_names_of_studies(trained: Trained) -> None:
    def completed(line: str) -> list[str]:
        words = {"COMP_WORDS": line, "COMP_CWORD": str(len(line.split()) - 1)}
        # Typer asks which shell it is.
        done = quick(folder=trained.folder, _HPO_COMPLETE="complete_bash", **words, SHELL="/bin/bash")
        return done.stdout.split()

    assert completed("hpo show s") == ["search"]
    assert completed("hpo compare search com") == ["comparison"]
    assert "resume" in completed("hpo re")


def test_data_on_very_different_scales_is_warned_of(tmp_path: Path) -> None:
    x = np.random.default_rng(0).random((40, 3)) * [1, 1e5, 0.01]
    np.savez(tmp_path / "t.npz", x_train=x.astype(np.float32), y_train=np.arange(40) % 2)
    done = quick("data", "show", "t.npz", "--format", "json", folder=tmp_path)
    assert json.loads(done.stdout)["range"] == pytest.approx([x.min(), x.max()])
    assert done.stderr.startswith("t.npz: features are on very different scales: column 1 has")
    np.savez(tmp_path / "t.npz", x_train=(x / x.std(axis=0)).astype(np.float32), y_train=np.arange(40) % 2)
    assert quick("data", "show", "t.npz", folder=tmp_path).stderr == ""


# --------------------------------------------------------------------------------------------- promotion


def outcome(_: str | None, number: int) -> dict[str, float]:
    return {"val_accuracy": 0.9 - number / 100, "val_loss": 0.5, "train_seconds": 1.0}


def test_the_best_of_a_search_become_a_comparison_on_fresh_seeds(tmp_path: Path) -> None:
    study = created(loads(SEARCH), tmp_path)
    record(study, outcome)
    done = quick("promote", "search", "--top", "2", "--seeds", "4", folder=tmp_path)
    assert done.returncode == 0, done.stderr
    assert done.stderr == (
        "Wrote search-top-2.toml: #0, #1 of search with 4 seeds each."
        " Run it with: hpo run search-top-2.toml\n"
    )
    spec = loads((tmp_path / "search-top-2.toml").read_text())
    assert (spec.kind, spec.baseline, list(spec.seed_range)) == ("comparison", "#0", [1, 2, 3, 4])
    for trial, arm in zip(study.all_trials, spec.arms, strict=False):
        assert spec.hyperparameters_for(arm.params).model_dump(mode="json") == trial.hyperparameters
    assert quick("validate", "search-top-2.toml", folder=tmp_path).returncode == 0
    again = quick("promote", "search", "--top", "2", folder=tmp_path)
    assert (again.returncode, "is there already, and is kept" in again.stderr) == (2, True)


STEPS = """
name = "steps"
kind = "search"
data = { name = "digits", validation = 0.2 }
trials = 5
sampler = { name = "grid" }
[params]
hidden_units = [8]
epochs = 2
[space]
dropout = { low = 0.0, high = 0.4, step = 0.1 }
"""


def test_a_promoted_file_has_numbers_as_people_write_them_and_no_empty_table(tmp_path: Path) -> None:
    study = created(loads(STEPS), tmp_path)
    for trial in study.all_trials:
        # What Optuna makes of steps.
        study.storage.optuna.set_trial_user_attr(
            study.frozen_trials[trial.number]._trial_id,
            "hyperparameters",
            trial.hyperparameters | {"dropout": trial.number * 0.1},
        )
    assert 0.30000000000000004 in [trial.hyperparameters["dropout"] for trial in study.all_trials]
    record(study, outcome)
    done = quick("promote", "steps", "--top", "5", folder=tmp_path)
    assert done.returncode == 0, done.stderr
    text = (tmp_path / "steps-top-5.toml").read_text()
    assert "[objective]" not in text
    assert "0.30000000000000004" not in text
    assert sorted(arm.params["dropout"] for arm in loads(text).arms) == [0.0, 0.1, 0.2, 0.3, 0.4]


SHORT = """
name = "short"
kind = "search"
data = { name = "digits", validation = 0.2 }
trials = 3
sampler = { name = "grid" }
[params]
hidden_units = [8]
[space]
learning_rate = [0.01, 0.1]
dropout = [0.0, 0.2, 0.4]
"""

FEW_EPOCHS = """
name = "few"
kind = "search"
data = { name = "digits", validation = 0.2 }
trials = 12
max_epochs_total = 14
sampler = { name = "random" }
[params]
epochs = 2
[space]
learning_rate = { low = 1e-3, high = 1e-1, log = true }
"""


def test_validate_says_what_of_a_grid_is_tried_and_what_epochs_leave(tmp_path: Path) -> None:
    (tmp_path / "short.toml").write_text(SHORT)
    (tmp_path / "whole.toml").write_text(SHORT.replace("trials = 3", "trials = 6"))
    (tmp_path / "few.toml").write_text(FEW_EPOCHS)
    (tmp_path / "many.toml").write_text(FEW_EPOCHS.replace("total = 14", "total = 99"))
    done = quick("validate", *(f"{name}.toml" for name in ("short", "whole", "few", "many")), folder=tmp_path)
    assert done.returncode == 0, done.stderr
    grid = [line for line in done.stderr.splitlines() if "configurations in order" in line]
    spec = loads(SHORT)
    last = {"learning_rate", "dropout"}.difference(
        name
        for name in ("learning_rate", "dropout")
        if spec.configuration(0)[name] == spec.configuration(1)[name]
    )
    assert grid == [
        f"short.toml: the grid is the first 3 of 6 configurations in order, {last.pop()} changing fastest;"
        ' sampler = { name = "random" } draws from all.'
    ]
    epochs = [line for line in done.stderr.splitlines() if "max_epochs_total" in line]
    assert epochs == [
        "few.toml: max_epochs_total leaves epochs for 3 of the 8 trials that search,"
        " and for more if some end early."
    ]


IDLE = """
name = "{name}"
kind = "search"
data = {{ name = "digits", validation = 0.2 }}
trials = 4
sampler = {{ name = "grid" }}
[params]
hidden_units = [8]
nesterov = true
epochs = 2
[space]
momentum = [0.0, 0.9]
learning_rate = [0.01, 0.1]
"""


def test_whatever_a_search_may_draw_can_be_promoted_whatever_it_is_called(tmp_path: Path) -> None:
    """A file may not declare nesterov without momentum, and a search may draw it; names stay unique."""
    files = set()
    for end in ("one", "two"):
        study = created(loads(IDLE.format(name=f"{'n' * 60}-{end}")), tmp_path)
        record(study, outcome)
        done = quick("promote", study.name, "--top", "4", folder=tmp_path)
        assert done.returncode == 0, done.stderr
        (written,) = set(tmp_path.glob("*.toml")) - files
        files.add(written)
        spec = loads(written.read_text())
        for trial, arm in zip(study.all_trials, spec.arms, strict=True):
            trained = MlpHyperparameters(**trial.hyperparameters).canonical
            assert spec.hyperparameters_for(arm.params).canonical == trained
    assert len({loads(file.read_text()).name for file in files}) == 2


def test_what_cannot_be_promoted_is_told(tmp_path: Path) -> None:
    study = created(loads(SEARCH), tmp_path)
    created(loads(COMPARISON), tmp_path)
    record(study, outcome, most=1)
    for name, rule in (("comparison", "must be a search"), ("search", "must have two complete")):
        done = quick("promote", name, folder=tmp_path)
        assert done.returncode == 2
        assert done.stderr.startswith(f"study '{name}': {rule}")
    assert not list(tmp_path.glob("*.toml"))


# -------------------------------------------------------------------------------------------------- lost


@pytest.mark.slow
def test_a_trial_whose_worker_is_gone_is_lost(tmp_path: Path) -> None:
    study = created(loads(SEARCH), tmp_path)
    storage = Storage(study.storage.url, artifact_dir=tmp_path / "hpo-artifacts")
    claim = storage.claim([study.id], owner="a worker", seconds=60)
    assert claim is not None
    environment = {"HPO_ARTIFACT_DIR": str(tmp_path / "hpo-artifacts")}

    def shown(command: str) -> str:
        return quick(*command.split(), folder=tmp_path, **environment).stdout

    assert "1 running, 3 waiting" in shown("list")
    storage.expire_leases("a worker")
    assert "3 waiting, 1 lost" in shown("list")
    assert "its worker is lost; the next worker takes it up" in shown("trials search")
    (summary,) = json.loads(shown("list --format json"))
    assert (summary["counts"]["running"], summary["lost"]) == (1, 1)
    (trial, *_) = json.loads(shown("trials search --format json"))
    assert (trial["state"], trial["lost"]) == ("running", True)
