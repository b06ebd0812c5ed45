"""Configurations as points of the unit cube."""

from __future__ import annotations

import numpy as np

from hpo.search.cube import Cube
from hpo.spec import SearchSpec, parse


def test_a_point_of_drawn_values_gives_the_same_values() -> None:
    space = {
        "learning_rate": {"low": 1e-4, "high": 0.1, "log": True},
        "dropout": {"low": 0.0, "high": 0.5},
        "batch_size": [32, 64],
    }
    spec = parse({"name": "s", "kind": "search", "data": {"name": "digits"}, "trials": 5, "space": space})
    assert isinstance(spec, SearchSpec)
    cube = Cube(spec)
    for point in np.random.default_rng(0).random((200, cube.width)):
        drawn = cube.drawn(point)
        assert cube.drawn(cube.points([drawn])[0]) == drawn
