"""The loop that is one TensorFlow graph an epoch: its own kernels, and one trace for any batch size."""

from __future__ import annotations

import tensorflow as tf

from hpo.training.loops.programs import Program, ProgramLoop
from hpo.training.samples import Samples


class GraphLoop(ProgramLoop):
    """Runs each operation by TensorFlow's kernel of it: little to compile, and convolutions by oneDNN."""

    def _epoch_program(self, samples: Samples, batches: tf.Tensor) -> Program:
        return self._graph("train", samples, batches)
