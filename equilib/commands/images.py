"""Images from files, as a model wants them."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np

from equilib.commands.pictures import ReadImage, read_picture
from equilib.errors import UserError, file_errors
from equilib.runs.arrays_file import DamagedArraysError, read_array, read_arrays
from equilib.training.data import ImageFormat


def read_images(path: Path, wanted: ImageFormat, *, invert: bool = False) -> Iterator[ReadImage]:
    """Yield the images of a file: one of a picture, one or several of an array in npy or npz.

    A picture is made grey or coloured and scaled as the model wants it; an array must have the right size, and hold
    bytes or numbers from 0 to 1. `invert` takes every byte from 255.

    Raises UserError if the file cannot be read, or holds something else.
    """
    is_array = path.suffix.lower() in (".npy", ".npz")
    images = list(_arrays(path, wanted)) if is_array else [read_picture(path, wanted)]
    if not images:
        raise UserError(f"{path} holds no image; give a file with at least one")
    for image in images:
        pixels = 255 - image.pixels if invert else image.pixels
        yield ReadImage(name=image.name, pixels=pixels, notes=(*image.notes, *_doubts(pixels, wanted)))


def read_samples(path: Path, like: np.ndarray) -> Iterator[ReadImage]:
    """Yield the samples of an npy or npz file, one or several, as those of `like`, shape (samples, ...).

    Raises UserError if the file cannot be read, or holds something else.
    """
    shape, arrays = like.shape[1:], _load(path)
    if not any(array.size for array in arrays.values()):
        raise UserError(f"{path} holds no sample; give a file with at least one")
    for key, array in arrays.items():
        fits = shape in (array.shape, array.shape[1:]) or (shape, array.ndim) == ((1,), 1)
        if array.dtype.kind not in "buif" or not fits:
            raise UserError(
                f"{path}{key} has shape {array.shape} and type {array.dtype}; numbers of shape {shape} are expected, "
                "as the model was trained on, one sample or several along the first axis"
            )
        for index, sample in enumerate(array.reshape(-1, *shape).astype(like.dtype)):
            yield ReadImage(name=f"{path}{key}[{index}]", pixels=sample)


def image_format(inputs: np.ndarray) -> ImageFormat | None:
    """Return the format of inputs, shape (samples, height, width[, channels]), in [0, 1], or None."""
    *size, channels = inputs.shape[1:] if inputs.ndim == 4 else (*inputs.shape[1:], 1)
    if len(size) != 2 or channels not in (1, 3) or not ((inputs >= 0) & (inputs <= 1)).all():
        return None
    return ImageFormat(height=size[0], width=size[1], channels=channels, classes=())


def _doubts(pixels: np.ndarray, wanted: ImageFormat) -> Iterator[str]:
    edge = np.concatenate([pixels[0], pixels[-1], pixels[:, 0], pixels[:, -1]])
    if wanted.light_on_dark is not None and (np.median(edge) > 127) == wanted.light_on_dark:
        looks, trained = ("light", "dark") if wanted.light_on_dark else ("dark", "light")
        yield f"the background is {looks}, and the model was trained on a {trained} one: try --invert"


def _arrays(path: Path, wanted: ImageFormat) -> Iterator[ReadImage]:
    for key, array in _load(path).items():
        images = _as_batch(array, wanted)
        if images is None:
            sizes = f"{wanted.height}×{wanted.width}" + (f"×{wanted.channels}" if wanted.channels > 1 else "")
            raise UserError(
                f"{path}{key} has shape {array.shape} and type {array.dtype}; images of {sizes} are expected, "
                "as bytes or numbers from 0 to 1, one or several along the first axis"
            )
        for index, pixels in enumerate(images):
            yield ReadImage(name=f"{path}{key}[{index}]" if len(images) > 1 else f"{path}{key}", pixels=pixels)


def _load(path: Path) -> dict[str, np.ndarray]:
    try:
        with file_errors(f"{path} cannot be read", "; give a PNG, npy or npz file"):
            if path.suffix.lower() == ".npz":
                return {f":{name}": array for name, array in read_arrays(path).items()}
            return {"": read_array(path)}
    except DamagedArraysError as error:
        raise UserError(f"{path} {error}; give a PNG, npy or npz file") from error


def _as_batch(array: np.ndarray, wanted: ImageFormat) -> np.ndarray | None:
    """Return bytes (n, height, width, channels); None if `array` is something else."""
    size = (wanted.height, wanted.width)
    if wanted.channels == 1 and array.shape[-2:] == size and array.ndim in (2, 3):
        array = array[..., None]
    if array.ndim == 3:
        array = array[None]
    if array.ndim != 4 or array.shape[1:] != (*size, wanted.channels):
        return None
    if array.dtype == np.uint8:
        return array
    if array.dtype.kind != "f" or not ((array >= 0) & (array <= 1)).all():
        return None
    rounded: np.ndarray = np.rint(255 * array).astype(np.uint8)
    return rounded
