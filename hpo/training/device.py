"""TensorFlow imported as this package needs it: so many threads, kept programs, no chatter."""

from __future__ import annotations

import contextlib
import gc
import os
import sys
from collections.abc import Iterator

from hpo.training.program_cache import CACHE


def prepare_tensorflow(threads: int, *, gpu_memory: float | None = None) -> None:
    """Import TensorFlow with a number of threads, and without what it prints about its own build.

    A GPU's memory is taken as it is needed, or `gpu_memory` MiB of each at most: TensorFlow takes all of it
    otherwise, and a second worker finds none. Changes nothing if TensorFlow has been imported already; the
    environment stays as it was.
    """
    if "tensorflow" in sys.modules:
        return
    ours = {"OMP_NUM_THREADS": str(threads)} | CACHE.open()
    if "TF_CPP_MIN_LOG_LEVEL" not in os.environ:
        ours["TF_CPP_MIN_LOG_LEVEL"] = "3"
    # Not sys.stderr's descriptor, which a notebook replaces by an object without one.
    with _silenced(2), _uncollected(), _environment(ours):
        import keras  # noqa: F401
        import tensorflow as tf

        tf.config.threading.set_intra_op_parallelism_threads(threads)
        tf.config.threading.set_inter_op_parallelism_threads(threads)
        for gpu in tf.config.list_physical_devices("GPU"):
            if gpu_memory is None:
                tf.config.experimental.set_memory_growth(gpu, True)
            else:
                share = tf.config.LogicalDeviceConfiguration(memory_limit=gpu_memory)
                tf.config.set_logical_device_configuration(gpu, [share])
        # Making the devices reads what importing has not: the numbers of threads, and XLA's flags.
        tf.config.list_logical_devices()


@contextlib.contextmanager
def _environment(variables: dict[str, str]) -> Iterator[None]:
    before = {name: os.environ.get(name) for name in variables}
    os.environ.update(variables)
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                del os.environ[name]
            else:
                os.environ[name] = value


@contextlib.contextmanager
def _uncollected() -> Iterator[None]:
    """Without looking for cycles among modules, which stay: a fifth of the time that imports take."""
    was_enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        gc.freeze()
        if was_enabled:
            gc.enable()


@contextlib.contextmanager
def _silenced(descriptor: int) -> Iterator[None]:
    kept = os.dup(descriptor)
    nowhere = os.open(os.devnull, os.O_WRONLY)
    try:
        os.dup2(nowhere, descriptor)
        yield
    finally:
        os.dup2(kept, descriptor)
        os.close(kept)
        os.close(nowhere)
