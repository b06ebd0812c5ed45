"""The study files that `hpo init` writes."""

from __future__ import annotations

EXAMPLE = """\
# A study: which hyperparameters suit the digits data set? Check with `hpo validate`, start with `hpo run`.
name = "example"                  # unique in the database
kind = "search"                   # or "comparison"
description = "A first search on scikit-learn's digits."
data = { name = "digits", validation = 0.2 }    # or folds = 5; name may be a path that ends in .npz
objective = { metric = "val_accuracy", at = "last" }    # or at = "best": the epoch with the best value
# model = "cnn"                   # for images: filters, kernel_size, pooling, ... beside hidden_units
trials = 20                       # in all: running again with 30 adds ten
# confirm = { top = 2, seeds = 3 }    # of the trials those that train the best again; false: none
# max_epochs_total = 300          # or stop_at = 0.98, patience_trials = 10: no further trial begins
seeds = 1                         # training runs of each configuration; their mean is its value
sampler = { name = "auto", seed = 0 }           # or "tpe", "gp", "forest", "random", "grid", "qmc", ...
pruner = { name = "median", min_epochs = 5 }    # or "none", "successive_halving", "hyperband"

[params]                          # the same in every trial; what is not set has its default
hidden_units = [64, 32]           # one entry per hidden layer
activation = "relu"
optimizer = "adam"
epochs = 20
# batch_norm = "after"            # or "before" each activation
# early_stopping_patience = 5     # stop after five epochs without a lower val_loss
# schedule = "cosine"             # the learning rate falls to 0 over the run

[space]                           # what varies
learning_rate = { low = 1e-4, high = 1e-1, log = true }    # a table is a range
dropout = { low = 0.0, high = 0.5 }
batch_size = [32, 64]             # a list is a choice
# momentum = { low = 0.5, high = 0.99, when = { optimizer = "sgd" } }    # active only there
# hidden_units = { layers = [1, 3], units = [32, 64] }    # a list of varying length

# A comparison of fixed configurations over several seeds: `hpo init --comparison`.
"""

COMPARISON = """\
# A study: which optimizer suits the digits data set? Check with `hpo validate`, start with `hpo run`.
name = "example-comparison"       # unique in the database
kind = "comparison"               # or "search"
description = "Optimizers on scikit-learn's digits."
data = { name = "digits", validation = 0.2 }    # or folds = 5; name may be a path that ends in .npz
objective = { metric = "val_accuracy", at = "last" }    # or at = "best": the epoch with the best value
metrics = ["val_accuracy", "val_loss", "train_seconds"]    # what tables show, and verdicts are passed on
seeds = 5                         # each arm is trained with seeds 0 to 4; fewer seldom decide anything
baseline = "SGD"                  # the arm that the others are compared with

[params]                          # the same in every arm; what is not set has its default
hidden_units = [64, 32]           # one entry per hidden layer
batch_size = 32
epochs = 20

[[arms]]
name = "SGD"
optimizer = "sgd"
learning_rate = 0.01
momentum = 0.9

[[arms]]
name = "Adam"
optimizer = "adam"
learning_rate = 0.001

[[arms]]
name = "RMSprop"
optimizer = "rmsprop"
learning_rate = 0.001
"""


def example() -> str:
    """A commented study file, ready to run."""
    return EXAMPLE


def example_comparison() -> str:
    """The same of a comparison."""
    return COMPARISON
