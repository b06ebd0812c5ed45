"""What a model has to know of data to be built for them, without the data."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any, Self

from hpo.data import Column, Dataset, mapped
from hpo.spec import Compile, Hyperparameters, StudySpec

if TYPE_CHECKING:
    from hpo.models.families import Signature


@dataclass(frozen=True)
class Shapes:
    """Shapes and types of a study's data, nested as they are. `columns`: those that are prepared."""

    sample_shape: Any
    dtype: Any
    target_shape: Any
    target_dtype: Any
    units: Any
    classes: int
    scale: float
    task: str
    is_table: bool
    columns: tuple[Column, ...]
    weighted: bool

    @classmethod
    def of(cls, dataset: Dataset, spec: StudySpec) -> Self:
        """Those of a data set as a study trains on it."""
        return cls(
            sample_shape=dataset.sample_shape,
            dtype=dataset.dtype,
            target_shape=mapped(lambda y: y.shape[1:], dataset.y),
            target_dtype=mapped(lambda y: str(y.dtype), dataset.y),
            units=dataset.units,
            classes=dataset.classes,
            scale=dataset.scale,
            task=dataset.task_name,
            is_table=bool(dataset.columns),
            columns=_prepared_columns(dataset, spec),
            weighted=dataset.weight is not None,
        )

    def signature(self, named: Compile | None) -> Signature:
        """What goes into a model of such data and comes out of it; `named`: its loss and metrics.

        To be asked for after TensorFlow has been prepared.
        """
        from hpo.models.families import Signature
        from hpo.tasks import TASKS

        return Signature(
            self.sample_shape,
            self.classes,
            self.scale,
            TASKS[self.task],
            self.columns,
            self.weighted,
            self.dtype,
            self.units,
            named,
        )

    def settled(self, h: Hyperparameters) -> Hyperparameters:
        """With what the data say where the hyperparameters say nothing."""
        return h.model_copy(update={"scaling": self.scaling(h)})

    def scaling(self, h: Hyperparameters) -> str:
        """How columns of numbers are scaled: if nothing says, a table's to mean 0 and deviation 1."""
        return h.scaling or ("standard" if self.is_table else "none")

    def to_json(self) -> dict[str, Any]:
        """JSON values from which `from_json` makes the same."""
        return asdict(self)

    @classmethod
    def from_json(cls, values: Mapping[str, Any]) -> Self:
        """The shapes of these JSON values."""
        columns = [Column(**column | {"levels": tuple(column["levels"])}) for column in values["columns"]]
        found = {**values, "columns": tuple(columns)}
        for shape, kind in (("sample_shape", "dtype"), ("target_shape", "target_dtype")):
            # JSON has lists for tuples: of a nest, and of a shape.
            held = values[kind]
            found[kind] = tuple(held) if isinstance(held, list) else held
            found[shape] = mapped(lambda _, one: tuple(one), found[kind], values[shape])
        if isinstance(values["units"], list):
            found["units"] = tuple(values["units"])
        return cls(**found)


def _prepared_columns(dataset: Dataset, spec: StudySpec) -> tuple[Column, ...]:
    """The columns that are prepared: a table's or, of rows of numbers, those to be scaled."""
    if dataset.columns or dataset.is_nested or not spec.sets("scaling"):
        return dataset.columns
    (count,) = dataset.sample_shape
    return tuple(Column(str(index), "number") for index in range(count))
