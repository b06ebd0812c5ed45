"""What is learned: one class of several, one of two, any of several labels, quantities, or several of these.

A task owns what a model's outputs are, the loss, the metrics of epochs and results, how a split is stratified
and what a prediction says; nothing outside asks which one it is. `classes`, `labels`, `quantities` and
`several` have them, `TASKS` by name. Nothing heavy is imported: layers and losses are named as
Keras names them.
"""

from hpo.tasks.classes import Binary, MultiClass
from hpo.tasks.labels import MultiLabel
from hpo.tasks.quantities import Regression
from hpo.tasks.several import Several
from hpo.tasks.task import Task

TASKS: dict[str, Task] = {
    task.name: task for task in (MultiClass(), Binary(), MultiLabel(), Regression(), Several())
}

__all__ = ["TASKS", "Task"]
