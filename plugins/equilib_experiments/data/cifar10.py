"""CIFAR-10 in its binary version: in each file, one label byte and 3,072 bytes of 32×32 pixels per image.

The planes of red, green and blue follow each other, rows first
(A. Krizhevsky, https://www.cs.toronto.edu/~kriz/cifar.html, section "Binary version").
"""

from __future__ import annotations

import tarfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from equilib.errors import UserError, file_errors
from equilib.machine.memory import require_file
from equilib.training.data import ImageFormat, LabelledImages
from equilib_experiments.data.digits import counted
from equilib_experiments.data.download import Distribution, DownloadError, fetch
from equilib_experiments.data.folders import GivenFolder, given_folder

SIDE, CHANNELS = 32, 3
RECORD = 1 + CHANNELS * SIDE * SIDE
TRAIN = tuple(f"data_batch_{number}.bin" for number in range(1, 6))
TEST = "test_batch.bin"
ARCHIVE, INSIDE = "cifar-10-binary.tar.gz", "cifar-10-batches-bin"
REPLACE = "replace it with an intact copy"

OFFICIAL = Distribution(
    name="CIFAR-10",
    folder="cifar10",
    md5={ARCHIVE: "c32a1d4ab5d03f1284b67883e8d87530"},
    mirrors=("https://www.cs.toronto.edu/~kriz/",),
)


# In the order of the labels (Krizhevsky, "Learning Multiple Layers of Features from Tiny Images", 2009).
KINDS = ("airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck")


@dataclass(frozen=True)
class Cifar10:
    """CIFAR-10 from the first of: the user's folder, the cache, its author's site.

    A folder must hold `test_batch.bin` and at least the first of the five `data_batch_*.bin`, itself or in `cifar10/`;
    they may be subsets. `cache` is None for the user's.
    """

    distribution: Distribution = OFFICIAL
    cache: Path | None = None
    images = ImageFormat(height=SIDE, width=SIDE, channels=CHANNELS, classes=KINDS)

    def load(self, data_dir: Path | None, report: Callable[[str], None]) -> LabelledImages:
        """Return the photographs: red, green and blue.

        Raises UserError when a named folder lacks a file, a file is not what its name says, or no download succeeds.
        """
        folder = given_folder(data_dir)
        if folder is not None:
            return _from_folder(folder, self.distribution.folder)
        try:
            archive = fetch(self.distribution, cache=self.cache, report=report)[ARCHIVE]
        except DownloadError as error:
            raise UserError(f"{error}; give a folder with {TRAIN[0]} and {TEST} with --data-dir") from error
        return _from_archive(archive)


def _from_folder(folder: GivenFolder, subfolder: str) -> LabelledImages:
    found = folder.find((TRAIN[0], TEST), subfolder=subfolder)
    place = found[TEST].parent
    files = {name: place / name for name in (*TRAIN, TEST) if (place / name).exists()}
    return _join({name: parse_batch(_content(path), str(path)) for name, path in files.items()}, str(place))


def _content(path: Path) -> bytes:
    with file_errors(f"{path} cannot be read", "; give a readable file"):
        require_file(path)
        return path.read_bytes()


def _from_archive(archive: Path) -> LabelledImages:
    batches = {}
    try:
        with tarfile.open(archive) as opened:
            for name in (*TRAIN, TEST):
                file = opened.extractfile(f"{INSIDE}/{name}")
                batches[name] = parse_batch(b"" if file is None else file.read(), f"{name} in {archive}")
    except (tarfile.TarError, KeyError, EOFError, OSError) as error:
        raise UserError(f"{archive} is damaged ({error}); delete it to download it again") from error
    return _join(batches, str(archive))


def parse_batch(content: bytes, name: str) -> tuple[np.ndarray, np.ndarray]:
    """Return the images, shape (n, 32, 32, 3), and the labels, shape (n,), of one file; both uint8.

    Raises UserError, whose sentence `name` opens, when it has a part of an image, none, or a label above 9.
    """
    if not content or len(content) % RECORD:
        raise UserError(
            f"{name} is damaged: its {len(content):,} bytes are not a positive multiple of {RECORD:,}, a label and "
            f"{SIDE}×{SIDE} pixels of three bytes; {REPLACE}"
        )
    records = np.frombuffer(content, np.uint8).reshape(-1, RECORD)
    labels = records[:, 0].copy()
    if (labels >= len(KINDS)).any():
        position = int(np.argmax(labels >= len(KINDS)))
        raise UserError(
            f"{name} holds the label {labels[position]} at image {position}, where 0 to 9 were expected; give the "
            "binary version of CIFAR-10, not of CIFAR-100"
        )
    planes = records[:, 1:].reshape(-1, CHANNELS, SIDE, SIDE)
    return np.ascontiguousarray(planes.transpose(0, 2, 3, 1)), labels


def _join(batches: dict[str, tuple[np.ndarray, np.ndarray]], place: str) -> LabelledImages:
    train = [batches[name] for name in TRAIN if name in batches]
    images, labels = (np.concatenate(arrays) for arrays in zip(*train, strict=True))
    test = batches[TEST]
    return LabelledImages(images, labels, *test, source=f"CIFAR-10 from {place}: {counted(images, test[0])}")
