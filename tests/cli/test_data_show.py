"""What `hpo data show` says of a test part."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np

from hpo.data import load_test
from tests.command import quick


def test_data_show_describes_the_test_part(tmp_path: Path) -> None:
    x, y = np.zeros((10, 4), np.float32), np.arange(10) % 2
    np.savez(tmp_path / "whole.npz", x_train=x, y_train=y, x_test=x[:3], y_test=y[:3])
    np.savez(tmp_path / "half.npz", x_train=x, y_train=y)
    whole, half = (
        json.loads(quick("data", "show", name, "--format", "json", folder=tmp_path).stdout)
        for name in ("whole.npz", "half.npz")
    )
    assert (whole["test_samples"], whole["test_class_counts"]) == (3, [2, 1])
    assert whole["test_digest"] == load_test(str(tmp_path / "whole.npz")).digest
    assert (half["test_samples"], half["test_class_counts"], half["test_digest"]) == (0, [], None)
    assert whole["digest"] == half["digest"]
