"""The process under test: hpo's worker, a runner without TensorFlow, and a ledger of what it was told.

    python -m tests.faults.worker --ledger FILE --name NAME [STUDY ...]

Storage and artifacts come from HPO_STORAGE and HPO_ARTIFACT_DIR. It stops when its standard input ends.
"""

from __future__ import annotations

import argparse
import logging
import os
import sys
import time
import traceback
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

import optuna
from optuna.trial import TrialState

from hpo.errors import StorageError, WorkerError
from hpo.registry import StoredStudy
from hpo.spec import Hyperparameters, StudySpec
from hpo.storage import Claim, Storage, passes
from hpo.storage.artifacts import Attachment
from hpo.storage.reports import Reports
from hpo.trials.checkpoints import Checkpoints
from hpo.trials.outcome import Outcome, StoppedError
from hpo.workers.worker import Worker
from tests.faults.ledger import Ledger
from tests.faults.studies import Chain, chains, outcome, reported

EPOCH_SECONDS = 0.005
# Exit codes: the storage could not be opened; it could not be used any more; died of a poisoned trial.
NOT_OPENED, GAVE_UP, POISONED = 75, 76, 77


class WitnessedReports(Reports):
    """Reports that are noted once they have been written."""

    def __init__(self, note: Callable[..., None]) -> None:
        super().__init__()
        self._note = note

    def clear(self) -> None:
        """See Reports."""
        for step, value in self.values.items():
            self._note("reported", step=step, value=value)
        super().clear()


@dataclass(frozen=True)
class WitnessedClaim(Claim):
    """A claim that notes what it has been told."""

    ledger: Ledger | None = None

    def note(self, event: str, **more: Any) -> None:
        """Write an event about this claim."""
        assert self.ledger is not None
        self.ledger.write(event, trial=self.trial_id, token=self.lease.token, **more)

    def finish(
        self,
        state: TrialState,
        *,
        value: float | None = None,
        further: Sequence[float] = (),
        attributes: Mapping[str, Any] | None = None,
        attachments: Sequence[Attachment] = (),
        constraints: Mapping[str, float] | None = None,
    ) -> bool:
        """See Claim."""
        done = super().finish(
            state,
            value=value,
            further=further,
            attributes=attributes,
            attachments=attachments,
            constraints=constraints,
        )
        if done:
            artifacts = [attachment.artifact_id for attachment in attachments]
            attributes = dict(attributes or {})
            self.note("finished", state=state.name, value=value, attributes=attributes, artifacts=artifacts)
        return done

    def keep_checkpoint(self, name: str) -> None:
        """See Claim."""
        super().keep_checkpoint(name)
        self.note("kept", name=name)

    def requeue(self, attributes: Mapping[str, Any] | None = None) -> bool:
        """See Claim."""
        done = super().requeue(attributes)
        if done:
            self.note("requeued")
        return done


class WitnessedStorage(Storage):
    """A storage whose claims note what they have been told; `claimed` is the last one."""

    def __init__(self, ledger: Ledger, url: str | None = None, *, artifact_dir: Path | None = None) -> None:
        super().__init__(url, artifact_dir=artifact_dir)
        self._ledger = ledger
        self.claimed: WitnessedClaim

    def claim(self, studies: Sequence[int], **how: Any) -> Claim | None:
        """See Storage."""
        found = super().claim(studies, **how)
        if found is None:
            return None
        content = {field.name: getattr(found, field.name) for field in fields(found)}
        self.claimed = WitnessedClaim(**content, ledger=self._ledger)
        # Frozen, like every claim.
        object.__setattr__(self.claimed, "reports", WitnessedReports(self.claimed.note))
        self.claimed.note("claimed", study=found.study_id, retries=found.retries)
        return self.claimed


class Runner:
    """Trains chains as hpo trains networks: resumes, reports, prunes, saves, stops.

    `poison` is the arm with whose seed 0 the process dies in its second epoch.
    """

    def __init__(self, spec: StudySpec, claimed: Callable[[], WitnessedClaim], *, poison: str | None) -> None:
        self._spec, self._claimed, self._poison = spec, claimed, poison

    def __call__(
        self,
        trial: optuna.trial.Trial,
        hyperparameters: Hyperparameters,
        *,
        should_stop: Callable[[], bool],
        checkpoints: Checkpoints,
        timeout: Callable[[], float | None] | None = None,
    ) -> Outcome:
        claim = self._claimed()
        claim.note("began", number=trial.number)
        runs = chains(self._spec, hyperparameters, trial)
        self._resume(runs, claim, checkpoints)
        # As TrialProgress does: what another worker has reported stays, and is not judged again.
        begun = max(trial._cached_frozen_trial.intermediate_values, default=0)
        pruned = False
        while not pruned and len(runs[0].curve) < hyperparameters.epochs:
            stopping = should_stop()
            if stopping or checkpoints.due:
                checkpoints.save({"runs": [run.snapshot() for run in runs]})
            if stopping:
                raise StoppedError
            self._advance(runs, trial)
            epoch, value = len(runs[0].curve), reported(self._spec, runs)[-1]
            if epoch > begun:
                trial.report(value, step=epoch)
            pruned = begun <= epoch < hyperparameters.epochs and trial.should_prune()
        return outcome(self._spec, runs, pruned=pruned)

    def _resume(self, runs: list[Chain], claim: WitnessedClaim, checkpoints: Checkpoints) -> None:
        saved = checkpoints.load()
        if saved is not None:
            for run, of_one in zip(runs, saved["runs"], strict=True):
                run.restore(of_one)
            claim.note("resumed", epoch=len(runs[0].curve))

    def _advance(self, runs: list[Chain], trial: optuna.trial.Trial) -> None:
        time.sleep(EPOCH_SECONDS)
        for run in runs:
            run.advance()
        named = (trial.user_attrs.get("arm"), trial.user_attrs.get("seed"))
        if named == (self._poison, 0) and len(runs[0].curve) == 2:
            os._exit(POISONED)


def worker_of(
    storage: WitnessedStorage,
    studies: Sequence[str] = (),
    *,
    name: str,
    lease_seconds: float,
    checkpoint_seconds: float,
    poison: str | None = None,
) -> Worker:
    """A worker that trains chains."""

    def runner(study: StoredStudy) -> Runner:
        return Runner(study.spec, lambda: storage.claimed, poison=poison)

    return Worker(
        storage,
        studies,
        name=name,
        lease_seconds=lease_seconds,
        checkpoint_seconds=checkpoint_seconds,
        runner=runner,
    )


def main() -> int:
    options = vars(_options())
    ledger = Ledger(options.pop("ledger"))
    try:
        worker = worker_of(WitnessedStorage(ledger), options.pop("studies"), **options)
    except Exception as error:
        if not isinstance(error, StorageError) and not passes(error):
            raise
        print(error, file=sys.stderr)
        return NOT_OPENED
    worker.stop_on_signals()
    worker.stop_on_end_of_input()
    try:
        worker.run(exit_when_idle=True)
    except WorkerError:
        traceback.print_exc()
        return GAVE_UP
    return 0


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser()
    parser.add_argument("--ledger", type=Path, required=True)
    parser.add_argument("--name", required=True)
    parser.add_argument("--lease-seconds", type=float, default=2.5)
    parser.add_argument("--checkpoint-seconds", type=float, default=0.1)
    parser.add_argument("--poison")
    parser.add_argument("studies", nargs="*")
    return parser.parse_args()


if __name__ == "__main__":
    logging.basicConfig(format="%(asctime)s %(name)s: %(message)s")
    sys.exit(main())
