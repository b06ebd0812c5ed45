"""Whole numbers in the data that a model looks something up by: what is outside raises, as in Keras on a CPU.

A program of XLA's does not look: of a label outside of the outputs the loss is NaN, and for an index outside
of an embedding it takes the last row.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from hpo.training.samples import Samples, over_arrays


def check_lookups(model: keras.Model, samples: Samples, place: str = "") -> None:
    """Compare labels with the outputs that a model's losses index, and inputs with its embeddings.

    Only what losses and embeddings of Keras's own are given directly can be known.

    Args:
        model: compiled and built.
        samples: what it is to be trained on or evaluated with.
        place: what comes before "x" and "y" in the error line.

    Raises:
        ValueError: one of them is outside.
    """
    for labels, outputs, ignored in _sparse_labels(model, samples):
        values = _outside(labels, samples.rows, 0, outputs, ignored)
        if values.size:
            rule = f"labels must be from 0 to {outputs - 1}, as the model has {outputs} outputs for them"
            remedy = "Count them from 0, or give the model more outputs."
            raise ValueError(f"{place}y: {rule}, but got {values[0]}. {remedy}")
    for indices, layer in _embedded(model, samples.x):
        # A negative one counts from the end.
        values = _outside(indices, samples.rows, -layer.input_dim, layer.input_dim)
        if values.size:
            rule = f"must be below {layer.input_dim}, the input_dim of {layer.name!r}"
            raise ValueError(f"{place}x: {rule}, but got {values[0]}. Give the embedding a larger input_dim.")


def _outside(values: Any, rows: Any, low: int, high: int, ignored: int | None = None) -> Any:
    """The values of these rows that are not from `low` to below `high`, as what they are looked up by."""
    found = values.numpy()[rows]
    if found.dtype.kind == "f":
        # What no integer can say, NaN among it, is outside.
        found = np.where(np.isfinite(found), np.trunc(found), high)
    found = np.unique(found)
    outside = (found < low) | (found >= high)
    return found[outside] if ignored is None else found[outside & (found != ignored)]


def _sparse_labels(model: keras.Model, samples: Samples) -> Iterator[tuple[tf.Tensor, int, int | None]]:
    """Labels that a loss looks up an output by, how many outputs there are, and the label it ignores."""
    compiled = model._compile_loss
    if (
        compiled is None
        or samples.y is None
        or not any(_is_sparse(entry.loss) for entry in compiled._flat_losses or ())
    ):
        return
    for loss, labels, outputs in _pairs(model, samples):
        if _is_sparse(loss) and outputs.shape[-1] is not None:
            yield labels, int(outputs.shape[-1]), loss._fn_kwargs.get("ignore_class")


def _is_sparse(loss: Any) -> bool:
    return getattr(loss, "fn", None) is keras.losses.sparse_categorical_crossentropy


def _pairs(model: keras.Model, samples: Samples) -> list[tuple[Any, Any, Any]]:
    """Each loss, with the targets and the symbolic outputs that Keras gives to it."""

    def batch(tensor: tf.Tensor) -> keras.KerasTensor:
        return keras.KerasTensor((None, *tensor.shape[1:]), tensor.dtype.name)

    pairs: list[tuple[Any, Any, Any]] = []

    def noting(loss: Any) -> Any:
        def note(y_true: Any, y_pred: Any, weight: Any = None) -> float:
            pairs.append((loss, y_true, y_pred))
            return 0.0

        return note

    # Which target belongs to which output is Keras's to say, of a copy; copy.copy would serialize it.
    compiled = model._compile_loss
    losses = [entry._replace(loss=noting(entry.loss)) for entry in compiled._flat_losses]
    twin = object.__new__(type(compiled))
    vars(twin).update(vars(compiled) | {"_flat_losses": losses, "_metrics": [None] * len(losses)})
    twin.call(samples.y, model.compute_output_spec(over_arrays(batch, samples.x)))
    return pairs


def _embedded(model: keras.Model, x: Any) -> Iterator[tuple[tf.Tensor, keras.layers.Embedding]]:
    """Inputs that go directly into an embedding."""
    functional = getattr(model, "_functional", None) or model
    if not hasattr(functional, "_inputs_struct"):
        return
    given = _in_order(functional, x)
    for layer in functional.layers:
        if isinstance(layer, keras.Model):
            # One that takes all inputs as they are, with something before or behind it.
            for node in layer._inbound_nodes:
                taken = [
                    tensor for tensor in node.input_tensors if any(tensor is known for known, _ in given)
                ]
                if len(taken) == len(given) == len(node.input_tensors):
                    yield from _embedded(layer, x)
        if isinstance(layer, keras.layers.Embedding):
            for tensor in (tensor for node in layer._inbound_nodes for tensor in node.input_tensors):
                for known, values in given:
                    if known is tensor and values.dtype != tf.string:
                        yield values, layer


def _in_order(functional: keras.Model, x: Any) -> list[tuple[Any, Any]]:
    """Each symbolic input with what is given for it."""
    inputs, struct = functional.inputs, functional._inputs_struct
    if isinstance(x, Mapping):
        names = sorted(struct) if isinstance(struct, Mapping) else [tensor.name for tensor in inputs]
        return [(tensor, x[name]) for tensor, name in zip(inputs, names, strict=True) if name in x]
    return list(zip(inputs, keras.tree.flatten(x), strict=False))
