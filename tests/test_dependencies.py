"""What the package imports of others: it is declared, and Optuna's private parts are known in two rooms."""

from __future__ import annotations

import ast
import re
import sys
import tomllib
from collections.abc import Iterator
from importlib.metadata import packages_distributions

import pytest

from tests.test_architecture import FILES, ROOT

PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
# Of Optuna's studies, trials and storages: what has no public name.
PRIVATE = {
    "_cached_frozen_trial",
    "_get_trials",
    "_study_id",
    "_trial_id",
    "_user_attrs",
    "_system_attrs",
}
KNOW_OPTUNA = ("hpo.storage", "hpo.search")


def normal(name: str) -> str:
    """A distribution's name, of which there are several spellings."""
    return re.sub(r"[-_.]+", "-", name).lower()


def imports(tree: ast.Module) -> Iterator[str]:
    """The modules that one imports, with what it takes from them, as dotted names."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


TREES = {name: ast.parse(path.read_text()) for name, path in FILES.items()}


# Where those of extras are imported, once it is known that they are installed.
EXTRAS = {"cmaes": "hpo.search.evolution", "ray": "hpo.workers", "s3": "hpo.storage.places"}


def names_of(lines: list[str]) -> set[str]:
    """The distributions of a list of requirements."""
    return {normal(re.split(r"[^\w.-]", line)[0]) for line in lines}


def test_what_is_imported_is_declared_and_what_is_declared_is_imported() -> None:
    declared = names_of(PROJECT["dependencies"])
    found = {name.split(".")[0] for tree in TREES.values() for name in imports(tree)}
    others = found - sys.stdlib_module_names - {"hpo"}
    distributions = packages_distributions()
    imported = {name: {normal(dist) for dist in distributions[name]} for name in others}
    optional = {extra: names_of(PROJECT["optional-dependencies"][extra]) for extra in EXTRAS}
    assert {
        name for name, dists in imported.items() if not dists & declared.union(*optional.values())
    } == set()
    assert declared.union(*optional.values()) - set().union(*imported.values()) == set()


@pytest.mark.parametrize("extra", EXTRAS)
def test_what_an_extra_brings_is_imported_in_one_room_alone(extra: str) -> None:
    brought = names_of(PROJECT["optional-dependencies"][extra])
    distributions = packages_distributions()
    for name, tree in TREES.items():
        for module in {module.split(".")[0] for module in imports(tree)} - sys.stdlib_module_names - {"hpo"}:
            if brought & {normal(dist) for dist in distributions[module]}:
                assert name.startswith(EXTRAS[extra]), (name, module)


def test_optuna_is_bound_to_the_minor_version_whose_private_parts_are_known() -> None:
    (bound,) = [line for line in PROJECT["dependencies"] if line.startswith("optuna>")]
    assert bound == "optuna>=5.0,<5.1"


@pytest.mark.parametrize("name", [name for name in TREES if not name.startswith(KNOW_OPTUNA)])
def test_optuna_s_private_parts_are_known_in_storage_and_search_alone(name: str) -> None:
    tree = TREES[name]
    modules = {module for module in imports(tree) if re.match(r"optuna\.(.*\.)?_", module)}
    touched = {
        node.attr for node in ast.walk(tree) if isinstance(node, ast.Attribute) and node.attr in PRIVATE
    }
    reached = {
        ast.unparse(node)
        for node in ast.walk(tree)
        if isinstance(node, ast.Attribute) and node.attr == "_storage" and ast.unparse(node.value) != "self"
    }
    assert modules | touched | reached == set()
