"""The command: `python -m tests.benchmarks.peers cnn`."""

from __future__ import annotations

import argparse
import json
import signal
import sys

from tests.benchmarks import peers
from tests.benchmarks.machine import machine
from tests.benchmarks.peers import cnn
from tests.benchmarks.training.figures import print_table
from tests.benchmarks.training.processes import MeasurementError

COMPARED = {"cnn": cnn.row}
DISTRIBUTIONS = ("tensorflow", "keras", "optuna", "keras-tuner", "hpo-studies")


def main() -> None:
    """Measure, and print; exit code 1 if it could not be measured."""
    description = (peers.__doc__ or "").splitlines()[0]
    parser = argparse.ArgumentParser(prog="python -m tests.benchmarks.peers", description=description)
    parser.add_argument("compared", choices=COMPARED)
    parser.add_argument("--repeats", type=int, default=3, metavar="N", help="turns")
    parser.add_argument("--small", action="store_true", help="whether it works: digits, four configurations")
    arguments = parser.parse_args()
    # As Ctrl-C does: what is measured just now ends, too.
    signal.signal(signal.SIGTERM, lambda number, frame: sys.exit(128 + number))
    print(json.dumps(machine(*DISTRIBUTIONS)), flush=True)
    try:
        row = COMPARED[arguments.compared](max(1, arguments.repeats), small=arguments.small)
    except MeasurementError as error:
        raise SystemExit(f"{arguments.compared}: {error}") from None
    print(json.dumps(row.as_json()), flush=True)
    print_table([row])


if __name__ == "__main__":
    main()
