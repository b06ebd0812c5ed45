"""Data sets by name or path, as arrays with a digest; stratified splits and folds of them.

May import `spec` and what stands below it. How files are read, where known sets come from and what they must
be are private; `archive.DAMAGE` lists what damaged files raise.
"""

from hpo.data.dataset import Dataset, samples_picture
from hpo.data.library import (
    KnownSet,
    Progress,
    check_name,
    data_dir,
    digest_of_test_part,
    fetch,
    known,
    load_test,
    load_train,
    samples_of_test_part,
    train_samples,
)
from hpo.data.splits import Split, check_split, stratified_folds, stratified_split

__all__ = [
    "Dataset",
    "KnownSet",
    "Progress",
    "Split",
    "check_name",
    "check_split",
    "data_dir",
    "digest_of_test_part",
    "fetch",
    "known",
    "load_test",
    "load_train",
    "samples_of_test_part",
    "samples_picture",
    "stratified_folds",
    "stratified_split",
    "train_samples",
]
