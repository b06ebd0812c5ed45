"""The contract of families: seeds, repeats, checkpoints, folds, exported models and compilations."""

from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import keras
import numpy as np
import optuna
import pytest

from hpo.data import Dataset, load_train
from hpo.data.dataset import make_dataset
from hpo.models.families import Network, Signature
from hpo.models.table import FAMILIES, family_of
from hpo.spec import Hyperparameters, SearchSpec, parse
from hpo.training.samples import Samples
from hpo.trials.outcome import Outcome, StoppedError
from hpo.trials.record import COMPILED_ATTRIBUTE
from hpo.trials.runner import TrialRunner

EPOCHS, SAMPLES, CLASSES = 3, 120, 10

OWN = '''
import keras
import numpy as np
from keras import layers, regularizers


def plain(units, rate, strength, input_shape, outputs):
    return keras.Sequential([
        keras.Input(input_shape),
        layers.Flatten(),
        layers.Dense(units, "relu", kernel_regularizer=regularizers.L1L2(strength, strength)),
        layers.BatchNormalization(),
        layers.Dropout(rate),
        layers.Dense(outputs),
    ])


def compiled(units, rate, strength, learning_rate, input_shape, outputs):
    model = plain(units, rate, strength, input_shape, outputs)
    model.compile(
        keras.optimizers.AdamW(
            keras.optimizers.schedules.ExponentialDecay(learning_rate, 5, 0.9), weight_decay=learning_rate / 2
        ),
        keras.losses.SparseCategoricalCrossentropy(from_logits=True),
        metrics=["accuracy", keras.metrics.SparseTopKCategoricalAccuracy(3, name="top_3")],
    )
    return model


def convolutional(units, rate, strength, input_shape, outputs):
    penalty = regularizers.L2(strength)
    return keras.Sequential([
        keras.Input(input_shape),
        layers.Reshape((*input_shape, 1)),
        layers.SeparableConv2D(units, 3, depthwise_regularizer=penalty, pointwise_regularizer=penalty),
        layers.GroupNormalization(1),
        layers.SpatialDropout2D(rate),
        layers.GlobalAveragePooling2D(),
        layers.Dense(outputs),
    ])


def recurrent(units, rate, strength, input_shape, outputs):
    inputs = keras.Input(input_shape)
    rows = layers.Bidirectional(layers.LSTM(units, return_sequences=True, dropout=0.2))(inputs)
    rows = layers.GRU(units, recurrent_dropout=0.1, kernel_regularizer=regularizers.L2(strength))(rows)
    return keras.Model(inputs, layers.Dense(outputs, "softmax")(layers.Dropout(rate)(rows)))


def embedding(units, rate, strength, input_shape, outputs):
    return keras.Sequential([
        keras.Input(input_shape),
        # Pixels of 0 to 16, that are scaled to 0..1.
        layers.Rescaling(16),
        layers.Flatten(),
        layers.Embedding(17, units, embeddings_regularizer=regularizers.L2(strength)),
        layers.Dropout(rate, noise_shape=(None, 1, units)),
        layers.Flatten(),
        layers.Dense(outputs),
    ])


class Scaled(layers.Layer):
    """A weight that says nothing of itself, and noise."""

    def __init__(self, units, strength):
        super().__init__()
        self.units, self.kernel_regularizer = units, regularizers.L1(strength)
        self.generator = keras.random.SeedGenerator()

    def build(self, shape):
        self.weight = self.add_weight(
            shape=(shape[-1], self.units), initializer="he_normal", regularizer=self.kernel_regularizer
        )
        self.slope = self.add_weight(shape=(), initializer=keras.initializers.RandomNormal())

    def call(self, inputs, training=False):
        outputs = self.slope + keras.ops.matmul(inputs, self.weight)
        if training:
            outputs += keras.random.normal(keras.ops.shape(outputs), stddev=0.1, seed=self.generator)
        return outputs


def custom(units, rate, strength, input_shape, outputs):
    inputs = keras.Input(input_shape)
    hidden = Scaled(units, 0.0 if strength is None else strength)(layers.Flatten()(inputs))
    hidden = layers.Lambda(lambda values: values * 2)(hidden)
    return keras.Model(inputs, layers.Dense(outputs)(layers.Dropout(rate)(hidden)))


class Subclassed(keras.Model):
    def __init__(self, units, rate, strength, outputs):
        super().__init__()
        self.flat = layers.Flatten()
        self.inner = keras.Sequential([
            layers.Dense(units, "relu", kernel_regularizer=regularizers.L2(strength)), layers.Dropout(rate)
        ])
        self.twice = layers.Dense(units, "relu")
        self.last = layers.Dense(outputs, "softmax")

    def call(self, inputs, training=False):
        hidden = self.inner(self.flat(inputs), training=training)
        return self.last(self.twice(self.twice(hidden)))


class Falling(keras.optimizers.schedules.LearningRateSchedule):
    """Says nothing of itself."""

    def __init__(self, rate):
        self.rate = rate

    def __call__(self, step):
        return self.rate / (1 + keras.ops.cast(step, "float32"))


class Stepping(keras.Model):
    """Returns from its step what it has no metric for."""

    def train_step(self, data):
        return super().train_step(data) | {"one": 1.0}


def wordless(units, rate, learning_rate, input_shape, outputs):
    model = plain(units, rate, 0.1, input_shape, outputs)
    model.compile(
        keras.optimizers.SGD(Falling(learning_rate)),
        keras.losses.SparseCategoricalCrossentropy(from_logits=True),
        metrics=["accuracy"],
    )
    return model


def stepping(units, rate, learning_rate, input_shape, outputs):
    inputs = keras.Input(input_shape)
    hidden = layers.Dropout(rate)(layers.Dense(units)(layers.Flatten()(layers.Rescaling(1 / 16)(inputs))))
    model = Stepping(inputs, layers.Dense(outputs, "softmax")(hidden))
    model.compile("adam", "sparse_categorical_crossentropy", metrics=["accuracy"])
    model.optimizer.learning_rate = learning_rate
    return model


def subclassed(units, rate, strength, input_shape, outputs):
    return Subclassed(units, rate, strength, outputs)
'''


@dataclass(frozen=True)
class Case:
    """A model with values of its own: those that are strengths, others of them, and another structure."""

    model: Any
    values: dict[str, Any]
    strengths: dict[str, Any]
    structure: dict[str, Any]
    # Whether all its layers are Keras's.
    is_plain: bool = True

    def effective(self, **changes: Any) -> Hyperparameters:
        return self.spec().hyperparameters_for({"batch_size": 32, **changes})

    def spec(self, **more: Any) -> SearchSpec:
        base = {"name": "s", "kind": "search", "data": {"name": "digits"}, "trials": 1, "model": self.model}
        params = {"epochs": EPOCHS, **self.values}
        spec = parse({**base, "space": {"batch_size": [32, 64]}, "params": params, **more})
        assert isinstance(spec, SearchSpec)
        return spec


def own(file: Path, function: str, **more: Any) -> Case:
    return Case(
        {"file": str(file), "function": function},
        {"units": 6, "rate": 0.3, "strength": 0.01, "learning_rate": 0.01},
        {"rate": 0.6, "strength": 0.1, "learning_rate": 0.1},
        {"units": 5},
        **more,
    )


OWNS = ("plain", "compiled", "convolutional", "recurrent", "embedding", "custom", "subclassed")
BUILT = {
    "mlp": Case(
        "mlp",
        {"hidden_units": [6], "dropout": 0.3, "l2": 0.01, "batch_norm": True, "learning_rate": 0.01},
        {"dropout": 0.6, "l2": 0.1, "learning_rate": 0.1},
        {"hidden_units": [5]},
    ),
    "cnn": Case(
        "cnn",
        {"filters": [3], "hidden_units": [6], "block_dropout": 0.2, "dropout": 0.3, "l2": 0.01,
         "batch_norm": "after", "optimizer": "adam", "schedule": "cosine", "learning_rate": 0.01},
        {"block_dropout": [0.4], "dropout": 0.6, "l2": 0.1, "learning_rate": 0.1},
        {"filters": [4]},
    ),
}  # fmt: skip
# Each kind of family, and the other own models where they cost little or nothing else is about to be proved.
WHEN = {"mlp": (), "plain": (), "subclassed": pytest.mark.slow}
SELDOM = [pytest.param(name, marks=WHEN.get(name, pytest.mark.long)) for name in (*BUILT, *OWNS)]


@pytest.fixture(scope="module")
def cases(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Case]:
    file = tmp_path_factory.mktemp("own") / "models.py"
    file.write_text(OWN)
    unknown = {"custom", "subclassed"}
    return BUILT | {name: own(file, name, is_plain=name not in unknown) for name in OWNS}


@pytest.fixture(scope="module")
def digits() -> Dataset:
    whole = load_train("digits")
    return make_dataset("digits", whole.x[:SAMPLES], whole.y[:SAMPLES], classes=CLASSES, scale=whole.scale)


@pytest.fixture(scope="module")
def runners(cases: dict[str, Case], digits: Dataset) -> dict[str, TrialRunner]:
    """A process of each case, which tests may leave trained."""

    class Made(dict[str, TrialRunner]):
        def __missing__(self, name: str) -> TrialRunner:
            self[name] = TrialRunner(cases[name].spec(data={"name": "digits", "folds": 2}), digits)
            return self[name]

    return Made()


def network_of(case: Case, digits: Dataset) -> Network:
    signature = Signature(digits.sample_shape, CLASSES, digits.scale)
    network = family_of(case.spec().model, signature).build(case.effective(), "graph")
    network.trainer.build(Samples.of(digits.x, digits.y))
    return network


def same(one: list[np.ndarray], other: list[np.ndarray]) -> bool:
    return all(first.tobytes() == second.tobytes() for first, second in zip(one, other, strict=True))


def test_every_built_network_has_a_case() -> None:
    assert BUILT.keys() == FAMILIES.keys()


@pytest.mark.parametrize("name", [*BUILT, *OWNS])
def test_weights_differ_by_seed_and_repeat_by_seed(
    name: str, cases: dict[str, Case], digits: Dataset
) -> None:
    case = cases[name]
    network, h = network_of(case, digits), case.effective()
    first, second = (network.initial_state(h, seed=seed, steps=1) for seed in (0, 1))
    assert same(network.initial_state(h, seed=0, steps=1), first)
    assert not same(second, first)
    weights = network.trainer.model.variables
    drawn = [index for index, weight in enumerate(weights) if np.unique(first[index]).size > 1]
    # Whatever has a kernel begins elsewhere, and so does whatever draws.
    kinds = ("kernel", "embeddings", "seed_generator_state", "weight", "slope", "counter")
    wanted = {i for i, weight in enumerate(weights) if any(kind in weight.path for kind in kinds)}
    assert wanted - {i for i, weight in enumerate(weights) if weight.path.endswith("slope")} <= set(drawn)
    for index in wanted:
        assert (first[index] != second[index]).any(), weights[index].path
    # No two begin alike.
    kernels = [first[index].tobytes() for index in wanted]
    assert len({*kernels}) == len(kernels)


class Kept:
    """Keeps the checkpoint of a trial that is stopped before some epoch."""

    def __init__(self, content: Any = None, *, stop_after: int | None = None) -> None:
        self.content, self._left = content, stop_after

    def load(self) -> Any:
        return self.content

    def save(self, content: Any) -> None:
        self.content = content

    due = False

    def should_stop(self) -> bool:
        if self._left is None:
            return False
        self._left -= 1
        return self._left < 0


def result_of(outcome: Outcome) -> str:
    metrics = [
        {name: value for name, value in each.items() if not name.endswith("seconds")}
        for each in (outcome.metrics, *(replicate.metrics for replicate in outcome.replicates))
    ]
    return json.dumps([outcome.state.name, outcome.value, metrics, outcome.curves])


def train(runner: TrialRunner, h: Hyperparameters, kept: Kept | None = None) -> str | None:
    trial = optuna.create_study(direction="maximize").ask()
    kept = Kept() if kept is None else kept
    try:
        return result_of(runner(trial, h, should_stop=kept.should_stop, checkpoints=kept))  # type: ignore[arg-type]
    except StoppedError:
        return None


@pytest.mark.parametrize("name", SELDOM)
def test_a_trial_repeats_whatever_was_trained_between_and_goes_on_in_another_process(
    name: str, cases: dict[str, Case], runners: dict[str, TrialRunner], digits: Dataset
) -> None:
    """Bit for bit, of two folds in lockstep."""
    case, runner = cases[name], runners[name]
    whole = train(runner, case.effective())
    other = train(runner, case.effective(**case.strengths))
    assert other != whole
    assert train(runner, case.effective()) == whole
    stopped = Kept(stop_after=1)
    assert train(runner, case.effective(), stopped) is None
    fresh = TrialRunner(runner.spec, digits)
    # It begins with another trial, and takes the checkpointed one over.
    assert train(fresh, case.effective(**case.strengths)) == other
    assert train(fresh, case.effective(), Kept(stopped.content)) == whole


@pytest.mark.parametrize("name", SELDOM)
def test_folds_in_lockstep_equal_each_fold_alone(
    name: str, cases: dict[str, Case], runners: dict[str, TrialRunner]
) -> None:
    runner, h = runners[name], cases[name].effective()
    trial = optuna.create_study(direction="maximize").ask()
    together = runner(trial, h)
    alone = runner.train(h, together.loop)
    assert alone.curve == together.replicates[0].curve
    assert together.replicates[0].curve != together.replicates[1].curve


@pytest.mark.parametrize("name", SELDOM)
def test_a_program_serves_every_strength_and_no_other_structure(
    name: str, cases: dict[str, Case], runners: dict[str, TrialRunner]
) -> None:
    case, runner = cases[name], runners[name]
    train(runner, case.effective())
    networks = dict(runner._networks)
    traced = [network.trainer.loop.compilations for network in networks.values()]
    study = optuna.create_study(direction="maximize")
    for index in (1, 2, 3):
        values = {key: value for key, value in case.strengths.items() if not isinstance(value, list)}
        trial = study.ask()
        runner(trial, case.effective(**{key: value / index for key, value in values.items()}))
        assert COMPILED_ATTRIBUTE not in trial.user_attrs
    assert dict(runner._networks) == networks
    assert [network.trainer.loop.compilations for network in networks.values()] == traced
    trials = [study.ask() for _ in range(2)]
    for trial, change in zip(trials, ({}, case.structure), strict=True):
        runner(trial, case.effective(**change))
    assert len(runner._networks) == len(networks) + 1
    assert [trial.user_attrs.get(COMPILED_ATTRIBUTE) for trial in trials] == [None, True]


@pytest.mark.parametrize(
    ("function", "loop"),
    [("wordless", "graph"), pytest.param("stepping", "fit", marks=pytest.mark.slow)],
)
def test_a_model_with_parts_that_say_nothing_of_themselves_or_a_step_of_its_own_is_trained_and_kept(
    function: str, loop: str, cases: dict[str, Case], digits: Dataset
) -> None:
    values = {"units": 6, "rate": 0.3, "learning_rate": 0.1}
    case = replace(own(Path(cases["plain"].model["file"]), function), values=values)
    runner = TrialRunner(case.spec(), digits)
    h = case.effective()
    outcome = runner(optuna.create_study(direction="maximize").ask(), h)
    assert (outcome.state.name, outcome.loop) == ("COMPLETE", loop)
    assert outcome.keepsakes()["model.keras"]
    assert train(runner, h) == train(runner, h)


MEMORY = """
import json, os, pathlib, sys
import optuna
from hpo.data import load_train
from hpo.spec import parse
from hpo.trials.runner import TrialRunner

def resident():
    return int(pathlib.Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE") / 2**20

spec = parse(json.loads(sys.argv[1]))
runner, study = TrialRunner(spec, load_train("digits")), optuna.create_study(direction="maximize")
for index in range(200):
    trial = study.ask()
    values = {"units": 8, "rate": 0.1 + index / 400, "strength": 1e-6 * (index + 1)}
    h = spec.hyperparameters_for({**values, "learning_rate": 0.001 * (index + 1)})
    outcome = runner(trial, h)
    outcome.keepsakes()
    study.tell(trial, outcome.value, state=outcome.state)
    if index == 19:
        start = resident()
print(resident() - start)
"""


@pytest.mark.long
@pytest.mark.skipif(sys.platform != "linux", reason="resident memory is read from /proc")
def test_after_twenty_trials_of_an_own_model_180_more_grow_by_less_than_50_mib(
    cases: dict[str, Case],
) -> None:
    study = {"name": "s", "kind": "search", "data": {"name": "digits"}, "trials": 1, "loop": "graph"}
    params = {name: cases["plain"].values[name] for name in ("units", "rate", "strength")}
    study |= {"model": cases["plain"].model, "params": {"epochs": 1, "batch_size": 64, **params}}
    study |= {"space": {"learning_rate": [0.1, 0.2]}}
    command = [sys.executable, "-c", MEMORY, json.dumps(study)]
    grown = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    assert float(grown) < 50


READ = """
import sys, keras, numpy as np
model = keras.saving.load_model(sys.argv[1])
assert not [name for name in sys.modules if name.split(".")[0] == "hpo"]
np.save(sys.argv[3], model.predict(np.load(sys.argv[2]), verbose=0))
"""


@pytest.mark.parametrize("name", SELDOM)
def test_an_exported_model_predicts_the_same_in_plain_keras(
    name: str, cases: dict[str, Case], runners: dict[str, TrialRunner], digits: Dataset, tmp_path: Path
) -> None:
    runner, h = runners[name], cases[name].effective()
    first = runner.train(h, "graph")
    wanted = runner._network(h, "graph").finished(first.run.predict(Samples.of(digits.x, digits.y)))
    model = runner.stock_model(first, h)
    np.testing.assert_allclose(model.predict(digits.x, verbose=0), wanted, atol=1e-6)
    schedule = model.optimizer._learning_rate if model.compiled else None
    if isinstance(schedule, keras.optimizers.schedules.CosineDecay):
        assert schedule.decay_steps == h.epochs * h.steps_per_epoch(len(runner.data.splits[0][0]))
    if not cases[name].is_plain:
        return
    model.save(tmp_path / "model.keras")
    np.save(tmp_path / "x.npy", digits.x)
    command = [sys.executable, "-c", READ, *(str(tmp_path / n) for n in ("model.keras", "x.npy", "y.npy"))]
    if name == "plain":  # the others are read in this process, where nothing of hpo's is registered
        subprocess.run(command, cwd=tmp_path, env={"PATH": "/usr/bin"}, check=True)
        outputs = np.load(tmp_path / "y.npy")
    else:
        outputs = keras.saving.load_model(tmp_path / "model.keras").predict(digits.x, verbose=0)
    np.testing.assert_allclose(outputs, wanted, atol=1e-5)
