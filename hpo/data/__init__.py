"""Data sets by name or path, as arrays with a digest; stratified splits and folds of them; samples as pixels.

A name goes to one of the `readers`, an entry for each kind of data: `known_sets` has those that are fetched
(`sources` says from where) and recognised by their digests (`catalog`), `own_files` people's arrays, with
`labels` what their targets mean, `table_sets` tables of files and packages, `image_folders` images by class,
`openml` what OpenML delivers, `functions` what a person's function gives, which may be several arrays side by
side (`nests`). All are private, as the files' formats are; `archive` reads and writes .npz files, and its
`DAMAGE` lists what damaged files raise. A table goes from a file (`tables`), written in one way or another
(`csv_form`), or from somebody's frame (`frames`) by its columns (`columns`) and targets (`targets`) to a data
set (`table_sets`); `outline` says what is in it, `doubts` what makes it doubtful. May import `spec` and what
stands below it.
"""

from hpo.data.bundled import bundled_sets, targets_of_bundled
from hpo.data.class_weights import check_class_weight, class_weights
from hpo.data.columns import Column, Layout
from hpo.data.csv_form import CsvForm
from hpo.data.dataset import Dataset
from hpo.data.doubts import doubts_about, doubts_about_columns, scales
from hpo.data.known_sets import KnownSet, Progress, known
from hpo.data.library import (
    check_keys,
    check_name,
    digest_of_test,
    fetch,
    has_target,
    has_test,
    is_table_set,
    load_columns,
    load_labels,
    load_parts,
    load_test,
    load_train,
)
from hpo.data.nests import flat, is_nested, mapped, named
from hpo.data.outline import Outline, outlined, outlined_targets
from hpo.data.picture import samples_picture
from hpo.data.pixels import as_pixels, is_image_shape
from hpo.data.preparation import Statistics, fitted
from hpo.data.splits import Split, check_splits, is_corrected, splits_of, stratified_folds, stratified_split
from hpo.files import data_dir

__all__ = [
    "Column",
    "CsvForm",
    "Dataset",
    "KnownSet",
    "Layout",
    "Outline",
    "Progress",
    "Split",
    "Statistics",
    "as_pixels",
    "bundled_sets",
    "check_class_weight",
    "check_keys",
    "check_name",
    "check_splits",
    "class_weights",
    "data_dir",
    "digest_of_test",
    "doubts_about",
    "doubts_about_columns",
    "fetch",
    "fitted",
    "flat",
    "has_target",
    "has_test",
    "is_corrected",
    "is_image_shape",
    "is_nested",
    "is_table_set",
    "known",
    "load_columns",
    "load_labels",
    "load_parts",
    "load_test",
    "load_train",
    "mapped",
    "named",
    "outlined",
    "outlined_targets",
    "samples_picture",
    "scales",
    "splits_of",
    "stratified_folds",
    "stratified_split",
    "targets_of_bundled",
]
