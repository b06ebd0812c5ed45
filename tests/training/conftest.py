"""The same few samples, on the device once for each file of tests."""

from __future__ import annotations

import pytest

from hpo.training.samples import Samples
from tests.training.models import HELD, TRAIN, X, Y


@pytest.fixture(scope="session")
def everything() -> Samples:
    return Samples.of(X, Y)


@pytest.fixture(scope="session")
def train(everything: Samples) -> Samples:
    return Samples(everything.x, everything.y, TRAIN)


@pytest.fixture(scope="session")
def held(everything: Samples) -> Samples:
    return Samples(everything.x, everything.y, HELD)
