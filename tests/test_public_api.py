"""The names that `import hpo` offers: complete, lazy, documented."""

from __future__ import annotations

import importlib
import inspect
import subprocess
import sys

import pytest

import hpo

PUBLIC = [
    *("Comparison", "ComparisonSpec", "DataError", "HpoError", "SearchSpec", "SpecError", "StorageError"),
    *("Study", "StudyError", "StudySpec", "StudySummary", "Trial", "WorkerError"),
    *("compare_studies", "create_study", "fit", "list_studies", "open_study", "predict"),
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
