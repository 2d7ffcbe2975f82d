"""Arrays in npy and npz files, whose claims are checked before memory is taken; nothing is unpickled."""

from __future__ import annotations

import os
import zipfile
from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any, BinaryIO

import numpy as np

from equilib.errors import said
from equilib.machine.memory import lacking_memory, require_file

_HEADERS: dict[tuple[int, int], Any] = {
    (1, 0): np.lib.format.read_array_header_1_0,
    (2, 0): np.lib.format.read_array_header_2_0,
}


class DamagedArraysError(ValueError):
    """A file that is something else, is cut off, or is damaged; the message is what to say after its name."""


def write_arrays(
    file: BinaryIO,
    arrays: Mapping[str, np.ndarray],
    beside: Mapping[str, bytes] = MappingProxyType({}),
    comment: bytes = b"",
) -> None:
    """Write arrays, of any shapes, as an npz file; unlike `numpy.savez`, which has two of them, it keeps no name.

    What stands `beside` a name, and the `comment` on all, are the comments of zip, which nobody else reads.
    """
    with zipfile.ZipFile(file, "w") as archive:
        archive.comment = comment
        for name, array in arrays.items():
            info = zipfile.ZipInfo(f"{name}.npy")
            info.comment = beside.get(name, b"")
            # Nobody knows how large the member becomes, so its header leaves room for sizes beyond 2 GiB.
            with archive.open(info, "w", force_zip64=True) as member:
                np.lib.format.write_array(member, np.asanyarray(array), allow_pickle=False)


def read_arrays(path: Path, *, what: str = "an npz archive") -> dict[str, np.ndarray]:
    """Return the arrays of an npz file by name; raises what `read_members` does."""
    return {name: array for name, (array, _) in read_members(path, what=what)[0].items()}


def read_members(path: Path, *, what: str = "an npz archive") -> tuple[dict[str, tuple[np.ndarray, bytes]], bytes]:
    """Return the arrays of an npz file, and what stands beside them, by name, and the comment on all.

    `what` the file should be is for people.

    Raises OSError if the file cannot be opened or read; UserError if it is none;
    DamagedArraysError if it holds something else, claims more than it has or the memory holds, or a checksum is wrong.
    """
    require_file(path)
    with path.open("rb") as file:
        try:
            with zipfile.ZipFile(file) as archive:
                return _members(archive, what), archive.comment
        except (DamagedArraysError, MemoryError):
            raise
        except OSError as error:
            if error.errno is not None:
                raise
            raise DamagedArraysError(f"is not {what}, or is cut off or damaged ({said(error)})") from error
        except Exception as error:  # zip, its compressions and the headers of arrays fail in many ways
            raise DamagedArraysError(f"is not {what}, or is cut off or damaged ({said(error)})") from error


def read_array(path: Path) -> np.ndarray:
    """Return the array of an npy file.

    Raises OSError if the file cannot be opened or read; UserError if it is none;
    DamagedArraysError if it holds something else, or claims more than it has.
    """
    require_file(path)
    with path.open("rb") as file:
        try:
            _check_claim(file, os.fstat(file.fileno()).st_size, exact=False)
            file.seek(0)
            return np.lib.format.read_array(file, allow_pickle=False)
        except (DamagedArraysError, MemoryError):
            raise
        except Exception as error:  # a header is a piece of Python
            raise DamagedArraysError(f"is no npy file, or is cut off or damaged ({said(error)})") from error


def _members(archive: zipfile.ZipFile, what: str) -> dict[str, tuple[np.ndarray, bytes]]:
    lack = lacking_memory(sum(each.file_size for each in archive.infolist()))
    if lack:
        raise DamagedArraysError(lack)
    # First: a damaged size must not be believed before its checksum is seen to be wrong.
    broken = archive.testzip()
    if broken is not None:
        raise DamagedArraysError(f"is damaged: the checksum of {broken} is wrong")
    arrays: dict[str, tuple[np.ndarray, bytes]] = {}
    for each in archive.infolist():
        name = each.filename.removesuffix(".npy")
        if not each.filename.endswith(".npy") or name in arrays:
            twice = "is there twice" if name in arrays else "is no array"
            raise DamagedArraysError(f"is not {what}: {each.filename!r} {twice}")
        with archive.open(each) as member:
            _check_claim(member, each.file_size)
        with archive.open(each) as member:
            arrays[name] = np.lib.format.read_array(member, allow_pickle=False), each.comment
    return arrays


def _check_claim(file: BinaryIO | Any, size: int, *, exact: bool = True) -> None:
    """Compare what the header of an array announces with the size of what holds it."""
    version = np.lib.format.read_magic(file)
    if version not in _HEADERS:
        raise DamagedArraysError(f"has version {version} of the format of arrays, which is unknown")
    shape, _, dtype = _HEADERS[version](file)
    if dtype.hasobject:
        raise DamagedArraysError("holds objects of Python, which could run anything; give numbers")
    if dtype.kind not in "biuf":
        raise DamagedArraysError(f"holds {dtype}, where real numbers are expected")
    announced = dtype.itemsize
    for length in shape:
        announced *= length
    found = size - file.tell()
    if announced > found or (exact and announced != found):
        raise DamagedArraysError(f"is damaged: it announces {announced:,} bytes of {dtype} and holds {found:,}")
