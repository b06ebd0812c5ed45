"""Functions of a person's own, run from the files where they are: of models, data and callbacks.

The only place that runs code which is not hpo's. It comes from a file of the machine where the command is
given, and is the file that the study was made with: never from the database. May import `spec` alone.
"""

from hpo.own.functions import own_function, refuse_inside, told
from hpo.own.session import code_file, given_names, is_here, model_of

__all__ = ["code_file", "given_names", "is_here", "model_of", "own_function", "refuse_inside", "told"]
