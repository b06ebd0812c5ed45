"""The long run: rounds of studies under faults until the time is over.

python -m tests.faults --minutes 30 --seed 1 [--workers 4]
    [--kind sqlite|postgresql|cluster|failover|networks|all]

`sqlite`, `postgresql` and `cluster` (a server and workers on hosts of their own, which are cut off, and whose
clocks jump) train what takes a network's place under every fault. `failover` lets a copy that lags take over,
`networks` trains Keras networks by `hpo run`.
"""

from __future__ import annotations

import argparse
import random
import sys
import tempfile
import time
from pathlib import Path

from tests.faults.failover import play_failover
from tests.faults.nemesis import Pace
from tests.faults.places import CLUSTER, POSTGRESQL, SQLITE, new_place
from tests.faults.rounds import Report, play
from tests.faults.training import play_training

MEGABYTES = 192
FIRST_SIZE = 4
# What a round takes beside its faults: to begin, to let the studies end, to check them.
AROUND_SECONDS = 20.0


def main() -> int:
    options = _options()
    seed = options.seed if options.seed is not None else random.SystemRandom().randrange(10**6)
    kinds = [*KINDS] if options.kind == "all" else [options.kind]
    print(f"seed {seed}", flush=True)
    violations = 0
    for kind in kinds:
        violations += OTHERS[kind](seed, options) if kind in OTHERS else _under_faults(kind, seed, options)
    return 1 if violations else 0


def _under_faults(kind: str, seed: int, options: argparse.Namespace) -> int:
    report = _rounds(kind, seed, options)
    _say(f"{kind}, all rounds from", seed, report)
    return len(report.violations)


def _failovers(seed: int, options: argparse.Namespace) -> int:
    """Copies that take over, each time after another number of results, until the time is over."""
    until, violations, generator = time.monotonic() + 60 * options.minutes, 0, random.Random(seed)
    while time.monotonic() < until:
        results = generator.randint(2, 30)
        with new_place(POSTGRESQL, megabytes=MEGABYTES) as place:
            found = play_failover(
                place, size=30, results=results, workers=options.workers, lease_seconds=options.lease
            )
        _say(f"failover after {results} results", seed, found.report)
        print(f"  lost       {len(found.lost)}, each named")
        violations += len(found.report.violations)
    return violations


def _networks(seed: int, options: argparse.Namespace) -> int:
    """`hpo run` under faults, about four a minute."""
    with tempfile.TemporaryDirectory() as folder, new_place(POSTGRESQL, megabytes=MEGABYTES) as place:
        count = max(4, round(4 * options.minutes))
        how = {"seeds": 2 * count, "epochs": 600}
        found = play_training(place, seed=seed, faults=count, undisturbed=Path(folder), **how)
    faults = ", ".join(f"{name} {times}" for name, times in sorted(found.faults.items()))
    print(f"\nnetworks, seed {seed}\n  faults     {faults}\n  retries    {found.retries}")
    print(f"  violations {len(found.violations)}", *found.violations, sep="\n    ", flush=True)
    return len(found.violations)


OTHERS = {"failover": _failovers, "networks": _networks}
KINDS = (SQLITE, POSTGRESQL, CLUSTER, *OTHERS)


def _rounds(kind: str, seed: int, options: argparse.Namespace) -> Report:
    rounds = max(1, round(options.minutes / options.round))
    seconds = max(20.0, 60 * options.minutes / rounds - AROUND_SECONDS)
    total = Report()
    for own_seed in range(seed, seed + rounds):
        with new_place(kind, megabytes=MEGABYTES) as place:
            if not place.disk.is_mounted:
                print(f"no full disks: mounting was refused: {place.disk.refusal}")
            report = play(
                place,
                seed=own_seed,
                seconds=seconds,
                workers=options.workers,
                lease_seconds=options.lease,
                size=FIRST_SIZE,
                pace=Pace(),
            )
        total.add(report)
        _say(f"{kind}, round {own_seed - seed + 1} of {rounds}", own_seed, report)
    return total


def _say(what: str, seed: int, report: Report) -> None:
    print(f"\n{what}, seed {seed}: {report.seconds:.0f} s")
    for name in ("faults", "processes", "said", "events", "trials", "orphans"):
        counts = ", ".join(f"{key} {count}" for key, count in sorted(getattr(report, name).items()))
        print(f"  {name:10} {counts}")
    settled = ", ".join(f"{left} trials in {seconds:.1f} s" for left, seconds in report.settled)
    print(f"  settled    {settled}")
    print(f"  violations {len(report.violations)}")
    for violation in report.violations:
        print(f"    {violation}")
    sys.stdout.flush()


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tests.faults")
    parser.add_argument("--minutes", type=float, default=30.0, help="of each kind")
    parser.add_argument("--seed", type=int)
    parser.add_argument("--kind", choices=[*KINDS, "all"], default="all")
    parser.add_argument("--workers", type=int, default=4)
    parser.add_argument("--lease", type=float, default=2.5, help="seconds")
    parser.add_argument("--round", type=float, default=4.0, help="minutes of faults before a study may end")
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
