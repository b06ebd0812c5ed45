"""The shape of the code: which way imports go, who loads what is slow, how long a module is."""

from __future__ import annotations

import ast
import json
import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

from tests.command import COLD_PYTHON

ROOT = Path(__file__).parent.parent
PACKAGE = ROOT / "hpo"
FILES = {".".join(path.relative_to(ROOT).with_suffix("").parts): path for path in PACKAGE.rglob("*.py")}
MODULES = [name.removesuffix(".__init__") for name in FILES if not name.endswith("__main__")]
LAYERS: list[str] = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["importlinter"]["contracts"][
    0
]["layers"]
# What a command that trains nothing must not wait for, and what `hpo --help` must not.
SLOW = ("tensorflow", "keras")
OF_HELP = ("optuna", "sqlalchemy", "pandas", "sklearn", "scipy", "optuna_dashboard", "plotly")
# These train, or look at a trained model.
TENSORFLOW = {
    "hpo.training.samples",
    "hpo.training.arrays",
    "hpo.training.callbacks",
    "hpo.training.datasets",
    "hpo.training.inputs",
    "hpo.training.labels",
    "hpo.training.weights",
    "hpo.training.randomness",
    "hpo.training.choice",
    "hpo.training.loops",
    "hpo.training.loops.contract",
    "hpo.training.loops.graph",
    "hpo.training.loops.keras_fit",
    "hpo.training.loops.naming",
    "hpo.training.loops.programs",
    "hpo.training.loops.replacing",
    "hpo.training.loops.xla",
    "hpo.training.exchange",
    "hpo.training.runs",
    "hpo.training.fit",
    "hpo.training.kept",
    "hpo.models.layers",
    "hpo.models.assembly",
    "hpo.models.built",
    "hpo.models.cnn",
    "hpo.models.families",
    "hpo.models.fresh",
    "hpo.models.mlp",
    "hpo.models.named",
    "hpo.models.optimizers",
    "hpo.models.program_key",
    "hpo.models.strengths",
    "hpo.models.table",
    "hpo.models.preparation",
    "hpo.models.file",
    "hpo.models.stock",
    "hpo.trials.final_metrics",
    "hpo.trials.own_callbacks",
    "hpo.trials.progress",
    "hpo.trials.runner",
    "hpo.trials.study_data",
    "hpo.trials.card",
    "hpo.trials.lockstep",
    "hpo.studies.export",
}
LONGEST = 400


def loaded(modules: list[str], watched: tuple[str, ...]) -> set[str]:
    """Which of the watched packages a new interpreter has loaded once it has imported these modules."""
    code = "import importlib, json, sys; [importlib.import_module(name) for name in json.loads(sys.argv[1])]"
    code += "; print(json.dumps([name for name in json.loads(sys.argv[2]) if name in sys.modules]))"
    arguments = [json.dumps(modules), json.dumps(watched)]
    done = subprocess.run(
        [sys.executable, "-c", code, *arguments], capture_output=True, text=True, check=True
    )
    return set(json.loads(done.stdout))


def test_imports_go_one_way_and_every_room_has_its_place() -> None:
    done = subprocess.run(
        [Path(COLD_PYTHON).parent / "lint-imports", "--no-cache"],
        cwd=ROOT,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stdout


def test_the_order_is_that_of_the_readme() -> None:
    _, rooms = (ROOT / "README.md").read_text().split("| room |")
    rows = [line.split("|")[1] for line in rooms.splitlines() if line.startswith("| `")]
    listed = [part.strip(" `/") for row in rows for part in row.split(",")]
    assert listed == [name for name in reversed(LAYERS) if name != "__main__"]


def words_of(room: str) -> set[str]:
    """What a room's sources define and import: its modules, their names, and what has a name as text."""
    names = [name for name in FILES if name.startswith(f"{room}.")]
    found = {part for name in names for part in name.split(".")}
    for name in names:
        for node in ast.walk(ast.parse(FILES[name].read_text())):
            if isinstance(node, ast.FunctionDef | ast.ClassDef):
                found.add(node.name)
            elif isinstance(node, ast.Import | ast.ImportFrom):
                parts = [getattr(node, "module", None) or "", *(alias.name for alias in node.names)]
                found |= {word for part in parts for word in part.split(".")}
            elif isinstance(node, ast.Constant) and isinstance(node.value, str):
                found.add(node.value)
    return found


@pytest.mark.parametrize(
    "room", [name.removesuffix(".__init__") for name in FILES if name.endswith("__init__")]
)
def test_what_a_room_says_of_itself_is_there(room: str) -> None:
    said = ast.get_docstring(ast.parse(FILES[f"{room}.__init__"].read_text())) or ""
    named = set(re.findall(r"`([a-z_]\w*)`", said))
    assert named <= words_of(room) | set(LAYERS)


# In one interpreter, since to import all of them takes 5 s.
IMPORTS = """
import importlib, json, sys
without, watched, all_others = map(json.loads, sys.argv[1:])
for name in without:
    importlib.import_module(name)
loaded = [name for name in watched if name in sys.modules]
for name in all_others:
    importlib.import_module(name)
from tensorflow.python.eager import context
print(json.dumps([loaded, context.context()._context_handle is not None]))
"""


def test_tensorflow_is_loaded_only_where_networks_are_trained_and_no_import_begins_its_devices() -> None:
    """Its threads are set before that, and what is forked from a process that has begun them stands still."""
    assert set(MODULES) > TENSORFLOW
    without = [name for name in MODULES if name not in TENSORFLOW]
    arguments = [json.dumps(names) for names in (without, SLOW, sorted(TENSORFLOW))]
    command = [COLD_PYTHON, "-c", IMPORTS, *arguments]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert json.loads(done.stdout) == [[], False]


def test_the_help_loads_neither_optuna_nor_pandas() -> None:
    assert not loaded(["hpo", "hpo.errors", "hpo.spec", "hpo.data", "hpo.tables", "hpo.cli"], OF_HELP + SLOW)


@pytest.mark.parametrize("name", FILES)
def test_a_module_is_short_enough_to_read(name: str) -> None:
    assert len(FILES[name].read_text().splitlines()) <= LONGEST


@pytest.mark.parametrize("name", FILES)
def test_a_module_says_what_it_is_for(name: str) -> None:
    assert ast.get_docstring(ast.parse(FILES[name].read_text()))
