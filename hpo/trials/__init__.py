"""One claimed trial, from hyperparameters to its result.

A worker hands a trial to the `runner`, which trains its replicates on a study's data (`study_data`) in
`lockstep`, an epoch each: `progress` reports their mean and hears whether to prune, `checkpoints` keep what
the next worker goes on from, `final_metrics` are the means of what is measured at the end. How it ended is an
`Outcome`, which the worker records; what people then read of it is the record, `Trial`. Imports storage,
search, pictures, models, training, data, own. What trains needs TensorFlow: whoever trains imports it.
"""

from hpo.trials.attachments import (
    CURVES_FILE,
    MODEL_FILE,
    PREDICTIONS_FILE,
    VALIDATION_FILE,
    Validated,
    curves_file,
    predictions_file,
    read_validation,
)
from hpo.trials.checkpoints import CHECKPOINT_SECONDS, Checkpoints, TrialCheckpoints
from hpo.trials.outcome import Outcome, Replicate, StoppedError
from hpo.trials.record import COMPILED_ATTRIBUTE, STATES, Trial, params_of

__all__ = [
    "CHECKPOINT_SECONDS",
    "COMPILED_ATTRIBUTE",
    "CURVES_FILE",
    "MODEL_FILE",
    "PREDICTIONS_FILE",
    "STATES",
    "VALIDATION_FILE",
    "Checkpoints",
    "Outcome",
    "Replicate",
    "StoppedError",
    "Trial",
    "TrialCheckpoints",
    "Validated",
    "curves_file",
    "params_of",
    "predictions_file",
    "read_validation",
]
