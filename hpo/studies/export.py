"""A trial's model in a file: trained again as the trial was."""

from __future__ import annotations

import logging
import math
from pathlib import Path

from hpo.data import Dataset
from hpo.files import new_file
from hpo.models.file import save
from hpo.models.stock import stock_model
from hpo.spec import Hyperparameters, StudySpec
from hpo.trials.card import card_of
from hpo.trials.record import Trial
from hpo.trials.runner import ReplicateRun, TrialRunner

logger = logging.getLogger(__name__)

CHECKED = ("val_loss", "val_accuracy")
TOLERANCE = 1e-3


def export(spec: StudySpec, trial: Trial, dataset: Dataset, path: Path, *, force: bool = False) -> None:
    """Train the first replicate of a complete trial again and write its model.

    A warning says so if the model does not have the metrics that the trial recorded.

    Raises:
        HpoError: the file cannot be written, or is there already and `force` is not set.
    """
    hyperparameters = Hyperparameters(**trial.hyperparameters)
    training = TrialRunner(spec, dataset).train(hyperparameters, seed=trial.seed)
    _compare(trial, training, f"study {spec.name!r} trial {trial.number}")
    card = card_of(spec, dataset, trial.number, trial.arm, hyperparameters, training)
    with new_file(path, force=force) as draft:
        save(stock_model(training.run.model, hyperparameters), card, draft)


def _compare(trial: Trial, training: ReplicateRun, place: str) -> None:
    recorded, measured = trial.replicates[0], training.metrics
    pairs = {name: (measured.get(name, math.nan), recorded.get(name, math.nan)) for name in CHECKED}
    if all(math.isclose(*pair, rel_tol=TOLERANCE, abs_tol=TOLERANCE) for pair in pairs.values()):
        return
    figures = ", ".join(f"{name} {now:.4f} (recorded: {then:.4f})" for name, (now, then) in pairs.items())
    logger.warning(
        "%s: trained again it is another model, on another machine or by other versions: %s", place, figures
    )
