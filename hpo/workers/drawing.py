"""The draw of a claimed trial, in turn where workers at the same time could draw the same."""

from __future__ import annotations

import random
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress

import sqlalchemy as sa

from hpo.search import REPEAT_ATTRIBUTE, confirms, is_drawn, may_repeat, repeats, suggest
from hpo.spec import SearchSpec
from hpo.storage import LeasedTrial, Patience, Storage, study_id
from hpo.trials.outcome import StoppedError

# Of a draw, which takes a tenth of a second, or two where few configurations meet the constraints. Who dies
# in it keeps the others waiting for no longer; who is suspended in it and goes on may draw what another has
# drawn meanwhile, which costs a training and is no error.
TURN_SECONDS = 10.0
POLL_SECONDS = 0.05


def draw(
    trial: LeasedTrial, spec: SearchSpec, *, storage: Storage, retry: Patience, stopping: threading.Event
) -> None:
    """Give a claimed trial its hyperparameters, see `hpo.search.suggest`; if it repeats others, how many.

    Raises:
        StoppedError: the worker is to stop, and it was not its turn yet.
    """
    # Once: a worker that takes it over goes on with its seeds.
    is_counted = spec.repeats and confirms(trial) is None and REPEAT_ATTRIBUTE not in trial.user_attrs
    if not is_counted and (not may_repeat(spec) or is_drawn(spec, trial.params)):
        suggest(trial, spec)
        return
    with _turn(f"draw:{study_id(trial.study)}", storage, retry, stopping):
        suggest(trial, spec)
        if is_counted:
            trials = retry(lambda: trial.study.get_trials(deepcopy=False))
            trial.set_user_attr(REPEAT_ATTRIBUTE, repeats(trials, trial))


@contextmanager
def _turn(key: str, storage: Storage, retry: Patience, stopping: threading.Event) -> Iterator[None]:
    while (lease := retry(lambda: storage.acquire(key, owner="draw", seconds=TURN_SECONDS))) is None:
        if stopping.wait(POLL_SECONDS * random.uniform(0.5, 1.5)):
            raise StoppedError
    try:
        yield
    finally:
        with suppress(sa.exc.SQLAlchemyError):  # it ends by itself
            lease.release()
