"""Pictures from files, as people see them and as a model wants them."""

from __future__ import annotations

import warnings
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from equilib.errors import UserError, file_errors, require, said
from equilib.machine.memory import require_file
from equilib.training.data import ImageFormat

_WHITES = (1.0, 255.0, 65535.0, float(2**31 - 1))
"""What white may be in numbers of 32 bits: 1 in floats, else the largest of 8, 16 or 31 bits."""

_ORIENTATION = 0x0112  # the tag of EXIF 2.3, table 4
_GREYS = ("L", "1", "I", "F", "I;16", "I;16B", "I;16L", "I;16N")


@dataclass(frozen=True, kw_only=True)
class ReadImage:
    """One image: where it is from, its bytes, shape (height, width, channels), and what was done to it."""

    name: str
    pixels: np.ndarray = field(repr=False)
    notes: tuple[str, ...] = ()


def read_picture(path: Path, wanted: ImageFormat) -> ReadImage:
    """Return the picture in a file: upright, its first frame, on white paper, in grey or colours, scaled.

    Raises UserError if the file cannot be read, or holds no picture.
    """
    module = require("PIL.Image", purpose="reading pictures", otherwise=", or give an npy or npz file")
    operations = require("PIL.ImageOps", purpose="reading pictures")
    with file_errors(f"{path} cannot be read", "; give a PNG, npy or npz file"):
        require_file(path)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # what a decoder says about metadata
            warnings.simplefilter("error", module.DecompressionBombWarning)
            with module.open(path) as picture:
                frames = int(getattr(picture, "n_frames", 1))
                upright = operations.exif_transpose(picture)
                turned = upright.size != picture.size or bool(picture.getexif().get(_ORIENTATION, 1) != 1)
                flat, spread = _flattened(upright, module)
                pixels = _scaled(flat, wanted, module)
    except Exception as error:  # decoders fail in their own ways
        reason = getattr(error, "strerror", None) or said(error)
        raise UserError(f"{path} is not a picture that can be read ({reason}); give a PNG, npy or npz file") from error
    told = _notes(picture.mode, upright.size, wanted)
    turn = ("turned upright, as its EXIF orientation says",) if turned else ()
    several = (f"the first of its {frames} frames",) if frames > 1 else ()
    return ReadImage(name=str(path), pixels=pixels, notes=(*several, *turn, *spread, *told))


def _notes(mode: str, size: tuple[int, int], wanted: ImageFormat) -> Iterator[str]:
    if mode not in (_GREYS if wanted.channels == 1 else ("RGB",)):
        yield f"its colours ({mode}) were turned into {'grey' if wanted.channels == 1 else 'RGB'}"
    if size != (wanted.width, wanted.height):
        yield f"scaled from {size[0]}×{size[1]} to {wanted.width}×{wanted.height}"


def _flattened(picture: Any, module: Any) -> tuple[Any, tuple[str, ...]]:
    """Put what is transparent on white, as on paper, and bring 16 and 32 bits to 8; return a note about that."""
    if picture.mode.startswith("I;16"):
        return module.fromarray((np.asarray(picture).astype(np.uint16) >> 8).astype(np.uint8)), ()
    if picture.mode in ("I", "F"):
        whites = _WHITES if picture.mode == "F" else _WHITES[1:]
        return _from_wide(np.asarray(picture, np.float64), whites, module)
    if "A" in picture.getbands() or "transparency" in picture.info:
        opaque = picture.convert("RGBA")
        paper = module.new("RGBA", opaque.size, "white")
        return module.alpha_composite(paper, opaque), ()
    return picture, ()


def _from_wide(values: np.ndarray, whites: Sequence[float], module: Any) -> tuple[Any, tuple[str, ...]]:
    """Scale numbers from black to the white that the largest tells; raises ValueError if one is not finite."""
    if not np.isfinite(values).all():
        raise ValueError("it holds numbers that are not finite")
    least, most = float(values.min()), float(values.max())
    white = next((each for each in whites if most <= each), most)
    black = min(least, 0.0)
    pixels = np.rint(255 * (values - black) / (white - black)).astype(np.uint8)
    return module.fromarray(pixels), (f"its numbers were scaled, {black:g} as black and {white:g} as white",)


def _scaled(picture: Any, wanted: ImageFormat, module: Any) -> np.ndarray:
    converted = picture.convert("L" if wanted.channels == 1 else "RGB")
    if converted.size != (wanted.width, wanted.height):
        converted = converted.resize((wanted.width, wanted.height), module.Resampling.LANCZOS)
    return np.asarray(converted, np.uint8).reshape(wanted.height, wanted.width, wanted.channels)
