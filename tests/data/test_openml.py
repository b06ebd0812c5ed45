"""Tables of OpenML: from what was fetched before, and one line where they cannot be had."""

from __future__ import annotations

import gzip
import hashlib
import json
import time
from pathlib import Path

import pytest

from hpo import data
from hpo.spec import Data
from tests.data.files import error_of

ARFF = """@RELATION trees
@ATTRIBUTE height NUMERIC
@ATTRIBUTE 'kind of bark' {smooth,rough}
@ATTRIBUTE class {oak,elm}
@DATA
1.5,smooth,oak
2.5,rough,elm
?,rough,oak
4.5,?,elm
"""


def keep(folder: Path, path: str, content: bytes) -> None:
    """An answer as scikit-learn keeps it."""
    file = folder / "openml" / "openml.org" / f"{path}.gz"
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_bytes(gzip.compress(content))


def trees(folder: Path) -> None:
    """Set 61, here a table of trees, as if it had been fetched."""
    columns = [("height", "numeric"), ("kind of bark", "nominal"), ("class", "nominal")]
    features = [
        {
            "index": str(index),
            "name": name,
            "data_type": kind,
            "is_target": "true" if name == "class" else "false",
            "is_ignore": "false",
            "is_row_identifier": "false",
            "number_of_missing_values": "0",
        }
        for index, (name, kind) in enumerate(columns)
    ]
    description = {
        "id": "61",
        "name": "trees",
        "version": "1",
        "description": "Some trees.",
        "format": "ARFF",
        "status": "active",
        "file_id": "7",
        "default_target_attribute": "class",
        "md5_checksum": hashlib.md5(ARFF.encode()).hexdigest(),
        "url": "https://www.openml.org/data/v1/download/7/trees.arff",
    }
    keep(folder, "api/v1/json/data/61", json.dumps({"data_set_description": description}).encode())
    keep(
        folder, "api/v1/json/data/features/61", json.dumps({"data_features": {"feature": features}}).encode()
    )
    keep(folder, "api/v1/json/data/qualities/61", b'{"data_qualities": {"quality": []}}')
    keep(folder, "data/v1/download/7/trees.arff", ARFF.encode())


@pytest.mark.slow
def test_without_a_network_one_line_says_so_within_seconds(tmp_path, monkeypatch):
    monkeypatch.setenv("HPO_DATA_DIR", str(tmp_path))
    # As a machine without a network, also where there is one.
    monkeypatch.setenv("https_proxy", "http://127.0.0.1:9")
    start = time.monotonic()
    message = error_of(data.load_train, "openml:61")
    assert time.monotonic() - start < 15
    assert message.startswith("openml:61: must be delivered by openml.org, but got ")
    assert message.endswith("Check the number and the network, or save the table as a file and name that.")


def test_a_set_that_was_fetched_is_a_table(tmp_path, monkeypatch):
    monkeypatch.setenv("HPO_DATA_DIR", str(tmp_path))
    monkeypatch.setenv("https_proxy", "http://127.0.0.1:9")
    trees(tmp_path)
    dataset = data.load_train("openml:61")
    assert (dataset.task_name, dataset.names, dataset.y.tolist()) == ("binary", ("elm", "oak"), [1, 0, 1, 0])
    assert [(column.name, column.kind, column.has_gaps) for column in dataset.columns] == [
        ("height", "number", True),
        ("kind of bark", "category", True),
    ]
    assert dataset.said.startswith("task: binary, since target 'class' has 2 values: elm, oak")
    kinds = data.load_train(Data(name="openml:61", target="class", drop="height"))
    assert [column.name for column in kinds.columns] == ["kind of bark"]
    assert data.digest_of_test("openml:61") is None
    assert "must have a test part" in error_of(data.load_test, "openml:61")
