"""CIFAR-10's binary files: found, laid out channels last, refused when damaged."""

from __future__ import annotations

import dataclasses
import hashlib
import io
import os
import tarfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from equilib.errors import UserError
from equilib.training.data import LabelledImages
from equilib_experiments.data.cifar10 import ARCHIVE, INSIDE, OFFICIAL, RECORD, TRAIN, Cifar10, parse_batch
from tests.photographs import batch, write_photographs

REAL = os.environ.get("EQUILIB_DATA_DIR")


def load_cifar10(*, data_dir: Path | None = None, report: Callable[[str], None], **settings: Any) -> LabelledImages:
    """Load the images as a run does."""
    return Cifar10(**settings).load(data_dir, report)


def ignore(message: str) -> None:
    """Take a report that the test has nothing to say about."""


def test_planes_become_channels() -> None:
    """The first 1,024 bytes after the label are red, rows first: they are channel 0 of the image."""
    pixels = np.arange(3072) % 251
    images, labels = parse_batch(bytes([7]) + pixels.astype(np.uint8).tobytes(), "a file")
    assert (images.shape, images.dtype, labels.tolist()) == ((1, 32, 32, 3), np.uint8, [7])
    for channel, row, column in ((0, 0, 1), (1, 3, 5), (2, 31, 31)):
        assert images[0, row, column, channel] == pixels[1024 * channel + 32 * row + column]


@pytest.mark.parametrize("subfolder", ["", "cifar10"])
def test_a_folder_holds_the_files_itself_or_in_a_subfolder(tmp_path: Path, subfolder: str) -> None:
    """Those of the five training files that are there are taken, in their order."""
    folder = write_photographs(tmp_path / subfolder, train=6, test=4)
    (folder / TRAIN[2]).write_bytes(batch(3, seed=9))
    found = load_cifar10(data_dir=tmp_path, report=ignore)
    assert (found.train_images.shape, found.test_images.shape) == ((9, 32, 32, 3), (4, 32, 32, 3))
    np.testing.assert_array_equal(found.train_labels[6:], parse_batch(batch(3, seed=9), "")[1])
    assert found.source == f"CIFAR-10 from {folder}: 9 training and 4 test images"


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "is damaged: its 0 bytes are not a positive multiple of 3,073"),
        (batch(2)[:-1], "is damaged: its 6,145 bytes are not a positive multiple of 3,073"),
        (batch(1) + bytes([10]) + bytes(RECORD - 1), "holds the label 10 at image 1, where 0 to 9 were expected"),
    ],
    ids=["empty", "cut", "label"],
)
def test_a_damaged_file_is_refused(tmp_path: Path, content: bytes, message: str) -> None:
    """The error names the file and what is wrong with it."""
    folder = write_photographs(tmp_path)
    (folder / TRAIN[0]).write_bytes(content)
    with pytest.raises(UserError) as caught:
        load_cifar10(data_dir=tmp_path, report=ignore)
    assert str(caught.value).startswith(f"{folder / TRAIN[0]} {message}")


def test_a_folder_without_the_files_is_refused(tmp_path: Path) -> None:
    """Both files are needed, and the error names the first that is missing."""
    with pytest.raises(UserError, match=r"holds neither data_batch_1.bin nor cifar10/data_batch_1.bin, but nothing"):
        load_cifar10(data_dir=tmp_path, report=ignore)
    (write_photographs(tmp_path) / "test_batch.bin").unlink()
    with pytest.raises(UserError, match=r"but neither test_batch\.bin"):
        load_cifar10(data_dir=tmp_path, report=ignore)


def write_archive(path: Path, files: dict[str, bytes]) -> str:
    """Write a tar.gz like the published one, and return its checksum."""
    with tarfile.open(path, "w:gz") as archive:
        for name, content in files.items():
            member = tarfile.TarInfo(f"{INSIDE}/{name}")
            member.size = len(content)
            archive.addfile(member, io.BytesIO(content))
    return hashlib.md5(path.read_bytes(), usedforsecurity=False).hexdigest()


def test_the_published_archive_is_read_from_the_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The five training files and the test file come out of the archive; one that lacks a file is refused."""
    monkeypatch.delenv("EQUILIB_DATA_DIR", raising=False)
    folder = tmp_path / "cifar10"
    folder.mkdir()
    files = {name: batch(2, seed=index) for index, name in enumerate((*TRAIN, "test_batch.bin"))}
    for kept in (files, {TRAIN[0]: files[TRAIN[0]]}):
        checksum = write_archive(folder / ARCHIVE, kept)
        known = dataclasses.replace(OFFICIAL, md5={ARCHIVE: checksum})
        if kept is files:
            found = load_cifar10(report=ignore, distribution=known, cache=tmp_path)
            assert (len(found.train_images), len(found.test_images)) == (10, 2)
        else:
            with pytest.raises(UserError, match=r"is damaged .*delete it to download it again"):
                load_cifar10(report=ignore, distribution=known, cache=tmp_path)


def test_without_data_and_network_the_error_says_what_to_give(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing takes the place of the photographs."""
    monkeypatch.delenv("EQUILIB_DATA_DIR", raising=False)
    offline = dataclasses.replace(OFFICIAL, mirrors=("http://127.0.0.1:9/",))
    with pytest.raises(UserError, match=r"could not be downloaded .*give a folder with data_batch_1\.bin"):
        load_cifar10(report=ignore, distribution=offline, cache=tmp_path)


@pytest.mark.skipif(not REAL, reason="EQUILIB_DATA_DIR is not set: no real CIFAR-10 to read")
def test_real_photographs_are_read() -> None:
    """Every class occurs, and the mean colour is the known one: 0.491, 0.482, 0.447."""
    found = load_cifar10(report=ignore)
    assert set(found.train_labels.tolist()) == set(range(10))
    np.testing.assert_allclose(found.train_images.mean((0, 1, 2)) / 255, (0.491, 0.482, 0.447), atol=0.02)
