"""IDX, the file format of MNIST: a big-endian header, then one array.

The header is two zero bytes, a type code, the number of dimensions, and each size as a uint32
(Y. LeCun, C. Cortes, C. Burges, "The MNIST database of handwritten digits", section "File formats").
"""

from __future__ import annotations

import gzip
import math
import os
import zlib
from pathlib import Path
from typing import BinaryIO

import numpy as np

from equilib.errors import UserError
from equilib.machine.memory import lacking_memory, require_file

DTYPES: dict[int, np.dtype] = {
    0x08: np.dtype(">u1"),
    0x09: np.dtype(">i1"),
    0x0B: np.dtype(">i2"),
    0x0C: np.dtype(">i4"),
    0x0D: np.dtype(">f4"),
    0x0E: np.dtype(">f8"),
}
MAX_DIMENSIONS = 32
GZIP_MAGIC = b"\x1f\x8b"
CHUNK = 1 << 20
DEFLATED = 1032  # times a stream's own size is the most that it unpacks to (RFC 1951: 258 bytes by two bits)
REPLACE = "replace it with an intact copy"


def read_idx(path: str | os.PathLike[str]) -> np.ndarray:
    """Read the array of an IDX file, plain or gzip (told apart by content, not by name).

    Returns
    -------
    ndarray
        Shape and dtype as the header says, in native byte order.

    Raises UserError when the file cannot be read, is not IDX, is damaged, or is longer or shorter than its header says.
    """
    try:
        require_file(Path(path))
        with open(path, "rb") as file:
            if file.peek(2)[:2] != GZIP_MAGIC:
                return _read(file, path)
            with gzip.GzipFile(fileobj=file) as unpacked:
                return _read(unpacked, path)
    except EOFError as error:
        raise UserError(f"{path} is cut off: its gzip stream has no end; {REPLACE}") from error
    except (gzip.BadGzipFile, zlib.error) as error:
        raise UserError(f"{path} is damaged: it is not a valid gzip stream ({error}); {REPLACE}") from error
    except OSError as error:
        raise UserError(f"{path} cannot be read: {error.strerror or error}; give a readable IDX file") from error


def _read(file: BinaryIO | gzip.GzipFile, path: str | os.PathLike[str]) -> np.ndarray:
    dtype, shape = _read_header(file, path)
    announced = math.prod(shape) * dtype.itemsize
    _check_claim(announced, file, path)
    data = _read_at_most(file, announced + 1)
    if len(data) != announced:
        found = f"only {len(data):,} follow" if len(data) < announced else "more follow"
        sizes = " × ".join(str(size) for size in shape)
        raise UserError(
            f"{path} is damaged: its header announces {sizes} {dtype.name} values, {announced:,} bytes, "
            f"but {found}; {REPLACE}"
        )
    return np.frombuffer(data, dtype).reshape(shape).astype(dtype.newbyteorder("="))


def _check_claim(announced: int, file: BinaryIO | gzip.GzipFile, path: str | os.PathLike[str]) -> None:
    """Refuse what the memory cannot hold before it is read; raises UserError."""
    size = os.path.getsize(path)
    most = DEFLATED * size if isinstance(file, gzip.GzipFile) else size
    lack = lacking_memory(2 * min(announced, most))  # as bytes, and as an array
    if lack:
        raise UserError(f"{path} {lack}; give a smaller file, or free memory")


def _read_header(file: BinaryIO | gzip.GzipFile, path: str | os.PathLike[str]) -> tuple[np.dtype, tuple[int, ...]]:
    magic = file.read(4)
    if len(magic) < 4 or magic[:2] != b"\0\0" or magic[2] not in DTYPES:
        raise UserError(
            f"{path} is not an IDX file: it begins with {magic!r}, where two zero bytes, a type code "
            "from 0x08 to 0x0e and a number of dimensions were expected; give the official file"
        )
    dimensions = magic[3]
    if not 1 <= dimensions <= MAX_DIMENSIONS:
        raise UserError(
            f"{path} is damaged: its header announces {dimensions} dimensions, 1 to {MAX_DIMENSIONS} were "
            f"expected; {REPLACE}"
        )
    sizes = file.read(4 * dimensions)
    if len(sizes) < 4 * dimensions:
        raise UserError(f"{path} is cut off: it ends within its header of {4 + 4 * dimensions} bytes; {REPLACE}")
    return DTYPES[magic[2]], tuple(int(size) for size in np.frombuffer(sizes, ">u4"))


def _read_at_most(file: BinaryIO | gzip.GzipFile, limit: int) -> bytes:
    # In pieces: read(limit) reserves its whole limit first, and a damaged header can announce terabytes.
    # Reading on to the end of the file is also what makes gzip compare its checksum.
    pieces: list[bytes] = []
    while limit > 0 and (piece := file.read(min(CHUNK, limit))):
        pieces.append(piece)
        limit -= len(piece)
    return b"".join(pieces)
