"""The names that `import hpo` offers: complete, lazy, documented."""

from __future__ import annotations

import importlib
import inspect
import os
import pydoc
import re
import subprocess
import sys
from pathlib import Path

import pytest

import hpo

PUBLIC = [
    *("Comparison", "ComparisonSpec", "DataError", "HpoError", "ModelError", "SearchSpec", "SpecError"),
    *("StorageError", "Study", "StudyError", "StudySpec", "StudySummary", "Trial", "WorkerError"),
    *(
        "compare_studies",
        "create_study",
        "fit",
        "from_keras_tuner",
        "from_optuna",
        "list_studies",
        "open_study",
        "plot",
        "predict",
    ),
]


def printed(script: str) -> str:
    """What a new interpreter prints."""
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    return done.stdout.strip()


def test_the_public_names_are_the_documented_ones() -> None:
    assert sorted(hpo.__all__) == PUBLIC
    assert dir(hpo) == sorted(hpo.__all__)


def test_every_public_name_resolves_and_an_unknown_one_does_not() -> None:
    for name in hpo.__all__:
        assert getattr(hpo, name).__name__ == name
    with pytest.raises(AttributeError, match="module 'hpo' has no attribute 'Stduy'"):
        _ = hpo.Stduy


def test_what_can_be_resolved_lazily_is_public() -> None:
    assert hpo._HOMES.keys() == set(hpo.__all__)
    for name, home in hpo._HOMES.items():
        assert getattr(hpo, name) is getattr(importlib.import_module(f"hpo.{home}"), name)


def test_import_loads_nothing_but_the_standard_library() -> None:
    script = """
import sys
before = set(sys.modules)
import hpo
new = {name.partition(".")[0] for name in set(sys.modules) - before}
print(*sorted(new - set(sys.stdlib_module_names)))
"""
    assert printed(script) == "hpo"


def test_studies_are_read_without_tensorflow() -> None:
    script = (
        "import hpo, sys; hpo.Study; hpo.create_study; hpo.Comparison; print('tensorflow' in sys.modules)"
    )
    assert printed(script) == "False"


def test_the_help_of_the_package_is_a_screen_that_names_all_and_loads_nothing() -> None:
    script = """
import pydoc, sys
import hpo
print(pydoc.plain(pydoc.render_doc(hpo)))
print("LOADED", *sorted({"tensorflow", "pandas", "optuna", "pydantic"} & set(sys.modules)))
"""
    text, loaded = printed(script).split("LOADED")
    assert loaded == ""
    told, _ = text.split("PACKAGE CONTENTS")
    assert len(told.splitlines()) <= 30
    assert len(text.splitlines()) <= 60
    assert not [name for name in hpo.__all__ if name not in told]


def test_what_the_help_asks_is_not_what_completion_gets() -> None:
    assert dir(hpo) == hpo.__all__
    assert inspect.getmembers(hpo) == []


SPECS = [hpo.StudySpec, hpo.SearchSpec, hpo.ComparisonSpec]


@pytest.mark.parametrize("spec", SPECS, ids=lambda spec: spec.__name__)
def test_the_help_of_a_specification_shows_an_example_and_nothing_of_pydantic(spec: type) -> None:
    text = pydoc.plain(pydoc.render_doc(spec))
    assert len(text.splitlines()) <= 90
    assert ">>> " in text
    assert "model_dump" not in text
    assert "Annotated" not in text


def test_the_help_of_a_specification_names_every_key() -> None:
    assert hpo.StudySpec.__doc__
    keys = {*hpo.SearchSpec.model_fields, *hpo.ComparisonSpec.model_fields}
    assert keys <= set(re.findall(r"\w+", hpo.StudySpec.__doc__))
    for spec in SPECS[1:]:
        assert [*inspect.signature(spec).parameters] == [*spec.model_fields]


WRITTEN_BY_A_PERSON = """
import hpo

spec = hpo.StudySpec(
    name="mine",
    kind="search",
    data={"name": "digits", "validation": 0.2},
    trials=4,
    sampler={"name": "random", "seed": 0},
    params={"epochs": 2},
    space={"learning_rate": {"low": 1e-3, "high": 0.1, "log": True}, "dropout": [0.1, 0.2]},
)
arms = [{"name": "SGD", "optimizer": "sgd"}, {"name": "Adam", "optimizer": "adam"}]
two = hpo.ComparisonSpec(name="two", kind="comparison", data={"name": "digits"}, seeds=5, arms=arms)
study: hpo.Study = hpo.create_study(spec, storage="sqlite:///x.db")
hpo.create_study({"name": "mine"})
hpo.create_study("study.toml")
summary: hpo.StudySummary = study.run(workers=2, progress=False)
best: float | None = study.best.value
trials: list[hpo.Trial] = study.all_trials()
study.plot("history").show()
study.trials().groupby("dropout")
names: list[str] = [each.name for each in hpo.list_studies()]
print(spec.planned, two.seeds)
"""


@pytest.mark.long
def test_what_people_write_passes_a_strict_type_checker(tmp_path: Path) -> None:
    root = Path(hpo.__file__).parents[1]
    (tmp_path / "mine.py").write_text(WRITTEN_BY_A_PERSON)
    (tmp_path / "wrong.py").write_text("import hpo\nhpo.StudySpec(name=3, kind='serach', data={})\n")
    command = ["-m", "mypy", "--strict", "--config-file=", "--follow-imports=silent", "mine.py", "wrong.py"]
    done = subprocess.run(
        [sys.executable, *command],
        cwd=tmp_path,
        env=os.environ | {"MYPYPATH": str(root)},
        capture_output=True,
        text=True,
    )
    *errors, _ = done.stdout.splitlines()
    assert [line.partition(": error")[0] for line in errors] == ["wrong.py:2"] * 2, done.stdout


def test_errors_are_caught_by_their_common_kind_and_workers_deaths_are_not() -> None:
    for kind in (hpo.SpecError, hpo.DataError, hpo.StorageError, hpo.StudyError):
        assert issubclass(kind, hpo.HpoError)
    assert not issubclass(hpo.WorkerError, hpo.HpoError)


@pytest.mark.parametrize(
    ("error", "line"),
    [
        (hpo.HpoError("place", "must hold"), "place: must hold."),
        (hpo.SpecError("place", "must hold", got=None), "place: must hold, but got None."),
        (hpo.DataError("place", "must hold", got="x", remedy="Do."), "place: must hold, but got 'x'. Do."),
        (
            hpo.DataError("place", "rule", got=1, remedy="Do.").inside("file"),
            "file: place: rule, but got 1. Do.",
        ),
        (hpo.HpoError("place", "rule").inside("file"), "file: place: rule."),
    ],
)
def test_an_error_is_place_rule_value_and_remedy_in_one_line(error: hpo.HpoError, line: str) -> None:
    assert str(error) == line


def test_an_error_inside_another_place_keeps_its_kind() -> None:
    assert type(hpo.DataError("place", "rule").inside("file")) is hpo.DataError


@pytest.mark.parametrize("name", PUBLIC)
def test_every_public_name_is_documented_with_all_its_members(name: str) -> None:
    assert_documented(getattr(hpo, name))


def assert_documented(value: type | object) -> None:
    assert value.__doc__, value
    if not inspect.isclass(value):
        return
    for name, member in vars(value).items():
        function = getattr(member, "fget", None) or getattr(member, "__func__", None) or member
        if not name.startswith("_") and inspect.isfunction(function):
            assert inspect.getdoc(getattr(value, name)), f"{value.__name__}.{name}"
