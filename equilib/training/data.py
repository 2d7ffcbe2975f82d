"""Data sets: the arrays that train and test a model, and labelled images as they are stored."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

import numpy as np

from equilib.arrays import Array, array_namespace, is_array, to_host
from equilib.arrays.namespaces import is_odd, plain_way
from equilib.errors import UserError, a, some


@dataclass(frozen=True, kw_only=True)
class Dataset:
    """Inputs and targets, for training and for testing; axis 0 counts samples.

    Arrays have shapes (samples, ...), with one sample at least. `source` says for people and for the record where they
    are from, `fallback` whether they take the place of others, which were not to be had; `introduction` are lines about
    them for the log.

    Raises UserError for what is no array of real numbers, unequal numbers of inputs and targets, and parts without any.
    """

    train_inputs: Array
    train_targets: Array
    test_inputs: Array
    test_targets: Array
    source: str | None = None
    fallback: bool = False
    introduction: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        for name, array in self.arrays().items():
            if not is_array(array) or not array.ndim:
                raise UserError(f"{name} must be an array with an axis of samples, not {a(type(array).__name__)}")
            if is_odd(array):
                raise UserError(f"{name} must be a plain array, not {a(type(array).__name__)}: give {plain_way(array)}")
            if not array_namespace(array).isdtype(array.dtype, ("bool", "integral", "real floating")):
                raise UserError(f"{name} must hold real numbers, not {array.dtype}")
        for part in ("train", "test"):
            counts = [getattr(self, f"{part}_{name}").shape[0] for name in ("inputs", "targets")]
            if counts[0] != counts[1]:
                raise UserError(
                    f"{part}_inputs has {some(counts[0], 'samples')} and {part}_targets {counts[1]:,}: give one target "
                    "for each input"
                )
            if not counts[0]:
                raise UserError(f"{part}_inputs holds no sample: every epoch trains on some and tests on others")

    def arrays(self) -> dict[str, Array]:
        """Return the four arrays, shape (samples, ...), by name."""
        names = ("train_inputs", "train_targets", "test_inputs", "test_targets")
        return {name: getattr(self, name) for name in names}

    def digest(self) -> str:
        """Return a digest of all inputs and targets, their types and their order."""
        digest = hashlib.blake2b(digest_size=16)
        for name, values in self.arrays().items():
            array = np.ascontiguousarray(to_host(values))
            digest.update(f"{name} {array.dtype.str} {array.shape} ".encode())
            digest.update(array.data)
        return digest.hexdigest()


def sampled(curve: Callable[[np.ndarray], np.ndarray], train: np.ndarray, test: np.ndarray) -> Dataset:
    """Return the values of a curve at points, shape (points,), as float32 of shape (points, 1)."""
    x, y = (np.asarray(each, np.float32)[:, None] for each in (train, curve(train)))
    test_x, test_y = (np.asarray(each, np.float32)[:, None] for each in (test, curve(test)))
    return Dataset(train_inputs=x, train_targets=y, test_inputs=test_x, test_targets=test_y)


@dataclass(frozen=True, kw_only=True)
class ImageFormat:
    """Format of images, and the classes that they are told apart by.

    Sizes are in pixels, and there is one channel for grey, three for red, green and blue. The classes are in the order
    of the labels and of the logits; `light_on_dark` tells whether the images are light on a dark background, None where
    that says nothing.
    """

    height: int
    width: int
    channels: int
    classes: tuple[str, ...]
    light_on_dark: bool | None = None

    @property
    def shape(self) -> tuple[int, int, int]:
        """Height, width and channels."""
        return self.height, self.width, self.channels


@dataclass(frozen=True, eq=False)
class LabelledImages:
    """Images and their classes.

    Arrays are of uint8: images of shape (n, height, width) or (n, height, width, channels), labels, which count from 0,
    of shape (n,). `source` and `fallback` are those of the `Dataset`.
    """

    train_images: np.ndarray = field(repr=False)
    train_labels: np.ndarray = field(repr=False)
    test_images: np.ndarray = field(repr=False)
    test_labels: np.ndarray = field(repr=False)
    source: str = field(kw_only=True)
    fallback: bool = field(default=False, kw_only=True)

    def check(self, images: ImageFormat, *, name: str) -> None:
        """Refuse what is not in the format that a data set declares; `name` opens the sentence.

        Raises UserError if a shape, a type or a label is another.
        """
        classes = len(images.classes)
        for part in ("train", "test"):
            found, labels = getattr(self, f"{part}_images"), getattr(self, f"{part}_labels")
            with_channels = found[..., None] if found.ndim == 3 else found
            if found.dtype != np.uint8 or with_channels.shape[1:] != images.shape:
                raise UserError(
                    f"{name}: {part}_images have shape {found.shape} and type {found.dtype}, where uint8 of shape "
                    f"(n, {images.height}, {images.width}, {images.channels}) is declared"
                )
            if labels.shape != found.shape[:1] or labels.min(initial=0) < 0 or labels.max(initial=0) >= classes:
                raise UserError(
                    f"{name}: {part}_labels have shape {labels.shape} and go up to {labels.max(initial=0)}, where "
                    f"{len(found)} numbers from 0 to {classes - 1} are expected, one for each image"
                )


class ImageData(Protocol):
    """**Protocol:** a data set of labelled images, as the hook `equilib_datasets` publishes it.

    1. Be a frozen dataclass; its fields are its options.
    2. `images` is known before anything is loaded: `equilib predict` needs no data.
    """

    @property
    def images(self) -> ImageFormat:
        """The format of the images."""

    def load(self, data_dir: Path | None, report: Callable[[str], None]) -> LabelledImages:
        """Return the images; the same ones whenever they are loaded.

        `data_dir` is the folder that --data-dir names; None where it is left out, and EQUILIB_DATA_DIR may name one.
        `report` takes lines for the log, as about a download.

        Raises UserError if they cannot be had.
        """
