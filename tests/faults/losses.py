"""What a server that failed over to a copy that lagged has lost: all of it is named, and the rest is whole.

Who trains was told that something is written, and it is not: only a copy that the server waits for
(`synchronous_standby_names`) would have it. What is lost is then trained again, so that a study ends as large
as it should; nothing of it may be there twice, or half.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

from hpo.storage.claims import FINISHED_BY_ATTRIBUTE
from tests.faults.checker import Evidence
from tests.faults.ledger import Event
from tests.faults.standby import Lag


def losses(evidence: Evidence, lag: Lag) -> list[str]:
    """What was acknowledged while the copy lagged, and is not there at the end, a line each."""
    return [line for _, line in _lost(evidence, lag)]


def without_losses(evidence: Evidence, lag: Lag) -> Evidence:
    """The same without what `losses` names: all else must be as if there had been no failure."""
    gone = [event for event, _ in _lost(evidence, lag)]
    # That it was claimed stays true, only not how many had lost it before.
    kept = [
        event | {"retries": 0} if event["event"] == "claimed" and event in gone else event
        for event in evidence.events
        if event not in gone or event["event"] == "claimed"
    ]
    return replace(evidence, events=kept)


def _lost(evidence: Evidence, lag: Lag) -> Iterator[tuple[Event, str]]:
    for event in evidence.of_claims("finished", "reported", "kept", "claimed"):
        if lag.begun <= event["at"] <= lag.ended and (what := _what(evidence, event)) is not None:
            yield event, f"lost: {what} of trial id {event['trial']}, acknowledged to {event['process']}"


def _what(evidence: Evidence, event: Event) -> str | None:
    """What of an event is not there; None if all is."""
    trial = evidence.trials.get(event["trial"])
    if trial is None:
        return "all"
    if event["event"] == "finished":
        is_there = trial.system_attrs.get(FINISHED_BY_ATTRIBUTE) == event["token"]
        return None if is_there else "the result"
    if event["event"] == "reported":
        is_there = trial.intermediate_values.get(event["step"]) == event["value"]
        return None if is_there else f"step {event['step']}"
    if event["event"] == "kept":
        # By the end nobody needs it; the file of one whose row is lost nobody removes.
        return "the checkpoint" if (evidence.storage.artifacts.path / event["name"]).exists() else None
    # Only that it had lost a worker before: whether somebody claimed it is of no account afterwards.
    return "a loss" if trial.user_attrs.get("retries", 0) < event["retries"] else None
