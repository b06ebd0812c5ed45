"""Training of any compiled Keras model: an epoch as one program, runs that take turns, `hpo.fit`.

Knows no Optuna and no study. This package itself imports no TensorFlow, which takes seconds; `epochs`, `runs`
and `fit` do, and `device` does when it is told to.
"""
