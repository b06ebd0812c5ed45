"""A study's model, built for what the study asks before anything is trained.

Of a person's own are built the first configuration and the ends of each dimension, or each arm, for the
shapes of the data; of hpo's own, whose rules the specification knows, the first, with what `compile` names.
Run as a module it does so in a process of its own: the specification and the shapes come on standard input
as JSON, what has been found goes to standard output.
"""

from __future__ import annotations

import json
import os
import sys
import time
from collections.abc import Hashable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from hpo.data import mapped
from hpo.errors import HpoError, ModelError, SpecError
from hpo.own import own_function
from hpo.spec import ComparisonSpec, Hyperparameters, Layers, OwnModel, SearchSpec, StudySpec, from_json
from hpo.spec.conditions import landmarks
from hpo.spec.hyperparameters import OF_OPTIMIZER
from hpo.training.device import prepare_tensorflow
from hpo.trials.planned_steps import typical
from hpo.trials.record import TAKEN
from hpo.trials.shapes import Shapes

# What has not been built by then is not: it may be another program, and fails when it is trained.
SECONDS = 30.0
# The steps of any study, to ask whether XLA would ever train a model.
MANY_STEPS = 2**62


@dataclass(frozen=True)
class Found:
    """What building a model has told: the arguments that make another program; what it loses, in words."""

    structure: tuple[str, ...]
    losses: tuple[str, ...]


@dataclass(frozen=True)
class Configuration:
    """What one model is built with: values, and what tells them from the first configuration, in words."""

    values: Mapping[str, Any]
    said: str = ""


def check_model(spec: StudySpec, shapes: Shapes) -> Found:
    """Build a study's model, and see that it can be trained on such data and ranked.

    Raises:
        ModelError: its function cannot be had, fails, or returns what cannot be trained on them; a loss or
            metric is not there, or cannot be had of such targets.
        SpecError: the study asks for what has no effect on its model, or for a metric that it lacks.
    """
    from hpo.models.named import check_named

    first, *others = _configurations(spec)
    # Losses and metrics are registered by any of its files, all of which a worker runs.
    for code in spec.own_code.values():
        own_function(code)
    check_named(spec.compile)
    if not isinstance(spec.model, OwnModel):
        _check_network(spec, shapes, first)
        return Found((), ())
    check = _Check(spec, shapes)
    check.first(first)
    deadline = time.monotonic() + SECONDS
    for other in others:
        if time.monotonic() > deadline:
            break
        check.other(other)
    return Found(tuple(_structure(check, spec, first, deadline)), tuple(check.losses()))


def _check_network(spec: StudySpec, shapes: Shapes, first: Configuration) -> None:
    """Raises ModelError if a network of hpo's cannot be trained as `compile` says."""
    from hpo.models.table import family_of

    family = family_of(spec.model, shapes.signature(spec.compile))
    network = family.build(shapes.settled(spec.hyperparameters_for(first.values)), "graph")
    try:
        _reported(network.trainer.model, shapes)
    except Exception as error:
        rule = f"must be of targets of shape {_targets(shapes)} and outputs as a network has them"
        raise ModelError("compile", rule, got=_said(error)) from None


class _Check:
    def __init__(self, spec: StudySpec, shapes: Shapes) -> None:
        from hpo.models.table import own_family
        from hpo.tasks import TASKS

        assert isinstance(spec.model, OwnModel)
        self._spec, self._shapes, self.model = spec, shapes, spec.model
        self._task, self._one_output = TASKS[shapes.task], TASKS["binary"]
        self._family = own_family(spec.model, shapes.signature(spec.compile))
        self._place = str(spec.model)

    def first(self, configuration: Configuration) -> None:
        """Build the first configuration, and check what is the same for all."""
        self._first = built = self._built(configuration)
        if not built.is_named:
            _check_effects(self._spec, self.model)
            self._check_loss(built)
        self._check_reported(self._reported(built))

    def other(self, configuration: Configuration) -> None:
        """Build another one. Raises ModelError, which says which one."""
        try:
            self._reported(self._built(configuration))
        except ModelError as error:
            raise error.elsewhere(self._place, f"{self._place} {configuration.said}") from None

    def key(self, configuration: Configuration) -> Hashable:
        """The key of its program."""
        return self._family.tried(self._hyperparameters(configuration))[1]

    def losses(self) -> Iterator[str]:
        """What its training loses, a sentence each."""
        from hpo.models.assembly import own_steps
        from hpo.training.choice import by_work, layers_without_xla

        raw = ["pixels from 0 to 255"] if self._shapes.scale != 1 else []
        raw += ["targets in their own units"] if self._task.scales_targets else []
        if raw and (steps := own_steps(self._first.body)):
            yield f"{self._place}: its own {steps[0]} gets the data as they are: {', '.join(raw)}"
        layers = self._first.whole._flatten_layers()
        if self._spec.loop == "auto" and by_work(MANY_STEPS, layers) != "xla":
            kinds = ", ".join(layers_without_xla(layers))
            yield f"{self._place}: its epochs are TensorFlow graphs: XLA is slower on a CPU with {kinds}"

    def _built(self, configuration: Configuration) -> Any:
        return self._family.tried(self._hyperparameters(configuration))[0]

    def _hyperparameters(self, configuration: Configuration) -> Hyperparameters:
        return self._shapes.settled(self._spec.hyperparameters_for(configuration.values))

    def _reported(self, built: Any) -> list[str]:
        """The metrics that a model reports, once it is made for its targets. Raises ModelError."""
        try:
            return _reported(built.whole, self._shapes)
        except Exception as error:
            rule = f"must compile its model for targets of shape {_targets(self._shapes)}"
            remedy = f"Compile it with {self._task.loss!r} and metrics of such targets, or leave it to hpo."
            raise ModelError(self._place, rule, got=_said(error), remedy=remedy) from None

    def _check_loss(self, built: Any) -> None:
        import keras

        from hpo.models.assembly import gives_logits, is_activated, last_operation, own_steps

        body, loss = built.body, _keras_loss(built.body)
        if not (body._compile_config.config.get("loss") or body.losses or own_steps(body)):
            remedy = f"Compile it with {self._task.loss!r}, or leave compiling to hpo."
            raise ModelError(self._place, "must compile its model with a loss", got=None, remedy=remedy)
        if built.has_logits and is_activated(body):
            rule = "must not compile its model with from_logits=True, as it ends in probabilities"
            raise ModelError(self._place, rule, remedy="Leave the last activation or from_logits out.")
        if loss is not None and not self._task.takes_loss(loss):
            rule = f"must compile its model with a loss of {self._task.targets}, which the targets are"
            remedy = f"Compile it with {self._task.loss!r}, or leave compiling to hpo."
            if self._shapes.classes == 2 and self._one_output.takes_loss(loss):
                remedy += f' With one output for two classes: task = "{self._one_output.name}".'
            raise ModelError(self._place, rule, got=loss, remedy=remedy)
        is_linear = isinstance(last_operation(body), keras.layers.Dense) and gives_logits(body)
        if loss is not None and self._task.has_probabilities and not built.has_logits and is_linear:
            rule = (
                f"must end in {self._task.activation}, or be compiled with a loss that has from_logits=True"
            )
            raise ModelError(self._place, rule, remedy="Or leave compiling to hpo.")

    def _check_reported(self, names: list[str]) -> None:
        objective, reported = self._spec.objective, self._spec.reported
        if taken := [name for name in names if name in TAKEN]:
            rule = "must return a model without a metric of such a name, which is taken"
            raise ModelError(self._place, rule, got=taken[0])
        there = [f"val_{name}" for name in names]
        if reported in there:
            return
        rule = "must be reported by the model after each epoch"
        if reported != objective.metric:
            rule = f"needs {reported} after each epoch, which the model must report"
        name = reported.removeprefix("val_")
        written = f'"{name}"'
        if name != "accuracy" and name in self._task.epoch:
            written = f'keras.metrics.{self._task.epoch[name]}(name="{name}")'
        remedy = f"{self._place} reports {', '.join(there)}: compile it with metrics=[{written}], or leave"
        raise SpecError("objective.metric", rule, got=objective.metric, remedy=f"{remedy} compiling to hpo.")


def _reported(model: Any, shapes: Shapes) -> list[str]:
    """The metrics that a model reports of such data; what does not go together raises what Keras does."""
    import numpy as np

    from hpo.training.runs import Trainer
    from hpo.training.samples import Samples

    def two(kind: str, shape: tuple[int, ...]) -> Any:
        return np.zeros((2, *shape), kind)

    x = mapped(two, shapes.dtype, shapes.sample_shape)
    y = mapped(two, shapes.target_dtype, shapes.target_shape)
    weight = mapped(lambda _: np.ones(2), y) if shapes.weighted else None
    Trainer(model, "graph").build(Samples.of(x, y, weight))
    # A step as well: shapes that do not go together may only raise there.
    model.test_on_batch(x, y, weight)
    return list(model.get_metrics_result())


def _targets(shapes: Shapes) -> Any:
    return mapped(lambda _, shape: (None, *shape), shapes.target_dtype, shapes.target_shape)


def _said(error: Exception) -> str:
    return " ".join(f"{type(error).__name__}: {error}".split())[:200]


def _check_effects(spec: StudySpec, model: OwnModel) -> None:
    """Raises SpecError for what only a model takes that hpo compiles."""
    idle = [name for name in OF_OPTIMIZER if spec.sets(name) and name not in model.takes]
    if idle:
        rule = f"has no effect, since {model} compiles its model"
        remedy = "Remove it, let the function take it as an argument, or leave compiling to hpo."
        place = "params" if idle[0] in spec.params else "space" if isinstance(spec, SearchSpec) else "arms"
        raise SpecError(f"{place}.{idle[0]}", rule, remedy=remedy)


def _keras_loss(model: Any) -> str | None:
    """The name of the one loss of Keras's own that a model is compiled with."""
    import keras

    loss = model._compile_config.config.get("loss")
    if isinstance(loss, str):
        try:
            loss = keras.losses.get(loss)
        except ValueError:
            return None
    kind = type(loss) if isinstance(loss, keras.losses.Loss) else loss
    name = getattr(kind, "__name__", None)
    if name is None or not getattr(kind, "__module__", "").startswith("keras."):
        return None
    return "".join(f"_{letter.lower()}" if letter.isupper() else letter for letter in name).lstrip("_")


def _configurations(spec: StudySpec) -> list[Configuration]:
    """What is built: the first configuration first."""
    if isinstance(spec, ComparisonSpec):
        return [Configuration(arm.params, f"of arm {arm.name!r}") for arm in spec.arms]
    assert isinstance(spec, SearchSpec)
    drawn = {name: typical(dimension)[0] for name, dimension in spec.drawn.items()}
    first = spec.joined(spec.active(drawn))
    ends = [
        Configuration(varied, f"with {name} = {varied.get(name, value)!r}")
        for name in spec.drawn
        for value in landmarks(spec.drawn, name)
        if (varied := spec.joined(spec.active(drawn | {name: value}))) != first
    ]
    return [Configuration(first), *(one for one in ends if _goes_together(spec, one.values))]


def _goes_together(spec: StudySpec, values: Mapping[str, Any]) -> bool:
    try:
        spec.hyperparameters_for(values)
    except SpecError:
        return False
    return True


def _structure(check: _Check, spec: StudySpec, first: Configuration, deadline: float) -> Iterator[str]:
    """The arguments that make another program with one of their values, or have not been seen not to."""
    known: Hashable = None
    for name in check.model.takes:
        values = _values(spec, name, first)
        if len(values) < 2:
            continue
        try:
            known = check.key(first) if known is None else known
            others = [Configuration({**first.values, name: value}) for value in values[1:]]
            is_same = time.monotonic() < deadline and all(check.key(other) == known for other in others)
        except HpoError:  # two values that do not go together
            is_same = False
        if not is_same:
            yield name


def _values(spec: StudySpec, name: str, first: Configuration) -> list[Any]:
    """Values of an argument that its programs may differ by, that of the first configuration first."""
    if isinstance(spec, SearchSpec):
        varied = spec.space.get(name)
        if isinstance(varied, Layers):
            counts, units = {varied.low, varied.high}, typical(varied.units)
            lists = [(one,) * count for count in sorted(counts) for one in units]
            return [first.values.get(name, lists[0]), *lists]
        return [] if varied is None else list(typical(varied))
    assert isinstance(spec, ComparisonSpec)
    found = [getattr(spec.hyperparameters_for(arm.params), name) for arm in spec.arms]
    return [value for index, value in enumerate(found) if value is not None and value not in found[:index]]


def main() -> None:
    """Check the specification and shapes on standard input; print what has been found, or is wrong."""
    # What a person's function prints is not ours to read.
    answers = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)
    asked = json.load(sys.stdin)
    prepare_tensorflow(1)
    try:
        found = check_model(from_json(asked["spec"]), Shapes.from_json(asked["shapes"]))
        answer: dict[str, Any] = {"structure": found.structure, "losses": found.losses}
    except HpoError as error:
        answer = {"error": type(error).__name__, "place": error.place, "rule": error.rule}
        answer |= {"got": error.shown, "remedy": error.remedy}
    with answers:
        json.dump(answer, answers)


if __name__ == "__main__":
    main()
