"""Arrays from files: what a file claims is checked before memory is taken, and what is no array is refused."""

from __future__ import annotations

import io
import os
import struct
import zipfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from equilib.errors import UserError
from equilib.machine import memory
from equilib.runs.arrays_file import DamagedArraysError, read_array, read_arrays


def npy(array: np.ndarray) -> bytes:
    """Return an array as npy."""
    file = io.BytesIO()
    np.lib.format.write_array(file, array)
    return file.getvalue()


def announcing(shape: str, dtype: str = "<f8") -> bytes:
    """Return an npy file of one number whose header announces another shape."""
    header = f"{{'descr': '{dtype}', 'fortran_order': False, 'shape': {shape}, }}".encode()
    return b"\x93NUMPY\x01\x00" + struct.pack("<H", len(header) + 1) + header + b"\n" + bytes(8)


def archive(path: Path, **members: bytes) -> Path:
    """Write a zip archive."""
    with zipfile.ZipFile(path, "w") as opened:
        for name, content in members.items():
            opened.writestr(name.replace("__", "."), content)
    return path


MEMBERS = [
    ({"a__npy": announcing("(1000000, 1000000)")}, "it announces 8,000,000,000,000 bytes of float64 and holds 8"),
    ({"a__npy": announcing("(0,)")}, "it announces 0 bytes of float64 and holds 8"),
    ({"a__npy": announcing("(1,)", "|O")}, "holds objects of Python"),
    ({"a__npy": announcing("(" * 300 + ")" * 300)}, "cut off or damaged"),
    ({"a__npy": b"hello"}, "cut off or damaged"),
    ({"a__npy": b"\x93NUMPY\x09\x00" + bytes(20)}, "cut off or damaged|version"),
    ({"a__npy": npy(np.ones(3)), "readme__txt": b"hello"}, "is not an npz archive: 'readme.txt' is no array"),
]


@pytest.mark.parametrize(("members", "reason"), MEMBERS, ids=range(len(MEMBERS)))
def test_what_is_no_array_is_refused(tmp_path: Path, members: dict[str, bytes], reason: str) -> None:
    """Sizes that are not there, objects, texts and headers of nonsense, in npz members and in npy files alike."""
    path = archive(tmp_path / "a.npz", **members)
    with pytest.raises(DamagedArraysError, match=reason):
        read_arrays(path)
    (tmp_path / "a.npy").write_bytes(members["a__npy"])
    if len(members) == 1 and "(0,)" not in str(members):  # of a file, what follows the array is nobody's
        with pytest.raises(DamagedArraysError, match=reason):
            read_array(tmp_path / "a.npy")


def test_a_bomb_is_not_unpacked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """An archive that claims more than the memory is refused by its claim."""
    path = tmp_path / "a.npz"
    np.savez_compressed(path, a=np.zeros(200_000))
    monkeypatch.setattr(memory, "free_memory", lambda: 100_000)
    monkeypatch.setattr(memory, "_SMALL", 50_000)
    with pytest.raises(DamagedArraysError, match=r"takes 0\.0 GB, and 0\.0 GB of memory are free"):
        read_arrays(path)
    with (tmp_path / "a.npy").open("wb") as sparse:
        sparse.truncate(1 << 40)
    with pytest.raises(UserError, match=r"a\.npy takes 1,099\.5 GB"):
        read_array(tmp_path / "a.npy")


@pytest.mark.parametrize("read", [read_array, read_arrays])
def test_a_pipe_is_not_waited_for(tmp_path: Path, read: Callable[[Path], object]) -> None:
    """What is no regular file could keep its reader waiting for ever."""
    os.mkfifo(tmp_path / "a.npz")
    with pytest.raises(UserError, match="is a pipe or a device; give a file"):
        read(tmp_path / "a.npz")


def test_whole_arrays_are_read(tmp_path: Path) -> None:
    """Of every number of axes, order and dtype, compressed or not, as NumPy writes them."""
    arrays = {
        "a/b": np.arange(6.0).reshape(2, 3).T,
        "c": np.float32(3),
        "d": np.zeros((0, 4), np.int8),
        "e": np.ones(2, bool),
    }
    for save in (np.savez, np.savez_compressed):
        save(tmp_path / "a.npz", **arrays)
        found = read_arrays(tmp_path / "a.npz")
        assert found.keys() == arrays.keys()
        for name, array in arrays.items():
            np.testing.assert_array_equal(found[name], array, strict=True)
    np.save(tmp_path / "a.npy", arrays["a/b"])
    np.testing.assert_array_equal(read_array(tmp_path / "a.npy"), arrays["a/b"], strict=True)


def test_the_memory_that_is_free_is_known() -> None:
    """Some, and less than a machine has; small files are not asked for it."""
    free = memory.free_memory()
    assert free is None or 0 < free < 1 << 50
    assert memory.lacking_memory(1000) == ""
