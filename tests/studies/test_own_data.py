"""Studies of data that a person's function gives: several inputs and outputs, tokens, weights of classes."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest

import hpo
from hpo import DataError, HpoError, ModelError, Study, StudySpec, create_study
from hpo.spec import load
from tests.command import quick
from tests.databases import new_storage
from tests.tiny_studies import results, worker_of

# Each study's model is tried in a process of its own, which takes seconds.
pytestmark = pytest.mark.slow

STUDIES = Path(__file__).parents[2] / "studies" / "own"
DATA = """
import numpy as np

draws = np.random.default_rng(0)
table, tokens = draws.random((60, 3)), draws.integers(0, 9, (60, 5))
classes = (table[:, 0] + tokens[:, 0] / 9 > 1.3).astype(int)
def two(): return {"table": table, "tokens": tokens}, np.where(classes, "yes", "no")
def listed(): return [table, tokens], classes
def text(): return tokens, classes
def rows(): return table, classes
def amounts(): return table, table.sum(axis=1)
def outputs(): return table, {"kind": classes, "amount": table.sum(axis=1)}
def drawn(): return np.random.default_rng().random((60, 3)), classes
"""
MODELS = """
import keras
from keras import layers
def _joined(table, tokens, outputs):
    read = layers.GlobalAveragePooling1D()(layers.Embedding(9, 4)(tokens))
    return layers.Dense(outputs)(layers.Concatenate()([table, read]))
def two(width=1, *, input_shape, outputs):
    table = keras.Input(input_shape["table"], name="table")
    tokens = keras.Input(input_shape["tokens"], name="tokens", dtype="int32")
    return keras.Model({"table": table, "tokens": tokens}, _joined(table, tokens, outputs))
def listed(width=1, *, input_shape, outputs):
    table, tokens = keras.Input(input_shape[0]), keras.Input(input_shape[1], dtype="int32")
    return keras.Model([table, tokens], _joined(table, tokens, outputs))
def text(words=9, *, input_shape, outputs):
    tokens = keras.Input(input_shape, dtype="int32")
    read = layers.GlobalAveragePooling1D()(layers.Embedding(words, 4)(tokens))
    return keras.Model(tokens, layers.Dense(outputs)(read))
def open(width=1, *, input_shape, outputs):
    rows = keras.Input(input_shape)
    named = {name: layers.Dense(units, name=name)(rows) for name, units in outputs.items()}
    return keras.Model(rows, named)
def outputs(width=1, *, input_shape, outputs):
    model = open(input_shape=input_shape, outputs=outputs)
    kind = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    model.compile("adam", {"kind": kind, "amount": "mse"}, metrics={"kind": ["accuracy"]})
    return model
def one(width=1, *, input_shape, outputs):
    rows = keras.Input(input_shape)
    return keras.Model(rows, layers.Dense(outputs)(rows))
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "d.py").write_text(DATA)
    (tmp_path / "m.py").write_text(MODELS)
    return tmp_path


def spec(folder: Path, name: str, model: str, of: str, **keys: Any) -> StudySpec:
    arms = keys.pop("arms", None) or [
        {"name": "a", "learning_rate": 0.01},
        {"name": "b", "learning_rate": 0.1},
    ]
    own = {"file": str(folder / "m.py"), "function": model}
    table = {
        "name": name,
        "kind": "comparison",
        "data": {"file": str(folder / "d.py"), "function": of} | keys.pop("data", {}),
        "model": "mlp" if model == "mlp" else own,
        "seeds": 1,
        "arms": arms,
        "params": {"epochs": 2} | keys.pop("params", {}),
    }
    return StudySpec(**(table | keys))


def trained(folder: Path, *arguments: Any, **keys: Any) -> Study:
    study = created(folder, *arguments, **keys)
    worker_of(study).run(exit_when_idle=True)
    return study


def created(folder: Path, *arguments: Any, **keys: Any) -> Study:
    storage = new_storage(f"sqlite:///{folder}/hpo.db", artifact_dir=folder / "artifacts")
    return create_study(spec(folder, *arguments, **keys), storage=storage)


def test_a_model_of_two_inputs_is_trained_repeated_exported_and_predicted_with(folder: Path) -> None:
    study = trained(folder, "two", "two", "two", data={"test": 0.2, "folds": 2})
    assert [trial.state for trial in study.all_trials] == ["complete", "complete"]
    assert study.spec.task == "binary"
    again = trained(folder, "again", "two", "two", data={"test": 0.2, "folds": 2})
    assert list(results(again).values()) == list(results(study).values())
    path = study.export(folder / "two.keras")
    names: dict[str, Any] = {}
    exec(DATA, names)
    inputs = {"table": names["table"].astype("float32"), "tokens": names["tokens"]}
    said = hpo.predict(path, inputs)
    shares = said[["probabilities.no", "probabilities.yes"]].to_numpy()
    outputs = keras.saving.load_model(path).predict(inputs, verbose=0)
    assert shares == pytest.approx(outputs if outputs.shape[1] == 2 else np.hstack([1 - outputs, outputs]))
    np.savez(folder / "new.npz", **inputs, y=np.where(names["classes"], "yes", "no"))
    assert hpo.predict(path, folder / "new.npz")["label"].tolist()[:2] == ["no", "no"]
    with pytest.raises(DataError, match="must hold an array tokens, an input of the model"):
        hpo.predict(path, {"table": inputs["table"]})
    with pytest.raises(DataError, match="must be int32, as the model was trained on"):
        hpo.predict(path, inputs | {"tokens": inputs["tokens"] * 1.0})
    with pytest.raises(DataError, match="cannot be taken, as the model has the inputs table, tokens"):
        hpo.predict(path, inputs["table"])


def test_inputs_in_a_list_go_in_by_their_places(folder: Path) -> None:
    study = trained(folder, "listed", "listed", "listed")
    assert [trial.state for trial in study.all_trials] == ["complete", "complete"]
    names: dict[str, Any] = {}
    exec(DATA, names)
    given = {"x0": names["table"].astype("float32"), "x1": names["tokens"]}
    assert len(hpo.predict(study.export(folder / "listed.keras"), given)) == 60


def test_several_outputs_report_what_their_model_was_compiled_with(folder: Path) -> None:
    arms = [{"name": "a", "width": 1}, {"name": "b", "width": 2}]
    study = trained(folder, "several", "outputs", "outputs", arms=arms)
    assert study.spec.task == "several"
    assert study.best.metrics["val_loss"] == study.best.value
    assert "val_kind_accuracy" in study.curves(0).columns
    assert "r2" not in study.best.metrics
    with pytest.raises(HpoError, match="must be a model of one output, to say what it predicts"):
        hpo.predict(study.export(folder / "several.keras"), np.zeros((1, 3), np.float32))
    page = quick("report", "several", "--out", "r", "--storage", f"sqlite:///{folder}/hpo.db", folder=folder)
    assert page.returncode == 0, page.stderr


def test_only_a_compiled_model_of_ones_own_has_several_outputs(folder: Path) -> None:
    with pytest.raises(DataError, match="model: must be a function of your own for data of 2 outputs"):
        created(folder, "mlp", "mlp", "outputs")
    with pytest.raises(DataError, match="model: must be a function of your own for data of 2 inputs"):
        created(folder, "mlp", "mlp", "two")
    with pytest.raises(ModelError, match="must return a compiled model, as its data have several outputs"):
        created(folder, "open", "open", "outputs")


def test_tokens_outside_of_an_embedding_are_told(folder: Path) -> None:
    arms = [{"name": "enough", "words": 9}, {"name": "few", "words": 8}]
    enough, few = trained(folder, "text", "text", "text", arms=arms).all_trials
    assert enough.state == "complete"
    assert "x: must be below 8, the input_dim of 'embedding', but got 8" in str(few.reason)


def test_data_that_are_drawn_anew_each_time_are_refused(folder: Path) -> None:
    study = created(folder, "drawn", "one", "drawn")
    from hpo.data.functions import given_by

    given_by.cache_clear()
    with pytest.raises(DataError, match="let it do so by a seed of its own"):
        study.load_data()


def test_the_same_data_of_an_edited_file_are_the_study_s(folder: Path) -> None:
    created(folder, "edited", "one", "rows")
    (folder / "d.py").write_text(DATA + "# edited\n")
    assert len(created(folder, "edited", "one", "rows").all_trials) == 2
    (folder / "d.py").write_text(DATA.replace("default_rng(0)", "default_rng(1)"))
    with pytest.raises(HpoError, match=r"d\.py has changed since the study was made"):
        created(folder, "edited", "one", "rows")


@pytest.mark.parametrize("model", ["mlp", "one"])
def test_classes_are_weighted_by_what_a_fold_trains_on(folder: Path, model: str) -> None:
    arms = [
        {"name": "plain", "learning_rate": 0.01},
        {"name": "none", "class_weight": "none", "early_stopping_patience": 9},
        {"name": "even", "class_weight": {"0": 1.0}, "early_stopping_patience": 9},
        {"name": "balanced", "class_weight": "balanced"},
        {"name": "written", "class_weight": balance(folder)},
    ]
    study = trained(folder, f"weights-{model}", model, "rows", arms=arms)
    by_arm = {trial.arm: trial for trial in study.all_trials}
    losses = {arm: trial.metrics["val_loss"] for arm, trial in by_arm.items() if arm is not None}
    assert losses["plain"] == losses["none"]
    assert losses["even"] == pytest.approx(losses["plain"], rel=1e-6)
    assert losses["balanced"] == pytest.approx(losses["written"], rel=1e-6)
    assert abs(losses["balanced"] - losses["plain"]) > 1e-4
    # What the training samples weigh, those that validate do not.
    curve = study.curves(by_arm["balanced"].number)
    assert curve["val_loss"].iloc[-1] == losses["balanced"]


def balance(folder: Path) -> dict[str, float]:
    """The weights that classes balanced over the training part have."""
    from hpo.data import load_train, splits_of

    data = spec(folder, "any", "one", "rows").data
    dataset = load_train(data)
    train, _ = splits_of(dataset, data)[0]
    counts = np.bincount(dataset.y[train])
    return {str(label): float(len(train) / (2 * count)) for label, count in enumerate(counts)}


def test_weights_of_classes_are_searched(folder: Path) -> None:
    choices: list[Any] = ["balanced", "none", {"0": 1.0, "1": 3.0}]
    keys = {"kind": "search", "sampler": {"name": "grid"}, "space": {"class_weight": choices}, "trials": 3}
    table = spec(folder, "searched", "one", "rows").model_dump(exclude_unset=True, exclude={"arms"})
    table = {key: value for key, value in table.items() if key not in ("arms", "kind")} | keys
    storage = new_storage(f"sqlite:///{folder}/hpo.db", artifact_dir=folder / "artifacts")
    study = create_study(table, storage=storage)
    worker_of(study).run(exit_when_idle=True)
    found = [trial.params["class_weight"] for trial in study.all_trials]
    assert sorted(map(json.dumps, found)) == sorted(map(json.dumps, choices))
    assert {trial.state for trial in study.all_trials} == {"complete"}


@pytest.mark.parametrize(
    ("data", "weight", "line"),
    [
        ("amounts", "balanced", "class_weight: has no effect on task 'regression'"),
        (
            "rows",
            {"maybe": 2.0},
            "class_weight: must name classes of the data, but got 'maybe'. There are: 0, 1.",
        ),
    ],
)
def test_classes_that_are_not_there_have_no_weight(folder: Path, data: str, weight: Any, line: str) -> None:
    with pytest.raises(DataError) as told:
        created(folder, "refused", "one", data, params={"class_weight": weight})
    assert line in str(told.value)


def test_the_examples_are_valid(tmp_path: Path) -> None:
    done = quick("validate", *(STUDIES / f"{name}.toml" for name in REACHED), folder=tmp_path)
    assert done.returncode == 0, done.stderr
    assert load(STUDIES / "parcels.toml").data.code is not None


REACHED = {"parcels": ("r2", 0.9), "reviews": ("balanced_accuracy", 0.85)}


@pytest.mark.long
@pytest.mark.parametrize("name", REACHED)
def test_an_example_reaches_what_it_is_for(tmp_path: Path, name: str) -> None:
    metric, least = REACHED[name]
    done = quick("run", STUDIES / f"{name}.toml", folder=tmp_path)
    assert done.returncode == 0, done.stderr
    best = json.loads(quick("best", name, "--format", "json", folder=tmp_path).stdout)
    assert best["metrics"][metric] >= least
