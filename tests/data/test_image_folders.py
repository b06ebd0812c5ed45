"""Folders of images by class: real files, read in threads, kept under the digest of what is in them."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from hpo import data
from hpo.data import image_folders
from hpo.spec import Data, load
from tests.data.files import error_of

RED, GREY, BLUE = (200, 10, 10), (90, 90, 90), (5, 5, 250)


@pytest.fixture(autouse=True)
def kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder of what was read before, which is empty."""
    folder = tmp_path / "kept"
    monkeypatch.setenv("HPO_DATA_DIR", str(folder))
    return folder


def paint(
    path: Path, colour: object, size: tuple[int, int] = (4, 3), mode: str = "RGB", **options: object
) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new(mode, size, colour).save(path, **options)


@pytest.fixture
def flowers(tmp_path: Path) -> Path:
    folder = tmp_path / "flowers"
    paint(folder / "tulip" / "b.png", RED)
    paint(folder / "tulip" / "a.png", BLUE)
    paint(folder / "daisy" / "1.jpg", GREY)
    paint(folder / "daisy" / "2.JPEG", GREY, quality=95)
    return folder


def test_a_subfolder_is_a_class_with_its_name(flowers, kept):
    (flowers / ".DS_Store").touch()
    (flowers / "daisy" / "Thumbs.db").touch()
    (flowers / "a list.txt").touch()
    dataset = data.load_train(f"{flowers}/")
    assert (dataset.x.dtype, dataset.x.shape, dataset.scale) == (np.uint8, (4, 3, 4, 3), 1 / 255)
    assert (dataset.y.tolist(), dataset.y.dtype) == ([0, 0, 1, 1], np.int64)
    assert (dataset.class_names, dataset.task_name) == (("daisy", "tulip"), "multi-class")
    assert dataset.x[:, 0, 0].tolist()[2:] == [list(BLUE), list(RED)]
    assert data.digest_of_test(str(flowers)) is None
    labels, _ = data.load_labels(str(flowers))
    assert (labels.y.tolist(), labels.class_names) == ([0, 0, 1, 1], ("daisy", "tulip"))
    assert data.load_train(str(flowers), task="binary").task_name == "binary"
    assert data.fetch(str(flowers)) == flowers


def test_a_study_file_names_the_folder_from_where_it_is(flowers):
    (flowers.parent / "study.toml").write_text(
        'name = "own"\nkind = "search"\ntrials = 1\n'
        'data = { name = "flowers/", image_size = [6, 5] }\n[space]\ndropout = [0.1, 0.2]\n'
    )
    assert data.load_train(load(flowers.parent / "study.toml").data).sample_shape == (6, 5, 3)


def test_images_that_are_all_grey_have_no_colours(tmp_path):
    for name, mode in {"a": "L", "b": "RGB", "c": "I;16", "d": "1", "e": "LA", "f": "P"}.items():
        for index in range(2):
            pixel = {"RGB": (7, 7, 7), "I;16": 7 * 257, "LA": (7, 255)}.get(mode, 1 if mode == "1" else 0)
            paint(tmp_path / "grey" / name / f"{index}.png", pixel, mode=mode)
    dataset = data.load_train(str(tmp_path / "grey"))
    assert dataset.x.shape == (12, 3, 4)
    assert dataset.x[::2, 0, 0].tolist() == [0, 7, 7, 255, 7, 0]
    # One that is not makes all of them colours.
    paint(tmp_path / "grey" / "a" / "2.png", (7, 7, 8))
    assert data.load_train(str(tmp_path / "grey")).x.shape == (13, 3, 4, 3)


def test_an_image_is_upright_and_on_white(tmp_path):
    turned = Image.new("RGB", (4, 3), RED)
    turned.putpixel((0, 0), BLUE)
    exif = Image.Exif()
    exif[0x0112] = 6
    (tmp_path / "own" / "a").mkdir(parents=True)
    turned.save(tmp_path / "own" / "a" / "turned.png", exif=exif)
    paint(tmp_path / "own" / "b" / "clear.png", (0, 0, 0, 0), size=(3, 4), mode="RGBA")
    dataset = data.load_train(str(tmp_path / "own"))
    assert dataset.x.shape == (2, 4, 3, 3)
    assert dataset.x[0, 0, 2].tolist() == list(BLUE)
    assert (dataset.x[1] == 255).all()


def test_the_size_is_theirs_or_the_one_that_is_asked_for(flowers):
    paint(flowers / "tulip" / "c.png", RED, size=(8, 6))
    message = error_of(data.load_train, str(flowers))
    assert message == (
        f"{flowers}: images must be of one size, unless data.image_size says which, but got "
        "'daisy/1.jpg of 3 x 4 and tulip/c.png of 6 x 8'. Resize them: image_size = [3, 4]."
    )
    dataset = data.load_train(Data(name=str(flowers), image_size=[2, 5]))
    assert dataset.sample_shape == (2, 5, 3)
    assert dataset.x[-1, 0, 0].tolist() == list(RED)
    assert "data.image_size: has no effect on digits" in error_of(
        data.load_train, Data(name="digits", image_size=[2, 5])
    )
    assert "data.target: has no effect on" in error_of(data.load_train, Data(name=str(flowers), target="a"))


def test_train_and_test_are_parts(tmp_path):
    folder = tmp_path / "own"
    for part, names in {"train": "abc", "test": "ca"}.items():
        for name in names:
            paint(folder / part / name / "1.png", (ord(name), 0, 0))
    train, test = data.load_train(str(folder)), data.load_test(str(folder))
    assert (train.y.tolist(), train.class_names) == ([0, 1, 2], ("a", "b", "c"))
    assert (test.y.tolist(), test.class_names) == ([0, 2], ("a", "b", "c"))
    assert test.x[:, 0, 0, 0].tolist() == [ord("a"), ord("c")]
    assert data.digest_of_test(str(folder)) == test.digest
    paint(folder / "test" / "d" / "1.png", RED)
    message = error_of(data.load_train, str(folder))
    assert message.startswith(f"{folder}/test: must be among the training part's classes, but got 'd'. Add ")
    (folder / "test" / "d").rename(folder / "validation")
    assert (
        "must have train and test alone, but got 'validation'. Validation images are split off"
        in error_of(data.load_train, str(folder))
    )


def kept_files(kept: Path) -> set[str]:
    return {path.name for path in (kept / "image-folders").iterdir()}


def test_images_are_read_once_and_what_is_stale_is_never_used(flowers, kept, monkeypatch):
    first = data.load_train(str(flowers))
    (name,) = kept_files(kept)
    with monkeypatch.context() as broken:
        # Decoding again would be seen.
        broken.setattr(image_folders, "open_image", None)
        assert data.load_train(str(flowers)).digest == first.digest
    # The same size and time of change, other pixels.
    path = flowers / "tulip" / "b.png"
    times, size = path.stat(), path.stat().st_size
    paint(path, (200, 10, 11))
    os.utime(path, ns=(times.st_atime_ns, times.st_mtime_ns))
    assert path.stat().st_size == size
    second = data.load_train(str(flowers))
    assert second.x[3, 0, 0].tolist() == [200, 10, 11]
    # The same images of other classes.
    path.rename(flowers / "daisy" / "b.png")
    assert data.load_train(str(flowers)).y.tolist() == [0, 0, 0, 1]
    assert len(kept_files(kept)) == 3
    # What is damaged is made anew.
    (kept / "image-folders" / name).write_bytes(b"PK no archive")
    (flowers / "daisy" / "b.png").rename(path)
    paint(path, RED)
    assert data.load_train(str(flowers)).digest == first.digest


def test_a_folder_that_cannot_be_kept_is_read_each_time(flowers, tmp_path, monkeypatch, caplog):
    (tmp_path / "file").touch()
    monkeypatch.setenv("HPO_DATA_DIR", str(tmp_path / "file"))
    assert len(data.load_train(str(flowers))) == 4
    assert "its images are read anew each time" in caplog.text


def test_on_another_machine_the_folder_is_found_by_its_name(flowers, kept):
    kept.mkdir()
    flowers.rename(kept / "flowers")
    assert data.load_train(f"{flowers}/").class_names == ("daisy", "tulip")


def test_what_is_no_folder_of_images_is_told_in_one_line(flowers):
    def told() -> str:
        return error_of(data.load_train, f"{flowers}/").replace(f"{flowers}/", "")

    path = flowers / "daisy" / "3.png"
    path.write_text("no image")
    assert told().startswith("daisy/3.png: must be a whole PNG or JPEG image, but got ")
    path.write_bytes((flowers / "tulip" / "a.png").read_bytes()[:-30])
    assert told().startswith("daisy/3.png: must be a whole PNG or JPEG image, but got ")
    path.rename(flowers / "daisy" / "read me.txt")
    assert told() == ("daisy/read me.txt: must be an image (.png .jpg .jpeg). Move it out of the folder.")
    (flowers / "daisy" / "read me.txt").unlink()
    (flowers / "empty").mkdir()
    assert told() == "empty: must have images in it. Add some, or remove the folder."
    (flowers / "empty").rmdir()
    assert "must have a test part, but got 'classes alone'. Put the classes' folders into" in error_of(
        data.load_test, str(flowers)
    )
    for file in (flowers / "tulip").iterdir():
        file.unlink()
    (flowers / "tulip").rmdir()
    assert "must have a subfolder of images for each of at least 2 classes, but got ['daisy']" in told()


def test_images_that_do_not_fit_into_memory_are_not_read(flowers, monkeypatch):
    monkeypatch.setattr(image_folders, "open_image", None)
    monkeypatch.setattr("psutil.virtual_memory", lambda: type("Memory", (), {"available": 2**20}))
    message = error_of(data.load_train, Data(name=str(flowers), image_size=[4000, 4000]))
    assert message == (
        f"{flowers}: 4 images of 4000 x 4000 need about 0.3 GiB of memory, but got '0.0 GiB'. "
        "Make them smaller with data.image_size = [height, width]."
    )
