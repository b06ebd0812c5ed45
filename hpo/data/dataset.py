"""A data set in memory."""

from __future__ import annotations

import hashlib
import json
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from hpo.data.catalog import sha256
from hpo.data.columns import Column
from hpo.data.csv_form import CsvForm
from hpo.data.nests import flat, is_nested, mapped, named
from hpo.tasks import TASKS, Task

Array = np.ndarray[Any, Any]


@dataclass(frozen=True, eq=False)
class Dataset:
    """One part (training or test) of a data set; its arrays are read-only.

    `x`: (samples, *sample shape), uint8 or float32; of a table its columns as numbers, which `columns` says;
    of a person's function also int32, or several such arrays (`nests`).
    `y`: targets as the task has them: (samples,), int64 class indices, or (samples, targets), float32; of
    several outputs such arrays.
    `classes`: how many classes, labels or quantities there are; `class_names` are their names, empty if
    unknown. `scale`: what stored values are multiplied by before the model. `digest`: SHA-256 over shape,
    dtype and bytes of the arrays, and of a table what its columns are. `weight`, `groups` and `times`,
    (samples,), are None where there are none: how much each sample counts, which belong together, and when
    they are of. `said`: why the targets were taken for this task. `doubts`: what its numbers lose
    in float32, a line each. `target`: a table's columns that are predicted; `form`: how its CSV file is
    written, None of others.
    """

    name: str
    x: Any
    y: Any
    classes: int
    scale: float
    digest: str
    class_names: tuple[str, ...] = ()
    task_name: str = "multi-class"
    columns: tuple[Column, ...] = ()
    weight: Array | None = None
    groups: Array | None = None
    times: Array | None = None
    said: str = ""
    doubts: tuple[str, ...] = ()
    target: tuple[str, ...] = ()
    form: CsvForm | None = None

    @property
    def task(self) -> Task:
        """What is learned."""
        return TASKS[self.task_name]

    @property
    def names(self) -> tuple[str, ...]:
        """The names of classes, labels or quantities, or their numbers."""
        return self.class_names or tuple(map(str, range(self.classes)))

    @property
    def class_counts(self) -> list[int]:
        """Samples of each class; none of a task without classes."""
        strata = self.task.strata(self.y)
        counts = np.zeros(0, int) if strata is None else np.bincount(strata, minlength=self.classes)
        found: list[int] = counts.tolist()
        return found

    @property
    def sample_shape(self) -> Any:
        """Shape of one sample; of several inputs, nested as they are, of each."""
        return mapped(lambda x: x.shape[1:], self.x)

    @property
    def dtype(self) -> Any:
        """The type of the samples' numbers, or of each input."""
        return mapped(lambda x: str(x.dtype), self.x)

    @property
    def is_nested(self) -> bool:
        """Whether its samples have several inputs."""
        return is_nested(self.x)

    @property
    def units(self) -> Any:
        """Output units of a model; of several outputs of each: its classes, or its quantities."""
        if not is_nested(self.y):
            return self.task.units(self.classes)
        return mapped(lambda y: int(y.max()) + 1 if y.dtype.kind == "i" else y.shape[1], self.y)

    def __len__(self) -> int:
        return len(flat(self.x)[0])

    def part(self, rows: Array) -> Dataset:
        """These samples alone."""

        def taken(array: Array | None) -> Array | None:
            return None if array is None else array[rows]

        return make_dataset(
            self.name,
            mapped(lambda x: x[rows], self.x),
            mapped(lambda y: y[rows], self.y),
            classes=self.classes,
            scale=self.scale,
            class_names=self.class_names,
            task=self.task_name,
            columns=self.columns,
            weight=taken(self.weight),
            groups=taken(self.groups),
            times=taken(self.times),
            said=self.said,
            target=self.target,
            doubts=self.doubts,
            form=self.form,
        )


def make_dataset(
    name: str,
    x: Any,
    y: Any,
    *,
    classes: int,
    scale: float,
    class_names: tuple[str, ...] = (),
    x_sha256: str = "",
    task: str = "multi-class",
    columns: tuple[Column, ...] = (),
    weight: Array | None = None,
    groups: Array | None = None,
    times: Array | None = None,
    said: str = "",
    target: tuple[str, ...] = (),
    doubts: tuple[str, ...] = (),
    form: CsvForm | None = None,
) -> Dataset:
    """A Dataset with its digest; `x_sha256` spares hashing an `x` whose bytes were just checked."""
    x = mapped(np.ascontiguousarray, x)
    if is_nested(y):
        y = mapped(np.ascontiguousarray, y)
    else:
        y = np.ascontiguousarray(y, dtype=np.int64 if TASKS[task].strata(y) is not None else np.float32)
    parts = [(array, x_sha256 or sha256(array)) for array in flat(x)]
    parts += [(array, sha256(array)) for array in (*flat(y), weight, groups, times) if array is not None]
    text = "".join(f"{array.dtype.str} {array.shape} {digest}\n" for array, digest in parts)
    if is_nested(x) or is_nested(y):
        text += json.dumps([list(named(x, "x")), list(named(y, "y"))])
    if columns:
        text += json.dumps([asdict(column) for column in columns])
    for array, _ in parts:
        array.setflags(write=False)
    digest = hashlib.sha256(text.encode()).hexdigest()
    return Dataset(
        name,
        x,
        y,
        classes,
        scale,
        digest,
        class_names,
        task,
        columns,
        weight,
        groups,
        times,
        said,
        doubts,
        target,
        form,
    )
