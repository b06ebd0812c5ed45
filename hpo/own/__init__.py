"""Functions of a person's own, run from the files where they are: of models, data and callbacks.

The only place that runs code which is not hpo's. It comes from a file of the machine where the command is
given, and is the file that the study was made with: never from the database; or it is an object that a Python
program hands over, as the hypermodels of `spaces`. May import `spec` alone.
"""

from hpo.own.files import PUT_BACK, copy_code, is_of, own_file, text_of
from hpo.own.functions import file_of, own_function, own_names, refuse_inside, told
from hpo.own.session import given_names, is_here, model_of
from hpo.own.spaces import from_keras_tuner, from_optuna

__all__ = [
    "PUT_BACK",
    "copy_code",
    "file_of",
    "from_keras_tuner",
    "from_optuna",
    "given_names",
    "is_here",
    "is_of",
    "model_of",
    "own_file",
    "own_function",
    "own_names",
    "refuse_inside",
    "text_of",
    "told",
]
