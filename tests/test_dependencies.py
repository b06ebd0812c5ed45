"""What the package imports of others: it is declared, and Optuna's private parts are known in two rooms."""

from __future__ import annotations

import ast
import re
import sys
import tomllib
from collections.abc import Iterable, Iterator
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


# What an extra brings, and the only module that imports it: whoever lacks the extra never loads that.
OF_EXTRAS = {"hpo.workers.engines.ray_core": "ray"}


def distributions_in(lines: Iterable[str]) -> set[str]:
    """The distributions that requirements name."""
    return {normal(re.split(r"[^\w.-]", line)[0]) for line in lines}


def test_what_is_imported_is_declared_and_what_is_declared_is_imported() -> None:
    declared = distributions_in(PROJECT["dependencies"])
    distributions, used = packages_distributions(), set[str]()
    for module, tree in TREES.items():
        extra = OF_EXTRAS.get(module)
        allowed = declared | distributions_in(PROJECT["optional-dependencies"][extra] if extra else ())
        for name in {name.split(".")[0] for name in imports(tree)} - sys.stdlib_module_names - {"hpo"}:
            brought_by = {normal(dist) for dist in distributions.get(name, [name])}  # an extra may be absent
            assert brought_by & allowed, f"{module} imports {name}"
            used |= brought_by
    assert declared - used == set()


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
