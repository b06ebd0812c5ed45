"""Three ways to train a compiled Keras model for an epoch, under one contract.

`xla` is one program of XLA's an epoch, `graph` one TensorFlow graph, `fit` Keras's own. Which of them trains
what is `hpo.training.choice`'s to say. Imports TensorFlow.
"""

from hpo.training.loops.contract import BatchWatch, CompilationError, Loop
from hpo.training.loops.graph import GraphLoop
from hpo.training.loops.keras_fit import FitLoop
from hpo.training.loops.xla import XlaLoop

# By name, each before the one that trains what it cannot.
LOOPS: dict[str, type[Loop]] = {"xla": XlaLoop, "graph": GraphLoop, "fit": FitLoop}

__all__ = ["LOOPS", "BatchWatch", "CompilationError", "FitLoop", "GraphLoop", "Loop", "XlaLoop"]
