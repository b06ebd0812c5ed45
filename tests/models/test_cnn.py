"""The convolutional network that hyperparameters build, and the images that it takes."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest

from hpo import create_study
from hpo.data import load_train
from hpo.data.dataset import make_dataset
from hpo.errors import DataError
from hpo.models.cnn import Cnn, build
from hpo.models.families import Signature
from hpo.registry import check_data
from hpo.spec import CnnHyperparameters, parse
from hpo.spec.networks import CnnNetwork
from hpo.training.choice import by_work

layers = keras.layers


def built(shape: tuple[int, ...] = (8, 8), outputs: int = 3, **values: Any) -> keras.Model:
    h = CnnHyperparameters(**{"filters": [4, 5], "hidden_units": [6], **values})
    given = {name: getattr(h, name) for name in CnnNetwork.model_fields}
    listed = {name: list(value) if isinstance(value, tuple) else value for name, value in given.items()}
    return build(**listed, input_shape=shape, outputs=outputs)


def kinds(model: keras.Model) -> list[str]:
    return [type(layer).__name__ for layer in model.layers]


def test_a_block_is_convolutions_with_normalization_and_activation_pooling_and_dropout() -> None:
    model = built(convolutions=2, batch_norm="before", block_dropout=[0.1, 0.0], dropout=0.2)
    normalized = ["Conv2D", "BatchNormalization", "Activation"]
    assert kinds(model) == [
        "Reshape", *normalized * 2, "MaxPooling2D", "Dropout", *normalized * 2, "MaxPooling2D",
        "Flatten", "Dense", "Activation", "Dropout", "Dense",
    ]  # fmt: skip
    assert model.output_shape == (None, 3)
    assert model.get_layer("flatten").output.shape[1] == 2 * 2 * 5


def test_what_is_not_asked_for_is_not_there() -> None:
    model = built((9, 7, 2), filters=4, pooling="none", head="average", hidden_units=[], kernel_size=5)
    assert kinds(model) == ["Conv2D", "Activation", "GlobalAveragePooling2D", "Dense"]
    assert model.layers[0].output.shape == (None, 9, 7, 4)
    after = built(batch_norm="after", pooling="average", filters=4, l2=0.1)
    assert kinds(after)[:5] == ["Reshape", "Conv2D", "Activation", "BatchNormalization", "AveragePooling2D"]
    penalized = [layer.name for layer in after.layers if getattr(layer, "kernel_regularizer", None)]
    assert penalized == ["convolution_1_1", "hidden_1"]


@pytest.mark.parametrize(
    ("shape", "axes"), [((3, 8, 6), (0, 2, 3, 1)), ((1, 8, 6), (0, 2, 3, 1)), ((8, 6, 3), (0, 1, 2, 3))]
)
def test_images_have_their_channels_first_or_last(shape: tuple[int, ...], axes: tuple[int, ...]) -> None:
    model = built(shape)
    x = np.random.default_rng(0).random((5, *shape)).astype(np.float32)
    last = np.transpose(x, axes)
    stock = built(last.shape[1:])
    stock.set_weights(model.get_weights())
    np.testing.assert_allclose(model(x), stock(last), atol=1e-6)


def test_the_loop_is_the_graph_however_long_it_trains() -> None:
    family = Cnn(Signature((8, 8), 3, 1.0))
    assert by_work(10**6, family.layers(CnnHyperparameters())) == "graph"


STUDY = {"name": "s", "model": "cnn", "data": {"name": "d"}}
SEARCH = STUDY | {"kind": "search", "trials": 2, "space": {"learning_rate": [0.1, 0.2]}}


def check(shape: tuple[int, ...], study: dict[str, Any]) -> None:
    x, y = np.zeros((6, *shape), np.float32), np.arange(6) % 2
    check_data(parse(study), make_dataset("d", x, y, classes=2, scale=1.0))


@pytest.mark.parametrize("shape", [(30,), (2, 8, 8, 3)])
def test_samples_that_are_no_images_are_refused(shape: tuple[int, ...]) -> None:
    rule = "must be one for such samples, and cnn takes (height, width), with or without channels"
    with pytest.raises(DataError) as caught:
        check(shape, SEARCH)
    assert str(caught.value) == f'd: model: {rule}, but got {list(shape)}. Use model = "mlp".'


@pytest.mark.parametrize(
    ("shape", "study", "got"),
    [
        ((8, 8), SEARCH | {"params": {"filters": [4] * 4}}, "[4, 4, 4, 4]"),
        ((3, 8, 9), SEARCH | {"params": {"filters": [4] * 4}}, "[4, 4, 4, 4]"),
        ((8, 20, 3), SEARCH | {"space": {"filters": [[4], [5] * 4]}}, "[5, 5, 5, 5]"),
        (
            (8, 8),
            SEARCH | {"params": {"filters": [4] * 4}, "space": {"pooling": ["none", "max"]}},
            "[4, 4, 4, 4]",
        ),
        (
            (8, 8),
            STUDY | {"kind": "comparison", "arms": [{"name": "a"}, {"name": "b", "filters": [6] * 4}]},
            "[6, 6, 6, 6]",
        ),
    ],
    ids=["fixed", "channels first", "varied", "varied pooling", "arm"],
)  # fmt: skip
def test_more_poolings_than_an_image_can_take_are_refused(
    shape: tuple[int, ...], study: dict[str, Any], got: str
) -> None:
    with pytest.raises(DataError) as caught:
        check(shape, study)
    line = str(caught.value)
    assert line.startswith("d: filters: must be at most 3 blocks that pool, for images of 8 x ")
    assert line.endswith(f'but got {got}. Or set pooling = "none".')


def test_without_pooling_there_may_be_as_many_blocks_as_one_likes() -> None:
    check((8, 8), SEARCH | {"params": {"filters": [2] * 9, "pooling": "none"}})
    built((8, 8), filters=[2] * 9, pooling="none")


def test_a_study_on_a_table_is_refused_before_anything_is_made(tmp_path: Path) -> None:
    spec = parse(SEARCH | {"data": {"name": "wine"}})
    database = tmp_path / "hpo.db"
    with pytest.raises(DataError, match="wine: model: must be one for such samples"):
        create_study(spec, storage=f"sqlite:///{database}")
    assert load_train("wine").columns
    assert not database.exists()
