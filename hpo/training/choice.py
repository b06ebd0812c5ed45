"""Which loop trains a model: by what it is made of and how much there is to train, before the first step.

By rule and not by the clock, so that the same trial takes the same loop whoever trains it.
"""

from __future__ import annotations

import keras

from hpo.training.loops import LOOPS

AUTO = "auto"

# From how many steps on compiling pays: until then one trace and TensorFlow's own kernels are done sooner.
# One thread of an AMD EPYC, 784-128-64-10 at batch 64 and 64-128-64-10 at batch 32, µs a step and seconds to
# prepare (python -m tests.benchmarks.training --only loops):
#     SGD                graph 406, 0.12    XLA 357, 0.46
#     Adam               graph 550, 0.22    XLA 429, 0.74
#     dropout            graph 517, 0.21    XLA 370, 0.68
#     batch norm         graph 490, 0.24    XLA 382, 0.90
#     small, Adam        graph 177, 0.20    XLA  95, 0.65
STEPS_THAT_PAY = 5_000

layers = keras.layers
# In an XLA loop on a CPU a convolution is not vectorized: a small network of two takes 17 s an epoch, as a
# graph 0.65. Of the layers that draw, only Dropout is replaced by one that is fast there.
NOT_FOR_XLA: tuple[type[keras.Layer], ...] = (
    layers.Conv1D.__base__,
    layers.DepthwiseConv1D.__base__,
    layers.SeparableConv1D.__base__,
    layers.Conv1DTranspose.__base__,
    layers.GaussianNoise,
    layers.GaussianDropout,
    layers.AlphaDropout,
    layers.SpatialDropout1D.__base__,
)


def choose(model: keras.Model, steps: int) -> str:
    """The name of the loop that trains a compiled model soonest, `steps` being all that are planned."""
    if model.run_eagerly:
        return "fit"
    if any(isinstance(layer, NOT_FOR_XLA) for layer in model._flatten_layers()):
        return "graph"
    return by_work(steps)


def by_work(steps: int) -> str:
    """The name of the loop that trains a model that is as fast in either, by how much is planned for it."""
    return "xla" if steps >= STEPS_THAT_PAY else "graph"


def check_loop(name: str) -> None:
    """Raises ValueError unless there is a loop of this name, or it is "auto"."""
    if name not in (AUTO, *LOOPS):
        names = ", ".join(map(repr, (AUTO, *LOOPS)))
        raise ValueError(f"loop must be one of {names}, but got {name!r}")
