"""What a model has to know of data to be built for them, without the data."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any, Self

from hpo.data import Column, Dataset, mapped, splits_of
from hpo.spec import StudySpec


@dataclass(frozen=True)
class Shapes:
    """Shapes and types of a study's data, nested as they are. `samples`: of the first training part."""

    sample_shape: Any
    dtype: Any
    target_shape: Any
    target_dtype: Any
    units: Any
    classes: int
    scale: float
    task: str
    columns: tuple[Column, ...]
    weighted: bool
    samples: int

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
            columns=prepared_columns(dataset, spec),
            weighted=dataset.weight is not None,
            samples=len(splits_of(dataset, spec.data)[0][0]),
        )

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


def prepared_columns(dataset: Dataset, spec: StudySpec) -> tuple[Column, ...]:
    """The columns that are prepared: a table's or, of rows of numbers, those to be scaled."""
    if dataset.columns or dataset.is_nested or not spec.sets("scaling"):
        return dataset.columns
    (count,) = dataset.sample_shape
    return tuple(Column(str(index), "number") for index in range(count))
