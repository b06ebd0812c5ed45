"""The trainer that a model keeps from one `hpo.fit` to the next, as long as its programs are the model's."""

from __future__ import annotations

import types
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import keras
import numpy as np

from hpo.training.loops import FitLoop
from hpo.training.runs import Trainer, variables_of
from hpo.training.samples import Samples

# In the model, so that both go together: a dictionary of models would keep alive what it is keyed by.
PLACE = "_hpo_trainer"
# A model that is trained on ever other shapes keeps no more programs than this.
MOST_PROGRAMS = 16
# What compiling makes anew, beside the optimizer.
COMPILED = ("_compile_config", "_compile_loss", "_compile_metrics")
# What training changes by itself, and what no step reads.
PASSING = frozenset(
    {
        "_called",
        "_initial_epoch",
        "built",
        "history",
        "stop_evaluating",
        "stop_training",
        "predict_function",
        "test_function",
        "train_function",
    }
)
SCALARS = (bool, int, float, complex, str, bytes, type(None), np.generic)
DEEPEST = 4


class _Same:
    """An object that equals itself alone. It is held, so that nothing else can take its identity."""

    def __init__(self, held: object) -> None:
        self.held = held

    def __eq__(self, other: object) -> bool:
        return isinstance(other, _Same) and self.held is other.held

    __hash__ = None  # type: ignore[assignment]


@dataclass(frozen=True)
class _Kept:
    trainer: Trainer
    asked: tuple[str, bool]
    step: list[Any]


def trainer_for(model: keras.Model, samples: Samples, loop: str, *, fixed: bool) -> Trainer:
    """A built trainer of a model: the one that it keeps, unless something of the model's step has changed.

    Or the loop that is asked for: one that was to be `fixed` has not given way to another.

    Raises:
        ValueError: the model is not compiled.
    """
    trainer = Trainer(model, loop, fixed=fixed)
    trainer.build(samples)
    step, kept = _step_of(model), vars(model).get(PLACE)
    if (
        kept is not None
        and (kept.step, kept.asked) == (step, (loop, fixed))
        and kept.trainer.loop.compilations < MOST_PROGRAMS
    ):
        trainer = kept.trainer
    # Past Keras's __setattr__, which would look into it for layers and variables.
    vars(model)[PLACE] = _Kept(trainer, (loop, fixed), step)
    return trainer


def release(trainer: Trainer) -> None:
    """Let a trainer's data go. One that had to do with plain fit is not kept: other data may compile."""
    trainer.forget()
    if isinstance(trainer.loop, FitLoop):
        vars(trainer.model).pop(PLACE, None)


def _step_of(model: keras.Model) -> list[Any]:
    """What a program takes up as it is compiled, as far as it may change later: equal if nothing has.

    That is which variables there are, what `compile` has made, and how layers and optimizer are set, down to
    the numbers in them. What variables hold is read as a program runs.
    """
    return [
        *(_Same(variable) for variable in (*variables_of(model), *model.metrics_variables)),
        *(_Same(getattr(model, name, None)) for name in COMPILED),
        *((_Same(layer), dict(_settings(layer))) for layer in model._flatten_layers()),
    ]


def _settings(thing: Any) -> Iterator[tuple[str, Any]]:
    """The attributes of a layer or an optimizer that its calls may read."""
    for name, value in vars(thing).items():
        is_private = name.startswith("_") and name != "_learning_rate"
        if name in PASSING or (is_private and not isinstance(value, SCALARS)):
            continue
        if not _is_own_method(value, thing, name):
            yield name, _frozen(value)


def _is_own_method(value: Any, thing: Any, name: str) -> bool:
    """Whether it is a method that `epochs` has put back after it had replaced it, to trace a program."""
    return (
        isinstance(value, types.MethodType)
        and value.__self__ is thing
        and value.__func__ is getattr(type(thing), name, None)
    )


def _frozen(value: Any, depth: int = 0) -> Any:
    """A copy of what a value is set to; of what has no settings, which object it is."""
    if isinstance(value, SCALARS):
        return type(value), value
    if isinstance(value, np.ndarray):
        return value.dtype.str, value.shape, hash(value.tobytes())
    if depth < DEEPEST and isinstance(value, list | tuple):
        return [_frozen(item, depth + 1) for item in value]
    if depth < DEEPEST and isinstance(value, Mapping):
        return {key: _frozen(item, depth + 1) for key, item in value.items()}
    if isinstance(value, keras.optimizers.Optimizer):
        return _Same(value), dict(_settings(value))
    if isinstance(value, keras.Layer) or not hasattr(value, "get_config"):
        return _Same(value)
    try:
        return _Same(value), _frozen(value.get_config(), depth + 1)
    except Exception:  # one of a person's own, which only claims to have one
        return _Same(value)
