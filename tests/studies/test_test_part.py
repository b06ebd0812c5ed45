"""The data of a study, training and test part, stay what they were; and what is said if they do not."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import sqlalchemy as sa

import hpo
from hpo.data import digest_of_test, load_test
from hpo.errors import DataError, StudyError
from hpo.report import compose
from hpo.spec import loads
from hpo.studies.final import create_final
from tests.command import quick
from tests.recorded import record

SEARCH = """
name = "{name}"
kind = "search"
data = {{ name = "{data}", validation = {validation} }}
trials = 2
sampler = {{ name = "random", seed = 0 }}
[params]
hidden_units = [8]
epochs = 2
[space]
learning_rate = [0.01, 0.1]
"""
X = np.random.default_rng(0).random((40, 4), np.float32)
Y = np.arange(40) % 2
PARTS = {"x_train": X[:30], "y_train": Y[:30], "x_test": X[30:], "y_test": Y[30:]}
OTHER_TEST = {"y_test": 1 - Y[30:]}


def write(folder: Path, *, name: str = "own.npz", without: tuple[str, ...] = (), **changed: Any) -> Path:
    arrays = {key: array for key, array in (PARTS | changed).items() if key not in without}
    np.savez(folder / name, **arrays)
    return folder / name


NO_TEST = ("x_test", "y_test")


def spec(
    folder: Path, name: str = "search", *, data: str = "own.npz", validation: float = 0.2
) -> hpo.StudySpec:
    return loads(SEARCH.format(name=name, data=folder / data, validation=validation))


def create(folder: Path, name: str = "search", **options: Any) -> hpo.Study:
    url, artifacts = f"sqlite:///{folder / 'hpo.db'}", folder / "hpo-artifacts"
    return hpo.create_study(spec(folder, name, **options), storage=url, artifact_dir=artifacts)


def searched(folder: Path, name: str = "search", **options: Any) -> hpo.Study:
    study = create(folder, name, **options)
    record(
        study, lambda arm, number: {"val_accuracy": 0.8 + number / 100, "val_loss": 0.5, "train_seconds": 1.0}
    )
    return study


def evaluated(study: hpo.Study) -> hpo.Study:
    """A final evaluation whose predictions are all right."""
    final, test = create_final([study], seeds=2), load_test(study.spec.data.name)
    right = np.where(np.arange(2) == test.y[:, None], 0.9, 0.1).astype(np.float32)
    metrics = {
        "val_accuracy": 0.9,
        "val_loss": 0.4,
        "test_accuracy": 1.0,
        "test_loss": 0.1,
        "train_seconds": 1.0,
    }
    record(final, lambda arm, seed: metrics, predict=lambda number: right)
    return final


def as_version_0_1(study: hpo.Study) -> hpo.Study:
    """The study without what that version did not keep."""
    engine = sa.create_engine(study.storage.url)
    with engine.begin() as connection:
        connection.execute(sa.text("DELETE FROM study_user_attributes WHERE key = 'test_digest'"))
    return again(study)


def again(study: hpo.Study) -> hpo.Study:
    return hpo.open_study(study.name, storage=study.storage)


def reported(study: hpo.Study) -> str:
    document = compose([again(study)])
    folder = Path(study.storage.url.removeprefix("sqlite:///")).parent / "report"
    folder.mkdir(exist_ok=True)
    document.write(folder)
    return (folder / "report.html").read_text()


def refusal(*arguments: str, folder: Path) -> str:
    done = quick(*arguments, folder=folder)
    assert done.returncode == 2, done.stderr
    return done.stderr.splitlines()[-1]


CHANGED = "must have the test part that the study began with, which has changed since"


# ----------------------------------------------------------------------------------------- one digest


def test_a_study_keeps_the_digest_of_its_test_part(tmp_path: Path) -> None:
    name = str(write(tmp_path))
    assert create(tmp_path).test_digest == load_test(name).digest == digest_of_test(name)
    write(tmp_path, name="half.npz", without=NO_TEST)
    assert create(tmp_path, "half", data="half.npz").test_digest is None


def test_a_study_is_not_created_again_or_resumed_with_another_test_part(tmp_path: Path) -> None:
    write(tmp_path)
    create(tmp_path)
    write(tmp_path, **OTHER_TEST)
    with pytest.raises(DataError, match=CHANGED):
        create(tmp_path)
    said = f"data {tmp_path}/own.npz: {CHANGED}. Put that data back, or give the study a new name."
    assert refusal("resume", "search", folder=tmp_path) == said
    write(tmp_path, without=NO_TEST)
    assert refusal("resume", "search", folder=tmp_path) == said
    write(tmp_path)
    assert create(tmp_path).name == "search"


def test_no_final_evaluation_on_another_test_part_or_after_other_training_data(tmp_path: Path) -> None:
    write(tmp_path)
    study = searched(tmp_path)
    write(tmp_path, **OTHER_TEST)
    assert CHANGED in refusal("final", "search", folder=tmp_path)
    write(tmp_path, x_train=X[:30] + 1)
    assert "must be the data that the study began with" in refusal("final", "search", folder=tmp_path)
    assert [summary.name for summary in hpo.list_studies(storage=study.storage)] == ["search"]


def test_a_final_evaluation_does_not_go_on_with_another_test_part(tmp_path: Path) -> None:
    write(tmp_path)
    study = searched(tmp_path)
    final = create_final([study], seeds=2)
    write(tmp_path, **OTHER_TEST)
    with pytest.raises(DataError, match=CHANGED):
        create_final([study], seeds=2)
    # What a worker does.
    with pytest.raises(DataError, match=CHANGED):
        again(final).load_test_data()


def test_the_report_shows_no_predictions_beside_other_test_data(tmp_path: Path) -> None:
    write(tmp_path)
    final = evaluated(searched(tmp_path))
    assert "Confusion matrix of" in reported(final)
    write(tmp_path, **OTHER_TEST)
    text = reported(final)
    assert f"No pictures of predictions: data {tmp_path}/own.npz: {CHANGED}." in text
    assert "Confusion matrix of" not in text
    write(tmp_path, x_test=X[30:] + 1)
    assert "Confusion matrix of" not in reported(final)


def test_studies_of_other_test_parts_are_not_compared_or_evaluated_together(tmp_path: Path) -> None:
    write(tmp_path)
    write(tmp_path, name="other.npz", **OTHER_TEST)
    write(tmp_path, name="half.npz", without=NO_TEST)
    first, other = searched(tmp_path), searched(tmp_path, "other", data="other.npz")
    with pytest.raises(StudyError, match="study 'search', which has another test part"):
        hpo.compare_studies([first, other])
    with pytest.raises(DataError, match=CHANGED):
        create_final([first, other])
    # One without a test part has the same training data, which is what is compared.
    half = searched(tmp_path, "half", data="half.npz")
    assert len(hpo.compare_studies([first, half]).arms) == 4


def test_a_test_part_may_be_added_after_the_search_and_is_kept_then(tmp_path: Path) -> None:
    name = str(write(tmp_path, without=NO_TEST))
    study = searched(tmp_path)
    with pytest.raises(DataError, match="must have a test part"):
        create_final([study])
    write(tmp_path)
    final = create_final([study], seeds=2)
    assert final.test_digest == again(study).test_digest == digest_of_test(name)


# ------------------------------------------------------------------- what version 0.1 stored without it


def test_a_study_of_version_0_1_gets_the_digest_where_it_goes_on(tmp_path: Path) -> None:
    name = str(write(tmp_path))
    study = as_version_0_1(searched(tmp_path))
    assert study.test_digest is None
    study.confirm_data()
    assert again(study).test_digest == digest_of_test(name)
    as_version_0_1(study)
    create_final([again(study)], seeds=2)
    assert again(study).test_digest == digest_of_test(name)


def test_a_study_of_version_0_1_is_extended_and_gets_the_digest(tmp_path: Path) -> None:
    name = str(write(tmp_path))
    as_version_0_1(create(tmp_path))
    assert create(tmp_path).test_digest == digest_of_test(name)


@pytest.mark.long
def test_predictions_of_version_0_1_are_held_against_the_accuracy_that_was_measured(tmp_path: Path) -> None:
    write(tmp_path)
    final = as_version_0_1(evaluated(searched(tmp_path)))
    assert "Confusion matrix of" in reported(final)
    write(tmp_path, **OTHER_TEST)
    for _ in range(2):
        text = reported(final)
        assert "No pictures of predictions: the test data has changed since the evaluation." in text
        assert "Confusion matrix of" not in text
        # This does not make the data of today those of the evaluation.
        assert quick("resume", final.name, folder=tmp_path).returncode == 0


def test_a_study_of_version_0_1_goes_on_though_its_test_part_is_not_right(tmp_path: Path) -> None:
    write(tmp_path)
    study = as_version_0_1(searched(tmp_path))
    write(tmp_path, y_test=Y[30:] + 2)
    study.confirm_data()
    with pytest.raises(DataError, match="must be among the training part's classes"):
        create_final([study])


def test_a_split_of_version_0_1_that_left_a_class_out_is_not_mixed_with_another(tmp_path: Path) -> None:
    y = np.repeat([0, 1, 2], [50, 50, 2])
    write(tmp_path, without=NO_TEST, x_train=np.zeros((102, 4), np.float32), y_train=y)
    (tmp_path / "search.toml").write_text(SEARCH.format(name="search", data="own.npz", validation=0.05))
    study = create(tmp_path, validation=0.05)
    assert len(study.load_data().x) == 102
    create(tmp_path, "even", validation=0.2)
    as_version_0_1(study)
    assert len(hpo.open_study("even", storage=study.storage).load_data().x) == 102
    for command in (("resume", "search"), ("run", "search.toml")):
        line = refusal(*command, folder=tmp_path)
        assert "the split that the study began with leaves a class out of a part" in line
        assert line.endswith("Give the study a new name.")


# --------------------------------------------------------------------------- found before the search


def found(folder: Path, *, validation: str = "0.2", **arrays: Any) -> tuple[str, str, str]:
    """What `validate`, `create` and `data show` say of a file, without its name."""
    np.savez(folder / "own.npz", **arrays)
    (folder / "search.toml").write_text(SEARCH.format(name="search", data="own.npz", validation=validation))
    (folder / "hpo.db").unlink(missing_ok=True)
    done = [
        quick(*command, folder=folder)
        for command in (("validate", "search.toml"), ("create", "search.toml"), ("data", "show", "own.npz"))
    ]
    assert [answer.returncode for answer in done[:2]] == [2, 2]
    return tuple(answer.stderr.strip().removeprefix("search.toml: ") for answer in done)  # type: ignore[return-value]


def test_a_class_of_one_member_is_found_before_the_search(tmp_path: Path) -> None:
    validated, created, shown = found(tmp_path, x_train=X[:21], y_train=np.repeat([0, 1, 2], [10, 10, 1]))
    assert validated == created
    assert validated.startswith(
        "data set: every class must have at least 2 samples for a split, but got '1 of"
    )
    assert shown == f"own.npz: {validated}"


def test_a_class_that_only_the_test_part_has_is_found_before_the_search(tmp_path: Path) -> None:
    arrays = {"x_train": X[:20], "y_train": Y[:20], "x_test": X[20:], "y_test": Y[20:] * 2}
    said = [line.replace(f"{tmp_path}/", "") for line in found(tmp_path, **arrays)]
    line = "own.npz y_test: must be among the training part's classes, 0, 1, but got '2 in row 2 and 9 more'."
    assert said == [f"{line} Add training rows of that class, or leave out its test rows."] * 3


@pytest.mark.parametrize(("validation", "range_"), [("0.01", "0.034 to 0.933"), ("0.99", "0.034 to 0.933")])
def test_a_fraction_that_leaves_too_few_is_found_with_those_that_would_do(
    validation: str, range_: str, tmp_path: Path
) -> None:
    validated, created, _ = found(tmp_path, validation=validation, x_train=X[:30], y_train=Y[:30])
    assert validated == created
    assert validated.endswith(f"Use a fraction from {range_}.")


def test_known_sets_are_checked_without_being_fetched(tmp_path: Path) -> None:
    text = SEARCH.format(name="search", data="mnist", validation=1e-5)
    (tmp_path / "search.toml").write_text(text)
    done = quick("validate", "search.toml", folder=tmp_path, HPO_DATA_DIR=str(tmp_path / "data"))
    assert done.returncode == 2
    assert (
        "at least one for each of 10 classes, but got 1. Use a fraction from 0.001 to 0.999." in done.stderr
    )
    (tmp_path / "search.toml").write_text(text.replace("1e-05", "0.2"))
    done = quick("validate", "search.toml", folder=tmp_path, HPO_DATA_DIR=str(tmp_path / "data"))
    assert done.returncode == 0
    assert not (tmp_path / "data").exists()
