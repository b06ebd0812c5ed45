"""The specification of a study: what a study file may say, and what it means."""

from hpo.spec.changes import Change, changes
from hpo.spec.comparison import Arm, ComparisonSpec
from hpo.spec.example import example, example_comparison
from hpo.spec.final import FinalSpec
from hpo.spec.formats import from_json, load, loads, reread, to_json, to_table, to_toml, with_data, with_model
from hpo.spec.hyperparameters import Hyperparameters, without_idle
from hpo.spec.json_schema import json_schema
from hpo.spec.kinds import parse
from hpo.spec.metrics import METRICS, Metric
from hpo.spec.networks import CnnHyperparameters, MlpHyperparameters
from hpo.spec.own_code import OwnCode, OwnModel
from hpo.spec.parts import Data, Objective, Pruner, Sampler
from hpo.spec.search import SearchSpec
from hpo.spec.space import Dimension, Range
from hpo.spec.study import StudySpec
from hpo.spec.vocabulary import Vocabulary, vocabulary_of

__all__ = [
    "METRICS",
    "Arm",
    "Change",
    "CnnHyperparameters",
    "ComparisonSpec",
    "Data",
    "Dimension",
    "FinalSpec",
    "Hyperparameters",
    "Metric",
    "MlpHyperparameters",
    "Objective",
    "OwnCode",
    "OwnModel",
    "Pruner",
    "Range",
    "Sampler",
    "SearchSpec",
    "StudySpec",
    "Vocabulary",
    "changes",
    "example",
    "example_comparison",
    "from_json",
    "json_schema",
    "load",
    "loads",
    "parse",
    "reread",
    "to_json",
    "to_table",
    "to_toml",
    "vocabulary_of",
    "with_data",
    "with_model",
    "without_idle",
]
