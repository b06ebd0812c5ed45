"""How a trial has ended, written down: its result, what is kept of it, by the worker that still has it."""

from __future__ import annotations

import logging
from collections.abc import Iterable
from functools import partial

from optuna.trial import FrozenTrial, TrialState

from hpo.registry import StoredStudy
from hpo.search import confirms, dominates, is_valued, losses_of
from hpo.spec import StudySpec, directions
from hpo.storage import Attachment, Claim, LeasedTrial, Patience, Storage
from hpo.trials import CURVES_FILE, PREDICTIONS_FILE, curves_file, predictions_file
from hpo.trials.outcome import Outcome

logger = logging.getLogger(__name__)


def record(
    storage: Storage,
    study: StoredStudy,
    claim: Claim,
    trial: LeasedTrial,
    outcome: Outcome,
    *,
    retry: Patience,
) -> bool:
    """Write how a trial ended; False if another worker has it now."""
    attachments = []
    if outcome.curves:
        curves = curves_file(outcome.curves)
        attachments.append(retry(lambda: storage.artifacts.attach(CURVES_FILE, curves)))
    for replicate in outcome.replicates:
        if replicate.test_outputs is not None:
            content = predictions_file(replicate.test_outputs)
            attach = partial(storage.artifacts.attach, PREDICTIONS_FILE, content)
            attachments.append(retry(attach))
    if confirms(trial) is None:
        attachments += _keepsakes(storage, study, outcome, retry)
    value = outcome.value
    if outcome.state == TrialState.PRUNED and len(study.spec.judged_by) == 1:
        # As Optuna does, a pruned trial's value is the last that it reported.
        value = trial.last_reported
    end = partial(claim.finish, outcome.state, value=value, further=outcome.further)
    end = partial(end, constraints=outcome.constraints)
    recorded = retry(lambda: end(attributes=outcome.attributes, attachments=attachments))
    if not recorded:
        for attachment in attachments:
            storage.artifacts.remove(attachment.artifact_id)
    return recorded


def _keepsakes(storage: Storage, study: StoredStudy, outcome: Outcome, retry: Patience) -> list[Attachment]:
    """What is kept of a trial that is better than all that have ended; without it, the result stands.

    With several objectives, of one that none of them dominates. Of two that end at the same time both may be.
    """
    if outcome.keepsakes is None or outcome.value is None:
        return []
    if len(study.spec.judged_by) > 1:
        is_kept = not _is_dominated(study.spec, outcome, retry(lambda: study.frozen_trials))
    else:
        direction, value = study.spec.objective.direction, outcome.value
        best = retry(lambda: storage.best_value(study.id, direction=direction))
        sign = directions.sign(direction)
        is_kept = best is None or sign * value > sign * best
    kept: list[Attachment] = []
    if not is_kept:
        return kept
    try:
        for name, content in outcome.keepsakes().items():
            kept.append(storage.artifacts.attach(name, content))
    except Exception as error:
        logger.warning("of the best trial so far not all is kept: %s", error)
    return kept


def _is_dominated(spec: StudySpec, outcome: Outcome, trials: Iterable[FrozenTrial]) -> bool:
    assert outcome.value is not None
    own = losses_of(spec.judged_by, [outcome.value, *outcome.further])
    return any(
        dominates(losses_of(spec.judged_by, trial.values), own) for trial in trials if is_valued(trial)
    )
