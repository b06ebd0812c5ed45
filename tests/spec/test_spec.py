"""The specification: what is accepted, what each wrong file is told, what survives a round trip."""

from __future__ import annotations

import copy
import itertools
import json
import math
import pickle
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from hpo import spec as specs
from hpo.errors import SpecError

FINAL_METRICS = [name for name, metric in specs.METRICS.items() if not metric.is_test]

STUDIES = sorted((Path(__file__).parents[2] / "studies").glob("*.toml"))

TRIALS = "trials = 2"
RATES = "learning_rate = [0.1, 0.2]"


def search(
    *, name: str = "s", data: str = "name = 'digits'", trials: str = TRIALS, top: str = "", params: str = "",
    space: str = RATES,
) -> str:  # fmt: skip
    return f"""
name = "{name}"
kind = "search"
data = {{ {data} }}
{trials}
{top}
[params]
{params}
[space]
{space}
"""


def comparison(
    *, data: str = "name = 'digits'", top: str = "", params: str = "", a: str = "", b: str = ""
) -> str:
    return f"""
name = "c"
kind = "comparison"
data = {{ {data} }}
{top}
[params]
{params}
[[arms]]
name = "A"
{a}
[[arms]]
name = "B"
dropout = 0.5
{b}
"""


def refused(text: str, *, source: str = "x.toml") -> str:
    """The one line that `text` is refused with."""
    with pytest.raises(SpecError) as caught:
        specs.loads(text, source=source)
    return one_line(caught.value)


def one_line(error: SpecError) -> str:
    line = str(error)
    assert line.isprintable()
    assert line[-1] in ".?"
    assert "Input should" not in line
    return line


def test_a_search_has_the_documented_defaults() -> None:
    spec = specs.loads(search())
    assert isinstance(spec, specs.SearchSpec)
    assert spec.data == specs.Data(name="digits", validation=0.2, folds=None, seed=0)
    assert spec.objective == specs.Objective(metric="val_accuracy", direction="maximize", at="last")
    assert spec.sampler == specs.Sampler(name="auto", seed=0)
    assert spec.pruner.name == "none"
    assert (spec.seeds, spec.replicates, spec.planned, spec.size) == (1, 1, 2, 2)
    assert spec.metrics == ("val_accuracy", "val_loss", "train_seconds")


def test_a_comparison_has_the_documented_defaults() -> None:
    spec = specs.loads(comparison())
    assert isinstance(spec, specs.ComparisonSpec)
    assert (spec.seeds, spec.replicates, spec.planned, spec.baseline) == (5, 1, 10, "A")
    assert (spec.alpha, spec.min_effect) == (0.05, {})


def test_default_hyperparameters() -> None:
    assert specs.MlpHyperparameters().model_dump() == {
        "hidden_units": (128, 64),
        "activation": "relu",
        "dropout": 0.0,
        "batch_norm": False,
        "l2": 0.0,
        "optimizer": "sgd",
        "learning_rate": 0.01,
        "momentum": 0.0,
        "nesterov": False,
        "schedule": "constant",
        "decay_rate": None,
        "decay_steps": None,
        "scaling": None,
        "one_hot_levels": 9,
        "embedding_width": 8,
        "min_level_count": 2,
        "class_weight": None,
        "batch_size": 32,
        "epochs": 10,
        "early_stopping_patience": None,
        "early_stopping_min_delta": 0.0,
        "restore_best": True,
    }
    assert tuple(specs.MlpHyperparameters.model_fields) == specs.vocabulary_of("mlp").names


@pytest.mark.parametrize("optimizer", ["adam", "adamax", "nadam", "adagrad", "rmsprop"])
def test_the_learning_rate_follows_the_optimizer(optimizer: str) -> None:
    assert specs.MlpHyperparameters(optimizer=optimizer).learning_rate == 0.001


@pytest.mark.parametrize(
    ("schedule", "rate", "steps"),
    [("inverse_time", 0.01, 1), ("exponential", 0.96, 1000), ("cosine", None, None)],
)
def test_decay_follows_the_schedule(schedule: str, rate: float | None, steps: int | None) -> None:
    made = specs.MlpHyperparameters(schedule=schedule)
    assert (made.decay_rate, made.decay_steps) == (rate, steps)


def test_per_layer_values() -> None:
    made = specs.MlpHyperparameters(hidden_units=[8, 4, 2], dropout=0.5, l2=[0, 0.1, 0.2])
    assert made.per_layer("dropout") == (0.5, 0.5, 0.5)
    assert made.per_layer("l2") == (0.0, 0.1, 0.2)
    assert specs.MlpHyperparameters(hidden_units=[]).per_layer("dropout") == ()
    assert specs.MlpHyperparameters(hidden_units=64).hidden_units == (64,)


def test_batch_normalisation_is_before_or_after_the_activation() -> None:
    placed = {False: None, True: "before", "before": "before", "after": "after"}
    for asked, place in placed.items():
        made = specs.MlpHyperparameters(batch_norm=asked)
        assert made.normalization == place
        # As it was written: studies of earlier versions hold true among Optuna's choices.
        assert made.batch_norm is asked
    space = specs.parse(
        {"name": "s", "kind": "search", "data": {"name": "d"}, "trials": 2,
         "space": {"batch_norm": [False, True, "after"]}}
    )  # fmt: skip
    assert isinstance(space, specs.SearchSpec)
    assert space.space == {"batch_norm": (False, True, "after")}


def test_one_training_run_has_one_canonical_spelling() -> None:
    twins: list[tuple[dict[str, Any], dict[str, Any]]] = [
        ({"dropout": 0.2}, {"dropout": [0.2, 0.2]}),
        ({"l2": 0}, {"l2": [0.0, 0.0]}),
        ({"batch_norm": True}, {"batch_norm": "before"}),
        ({"nesterov": True}, {"nesterov": False}),
    ]
    for one, other in twins:
        first, second = specs.MlpHyperparameters(**one), specs.MlpHyperparameters(**other)
        assert first != second
        assert first.canonical == second.canonical
    differing: list[dict[str, Any]] = [
        {}, {"batch_norm": "before"}, {"batch_norm": "after"}, {"momentum": 0.9},
        {"momentum": 0.9, "nesterov": True},
    ]  # fmt: skip
    spelt = [specs.MlpHyperparameters(**values).canonical for values in differing]
    assert all(one != other for one, other in itertools.combinations(spelt, 2))


def test_effective_hyperparameters_survive_json() -> None:
    for given_values in ({}, {"schedule": "cosine"}, {"early_stopping_patience": 3, "batch_size": "full"}):
        made = specs.MlpHyperparameters(**given_values)
        assert specs.MlpHyperparameters(**json.loads(made.model_dump_json())) == made


BAD_VALUES: dict[str, list[Any]] = {
    "hidden_units": [0, [64, 0], "64", 64.0, True, [True], [[64]], 2**31],
    "activation": ["rellu", 1, None],
    "dropout": [1, 1.0, -0.1, "0.1", True, math.nan, [0.1, 1.0], [0.1], [0.1, 0.2, 0.3], []],
    "batch_norm": [0, 1, "true", "Before", ["before"], None],
    "l2": [-1e-9, math.inf, math.nan, "0", True, [0.1], [0.1, -1]],
    "optimizer": ["SGD", "adamw", 3],
    "learning_rate": [0, -0.1, math.inf, math.nan, "1e-3", True, None, [0.1], 10**400],
    "momentum": [1, -0.1, math.nan, True, "0.9"],
    "nesterov": [1, "yes"],
    "schedule": ["cosin", None],
    "decay_rate": [0, -1, 0.5, True],
    "decay_steps": [0, 1.5, 10, True],
    "scaling": ["Standard", "minmax", 1, ["none"]],
    "one_hot_levels": [-1, 1001, 9.0, True, None],
    "embedding_width": [0, 8.0, True, None],
    "min_level_count": [0, 1.5, True, None],
    "batch_size": [0, -1, "64", "all", 64.0, True, 2**31],
    "class_weight": ["Balanced", 2.0, ["none"], {"cat": -1.0}, {"cat": "heavy"}],
    "epochs": [0, 2.0, "3", True, None],
    "early_stopping_patience": [0, 1.0, True],
    "early_stopping_min_delta": [-0.1, math.inf, True, None],
    "restore_best": [0, "no", None],
}


def test_bad_values_cover_the_vocabulary() -> None:
    assert tuple(BAD_VALUES) == specs.vocabulary_of("mlp").names


@pytest.mark.parametrize(
    ("key", "value"), [(key, bad) for key, values in BAD_VALUES.items() for bad in values]
)
def test_a_bad_value_of_a_hyperparameter_is_refused(key: str, value: Any) -> None:
    with pytest.raises(SpecError) as caught:
        specs.MlpHyperparameters(**{key: value})
    assert one_line(caught.value).startswith(f"hyperparameters: {key}: ")
    with pytest.raises(SpecError) as caught:
        specs.parse({"name": "s", "kind": "search", "data": {"name": "d"}, "params": {key: value}})
    one_line(caught.value)


# (text, what the line begins with after the file's name, and a part of the rest)
BAD_FILES: list[tuple[str, str, str]] = [
    ("", "", "required key 'kind' is missing. Set kind ="),
    ("a = ", "line 1, column 5", "not valid TOML"),
    ("a = 1\na = 2", "line 2, column 6", "not valid TOML"),
    ('a = "b', "line 1, column 7", "not valid TOML"),
    ("a = " + "9" * 5000, "", "not valid TOML"),
    ("a = " + "[" * 50_000, "", "not valid TOML"),
    ('kind = "serach"', "kind", "Did you mean 'search'?"),
    ("kind = ['search']", "kind", "must be 'comparison' or 'search', but got ['search']"),
    ('kind = "search"', "", "required keys 'name', 'data', 'space' are missing"),
    (search().replace('name = "s"', ""), "", "required key 'name' is missing"),
    (search(trials=""), "", "required key 'trials' is missing"),
    (search(top="trails = 5"), "", "unknown key 'trails'. Did you mean trials?"),
    (search(top="dropout = 0.1"),
     "", "unknown key 'dropout'. It is a hyperparameter and belongs in [params]"),
    (search(top="baseline = 'A'"), "", "unknown key 'baseline'. It belongs to kind = \"comparison\""),
    (search(top='"a\\nb" = 1'), "", "unknown key 'a\\nb'. Known keys: name,"),
    (search(space="dropout = [0.1]\nseeds = 3"), "space", "unknown key 'seeds'. Move it to the top"),
    (search(params="learning_rte = 1"), "params", "unknown key 'learning_rte'. Did you mean learning_rate?"),
    (search().replace("{ name = 'digits' }", "'digits'"), "data", 'Write { name = "digits" }.'),
    (search(top="metrics = ['val_loss', 'val_acc']"), "metrics[2]", "Did you mean 'val_accuracy'?"),
    (search(top="metrics = 'val_loss'"), "metrics", "must be a list, but got 'val_loss'"),
    (search(top="metrics = ['f1', 'f1']"), "metrics[2]", "repeats an earlier metric, but got 'f1'"),
    (search(top="seeds = 0"), "seeds", "must be an integer from 1 to 2147483647, but got 0"),
    (search(top="seeds = true"), "seeds", "must be an integer"),
    (search(top="description = 1"), "description", "must be text, but got 1"),
    (search(name="a b"), "name", "must be 1 to 64 letters"),
    (search(name="n" * 65), "name", "must be 1 to 64 letters"),
    (search(name=".hidden"), "name", "must be 1 to 64 letters"),
    (search(top="objective = { metric = 'acc' }"), "objective.metric", "must be 'val_accuracy', 'val_loss'"),
    (search(top="objective = { direction = 'minimize' }"), "objective.direction", "must be 'maximize' for"),
    (search(top="objective = { metric = 'f1', at = 'best' }"), "objective.metric", "but got 'f1'"),
    (search(top="objective = { metric = 'f1' }\npruner = { name = 'median' }"),
     "objective.metric", "must be reported by every epoch with pruner 'median', but got 'f1'."
     " Judge by val_accuracy, and show f1 beside it: add it to metrics."),
    (search(top="task = 'regression'\nobjective = { metric = 'r2' }\npruner = { name = 'hyperband' }"),
     "objective.metric", "Judge by val_rmse, and show r2 beside it"),
    (search(top="sampler = 'tpe'"), "sampler", 'Write { name = "tpe" }.'),
    (search(top="sampler = { seed = -1 }"), "sampler.seed", "must be an integer from 0 to 4294967295"),
    (search(trials="trials = 3", top="sampler = { name = 'random' }"),
     "trials", "must be at most 2, the number of configurations"),
    (search(trials="trials = 3", top="sampler = { name = 'grid' }"),
     "trials", "must be at most 2, the number of configurations"),
    (search(top="sampler = { name = 'grid' }", space="dropout = { low = 0, high = 0.5 }"),
     "space.dropout", "must have a step in a grid"),
    (search(top="sampler = { name = 'grid' }", trials="",
            space="batch_size = { low = 1, high = 2147483647, step = 1 }\nbatch_norm = [true, false]"),
     "space", "must have at most 2147483647 configurations in a grid, but got 4294967294"),
    (search(top="pruner = { name = 'median', reduction_factor = 2 }"),
     "pruner.reduction_factor", "no effect"),
    (search(top="pruner = { name = 'hyperband', startup_trials = 2 }"), "pruner.startup_trials", "no effect"),
    (search(top="pruner = { min_epochs = 2 }"), "pruner.min_epochs", "has no effect with name = 'none'"),
    (search(top="pruner = { name = 'hyperband', min_epochs = 11 }"),
     "pruner.min_epochs", "params.epochs (10)"),
    (search(top="pruner = { name = 'median', min_epocs = 1 }"), "pruner", "Did you mean min_epochs?"),
    (search(space=""), "space", "must vary at least one hyperparameter"),
    (search(space="epochs = [5, 10]"), "space.epochs", "cannot vary, since it is the budget"),
    (search(space="dropout = []"), "space.dropout", "must have at least one choice"),
    (search(space="dropout = [0.1, 0.1]"), "space.dropout[2]", "repeats an earlier choice, but got 0.1"),
    (search(space="hidden_units = [64, [64]]"), "space.hidden_units[2]", "repeats an earlier choice"),
    (search(space="dropout = [0.1, 1.5]"), "space.dropout[2]", "less than 1"),
    (search(space="dropout = 0.1"), "space.dropout", "must be a list of choices or a range"),
    (search(space="batch_norm = [true, false, 'before']"),
     "space.batch_norm[3]", "repeats an earlier choice, but got 'before'"),
    (search(params="batch_norm = 'befor'"), "params.batch_norm", "must be false, \"before\" or \"after\""),
    (search(space="batch_norm = { low = 0, high = 1 }"),
     "space.batch_norm", "must be a list of choices, but got"),
    (search(space="dropout = { low = 0.1 }"), "space.dropout", "required key 'high' is missing"),
    (search(space="dropout = { low = 0.1, hihg = 0.2 }"), "space.dropout", "Did you mean high?"),
    (search(space="dropout = { low = 0.2, high = 0.2 }"), "space.dropout.high", "greater than low (0.2)"),
    (search(space="dropout = { low = 0, high = 1 }"), "space.dropout.high", "less than 1, but got 1"),
    (search(space="dropout = { low = 0, high = 0.5, log = true }"),
     "space.dropout.low", "greater than 0 with log"),
    (search(space="l2 = { low = 1, high = 2, log = true, step = 1 }"),
     "space.l2.step", "cannot be set with log"),
    (search(space="l2 = { low = 0, high = 2, step = 0 }"), "space.l2.step", "a finite number greater than 0"),
    (search(space="l2 = { low = 0, high = 1, step = 0.3 }"), "space.l2.high", "whole number of steps of 0.3"),
    (search(space="batch_size = { low = 1, high = 64.0 }"), "space.batch_size.high", "must be an integer"),
    (search(space="batch_size = { low = 1, high = 2, step = 0.5 }"), "space.batch_size.step", "an integer"),
    (search(params="dropout = 0.1", space="dropout = [0.2]"), "space.dropout", "is set in [params] too"),
    (search(top="seeds = 2", data="name = 'd', folds = 3"), "seeds", "must be 1 with data.folds, but got 2"),
    (search(space="optimizer = ['sgd', 'adam']\nmomentum = [0, 0.9]"), "space",
     "momentum has no effect with optimizer = 'adam', but got { optimizer = 'adam', momentum = 0.9 }"),
    (search(params="optimizer = 'adam'", space="momentum = { low = 0, high = 0.9 }"),
     "space", "momentum = 0.9"),
    (search(params="dropout = [0.1, 0.2]", space="hidden_units = [64]"),
     "space", "one value per hidden layer (1)"),
    (search(space="restore_best = [true, false]"), "space.restore_best", "without early_stopping_patience"),
    (search(params="early_stopping_min_delta = 0.1"),
     "params.early_stopping_min_delta", "has no effect without"),
    (search(params="nesterov = true"), "params.nesterov", "has no effect without momentum"),
    (search(params="nesterov = true\nmomentum = 0"), "params.nesterov", "has no effect without momentum"),
    (search(params="optimizer = 'rmsprop'\nmomentum = 0.5\nnesterov = true"), "params.nesterov", "'rmsprop'"),
    (search(params="decay_rate = 0.1"), "params.decay_rate", "has no effect with schedule = 'constant'"),
    (search(params="schedule = 'cosine'\ndecay_rate = 0.1"),
     "params.decay_rate", "inverse_time or exponential"),
    (search(params="schedule = 'exponential'\ndecay_rate = 1.1"), "params.decay_rate", "must be at most 1"),
    (search(params="hidden_units = [1, 2, 3]\nl2 = [0, 0.1]"),
     "params.l2", "hidden layer (3), but got [0.0, 0.1]"),
    (search(params=f"hidden_units = [{'64, ' * 100} 0]"), "params.hidden_units", "64, 64, ...."),
    (search(params=f"epochs = 0x{'f' * 9000}"), "params.epochs", "but got a value too long to show"),
    (search(params="epochs = 1979-05-27"), "params.epochs", "must be an integer"),
    (comparison(top="trials = 3"), "", "unknown key 'trials'. It belongs to kind = \"search\""),
    (comparison(top="baseline = 'C'"), "baseline", "must name an arm, but got 'C'. The arms are 'A', 'B'"),
    (comparison(top="alpha = 0.5"), "alpha", "must be a number between 0 and 0.5, both excluded"),
    (comparison(top="min_effect = { acc = 1 }"), "min_effect", "key must be 'val_accuracy'"),
    (comparison(top="min_effect = { f1 = 0 }"), "min_effect.f1", "greater than 0, but got 0"),
    (comparison(top="min_effect = 1"), "min_effect", "must be a table, but got 1"),
    (comparison(b="dropuot = 1"), 'arms[2] "B"', "Did you mean dropout?"),
    (comparison(b="momentum = 1"), 'arms[2] "B": momentum', "less than 1, but got 1"),
    (comparison(params="momentum = 0.9", b="optimizer = 'adam'"),
     'arms[2] "B": momentum', "optimizer = 'adam'"),
    (comparison(params="restore_best = true"), 'arms[1] "A": restore_best', "early_stopping_patience"),
    (comparison(params="dropout = 0.5"), 'arms[2] "B"', 'must differ from arms[1] "A"'),
    (comparison(a="dropout = [0.5, 0.5]"), 'arms[2] "B"', 'must differ from arms[1] "A"'),
    (comparison(params="dropout = 0.5", a="batch_norm = true", b="batch_norm = 'before'"),
     'arms[2] "B"', 'must differ from arms[1] "A"'),
    (comparison(b="[[arms]]\nname = 'A'"), 'arms[3] "A": name', "must be unique, but arms[1] has it too"),
    (comparison(b="[[arms]]\ndropout = 0.1"), "arms[3]", "required key 'name' is missing"),
    (comparison(b='[[arms]]\nname = "a\\nb"'), "arms[3]: name", "must be 1 to 64 printable characters"),
    ("kind = 'comparison'\n[arms]\nname = 'A'", "", "required keys 'name', 'data' are missing"),
    ("name = 'c'\nkind = 'comparison'\ndata = { name = 'd' }\n[arms]\nname = 'A'", "arms", "[[arms]]"),
    ("name = 'c'\nkind = 'comparison'\ndata = { name = 'd' }\n[[arms]]\nname = 'A'", "arms", "at least two"),
    (comparison(data="name = 'd', folds = 1"), "data.folds", "must be an integer from 2 to"),
    (search(data="name = 'd', folds = 2, validation = 0.2"), "data.validation", "cannot be set with folds"),
    (search(data="name = ''"), "data.name", "must be a data set's name or a path"),
    (search(data="name = 'd', validation = 1"), "data.validation", "between 0 and 1, both excluded"),
    (search(data="name = 'd', fold = 2"), "data", "unknown key 'fold'. Did you mean folds?"),
]  # fmt: skip


@pytest.mark.parametrize(("text", "place", "part"), BAD_FILES)
def test_a_bad_file_is_told_where_and_why(text: str, place: str, part: str) -> None:
    line = refused(text)
    assert line.startswith(f"x.toml: {place}: " if place else "x.toml: ")
    assert part in line


def test_files_that_cannot_be_read(tmp_path: Path) -> None:
    binary = tmp_path / "binary.toml"
    binary.write_bytes(b"name = '\xff'")
    for path, part in [
        (tmp_path / "none.toml", "no such file"),
        (tmp_path, "must be a file, but is a directory"),
        (binary, "must be UTF-8 text, but byte 9 is not"),
        (binary / "below.toml", "cannot be read: Not a directory"),
        (Path("a\0b"), "cannot be read"),
    ]:
        with pytest.raises(SpecError) as caught:
            specs.load(path)
        assert str(caught.value).startswith(f"{path}: ")
        assert part in str(caught.value)


def test_a_path_to_data_is_relative_to_the_file(tmp_path: Path) -> None:
    (tmp_path / "folder").mkdir()
    file = tmp_path / "folder" / "study.toml"
    file.write_text("\ufeff" + search(data="name = '../mine.npz'"), encoding="utf-8")
    spec = specs.load(file)
    assert spec.data.name == str(tmp_path.resolve() / "mine.npz")
    assert specs.loads(specs.to_toml(spec)) == spec
    assert specs.loads(search()).data.name == "digits"


def test_a_path_to_data_may_begin_at_home_or_at_a_variable(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOME", "/home/ada")
    monkeypatch.setenv("SETS", "/sets")
    monkeypatch.setenv("PART", "part")
    monkeypatch.delenv("UNSET", raising=False)
    file, beside = tmp_path / "study.toml", str(tmp_path.resolve())
    for written, meant in {
        "~/x.npz": "/home/ada/x.npz",
        "$SETS/x.npz": "/sets/x.npz",
        "${SETS}/x.npz": "/sets/x.npz",
        "$PART/x.npz": f"{beside}/part/x.npz",
        "$$PART/x.npz": f"{beside}/$PART/x.npz",
        "a~/x.npz": f"{beside}/a~/x.npz",
        "x.npz": f"{beside}/x.npz",
        "digits": "digits",
    }.items():
        file.write_text(search(data=f"name = '{written}'"))
        assert specs.load(file).data.name == meant
    for written, said in {
        "$UNSET/x.npz": "names the environment variable UNSET, which is not set, but got '$UNSET/x.npz'",
        "a$/x.npz": "has a dollar sign that begins no name of a variable, but got 'a$/x.npz'",
    }.items():
        file.write_text(search(data=f"name = '{written}'"))
        with pytest.raises(SpecError) as caught:
            specs.load(file)
        assert one_line(caught.value).startswith(f"{file}: data.name: {said}. ")


@pytest.mark.parametrize("path", STUDIES, ids=lambda path: path.stem)
def test_the_studies_are_valid(path: Path) -> None:
    spec = specs.load(path)
    assert spec.name == path.stem
    assert spec.description
    if isinstance(spec, specs.ComparisonSpec):
        assert (spec.seeds, spec.hyperparameters_for({}).epochs) == (5, 50)


def test_there_is_a_study_for_each_section_of_the_report_and_some_others() -> None:
    assert {path.stem for path in STUDIES} == {
        "quickstart", "mnist-batch-strategies", "mnist-sgd-variants", "mnist-optimizers", "cifar10-l2",
        "cifar10-dropout", "cifar10-early-stopping", "cifar10-batch-norm", "cifar10-random-search",
        "fashion-mnist-cnn", "digits-search",
    }  # fmt: skip


def test_the_examples_are_valid() -> None:
    assert isinstance(specs.loads(specs.example()), specs.SearchSpec)
    assert isinstance(specs.loads(specs.example_comparison()), specs.ComparisonSpec)


# Strategies of valid studies.

positive = st.floats(1e-9, 1e9)
rate = st.floats(0, 1, exclude_max=True)
name = st.from_regex(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}", fullmatch=True)
text = st.text(st.characters(exclude_categories=["Cs"]))
arm_name = st.text(st.characters(categories=["L", "N", "P"]), min_size=1, max_size=64)
bundles = st.sampled_from(
    [
        {},
        {"optimizer": "adam"},
        {"optimizer": "sgd", "momentum": 0.9, "nesterov": True},
        {"schedule": "cosine"},
        {"schedule": "exponential", "decay_rate": 0.9, "decay_steps": 10},
        {"early_stopping_patience": 3, "restore_best": False},
        {"hidden_units": [], "l2": 0},
        {"hidden_units": [8, 4], "l2": [0.0, 0.1], "dropout": [0.5, 0]},
    ]
)
params = st.builds(
    lambda bundle, free: bundle | free,
    bundles,
    st.fixed_dictionaries(
        {},
        optional={
            "batch_norm": st.sampled_from([False, True, "before", "after"]),
            "epochs": st.integers(5, 99),
            "activation": st.just("tanh"),
        },
    ),
)
common = {
    "name": name,
    "data": st.one_of(
        st.fixed_dictionaries({"name": st.just("digits")}, optional={"validation": st.floats(0.1, 0.9)}),
        st.fixed_dictionaries({"name": st.just("mine.npz"), "folds": st.integers(2, 9)}),
    ),
    "params": params,
}
common_optional = {
    "description": text,
    "metrics": st.lists(st.sampled_from(FINAL_METRICS), unique=True),
    "objective": st.fixed_dictionaries({"metric": st.sampled_from(["val_loss", "val_accuracy"])}),
}
choices = {
    "learning_rate": st.lists(positive, min_size=1, max_size=4, unique=True),
    "batch_size": st.lists(
        st.one_of(st.integers(1, 999), st.just("full")), min_size=1, unique=True, max_size=4
    ),
}
ranges = st.fixed_dictionaries(
    {},
    optional={
        "learning_rate": st.tuples(positive, positive).filter(lambda ends: ends[0] < ends[1]).map(
            lambda ends: {"low": ends[0], "high": ends[1], "log": True}
        ),
        "batch_size": st.builds(
            lambda low, step, n: {"low": low, "high": low + n * step, "step": step},
            st.integers(1, 99), st.integers(1, 99), st.integers(1, 9),
        ),
    },
)  # fmt: skip
searches = st.builds(
    lambda study, chosen, ranged: (
        study | {"kind": "search", "space": {**chosen, **ranged} or {"learning_rate": [1]}}
    ),
    st.fixed_dictionaries(
        common | {"trials": st.integers(1, 10**6), "repeats": st.just(True)},
        optional=common_optional | {"pruner": st.just({"name": "hyperband", "min_epochs": 2})},
    ),
    st.fixed_dictionaries({}, optional=choices),
    ranges,
)
comparisons = st.builds(
    lambda study, names, rates: (
        study
        | {
            "kind": "comparison",
            "arms": [{"name": n, "learning_rate": r} for n, r in zip(names, rates, strict=False)],
        }
    ),
    st.fixed_dictionaries(
        common | {},
        optional=common_optional
        | {"seeds": st.integers(1, 99), "min_effect": st.just({"val_loss": 0.01}), "alpha": st.just(0.01)},
    ),
    st.lists(arm_name, min_size=2, max_size=4, unique=True),
    st.lists(positive, min_size=4, max_size=4, unique=True),
)
studies = st.one_of(searches, comparisons)


@settings(deadline=None)
@given(studies)
def test_round_trips(study: dict[str, Any]) -> None:
    spec = specs.parse(study)
    assert specs.loads(specs.to_toml(spec)) == spec
    for again in (
        specs.from_json(specs.to_json(spec)),
        pickle.loads(pickle.dumps(spec)),
        specs.StudySpec(**dict(spec)),
    ):
        assert again == spec
        assert type(again) is type(spec)
        assert specs.changes(spec, again) == []


def test_a_stored_specification_says_its_format_and_a_file_does_not() -> None:
    spec = specs.loads(search())
    assert specs.to_json(spec)["format"] == 3
    assert "format" not in specs.to_toml(spec)
    assert "unknown key 'format'" in refused(search(top="format = 1"))


@pytest.mark.parametrize(("name", "pair"), [("learning_rate", (1e-4, 0.1)), ("batch_size", (32, 64))])
def test_a_tuple_of_two_numbers_may_be_a_choice_or_a_range_and_is_refused(name: str, pair: Any) -> None:
    def made(dimension: Any) -> specs.StudySpec:
        return specs.StudySpec(
            name="x", kind="search", data={"name": "digits"}, trials=1, space={name: dimension}
        )

    low, high = pair
    with pytest.raises(SpecError) as caught:
        made(pair)
    assert str(caught.value) == (
        f"study: space.{name}: must be a list of choices or a range, and a tuple of two numbers may mean"
        f" either. Write [{low}, {high}] for a choice of two, or"
        f' {{"low": {low}, "high": {high}}} for a range, uniform in the logarithm with "log": True.'
    )
    for written in ([low, high], {"low": low, "high": high}):
        spec = made(written)
        assert specs.StudySpec(**dict(spec)) == spec
    assert made([low, high]).space == {name: pair}
    assert made((low, high, 2 * high)).space == {name: (low, high, 2 * high)}


@settings(deadline=None)
@given(studies)
def test_what_the_version_without_formats_stored_is_read(study: dict[str, Any]) -> None:
    spec = specs.parse(study)
    stored = {key: value for key, value in specs.to_json(spec).items() if key != "format"}
    # Then no search confirmed its leaders.
    is_search = study["kind"] == "search"
    tpe = {"sampler": {"name": "tpe"}} if is_search else {}
    meant = specs.parse(study | tpe | ({"confirm": False, "repeats": True} if is_search else {}))
    assert specs.from_json(stored) == specs.from_json(stored | {"format": 0}) == meant
    assert specs.from_json(stored | {"format": 1}) == meant
    # What names no sampler was by TPE.
    assert specs.from_json(stored | {"format": 2}) == specs.parse(study | tpe)


READABLE: dict[str, Any] = {
    "format": 1, "name": "x", "kind": "search", "data": {"name": "d"}, "trials": 3,
    "space": {"dropout": [0.1, 0.2, 0.3]},
}  # fmt: skip
UNREADABLE: list[tuple[Any, str]] = [
    (
        READABLE | {"format": 4},
        "its specification is of format 4, and this version of hpo reads up to 3. Update",
    ),
    (READABLE | {"format": -1}, "its specification is of format -1, and this version"),
    (READABLE | {"format": True}, "its specification is of format true, and this version"),
    (READABLE | {"format": "1"}, "its specification is of format '1', and this version"),
    (READABLE | {"format": None}, "its specification is of format nothing, and this version"),
    (READABLE | {"kind": "tournament"}, "its specification: kind: must be "),
    (READABLE | {"tasks": 3}, "its specification: unknown key 'tasks'"),
    (READABLE | {"space": {"width": [1]}}, "its specification: space: unknown key 'width'"),
    ({}, "its specification: required key 'kind' is missing"),
    ("a drawing of a bridge", "its specification must be a table, but got 'a drawing of a bridge'"),
    (None, "its specification must be a table"),
    ([READABLE], "its specification must be a table"),
]


@pytest.mark.parametrize(("stored", "said"), UNREADABLE)
def test_what_this_version_cannot_read_is_told_in_one_line(stored: Any, said: str) -> None:
    assert specs.from_json(READABLE, source="study 'x'").planned == 3
    with pytest.raises(SpecError) as caught:
        specs.from_json(stored, source="study 'x'")
    assert one_line(caught.value).startswith(f"study 'x': {said}")


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | text,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(text, inner, max_size=3),
    max_leaves=5,
)


def _paths(value: Any, path: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    keys = value if isinstance(value, dict) else range(len(value)) if isinstance(value, list) else ()
    return [path, *itertools.chain.from_iterable(_paths(value[key], (*path, key)) for key in keys)]


@settings(deadline=None, max_examples=300)
@given(studies, json_values, st.data())
def test_no_damage_gets_past_a_spec_error(study: dict[str, Any], value: Any, data: st.DataObject) -> None:
    study = copy.deepcopy(study)
    *parents, last = data.draw(st.sampled_from(_paths(study)[1:]))
    table: Any = study
    for key in parents:
        table = table[key]
    table[last] = value
    line = "study: "
    try:
        specs.parse(study)
    except SpecError as error:
        line = one_line(error)
    assert line.startswith("study: ")


@given(searches, st.data())
def test_configurations_of_a_finite_space_are_distinct_and_valid(
    study: dict[str, Any], data: st.DataObject
) -> None:
    spec = specs.parse(study)
    assert isinstance(spec, specs.SearchSpec)
    assume(spec.size is not None)
    found = [spec.configuration(index) for index in range(spec.size or 0)]
    assert len({json.dumps(configuration) for configuration in found}) == spec.size
    chosen = data.draw(st.sampled_from(found))
    effective = spec.hyperparameters_for(chosen)
    assert {key: getattr(effective, key) for key in chosen} == chosen


def test_steps_are_those_of_the_decimal_numbers() -> None:
    spec = specs.loads(
        search(space="dropout = { low = 0.1, high = 0.4, step = 0.1 }\nbatch_norm = [true, false]")
    )
    assert isinstance(spec, specs.SearchSpec)
    assert [spec.configuration(index) for index in range(spec.size or 0)] == [
        {"dropout": dropout, "batch_norm": norm} for dropout in (0.1, 0.2, 0.3, 0.4) for norm in (True, False)
    ]


def test_a_grid_is_tried_whole_unless_told_otherwise() -> None:
    grid = {"top": "sampler = { name = 'grid' }", "space": "batch_size = [8, 16, 32]"}
    assert specs.loads(search(**grid, trials="")).planned == 3
    assert specs.loads(search(**grid, trials="trials = 2")).planned == 2


def test_replicates_are_folds_or_seeds() -> None:
    assert specs.loads(search(data="name = 'd', folds = 4")).replicates == 4
    assert specs.loads(comparison(data="name = 'd', folds = 4")).replicates == 4
    assert specs.loads(search(top="seeds = 3")).replicates == 3


def test_table_metrics_include_the_objective() -> None:
    spec = specs.loads(search(top="metrics = ['f1']\nobjective = { metric = 'val_loss' }"))
    assert spec.table_metrics == ("val_loss", "f1")
    assert specs.loads(search(top="metrics = ['f1', 'val_accuracy']")).table_metrics == ("f1", "val_accuracy")


def test_arms_override_params() -> None:
    spec = specs.loads(comparison(params="dropout = 0.1\nepochs = 3", a="epochs = 4"))
    assert isinstance(spec, specs.ComparisonSpec)
    made = [spec.hyperparameters_for(arm.params) for arm in spec.arms]
    assert [(each.dropout, each.epochs) for each in made] == [(0.1, 4), (0.5, 3)]
    assert spec.arm("B") == spec.arms[1] == specs.Arm("B", {"dropout": 0.5})
    with pytest.raises(SpecError, match="has no arm 'b'"):
        spec.arm("b")


def test_momentum_may_vary_down_to_zero_with_nesterov() -> None:
    spec = specs.loads(search(params="nesterov = true", space="momentum = { low = 0, high = 0.99 }"))
    assert spec.hyperparameters_for({"momentum": 0.0}).nesterov


def test_a_trial_is_checked_again() -> None:
    with pytest.raises(SpecError, match="hyperparameters: dropout: must be a number"):
        specs.loads(search()).hyperparameters_for({"dropout": 2})


def test_python_makes_the_kind_it_is_asked_for() -> None:
    arms = [specs.Arm("A", {}), {"name": "B", "dropout": 0.5}]
    spec = specs.StudySpec(name="c", kind="comparison", data={"name": "digits"}, arms=arms)
    assert spec == specs.loads(comparison())
    ranged = {"dropout": specs.Range(0.0, 0.5)}
    made = specs.StudySpec(name="s", kind="search", data={"name": "digits"}, trials=1, space=ranged)
    assert isinstance(made, specs.SearchSpec)
    assert made.space == ranged
    for wrong in ({}, {"kind": "grid"}, {"kind": "search", "name": ""}):
        with pytest.raises(SpecError) as caught:
            specs.StudySpec(**wrong)
        assert one_line(caught.value).startswith("study: ")
    with pytest.raises(SpecError, match="study: name: must be 'none', 'median'"):
        specs.Pruner(name="medium")


def test_a_spec_is_frozen() -> None:
    with pytest.raises(ValueError, match="frozen"):
        specs.loads(search()).seeds = 3


# (old, new, {key: whether it extends})
CHANGES: list[tuple[str, str, dict[str, bool]]] = [
    (search(), search(), {}),
    (search(), search(top='description = "new"'), {"description": True}),
    (search(), search(top="metrics = ['f1']"), {"metrics": True}),
    (search(), search(top="seeds = 1", params="dropout = 0.0\nlearning_rate = 0.01", space="l2 = [1, 2]"),
     {"space.learning_rate": False, "space.l2": False, "params.l2": False, "params.learning_rate": False}),
    (search(), search(params="dropout = 0.0\noptimizer = 'sgd'"), {}),
    (search(), search(params="epochs = 11"), {"params.epochs": False}),
    (search(trials="trials = 1"), search(), {"trials": True}),
    (search(), search(trials="trials = 1"), {"trials": True}),
    (search(), search(top="seeds = 2"), {"seeds": False}),
    (search(), search(top="sampler = { seed = 1 }"), {"sampler.seed": False}),
    (search(), search(top="objective = { at = 'best' }"), {"objective.at": False}),
    (search(), search(space="learning_rate = [0.1, 0.2, 0.3]"), {"space.learning_rate": True}),
    (search(trials="trials = 1"), search(trials="trials = 1", space="learning_rate = [0.1]"),
     {"space.learning_rate": False}),
    (search(), comparison(), {"kind": False}),
    (comparison(), comparison(top="seeds = 6"), {"seeds": True}),
    (comparison(), comparison(top="seeds = 4"), {"seeds": True}),
    (comparison(), comparison(top="baseline = 'B'\nalpha = 0.01"), {"baseline": True, "alpha": True}),
    (comparison(), comparison(top="min_effect = { f1 = 0.1 }"), {"min_effect.f1": True}),
    (comparison(), comparison(b="[[arms]]\nname = 'C'\nl2 = 1"), {'arms "C"': True}),
    (comparison(b="[[arms]]\nname = 'C'\nl2 = 1"), comparison(), {'arms "C"': False}),
    (comparison(), comparison(b="l2 = 1"), {'arms "B": l2': False}),
    (comparison(), comparison(params="schedule = 'inverse_time'"),
     {f'arms "{arm}": {key}': False for arm in "AB" for key in ("schedule", "decay_rate", "decay_steps")}),
    (comparison(), comparison(params="dropout = 0.5", a="dropout = 0.0"), {}),
    (comparison(a="batch_norm = true"), comparison(a="batch_norm = 'before'"), {}),
    (search(params="batch_norm = true"), search(params="batch_norm = 'before'"), {}),
    (search(params="batch_norm = true"), search(params="batch_norm = 'after'"), {"params.batch_norm": False}),
]  # fmt: skip


@pytest.mark.parametrize(("old", "new", "expected"), CHANGES)
def test_changes(old: str, new: str, expected: dict[str, bool]) -> None:
    before, after = specs.loads(old), specs.loads(new)
    found = specs.changes(before, after)
    assert {change.key: change.extends for change in found} == expected
    assert all(change.old != change.new for change in found)


def test_a_change_says_from_what_to_what() -> None:
    (change,) = specs.changes(specs.loads(search()), specs.loads(search(params="hidden_units = 7")))
    assert change == specs.Change("params.hidden_units", [128, 64], [7], extends=False)


def test_the_schema_describes_every_key_of_both_kinds() -> None:
    schema = specs.json_schema()
    defined = schema["$defs"]
    kinds = {one["$ref"].rpartition("/")[2] for one in schema["oneOf"]}
    assert kinds == {"SearchSpec", "ComparisonSpec"}
    for name, table in defined.items():
        assert table.get("additionalProperties") == (None if name.startswith("own_") else False)
        for key, entry in table["properties"].items():
            described = entry if "description" in entry else defined[entry["$ref"].rpartition("/")[2]]
            assert described["description"], key
    for model in ("mlp", "cnn"):
        names = set(specs.vocabulary_of(model).names)
        assert set(defined[f"{model}_params"]["properties"]) == names
        assert set(defined[f"{model}_space"]["properties"]) == names - {"epochs"}
        assert set(defined[f"{model}_arms"]["properties"]) == names | {"name"}
    assert defined["SearchSpec"]["required"] == ["name", "kind", "data", "space"]
    for path in STUDIES:
        spec = specs.load(path)
        assert set(specs.to_json(spec)) - {"format"} <= set(defined[type(spec).__name__]["properties"])


@pytest.mark.parametrize(
    ("study", "model"),
    [({}, "mlp"), ({"model": "mlp"}, "mlp"), ({"model": "cnn"}, "cnn"), ({"model": {"file": "a.py"}}, "own")],
)
def test_the_schema_describes_hyperparameters_by_the_model_that_is_named(
    study: dict[str, Any], model: str
) -> None:
    defined = specs.json_schema()["$defs"]
    for kind, keys in {"SearchSpec": ("params", "space"), "ComparisonSpec": ("params", "arms")}.items():
        (taken,) = [branch["then"] for branch in defined[kind]["allOf"] if fits(study, branch["if"])]
        assert set(taken["properties"]) == set(keys)
        for key in keys:
            told = taken["properties"][key]
            assert told.get("items", told) == {"$ref": f"#/$defs/{model}_{key}"}


def fits(study: dict[str, Any], condition: dict[str, Any]) -> bool:
    """As far as the conditions of this schema go."""
    if not set(condition.get("required", ())) <= study.keys():
        return False
    told, given = condition["properties"]["model"], study.get("model")
    return given is None or given == told.get("const") or (isinstance(given, dict) and "type" in told)


# The convolutional network


@pytest.mark.parametrize(
    ("values", "line"),
    [
        ({"filters": []}, "filters: must be an integer from 1 to 2147483647, or a list with one per block"),
        ({"filters": [0]}, "filters: must be an integer"),
        ({"kernel_size": 1.5}, "kernel_size: must be an integer"),
        ({"pooling": "maximum"}, "pooling: must be 'max', 'average' or 'none', but got 'maximum'."),
        ({"head": "dense"}, "head: must be 'flatten' or 'average'"),
        ({"block_dropout": [0.1]}, "block_dropout: must have one value per block (2), but got [0.1]"),
        ({"dropout": [0.1, 0.2]}, "dropout: must have one value per hidden layer (1), but got [0.1, 0.2]"),
        ({"block_dropout": 1.0}, "block_dropout: must be a number of at least 0 and less than 1"),
        ({"l2": [0.1]}, "l2: must be a finite number of at least 0"),
        ({"unit": 3}, "unknown key 'unit'"),
    ],
    ids=str,
)
def test_a_bad_value_of_a_convolutional_network_is_refused(values: dict[str, Any], line: str) -> None:
    with pytest.raises(SpecError) as caught:
        specs.CnnHyperparameters(**values)
    assert one_line(caught.value).startswith(f"hyperparameters: {line}")


def test_convolutional_networks_spelt_in_two_ways_are_one() -> None:
    one = specs.CnnHyperparameters(filters=[8, 16], hidden_units=4, dropout=0.1, batch_norm=True)
    other = specs.CnnHyperparameters(
        filters=[8, 16], hidden_units=[4], dropout=[0.1], block_dropout=[0.0, 0.0], batch_norm="before"
    )
    assert one.canonical == other.canonical
    assert one.network_key == other.network_key


@pytest.mark.parametrize(
    ("model", "key", "remedy"),
    [
        ("mlp", "filters", "It is one of model 'cnn'."),
        ("mlp", "filter_size", "Known keys: "),
        ("cnn", "filtres", "Did you mean filters?"),
    ],
)
@pytest.mark.parametrize("table", ["params", "space"])
def test_a_hyperparameter_of_another_model_is_told(table: str, model: str, key: str, remedy: str) -> None:
    study = {"name": "s", "kind": "search", "data": {"name": "digits"}, "model": model, "trials": 2}
    study |= {"space": {"learning_rate": [0.1, 0.2]}}
    study[table] = {**study.get(table, {}), key: [1, 2]}  # type: ignore[dict-item]
    with pytest.raises(SpecError) as caught:
        specs.parse(study)
    assert str(caught.value).startswith(f"study: {table}: unknown key '{key}'. {remedy}")


def test_the_final_metrics_all_have_a_direction() -> None:
    for metric in FINAL_METRICS:
        assert specs.loads(search(top=f"metrics = ['{metric}']")).metrics == (metric,)
        assert specs.METRICS[metric].direction in ("maximize", "minimize")


def test_toml_has_lists_on_one_line() -> None:
    table = {
        "name": "s",
        "kind": "search",
        "data": {"name": "digits"},
        "trials": 3,
        "metrics": ["val_loss", "f1"],
        "space": {"hidden_units": [[64, 32], []], "dropout": [0.0, 0.5], "activation": ["relu", "elu"]},
    }
    text = specs.to_toml(specs.parse(table))
    assert 'metrics = ["val_loss", "f1"]' in text
    assert "hidden_units = [[64, 32], []]" in text
    assert "dropout = [0.0, 0.5]" in text
    assert specs.loads(text) == specs.parse(table)


def test_the_module_imports_neither_tensorflow_nor_optuna() -> None:
    heavy = "{'tensorflow', 'keras', 'optuna', 'numpy', 'pandas'}"
    code = f"import sys, hpo.spec; print(sorted({heavy} & sys.modules.keys()))"
    root = Path(__file__).parents[2]
    done = subprocess.run([sys.executable, "-c", code], cwd=root, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
