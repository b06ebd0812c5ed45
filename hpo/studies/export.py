"""A trial's model in a file: trained again as the trial was."""

from __future__ import annotations

import logging
import math
from pathlib import Path

from hpo.data import Dataset
from hpo.files import new_file
from hpo.models.file import save
from hpo.spec import StudySpec
from hpo.trials import Trial
from hpo.trials.card import card_of
from hpo.trials.runner import TrialRunner

logger = logging.getLogger(__name__)

TOLERANCE = 1e-3


def export(
    spec: StudySpec,
    trial: Trial,
    dataset: Dataset,
    path: Path,
    *,
    test: Dataset | None = None,
    force: bool = False,
) -> None:
    """Train the first replicate of a complete trial again and write its model.

    Of a trial that is valued by its best epoch, the model of that epoch. `test` is the test part that it was
    evaluated on, if it was: the model says what it reaches there. A warning says so if the model does not
    have the metrics that the trial recorded.

    Raises:
        HpoError: the file cannot be written, or is there already and `force` is not set.
    """
    hyperparameters = spec.vocabulary.effective(**trial.hyperparameters)
    epochs = trial.best_epoch if spec.objective.at == "best" else None
    # Version 0.1 had one loop, and named none.
    loop = trial.loop or "xla"
    # Of a repeat it is none that follows from the specification.
    seed = trial.replicates[0].get("seed") if trial.seed is None and trial.replicates else trial.seed
    runner = TrialRunner(spec, dataset, test=test)
    training = runner.train(hyperparameters, loop, number=trial.number, seed=seed, epochs=epochs)
    _compare(_recorded(spec, trial), training.metrics, f"study {spec.name!r} trial {trial.number}")
    card = card_of(spec, dataset, trial.number, trial.arm, hyperparameters, training)
    with new_file(path, force=force) as draft:
        save(runner.stock_model(training, hyperparameters), card, draft)


def _recorded(spec: StudySpec, trial: Trial) -> dict[str, float]:
    """What the trial recorded of the weights that are exported."""
    if trial.has_metrics_of_value(spec):
        return {name: trial.replicates[0].get(name, math.nan) for name in spec.learned.checked}
    # Version 0.1 measured the last epoch of every trial; of a single run the value itself is of the best.
    known = trial.value if len(trial.replicates) == 1 else None
    return {} if known is None else {spec.objective.metric: known}


def _compare(recorded: dict[str, float], metrics: dict[str, float], place: str) -> None:
    pairs = {name: (metrics.get(name, math.nan), then) for name, then in recorded.items()}
    if all(math.isclose(*pair, rel_tol=TOLERANCE, abs_tol=TOLERANCE) for pair in pairs.values()):
        return
    figures = ", ".join(f"{name} {now:.4f} (recorded: {then:.4f})" for name, (now, then) in pairs.items())
    logger.warning(
        "%s: trained again it is another model, on another machine or by other versions: %s", place, figures
    )
