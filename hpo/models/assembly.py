"""A model that a function has built, put between a study's data and its task.

Before it: pixels are scaled, a table's columns prepared. After it, unless the function has compiled it: the
task's activation where it gives logits, the targets' units of a regression. Then it is compiled.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import keras

from hpo.data import is_nested
from hpo.errors import ModelError
from hpo.models.families import Signature
from hpo.models.layers import TargetUnits
from hpo.models.named import loss_of, metrics_of, of_keras_alone
from hpo.models.optimizers import optimizer_of
from hpo.models.preparation import Form, Preparation, array_input, raw_inputs
from hpo.spec import Hyperparameters

# What a model with training of its own overrides.
STEPS = ("train_step", "test_step", "compute_loss")


@dataclass(frozen=True, eq=False)
class Assembled:
    """A model as it is trained: the `body` that a function has built, and the `whole` around it.

    The whole is the body itself where nothing stands before or after it. `preparation` and `units` are None
    if it has none. `is_activated`: the task's activation comes last. `is_named`: the hyperparameters name its
    optimizer, and not the function. `has_logits`: the function has compiled it with a loss that takes logits.
    """

    body: keras.Model
    whole: keras.Model
    preparation: Preparation | None
    units: TargetUnits | None
    is_activated: bool
    is_named: bool
    has_logits: bool


def assembled(body: object, signature: Signature, h: Hyperparameters, *, place: str) -> Assembled:
    """What a function has returned, compiled and built.

    Raises:
        ModelError: it is no Keras model, or does not go with the data.
    """
    if not isinstance(body, keras.Model):
        raise ModelError(place, "must return a Keras model", got=type(body).__name__)
    is_named, has_own_step = not body.compiled, bool(own_steps(body))
    if signature.named is not None and not is_named:
        rule = "must return a model that is not compiled, as the study has the key compile"
        raise ModelError(place, rule, remedy="Leave the one or the other out.")
    preparation = _preparation(signature, h, has_own_step=has_own_step, place=place)
    task = signature.task
    if is_named and not task.has_one_output:
        rule = "must return a compiled model, as its data have several outputs, whose losses it alone knows"
        raise ModelError(place, rule, remedy="Call model.compile in it.")
    outputs_shape = _build(body, signature, input_shape(signature, h), place=place)
    if task.has_one_output:
        _check_outputs(outputs_shape, task.units(signature.classes), place=place)
    front = preparation
    if front is None and signature.scale != 1 and not has_own_step:
        front = keras.layers.Rescaling(signature.scale, name="scale")
    units = TargetUnits(name="units") if is_named and task.scales_targets and not has_own_step else None
    is_activated = is_named and units is None and not has_own_step and gives_logits(body)
    end = keras.layers.Activation(task.activation, name="probabilities") if is_activated else units
    whole = body
    if front is not None or end is not None:
        samples = signature.inputs()
        outputs = body(samples if front is None else front(samples))
        whole = keras.Model(samples, outputs if end is None else end(outputs), name="whole")
    if is_named:
        loss = loss_of(signature.named) or task.loss
        whole.compile(
            optimizer_of(h, steps=1),
            loss=loss if units is None else units.scaled(loss),
            jit_compile=False,
            **metrics_of(task, signature.named, weighted=signature.weighted),
        )
    elif whole is not body:
        whole.compile(**compile_options(body))
    if not whole.optimizer.built:
        whole.optimizer.build(whole.trainable_variables)
    return Assembled(body, whole, preparation, units, is_activated, is_named, _has_logits(body))


def stock_of(fresh: Assembled, trained: Assembled, signature: Signature, *, by_column: bool) -> keras.Model:
    """A model of the fresh body, and Keras's own layers around it as the trained one has them.

    It is not compiled if its optimizer cannot be made from what it says of itself, or if it was compiled for
    logits.
    """
    is_compiled = not trained.has_logits and _says_itself(fresh.whole.optimizer)
    if not is_compiled:
        # Keras would save what it cannot read.
        fresh.whole.compiled = fresh.body.compiled = False
    if trained.whole is trained.body and not trained.has_logits and signature.named is None:
        return fresh.whole
    if trained.preparation is not None:
        form, fitted = trained.preparation.form, trained.preparation.fitted
        embeddings = trained.preparation.embedding_values
        made = raw_inputs(form, fitted, embeddings) if by_column else array_input(form, fitted)
        given, prepared = made.inputs if by_column else made.inputs["samples"], made.outputs
    else:
        given = prepared = signature.inputs()
        if trained.whole is not trained.body and signature.scale != 1:
            prepared = keras.layers.Rescaling(signature.scale, name="scale")(given)
    outputs = fresh.body(prepared)
    if trained.units is not None:
        spread, centre = (v.numpy().tolist() for v in (trained.units.spread, trained.units.centre))
        outputs = keras.layers.Rescaling(spread, centre, name="units")(outputs)
    elif trained.is_activated or trained.has_logits:
        outputs = keras.layers.Activation(signature.task.activation, name="probabilities")(outputs)
    whole = keras.Model(given, outputs, name=fresh.body.name)
    if is_compiled:
        options = compile_options(fresh.whole)
        if trained.is_named and (trained.units is not None or signature.named is not None):
            named = of_keras_alone(signature.named)
            options |= {
                "loss": loss_of(named) or signature.task.loss,
                "metrics": None,
                "weighted_metrics": None,
            }
            options |= metrics_of(signature.task, named, weighted=signature.weighted)
        whole.compile(**options)
        whole.optimizer.build(whole.trainable_variables)
    # Inside another model Keras would rebuild what it was compiled with, which may need code, to predict too.
    fresh.body.compiled = False
    return whole


def compile_options(model: keras.Model) -> dict[str, Any]:
    """What a model was compiled with, its optimizer anew."""
    options = dict(model._compile_config.config)
    optimizer = model.optimizer
    # One that is as it was made goes over with all that its configuration does not say.
    if optimizer.built:
        optimizer = type(optimizer).from_config(optimizer.get_config())
    return options | {"optimizer": optimizer}


def _says_itself(optimizer: keras.optimizers.Optimizer) -> bool:
    try:
        type(optimizer).from_config(optimizer.get_config())
    except Exception:  # whatever a class of somebody's own raises
        return False
    return True


def input_shape(signature: Signature, h: Hyperparameters) -> Any:
    """The shape of a sample that a function's model takes: of a table's row, once it is prepared.

    Of several inputs, nested as they are, the shape of each.
    """
    return (Form.of(signature.columns, h).width,) if signature.columns else signature.sample_shape


def last_operation(model: keras.Model) -> keras.Operation | None:
    """What gives its first output, inside models that it ends in; None if no graph tells."""
    try:
        last = model.outputs[0]._keras_history.operation
    except (AttributeError, IndexError, TypeError):
        return None
    return last_operation(last) if isinstance(last, keras.Model) else last


def gives_logits(model: keras.Model) -> bool:
    """Whether its outputs are those of a layer without activation, as far as its graph tells."""
    last = last_operation(model)
    if last is None or isinstance(last, keras.layers.Softmax):
        return False
    return getattr(last, "activation", None) in (None, keras.activations.linear)


def is_activated(model: keras.Model) -> bool:
    """Whether its graph ends in a softmax or a sigmoid."""
    last = last_operation(model)
    squashing = (keras.activations.softmax, keras.activations.sigmoid)
    return isinstance(last, keras.layers.Softmax) or getattr(last, "activation", None) in squashing


def own_steps(model: keras.Model) -> list[str]:
    """The names of what of its training a model overrides."""
    return [name for name in STEPS if not getattr(type(model), name).__module__.startswith("keras.")]


def _has_logits(body: keras.Model) -> bool:
    loss = body._compile_config.config.get("loss") if body.compiled else None
    return isinstance(loss, keras.losses.Loss) and bool(getattr(loss, "from_logits", False))


def _preparation(
    signature: Signature, h: Hyperparameters, *, has_own_step: bool, place: str
) -> Preparation | None:
    if not signature.columns:
        return None
    if has_own_step:
        rule = "must return a model without a training step of its own, to learn from a table"
        raise ModelError(place, rule, remedy="Give its arrays prepared, or leave the step to Keras.")
    return Preparation(Form.of(signature.columns, h), name="preparation")


def _build(body: keras.Model, signature: Signature, shape: Any, *, place: str) -> Any:
    """Create the variables of a model that has not seen its inputs, or check that it takes them.

    Returns the shape of its outputs.
    """
    several = is_nested(signature.dtype)
    try:
        if not several and body.built and (inputs := getattr(body, "inputs", None)):
            taken = tuple(inputs[0].shape[1:])
            fits = len(taken) == len(shape)
            if not fits or any(size not in (None, given) for size, given in zip(taken, shape, strict=True)):
                raise ValueError(f"it takes {taken}")
            return body.output_shape
        # Of several inputs, which a model may take by names or by places.
        blank = body(signature.blank(shape))
        return keras.tree.map_structure(lambda outputs: (None, *outputs.shape[1:]), blank)
    except Exception as error:  # of a model that is no graph of layers, its own code runs
        what = "inputs of shapes" if several else "samples of shape"
        rule = f"must return a model that takes {what} {shape}"
        said = " ".join(str(error).split())[:160]
        raise ModelError(place, rule, got=said, remedy="Build it for input_shape.") from error


def _check_outputs(shape: Any, units: int, *, place: str) -> None:
    if shape != (None, units):
        rule = f"must return a model whose outputs have shape {(None, units)}"
        remedy = "Build it for outputs." if len(shape) == 2 else "Flatten, or pool, before its last layer."
        raise ModelError(place, rule, got=shape, remedy=remedy)
