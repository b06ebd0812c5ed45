"""Training of any compiled Keras model: loops that run an epoch, runs that take turns, `hpo.fit`.

`loops` has the three ways to run an epoch and alone knows TensorFlow's private parts, which is why the minor
version is bounded; `choice` says which of them trains what. `samples` is data on the device, `runs` trains on
it with Keras's callbacks, `kept` keeps a model's programs from one fit to the next, `program_cache` keeps
them on the disk. `fit` takes what `model.fit` takes, by `inputs` and what it imports. Knows no Optuna and no
study.

This package itself imports no TensorFlow, which takes seconds; most of its modules do, and `device` does when
it is told to.
"""
