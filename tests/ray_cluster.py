"""A Ray cluster of this machine alone, with its dashboard and job API, for as long as a test needs it.

As a program it is the cluster's head, which ends with its input.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.command import COLD_PYTHON

TESTS = Path(__file__).parent
# With which every process takes the loopback interface for the machine's address.
PATHS = os.pathsep.join(map(str, (TESTS / "loopback", TESTS.parent)))


@contextmanager
def cluster(**variables: str) -> Iterator[dict[str, str]]:
    """Its addresses, `gcs` and `jobs`; its processes have these variables."""
    head = subprocess.Popen(
        [COLD_PYTHON, "-m", "tests.ray_cluster"],
        env=os.environ | {"RAY_USAGE_STATS_ENABLED": "0", "PYTHONPATH": PATHS} | variables,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert head.stdin is not None
    assert head.stdout is not None
    try:
        yield json.loads(head.stdout.readline())
    finally:
        head.stdin.close()
        head.wait(60)


def main() -> None:
    import ray

    from hpo.workers.engines.ray_core import LOOPBACK, heard_on_loopback

    with heard_on_loopback():
        context = ray.init(
            address="local",
            num_cpus=4,
            _node_ip_address=LOOPBACK,
            include_dashboard=True,
            dashboard_host=LOOPBACK,
            log_to_driver=False,
            logging_level="ERROR",
        )
    found = {"gcs": context.address_info["gcs_address"], "jobs": f"http://{context.dashboard_url}"}
    print(json.dumps(found), flush=True)
    sys.stdin.read()
    ray.shutdown()


if __name__ == "__main__":
    main()
