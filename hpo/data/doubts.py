"""What makes a table doubtful: things that are no errors and cost days, each in a line with its remedy.

All is told from a data set as models see it, on the splits that a study trains on. Of many rows some are
looked at, where all would take long, and the line says so.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from hpo.data.columns import GAP, Array, Column
from hpo.data.duplicates import are_in, row_hashes
from hpo.data.giveaways import FEWEST_ROWS, classes_explained, quantity_explained
from hpo.data.splits import Split, splits_of
from hpo.errors import DataError
from hpo.tables.numbers import number

if TYPE_CHECKING:
    from hpo.data.dataset import Dataset
    from hpo.spec.parts import Data

# Between the standard deviations of features, from where on small ones are learned little of.
MOST_RATIO = 100.0
# Rows that one column is looked at in for how much it says of the target.
SAMPLED = 20_000
# A class this much rarer than the commonest one, or of less than this share, is hardly learned.
MOST_IMBALANCE, RAREST = 20.0, 0.01
# A column with less than this share of values says little.
FEWEST_VALUES = 0.02
# One column gives the target away that explains so much of what is to be explained ...
GIVES_AWAY = 0.999
# ... where no other explains more than this, and there are enough rows for it to be no accident.
MOST_OF_OTHERS = 0.98
# Members of a class in each fold, below which a fold says little of the class.
FEWEST_IN_A_FOLD = 5
FLOAT32_WHOLE = 2**24
# Measurements may have more digits than anybody measured; from this share on they say less in float32.
DIGITS_KEPT = 0.9
FIRST = 1000
SHOWN = 5
NUMBER = re.compile(r"-?\d+(\.\d+)?")


@dataclass(frozen=True)
class Feature:
    """A column and where its numbers stand."""

    column: Column
    x: Array

    @property
    def values(self) -> Array:
        """One number a row: itself, the index of its level, or its day."""
        values: Array = self.x[:, 0]
        return values


def doubts_about(
    dataset: Dataset, data: Data, *, test: Dataset | None = None, scaling: str | None = None
) -> list[str]:
    """What makes it doubtful that a study of these data says what is hoped, a line each.

    `scaling` is how the study scales numbers, None for the default: of tables `standard`, of arrays `none`.
    What the data are refused for is not told again.
    """
    if not dataset.columns:
        said = scales(dataset) if scaling in (None, "none") else ""
        return [said] if said else []
    try:
        splits = splits_of(dataset, data)
    except DataError:
        splits = []
    found = features_of(dataset)
    lines = [
        *dataset.doubts,
        *_duplicates(dataset, splits, test),
        *_names(dataset),
        *_columns(found, dataset),
        *_given_away(found, dataset),
    ]
    lines += [*_classes(dataset, splits), *_new_levels(found, splits, dataset, test)]
    if scaling == "none" and (said := scales(dataset)):
        lines.append(said)
    return lines


def features_of(dataset: Dataset) -> list[Feature]:
    """The columns of a table with their numbers."""
    found, position = [], 0
    for column in dataset.columns:
        found.append(Feature(column, dataset.x[:, position : position + column.width]))
        position += column.width
    return found


def doubts_about_columns(dataset: Dataset) -> list[str]:
    """Those of `doubts_about` that need no target."""
    return [*dataset.doubts, *_names(dataset), *_columns(features_of(dataset), dataset)]


def lost_digits(name: str, values: Array) -> str:
    """A warning of different numbers that are the same ones in float32, or an empty string.

    `values`: (rows,), float64, as the table has them; the first ones are looked at.
    """
    exact = np.unique(values[:SAMPLED][np.isfinite(values[:SAMPLED])])
    left = len(np.unique(exact.astype(np.float32)))
    if left >= DIGITS_KEPT * len(exact):
        return ""
    return (
        f"column {name!r} has {len(exact)} different numbers in its first {min(len(values), SAMPLED)} rows,"
        f" of which float32, in which networks compute, tells {left} apart. Subtract what they share,"
        f" or leave it out: drop = [{_quoted(name)}]."
    )


def scales(dataset: Dataset) -> str:
    """A warning of features on very different scales, which is how networks learn little of small ones."""
    if dataset.is_nested or len(dataset.sample_shape) != 1 or len(dataset.x) < 2:
        return ""
    if dataset.x.dtype.kind == "i":  # of which a model looks things up
        return ""
    if dataset.columns:
        numbers = [
            (f.values, repr(f.column.name)) for f in features_of(dataset) if f.column.kind != "category"
        ]
    else:
        numbers = [(dataset.x[:, index], str(index)) for index in range(dataset.x.shape[1])]
    varying = []
    rows, _ = _sample(len(dataset.x))
    for values, name in numbers:
        known = (found := values[rows])[np.isfinite(found)]
        spread = float(known.std(dtype="float64")) if len(known) else 0.0
        if spread > 0:
            varying.append((spread, name))
    if not varying or (high := max(varying))[0] <= (low := min(varying))[0] * MOST_RATIO:
        return ""
    remedy = (
        'scale them with scaling = "standard" in [params].'
        if dataset.columns
        else "bring both parts to the training part's scale, "
        "(x - x_train.mean(axis=0)) / x_train.std(axis=0)."
    )
    return (
        f"features are on very different scales: column {high[1]} has a standard deviation of"
        f" {number(high[0])}, column {low[1]} of {number(low[0])}. Networks learn little of the latter:"
        f" {remedy}"
    )


def _duplicates(dataset: Dataset, splits: Sequence[Split], test: Dataset | None) -> Iterator[str]:
    """Rows of which the same are trained on."""
    rows = row_hashes(dataset)
    if splits:
        shares = [are_in(rows[later], rows[train]).sum() for train, later in splits]
        count, total = int(np.sum(shares)), sum(len(later) for _, later in splits)
        if count:
            where = "validation rows" if len(splits) == 1 else f"validation rows of {len(splits)} folds"
            yield (
                f"{count} of {total} {where} ({count / total:.1%}) also train, target and all, so results may"
                " be too good. Remove duplicate rows, or keep them together with a group column: data.group."
            )
    if test is not None and (count := int(are_in(row_hashes(test), rows).sum())):
        yield (
            f"{count} of {len(test)} test rows ({count / len(test):.1%}) are also in the training part."
            " Remove them from one of the two."
        )


def _columns(features: Sequence[Feature], dataset: Dataset) -> Iterator[str]:
    """Columns that say nothing, or that only count the rows."""
    constant, sparse, counting = list[str](), list[str](), list[str]()
    rows, _ = _sample(len(dataset))
    for feature in features:
        column = feature.column
        # What varies in some rows is not constant, and what does not count in the first ones never does.
        share = _known(column, feature.values[rows])
        if len(share) and (share[0] != share).any():
            if len(share) < FEWEST_VALUES * len(rows):
                sparse.append(column.name)
            elif column.kind == "number" and _counts_rows(feature.values[:FIRST]):
                counting += [column.name] if _counts_rows(feature.values) else []
            continue
        known = _known(column, feature.values)
        if not len(known) or (len(known) == len(dataset) and (known[0] == known).all()):
            constant.append(column.name)
        elif len(known) < FEWEST_VALUES * len(dataset):
            sparse.append(column.name)
    if constant:
        yield f"{_named(constant)} the same in every row. {_drop(constant)}"
    if sparse:
        yield f"{_named(sparse)} nearly all gaps (more than {1 - FEWEST_VALUES:.0%}). {_drop(sparse)}"
    if counting:
        yield f"{_named(counting)} an identifier: whole numbers that run up, all different. {_drop(counting)}"


def _names(dataset: Dataset) -> Iterator[str]:
    """A header that looks like a row."""
    named = [column.name for column in dataset.columns if NUMBER.fullmatch(column.name)]
    if len(named) > len(dataset.columns) / 2 and any("." in name for name in named):
        yield f"{_plain(named)} have numbers for names: is the first row no header? If so, add one."


def _known(column: Column, values: Array) -> Array:
    """The values that are no gaps."""
    is_gap = values == column.levels.index(GAP) if GAP in column.levels else ~np.isfinite(values)
    known: Array = values[~is_gap]
    return known


def _counts_rows(values: Array) -> bool:
    """Whether they are whole numbers, all different, in order, and near to each other."""
    if len(values) < FEWEST_ROWS or not np.isfinite(values).all() or values[0] != np.rint(values[0]):
        return False
    exact = values.astype(np.float64)
    steps = np.diff(exact)
    # Beyond 2**24 float32 does not tell neighbours apart.
    least = 0.0 if np.abs(exact).max() >= FLOAT32_WHOLE else 1.0
    return bool((steps >= least).all() and (exact == np.rint(exact)).all() and steps.max() > 0)


def _given_away(features: Sequence[Feature], dataset: Dataset) -> Iterator[str]:
    """A column that says nearly all of the target where no other does."""
    rows, said = _sample(len(dataset))
    is_class = dataset.task.strata(dataset.y) is not None
    if len(rows) < FEWEST_ROWS or (not is_class and dataset.y.shape[1] > 1):
        return
    y = dataset.y[rows].reshape(len(rows), -1)[:, 0].astype(np.float64)
    explained: Callable[[Array, Array], float] = classes_explained if is_class else quantity_explained
    scores = sorted(((explained(f.values[rows], y), f.column.name) for f in features), reverse=True)
    best = [name for score, name in scores if score > GIVES_AWAY]
    rest = [score for score, _ in scores if score <= GIVES_AWAY]
    # Of an easy set, several columns are nearly as good.
    if best and (len(best) == 1 or not is_class) and max(rest, default=0.0) <= MOST_OF_OTHERS:
        names, verb = _plain(best), "gives" if len(best) == 1 else "give"
        yield (
            f"{names} alone {verb} the target away (explains {scores[0][0]:.2%} of it{said}): is it known"
            f" when a prediction is made? If not: {_drop(best)}"
        )


def _classes(dataset: Dataset, splits: Sequence[Split]) -> Iterator[str]:
    """Classes that are rare, and those that are too small for what validates."""
    strata = dataset.task.strata(dataset.y)
    if strata is None:
        return
    counts = np.array(dataset.class_counts)
    low, high = int(counts.argmin()), int(counts.argmax())
    share = counts[low] / len(dataset)
    if share < RAREST or counts[high] > MOST_IMBALANCE * max(1, counts[low]):
        yield (
            f"class {dataset.names[low]} has {counts[low]} of {len(dataset)} rows ({share:.2%}), class"
            f" {dataset.names[high]} {counts[high]}: always saying the latter is right in"
            f" {counts[high] / len(dataset):.1%}. Judge by balanced_accuracy, f1 or average_precision, not by"
            " accuracy."
        )
    if splits:
        least = np.min([np.bincount(strata[later], minlength=dataset.classes) for _, later in splits], axis=0)
        few = [
            f"{dataset.names[index]} ({least[index]})" for index in np.flatnonzero(least < FEWEST_IN_A_FOLD)
        ]
        if few and len(splits) > 1:
            more = f" and {len(few) - SHOWN} more" if len(few) > SHOWN else ""
            yield (
                f"a fold has fewer than {FEWEST_IN_A_FOLD} rows of {', '.join(few[:SHOWN])}{more} to"
                " validate. Use fewer folds, or add rows of that class."
            )


def _new_levels(
    features: Sequence[Feature], splits: Sequence[Split], dataset: Dataset, test: Dataset | None
) -> Iterator[str]:
    """Levels of categories that what is trained on has not."""
    found: dict[str, list[str]] = {}
    of_test = features_of(test) if test is not None else [None] * len(features)
    new_in_test = list[str]()
    for feature, other in zip(features, of_test, strict=True):
        column = feature.column
        if column.kind != "category":
            continue
        codes, size = feature.values.astype(np.int64), len(column.levels)
        for train, later in splits:
            known = np.bincount(codes[train][codes[train] >= 0], minlength=size) > 0
            late = np.unique(codes[later])
            for code in late[late >= 0]:
                if not known[code]:
                    levels = found.setdefault(column.name, [])
                    levels += [column.levels[code]] if column.levels[code] not in levels else []
        if other is not None:
            there = np.zeros(size, bool)
            there[np.unique(codes[codes >= 0])] = True
            coded = other.values.astype(np.int64)
            missing = (coded < 0) | ~there[np.maximum(coded, 0)]
            if missing.any():
                new_in_test.append(f"{column.name} ({int(missing.sum())} rows)")
    if found:
        shown = [
            f"{name} ({', '.join(repr(level) for level in sorted(levels)[:3])}"
            f"{', ...' if len(levels) > 3 else ''})"
            for name, levels in found.items()
        ]
        yield (
            f"categories have levels that only validation rows have: {_listed(shown)}. They count as unknown:"
            " join rare levels, or leave the column out."
        )
    if new_in_test:
        yield (
            f"categories have levels that only the test part has: {_listed(new_in_test)}. They count as"
            " unknown: add training rows with them."
        )


def _sample(count: int) -> tuple[Array, str]:
    """The rows to look at, and what is said of that."""
    if count <= SAMPLED:
        return np.arange(count), ""
    rows = np.sort(np.random.default_rng(0).choice(count, SAMPLED, replace=False))
    return rows, f", told from {SAMPLED} rows"


def _named(names: Sequence[str]) -> str:
    return f"{_plain(names)} {'is' if len(names) == 1 else 'are each'}"


def _plain(names: Sequence[str]) -> str:
    return f"column{'' if len(names) == 1 else 's'} {_listed([repr(name) for name in names])}"


def _listed(names: Sequence[str]) -> str:
    more = f" and {len(names) - SHOWN} more" if len(names) > SHOWN else ""
    return f"{', '.join(names[:SHOWN])}{more}"


def _drop(names: Sequence[str]) -> str:
    more = ", ..." if len(names) > SHOWN else ""
    return f"Leave it out: drop = [{', '.join(map(_quoted, names[:SHOWN]))}{more}]."


def _quoted(name: str) -> str:
    """A name as TOML has it."""
    import json

    return json.dumps(name, ensure_ascii=False)
