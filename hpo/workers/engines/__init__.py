"""Where workers run: on this machine, or on those of a Ray cluster; all of them are the same `hpo worker`.

An engine starts workers and gives a handle of each; the crew (`hpo.workers.crew`) watches over the handles
and asks no engine which one it is. Slurm, Kubernetes and systemd start `hpo worker` by themselves.
"""

from __future__ import annotations

import importlib.util
import os
import secrets
from collections.abc import Callable
from dataclasses import dataclass

from hpo.errors import HpoError
from hpo.workers.engines.contract import CANNOT_TRAIN, IS_FULL, SHARED, Engine, Handle, Log, WorkerOptions
from hpo.workers.engines.local import LocalEngine

__all__ = [
    "CANNOT_TRAIN",
    "ENGINES",
    "IS_FULL",
    "SHARED",
    "Engine",
    "EngineOptions",
    "Handle",
    "Log",
    "WorkerOptions",
    "check_engine",
    "make_engine",
    "need_ray",
]


@dataclass(frozen=True)
class EngineOptions:
    """What an engine is made with. `address`: of a Ray cluster; None for one on this machine.

    `cpus` and `gpus`: what each worker is given, of a GPU a share too.
    """

    address: str | None = None
    cpus: float = 1.0
    gpus: float = 0.0


def need_ray(place: str) -> None:
    """Raises HpoError if Ray is not installed; otherwise it may be imported, and reports to nobody."""
    if importlib.util.find_spec("ray") is None:
        rule = "needs the package ray, which is not installed"
        raise HpoError(place, rule, remedy="pip install 'hpo-studies[ray]'")
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")


@dataclass(frozen=True)
class Kind:
    """An engine of the table: how it is made, and what can be known before anything is made for it.

    `check` raises HpoError if it is not installed, or its cluster does not answer.
    """

    make: Callable[[EngineOptions], Engine]
    check: Callable[[EngineOptions], None] = lambda options: None


def _local(options: EngineOptions) -> Engine:
    return LocalEngine()


def _ray(options: EngineOptions) -> Engine:
    need_ray("engine ray")
    if options.address is None:
        # Whoever reaches a Ray cluster can run anything on it: this one asks for a token that nobody else
        # knows. Ray reads both as it is imported.
        os.environ.setdefault("RAY_AUTH_MODE", "token")
        os.environ.setdefault("RAY_AUTH_TOKEN", secrets.token_hex(32))
    from hpo.workers.engines.ray_core import RayEngine

    made: Engine = RayEngine(options.address, cpus=options.cpus, gpus=options.gpus)
    return made


def _check_ray(options: EngineOptions) -> None:
    need_ray("engine ray")
    if options.address is not None:
        from hpo.workers.engines.ray_address import found_at

        found_at(options.address)


ENGINES = {"local": Kind(_local), "ray": Kind(_ray, _check_ray)}


def check_engine(name: str, options: EngineOptions) -> None:
    """Raises HpoError if an engine is not installed, or its cluster does not answer."""
    ENGINES[name].check(options)


def make_engine(name: str, options: EngineOptions | None = None) -> Engine:
    """The engine of that name.

    Raises:
        HpoError: it is not installed, or its cluster does not answer.
    """
    return ENGINES[name].make(options or EngineOptions())
