"""What a race has shown, in words, and how often its interval holds."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from optuna.trial import create_trial

from hpo.analysis.confirmation import Confirmation, Leader, confirmation
from hpo.search import Race
from hpo.spec import StudySpec
from hpo.trials.record import Trial


def leader(number: int, mean: float | None = 0.9, *, still_in: bool = True, **more: Any) -> Leader:
    return Leader(number, 0.95, 3, mean, 0.88, 0.92, 1.0, still_in, **more)


@pytest.mark.parametrize(
    ("found", "said"),
    [
        (
            Confirmation((leader(3), leader(1, 0.8, still_in=False)), True),
            "#3 is confirmed: f1 0.9 on 3 fresh seeds, 95 % interval 0.88 to 0.92;"
            " 1 other leader dropped out.",
        ),
        (
            Confirmation((leader(3), leader(1, still_in=False, failed=True)), True),
            "#3 is confirmed: f1 0.9 on 3 fresh seeds, 95 % interval 0.88 to 0.92."
            " #1 failed on a fresh seed.",
        ),
        (
            Confirmation((leader(3),), True),
            "#3, which no other leader stood against, reaches f1 0.9 on 3 fresh seeds, 95 % interval"
            " 0.88 to 0.92.",
        ),
        (
            Confirmation((leader(3), leader(1)), True, late=(17,)),
            "#3 and #1 cannot be told apart on 3 fresh seeds: #3 has the best mean. #3 reaches f1 0.9 on 3"
            " fresh seeds, 95 % interval 0.88 to 0.92. #17 came later, and no trial is left to confirm it:"
            " raise trials.",
        ),
        (
            Confirmation((leader(3, None, still_in=False, failed=True),), True),
            "Nothing is confirmed: every leader failed on fresh seeds.",
        ),
        (Confirmation((leader(3), leader(1)), False), "Confirming on fresh seeds: 2 of 2 leaders still in."),
    ],
)
def test_it_is_said_who_won_against_whom_and_who_was_missing(found: Confirmation, said: str) -> None:
    assert " ".join(found.sentences("f1")) == said


@pytest.mark.parametrize(("top", "seeds"), [(2, 2), (2, 3), (5, 5)])
def test_the_interval_of_who_wins_by_chance_holds_its_true_mean(top: int, seeds: int) -> None:
    """All are equal, and the same runs choose the winner."""
    generator = np.random.default_rng(0)
    spec = StudySpec(
        name="s",
        kind="search",
        trials=9,
        data={"name": "digits"},
        space={"dropout": {"low": 0.0, "high": 0.5}},
    )
    trials = []
    for n in range(top):
        attributes = {"confirms": 0} if n == 0 else {}
        frozen = create_trial(value=0.0, user_attrs=attributes)
        frozen.number = n
        trials.append(Trial.of(spec, frozen))
    held, races = 0, 400
    for _ in range(races):
        values = generator.normal(0.0, 1.0, (top, seeds))
        runs = {n: dict(enumerate(values[n].tolist())) for n in range(top)}
        found = confirmation(Race(tuple(range(top)), runs, range(seeds), "maximize"), trials, is_over=True)
        assert found is not None
        winner = found.winner
        assert winner is not None
        assert winner.low is not None
        assert winner.high is not None
        held += winner.low <= 0.0 <= winner.high
    assert held / races > 0.93
