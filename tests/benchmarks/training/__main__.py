"""The command: `python -m tests.benchmarks.training`."""

from __future__ import annotations

import argparse
import contextlib
import json
import signal
import sys
from collections.abc import Callable, Iterator
from functools import partial
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from tests.benchmarks import training
from tests.benchmarks.machine import machine
from tests.benchmarks.training import compiling, loops, models, searches, steps
from tests.benchmarks.training.figures import Row, print_table
from tests.benchmarks.training.processes import MeasurementError

DISTRIBUTIONS = ("tensorflow", "keras", "numpy", "optuna", "scikit-learn", "keras-tuner", "hpo-studies")


def main() -> None:
    """Measure every row that is asked for, and print; exit code 1 if one could not be measured."""
    arguments = _arguments()
    # As Ctrl-C does: what is measured just now ends, too.
    signal.signal(signal.SIGTERM, lambda number, frame: sys.exit(128 + number))
    chosen = {name: measure for name, measure in _rows(arguments) if arguments.only in name}
    if not chosen:
        known = "; ".join(name for name, _ in _rows(arguments))
        raise SystemExit(f"--only: a part of a row's name, but got {arguments.only!r}. Rows: {known}")
    print(json.dumps(machine(*_installed())), flush=True)
    rows = []
    for name, measure in chosen.items():
        print(name, file=sys.stderr, flush=True)
        try:
            rows.append(measure(arguments.repeats))
        except MeasurementError as error:
            print(f"{name}: {error}", file=sys.stderr, flush=True)
        else:
            print(json.dumps(rows[-1].as_json()), flush=True)
    if rows:
        print_table(rows)
    raise SystemExit(0 if len(rows) == len(chosen) else 1)


def _arguments() -> argparse.Namespace:
    description = (training.__doc__ or "").splitlines()[0]
    parser = argparse.ArgumentParser(prog="python -m tests.benchmarks.training", description=description)
    parser.add_argument("--repeats", type=_at_least_one, default=3, metavar="N", help="turns of each row")
    parser.add_argument("--only", default="", metavar="TEXT", help="rows whose name contains this")
    parser.add_argument("--long", action="store_true", help="also the search of 400 configurations")
    parser.add_argument("--against", type=_checkout, metavar="PATH", help="another checkout of hpo")
    parser.add_argument("--loop", choices=("auto", "xla", "graph", "fit"), help="of hpo.fit, in `models`")
    return parser.parse_args()


def _rows(arguments: argparse.Namespace) -> Iterator[tuple[str, Callable[[int], Row]]]:
    """What each row is called, with its group, and what measures it in so many turns."""
    for name in steps.names():
        yield f"{steps.GROUP} {name}", partial(steps.row, name)
    for name in models.names():
        yield f"{models.GROUP} {name}", partial(models.row, name, loop=arguments.loop)
    for name in loops.names():
        yield f"{loops.GROUP} {name}", partial(loops.row, name)
    for name in searches.names(long=arguments.long):
        yield f"{searches.GROUP} {name}", partial(searches.row, name, against=arguments.against)
    for name in compiling.names():
        yield f"{compiling.GROUP} {name}", partial(compiling.row, name, against=arguments.against)


def _at_least_one(text: str) -> int:
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"an integer of at least 1, but got {text!r}")
    return int(text)


def _checkout(text: str) -> Path:
    path = Path(text).absolute()
    if not (path / "hpo" / "__init__.py").exists():
        raise argparse.ArgumentTypeError(f"a folder with hpo/ in it, but got {text!r}")
    return path


def _installed() -> Iterator[str]:
    for name in DISTRIBUTIONS:
        with contextlib.suppress(PackageNotFoundError):
            version(name)
            yield name


if __name__ == "__main__":
    main()
