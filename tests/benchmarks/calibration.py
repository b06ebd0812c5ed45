"""How often verdicts are wrong, and how often they find what is there, in simulated comparisons.

    python -m tests.benchmarks.calibration [--repeats N] [--seed N]

Each comparison has arms that share the luck of their seeds and differ by a true effect. The share of them
with any wrong "better" or "worse", or any wrong "equivalent", must be at most alpha; the share in which a
true effect or a true equivalence is found must grow with seeds.
"""

from __future__ import annotations

import argparse
import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from rich.console import Console
from rich.table import Table

from hpo.analysis.verdicts import Design, Effect, judge
from tests.benchmarks.machine import machine

ALPHA = 0.05
# The smallest difference that matters; spreads and effects are in its unit.
MARGIN = 1.0
Draw = Callable[[np.random.Generator, tuple[int, ...]], np.ndarray]

# Noise of unit variance; the second has tails so heavy that its fourth moment is infinite.
NOISES: dict[str, Draw] = {
    "normal": lambda generator, shape: generator.standard_normal(shape),
    "heavy tails": lambda generator, shape: generator.standard_t(3, shape) / math.sqrt(3),
}


@dataclass(frozen=True)
class Scenario:
    """Comparisons of one kind.

    `effect` is the first arm's true difference to the baseline, `others` that of every other arm; `spread`
    the standard deviation of a run; with `folds`, differences are correlated by 1 / folds, as Nadeau and
    Bengio suppose.
    """

    noise: str
    arms: int
    seeds: int
    effect: float = 0.0
    others: float = 0.0
    spread: float = 1.0
    folds: int = 1

    @property
    def design(self) -> Design:
        return Design(
            margin=MARGIN,
            alpha=ALPHA,
            maximize=True,
            overlap=1 / (self.folds - 1) if self.folds > 1 else 0.0,
            runs_per_seed=self.folds,
        )


@dataclass(frozen=True)
class Rates:
    """Shares of comparisons: any better or worse, any equivalent; the first arm better, equivalent."""

    repeats: int
    any_different: float
    any_equivalent: float
    first_better: float
    first_equivalent: float


def simulate(scenario: Scenario, *, repeats: int, seed: int) -> Rates:
    """Judge so many comparisons."""
    generator = np.random.default_rng(seed)
    judged = [judge(list(_differences(scenario, generator)), scenario.design) for _ in range(repeats)]

    def share(holds: Callable[[list[Effect]], bool]) -> float:
        return sum(map(holds, judged)) / repeats

    return Rates(
        repeats,
        any_different=share(lambda arms: any(arm.decision in ("better", "worse") for arm in arms)),
        any_equivalent=share(lambda arms: any(arm.decision == "equivalent" for arm in arms)),
        first_better=share(lambda arms: arms[0].decision == "better"),
        first_equivalent=share(lambda arms: arms[0].decision == "equivalent"),
    )


def tolerance(share: float, repeats: int) -> float:
    """Three standard errors of a share."""
    return 3 * math.sqrt(share * (1 - share) / repeats)


def _differences(scenario: Scenario, generator: np.random.Generator) -> np.ndarray:
    """Of shape (arms without the baseline, runs)."""
    draw, others, folds = NOISES[scenario.noise], scenario.arms - 1, scenario.folds
    runs = draw(generator, (scenario.arms, scenario.seeds, folds))
    if folds > 1:
        # All seeds of a study split the same samples, so what their folds share they share among them all.
        shared = draw(generator, (scenario.arms, 1, 1))
        runs = math.sqrt(1 / folds) * shared + math.sqrt(1 - 1 / folds) * runs
    luck = draw(generator, (1, scenario.seeds, folds))
    values = scenario.spread * (runs + luck)
    effects = np.array([scenario.effect, *[scenario.others] * (others - 1)])
    differences: np.ndarray = (values[1:] - values[0]).reshape(others, -1) + effects[:, None]
    return differences


NOTHING = [
    Scenario(noise, arms, seeds, spread=spread)
    for noise in NOISES
    for arms, seeds, spread in [(3, 3, 2.0), (3, 30, 5.0), (10, 5, 2.0), (10, 30, 5.0)]
]
FOLDED = [Scenario("normal", 3, 1, spread=5.0, folds=5), Scenario("normal", 3, 6, spread=5.0, folds=5)]
AT_THE_MARGIN = [
    Scenario(noise, 3, seeds, effect=MARGIN, others=MARGIN, spread=0.5)
    for noise in NOISES
    for seeds in (5, 30)
]
TWICE_THE_MARGIN = [Scenario(noise, 3, n, effect=2.0) for noise in NOISES for n in (3, 5, 10, 30)]
TINY = [
    Scenario(noise, 3, n, effect=0.05, others=0.05, spread=0.7) for noise in NOISES for n in (3, 5, 10, 30)
]


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--repeats", type=int, default=4000)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    console = Console(width=150)
    console.print(machine())
    groups: dict[str, tuple[list[Scenario], str]] = {
        "no difference: any better or worse (at most alpha)": (NOTHING, "any_different"),
        "no difference, folds: any better or worse (at most alpha)": (FOLDED, "any_different"),
        "differences of just what matters: any equivalent (at most alpha)": (AT_THE_MARGIN, "any_equivalent"),
        "a difference of twice what matters: found": (TWICE_THE_MARGIN, "first_better"),
        "tiny differences: found equivalent": (TINY, "first_equivalent"),
    }
    for title, (scenarios, name) in groups.items():
        table = Table("noise", "arms", "seeds", "folds", "spread", "share", "± (3 s.e.)", title=title)
        for scenario in scenarios:
            rates = simulate(scenario, repeats=options.repeats, seed=options.seed)
            share = getattr(rates, name)
            cells = (scenario.noise, scenario.arms, scenario.seeds, scenario.folds, scenario.spread)
            error = tolerance(share, options.repeats)
            table.add_row(*map(str, cells), f"{share:.4f}", f"{error:.4f}")
        console.print(table)
    console.print(f"alpha {ALPHA}, n = {options.repeats} comparisons each, seed {options.seed}")


if __name__ == "__main__":
    main()
