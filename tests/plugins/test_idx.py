"""IDX files are read exactly, or refused with a sentence."""

from __future__ import annotations

import gzip
import os
import struct
import tracemalloc
from pathlib import Path

import numpy as np
import pytest

from equilib.errors import UserError
from equilib.machine import memory
from equilib_experiments.data.idx import read_idx

CODES = {"uint8": 0x08, "int8": 0x09, "int16": 0x0B, "int32": 0x0C, "float32": 0x0D, "float64": 0x0E}


def idx_bytes(array: np.ndarray) -> bytes:
    """Pack an array as the format's description says."""
    header = struct.pack(f">HBB{array.ndim}I", 0, CODES[array.dtype.name], array.ndim, *array.shape)
    return header + array.astype(array.dtype.newbyteorder(">")).tobytes()


@pytest.fixture
def digits() -> np.ndarray:
    """Return three small images."""
    return np.random.default_rng(0).integers(0, 256, (3, 4, 5)).astype(np.uint8)


@pytest.mark.parametrize("pack", [bytes, gzip.compress])
@pytest.mark.parametrize("dtype", CODES)
@pytest.mark.parametrize("shape", [(7,), (3, 5), (2, 3, 4), (0, 28, 28)])
def test_reads_what_was_written(tmp_path: Path, pack, dtype: str, shape: tuple[int, ...]) -> None:
    """Every type and shape survives the round trip, plain or gzip, in native byte order and writable."""
    array = (np.random.default_rng(1).standard_normal(shape) * 50).astype(dtype)
    path = tmp_path / "array"
    path.write_bytes(pack(idx_bytes(array)))
    read = read_idx(path)
    assert read.dtype == np.dtype(dtype)
    assert read.dtype.isnative
    assert read.flags.writeable
    np.testing.assert_array_equal(read, array)


@pytest.mark.parametrize("name", ["images.gz", "images"])
def test_the_name_does_not_decide_whether_a_file_is_gzip(tmp_path: Path, digits: np.ndarray, name: str) -> None:
    """A browser that unpacked a .gz under its old name, or a pack without the suffix, is read all the same."""
    path = tmp_path / name
    path.write_bytes(gzip.compress(idx_bytes(digits)) if name == "images" else idx_bytes(digits))
    np.testing.assert_array_equal(read_idx(path), digits)


@pytest.mark.parametrize("pack", [bytes, gzip.compress])
def test_every_truncation_is_refused(tmp_path: Path, digits: np.ndarray, pack) -> None:
    """No proper prefix of a file is an array, whether plain or gzip."""
    whole = pack(idx_bytes(digits))
    path = tmp_path / "cut"
    for length in range(len(whole)):
        path.write_bytes(whole[:length])
        with pytest.raises(UserError, match=r"cut is (cut off|damaged|not an IDX file): .*; \w+"):
            read_idx(path)


def test_no_flipped_bit_of_a_gzip_goes_unnoticed(tmp_path: Path, digits: np.ndarray) -> None:
    """A gzip with one bit flipped is refused, or gives the very same array where only its metadata changed."""
    whole = gzip.compress(idx_bytes(digits))
    path = tmp_path / "flipped.gz"
    refused = 0
    for position in range(len(whole)):
        for bit in range(8):
            damaged = bytearray(whole)
            damaged[position] ^= 1 << bit
            path.write_bytes(damaged)
            try:
                np.testing.assert_array_equal(read_idx(path), digits)
            except UserError:
                refused += 1
    assert refused > 8 * (len(whole) - 10)  # 10 bytes of gzip header, some of which (time, system) mean nothing


@pytest.mark.parametrize(
    ("extra", "pack"),
    [(b"\0", bytes), (b"x" * 100, bytes), (b"\0", gzip.compress)],
)
def test_bytes_after_the_array_are_refused(tmp_path: Path, digits: np.ndarray, extra: bytes, pack) -> None:
    """A file longer than its header says is not trusted."""
    path = tmp_path / "long"
    path.write_bytes(pack(idx_bytes(digits) + extra))
    with pytest.raises(UserError, match=r"announces 3 × 4 × 5 uint8 values, 60 bytes, but more follow"):
        read_idx(path)


def test_bytes_after_the_gzip_stream_are_refused(tmp_path: Path, digits: np.ndarray) -> None:
    """What is appended to a gzip file is noticed too."""
    path = tmp_path / "long.gz"
    path.write_bytes(gzip.compress(idx_bytes(digits)) + b"appended")
    with pytest.raises(UserError, match="not a valid gzip stream"):
        read_idx(path)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"<!DOCTYPE html>", r"not an IDX file: it begins with b'<!DO'"),
        (b"\0\0\x0a\x01\0\0\0\0", r"not an IDX file: it begins with b'\\x00\\x00\\n\\x01'"),
        (b"\0\0\x08\x00", "announces 0 dimensions"),
        (b"\0\0\x08\xff" + b"\0" * 1020, "announces 255 dimensions"),
        (b"\0\0\x08\x03\0\0\0\x01", "ends within its header of 16 bytes"),
        (b"", "not an IDX file"),
    ],
)
def test_wrong_headers_are_named(tmp_path: Path, content: bytes, message: str) -> None:
    """A header that is not IDX is refused with the file and what was found in it."""
    path = tmp_path / "page.gz"
    path.write_bytes(content)
    with pytest.raises(UserError, match=message) as caught:
        read_idx(path)
    assert str(path) in str(caught.value)


@pytest.mark.parametrize("pack", [bytes, gzip.compress])
def test_a_header_cannot_claim_memory(tmp_path: Path, pack) -> None:
    """A header that announces 2⁹⁶ bytes is refused without reserving them."""
    path = tmp_path / "huge"
    path.write_bytes(pack(struct.pack(">HBB3I", 0, 0x08, 3, *[2**32 - 1] * 3) + b"123"))
    tracemalloc.start()
    try:
        with pytest.raises(UserError, match="but only 3 follow"):
            read_idx(path)
        assert tracemalloc.get_traced_memory()[1] < 8e6
    finally:
        tracemalloc.stop()


def test_what_cannot_be_opened_is_named(tmp_path: Path) -> None:
    """A missing file and a folder are refused with the system's reason."""
    with pytest.raises(UserError, match="nowhere cannot be read: No such file"):
        read_idx(tmp_path / "nowhere")
    with pytest.raises(UserError, match=r"cannot be read: .+; give a readable IDX file"):
        read_idx(tmp_path)


def test_a_bomb_is_refused_before_it_is_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A small stream that unpacks to more than the memory is refused by what it announces; so is a pipe."""
    path = tmp_path / "bomb"
    path.write_bytes(gzip.compress(struct.pack(">HBBI", 0, 0x08, 1, 1 << 20) + bytes(1 << 20)))
    monkeypatch.setattr(memory, "free_memory", lambda: 1 << 20)
    monkeypatch.setattr(memory, "_SMALL", 1 << 19)
    with pytest.raises(UserError, match=r"bomb takes 0\.0 GB, and 0\.0 GB of memory are free; give a smaller file"):
        read_idx(path)
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(UserError, match="pipe is a pipe or a device; give a file"):
        read_idx(tmp_path / "pipe")
