"""How far a study is while it is trained: on a terminal, in a notebook, or in lines.

`lines` says a trial in one line, `estimate` how long the rest will take, `display` shows both while a
program trains, and `watching` what any terminal that reaches the database can see, with curves. Reads trials
as Optuna has them; writes nothing and trains nothing.
"""

from hpo.progress.display import StudyProgress
from hpo.progress.watching import watch

__all__ = ["StudyProgress", "watch"]
