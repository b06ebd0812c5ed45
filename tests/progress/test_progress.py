"""What is said of a study while it is trained."""

from __future__ import annotations

import re
import time
from pathlib import Path
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from optuna.trial import FrozenTrial, TrialState, create_trial

from hpo.progress.display import fitting, rounded
from hpo.progress.estimate import Estimate
from hpo.progress.lines import ended, running, sparkline
from hpo.spec import StudySpec
from tests.command import SEARCH, environment, hpo_on_terminal, quick
from tests.forks import Forked

SPEC = StudySpec(
    name="search",
    kind="search",
    data={"name": "digits"},
    trials=20,
    repeats=True,
    confirm=False,
    params={"epochs": 3000},
    space={"learning_rate": [0.1, 0.01]},
)


def trial(number: int, state: TrialState, epochs: int, **attributes: Any) -> FrozenTrial:
    made = create_trial(
        state=state,
        value=0.9 if state == TrialState.COMPLETE else None,
        intermediate_values={epoch: 0.5 + epoch / 10_000 for epoch in range(1, epochs + 1)},
        user_attrs={"hyperparameters": {"epochs": 3000}, **attributes},
    )
    made.number = number
    return made


# ------------------------------------------------------------------------------------------ time left


def states(finished: int, reported: tuple[int, int]) -> list[FrozenTrial]:
    """20 trials of 3,000 epochs: some have ended, two run."""
    return [
        *(trial(number, TrialState.COMPLETE, 3000) for number in range(finished)),
        *(trial(finished + at, TrialState.RUNNING, epochs) for at, epochs in enumerate(reported)),
        *(trial(number, TrialState.WAITING, 0) for number in range(finished + 2, 20)),
    ]


def test_compiling_is_no_part_of_the_time_that_is_left() -> None:
    """Two workers that compile for 9 s and then train 33 epochs a second each: 15 minutes in all."""
    estimate = Estimate(SPEC)
    said = {}
    for second in range(60):
        epochs = max(0, second - 9) * 33
        said[second] = estimate.left(states(0, (epochs, epochs)), float(second))
    assert all(said[second] is None for second in range(13))
    for second in range(14, 60):
        right = (60_000 - 66 * (second - 9)) / 66
        assert said[second] == pytest.approx(right, rel=0.02)


@pytest.mark.long
@settings(deadline=None, max_examples=15)
@given(
    rate=st.floats(0.5, 500), compiling=st.floats(0, 100), finished=st.integers(0, 17), step=st.floats(0.4, 3)
)
def test_what_is_said_is_within_a_tenth_of_what_is_right(
    rate: float, compiling: float, finished: int, step: float
) -> None:
    estimate, now, told = Estimate(SPEC), 0.0, 0
    while now < compiling + 30:
        epochs = min(2999, int(max(0.0, now - compiling) * rate))
        left = estimate.left(states(finished, (epochs, epochs)), now)
        if left is not None and rate * (now - compiling) > 100 and epochs < 2999:
            told += 1
            right = ((20 - finished) * 3000 - 2 * epochs) / (2 * rate)
            assert left == pytest.approx(right, rel=0.1, abs=2 * step)
        now += step
    assert told or rate < 20 or finished


def test_trials_that_end_early_make_the_others_shorter() -> None:
    estimate = Estimate(SPEC)
    early = [trial(number, TrialState.PRUNED, 100) for number in range(10)]
    waiting = [trial(number, TrialState.WAITING, 0) for number in range(11, 20)]
    for second in range(11):
        left = estimate.left([*early, trial(10, TrialState.RUNNING, second * 5), *waiting], float(second))
    assert left is not None
    assert left == pytest.approx((50 + 900) / 5, rel=0.05)


# ---------------------------------------------------------------------------------------------- lines


def test_a_trial_that_runs_says_what_it_does() -> None:
    starting = create_trial(state=TrialState.RUNNING)
    assert running(SPEC, starting) == "#-1 starting" or running(SPEC, starting).endswith("starting")
    compiling = trial(3, TrialState.RUNNING, 0, worker="w", compiled_anew=True)
    assert running(SPEC, compiling) == "#3 compiling"
    assert running(SPEC, trial(3, TrialState.RUNNING, 0, worker="w")) == "#3 epoch 1 of 3000"
    assert running(SPEC, trial(3, TrialState.RUNNING, 7, worker="w")) == "#3 epoch 8 of 3000"
    assert running(SPEC, trial(3, TrialState.RUNNING, 3000, worker="w")) == "#3 epoch 3000 of 3000"


def test_a_trial_that_has_ended_says_at_what_value_and_what_its_seconds_were() -> None:
    spent = {"train_seconds": 0.21, "compile_seconds": 10.2, "arm": "Adam", "seed": 2}
    complete = trial(4, TrialState.COMPLETE, 5, **spent)
    assert ended(SPEC, complete) == (
        "#4 Adam, seed 2: complete val_accuracy 0.9 in 5 epochs, 0.2 s + 10 s compiling"
    )
    spent["compile_seconds"] = 0.0
    pruned = trial(4, TrialState.PRUNED, 1, **spent)
    assert ended(SPEC, pruned) == "#4 Adam, seed 2: pruned at val_accuracy 0.5001 in 1 epoch, 0.2 s"
    failed = trial(4, TrialState.FAIL, 0, arm="Adam", seed=2, reason="loss is nan at epoch 1")
    assert ended(SPEC, failed) == "#4 Adam, seed 2: failed: loss is nan at epoch 1"


@given(st.lists(st.text(min_size=1, max_size=30), min_size=1, max_size=12), st.integers(10, 120))
def test_what_fits_into_a_line_fits(items: list[str], width: int) -> None:
    text = fitting(items, width)
    assert len(text) <= max(width, len(items[0]) + len(", 11 more"))
    assert text.startswith(items[0])


@given(st.lists(st.floats(allow_nan=True), min_size=1, max_size=60), st.integers(1, 40))
@example([-1.7e308, 1.7e308, 1e308], 3)
def test_a_curve_is_as_long_as_it_may_be(values: list[float], width: int) -> None:
    assert len(sparkline(values, width)) == min(width, len(values))


@given(st.floats(0, 1e6))
def test_a_rounded_time_is_near(seconds: float) -> None:
    found = re.findall(r"(\d+) (h|min|s)", rounded(seconds))
    whole = sum(int(count) * {"h": 3600, "min": 60, "s": 1}[unit] for count, unit in found)
    assert abs(whole - seconds) <= max(1, seconds / 10)


# --------------------------------------------------------------------------------------------- watching

# One trial of some seconds.
LONGER = (
    SEARCH.replace("epochs = 2", "epochs = 1500")
    .replace("rate = [0.01, 0.1]", "rate = [0.01]")
    .replace("[[0.0], [0.2]]", "[[0.0]]")
)


@pytest.mark.slow
def test_a_study_is_watched_while_a_worker_elsewhere_trains_it(tmp_path: Path) -> None:
    """On a terminal with curves; without one, a line for each trial that ends."""
    (tmp_path / "search.toml").write_text(LONGER)
    quick("create", "search.toml", folder=tmp_path)
    with (tmp_path / "lines").open("w+") as lines:
        watching = Forked(["watch", "search"], cwd=tmp_path, env=environment(), stdout=lines)
        worker = Forked(["worker", "--exit-when-idle"], cwd=tmp_path, env=environment())
        try:
            shown = hpo_on_terminal("watch", "search", folder=tmp_path, columns=80)
            assert (worker.wait(60), watching.wait(60)) == (0, 0)
        finally:
            worker.kill()
            watching.kill()
    assert shown.returncode == 0
    assert re.search(r"\d/1 trials", shown.stdout)
    assert re.search(r"#\d epoch \d+ of 1500", shown.stdout)
    assert re.search(r"[▁▂▃▄▅▆▇█]{2}", shown.stdout)
    assert "has the highest val_accuracy of 1 complete trial: " in " ".join(shown.stdout.split())
    assert "search: 1 complete." in shown.stdout
    printed = (tmp_path / "lines").read_text()
    assert [line[:2] for line in printed.splitlines() if line.startswith("#")][:1] == ["#0"]
    assert "\x1b" not in printed


def test_a_study_that_is_over_is_shown_at_once(trained: Any) -> None:
    begun = time.monotonic()
    shown = quick("watch", "search", folder=trained.folder)
    assert (shown.returncode, time.monotonic() - begun < 5) == (0, True)
    assert "has the highest val_accuracy of 4" in shown.stdout
    assert shown.stderr == "search: 4 complete.\n"
