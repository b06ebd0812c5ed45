"""Hyperparameters to a Keras model whose strengths are variables, and that model as a file for others.

`mlp` builds, `layers` has what it builds of, `stock` makes a model of Keras's own layers out of it, `file`
writes and reads it; `needs` tells what code a file needs, and is the only one that does without TensorFlow.
So nothing is imported here.
"""
