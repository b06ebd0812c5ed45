"""Which trials share a network, and which a compiled program of it: told without TensorFlow."""

from __future__ import annotations

from collections.abc import Hashable

from hpo.spec import Hyperparameters


def network_key(hyperparameters: Hyperparameters) -> Hashable:
    """What of the hyperparameters changes the shape of the network and of what trains it."""
    h = hyperparameters
    return (
        h.hidden_units,
        h.activation,
        h.normalization,
        h.optimizer,
        h.schedule,
        h.nesterov and h.momentum > 0,
        h.momentum if h.optimizer == "rmsprop" else h.momentum > 0,
        tuple(rate > 0 for rate in h.per_layer("dropout")),
        tuple(strength > 0 for strength in h.per_layer("l2")),
        # Of tables alone.
        h.scaling,
        h.one_hot_levels,
        h.embedding_width,
    )


def compile_key(hyperparameters: Hyperparameters) -> Hashable:
    """What of the hyperparameters changes the shape of a compiled program: the network, and its batches."""
    return network_key(hyperparameters), hyperparameters.batch_size
