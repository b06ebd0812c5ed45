"""What is known of a trained model, for the file that it is written to."""

from __future__ import annotations

from hpo.data import Dataset
from hpo.models.file import FORMAT, Card, Code
from hpo.spec import Hyperparameters, OwnModel, StudySpec
from hpo.trials.outcome import Replicate
from hpo.versions import versions


def card_of(
    spec: StudySpec,
    dataset: Dataset,
    number: int,
    arm: str | None,
    hyperparameters: Hyperparameters,
    replicate: Replicate,
) -> Card:
    """The card of the model of a replicate of trial `number`."""
    model = spec.model
    code = None
    if isinstance(model, OwnModel):
        made = model.model_dump(include={"file", "function", "digest", "beside"})
        code = Code(**made | {"digest": model.digest or ""})
    return Card(
        format=FORMAT,
        study=spec.name,
        trial=number,
        arm=arm,
        seed=replicate.seed,
        fold=replicate.fold,
        hyperparameters=hyperparameters.model_dump(mode="json"),
        # Of its weights, not of the run: the same whenever they are trained.
        metrics={name: value for name, value in replicate.metrics.items() if not spec.metric(name).is_of_run},
        data=dataset.name,
        data_digest=dataset.digest,
        class_names=dataset.names,
        sample_shape=dataset.sample_shape,
        dtype=dataset.dtype,
        scale=dataset.scale,
        task=dataset.task_name,
        columns=dataset.columns,
        target=dataset.target,
        weight=None if dataset.weight is None else spec.data.weight,
        csv=dataset.form,
        code=code,
        versions=versions("keras", "tensorflow"),
    )
