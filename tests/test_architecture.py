"""The shape of the code, read with `ast`: the way imports go, who loads TensorFlow, how long a module is."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parent.parent / "hpo"

# A module, or a package as one, imports only what stands before it. `__init__` is lazy, so it comes first.
ORDER = [
    "__init__",
    "errors",
    "files",
    "numbers",
    "spec",
    "data",
    "metrics",
    "program_cache",
    "tensorflow_setup",
    "epochs",
    "training",
    "model",
    "model_file",
    "storage",
    "planning",
    "outcome",
    "pictures",
    "stock",
    "trial",
    "verdicts",
    "compare",
    "launch",
    "checkpoints",
    "callbacks",
    "objective",
    "export",
    "study",
    "final",
    "doctor",
    "leased",
    "worker",
    "prediction",
    "latex",
    "console",
    "notes",
    "plots",
    "report",
    "dashboard",
    "cli",
    "__main__",
]
TENSORFLOW = {"epochs", "training", "model", "model_file", "stock", "callbacks", "objective", "export"}
LONGEST = 400


def files() -> dict[str, Path]:
    """Every file of the package by its dotted name below `hpo`."""
    found = {}
    for path in PACKAGE.rglob("*.py"):
        *folders, stem = path.relative_to(PACKAGE).with_suffix("").parts
        found[".".join([*folders, stem] if stem != "__init__" or not folders else folders)] = path
    return found


FILES = files()


def tree(name: str) -> ast.Module:
    return ast.parse(FILES[name].read_text())


def names(node: ast.stmt, name: str) -> list[str]:
    """The dotted names that an import statement of module `name` loads; none for another statement."""
    if isinstance(node, ast.Import):
        return [alias.name for alias in node.names]
    if not isinstance(node, ast.ImportFrom):
        return []
    assert node.level == 0, f"{name} imports relatively"
    # `from hpo import x` may mean the module x.
    return [f"{node.module}.{alias.name}" for alias in node.names]


def imports(name: str, *, at_run_time: bool = False, when_imported: bool = False) -> Iterator[str]:
    """What a module imports anywhere, without what only the type checker sees, or within functions."""

    def visit(node: ast.AST) -> Iterator[str]:
        for child in ast.iter_child_nodes(node):
            if at_run_time and isinstance(child, ast.If) and ast.unparse(child.test) == "TYPE_CHECKING":
                continue
            if when_imported and isinstance(child, ast.FunctionDef | ast.AsyncFunctionDef):
                continue
            if isinstance(child, ast.stmt):
                yield from names(child, name)
            yield from visit(child)

    return visit(tree(name))


def ours(name: str, **when: bool) -> set[str]:
    """The modules of the package that a module imports, packages as one, its own left out."""
    found = set()
    for imported in imports(name, **when):
        first, _, rest = imported.partition(".")
        if first == "hpo":
            unit = rest.partition(".")[0]
            found.add(unit if unit in ORDER else "__init__")
    return found - {name.partition(".")[0]}


def reaches(name: str, *, seen: set[str]) -> set[str]:
    """What is imported when a module is imported: packages of others, and all of it in turn."""
    found = {imported.partition(".")[0] for imported in imports(name, at_run_time=True, when_imported=True)}
    for unit in ours(name, at_run_time=True, when_imported=True) - seen:
        seen.add(unit)
        for inner in FILES:
            if inner.partition(".")[0] == unit:
                found |= reaches(inner, seen=seen)
    return found


def test_every_module_has_its_place_in_the_order() -> None:
    assert {name.partition(".")[0] for name in FILES} == set(ORDER)
    assert len(set(ORDER)) == len(ORDER)


@pytest.mark.parametrize("name", FILES)
def test_imports_go_one_way(name: str) -> None:
    unit = name.partition(".")[0]
    before = set(ORDER[: ORDER.index(unit)])
    assert ours(name, at_run_time=True, when_imported=True) <= before
    assert ours(name, at_run_time=True) <= before


def test_the_order_is_that_of_the_readme() -> None:
    _, modules = (PACKAGE.parent / "README.md").read_text().split("| module |")
    rows = [line.split("|")[1] for line in modules.splitlines() if line.startswith("| `")]
    listed = [part.strip(" `/") for row in rows for part in row.split(",")]
    assert [name for name in listed if name in ORDER] == [n for n in ORDER if not n.startswith("__")]


@pytest.mark.parametrize("name", FILES)
def test_tensorflow_is_imported_only_where_networks_are_trained(name: str) -> None:
    direct = {imported.partition(".")[0] for imported in imports(name, at_run_time=True)}
    if name.partition(".")[0] in TENSORFLOW:
        return
    # Imported in a function, once there is something to train.
    allowed = {"keras", "tensorflow"} if name == "tensorflow_setup" else set()
    assert direct & {"tensorflow", "keras"} <= allowed
    assert not reaches(name, seen=set()) & {"tensorflow", "keras"}


@pytest.mark.parametrize(
    "name", ["__init__", "errors", "spec", "data", "metrics", "console", "cli", "__main__"]
)
def test_optuna_is_not_imported_with_what_the_help_needs(name: str) -> None:
    assert not reaches(name, seen=set()) & {"optuna", "sqlalchemy", "pandas", "sklearn", "optuna_dashboard"}


@pytest.mark.parametrize("name", FILES)
def test_a_module_is_short_enough_to_read(name: str) -> None:
    assert len(FILES[name].read_text().splitlines()) <= LONGEST


@pytest.mark.parametrize("name", FILES)
def test_a_module_says_what_it_is_for(name: str) -> None:
    assert ast.get_docstring(tree(name))
