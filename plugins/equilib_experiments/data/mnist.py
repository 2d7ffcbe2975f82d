"""MNIST: from the user's folders, from the network, or by other digits in its place."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from equilib.errors import UserError
from equilib.training.data import LabelledImages
from equilib_experiments.data.digits import DIGITS, SMALL_DIGITS, SmallDigits, counted
from equilib_experiments.data.download import Distribution, DownloadError, fetch
from equilib_experiments.data.folders import given_folder
from equilib_experiments.data.idx import read_idx

IMAGE_SHAPE = (28, 28)
CLASSES = 10
TRAIN = ("train-images-idx3-ubyte.gz", "train-labels-idx1-ubyte.gz")
TEST = ("t10k-images-idx3-ubyte.gz", "t10k-labels-idx1-ubyte.gz")

OFFICIAL = Distribution(
    name="MNIST",
    folder="mnist",
    md5={
        TRAIN[0]: "f68b3c2dcbeaaa9fbdd348bbdeb94873",
        TRAIN[1]: "d53e105ee54ea40749a09fcbcd1e9432",
        TEST[0]: "9fb629c4189551a2d022fa330f9573f3",
        TEST[1]: "ec29112dd5afa0611ce80d1b7f02629c",
    },
    # The first is torchvision's, the second TensorFlow's; yann.lecun.com no longer serves the files.
    mirrors=(
        "https://ossci-datasets.s3.amazonaws.com/mnist/",
        "https://storage.googleapis.com/cvdf-datasets/mnist/",
    ),
)


@dataclass(frozen=True)
class Mnist:
    """MNIST from the first of: the user's folder, the cache, a mirror; else scikit-learn's digits take its place.

    A folder must hold the four files (they may be subsets; no checksum is asked of them), itself or in `mnist/`.
    `cache` is None for the user's.
    """

    distribution: Distribution = OFFICIAL
    cache: Path | None = None
    images = DIGITS

    def load(self, data_dir: Path | None, report: Callable[[str], None]) -> LabelledImages:
        """Return the digits, light on a dark background; `report` is told of downloads and of the fallback.

        Raises UserError when a named folder lacks a file, a file is not what its name says, or a package is missing.
        """
        folder = given_folder(data_dir)
        if folder is not None:
            return _read(folder.find(self.distribution.md5, subfolder=self.distribution.folder))
        try:
            return _read(fetch(self.distribution, cache=self.cache, report=report))
        except DownloadError as error:
            report(f"{error}; {SMALL_DIGITS} take its place. For MNIST itself, give its files with --data-dir.")
        digits = SmallDigits().load(None, report)
        return replace(digits, source=digits.source.replace(":", ", not MNIST:", 1), fallback=True)


def _read(paths: dict[str, Path]) -> LabelledImages:
    train, test = (_read_split(*(paths[name] for name in names)) for names in (TRAIN, TEST))
    return LabelledImages(*train, *test, source=f"MNIST from {paths[TRAIN[0]].parent}: {counted(train[0], test[0])}")


def _read_split(images_path: Path, labels_path: Path) -> tuple[np.ndarray, np.ndarray]:
    images, labels = read_idx(images_path), read_idx(labels_path)
    _check(images, images_path, "images", IMAGE_SHAPE, f"uint8 images of {IMAGE_SHAPE[0]}×{IMAGE_SHAPE[1]} were")
    _check(labels, labels_path, "labels", (), "one uint8 label per image was")
    if not len(images):
        raise UserError(f"{images_path} holds no images; give the official file")
    if (labels >= CLASSES).any():
        position = int(np.argmax(labels >= CLASSES))
        raise UserError(
            f"{labels_path} holds the label {labels[position]} at position {position}, where 0 to 9 were expected; "
            "give the official file"
        )
    if len(images) != len(labels):
        raise UserError(
            f"{images_path} holds {len(images):,} images and {labels_path} {len(labels):,} labels; "
            "give two files of the same set"
        )
    return images, labels


def _check(array: np.ndarray, path: Path, kind: str, shape: tuple[int, ...], expected: str) -> None:
    other = {1: "labels", 3: "images"}.get(array.ndim, kind)
    if other != kind:
        raise UserError(
            f"{path} holds {len(array):,} {other} where {kind} were expected: the image and label files are swapped; "
            "exchange their names"
        )
    if array.dtype != np.uint8 or array.shape[1:] != shape or not array.ndim:
        raise UserError(
            f"{path} holds an array of shape {array.shape} and type {array.dtype}, where {expected} expected; "
            "give the official file"
        )
