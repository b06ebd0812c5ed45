"""Functions of a person's own, run from the files where they are: of models, data and callbacks.

The only place that runs code which is not hpo's. It comes from a file of the machine where the command is
given, and is the file that the study was made with: never from the database. May import `spec` alone.
"""

from hpo.own.files import PUT_BACK, is_of, own_file, text_of
from hpo.own.functions import own_function, own_names, told

__all__ = ["PUT_BACK", "is_of", "own_file", "own_function", "own_names", "text_of", "told"]
