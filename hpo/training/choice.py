"""Which loop trains a model: by what it is made of and how much there is to train, before the first step.

By rule and not by the clock, so that the same trial takes the same loop whoever trains it.
"""

from __future__ import annotations

from collections.abc import Sequence

import keras

from hpo.training.loops import LOOPS

AUTO = "auto"

layers = keras.layers
# From how many steps on XLA is done sooner than the graph, compiling included; None: never.
# The first row that fits any layer of a model decides; without one, the steps that pay for dense layers.
# Measured by `python -m tests.benchmarks.training --only loops` on one thread of an AMD EPYC, batch 64 (32 of
# the smallest): ms a step as a graph and by XLA, and seconds that XLA compiles longer.
#     two convolutions              10     170      in an XLA loop on a CPU they are not vectorized
#     GRU 32 on 28 x 28              5.2     1.5    1.8
#     LSTM 32 on 28 x 28             1.9     1.0    1.8
#     attention, 4 heads of 8        4.3     2.8    1.8
#     784-128-64-10, SGD             0.41    0.36   0.34
#     the same, Adam                 0.55    0.43   0.52
#     the same, dropout              0.52    0.37   0.47
#     the same, batch norm           0.49    0.38   0.66
#     64-128-64-10, Adam             0.18    0.10   0.45
RULES: tuple[tuple[tuple[type[keras.Layer], ...], int | None], ...] = (
    (
        (
            layers.Conv1D.__base__,
            layers.DepthwiseConv1D.__base__,
            layers.SeparableConv1D.__base__,
            layers.Conv1DTranspose.__base__,
            # Of the layers that draw only Dropout is replaced by one that is fast inside XLA.
            layers.GaussianNoise,
            layers.GaussianDropout,
            layers.AlphaDropout,
            layers.SpatialDropout1D.__base__,
            layers.RandomFlip.__base__,
        ),
        None,
    ),
    ((layers.RNN, layers.Bidirectional, layers.MultiHeadAttention, layers.GroupQueryAttention), 1_500),
)
STEPS_THAT_PAY = 5_000


def choose(model: keras.Model, steps: int) -> str:
    """The name of the loop that trains a compiled model soonest, `steps` being all that are planned."""
    return "fit" if model.run_eagerly else by_work(steps, model._flatten_layers())


def by_work(steps: int, parts: Sequence[keras.Layer] = ()) -> str:
    """As `choose`, of a model that has these layers, besides such as every rule allows."""
    fitting = (pays for kinds, pays in RULES if any(isinstance(part, kinds) for part in parts))
    pays = next(fitting, STEPS_THAT_PAY)
    return "xla" if pays is not None and steps >= pays else "graph"


def check_loop(name: str) -> None:
    """Raises ValueError unless there is a loop of this name, or it is "auto"."""
    if name not in (AUTO, *LOOPS):
        names = ", ".join(map(repr, (AUTO, *LOOPS)))
        raise ValueError(f"loop must be one of {names}, but got {name!r}")
