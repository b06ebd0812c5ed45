"""A model whose function a Python session has: what is checked before there is a study; who trains it."""

from __future__ import annotations

import functools
import logging
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest
import tensorflow as tf

from hpo.errors import HpoError, ModelError, SpecError
from hpo.own import own_function
from hpo.spec import OwnModel
from hpo.storage import Storage
from hpo.studies import Study, create_study, list_studies
from hpo.trials.planned_steps import planned_steps
from tests.command import environment, quick

X = np.random.default_rng(0).normal(size=(90, 4)).astype(np.float32)
Y = np.arange(90) % 3
SPEC: dict[str, Any] = {
    "name": "own",
    "kind": "search",
    "data": {},
    "trials": 2,
    "sampler": {"name": "random", "seed": 0},
    "params": {"epochs": 2},
    "space": {"units": [4, 8]},
}
Build = Callable[..., Any]


def network(units: int, shape: Any, outputs: int, end: str | None = None, rate: float = 0.0) -> Any:
    layers = keras.layers
    parts = [layers.Dense(units, "relu"), layers.Dropout(rate), layers.Dense(outputs, end)]
    return keras.Sequential([keras.Input(shape), *parts])


def compiled(
    units: int, shape: Any, outputs: int, loss: Any, metrics: Any = ("accuracy",), end: Any = "softmax"
) -> Any:
    model = network(units, shape, outputs, end)
    model.compile("adam", loss, metrics=list(metrics))
    return model


SPARSE = "sparse_categorical_crossentropy"


def too_wide(units: int) -> Any:
    if units > 4:
        raise ValueError("too wide")
    return network(units, (4,), 3)


def ends() -> Any:
    raise SystemExit("enough")


WRONG: dict[str, tuple[Build, str]] = {
    "it raises": (
        lambda units: too_wide(units),
        "a Python session: lambda with units = 8: must build a model, but got",
    ),
    "it ends the process": (lambda units: ends(), "SystemExit: enough"),
    "no model": (lambda units: 3, "a Python session: lambda: must return a Keras model, but got 'int'."),
    "other samples": (
        lambda units, outputs: network(units, (7,), outputs),
        "must return a model that takes samples of shape (4,), but got 'it takes (7,)'. Build it for input",
    ),
    "other dimensions": (
        lambda units, outputs: network(units, (4, 4), outputs),
        "must return a model that takes samples of shape (4,), but got 'it takes (4, 4)'.",
    ),
    "other outputs": (
        lambda units, input_shape: network(units, input_shape, 4),
        "must return a model whose outputs have shape (None, 3), but got (None, 4). Build it for outputs.",
    ),
    "a loss of one-hot targets": (
        lambda units, input_shape, outputs: compiled(units, input_shape, outputs, "categorical_crossentropy"),
        "must compile its model with a loss of class indices, which the targets are, but got"
        f" 'categorical_crossentropy'. Compile it with '{SPARSE}', or leave compiling to hpo.",
    ),
    "logits for probabilities": (
        lambda units, input_shape, outputs: compiled(units, input_shape, outputs, SPARSE, end=None),
        "must end in softmax, or be compiled with a loss that has from_logits=True.",
    ),
    "a loss of quantities": (
        lambda units, input_shape, outputs: compiled(
            units, input_shape, outputs, keras.losses.MeanSquaredError()
        ),
        "but got 'mean_squared_error'",
    ),
    "no loss": (
        lambda units, input_shape, outputs: compiled(units, input_shape, outputs, None),
        "must compile its model with a loss, but got None.",
    ),
    "a metric of one-hot targets": (
        lambda units, input_shape, outputs: compiled(
            units, input_shape, outputs, SPARSE, ["accuracy", keras.metrics.F1Score()]
        ),
        "must compile its model for targets of shape (None,), but got 'ValueError: FBetaScore expects 2D",
    ),
    "no metric": (
        lambda units, input_shape, outputs: compiled(units, input_shape, outputs, SPARSE, []),
        "objective.metric: must be reported by the model after each epoch, but got 'val_accuracy'. a Python"
        ' session: lambda reports val_loss: compile it with metrics=["accuracy"], or leave compiling to hpo.',
    ),
}


def refusal(build: Any, folder: Path, **keys: Any) -> str:
    """Why a study of this function is not created."""
    url = f"sqlite:///{folder}/refused.db"
    with pytest.raises(HpoError) as caught:
        create_study(SPEC | keys, model=build, data=(X, Y), storage=url, artifact_dir=folder / "artifacts")
    assert len(caught.value.lines) == 1
    assert not (folder / "refused.db").exists()
    assert not list((folder / "artifacts").rglob("*.npz"))
    return str(caught.value)


@pytest.mark.parametrize("wrong", WRONG)
def test_a_model_that_cannot_be_trained_creates_no_study(wrong: str, tmp_path: Path) -> None:
    build, said = WRONG[wrong]
    assert said in refusal(build, tmp_path)


def test_what_has_no_effect_or_no_metric_is_refused(tmp_path: Path) -> None:
    def build(units: int, *, input_shape: Any, outputs: int) -> Any:
        return compiled(units, input_shape, outputs, SPARSE, [])

    said = refusal(build, tmp_path, params={"momentum": 0.9})
    assert said.startswith(
        "params.momentum: has no effect, since a Python session: build compiles its model."
    )
    said = refusal(build, tmp_path, objective={"metric": "f1"})
    assert "needs val_accuracy after each epoch, which the model must report, but got 'f1'" in said


@pytest.mark.parametrize(
    "given",
    [3, "mlp", keras.Sequential, keras.Sequential(), lambda *units: 1, lambda trials: 1],
    ids=["number", "name", "class", "model", "any arguments", "taken name"],
)
def test_only_a_function_with_names_of_its_own_is_a_model(given: Any, tmp_path: Path) -> None:
    assert refusal(given, tmp_path).startswith("create_study: model: ")


def test_a_specification_with_another_model_is_refused(tmp_path: Path) -> None:
    said = refusal(lambda units: 1, tmp_path, model="mlp")
    assert said == "study: model: must be left out, as the model is given, but got 'mlp'."


@pytest.fixture
def build() -> Build:
    """A function that no file has by its name."""
    width = 1

    def build(units: int, rate: float = 0.1, *, input_shape: Any, outputs: int) -> Any:
        return network(units * width, input_shape, outputs, rate=rate)

    return build


def created(storage: Storage, build: Build, **keys: Any) -> Study:
    return create_study(SPEC | keys, model=build, data=(X, Y), storage=storage)


@pytest.fixture
def storage(url: str, tmp_path: Path) -> Storage:
    return Storage(url, artifact_dir=tmp_path / "artifacts")


@pytest.mark.slow
def test_it_is_trained_here_alone_and_read_everywhere(
    storage: Storage, build: Build, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    study = created(storage, build)
    with pytest.raises(
        ModelError, match=r"which workers cannot import: workers must be 1, but got 2\. Put the"
    ):
        study.run(workers=2)
    place = {"HPO_STORAGE": storage.url, "HPO_ARTIFACT_DIR": str(storage.artifacts.path)}
    elsewhere = quick("resume", "own", folder=tmp_path, **place)
    assert elsewhere.returncode == 2
    assert elsewhere.stderr.splitlines()[-1] == (
        "study 'own': model build: is a function of another Python session, and only that one can train it."
        " Create the study again from the session that has it, or put it into a file."
    )
    worker = quick("worker", "own", "--exit-when-idle", folder=tmp_path, **place)
    assert worker.returncode == 1
    (said,) = [
        line for line in worker.stderr.splitlines() if "cannot be trained" in line and "study" in line
    ][:1]
    assert "is a function of a Python session, and is trained by that session alone" in said
    assert "Traceback" not in worker.stderr
    capsys.readouterr()

    assert study.run(workers=1).counts["complete"] == 2
    told = capsys.readouterr().err
    assert "own: build is a function of this Python session, so this process trains its trials" in told
    assert told.count("complete val_accuracy") == 2
    assert "return network(units * width" in (study.spec.model.text or "")  # type: ignore[union-attr]
    exported = quick("export", "own", "--out", "best.keras", folder=tmp_path, **place)
    assert exported.returncode == 0
    assert keras.saving.load_model(tmp_path / "best.keras")(X[:2]).shape == (2, 3)


def test_the_same_function_is_the_same_study_and_another_is_not(storage: Storage, build: Build) -> None:
    created(storage, build)
    again = created(storage, build, trials=1)
    assert again.summary.planned == 1
    with pytest.raises(HpoError, match=r"is taken by another specification: model\.function was 'build'"):
        created(storage, lambda units, input_shape, outputs: network(units, input_shape, outputs))
    with pytest.raises(HpoError, match=r"is taken by another specification: model\.digest was"):
        created(storage, functools.partial(build, rate=0.3))


@pytest.mark.long
def test_what_makes_another_program_is_known_when_work_is_planned(storage: Storage, build: Build) -> None:
    space = {"units": [4, 8, 16], "rate": {"low": 0.0, "high": 0.5}, "learning_rate": [0.1, 0.2]}
    spec = created(storage, build, space=space, trials=12, confirm=False).spec
    assert isinstance(spec.model, OwnModel)
    assert spec.model.structure == ("units",)
    h = spec.hyperparameters_for({"units": 4, "rate": 0.2, "learning_rate": 0.1})
    assert planned_steps(spec, h, samples=32) == 12 // 3 * 2

    arms = [{"name": "a", "units": 4}, {"name": "b", "units": 4, "rate": 0.3}, {"name": "c", "units": 8}]
    table = {
        "name": "arms",
        "kind": "comparison",
        "seeds": 2,
        "data": {},
        "arms": arms,
        "params": {"epochs": 1},
    }
    spec = create_study(table, model=build, data=(X, Y), storage=storage).spec
    assert isinstance(spec.model, OwnModel)
    assert spec.model.structure == ("units",)


def test_that_xla_never_trains_a_model_is_said_once(
    storage: Storage, caplog: pytest.LogCaptureFixture
) -> None:
    def build(units: int, *, input_shape: Any, outputs: int) -> Any:
        layers = keras.layers
        parts = [layers.Reshape((4, 1)), layers.Conv1D(units, 2), layers.Flatten()]
        return keras.Sequential([keras.Input(input_shape), *parts, layers.Dense(outputs)])

    with caplog.at_level(logging.WARNING):
        created(storage, build)
        created(storage, build)
    said = "a Python session: build: its epochs are TensorFlow graphs: XLA is slower on a CPU with Conv1D"
    assert [record.getMessage() for record in caplog.records if record.name.startswith("hpo")] == [said]


def test_a_step_of_its_own_gets_raw_values_which_is_said(
    storage: Storage, caplog: pytest.LogCaptureFixture
) -> None:
    class Own(keras.Sequential):
        def compute_loss(self, *given: Any, **named: Any) -> Any:
            return super().compute_loss(*given, **named)

    def build(units: int, *, input_shape: Any, outputs: int) -> Any:
        layers = keras.layers
        return Own([keras.Input(input_shape), layers.Dense(units), layers.Dense(outputs, "softmax")])

    pixels = (X * 50 + 128).clip(0, 255).astype(np.uint8)
    create_study(SPEC, model=build, data=(pixels, Y), storage=storage)
    said = "a Python session: build: its own compute_loss gets the data as they are: pixels from 0 to 255"
    assert said in [record.getMessage() for record in caplog.records]


@pytest.mark.long
def test_a_loop_that_cannot_train_a_model_is_said_once(
    storage: Storage, caplog: pytest.LogCaptureFixture
) -> None:
    class Unknown(keras.layers.Layer):
        def call(self, x: Any) -> Any:
            y = tf.py_function(lambda values: values * 1, [x], tf.float32)
            y.set_shape(x.shape)
            return x + tf.stop_gradient(y)

    def build(units: int, *, input_shape: Any, outputs: int) -> Any:
        layers = keras.layers
        return keras.Sequential(
            [keras.Input(input_shape), Unknown(), layers.Dense(units), layers.Dense(outputs)]
        )

    study = created(storage, build, name="xla", loop="xla", params={"epochs": 1})
    study.run()
    assert study.summary.counts["complete"] == 2
    assert len([r for r in caplog.records if "loop 'xla' cannot train this model" in r.getMessage()]) == 1


SCRIPT = """
import keras, numpy as np, hpo

def build(units, *, input_shape, outputs):
    layers = keras.layers
    return keras.Sequential([keras.Input(input_shape), layers.Dense(units), layers.Dense(outputs)])

def main():
    x, y = np.random.default_rng(0).normal(size=(60, 4)).astype("float32"), np.arange(60) % 3
    space, params = {"units": [4, 8]}, {"epochs": 1}
    spec = dict(name="script", kind="search", data={}, params=params, space=space, trials=2)
    study = hpo.create_study(spec, model=build, data=(x, y))
    study.run(workers=2)
"""


def test_a_script_that_is_not_guarded_is_refused_where_it_would_run_again(tmp_path: Path) -> None:
    path = tmp_path / "script.py"
    path.write_text(f"{SCRIPT}\nmain()\n")
    model = OwnModel.model_validate({"file": str(path)})
    with pytest.raises(ModelError) as caught:
        own_function(model)
    assert str(caught.value) == (
        f"{path}: must not create a study when its functions are imported, as workers do."
        ' Put what the script does below: if __name__ == "__main__":'
    )


@pytest.mark.long
@pytest.mark.parametrize("guard", ['if __name__ == "__main__":\n    main()', "main()"])
def test_a_script_trains_its_own_function_by_workers(guard: str, tmp_path: Path) -> None:
    (tmp_path / "script.py").write_text(f"{SCRIPT}\n{guard}\n")
    root = str(Path(__file__).parents[2])
    done = subprocess.run(
        [sys.executable, "script.py"],
        cwd=tmp_path,
        env=environment(PYTHONPATH=root),
        capture_output=True,
        text=True,
        timeout=120,
    )
    if guard == "main()":
        assert "must not create a study when its functions are imported" in done.stderr.splitlines()[-1]
        assert not (tmp_path / "hpo.db").exists()
        return
    assert done.returncode == 0, done.stderr
    (summary,) = list_studies(storage=f"sqlite:///{tmp_path}/hpo.db")
    assert summary.counts["complete"] == 2


def test_a_file_of_a_package_finds_what_is_beside_it(tmp_path: Path) -> None:
    package = tmp_path / "own_package"
    package.mkdir()
    (package / "__init__.py").write_text("")
    (package / "parts.py").write_text("WIDTH = 3")
    (package / "model.py").write_text("from .parts import WIDTH\ndef build(units): return units * WIDTH")
    model = OwnModel.model_validate({"file": str(package / "model.py")})
    assert own_function(model)(units=2) == 6


def test_names_are_checked_for_functions_of_a_session_too(tmp_path: Path) -> None:
    with pytest.raises(SpecError, match="must give 'units', which a Python session: lambda takes and has no"):
        create_study(SPEC | {"space": {"learning_rate": [0.1]}}, model=lambda units: 1, data=(X, Y))
