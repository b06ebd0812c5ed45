"""What a benchmark says of where it ran."""

from __future__ import annotations

import os
import platform
from importlib.metadata import version


def machine(*distributions: str) -> dict[str, object]:
    """Processor, cores, and the versions of Python and of these distributions."""
    return {
        "machine": platform.processor() or platform.machine(),
        "cpu": _cpu(),
        "cores": len(os.sched_getaffinity(0)),
        "python": platform.python_version(),
        **{name: version(name) for name in distributions},
    }


def _cpu() -> str:
    try:
        with open("/proc/cpuinfo") as file:  # noqa: PTH123
            return next(line.split(":")[1].strip() for line in file if line.startswith("model name"))
    except (OSError, StopIteration):
        return "unknown"
