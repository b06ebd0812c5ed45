"""The specification of a study: what a study file may say, and what it means.

Frozen, and checked when it is made. `study` has what all kinds share, `search`, `comparison` and `final` are
the kinds, `parts` their tables; `hyperparameters` and `networks` are the vocabularies of models, `space` is
what varies, `metrics` all that can be measured. `formats` reads and writes TOML and JSON, that of earlier
versions too; `changes` says what differs between two. Imports `tasks`, and neither Optuna nor TensorFlow:
files are checked in a moment. How a broken rule becomes a line (`base`) is private.
"""

from hpo.spec.changes import Change, changes
from hpo.spec.comparison import Arm, ComparisonSpec
from hpo.spec.dimensions import Choices, Dimension, Layers, Range
from hpo.spec.example import example, example_comparison
from hpo.spec.final import FinalSpec
from hpo.spec.formats import (
    as_written,
    from_json,
    load,
    loads,
    reread,
    to_json,
    to_table,
    to_toml,
    with_data,
    with_model,
)
from hpo.spec.hyperparameters import Hyperparameters, without_idle
from hpo.spec.json_schema import json_schema
from hpo.spec.kinds import parse
from hpo.spec.metrics import METRICS, Metric, is_own, metric_of, metrics_in, reported_name
from hpo.spec.networks import CnnHyperparameters, MlpHyperparameters
from hpo.spec.own_code import OwnCallbacks, OwnCode, OwnModel
from hpo.spec.parts import Compile, Data, Objective, Pruner, Sampler
from hpo.spec.search import SearchSpec
from hpo.spec.study import StudySpec, of_training
from hpo.spec.vocabulary import Vocabulary, vocabulary_of

__all__ = [
    "METRICS",
    "Arm",
    "Change",
    "Choices",
    "CnnHyperparameters",
    "ComparisonSpec",
    "Compile",
    "Data",
    "Dimension",
    "FinalSpec",
    "Hyperparameters",
    "Layers",
    "Metric",
    "MlpHyperparameters",
    "Objective",
    "OwnCallbacks",
    "OwnCode",
    "OwnModel",
    "Pruner",
    "Range",
    "Sampler",
    "SearchSpec",
    "StudySpec",
    "Vocabulary",
    "as_written",
    "changes",
    "example",
    "example_comparison",
    "from_json",
    "is_own",
    "json_schema",
    "load",
    "loads",
    "metric_of",
    "metrics_in",
    "of_training",
    "parse",
    "reported_name",
    "reread",
    "to_json",
    "to_table",
    "to_toml",
    "vocabulary_of",
    "with_data",
    "with_model",
    "without_idle",
]
