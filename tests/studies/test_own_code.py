"""Files of people's own code: kept to be shown, never run from there, the same as long as a study lasts."""

from __future__ import annotations

import ast
import json
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from hpo import HpoError, Study, create_study, open_study
from hpo.errors import CodeError
from hpo.spec import load, loads, to_toml
from hpo.storage import Storage
from tests.command import Done, environment, quick
from tests.forks import Forked
from tests.tiny_studies import eventually, own_data, states, worker_of

# Each study's model is tried in a process of its own, which takes seconds.
pytestmark = pytest.mark.slow

__all__ = ["own_data"]

MODEL = '''\
"""A model of somebody's own. \x1b[31m</code><script>alert(1)</script> ```"""

import keras



def build(units, rate=0.1, *, input_shape, outputs):
    layers = [keras.layers.Dense(units, "relu"), keras.layers.Dropout(rate)]
    return keras.Sequential([keras.Input(input_shape), *layers, keras.layers.Dense(outputs)])
'''
EDITED = MODEL.replace('"relu"', '"tanh"') + "\n# edited\n"
PICKLING = {"pickle", "cloudpickle", "dill", "joblib", "shelve", "marshal"}
CHANGED = "study 'own': model.py has changed since the study was made (+3 -1 lines). "


def table(folder: Path, data: Path, **changes: Any) -> dict[str, Any]:
    return {
        "name": "own",
        "kind": "search",
        "trials": 2,
        "loop": "graph",
        "data": {"name": str(data)},
        "model": {"file": str(folder / "model.py"), "function": "build"},
        "sampler": {"name": "random", "seed": 0},
        "params": {"epochs": 1, "batch_size": "full"},
        "space": {"units": [2, 3]},
    } | changes


@pytest.fixture
def folder(tmp_path: Path, own_data: Path) -> Path:
    """A folder with a study file, the file that it names, and data."""
    (tmp_path / "model.py").write_text(MODEL)
    (tmp_path / "study.toml").write_text(
        f"""
        name = "own"
        kind = "search"
        trials = 2
        loop = "graph"
        data = {{ name = "{own_data}" }}
        model = {{ file = "{tmp_path / "model.py"}" }}
        sampler = {{ name = "random", seed = 0 }}
        params = {{ epochs = 1, batch_size = "full" }}
        space = {{ units = [2, 3] }}
        """
    )
    return tmp_path


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The same, with the study trained."""
    import numpy as np

    made = tmp_path_factory.mktemp("trained")
    draws = np.random.default_rng(0).random((80, 4), np.float32)
    np.savez(
        made / "own.npz", x_train=draws, y_train=np.arange(80) % 2, x_test=draws, y_test=np.arange(80) % 2
    )
    (made / "model.py").write_text(MODEL)
    study = create_study(table(made, made / "own.npz"), **where(made))
    worker_of(study).run(exit_when_idle=True)
    assert states(study) == ["complete", "complete"]
    return made


@pytest.fixture
def edited(trained: Path) -> Iterator[Path]:
    """The trained study, whose file has been edited."""
    (trained / "model.py").write_text(EDITED)
    yield trained
    (trained / "model.py").write_text(MODEL)


def where(folder: Path) -> dict[str, Any]:
    return {"storage": f"sqlite:///{folder / 'hpo.db'}", "artifact_dir": folder / "hpo-artifacts"}


def hpo(folder: Path, *arguments: str | Path) -> Done:
    return quick(*arguments, folder=folder)


def refused(folder: Path, *arguments: str | Path) -> list[str]:
    done = hpo(folder, *arguments)
    assert (done.returncode, done.stdout) == (2, ""), done
    return done.stderr.splitlines()


def test_the_text_is_kept_and_shown_and_nothing_in_it_acts(folder: Path) -> None:
    assert hpo(folder, "create", "study.toml").returncode == 0
    shown = hpo(folder, "show", "own", "--code").stdout
    file = folder / "model.py"
    assert shown.startswith(f"# model: build of {file}, the same on this machine\n")
    assert "\x1b" not in shown
    assert MODEL.replace("\x1b", "\\u001b") in shown
    file.write_text(EDITED)
    assert "changed here since" in hpo(folder, "show", "own", "--code").stdout
    file.unlink()
    (row,) = json.loads(hpo(folder, "show", "own", "--code", "--format", "json").stdout)
    assert (row["text"], row["state"]) == (MODEL, "not on this machine")
    assert "nobody" not in hpo(folder, "show", "own").stdout
    assert hpo(folder, "report", "own", "--out", "report").returncode == 0
    page = (folder / "report" / "report.html").read_text()
    assert "<details><summary>model.py, SHA-256 " in page
    assert "&lt;/code&gt;&lt;script&gt;alert(1)" in page
    assert "<script>alert(1)" not in page
    text = (folder / "report" / "report.md").read_text()
    assert "````python\n" in text
    assert "model.py: build" in text


@pytest.mark.parametrize(
    "command",
    [["resume", "own"], ["promote", "own"], ["final", "own"], ["export", "own", "--out", "a.keras"]],
)
def test_an_edited_file_is_told_with_what_changed(command: list[str], edited: Path) -> None:
    if command[0] == "export":
        for kept in (edited / "hpo-artifacts").glob("*"):
            kept.rename(edited / kept.name)
    try:
        line, *diff = refused(edited, *command)[-12:]
        assert line.endswith(
            CHANGED + "Put it back, or start a new study of it as it is now: hpo resume own --accept-code."
        )
        assert diff[:2] == ["--- model.py of the study", "+++ model.py now"]
        assert {line for line in diff if line[0] in "+-"} > {"+# edited"}
        assert len(diff) <= 21
    finally:
        for kept in edited.glob("*-*-*"):
            kept.rename(edited / "hpo-artifacts" / kept.name)


def test_a_long_change_is_cut(folder: Path) -> None:
    hpo(folder, "create", "study.toml")
    (folder / "model.py").write_text(MODEL + "# line\n" * 100)
    line, *diff = refused(folder, "resume", "own")
    assert "(+100 -0 lines)" in line
    assert len(diff) == 21
    assert diff[-1].startswith("and ")
    (folder / "model.py").unlink()
    (line,) = refused(folder, "resume", "own")
    assert line.startswith(f"study 'own': {folder / 'model.py'}: there is no such file. Put it there, into ")


def test_what_needs_no_code_works_with_an_edited_file(edited: Path) -> None:
    for command in (["show", "own"], ["trials", "own"], ["compare", "own"], ["best", "own"]):
        assert hpo(edited, *command).returncode == 0
    done = hpo(edited, "export", "own", "--out", "kept.keras", "--force")
    assert "as it was kept" in done.stderr, done


def test_accept_code_starts_a_new_study_and_leaves_the_old_one(folder: Path) -> None:
    hpo(folder, "create", "study.toml")
    old = json.loads(hpo(folder, "show", "own", "--format", "json").stdout)
    # It changes nothing of a study whose file is the same.
    assert "own: 2 trials to train" in hpo(folder, "create", "study.toml", "--accept-code").stderr
    (folder / "model.py").write_text(EDITED)
    assert refused(folder, "run", "study.toml")[0].endswith(
        "start a new study of it as it is now: --accept-code."
    )
    said = hpo(folder, "create", "study.toml", "--accept-code").stderr
    assert said == (
        "own-2 is the study with model.py as it is now; own stays as it is.\n"
        "own-2: 2 trials to train. Run: hpo resume own-2\n"
    )
    # The same again, and not one more.
    assert "own-2: 2 trials to train" in hpo(folder, "create", "study.toml", "--accept-code").stderr
    (folder / "model.py").write_text(EDITED + "# again\n")
    done = hpo(folder, "resume", "own-2", "--accept-code", "--timeout", "0", "--workers", "1")
    assert "own-3 is the study with model.py as it is now; own-2 stays as it is." in done.stderr, done
    names = [row["name"] for row in json.loads(hpo(folder, "list", "--format", "json").stdout)]
    assert names == ["own", "own-2", "own-3"]
    assert json.loads(hpo(folder, "show", "own", "--format", "json").stdout) == old
    texts = [open_study(name, **where(folder)).kept_code["model"] for name in names]
    assert texts == [MODEL, EDITED, EDITED + "# again\n"]


def test_accepted_code_must_go_with_the_study(folder: Path, own_data: Path) -> None:
    create_study(table(folder, own_data), **where(folder))
    (folder / "model.py").write_text(MODEL.replace("units", "width"))
    (line, *_) = refused(folder, "resume", "own", "--accept-code")
    assert "unknown key 'units'" in line


def test_in_python(folder: Path, own_data: Path) -> None:
    study = create_study(table(folder, own_data), **where(folder))
    (folder / "model.py").write_text(EDITED)
    with pytest.raises(CodeError, match=r"^study 'own': model.py has changed") as caught:
        study.run(workers=1, progress=False)
    assert caught.value.diff
    for spec in (study.spec, table(folder, own_data)):
        with pytest.raises(CodeError):
            create_study(spec, **where(folder))
    made = create_study(study.spec, accept_code=True, **where(folder))
    assert made.name == "own-2"
    assert made.spec.own_code["model"].digest != study.spec.own_code["model"].digest


def test_a_final_evaluation_takes_no_other_code(trained: Path) -> None:
    from hpo.studies.final import create_final

    made = create_final([open_study("own", **where(trained))], seeds=1)
    (trained / "model.py").write_text(EDITED)
    try:
        line, *_ = refused(trained, "resume", made.name, "--accept-code")
        assert line == f"study {made.name!r}: model.py has changed since the study was made. Put it back."
    finally:
        (trained / "model.py").write_text(MODEL)


def test_a_promoted_study_is_pinned_to_the_code_of_its_search(trained: Path) -> None:
    assert hpo(trained, "promote", "own", "--out", "top.toml", "--force").returncode == 0
    spec = load(trained / "top.toml")
    own = open_study("own", **where(trained)).spec.own_code["model"]
    assert spec.own_code["model"] == own
    text = (trained / "top.toml").read_text()
    assert f'digest = "{own.digest}"' in text
    assert "required" not in text
    assert loads(to_toml(spec)) == spec


def test_a_moved_file_is_no_change_and_is_found_where_it_is_now(folder: Path, own_data: Path) -> None:
    create_study(table(folder, own_data), **where(folder))
    (folder / "elsewhere").mkdir()
    (folder / "model.py").rename(folder / "elsewhere" / "model.py")
    again = create_study(table(folder / "elsewhere", own_data), **where(folder))
    assert again.name == "own"
    stored = open_study("own", **where(folder)).spec.own_code["model"]
    assert stored.file == str(folder / "elsewhere" / "model.py")


HELPER = "def width(units):\n    return 2 * units\n"


def with_helper(folder: Path, helper: str = HELPER) -> None:
    """A model that imports a file beside it, which is in no package."""
    (folder / "shapes_beside.py").write_text(helper)
    text = "from shapes_beside import width\n" + MODEL.replace("Dense(units,", "Dense(width(units),")
    (folder / "model.py").write_text(text)


def test_a_file_that_is_imported_from_beside_belongs_to_the_code(folder: Path, own_data: Path) -> None:
    with_helper(folder)
    assert quick("create", "study.toml", folder=folder).returncode == 0
    text = quick("show", "own", "--code", folder=folder).stdout
    assert "# model: shapes_beside, beside it" in text
    assert "return 2 * units" in text
    assert quick("create", "study.toml", folder=folder).returncode == 0
    (folder / "shapes_beside.py").write_text(HELPER.replace("2 *", "3 *"))
    for command in ("run", "study.toml"), ("resume", "own"):
        done = quick(*command, folder=folder)
        assert done.returncode == 2
        assert "shapes_beside has changed since the study was made (+1 -1 lines)." in done.stderr
        assert "+    return 3 * units" in done.stderr
    assert quick("create", "study.toml", "--accept-code", folder=folder).returncode == 0
    assert open_study("own-2", storage=f"sqlite:///{folder / 'hpo.db'}").spec.own_code["model"].beside


def test_a_study_of_a_version_that_did_not_look_beside_goes_on(folder: Path, own_data: Path) -> None:
    with_helper(folder)
    storage = f"sqlite:///{folder / 'hpo.db'}"
    study = create_study(table(folder, own_data), storage=storage)
    stored = study.storage.study_attribute(study.id, "spec")
    del stored["model"]["beside"]
    study.storage.set_study_attribute(study.id, "spec", stored)
    assert open_study("own", storage=storage).spec.own_code["model"].beside is None
    assert quick("worker", "own", "--max-trials", "1", folder=folder).returncode == 0
    again = create_study(table(folder, own_data), storage=storage)
    assert again.spec == study.spec
    assert again.spec.own_code["model"].beside is not None
    assert states(again) == ["complete", "waiting"]


def test_one_process_does_not_train_two_studies_with_the_same_file_beside(
    folder: Path, own_data: Path, tmp_path: Path
) -> None:
    studies = []
    for name, helper in {"a": HELPER, "b": HELPER.replace("2 *", "3 *")}.items():
        (tmp_path / name).mkdir()
        with_helper(tmp_path / name, helper)
        storage = f"sqlite:///{folder / 'hpo.db'}"
        studies.append(create_study(table(tmp_path / name, own_data, name=name), storage=storage))
    done = quick("worker", "--exit-when-idle", "--max-trials", "3", folder=folder)
    assert done.returncode != 0
    assert "imports shapes_beside from beside it, and this process has imported another file" in done.stderr
    assert sorted(map(states, studies)) == [["complete"] * 2, ["waiting"] * 2]
    done = quick("worker", "b", "--exit-when-idle", folder=folder)
    assert (done.returncode, states(studies[1])) == (0, ["complete"] * 2)


def test_a_large_file_is_refused(folder: Path, own_data: Path) -> None:
    (folder / "model.py").write_text(MODEL + "#" * 300_000)
    with pytest.raises(HpoError, match=r"at most 256 KiB, as its text is kept with the study"):
        create_study(table(folder, own_data), **where(folder))
    assert not (folder / "hpo.db").exists()


def test_a_worker_without_the_file_passes_over_its_study_until_it_is_there(
    folder: Path, own_data: Path
) -> None:
    """Three studies, one worker process: the file of one has been edited, that of another is gone."""
    for name in ("gone", "good"):
        shutil.copy(folder / "model.py", folder / f"{name}.py")
    edited, gone, good = (
        create_study(
            table(folder, own_data, name=name, trials=1, model={"file": str(folder / file)}), **where(folder)
        )
        for name, file in {"edited": "model.py", "gone": "gone.py", "good": "good.py"}.items()
    )
    (folder / "model.py").write_text(EDITED)
    (folder / "gone.py").unlink()
    (folder / "away").mkdir()
    with serving(folder, folder / "away") as process:
        eventually(lambda: states(good) == ["complete"], within=60)
        eventually(lambda: bool(waiting(edited) and waiting(gone)), within=30)
        assert waiting(edited) == (
            f"{folder / 'model.py'}: differs from the file that the study was made with. Put that one back."
        )
        assert str(waiting(gone)).startswith(f"{folder / 'gone.py'}: there is no such file. Put it there, ")
        (folder / "model.py").write_text(MODEL)
        (folder / "away" / "gone.py").write_text(MODEL)
        for study in (edited, gone):
            eventually(lambda one=study: states(one) == ["complete"], within=60)
        process.terminate()
        said = process.stderr.read()
    # Once each, however often it was tried.
    assert said.count("cannot be trained: ") == 2, said
    assert "Traceback" not in said


def waiting(study: Study) -> str | None:
    """Why its first trial waits, if a worker has said so."""
    return study.all_trials[0].reason


class serving:  # noqa: N801
    """An `hpo worker` in a folder, which is gone at the end."""

    def __init__(self, folder: Path, at: Path) -> None:
        storage = Storage(f"sqlite:///{folder / 'hpo.db'}", artifact_dir=folder / "hpo-artifacts")
        env = environment(HPO_STORAGE=storage.url, HPO_ARTIFACT_DIR=str(folder / "hpo-artifacts"))
        self._process = Forked(["worker"], cwd=at, env=env, stderr=subprocess.PIPE)

    def __enter__(self) -> Any:
        return self._process

    def __exit__(self, *_: object) -> None:
        self._process.kill()
        self._process.communicate()


def test_nothing_of_hpo_pickles() -> None:
    """Data of NumPy are read without, and no other module unpickles."""
    root = Path(__file__).parent.parent.parent / "hpo"
    for path in root.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            names = (
                [name.name for name in node.names] if isinstance(node, ast.Import | ast.ImportFrom) else []
            )
            names += [str(node.module)] if isinstance(node, ast.ImportFrom) else []
            roots = {name.split(".")[0] for name in names}
            assert not roots & {"pickle", "cloudpickle", "dill", "joblib", "shelve", "marshal"}, path
