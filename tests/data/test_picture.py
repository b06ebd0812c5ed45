"""Pictures of samples."""

from __future__ import annotations

import base64
import io
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from hpo import data
from hpo.prediction import Predictions, contact_sheet
from hpo.report.finals import image
from tests.data.files import LABELS, error_of, save


def tile(image, row: int, column: int, *, side: int) -> np.ndarray:
    top, left = (2 + position * (side + 2) for position in (row, column))
    return np.asarray(image)[top : top + side, left : left + side]


def test_the_picture_shows_the_first_samples_of_each_class_in_order():
    digits = data.load_train("digits")
    image = data.samples_picture(digits, rows=4, columns=6)
    assert (image.mode, image.size) == ("L", (6 * 66 + 2, 4 * 66 + 2))
    for row, column in ((0, 0), (3, 5)):
        sample = digits.x[np.flatnonzero(digits.y == row)[column]]
        shown = tile(image, row, column, side=64)[::8, ::8]
        assert np.array_equal(shown, np.rint(sample / 16 * 255))


def own(tmp_path: Path, x: np.ndarray) -> data.Dataset:
    return data.load_train(save(tmp_path / "own.npz", x_train=x, y_train=LABELS))


def test_the_picture_in_colour_and_with_too_few_samples(tmp_path):
    x = np.zeros((6, 64, 64, 3), np.uint8)
    x[0] = (255, 0, 10)
    image = data.samples_picture(own(tmp_path, x))
    assert (image.mode, image.size) == ("RGB", (10 * 66 + 2, 3 * 66 + 2))
    assert np.all(tile(image, 0, 0, side=64) == (255, 0, 10))
    assert np.all(tile(image, 0, 2, side=64) == 255)


def test_the_picture_of_standardised_values_keeps_their_order(tmp_path):
    x = np.linspace(-3, 3, 6 * 64 * 64).reshape(6, 64, 64, 1)
    image = data.samples_picture(own(tmp_path, x), columns=2)
    assert np.asarray(image)[2, 2] == 0
    assert tile(image, 2, 1, side=64)[-1, -1] == 255


@pytest.mark.parametrize("shape", [(3,), (4, 4, 2), (2, 2, 2, 2)])
def test_the_picture_of_what_is_no_image(shape, tmp_path):
    dataset = own(tmp_path, np.zeros((6, *shape)))
    assert str(shape) in error_of(data.samples_picture, dataset)


@pytest.mark.parametrize("shape", [(4, 5), (4, 5, 1), (4, 5, 3)])
def test_samples_become_pixels_in_one_way_whoever_shows_them(shape, tmp_path):
    x = np.random.default_rng(0).random((6, *shape), np.float32)
    shown = data.as_pixels(x, 1.0)
    assert shown.dtype == np.uint8
    assert shown.shape == (6, 4, 5, 3) if shape[2:] == (3,) else (6, 4, 5)
    assert np.array_equal(shown, np.rint(x * np.float64(255)).reshape(shown.shape))
    # In the picture of a set, in a report and on the sheet of predictions, where it is enlarged.
    mine = own(tmp_path, x)
    picture = np.asarray(data.samples_picture(mine, rows=1, columns=1))[2:-2, 2:-2][::13, ::13]
    assert np.array_equal(picture, shown[0])
    stored = base64.b64decode(image(mine.x[0], mine.scale).partition(",")[2])
    assert np.array_equal(np.asarray(Image.open(io.BytesIO(stored))), shown[0])
    predicted = Predictions(range(1), mine.x[:1], None, np.eye(1, 3), ("a", "b", "c"), mine.scale)
    sheet = np.asarray(contact_sheet(predicted))
    # 28 times as large, in the middle of a tile of 212 x 140 pixels.
    tile_ = sheet[20 + 34 + 12 + 14 :, 20 + 36 :][: 4 * 28 : 28, : 5 * 28 : 28]
    expected = shown[0] if shape[2:] == (3,) else shown[0][..., None].repeat(3, axis=-1)
    assert np.array_equal(tile_, expected)
