"""Compiled programs on the disk, through real processes: XLA's flags are read once in each."""

from __future__ import annotations

import json
import os
import random
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(
        sys.platform != "linux", reason="the cache folder is moved by XDG_CACHE_HOME, threads are in /proc"
    ),
]

THREADS = ("TF_NUM_INTRAOP_THREADS", "TF_NUM_INTEROP_THREADS", "OMP_NUM_THREADS")
OURS = (*THREADS, "TF_XLA_FLAGS", "TF_CPP_MIN_LOG_LEVEL")
SCRIPT = """
import json, os, sys
names = sys.argv[2].split()
before = {name: os.environ.get(name) for name in names}
from hpo.training.device import prepare_tensorflow
prepare_tensorflow(int(sys.argv[1]))
after = {name: os.environ.get(name) for name in names}
import keras, numpy as np, tensorflow as tf
from hpo.training.samples import Samples
from hpo.training.runs import Run, Trainer

class Text(keras.layers.Layer):
    def call(self, inputs):
        return tf.strings.to_number(tf.strings.as_string(inputs))

def train(*layers):
    keras.utils.set_random_seed(0)
    layers = [keras.layers.Input((4,)), *layers, keras.layers.Dense(3, activation="softmax")]
    model = keras.Sequential(layers)
    model.compile("sgd", "sparse_categorical_crossentropy")
    samples = Samples.of(np.arange(64, dtype=np.uint8).reshape(16, 4), np.arange(16) % 3)
    trainer = Trainer(model)
    trainer.build(samples)
    batches = (2, 4, 8)  # a program each
    for batch in reversed(batches) if "reversed" in sys.argv else batches:
        run = Run(trainer, samples, validation=samples, batch_size=batch, epochs=2)
        while not run.finished:
            run.advance()
    trainer.predict(samples)
    return trainer

trainer = train(*([Text()] if "uncompilable" in sys.argv else []))
threads = tf.config.threading
print(json.dumps({
    "compiled": type(trainer.loop).__name__,
    "weights": [weight.tolist() for weight in trainer.state],
    "environment": [before, after],
    "threads": [threads.get_intra_op_parallelism_threads(), threads.get_inter_op_parallelism_threads()],
    "tasks": len(os.listdir("/proc/self/task")),
}))
"""


def train(cache: Path, *options: str, threads: int = 1, **environment: str) -> dict[str, Any]:
    inherited = {key: value for key, value in os.environ.items() if key not in OURS}
    finished = subprocess.run(
        [sys.executable, "-c", SCRIPT, str(threads), " ".join(OURS), *options],
        env=inherited | {"XDG_CACHE_HOME": str(cache), **environment},
        capture_output=True,
        text=True,
        check=False,
    )
    assert finished.returncode == 0, finished.stderr[-2000:]
    found: dict[str, Any] = json.loads(finished.stdout)
    return found


def kept(cache: Path) -> dict[Path, int]:
    return {file: file.stat().st_mtime_ns for file in sorted(cache.rglob("*.pb"))}


@dataclass(frozen=True)
class Filled:
    """A cache folder that a first process has filled, and what that process found."""

    path: Path
    first: dict[str, Any]

    def copy(self, path: Path) -> Path:
        """Another folder with the same programs, of the same times."""
        shutil.copytree(self.path, path / "cache")
        return path / "cache"


@pytest.fixture(scope="module")
def filled(tmp_path_factory: pytest.TempPathFactory) -> Filled:
    path = tmp_path_factory.mktemp("filled")
    return Filled(path, train(path))


def truncate(file: Path) -> None:
    file.write_bytes(file.read_bytes()[:200])


def flip(file: Path, seed: int = 0) -> None:
    """Noise in the place of 300 bytes, which XLA may load and run."""
    content, noise = bytearray(file.read_bytes()), random.Random(seed)
    start = noise.randrange(len(content) // 2, len(content) - 300)
    content[start : start + 300] = noise.randbytes(300)
    file.write_bytes(content)


def test_a_second_process_loads_the_programs_and_of_damaged_ones_only_these_are_deleted(
    filled: Filled, tmp_path: Path
) -> None:
    cache = filled.copy(tmp_path)
    programs = kept(cache)
    assert len(programs) > 2
    second = train(cache)
    assert kept(cache) == programs
    truncated, flipped, *others = programs
    truncate(truncated)
    flip(flipped)
    third = train(cache)
    assert filled.first["weights"] == second["weights"] == third["weights"]
    assert third["compiled"] == "XlaLoop"
    assert {file: kept(cache).get(file) for file in others} == {file: programs[file] for file in others}
    for file in (truncated, flipped):
        assert kept(cache).get(file) is None or file.stat().st_size > 3000


@pytest.mark.long
def test_programs_are_found_in_whatever_order_they_are_needed(filled: Filled, tmp_path: Path) -> None:
    cache = filled.copy(tmp_path)
    programs = kept(cache)
    assert train(cache, "reversed")["compiled"] == "XlaLoop"
    assert kept(cache) == programs


@pytest.mark.long
def test_programs_that_nobody_noted_are_compiled_again(filled: Filled, tmp_path: Path) -> None:
    cache = filled.copy(tmp_path)
    programs = kept(cache)
    (checksums,) = cache.rglob("checksums")
    checksums.unlink()
    for program in programs:
        truncate(program)
    second = train(cache)
    assert second["weights"] == filled.first["weights"]
    assert second["compiled"] == "XlaLoop"
    assert all(file.stat().st_size > 200 for file in kept(cache))


@pytest.mark.long
def test_a_model_that_xla_cannot_compile_leaves_the_programs_alone(filled: Filled, tmp_path: Path) -> None:
    cache = filled.copy(tmp_path)
    programs = kept(cache)
    assert train(cache, "uncompilable")["compiled"] == "GraphLoop"
    assert programs.items() <= kept(cache).items()


@pytest.mark.long
def test_a_folder_that_cannot_be_written_costs_only_time(tmp_path: Path) -> None:
    blocked = tmp_path / "file"
    blocked.write_text("not a folder")
    assert train(blocked)["compiled"] == "XlaLoop"


@pytest.mark.long
def test_the_environment_stays_and_threads_are_as_many_as_asked_for(filled: Filled, tmp_path: Path) -> None:
    mine = {"OMP_NUM_THREADS": "7", "TF_NUM_INTRAOP_THREADS": "5", "TF_CPP_MIN_LOG_LEVEL": "2"}
    one, two = filled.first, train(filled.copy(tmp_path), threads=2, **mine)
    assert (one["threads"], two["threads"]) == ([1, 1], [2, 2])
    assert one["tasks"] < two["tasks"]
    for found, given in ((one, {}), (two, mine)):
        before, after = found["environment"]
        assert before == after == {name: given.get(name) for name in OURS}
