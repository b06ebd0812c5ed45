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
# Measured by `python -m tests.benchmarks.training --only loops` on one thread of an AMD EPYC, Adam at batch
# 64: ms a step as a graph and by XLA, seconds that XLA takes longer to prepare, and the steps that pay.
#     LSTM 32 on 28 x 28             3.3     1.5    1.6      900
#     GRU 32 on 28 x 28              4.7     1.6    1.4      450
#     attention, 4 heads of 8        3.9     2.7    1.1      950
#     MLP with batch norm            0.68    0.45   0.87   3,800
#     784-128-64-10                  0.57    0.43   0.57   3,900
#     64-128-64-10                   0.19    0.12   0.59   7,800
# In an XLA loop on a CPU a convolution is not vectorized: two of them take 170 ms a step, as a graph 10.
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
    ((layers.RNN, layers.Bidirectional, layers.MultiHeadAttention, layers.GroupQueryAttention), 1_000),
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


def layers_without_xla(parts: Sequence[keras.Layer]) -> list[str]:
    """The kinds of layers, of these, by whose rule XLA never trains a model."""
    kinds = tuple(kind for of_rule, pays in RULES if pays is None for kind in of_rule)
    return list(dict.fromkeys(type(part).__name__ for part in parts if isinstance(part, kinds)))


def check_loop(name: str) -> None:
    """Raises ValueError unless there is a loop of this name, or it is "auto"."""
    if name not in (AUTO, *LOOPS):
        names = ", ".join(map(repr, (AUTO, *LOOPS)))
        raise ValueError(f"loop must be one of {names}, but got {name!r}")
