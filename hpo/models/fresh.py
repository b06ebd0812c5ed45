"""A function that builds Keras models, called so that the same seed gives the same model, names included."""

from __future__ import annotations

import collections
import contextlib
import random
from collections.abc import Iterator

import keras
import numpy as np
from keras.src.backend.common import global_state

UIDS = "object_name_uids"


@contextlib.contextmanager
def seeded(seed: int) -> Iterator[None]:
    """Whatever Keras draws inside is determined by the seed, and layers are named as if they were the first.

    Python's and NumPy's generators go on afterwards as if nothing had been drawn, and names as if nothing had
    been built.
    """
    states, names = (random.getstate(), np.random.get_state()), global_state.get_global_attribute(UIDS)
    keras.utils.set_random_seed(seed)
    global_state.set_global_attribute(UIDS, collections.defaultdict(int))
    try:
        yield
    finally:
        global_state.set_global_attribute(UIDS, names)
        random.setstate(states[0])
        np.random.set_state(states[1])
