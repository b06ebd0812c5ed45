"""What a search varies under conditions, as lists of layers, within constraints: taken and refused."""

from __future__ import annotations

from typing import Any

import pytest

from hpo.errors import SpecError
from hpo.spec import Choices, Layers, Range, SearchSpec, changes, from_json, loads, to_json, to_toml

MOMENTUM = {"low": 0.5, "high": 0.99}
OPTIMIZER = ["sgd", "adam"]
RATES = {"learning_rate": {"low": 1e-3, "high": 0.1, "log": True}, "batch_size": [16, 32]}
LAYERS = {"layers": [1, 3], "units": [32, 64, 128, 256]}
FILE = """
name = "s"
kind = "search"
data = { name = "digits" }
trials = 9
constraints = ["batch_size * learning_rate <= 1", "parameters <= 200_000", "train_seconds <= 60"]

[space]
optimizer = ["sgd", "adam"]
momentum = { low = 0.5, high = 0.99, when = { optimizer = "sgd" } }
nesterov = { choices = [true, false], when = { optimizer = "sgd", momentum = { low = 0.6, high = 0.9 } } }
hidden_units = { layers = [1, 3], units = { low = 16, high = 256, log = true } }
learning_rate = { low = 1e-3, high = 0.1, log = true }
batch_size = { low = 8, high = 64, step = 8 }
dropout = { low = 0.0, high = 0.5, when = { batch_size = [8, 16] } }
"""


def search(space: dict[str, Any], **keys: Any) -> SearchSpec:
    known = {"name": "s", "kind": "search", "data": {"name": "digits"}, "trials": 1}
    return SearchSpec(**{**known, "space": space, **keys})


def refused(space: dict[str, Any], **keys: Any) -> str:
    with pytest.raises(SpecError) as caught:
        search(space, **keys)
    line = str(caught.value)
    assert line.isprintable()
    return line.removeprefix("study: ")


def test_a_file_of_all_of_it_means_what_it_says() -> None:
    spec = loads(FILE)
    assert isinstance(spec, SearchSpec)
    assert spec.space["momentum"] == Range(0.5, 0.99, when={"optimizer": ("sgd",)})
    nesterov = Choices((True, False), {"optimizer": ("sgd",), "momentum": Range(0.6, 0.9)})
    assert spec.space["nesterov"] == nesterov
    assert spec.space["hidden_units"] == Layers(1, 3, Range(16, 256, log=True))
    assert list(spec.drawn)[:4] == [f"hidden_units_{what}" for what in ("layers", "1", "2", "3")]
    assert spec.drawn["hidden_units_3"].when == {"hidden_units_layers": Range(3, 3)}


def test_it_is_written_and_stored_and_read_back() -> None:
    spec = loads(FILE)
    assert loads(to_toml(spec)) == spec
    assert from_json(to_json(spec)) == spec
    assert SearchSpec(**dict(spec)) == spec


def test_another_condition_is_another_space() -> None:
    one = search({"optimizer": OPTIMIZER, "l2": {"choices": [0.1, 0.2], "when": {"optimizer": "sgd"}}})
    other = search({"optimizer": OPTIMIZER, "l2": {"choices": [0.1, 0.2], "when": {"optimizer": "adam"}}})
    assert one != other
    assert [change.key for change in changes(one, other)] == ["space.l2"]


def test_a_copy_forgets_what_followed_from_other_keys() -> None:
    spec = search({"batch_size": [8, 16, 32]}, constraints=["batch_size < 20"])
    assert spec.size == 2
    assert spec.model_copy(update={"constraints": ()}).size == 3


@pytest.mark.parametrize(
    ("space", "size"),
    [
        ({"optimizer": OPTIMIZER, "momentum": {"choices": [0.5, 0.9], "when": {"optimizer": "sgd"}}}, 3),
        ({"hidden_units": LAYERS}, 4 + 16 + 64),
        ({"hidden_units": {"layers": [0, 1], "units": {"low": 8, "high": 32, "step": 8}}}, 5),
        ({"hidden_units": {"layers": [2, 2], "units": [8, 16]}}, 4),
        # Grandchildren of an optimizer, and a condition within a range of 8 values.
        (
            {
                "optimizer": OPTIMIZER,
                "batch_size": {"low": 8, "high": 64, "step": 8, "when": {"optimizer": "sgd"}},
                "dropout": {"choices": [0.1, 0.2], "when": {"batch_size": {"low": 10, "high": 30}}},
            },
            1 + 2 * 2 + 6,
        ),
        (
            {
                "optimizer": OPTIMIZER,
                "hidden_units": {"layers": [1, 2], "units": [8, 16], "when": {"optimizer": "adam"}},
            },
            7,
        ),
    ],
)
def test_a_space_has_as_many_configurations_as_differ(space: dict[str, Any], size: int) -> None:
    spec = search(space, sampler={"name": "grid"}, trials=size, confirm=False)
    found = [spec.configuration(index) for index in range(size)]
    assert spec.size == spec.searched == size
    assert len({tuple(one.items()) for one in found}) == size
    assert all(spec.active(one) == one for one in found)


def test_a_parent_whose_ends_meet_no_condition_is_checked_between_them() -> None:
    momentum = MOMENTUM | {"when": {"batch_size": {"low": 20, "high": 30}}}
    line = refused({"batch_size": {"low": 8, "high": 64}, "optimizer": OPTIMIZER, "momentum": momentum})
    assert line.startswith("space: momentum has no effect with optimizer = 'adam', but got ")


def test_where_it_is_not_active_params_say_what_it_is() -> None:
    space = {"optimizer": ["sgd", "adam"], "learning_rate": {"choices": [0.1], "when": {"optimizer": "sgd"}}}
    spec = search(space, params={"learning_rate": 0.002})
    values = {one["optimizer"]: spec.joined(one) for one in map(spec.configuration, range(2))}
    assert spec.hyperparameters_for(values["sgd"]).learning_rate == 0.1
    assert spec.hyperparameters_for(values["adam"]).learning_rate == 0.002


@pytest.mark.parametrize(
    ("space", "params", "line"),
    [
        (
            {"optimizer": OPTIMIZER, "momentum": MOMENTUM | {"when": {"optimizr": "sgd"}}},
            {},
            "space.momentum.when.optimizr: is no hyperparameter of the space. Did you mean 'optimizer'?",
        ),
        (
            {"momentum": MOMENTUM | {"when": {"optimizer": "sgd"}}},
            {"optimizer": "sgd"},
            "space.momentum.when.optimizer: must vary, and [params] sets it to 'sgd'. "
            "Vary it in [space], or remove the condition.",
        ),
        (
            {"momentum": MOMENTUM | {"when": {"optimizer": "sgd"}}},
            {},
            "space.momentum.when.optimizer: must vary, and it has its default. Add optimizer to [space].",
        ),
        (
            {"momentum": MOMENTUM | {"when": {"momentum": 0.5}}},
            {},
            "space.momentum.when.momentum: cannot be a condition of itself. Name another hyperparameter.",
        ),
        (
            {
                "optimizer": {"choices": OPTIMIZER, "when": {"schedule": "cosine"}},
                "schedule": {"choices": ["cosine", "constant"], "when": {"optimizer": "sgd"}},
            },
            {},
            "space.optimizer.when: goes in a circle: optimizer > schedule > optimizer. "
            "Remove one of the conditions.",
        ),
        (
            {"optimizer": OPTIMIZER, "momentum": MOMENTUM | {"when": {"optimizer": "rmsprop"}}},
            {},
            "space.momentum.when.optimizer: must be a value that optimizer can have, 'sgd' or 'adam', "
            "but got 'rmsprop'.",
        ),
        (
            {
                "batch_size": {"low": 8, "high": 64},
                "dropout": {"choices": [0.1], "when": {"batch_size": {"low": 100, "high": 200}}},
            },
            {},
            "space.dropout.when.batch_size: must be what batch_size can be, 8 to 64, "
            "but got { low = 100, high = 200 }.",
        ),
        (
            {
                "batch_size": {"low": 8, "high": 64, "step": 8},
                "dropout": {"choices": [0.1], "when": {"batch_size": 12}},
            },
            {},
            "space.dropout.when.batch_size: must be a value that batch_size can have, 8 to 64 by steps of 8, "
            "but got 12.",
        ),
        (
            {"optimizer": OPTIMIZER, "momentum": MOMENTUM | {"when": "sgd"}},
            {},
            "space.momentum.when: must be a table of conditions, but got 'sgd'. "
            'Write { optimizer = "sgd" }.',
        ),
        (
            {"hidden_units": {"layers": [3, 1], "units": [8]}},
            {},
            "space.hidden_units.layers: must be from 0 to 100 layers, the fewest first, but got [3, 1].",
        ),
        (
            {"hidden_units": {"layers": [1, 2], "units": [0]}},
            {},
            "space.hidden_units.units[1]: must be an integer from 1 to 2147483647, but got 0.",
        ),
        (
            {"dropout": {"layers": [1, 3], "units": [0.1]}},
            {},
            "space.dropout: must be a list of choices or a range { low, high }, but got "
            "{ layers = [1, 3], units = [0.1] }. Such a list can be of 'hidden_units' alone.",
        ),
        (
            {"hidden_units": {"layers": [1, 3], "units": [32]}},
            {"dropout": [0.1, 0.2]},
            "space: dropout must have one value per hidden layer (1), but got "
            "{ dropout = [0.1, 0.2], hidden_units = [32] }. Every combination must be valid.",
        ),
    ],
)
def test_what_cannot_be_is_one_line(space: dict[str, Any], params: dict[str, Any], line: str) -> None:
    assert refused(space, params=params) == line


@pytest.mark.parametrize(
    ("constraint", "line"),
    [
        (
            "paramters < 3",
            "constraints[1]: names 'paramters', which is not known, but got 'paramters < 3'. "
            "Did you mean 'parameters'?",
        ),
        (
            "batch_size",
            "constraints[1]: must be a comparison, but got 'batch_size'. Write \"parameters <= 200_000\".",
        ),
        ("batch_size == 3", "constraints[1]: must compare by <=, <, >= or >, but got 'batch_size == 3'."),
        (
            "__import__('os') < 1",
            "constraints[1]: cannot have \"__import__('os')\", but got \"__import__('os') < 1\". "
            "It takes numbers, names, + - * / and <= < >= >.",
        ),
        (
            "optimizer < 3",
            "constraints[1]: takes numbers, and optimizer may be 'sgd', but got 'optimizer < 3'.",
        ),
        (
            "batch_size * learning_rate <= 1e-9",
            "constraints: must be met by a configuration, and none of the 10,000 that were drawn does, "
            "but got 'batch_size * learning_rate <= 1e-9'.",
        ),
        (
            "3 < 4",
            "constraints[1]: must name a hyperparameter or what a trial turns out to be, but got '3 < 4'.",
        ),
    ],
)
def test_a_constraint_that_cannot_be_is_one_line(constraint: str, line: str) -> None:
    assert refused(RATES, constraints=[constraint]) == line


def test_a_finite_space_without_a_configuration_that_is_allowed_is_refused() -> None:
    line = refused({"batch_size": [8, 16]}, constraints=["batch_size > 16"])
    assert line == (
        "constraints: must be met by a configuration, and none of the 2 in the space does, "
        "but got 'batch_size > 16'."
    )


def test_more_trials_than_configurations_that_are_allowed_are_refused() -> None:
    keys = {"constraints": ["batch_size < 20"], "sampler": {"name": "random"}, "trials": 3}
    line = refused({"batch_size": [8, 16, 32]}, **keys)
    assert line == "trials: must be at most 2, the number of configurations in the space, but got 3."


LOG = {"low": 1e-3, "high": 0.1, "log": True}
GRID = {"sampler": {"name": "grid"}}


@pytest.mark.parametrize(
    ("space", "keys", "line"),
    [
        (
            {"learning_rate": LOG},
            GRID,
            "space.learning_rate: must be a list of choices in a grid, "
            "but got { low = 0.001, high = 0.1, log = true }. Write [0.001, 0.1] and what is to be between.",
        ),
        (
            {"dropout": {"low": 0.0, "high": 0.5}},
            GRID,
            "space.dropout: must have a step in a grid, but got { low = 0.0, high = 0.5 }. "
            "Or write a list of choices.",
        ),
        (
            {"dropout": [0.1]},
            {"trials": 3},
            "trials: must be at most 1, the number of configurations in the space, but got 3.",
        ),
        (
            {"dropout": [0.1]},
            {"trials": 9, "confirm": {"top": 2, "seeds": 2}},
            "trials: must be at most 5: the space has 1 configuration, and 4 trials confirm the best,"
            " but got 9.",
        ),
        (
            {"dropout": {"low": 0.0, "high": 0.5}},
            {"trials": 1, "start_with": [{"dropout": 0.1}, {"dropout": 0.2}]},
            "start_with: must have at most 1 configuration, as so many trials search, but got 2."
            " Raise trials.",
        ),
        (
            {"batch_size": {"low": 0.5, "high": 2}},
            {},
            "space.batch_size.low: must be an integer from 1 to 2147483647, but got 0.5.",
        ),
        (
            {"learning_rate": LOG},
            {"confirm": {"top": 2, "seeds": 2}, "objectives": [{"metric": "f1"}, {"metric": "parameters"}]},
            "confirm: needs one objective, but got { top = 2, seeds = 2 }."
            " Leave it out, or choose one of f1 and parameters.",
        ),
        (
            {"nesterov": [True, False], "momentum": {"low": 0.1, "high": 0.9, "when": {"nesterov": "yes"}}},
            {},
            "space.momentum.when.nesterov: must be a value that nesterov can have, true or false,"
            " but got 'yes'.",
        ),
    ],
)
def test_what_a_study_file_cannot_have_is_not_advised_or_shown(
    space: dict[str, Any], keys: dict[str, Any], line: str
) -> None:
    assert refused(space, **keys) == line


@pytest.mark.parametrize("step", [-0.1, 0.0])
def test_a_step_has_one_rule(step: float) -> None:
    line = refused({"dropout": {"low": 0.0, "high": 0.5, "step": step}})
    assert line == f"space.dropout.step: must be a finite number greater than 0, but got {step}."


def test_a_whole_step_has_one_rule() -> None:
    for step in (-1, 0):
        line = refused({"one_hot_levels": {"low": 0, "high": 6, "step": step}})
        assert line == f"space.one_hot_levels.step: must be an integer from 1 to 2147483647, but got {step}."


def test_a_space_without_its_only_and_misspelt_entry_is_not_said_to_be_empty() -> None:
    with pytest.raises(SpecError) as caught:
        loads(FILE.partition("[space]")[0] + "sampler = { name = 'tpee' }\n[space]\nlearning_rte = [0.1]")
    assert [line.partition(":")[2].strip().partition(":")[0] for line in caught.value.lines] == [
        "space",
        "sampler.name",
    ]


@pytest.mark.parametrize(
    ("metric", "remedy"),
    [
        ("val_acuracy", "Did you mean 'val_accuracy'?"),
        ("val_my_own", ""),
    ],
)
def test_an_unknown_metric_to_rank_by_is_told_where_it_is(metric: str, remedy: str) -> None:
    line = refused(RATES, objective={"metric": metric})
    rule = "must be one that hpo knows, or have its direction stated beside it"
    said = f"objective.metric: {rule}, but got '{metric}'. "
    assert line == f"{said}{f'{remedy} ' * bool(remedy)}Of the model's own, set direction."


@pytest.mark.parametrize("condition", [0.01, [0.01, 0.02]])
def test_a_condition_that_no_draw_would_meet_is_refused(condition: Any) -> None:
    space = {"learning_rate": LOG, "momentum": MOMENTUM | {"when": {"learning_rate": condition}}}
    assert refused(space) == (
        "space.momentum.when.learning_rate: must be { low, high } on a range without steps,"
        " of which no draw is just one value, but got 0.01. Write { low = 0.01, high = 0.1 }."
    )
    whole = {"batch_size": {"low": 8, "high": 64}, "momentum": MOMENTUM | {"when": {"batch_size": 16}}}
    assert search(whole).drawn["momentum"].when == {"batch_size": (16,)}
