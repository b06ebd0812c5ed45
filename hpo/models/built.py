"""Families whose models a function builds: one of hpo's own, or a person's.

Of each trial a model is built under its seed. If a network of the same program is there, it takes over the
values of the variables and the strengths; else the model becomes a network itself. So any layer begins with
weights of its seed, and a search over learning rates compiles once.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from hpo.models.assembly import Assembled, assembled, input_shape, stock_of
from hpo.models.families import Family, Fit, Network, Signature, take
from hpo.models.fresh import seeded
from hpo.models.program_key import program_key
from hpo.models.strengths import lifted, planned_steps, strengths_of
from hpo.spec import Hyperparameters
from hpo.training.runs import Trainer, variables_of
from hpo.training.samples import Array

# Those of one trial's seeds are asked for twice.
KEPT = 8


@dataclass(frozen=True, eq=False)
class _Beginning:
    """What is known of a model that has been built under a seed, and is gone."""

    key: Hashable
    values: list[Array]
    strengths: list[float]
    layers: list[keras.Layer]
    is_named: bool


@dataclass(frozen=True, eq=False)
class BuiltNetwork(Network):
    """A trainer of models that a function has built, all of one program."""

    family: BuiltFamily
    model: Assembled
    trainer: Trainer
    strengths: list[tf.Variable]
    bytes_of_state: int

    @property
    def state_bytes(self) -> int:
        return self.bytes_of_state

    def initial_state(
        self, hyperparameters: Hyperparameters, *, seed: int, steps: int, fit: Fit | None = None
    ) -> list[Array]:
        """See `Network`."""
        self.trainer.vacate()
        values, strengths = self.family.beginning(hyperparameters, seed=seed, steps=steps)
        self.trainer.state = values
        for variable, strength in zip(self.strengths, strengths, strict=True):
            variable.assign(strength)
        take(fit, self.model.preparation, self.model.units, seed=seed % 2**31)
        return self.trainer.state

    def exported(self, hyperparameters: Hyperparameters, *, by_column: bool = False) -> keras.Model:
        """See `Network`."""
        return self.family.exported(hyperparameters, self.model, by_column=by_column)

    def finished(self, outputs: Array) -> Array:
        """See `Network`."""
        if not self.model.has_logits:
            return outputs
        activation = keras.activations.get(self.family.signature.task.activation)
        return np.asarray(activation(keras.ops.convert_to_tensor(outputs)))


class BuiltFamily(Family):
    """Models of a function, which is called with what it `takes`: hyperparameters, `input_shape`, `outputs`.

    `place` opens the line that says what is wrong with what it returns.
    """

    def __init__(
        self, signature: Signature, function: Callable[..., Any], takes: Sequence[str], *, place: str
    ) -> None:
        super().__init__(signature)
        self._function, self._takes, self._place = function, tuple(takes), place
        self._begun: OrderedDict[Hashable, _Beginning] = OrderedDict()
        # The loops that cannot train its models, which is said once.
        self._told = set[str]()

    def key(self, hyperparameters: Hyperparameters) -> Hashable:
        """See `Family`: that of the program of the model that is built."""
        return self._beginning(hyperparameters, 0).key

    def layers(self, hyperparameters: Hyperparameters) -> Sequence[keras.Layer]:
        """See `Family`."""
        return self._beginning(hyperparameters, 0).layers

    def build(self, hyperparameters: Hyperparameters, loop: str) -> BuiltNetwork:
        """See `Family`."""
        model = self._assembled(hyperparameters, 0)
        size = sum(np.asarray(variable).nbytes for variable in variables_of(model.whole))
        strengths = lifted(model.whole)
        return BuiltNetwork(self, model, Trainer(model.whole, loop, told=self._told), strengths, size)

    def beginning(
        self, hyperparameters: Hyperparameters, *, seed: int, steps: int
    ) -> tuple[list[Array], list[float]]:
        """Values of the variables, and the strengths, of a model that is built under a seed."""
        begun = self._beginning(hyperparameters, seed)
        strengths = list(begun.strengths)
        if begun.is_named and hyperparameters.schedule == "cosine" and not hyperparameters.decay_steps:
            strengths[-1] = float(steps)
        return begun.values, strengths

    def exported(
        self, hyperparameters: Hyperparameters, trained: Assembled, *, by_column: bool = False
    ) -> keras.Model:
        """A model that the function builds anew, with the weights of a trained one."""
        fresh = self._assembled(hyperparameters, 0)
        for ours, theirs in zip(fresh.body.variables, trained.body.variables, strict=True):
            ours.assign(theirs.numpy())
        if trained.is_named and (steps := planned_steps(trained.whole)) is not None:
            fresh.whole.optimizer._learning_rate.decay_steps = steps
        return stock_of(fresh, trained, self.signature, by_column=by_column)

    def tried(self, hyperparameters: Hyperparameters) -> tuple[Assembled, Hashable]:
        """A model that is built and not trained, and the key of its program."""
        model = self._assembled(hyperparameters, 0)
        return model, program_key(model.whole)

    def _assembled(self, hyperparameters: Hyperparameters, seed: int) -> Assembled:
        signature = self.signature
        shape = input_shape(signature, hyperparameters)
        known = {"input_shape": shape, "outputs": signature.outputs}
        taken = {
            name: known[name] if name in known else listed(getattr(hyperparameters, name))
            for name in self._takes
        }
        given = {name: value for name, value in taken.items() if value is not None}
        with seeded(seed):
            body = self._function(**given)
            return assembled(body, self.signature, hyperparameters, place=self._place)

    def _beginning(self, hyperparameters: Hyperparameters, seed: int) -> _Beginning:
        key = hyperparameters.canonical.model_dump_json(), seed
        if key not in self._begun:
            model = self._assembled(hyperparameters, seed)
            self._begun[key] = _Beginning(
                program_key(model.whole),
                [np.array(variable.numpy()) for variable in variables_of(model.whole)],
                [strength.value for strength in strengths_of(model.whole)],
                model.whole._flatten_layers(),
                model.is_named,
            )
            while len(self._begun) > KEPT:
                self._begun.popitem(last=False)
        self._begun.move_to_end(key)
        return self._begun[key]


def listed(value: Any) -> Any:
    """A hyperparameter as a study file has it: lists, and no tuples."""
    return list(map(listed, value)) if isinstance(value, tuple) else value
