"""A study that names a model of one's own: where its file is, and which names it may use; nothing is run."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from hpo.errors import SpecError
from hpo.spec import OwnModel, SearchSpec, StudySpec, changes, from_json, load, loads, to_json, to_toml

CODE = """
raise RuntimeError("nobody runs this")


def build(units, rate=0.25, *, learning_rate, epochs, input_shape, outputs):
    ...
"""
STUDY = """
name = "own"
kind = "search"
trials = 2
model = {{ file = "{file}" }}
data = {{ name = "digits" }}
[params]
{params}
[space]
{space}
"""
RATES = "learning_rate = { low = 1e-3, high = 0.1, log = true }"


def written(
    folder: Path, *, file: str = "m.py", params: str = "", space: str = f"units = [4]\n{RATES}"
) -> Path:
    (folder / "m.py").write_text(CODE)
    path = folder / "s.toml"
    path.write_text(STUDY.format(file=file, params=params, space=space))
    return path


def model_of(spec: StudySpec) -> OwnModel:
    assert isinstance(spec.model, OwnModel)
    return spec.model


def test_a_file_is_where_the_study_file_says(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "studies").mkdir()
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("WHERE", str(tmp_path))
    for file in ("m.py", "../m.py", "~/m.py", "$WHERE/m.py", f"{tmp_path}/m.py"):
        path = written(tmp_path / "studies" if file == "m.py" else tmp_path, file=file.removeprefix("../"))
        if file == "../m.py":
            path = tmp_path / "studies" / "other.toml"
            path.write_text(STUDY.format(file=file, params="", space=f"units = [4]\n{RATES}"))
        model = model_of(load(path))
        assert Path(model.file).is_absolute()
        assert Path(model.file).read_text() == CODE
        assert str(model) == "m.py: build"


def test_in_a_dict_it_is_where_python_is(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    written(tmp_path)
    monkeypatch.chdir(tmp_path)
    spec = search(model={"file": "m.py"})
    assert model_of(spec).file == str(tmp_path / "m.py")


def search(**keys: Any) -> StudySpec:
    table: dict[str, Any] = {
        "name": "own",
        "kind": "search",
        "data": {"name": "digits"},
        "trials": 2,
        "space": {"units": [4, 8], "learning_rate": [0.1]},
    }
    return StudySpec(**table | keys)


def test_what_the_function_takes_is_read_and_its_defaults_are_kept(tmp_path: Path) -> None:
    spec = load(written(tmp_path, params="batch_size = 8\nearly_stopping_patience = 3"))
    assert model_of(spec).takes == ("units", "learning_rate", "epochs", "rate")
    h: Any = spec.hyperparameters_for({"units": 4, "learning_rate": 0.1})
    assert (h.units, h.rate, h.batch_size, h.epochs) == (4, 0.25, 8, 10)


def test_a_study_of_it_is_written_and_stored_and_read_without_the_file(tmp_path: Path) -> None:
    spec = load(written(tmp_path))
    text = to_toml(spec)
    assert loads(text) == spec
    # Which file it is, and not what the file says.
    assert "digest" in text
    assert "required" not in text
    stored = to_json(spec)
    (tmp_path / "m.py").unlink()
    again = from_json(stored)
    assert again == spec
    assert model_of(again).takes == model_of(spec).takes
    with pytest.raises(SpecError, match="there is no such file"):
        loads(text)


def test_what_has_been_found_by_building_it_makes_no_other_study(tmp_path: Path) -> None:
    spec = load(written(tmp_path))
    tried = spec.model_copy(update={"model": model_of(spec).model_copy(update={"structure": ("units",)})})
    assert tried == spec
    assert changes(spec, tried) == []
    (tmp_path / "m.py").write_text(f"{CODE}# edited\n")
    assert {change.key for change in changes(tried, load(tmp_path / "s.toml"))} == {"model.digest"}


def line(path: Path) -> str:
    with pytest.raises(SpecError) as caught:
        load(path)
    assert len(caught.value.lines) == 1
    return str(caught.value).replace(f"{path.parent}/", "")


@pytest.mark.parametrize(
    ("keys", "said"),
    [
        (
            {"space": RATES},
            "s.toml: must give 'units', which m.py: build takes and has no default of."
            " Set it in [params] or vary it in [space].",
        ),
        ({"space": "units = [4]"}, "s.toml: must give 'learning_rate', which m.py: build takes"),
        ({"params": "rat = 0.5"}, "s.toml: params: unknown key 'rat'. Did you mean rate?"),
        ({"params": "depth = 2"}, "unknown key 'depth'. The function takes units, rate; every study has"),
        (
            {"params": "outputs = 2"},
            "s.toml: params.outputs: is what the data say, and not the study. Remove",
        ),
        ({"params": "rate = nan"}, "s.toml: params.rate: must be text, a finite number"),
        ({"file": "n.py"}, "s.toml: model.file: there is no such file, but got 'n.py'."),
        ({"file": "m.txt"}, "s.toml: model.file: must be a Python file, which ends in .py"),
        (
            {"file": "$NOWHERE/m.py"},
            "s.toml: model.file: names the environment variable NOWHERE, which is not",
        ),
        (
            {"file": 'm.py", function = "biuld'},
            "model.function: must be a function of m.py, but got 'biuld'. Did",
        ),
    ],
    ids=str,
)
def test_what_is_wrong_with_names_is_one_line(tmp_path: Path, keys: dict[str, str], said: str) -> None:
    assert said in line(written(tmp_path, **keys))


@pytest.mark.parametrize(
    ("code", "said"),
    [
        (
            "def build(units):\n    return (",
            "s.toml: model.file: must be Python, but line 2: '(' was never closed",
        ),
        ("", "must be a function of m.py, but got 'build'. It has no function."),
        ("def build(*units): ...", "build must take arguments by name, each of its own, but got '*units'"),
        ("def build(trials): ...", "build must take no argument named 'trials', which is taken"),
    ],
    ids=str,
)
def test_what_is_wrong_with_the_file_is_one_line(tmp_path: Path, code: str, said: str) -> None:
    path = written(tmp_path)
    (tmp_path / "m.py").write_text(code)
    assert said in line(path)


def test_each_arm_gives_what_has_no_default(tmp_path: Path) -> None:
    written(tmp_path)
    arms = [{"name": "a", "units": 4}, {"name": "b", "rate": 0.5}]
    given = {"data": {"name": "digits"}, "model": {"file": str(tmp_path / "m.py")}}
    with pytest.raises(SpecError) as caught:
        StudySpec(name="c", kind="comparison", arms=arms, params={"learning_rate": 0.1}, **given)
    assert str(caught.value) == (
        "study: arms[2] \"b\": must give 'units', which m.py: build takes and has no default of."
        " Set it in [params] or in each arm."
    )


def test_a_search_over_its_arguments_has_a_size(tmp_path: Path) -> None:
    spec = load(written(tmp_path, space="units = [4, 8]\nlearning_rate = [0.1]\nrate = [0.1, 0.2, 0.3]"))
    assert isinstance(spec, SearchSpec)
    assert spec.size == 6
