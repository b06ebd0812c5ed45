"""Searches with two objectives, replayed on recorded curves: epochs and hypervolume, pruned and not.

`digits.json` has 100 configurations of `digits.toml`, each trained for 27 epochs: its parameters, and the
val_accuracy of every epoch (`--record` trains them anew, 2 minutes). A resampling draws so many of them in an
order of its own; a trial trains an epoch at a time, asks the pruner as a worker does, and ends or goes on.

    python -m tests.benchmarks.fronts
"""

from __future__ import annotations

import argparse
import itertools
import json
import math
from pathlib import Path
from typing import Any

import numpy as np
import optuna
from optuna.trial import FrozenTrial, TrialState, create_trial

from hpo.search import RUNGS_ATTRIBUTE, hypervolume, losses_of, make_pruner, may_prune, reference_of
from hpo.spec import SearchSpec

HERE = Path(__file__).parent
PRUNERS: tuple[dict[str, Any], ...] = (
    {"name": "successive_halving", "reduction_factor": 3},
    {"name": "successive_halving", "reduction_factor": 2},
    {"name": "hyperband", "reduction_factor": 3},
    {"name": "median"},
)


class Replayed:
    """As much of an Optuna study as a pruner asks for."""

    def __init__(self) -> None:
        self.trials: list[FrozenTrial] = []

    def get_trials(self, deepcopy: bool = True) -> list[FrozenTrial]:
        """See Optuna."""
        return self.trials


def search(pruner: dict[str, Any], trials: int, epochs: int) -> SearchSpec:
    """The search that the curves are of, with a pruner."""
    return SearchSpec(
        name="fronts",
        kind="search",
        data={"name": "digits"},
        trials=trials,
        objectives=[{"metric": "val_accuracy"}, {"metric": "parameters"}],
        params={"epochs": epochs},
        pruner=pruner,
        space={"learning_rate": {"low": 1e-4, "high": 0.03}},
    )


def replay(
    spec: SearchSpec, configurations: list[list[float]], workers: int, draws: np.random.Generator
) -> tuple[int, list[int]]:
    """Epochs that a search trains of these configurations, and which of them are complete.

    Each trial trains at a pace of its own: in a turn an epoch, or none.
    """
    pace = draws.uniform(0.2, 1.0, len(configurations))
    study, pruner, epochs = Replayed(), make_pruner(spec), spec.hyperparameter_table().epochs
    waiting, training, spent, complete = list(range(len(configurations))), dict[int, int](), 0, list[int]()
    while waiting or training:
        while waiting and len(training) < workers:
            number = waiting.pop(0)
            trial = create_trial(state=TrialState.RUNNING, user_attrs={RUNGS_ATTRIBUTE: {}})
            trial.number = number
            study.trials.append(trial)
            training[number] = 0
        for number in [number for number in training if draws.random() < pace[number]]:
            parameters, *curve = configurations[number]
            training[number] = epoch = training[number] + 1
            spent += 1
            if epoch == epochs:
                complete.append(number)
                del training[number]
            elif may_prune(spec, epoch):
                trial = study.trials[number]
                trial.user_attrs[RUNGS_ATTRIBUTE][str(epoch)] = [curve[epoch - 1], parameters]
                if pruner.prune(study, trial):  # type: ignore[arg-type]
                    del training[number]
    return spent, complete


def measured(
    pruner: dict[str, Any], curves: list[list[float]], *, resamplings: int, trials: int, workers: int
) -> tuple[list[float], list[float], list[float]]:
    """Of each resampling the share of epochs saved, and that of the hypervolume, also by log(parameters)."""
    spec = search(pruner, trials, len(curves[0]) - 1)
    saved, shares, in_logs = [], [], []
    for seed in range(resamplings):
        draws = np.random.default_rng(seed)
        places = draws.permutation(len(curves))[:trials]
        drawn = [curves[place] for place in places]
        spent, complete = replay(spec, drawn, workers, draws)
        saved.append(1 - spent / (trials * (len(curves[0]) - 1)))
        for found, scale in ((shares, float), (in_logs, math.log10)):
            losses = [losses_of(spec.objectives, (one[-1], scale(one[0]))) for one in drawn]
            reference = reference_of(losses)
            kept = hypervolume([losses[number] for number in complete], reference)
            found.append(kept / hypervolume(losses, reference))
    return saved, shares, in_logs


def record() -> None:
    """Train the configurations of `digits.toml`, and keep their curves."""
    import tempfile

    import hpo

    with tempfile.TemporaryDirectory() as folder:
        study = hpo.create_study(HERE / "digits.toml", storage=f"sqlite:///{folder}/hpo.db")
        study.run()
        rows = []
        for trial in study.all_trials():
            sizes = [64, *trial.params["hidden_units"], 10]
            parameters = sum(size * (1 + before) for before, size in itertools.pairwise(sizes))
            curve = study.curves(trial.number)["val_accuracy"]
            rows.append(json.dumps([parameters, *(round(value, 5) for value in curve)]))
    (HERE / "digits.json").write_text("[\n" + ",\n".join(rows) + "\n]\n")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--resamplings", type=int, default=100)
    parser.add_argument("--trials", type=int, default=60)
    parser.add_argument("--record", action="store_true", help="train the configurations anew")
    args = parser.parse_args()
    if args.record:
        record()
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    curves = json.loads((HERE / "digits.json").read_text())
    print(f"{args.resamplings} resamplings of {args.trials} of {len(curves)} configurations of digits; means")
    print(f"{'pruner':62} workers  saved  hypervolume (worst)  by log(parameters) (worst)")
    for pruner in PRUNERS:
        for workers in (1, 8):
            saved, shares, in_logs = measured(
                pruner, curves, resamplings=args.resamplings, trials=args.trials, workers=workers
            )
            named = " ".join(f"{key}={value}" for key, value in pruner.items())
            print(
                f"{named:62} {workers:7}  {np.mean(saved):5.1%}  {np.mean(shares):7.2%} ({min(shares):.1%})"
                f"      {np.mean(in_logs):7.2%} ({min(in_logs):.1%})",
                flush=True,
            )


if __name__ == "__main__":
    main()
