"""What must be true at the end, whatever has befallen workers and storage."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property

import pandas as pd
import sqlalchemy as sa
from optuna.trial import FrozenTrial, TrialState

from hpo.search import hyperparameters_of
from hpo.spec import ComparisonSpec, SearchSpec, StudySpec
from hpo.storage import Storage
from hpo.storage.artifacts import CHECKPOINT_SUFFIX, artifacts_of
from hpo.storage.claims import CHECKPOINT_ATTRIBUTE, FINISHED_BY_ATTRIBUTE
from hpo.studies import Study, open_study
from hpo.trials import CURVES_FILE
from hpo.trials.outcome import Outcome
from tests.faults.ledger import Event, of_kind
from tests.faults.monitor import Seen, content
from tests.faults.studies import chains, outcome, reported, size_of, spec_of

Trials = dict[int, FrozenTrial]
OF_A_CLAIM = ("claimed", "began", "kept", "resumed", "reported", "requeued", "finished")


@dataclass(frozen=True)
class Evidence:
    """The storage at the end, what its users were told, and what a monitor saw meanwhile.

    `last_size` are the sizes that the studies were asked for at the end; `killed` and `suspended` name
    the processes that may have left files behind.
    """

    storage: Storage
    events: Sequence[Event]
    seen: Seen
    last_size: dict[str, int]
    killed: frozenset[str] = frozenset()
    suspended: frozenset[str] = frozenset()

    @cached_property
    def studies(self) -> list[Study]:
        return [open_study(name, storage=self.storage) for name in self.last_size]

    @cached_property
    def trials(self) -> Trials:
        """By id, as the database has them; nothing of it was read before."""
        read = self.storage.rdb.get_all_trials
        return {trial._trial_id: trial for study in self.studies for trial in read(study.id, deepcopy=False)}

    def of(self, study: Study) -> list[FrozenTrial]:
        own = self.storage.rdb.get_all_trials(study.id, deepcopy=False)
        return sorted(own, key=lambda trial: trial.number)

    def of_claims(self, *kinds: str) -> list[Event]:
        """What was told of claims."""
        return of_kind(list(self.events), *(kinds or OF_A_CLAIM))


def check(evidence: Evidence) -> list[str]:
    """What is not as it must be, a line each."""
    found = [
        *_budgets(evidence),
        *_results(evidence),
        *_finishes(evidence),
        *_reports(evidence),
        *_claims(evidence),
        *_planning(evidence),
        *_memories(evidence),
        *_leftovers(evidence),
    ]
    return list(dict.fromkeys(found))


def lost_plans(events: Sequence[Event], storage: Storage) -> list[str]:
    """The studies that are smaller than a planner was told, before anybody asks for them again."""
    told: dict[str, int] = {}
    for event in sorted(of_kind(list(events), "planned", "lowering"), key=lambda event: event.get("at", 0.0)):
        told[event["study"]] = event["size"]
    found = []
    for name, size in told.items():
        study, planned = open_study(name, storage=storage), spec_of(name, size).planned
        held = storage.rdb.get_all_trials(study.id, deepcopy=False)
        if size_of(study.spec) < size or len(held) < planned:
            found.append(f"planning: {name} was acknowledged with {planned} trials and has fewer")
    return found


def orphans(evidence: Evidence) -> Counter[str]:
    """Files that nothing refers to, by kind: what killed processes may leave."""
    known = {name for trial in evidence.trials.values() for name in artifacts_of(trial.system_attrs)}
    found: Counter[str] = Counter()
    folder = evidence.storage.artifacts.path
    for path in folder.iterdir() if folder.exists() else ():
        if path.name.startswith("."):
            found["half-written files"] += 1
        elif path.suffix == CHECKPOINT_SUFFIX:
            found["checkpoints of finished trials"] += 1
        elif path.name not in known:
            found["artifacts without a row"] += 1
    return found


# ----------------------------------------------------------------------------------------- what is stored


def _budgets(evidence: Evidence) -> Iterator[str]:
    for study in evidence.studies:
        spec, trials = study.spec, evidence.of(study)
        if len(trials) != spec.planned:
            yield f"budget: {spec.name} has {len(trials)} trials, not {spec.planned}"
        if [trial.number for trial in trials] != list(range(len(trials))):
            yield f"budget: the trials of {spec.name} are not numbered from 0 on"
        planned, held = _planned(spec), Counter(_identity(spec, trial) for trial in trials)
        for identity in planned | held:
            if planned[identity] != held[identity]:
                yield f"budget: {spec.name} has {identity} {held[identity]} times, not {planned[identity]}"


def _planned(spec: StudySpec) -> Counter[object]:
    """Each arm with each seed, each index of a search; nothing in particular so often as TPE draws."""
    if isinstance(spec, ComparisonSpec):
        return Counter((arm.name, seed) for arm in spec.arms for seed in range(spec.seeds))
    assert isinstance(spec, SearchSpec)
    return Counter([None] * spec.trials if spec.sampler.name == "tpe" else range(spec.trials))


def _identity(spec: StudySpec, trial: FrozenTrial) -> object:
    attributes = trial.user_attrs
    if isinstance(spec, ComparisonSpec):
        return attributes.get("arm"), attributes.get("seed")
    return attributes.get("index")


def _results(evidence: Evidence) -> Iterator[str]:
    for study in evidence.studies:
        for trial in evidence.of(study):
            named = f"trial {trial.number} of {study.name}"
            if not trial.state.is_finished():
                yield f"state: {named} is {trial.state.name}"
            elif trial.state == TrialState.FAIL:
                yield from (f"failed: {named} {what}" for what in _failure(study.spec, trial))
            else:
                yield from (f"result: {named} {what}" for what in _result(evidence.storage, study, trial))


def _failure(spec: StudySpec, trial: FrozenTrial) -> Iterator[str]:
    losses, why = trial.user_attrs.get("retries", 0), trial.user_attrs.get("reason")
    if not str(why).startswith(f"given up: it lost {losses} workers"):
        yield f"failed for another reason than its losses: {why}"
    if losses <= spec.max_retries:
        yield f"was given up after {losses} losses, with max_retries = {spec.max_retries}"


def _result(storage: Storage, study: Study, trial: FrozenTrial) -> Iterator[str]:
    hyperparameters = hyperparameters_of(study.spec, trial)
    runs = chains(study.spec, hyperparameters, trial)
    pruned = trial.state == TrialState.PRUNED
    epochs = max(trial.intermediate_values, default=0) if pruned else hyperparameters.epochs
    for run in runs:
        for _ in range(epochs):
            run.advance()
    values = reported(study.spec, runs)
    if trial.intermediate_values != dict(enumerate(values, start=1)):
        yield f"has reports that are not those of its {epochs} epochs"
    if not epochs:
        yield "was pruned before its first epoch"
        return
    expected = outcome(study.spec, runs, pruned=pruned)
    if trial.value != (values[-1] if pruned else expected.value):
        yield f"has the value {trial.value}, not {values[-1] if pruned else expected.value}"
    yield from _attributes(trial, expected)
    yield from _artifact(storage, trial, expected)


def _attributes(trial: FrozenTrial, expected: Outcome) -> Iterator[str]:
    replicates = [{"seed": r.seed, "fold": r.fold, **r.metrics} for r in expected.replicates]
    wanted = {**expected.metrics, "replicates": replicates, "reason": expected.reason}
    for name, value in wanted.items():
        if trial.user_attrs.get(name) != value:
            yield f"has {name} = {trial.user_attrs.get(name)}, not {value}"


def _artifact(storage: Storage, trial: FrozenTrial, expected: Outcome) -> Iterator[str]:
    artifacts = artifacts_of(trial.system_attrs)
    if list(artifacts.values()) != [CURVES_FILE]:
        yield f"has the artifacts {list(artifacts.values())}, not its curves"
    for artifact_id in artifacts:
        try:
            intact = storage.artifacts.is_intact(artifact_id)
        except OSError as error:
            yield f"has an artifact that cannot be read: {error.strerror}"
            continue
        if not intact:
            yield "has an artifact that is damaged"
        curves = pd.DataFrame(expected.curves).to_csv(index=False)
        if (storage.artifacts.path / artifact_id).read_text() != curves:
            yield "has curves that are not its own"


# ------------------------------------------------------------------------------------- what was promised


def _finishes(evidence: Evidence) -> Iterator[str]:
    by_trial = defaultdict(list)
    for event in evidence.of_claims("finished"):
        by_trial[event["trial"]].append(event)
    for key, events in by_trial.items():
        if len(events) > 1:
            yield f"finish: trial id {key} was acknowledged as finished {len(events)} times"
        for event in events:
            yield from (f"finish: trial id {key} {what}" for what in _finish(evidence.trials.get(key), event))
    claimed = {(event["trial"], event["token"]) for event in evidence.of_claims("claimed")}
    for key, trial in evidence.trials.items():
        token = trial.system_attrs.get(FINISHED_BY_ATTRIBUTE)
        if trial.state.is_finished() and (key, token) not in claimed:
            yield f"finish: trial id {key} was finished by {token}, who never claimed it"


def _finish(trial: FrozenTrial | None, event: Event) -> Iterator[str]:
    if trial is None:
        yield "was finished and is gone"
        return
    if trial.system_attrs.get(FINISHED_BY_ATTRIBUTE) != event["token"]:
        yield f"was finished by {trial.system_attrs.get(FINISHED_BY_ATTRIBUTE)}, not {event['token']}"
    if (trial.state.name, trial.value) != (event["state"], event["value"]):
        yield f"is {trial.state.name} {trial.value}, not {event['state']} {event['value']}"
    for name, value in event["attributes"].items():
        if trial.user_attrs.get(name) != value:
            yield f"has lost its attribute {name}"
    if set(artifacts_of(trial.system_attrs)) != set(event["artifacts"]):
        yield "has other artifacts than it was finished with"


def _reports(evidence: Evidence) -> Iterator[str]:
    for event in evidence.of_claims("reported"):
        trial, step = evidence.trials.get(event["trial"]), event["step"]
        stored = None if trial is None else trial.intermediate_values.get(step)
        if stored != event["value"]:
            yield f"report: step {step} of trial id {event['trial']} is {stored}, not {event['value']}"


def _claims(evidence: Evidence) -> Iterator[str]:
    holders: dict[str, set[tuple[str, int]]] = defaultdict(set)
    over: set[str] = set()
    for event in evidence.of_claims():
        token = event["token"]
        holders[token].add((event["process"], event["trial"]))
        if token in over:
            yield f"claim: {token} {event['event']} trial id {event['trial']} after it had given it up"
        if event["event"] in ("finished", "requeued"):
            over.add(token)
    for token, held in holders.items():
        if len(held) > 1:
            yield f"claim: {token} is of {sorted(held)}"
    for event in evidence.of_claims("claimed"):
        trial = evidence.trials.get(event["trial"])
        if trial is not None and trial.user_attrs.get("retries", 0) < event["retries"]:
            yield f"claim: trial id {event['trial']} has forgotten some of its {event['retries']} losses"


def _planning(evidence: Evidence) -> Iterator[str]:
    for study in evidence.studies:
        if size_of(study.spec) != evidence.last_size[study.name]:
            size = evidence.last_size[study.name]
            yield f"planning: {study.name} has the size {size_of(study.spec)}, not {size}"


# ---------------------------------------------------------------------------------------- what was seen


def _memories(evidence: Evidence) -> Iterator[str]:
    for key, before in evidence.seen.finished.items():
        after = content(evidence.trials[key]) if key in evidence.trials else {}
        for name in before:
            if after.get(name) != before[name]:
                yield f"changed: {name} of the finished trial id {key}: {before[name]} -> {after.get(name)}"
    for what, seen in (("params", evidence.seen.params), ("reports", evidence.seen.reports)):
        for key, values in seen.items():
            stored = content(evidence.trials[key])[what] if key in evidence.trials else {}
            if not values.items() <= stored.items():
                yield f"changed: {what} of trial id {key}: {values} -> {stored}"


def _leftovers(evidence: Evidence) -> Iterator[str]:
    with evidence.storage.engine.begin() as connection:
        for key, owner in connection.execute(sa.text("SELECT key, owner FROM hpo_leases")):
            yield f"left: a lease of {key} by {owner}"
    for key, trial in evidence.trials.items():
        if trial.state.is_finished() and CHECKPOINT_ATTRIBUTE in trial.system_attrs:
            yield f"left: the checkpoint of the finished trial id {key} in its attributes"
    yield from _checkpoints(evidence)


def _checkpoints(evidence: Evidence) -> Iterator[str]:
    """Files of checkpoints that nobody removed: not who replaced them, nor who finished the trial.

    Whoever was killed may have replaced one and left the former file, and whoever was suspended too.
    """
    claims = evidence.of_claims("claimed")
    process_of = {event["token"]: event["process"] for event in claims}
    begun = {event["token"]: event["at"] for event in claims}
    excused = evidence.killed | evidence.suspended
    for event in evidence.of_claims("kept"):
        key, trial = event["trial"], evidence.trials.get(event["trial"])
        if trial is None or not (evidence.storage.artifacts.path / event["name"]).exists():
            continue
        since = begun[event["token"]]
        trainers = {claim["process"] for claim in claims if claim["trial"] == key and claim["at"] >= since}
        if not trainers & excused:
            finisher = process_of.get(trial.system_attrs.get(FINISHED_BY_ATTRIBUTE, ""))
            yield f"left: the checkpoint's file of trial id {key}, which {finisher} has finished"
