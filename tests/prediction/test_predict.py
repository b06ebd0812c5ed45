"""Predictions by models in files: what data is taken, how it is converted, what is printed and drawn."""

from __future__ import annotations

import io
import json
import shutil
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pandas as pd
import pytest
from PIL import Image

import hpo
from hpo import HpoError
from hpo.cli import models
from hpo.cli.output import Format
from hpo.data import Dataset, load_test, load_train
from hpo.models.file import Card, save
from hpo.prediction import Predictions, contact_sheet, predictions
from hpo.prediction.images import read_images
from hpo.prediction.sheet import PAPER, WRONG
from tests.command import quick as run_hpo

DIGITS = [str(digit) for digit in range(10)]
RGB = (6, 5, 3)


def card(**changes: Any) -> Card:
    values = {
        "study": "s",
        "trial": 0,
        "arm": None,
        "seed": 0,
        "fold": None,
        "hyperparameters": {},
        "metrics": {"val_loss": 0.5},
        "data": "digits",
        "data_digest": "0",
        "class_names": DIGITS,
        "sample_shape": (8, 8),
        "dtype": "uint8",
        "scale": 1 / 16,
        "versions": {},
    }
    return Card.model_validate(values | changes)


def network(*layers: keras.layers.Layer, shape: tuple[int, ...] = (8, 8), classes: int = 10) -> keras.Model:
    """A softmax regression after these layers, compiled."""
    head = [keras.layers.Flatten(), keras.layers.Dense(classes, activation="softmax")]
    model = keras.Sequential([keras.layers.Input(shape), *layers, *head])
    model.compile("adam", "sparse_categorical_crossentropy")
    return model


@pytest.fixture(scope="module")
def test_set() -> Dataset:
    return load_test("digits")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory, test_set: Dataset) -> Path:
    """A model of digits, a foreign one of RGB images, and data."""
    folder = tmp_path_factory.mktemp("predict")
    keras.utils.set_random_seed(0)
    model, train = network(keras.layers.Rescaling(1 / 16)), load_train("digits")
    model.fit(train.x, train.y, epochs=12, verbose=0)
    save(model, card(), folder / "digits.keras")
    network(keras.layers.Rescaling(1 / 255), shape=RGB, classes=4).save(folder / "rgb.keras")
    x, y = test_set.x, test_set.y
    np.savez(folder / "test.npz", x_train=x[:5], y_train=y[:5], x_test=x, y_test=y)
    (folder / "images").mkdir()
    for index in range(12):
        as_image(x[index]).save(folder / "images" / f"{index:02}.png")
    (folder / "images" / "notes.txt").write_text("no image")
    return folder


def as_image(digit: np.ndarray) -> Image.Image:
    return Image.fromarray(np.rint(digit.astype(float) * 255 / 16).astype(np.uint8))


@pytest.fixture(scope="module")
def own(folder: Path, test_set: Dataset) -> np.ndarray:
    """What the model itself predicts for the test digits."""
    probabilities: np.ndarray = keras.saving.load_model(folder / "digits.keras").predict(
        test_set.x, verbose=0
    )
    assert (probabilities.argmax(axis=1) == test_set.y).mean() > 0.8
    return probabilities


# -------------------------------------------------------------------------------------------- arrays


@pytest.mark.long
def test_an_archive_is_predicted_by_its_test_part(folder: Path, own: np.ndarray, test_set: Dataset) -> None:
    rows = hpo.predict(folder / "digits.keras", folder / "test.npz")
    assert rows.index.tolist() == list(range(len(test_set.x)))
    assert list(rows) == ["class", "probability", "label", *(f"probabilities.{digit}" for digit in DIGITS)]
    np.testing.assert_allclose(rows.iloc[:, 3:], own, atol=1e-6)
    assert rows["class"].tolist() == [str(best) for best in own.argmax(axis=1)]
    np.testing.assert_allclose(rows["probability"], own.max(axis=1), atol=1e-6)
    assert rows["label"].astype(int).tolist() == test_set.y.tolist()


@pytest.mark.slow
def test_arrays_are_predicted_as_they_are(folder: Path, own: np.ndarray, test_set: Dataset) -> None:
    found = predictions(folder / "digits.keras", test_set.x[:3])
    np.testing.assert_allclose(found.probabilities, own[:3], atol=1e-6)
    assert (found.labels, found.correct) == (None, None)
    assert "label" not in found.records[0]


@pytest.mark.parametrize(
    ("arrays", "labelled"),
    [({"x_train": 4, "y_train": 4, "x": 3}, True), ({"x_train": 4, "y_test": 2}, False), ({"x": 4}, False)],
)
def test_an_archive_without_a_test_part_has_others(
    arrays: dict[str, int], labelled: bool, folder: Path, tmp_path: Path, test_set: Dataset
) -> None:
    held = {name: getattr(test_set, name[0])[:count] for name, count in arrays.items()}
    np.savez(tmp_path / "some.npz", **held)
    found = predictions(folder / "digits.keras", tmp_path / "some.npz")
    assert len(found.probabilities) == 4
    assert (found.labels is not None) == labelled


# -------------------------------------------------------------------------------------------- images


def test_images_are_turned_into_the_models_range(
    folder: Path, own: np.ndarray, caplog: pytest.LogCaptureFixture
) -> None:
    rows = hpo.predict(folder / "digits.keras", [folder / "images" / "03.png", folder / "images" / "00.png"])
    assert rows.index.tolist() == [str(folder / "images" / name) for name in ("03.png", "00.png")]
    np.testing.assert_allclose(rows.iloc[:, 2:], own[[3, 0]], atol=0.01)
    assert not caplog.records


def test_a_folder_is_its_images_by_name(folder: Path, own: np.ndarray) -> None:
    found = predictions(folder / "digits.keras", folder / "images")
    assert [Path(str(source)).name for source in found.sources] == [f"{index:02}.png" for index in range(12)]
    np.testing.assert_allclose(found.probabilities, own[:12], atol=0.01)


@pytest.mark.parametrize("name", ["rgb.png", "rgba.png", "palette.png", "deep.png", "photo.jpeg", "LOUD.PNG"])
def test_an_image_of_any_kind_is_the_same_sample(
    name: str, folder: Path, own: np.ndarray, tmp_path: Path, test_set: Dataset
) -> None:
    gray = as_image(test_set.x[0])
    image = {
        "rgb.png": gray.convert("RGB"),
        "rgba.png": gray.convert("RGBA"),
        "palette.png": gray.quantize(32),
        "deep.png": Image.fromarray(np.asarray(gray).astype(np.uint16) * 257),
    }.get(name, gray)
    image.save(tmp_path / name, **({"quality": 100} if name == "photo.jpeg" else {}))
    found = predictions(folder / "digits.keras", tmp_path / name)
    np.testing.assert_allclose(found.probabilities, own[:1], atol=0.05)


def test_transparent_is_white_and_pixels_are_in_rows(tmp_path: Path) -> None:
    pixels = np.zeros((6, 5, 4), np.uint8)
    pixels[0, 1] = (255, 0, 0, 255)
    Image.fromarray(pixels).save(tmp_path / "a.png")
    found = read_images([tmp_path / "a.png"], RGB, scale=1 / 255)
    assert found.x.shape == (1, *RGB)
    assert found.x.dtype == np.float32
    assert found.x[0, 0, 1].tolist() == [255, 0, 0]
    assert (found.x[0, 1:] == 255).all()
    assert read_images([tmp_path / "a.png"], (6, 5, 1), scale=1.0).x.shape == (1, 6, 5, 1)


def test_an_image_of_another_size_is_resized_with_a_warning(
    folder: Path, own: np.ndarray, tmp_path: Path, test_set: Dataset, caplog: pytest.LogCaptureFixture
) -> None:
    for name, factor in (("a.png", 1), ("b.png", 4), ("c.png", 3)):
        image = as_image(test_set.x[0])
        image.resize((8 * factor, 8 * factor), Image.Resampling.NEAREST).save(tmp_path / name)
    found = predictions(folder / "digits.keras", tmp_path)
    assert found.classes.tolist() == [own[0].argmax()] * 3
    (record,) = caplog.records
    assert record.getMessage() == f"{tmp_path / 'b.png'} and 1 more: resized to 8 x 8, the model's size"


# -------------------------------------------------------------------------------------- other models


def test_a_foreign_classifier_names_its_classes_by_index(folder: Path, tmp_path: Path) -> None:
    image = Image.fromarray(np.random.default_rng(0).integers(0, 256, RGB, np.uint8))
    image.save(tmp_path / "a.png")
    rows = hpo.predict(folder / "rgb.keras", tmp_path / "a.png")
    assert list(rows)[2:] == [f"probabilities.{index}" for index in range(4)]
    model = keras.saving.load_model(folder / "rgb.keras")
    np.testing.assert_allclose(rows.iloc[:, 2:], model.predict(np.asarray(image)[None], verbose=0), atol=1e-6)


def test_without_a_rescaling_layer_pixels_are_from_0_to_1(tmp_path: Path) -> None:
    model = network(shape=(2, 2), classes=3)
    model.save(tmp_path / "m.keras")
    Image.fromarray(np.full((2, 2), 51, np.uint8)).save(tmp_path / "a.png")
    found = predictions(tmp_path / "m.keras", tmp_path / "a.png")
    np.testing.assert_allclose(found.x, 0.2, atol=1e-6)
    np.testing.assert_allclose(found.probabilities, model.predict(found.x, verbose=0), atol=1e-6)


# -------------------------------------------------------------------------------------- what is refused


def refused(model: Path, data: Any) -> str:
    with pytest.raises(HpoError) as caught:
        hpo.predict(model, data)
    text = str(caught.value)
    assert len(text.splitlines()) == 1
    return text


Broken = Callable[[Path, Path], object]


def lambda_layer(_folder: Path, path: Path) -> None:
    network(keras.layers.Lambda(lambda x: x)).save(path)


def of_code(folder: Path, path: Path) -> None:
    """A model whose first layer is a function of Python's."""
    config = json.loads(member(folder / "digits.keras", "config.json"))
    config["config"]["layers"][1] |= {"module": "os", "class_name": "system", "registered_name": "system"}
    rewritten(folder / "digits.keras", path, {"config.json": json.dumps(config)})


def member(path: Path, name: str) -> bytes:
    with zipfile.ZipFile(path) as archive:
        return archive.read(name)


def rewritten(source: Path, path: Path, changes: dict[str, str | bytes]) -> None:
    with zipfile.ZipFile(source) as old, zipfile.ZipFile(path, "w") as new:
        for name in old.namelist():
            new.writestr(name, changes.get(name, old.read(name)))


def with_card(**changes: Any) -> Broken:
    def write(folder: Path, path: Path) -> None:
        text = json.dumps(card().model_dump(mode="json") | changes)
        rewritten(folder / "digits.keras", path, {"hpo.json": text})

    return write


def two_inputs(_folder: Path, path: Path) -> None:
    inputs = [keras.layers.Input((4,)), keras.layers.Input((4,))]
    keras.Model(inputs, keras.layers.Dense(3, "softmax")(keras.layers.Add()(inputs))).save(path)


def regression(_folder: Path, path: Path) -> None:
    network(classes=1).save(path)


def logits(_folder: Path, path: Path) -> None:
    keras.Sequential([keras.layers.Input((8, 8)), keras.layers.Flatten(), keras.layers.Dense(10)]).save(path)


LOADABLE = "must be a Keras model that needs no code of its own, but got "
WHOLE = "must be a whole .keras file, but got "


@pytest.mark.parametrize(
    ("write", "said"),
    [
        (lambda_layer, LOADABLE),
        (of_code, LOADABLE),
        (lambda folder, path: rewritten(folder / "digits.keras", path, {"model.weights.h5": b"x"}), LOADABLE),
        (lambda _, path: path.write_bytes(b"\x80\x04cposix\nsystem\n"), WHOLE),
        (lambda folder, path: path.write_bytes((folder / "digits.keras").read_bytes()[:2000]), WHOLE),
        (lambda folder, path: rewritten(folder / "digits.keras", path, {"hpo.json": "{"}), WHOLE),
        (with_card(scale=-1), "hpo.json in it is damaged at scale."),
        (with_card(class_names=["a", "b"]), "hpo.json in it is of another model."),
        (with_card(sample_shape=[64]), "hpo.json in it is of another model."),
        (two_inputs, "must be a model with one input and one output."),
        (regression, "must be a classifier with an output for each class, but got (None, 1)."),
        (
            logits,
            "must be a classifier whose outputs are probabilities. Its last activation must be softmax.",
        ),
        (lambda _, path: path.mkdir(), "must be a model file, and does not exist."),
        (lambda _, path: None, "must be a model file, and does not exist."),
    ],
)
def test_a_file_that_is_no_classifier_is_refused_in_one_line(
    write: Broken, said: str, folder: Path, tmp_path: Path
) -> None:
    write(folder, tmp_path / "m.keras")
    line = refused(tmp_path / "m.keras", folder / "test.npz")
    assert line.startswith(f"{tmp_path / 'm.keras'}: {said}")
    assert len(line) < 400


def test_a_model_must_be_a_keras_file(folder: Path, tmp_path: Path) -> None:
    shutil.copy(folder / "digits.keras", tmp_path / "m.h5")
    assert "must be a model file that ends in .keras." in refused(tmp_path / "m.h5", folder / "test.npz")


GOOD = np.zeros((3, 8, 8), np.uint8)


@pytest.mark.parametrize(
    ("arrays", "said"),
    [
        ({"y": GOOD}, " must hold an array of samples (x_test, x_train, x), but got ['y']."),
        ({"x": np.zeros((3, 64), np.uint8)}, "x: samples must have the model's shape (8, 8), but got (64,)."),
        ({"x": GOOD[0]}, " x: samples must have the model's shape (8, 8), but got (8,)."),
        ({"x": GOOD[:0]}, " x: must hold at least one sample, but got 0."),
        (
            {"x": GOOD.astype(np.float32)},
            " x: must be uint8, as the model was trained on, but got 'float32'.",
        ),
        ({"x": GOOD.astype("U1")}, " x: must be an array of real numbers, but got '<U1'."),
        ({"x": np.array([None])}, " must be a whole .npz file, but got "),
        (
            {"x": GOOD, "y": np.zeros(3)},
            " y: must be a class index for each sample, but got ('float64', (3,)).",
        ),
        ({"x": GOOD, "y": [0, 1]}, " y: must be a class index for each sample, but got ('int64', (2,))."),
        ({"x": GOOD, "y": [0, 1, 10]}, " y: labels must be 0..9, but got (0, 10)."),
    ],
)
def test_an_archive_that_does_not_fit_is_refused_in_one_line(
    arrays: dict[str, Any], said: str, folder: Path, tmp_path: Path
) -> None:
    np.savez(tmp_path / "data.npz", **arrays)
    assert said.strip() in refused(folder / "digits.keras", tmp_path / "data.npz")


@pytest.mark.parametrize(
    ("names", "said"),
    [
        (["none.npz"], "none.npz: must be a file or a folder of images, and does not exist."),
        (["none.png"], "none.png: must be a file or a folder of images, and does not exist."),
        (["text.npz"], "text.npz: must be a whole .npz file, but got "),
        (["text.png"], "text.png: must be a whole PNG or JPEG image, but got "),
        (["cut.png"], "cut.png: must be a whole PNG or JPEG image, but got "),
        (["text.doc"], "text.doc: must be an .npz file, a table or an image (.png .jpg .jpeg)."),
        (["text.txt"], "text.txt: cannot be a table, as the model takes arrays. Give it an .npz file"),
        (["empty"], "empty: must be a folder with images (.png .jpg .jpeg) in it."),
        (["text.png", "text.npz"], "text.npz: an .npz file must be the only data, but got '2 files'."),
        ([], "data: must be at least one file, but got 0."),
    ],
)
def test_files_that_are_no_data_are_refused_in_one_line(
    names: list[str], said: str, folder: Path, tmp_path: Path, test_set: Dataset
) -> None:
    (tmp_path / "empty").mkdir()
    for suffix in ("npz", "png", "txt", "doc"):
        (tmp_path / f"text.{suffix}").write_text("text")
    image = io.BytesIO()
    as_image(test_set.x[0]).save(image, "PNG")
    (tmp_path / "cut.png").write_bytes(image.getvalue()[:70])
    line = refused(folder / "digits.keras", [tmp_path / name for name in names])
    assert line.removeprefix(f"{tmp_path}/").startswith(said)


def test_a_model_of_vectors_takes_no_images(folder: Path, tmp_path: Path) -> None:
    network(shape=(7,)).save(tmp_path / "m.keras")
    assert "cannot be an image, as a sample of this model is" in refused(
        tmp_path / "m.keras", folder / "images"
    )


# ------------------------------------------------------------------------------------------ the picture


def colour(image: Image.Image, x: int, y: int) -> str:
    red, green, blue = image.getpixel((x, y))  # type: ignore[misc]
    return f"#{red:02x}{green:02x}{blue:02x}"


def predicted(count: int, shape: tuple[int, ...] = (8, 8), **changes: Any) -> Predictions:
    generator = np.random.default_rng(0)
    probabilities = generator.dirichlet(np.ones(4), count).astype(np.float32)
    values: dict[str, Any] = {
        "sources": range(count),
        "x": generator.integers(0, 17, (count, *shape), np.uint8),
        "labels": None,
        "outputs": probabilities,
        "class_names": ("cat", "a name that is far too long to be shown whole", "é", "dog"),
        "scale": 1 / 16,
    }
    return Predictions(**(values | changes))


@pytest.mark.parametrize("shape", [(8, 8), (28, 28, 1), (6, 40, 3), (300, 200)])
@pytest.mark.parametrize("count", [1, 5, 7, 30])
def test_the_picture_is_as_large_as_its_samples_need(count: int, shape: tuple[int, ...]) -> None:
    image = contact_sheet(predicted(count, shape))
    columns, rows = min(count, 5), -(-min(count, 25) // 5)
    assert image.mode == "RGB"
    assert 200 * columns < image.width < 260 * columns + 40
    assert 200 * rows < image.height < 300 * rows + 80
    assert colour(image, 40, image.height // rows // 2) != colour(image, 1, 1)  # there is something


def test_the_picture_marks_what_is_wrong() -> None:
    base = predicted(7)
    right = base.classes
    wrong = np.where(np.arange(7) % 3 == 0, (right + 1) % 4, right)
    sheets = [contact_sheet(predicted(7, labels=labels)) for labels in (None, right, wrong)]
    marked = [
        [
            colour(sheet, 20 + column * 224 + 1, 54 + 100 + row * 256) == WRONG
            for row in range(2)
            for column in range(5)
        ][:7]
        for sheet in sheets
    ]
    assert marked == [[False] * 7, [False] * 7, [True, False, False, True, False, False, True]]
    assert colour(sheets[0], 26, 160) == PAPER


def test_samples_that_are_no_images_are_not_drawn() -> None:
    with pytest.raises(HpoError, match=r"^picture: needs samples of shape .*, but got \(7,\)\.$"):
        contact_sheet(predicted(3, (7,)))


def test_values_that_leave_0_to_1_are_drawn_too() -> None:
    x = np.random.default_rng(0).normal(size=(3, 8, 8)).astype(np.float32)
    assert contact_sheet(predicted(3, x=x, scale=1.0)).width > 600


# ------------------------------------------------------------------------------------------ the command


def test_the_command_prints_tables_and_says_the_accuracy(folder: Path, own: np.ndarray) -> None:
    done = run_hpo("predict", "digits.keras", "test.npz", "--plot", "sheet.png", folder=folder)
    assert done.returncode == 0, done.stderr
    head, *lines = done.stdout.splitlines()
    assert head.split() == ["source", "class", "probability", "label"]
    assert len(lines) == 20
    assert lines[0].split()[1] == str(own[0].argmax())
    right = int((own.argmax(axis=1) == load_test("digits").y).sum())
    assert done.stderr.splitlines() == [
        "and 340 more; --format csv or json has all.",
        f"accuracy {right / 360:.4f}: {right} of 360",
        done.stderr.splitlines()[-1],
    ]
    assert done.stderr.splitlines()[-1].startswith("precision 0.")
    with Image.open(folder / "sheet.png") as sheet:
        assert sheet.size == contact_sheet(predicted(25)).size


def test_the_command_gives_programs_all(
    folder: Path, own: np.ndarray, capsys: pytest.CaptureFixture[str]
) -> None:
    done = run_hpo("predict", "digits.keras", "images", "--format", "json", folder=folder)
    assert (done.returncode, done.stderr) == (0, "")
    records = json.loads(done.stdout)
    assert [record["source"] for record in records][:2] == ["images/00.png", "images/01.png"]
    assert list(records[0]) == ["source", "class", "probability", "probabilities"]
    expected = dict(zip(DIGITS, own[0].tolist(), strict=True))
    assert records[0]["probabilities"] == pytest.approx(expected, abs=0.01)
    models.predict(folder / "digits.keras", [folder / "images"], output=Format.csv)
    rows = pd.read_csv(io.StringIO(capsys.readouterr().out))
    assert rows["probabilities.7"].tolist() == pytest.approx([r["probabilities"]["7"] for r in records])


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ("none.keras test.npz", "none.keras: must be a model file, and does not exist."),
        (
            "digits.keras images none.png",
            "none.png: must be a file or a folder of images, and does not exist.",
        ),
        (
            "digits.keras test.npz --plot no/sheet.png",
            "no/sheet.png: the folder no does not exist. Create it first.",
        ),
        ("digits.keras test.npz --plot sheet.jpg", "sheet.jpg: must end in .png."),
    ],
)
def test_the_command_refuses_in_one_line(arguments: str, said: str, folder: Path) -> None:
    before = sorted(path.name for path in folder.iterdir())
    done = run_hpo("predict", *arguments.split(), folder=folder)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr == f"{said}\n"
    assert sorted(path.name for path in folder.iterdir()) == before


def test_the_home_folder_is_meant_by_a_tilde(tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    with pytest.raises(HpoError, match=f"{tmp_path}/none.keras: must be a model file"):
        hpo.predict("~/none.keras", np.zeros((1, 4), np.float32))
    with pytest.raises(HpoError, match=f"{tmp_path}/none.npz: must be a file"):
        hpo.predict("~/none.keras", "~/none.npz")
