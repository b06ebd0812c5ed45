"""Compiled programs on the disk, through real processes: XLA's flags are read once in each."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

SCRIPT = """
import json
import os, sys
from hpo.training.device import prepare_tensorflow
ours = {name for name in os.environ if name.startswith(("OMP", "TF_"))}
prepare_tensorflow(1)
assert {name for name in os.environ if name.startswith(("OMP", "TF_"))} == ours
import keras, numpy as np, tensorflow as tf
from hpo.training.epochs import Samples
from hpo.training.runs import Trainer, Run

class Impossible(keras.layers.Layer):
    def call(self, x):
        # XLA has no strings.
        return x + 0 * tf.cast(tf.strings.length(tf.strings.as_string(x)), x.dtype)

keras.utils.set_random_seed(0)
model = keras.Sequential([keras.layers.Input((4,)), *([Impossible()] if sys.argv[1:] else []),
                          keras.layers.Dense(3, activation="softmax")])
model.compile("sgd", "sparse_categorical_crossentropy")
samples = Samples.of(np.arange(64, dtype=np.uint8).reshape(16, 4), np.arange(16) % 3)
trainer = Trainer(model)
trainer.build(samples)
run = Run(trainer, samples, batch_size=4, epochs=2)
while not run.finished:
    run.advance()
weights = [weight.tolist() for weight in trainer.state]
print(json.dumps({"compiled": type(trainer.epochs).__name__, "weights": weights}))
"""


def train(cache: Path, *arguments: str, **environment: str) -> dict[str, object]:
    inherited = {key: value for key, value in os.environ.items() if key != "TF_XLA_FLAGS"}
    finished = subprocess.run(
        [sys.executable, "-c", SCRIPT, *arguments],
        env=inherited | {"XDG_CACHE_HOME": str(cache), **environment},
        capture_output=True,
        text=True,
        check=True,
    )
    return json.loads(finished.stdout)


def kept(cache: Path) -> dict[Path, int]:
    return {file: file.stat().st_mtime_ns for file in cache.rglob("*.pb")}


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="the cache folder is moved by XDG_CACHE_HOME")
def test_a_second_process_loads_the_programs_and_damaged_ones_are_compiled_again(tmp_path: Path) -> None:
    first = train(tmp_path)
    programs = kept(tmp_path)
    assert programs
    second = train(tmp_path)
    assert kept(tmp_path) == programs
    # One cut off, one of other bytes, one empty; and one that nobody reads.
    damaged = sorted(programs)
    for file, content in zip(damaged, (damaged[0].read_bytes()[:200], b"\xff" * 5000, b""), strict=False):
        file.write_bytes(content)
    other = damaged[0].with_name("another.pb")
    other.write_bytes(b"of another program")
    third = train(tmp_path)
    assert first == second == third
    assert first["compiled"] == "CompiledEpochs"
    assert other.exists()
    assert not kept(tmp_path).keys() & set(damaged)
    assert train(tmp_path) == first
    assert kept(tmp_path).keys() >= {*programs, other}


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="the cache folder is moved by XDG_CACHE_HOME")
def test_a_model_that_xla_cannot_compile_costs_nobody_a_program(tmp_path: Path) -> None:
    train(tmp_path)
    programs = kept(tmp_path)
    assert train(tmp_path, "impossible")["compiled"] == "PlainEpochs"
    assert kept(tmp_path) == programs


@pytest.mark.skipif(sys.platform != "linux", reason="the cache folder is moved by XDG_CACHE_HOME")
def test_a_folder_that_cannot_be_written_costs_only_time(tmp_path: Path) -> None:
    blocked = tmp_path / "file"
    blocked.write_text("not a folder")
    assert train(blocked)["compiled"] == "CompiledEpochs"
