"""The options that commands which train have in common, declared once."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable
from dataclasses import asdict, dataclass, fields
from typing import Any, get_type_hints

from hpo.cli.options import (
    Address,
    CheckpointSeconds,
    CpusPerWorker,
    EngineName,
    GpusPerWorker,
    MaxWorkerMemory,
    Timeout,
    Workers,
)
from hpo.errors import HpoError


@dataclass(frozen=True)
class Training:
    """How a command trains; None leaves it to `Study.run`, whose arguments have the same names."""

    workers: Workers = None
    engine: EngineName = "local"
    address: Address = None
    cpus_per_worker: CpusPerWorker = None
    gpus_per_worker: GpusPerWorker = None
    timeout: Timeout = None
    max_worker_memory: MaxWorkerMemory = None
    checkpoint_seconds: CheckpointSeconds = None

    def __post_init__(self) -> None:
        """Raises HpoError for what has no effect on workers of this machine, or without its engine."""
        for option in ("address", "cpus_per_worker", "gpus_per_worker"):
            if self.engine == "local" and getattr(self, option) is not None:
                place = f"--{option.replace('_', '-')}"
                raise HpoError(place, "has no effect with --engine local", remedy="Say --engine ray too.")
        if self.engine != "local":  # what knows of engines takes a third of a second
            from hpo.workers.engines import EngineOptions, check_engine

            check_engine(self.engine, EngineOptions(self.address))

    @property
    def given(self) -> dict[str, Any]:
        """The arguments of `Study.run`."""
        return {name: value for name, value in asdict(self).items() if value is not None}


def trains(command: Callable[..., None]) -> Callable[..., None]:
    """A command with an option for each field of `Training`, which it gets as its argument `training`."""
    hints = get_type_hints(Training, include_extras=True)
    own = inspect.signature(command, eval_str=True)
    taken = [parameter for name, parameter in own.parameters.items() if name != "training"]
    keyword = inspect.Parameter.KEYWORD_ONLY
    options = [
        inspect.Parameter(field.name, keyword, default=field.default, annotation=hints[field.name])
        for field in fields(Training)
    ]

    @functools.wraps(command)
    def with_options(**given: Any) -> None:
        training = Training(**{field.name: given.pop(field.name) for field in fields(Training)})
        command(**given, training=training)

    shown = [*(parameter.replace(kind=keyword) for parameter in taken), *options]
    # What typer reads a command's parameters from.
    with_options.__signature__ = own.replace(parameters=shown)  # type: ignore[attr-defined]
    with_options.__annotations__ = {parameter.name: parameter.annotation for parameter in shown}
    return with_options
