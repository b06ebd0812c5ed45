"""Hyperparameters to Keras models whose strengths are variables, and such a model as a file for others.

`families` says what every family of models owes, `table` has them by name. `mlp` is written for its speed;
all others are functions that build a model, hpo's own or a person's: `built` makes networks of them,
`assembly` puts a model between data and task, `program_key` and `strengths` tell which models share a
program, `fresh` lets a seed determine them. `layers` and `preparation` are what models are built of, `stock`
writes an MLP in Keras's own layers, `file` writes and reads models. Most import TensorFlow, so nothing is
imported here.
"""
