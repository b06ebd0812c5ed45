"""Data that a person's function gives."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from hpo import DataError, HpoError, SpecError
from hpo.data import doubts_about, load_labels, load_test, load_train, splits_of
from hpo.data.library import digest_of_test
from hpo.spec import Data, StudySpec, from_json, load, to_json
from tests.command import quick

X = "import numpy as np\nx = np.arange(80.0).reshape(20, 4)\ny = np.arange(20) % 2\n"


def data(folder: Path, returned: str, *, before: str = X, **keys: Any) -> Data:
    path = folder / "mine.py"
    path.write_text(f"{before}def load():\n    return {returned}\n")
    return Data(file=str(path), **keys)


def test_a_study_file_names_a_function_beside_it(tmp_path: Path) -> None:
    written = data(tmp_path, "x, y")
    (tmp_path / "study.toml").write_text(
        'name = "s"\nkind = "search"\ndata = { file = "mine.py", validation = 0.25 }\ntrials = 2\n'
        "[space]\nlearning_rate = [0.1, 0.01]\n"
    )
    spec = load(tmp_path / "study.toml")
    code = spec.data.code
    assert code is not None
    assert (code.file, code.function) == (str(tmp_path / "mine.py"), "load")
    assert code.digest == hashlib.sha256((tmp_path / "mine.py").read_bytes()).hexdigest() == written.digest
    assert from_json(json.loads(json.dumps(to_json(spec)))) == spec
    shown = quick("data", "show", "study.toml", "--format", "json", folder=tmp_path)
    assert json.loads(shown.stdout)["samples"] == 20


@pytest.mark.parametrize(
    ("keys", "line"),
    [
        ({"file": "absent.py"}, "data.file: there is no such file"),
        ({"file": "mine.py", "function": "lod"}, "function of mine.py, but got 'lod'. Did you mean 'load'?"),
        (
            {"file": "mine.py", "function": "needs"},
            "data.function: needs must take no arguments, but got 'n'",
        ),
        ({"file": "mine.py", "name": "digits"}, "data.name: cannot be set with file"),
        ({"name": "mine.py"}, 'Write data = { file = "mine.py", function = "load" }.'),
        ({"name": "digits", "function": "load"}, "data.function: needs the file that it is of"),
        ({"file": 3}, "data.file: must be the path of a Python file"),
    ],
)
def test_what_a_study_says_of_it_is_checked_from_the_text(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, keys: dict[str, Any], line: str
) -> None:
    monkeypatch.chdir(tmp_path)
    data(tmp_path, "x, y")
    with (tmp_path / "mine.py").open("a") as file:
        file.write("def needs(n): ...\nraise RuntimeError('it is not run')\n")
    with pytest.raises(SpecError) as told:
        StudySpec(name="s", kind="search", data=keys, trials=1, space={"learning_rate": [0.1, 0.2]})
    assert line in str(told.value)


@pytest.mark.parametrize(
    "returned",
    [
        "x, y",
        "[x, y]",
        "{'X': x, 'y': y.tolist()}",
        "pd.DataFrame(x), pd.Series(y)",
        "tf.data.Dataset.from_tensor_slices((x, y)).batch(6)",
    ],
)
def test_the_same_arrays_are_the_same_data_however_they_are_given(tmp_path: Path, returned: str) -> None:
    np.savez(tmp_path / "same.npz", x=np.arange(80.0).reshape(20, 4), y=np.arange(20) % 2)
    more = {"pd": "import pandas as pd\n", "tf": "import tensorflow as tf\n"}.get(returned[:2], "")
    given = load_train(data(tmp_path, returned, before=X + more))
    assert given.digest == load_train(str(tmp_path / "same.npz")).digest
    assert (given.task_name, given.scale) == ("multi-class", 1.0)


def test_a_test_part_is_returned_or_set_aside(tmp_path: Path) -> None:
    for returned in (
        "(x[:15], y[:15]), (x[15:], y[15:])",
        "dict(x=x[:15], y=y[:15], x_test=x[15:], y_test=y[15:])",
    ):
        both = data(tmp_path, returned)
        assert (len(load_train(both)), len(load_test(both))) == (15, 5)
        assert digest_of_test(both) == load_test(both).digest
    share = data(tmp_path, "x, y", test=0.2)
    train, test = load_train(share), load_test(share)
    assert (len(train), len(test)) == (16, 4)
    assert not {*train.x[:, 0]} & {*test.x[:, 0]}
    assert digest_of_test(data(tmp_path, "x, y")) is None
    with pytest.raises(DataError, match="must return a test part too"):
        load_test(data(tmp_path, "x, y"))
    with pytest.raises(DataError, match=r"data\.test: has no effect, as mine\.py: load gives a test part"):
        load_train(data(tmp_path, "(x, y), (x, y)", test=0.2))


def test_whole_numbers_stay_whole_and_bytes_are_pixels(tmp_path: Path) -> None:
    tokens = load_train(data(tmp_path, "x.astype(int), y"))
    assert (tokens.dtype, tokens.scale, tokens.x.dtype) == ("int32", 1.0, np.int32)
    assert doubts_about(tokens, Data(name="digits")) == []
    assert load_train(data(tmp_path, "x.astype(int) * 2**40, y")).dtype == "int64"
    pixels = load_train(data(tmp_path, "x.astype('uint8'), y"))
    assert (pixels.dtype, pixels.scale) == ("uint8", 1 / 255)


def test_several_inputs_are_split_by_rows_and_known_by_their_names(tmp_path: Path) -> None:
    several = load_train(data(tmp_path, "{'table': x, 'one': y * 3}, y"))
    assert several.sample_shape == {"table": (4,), "one": ()}
    assert several.dtype == {"table": "float32", "one": "int32"}
    assert len(several) == 20
    train, _ = splits_of(several, Data(name="digits", validation=0.25))[0]
    part = several.part(train)
    assert part.x["table"].tolist() == several.x["table"][train].tolist()
    assert part.x["one"].tolist() == (part.y * 3).tolist()
    renamed = load_train(data(tmp_path, "{'rows': x, 'one': y * 3}, y"))
    listed = load_train(data(tmp_path, "[x, y * 3], y"))
    assert listed.sample_shape == ((4,), ())
    assert len({several.digest, renamed.digest, listed.digest}) == 3


def test_several_outputs_are_a_task_of_their_own(tmp_path: Path) -> None:
    several = data(tmp_path, "x, {'class': y + 1, 'amount': x[:, 0]}")
    loaded = load_train(several)
    assert (loaded.task_name, loaded.names, loaded.class_counts) == ("several", ("class", "amount"), [])
    assert loaded.units == {"class": 3, "amount": 1}
    assert load_labels(several)[0].digest == loaded.digest
    assert len(splits_of(loaded, several)[0][1]) == 4
    with pytest.raises(DataError, match="task: must be 'several' for several outputs"):
        load_train(several, task="binary")
    for other in ("digits", data(tmp_path, "x, y")):
        with pytest.raises(DataError, match="task"):
            load_train(other, task="several")


def test_samples_may_have_weights(tmp_path: Path) -> None:
    weighted = load_train(data(tmp_path, "x, y, y + 0.5"))
    assert weighted.weight is not None
    assert weighted.weight.tolist()[:2] == [0.5, 1.5]
    with pytest.raises(DataError, match="weight: must be finite numbers of at least 0"):
        load_train(data(tmp_path, "x, y, y - 0.5"))


def load_both(given: Data) -> None:
    load_train(given)
    load_test(given)


@pytest.mark.parametrize(
    ("returned", "line"),
    [
        ("1 / 0", "mine.py: load: must give data, but got 'line 6: ZeroDivisionError: division by zero'"),
        ("x", "must return (x, y), ((x, y), (x_test, y_test)), a dict of x_train"),
        ("x, y[1:]", "the same number of samples, at least 1, but got 'x of 20, y of 19'"),
        ("{'x': x}", "must return y_train too, but got ['x']"),
        ("x[:, 0], y", "load: x: must have shape (samples, features, ...)"),
        ("x + np.nan, y", "load: x: values must be finite in float32"),
        ("{'a': x, 'b': y.astype(str)}, y", "load: x['b']: must be an array of real numbers"),
        ("{'a': {'b': x}}, y", "load: x['a']: must be an array, or a dict or a list of arrays"),
        ("x, np.array([None] * 19 + [{}])", "load: y: must be numbers, text or truth values"),
        ("(x, y), (x[:, 1:], y)", "must have the training part's shape {'x': (4,)}, but got {'x': (3,)}"),
        ("(x, y), (x, y + 1)", "y_test: must be among the training part's classes"),
        ("tf.data.Dataset.from_tensor_slices((x, y))", "must return a data set of batches"),
        ("tf.data.Dataset.from_tensors((x, y)).repeat()", "must return a data set that has an end"),
    ],
)
def test_what_it_gives_is_told_in_one_line(tmp_path: Path, returned: str, line: str) -> None:
    more = "import tensorflow as tf\n" if returned.startswith("tf") else "\n"
    with pytest.raises(HpoError) as told:
        load_both(data(tmp_path, returned, before=X + more))
    assert line in str(told.value)
    assert "\n" not in str(told.value)


def test_a_line_is_told_of_a_file_behind_a_link(tmp_path: Path) -> None:
    real, link = tmp_path / "real", tmp_path / "link"
    real.mkdir()
    link.symlink_to(real)
    with pytest.raises(DataError) as told:
        load_both(data(link, "1 / 0"))
    assert "mine.py: load: must give data, but got 'line 5: ZeroDivisionError" in str(told.value)


def test_keys_of_tables_say_nothing_of_it(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"data\.target: has no effect on"):
        load_train(data(tmp_path, "x, y", target="y"))
    with pytest.raises(DataError, match=r"data\.test: must be a share"):
        load_train(data(tmp_path, "x, y", test="other.csv"))


def test_it_is_called_once_and_its_arrays_stay_its_own(tmp_path: Path) -> None:
    before = X + "x = x.astype('float32')\ncalls = []\n"
    # The second time there would be another target.
    once = data(tmp_path, "calls.append(1) or (x, y + len(calls))", before=before)
    first = load_train(once)
    assert load_train(once).digest == first.digest
    assert digest_of_test(once) is None
    assert first.names == ("1", "2")
    assert not first.x.flags.writeable
