"""Models that need code to be loaded: none is run unless it is trusted, and then it is found."""

from __future__ import annotations

import json
import logging
import shutil
import zipfile
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest

import hpo
from hpo import HpoError, create_study
from tests.command import quick
from tests.tiny_studies import worker_of

# Each study's model is tried in a process of its own, which takes seconds.
pytestmark = pytest.mark.slow

CODE = '''
from pathlib import Path

import keras
from keras import ops


Path(__file__).with_name("ran").touch()


class Gate(keras.layers.Layer):
    def __init__(self, units, **options):
        super().__init__(**options)
        self.units = units

    def build(self, shape):
        self.dense = keras.layers.Dense(self.units)
        self.dense.build(shape)

    def call(self, x):
        return ops.relu(self.dense(x))


class Closed(keras.layers.Layer):
    """Says nothing of itself."""

    def __init__(self, inner):
        super().__init__()
        self.inner = inner

    def call(self, x):
        return x * self.inner.value


def built(layer, units, input_shape, outputs):
    layers = [keras.layers.Dense(units), layer, keras.layers.Dense(outputs, "softmax")]
    return keras.Sequential([keras.Input(input_shape), *layers])


def gated(units, *, input_shape, outputs):
    return built(Gate(units), units, input_shape, outputs)


def lambdas(units, *, input_shape, outputs):
    return built(keras.layers.Lambda(lambda x: ops.relu(x)), units, input_shape, outputs)


def stock(units, *, input_shape, outputs):
    return built(keras.layers.ReLU(), units, input_shape, outputs)


def closed(units, *, input_shape, outputs):
    return built(Closed(two), units, input_shape, outputs)


class Two:
    value = 2


two = Two()
'''
FUNCTIONS = ("gated", "lambdas", "stock", "closed")
X = np.random.default_rng(0).random((80, 4), np.float32)


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with exported models of a person's own, and the file of their functions."""
    folder = tmp_path_factory.mktemp("own")
    (folder / "own_model.py").write_text(CODE)
    np.savez(folder / "own.npz", x_train=X, y_train=np.arange(80) % 3)
    np.savez(folder / "x.npz", x=X[:3])
    for function in FUNCTIONS:
        study = create_study(
            {
                "name": function,
                "kind": "search",
                "trials": 1,
                "loop": "graph",
                "data": {"name": str(folder / "own.npz")},
                "model": {"file": str(folder / "own_model.py"), "function": function},
                "params": {"epochs": 1, "batch_size": "full"},
                "space": {"units": [4]},
            },
            storage=f"sqlite:///{folder / 'hpo.db'}",
            artifact_dir=folder / "hpo-artifacts",
        )
        worker_of(study).run(exit_when_idle=True)
        assert study.best.state == "complete"
        if function != "closed":
            study.export(folder / f"{function}.keras")
    return folder


@pytest.fixture
def folder(made: Path, tmp_path: Path) -> Path:
    """The models and the file of their functions, somewhere else; where they were the file is gone."""
    for path in (*made.glob("*.keras"), made / "x.npz"):
        shutil.copy(path, tmp_path)
    (made / "own_model.py").unlink(missing_ok=True)
    (made / "ran").unlink(missing_ok=True)
    (tmp_path / "own_model.py").write_text(CODE)
    return tmp_path


def refused(model: Path, **options: Any) -> str:
    with pytest.raises(HpoError) as caught:
        hpo.predict(model, X, **options)
    return str(caught.value)


def test_a_model_of_keras_s_own_layers_needs_nothing(folder: Path) -> None:
    assert len(hpo.predict(folder / "stock.keras", X)) == len(X)
    assert len(hpo.predict(folder / "stock.keras", X, trust=True)) == len(X)
    assert not list(folder.glob("ran"))
    with zipfile.ZipFile(folder / "stock.keras") as archive:
        card = json.loads(archive.read("hpo.json"))
    assert card["code"]["function"] == "stock"
    assert set(card["code"]) == {"file", "function", "digest", "beside"}
    assert card["hyperparameters"]["units"] == 4


@pytest.mark.parametrize(
    ("model", "needs"), [("gated", "Gate of own_model.py"), ("lambdas", "a Lambda layer")]
)
def test_what_needs_code_is_refused_and_nothing_is_run(model: str, needs: str, folder: Path) -> None:
    path = folder / f"{model}.keras"
    assert refused(path) == (
        f"{path}: must be a Keras model that needs no code of its own, but got {needs!r}."
        " If you trust that code, run it: --trust, or trust=True in Python."
    )
    assert "is run only if it is trusted" in refused(path, code=folder / "own_model.py")
    assert not (folder / "ran").exists()


@pytest.mark.parametrize("model", ["gated", "lambdas"])
def test_trusted_the_file_of_the_model_is_found_and_run(model: str, made: Path, folder: Path) -> None:
    found = hpo.predict(folder / f"{model}.keras", X, trust=True)
    assert (folder / "ran").exists()
    assert len(found) == len(X)
    # As the trial predicted.
    study = hpo.open_study(model, storage=f"sqlite:///{made / 'hpo.db'}", artifact_dir=made / "hpo-artifacts")
    validated = study.validated(0)
    shares = found.filter(like="probabilities.").to_numpy()[validated.row]
    np.testing.assert_allclose(shares, validated.outputs, rtol=1e-4)


def test_only_the_file_that_it_was_made_with_is_run_unless_one_is_named(
    folder: Path, made: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (folder / "own_model.py").write_text(CODE + "\n# edited\n")
    line = refused(folder / "gated.keras", trust=True)
    assert line == (
        f"{folder / 'gated.keras'}: needs own_model.py as it was when the model was trained, which is neither"
        f" beside it nor at {made / 'own_model.py'}. Name the file: --code FILE, or code= in Python."
    )
    assert not (folder / "ran").exists()
    with caplog.at_level(logging.WARNING):
        hpo.predict(folder / "gated.keras", X, trust=True, code=folder / "own_model.py")
    assert "differs from the file that the model was made with" in caplog.text
    assert (folder / "ran").exists()
    (folder / "broken.py").write_text("1 / 0")
    line = refused(folder / "gated.keras", trust=True, code=folder / "broken.py")
    assert "must run without an error, but got 'line 1: ZeroDivisionError" in line
    assert "no such file" in refused(folder / "gated.keras", trust=True, code=folder / "none.py")


def test_the_command_trusts_and_export_says_what_is_needed(made: Path, folder: Path) -> None:
    where = ("--storage", f"sqlite:///{made / 'hpo.db'}")
    folders = {"HPO_ARTIFACT_DIR": str(made / "hpo-artifacts")}
    said = {
        function: quick("export", function, "--out", f"{function}-2.keras", *where, folder=folder, **folders)
        for function in ("gated", "lambdas", "stock")
    }
    assert "It needs code to be loaded, Gate: hpo predict --trust gated-2.keras DATA, or " in (
        said["gated"].stderr
    )
    assert "keras.saving.load_model with safe_mode=False." in said["lambdas"].stderr
    assert said["stock"].stderr.count("\n") == 1
    refused = quick("predict", "gated-2.keras", "x.npz", folder=folder)
    assert (refused.returncode, refused.stdout, refused.stderr.count("\n")) == (2, "", 1), refused
    done = quick("predict", "gated-2.keras", "x.npz", "--trust", "--format", "json", folder=folder)
    assert len(json.loads(done.stdout)) == 3, done


def test_a_model_that_keras_cannot_write_keeps_the_rest_of_its_trial(made: Path, tmp_path: Path) -> None:
    (made / "own_model.py").write_text(CODE)
    study = hpo.open_study(
        "closed", storage=f"sqlite:///{made / 'hpo.db'}", artifact_dir=made / "hpo-artifacts"
    )
    assert not study.has_model(0)
    assert len(study.validated(0).y)
    with pytest.raises(HpoError, match=r"cannot be written by Keras, .* Give its classes a get_config\.$"):
        study.export(tmp_path / "closed.keras")
    assert not (tmp_path / "closed.keras").exists()


def test_a_model_of_nobody_s_card_is_loaded_by_a_file_that_is_named(tmp_path: Path) -> None:
    class Own(keras.layers.Layer):
        def call(self, x: Any) -> Any:
            return x * 2

    model = keras.Sequential([keras.Input((4,)), Own(), keras.layers.Dense(3, "softmax")])
    model.save(tmp_path / "m.keras")
    (tmp_path / "layers.py").write_text(
        "import keras\n\nclass Own(keras.layers.Layer):\n    def call(self, x):\n        return x * 2\n"
    )
    assert "but got 'Own'. If you trust that code" in refused(tmp_path / "m.keras")
    assert "can be loaded, but got " in refused(tmp_path / "m.keras", trust=True)
    assert len(hpo.predict(tmp_path / "m.keras", X, trust=True, code=tmp_path / "layers.py")) == len(X)


def test_a_card_without_code_is_read_as_before(folder: Path) -> None:
    old = folder / "old.keras"
    with zipfile.ZipFile(folder / "stock.keras") as archive, zipfile.ZipFile(old, "w") as written:
        for name in archive.namelist():
            content = archive.read(name)
            if name == "hpo.json":
                card = json.loads(content)
                del card["code"]
                content = json.dumps(card).encode()
            written.writestr(name, content)
    assert hpo.predict(old, X).equals(hpo.predict(folder / "stock.keras", X))
