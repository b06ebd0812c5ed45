"""An objective that a part that validates does not define is refused before there is a study."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

import hpo
from hpo.errors import DataError

ROWS = 60
FRAME = pd.DataFrame(
    {
        "x": np.arange(float(ROWS)),
        "day": np.arange(ROWS),
        # Only the first 40 days are mixed, and vary.
        "ill": ["a", "b"] * 20 + ["a"] * 20,
        "price": [*range(40), *[7.5] * 20],
        "counts": np.r_[np.ones(46), np.zeros(14)],
        "red": [0, 1] * 20 + [1] * 20,
        "blue": [0, 1] * 20 + [0] * 20,
    }
)


def create(folder: Path, metric: str, task: str, **data: Any) -> hpo.Study:
    return hpo.create_study(
        {
            "name": "own",
            "kind": "search",
            "task": task,
            "data": data,
            "objective": {"metric": metric},
            "trials": 1,
            "space": {"learning_rate": [0.1, 0.2]},
        },
        data=FRAME,
        storage=f"sqlite:///{folder / 'hpo.db'}",
        artifact_dir=folder / "artifacts",
    )


LAST_DAYS: dict[str, Any] = {"time": "day", "validation": 0.25}


@pytest.mark.parametrize(
    ("metric", "task", "data", "line"),
    [
        (
            "roc_auc",
            "binary",
            {"target": "ill", **LAST_DAYS},
            "roc_auc needs a sample of every class, which the validation part lacks."
            " Split the data otherwise, or judge by val_loss or val_accuracy.",
        ),
        (
            "average_precision",
            "multi-class",
            {"target": "ill", "time": "day", "folds": 5},
            "needs a sample of every class, which the validation part of fold 4 of 5 lacks.",
        ),
        (
            "r2",
            "regression",
            {"target": "price", **LAST_DAYS},
            "r2 needs two samples with different targets, which the validation part lacks."
            " Split the data otherwise, or judge by val_loss or val_rmse or val_mae.",
        ),
        (
            "r2",
            "regression",
            {"target": "x", "validation": 0.001},
            "r2 needs two samples with different targets, which the validation part lacks.",
        ),
        (
            "roc_auc",
            "multi-label",
            {"target": ["red", "blue"], **LAST_DAYS},
            "needs a label that some samples have and others do not, which the validation part lacks.",
        ),
    ],
)
def test_it_is_refused_in_a_line(
    tmp_path: Path, metric: str, task: str, data: dict[str, Any], line: str
) -> None:
    with pytest.raises(DataError) as caught:
        create(tmp_path, metric, task, **data)
    assert line in str(caught.value)
    assert "\n" not in str(caught.value)
    assert not (tmp_path / "hpo.db").exists()
    assert not [*(tmp_path / "artifacts").rglob("*.parquet")]


def test_what_is_always_defined_is_taken(tmp_path: Path) -> None:
    assert create(tmp_path, "f1", "binary", target="ill", **LAST_DAYS).spec.objective.metric == "f1"


def test_rows_that_count_for_nothing_define_nothing(tmp_path: Path) -> None:
    """By time, all but one of the last days have no weight, though their targets differ."""
    keys = {"target": "x", "weight": "counts", **LAST_DAYS}
    with pytest.raises(DataError, match="r2 needs two samples with different targets"):
        create(tmp_path, "r2", "regression", **keys)
    del keys["weight"]
    create(tmp_path, "r2", "regression", **keys)
