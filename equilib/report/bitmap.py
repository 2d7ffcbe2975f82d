"""Small images inside a page."""

from __future__ import annotations

import base64
import struct
import zlib

import numpy as np


def png(pixels: np.ndarray) -> bytes:
    """Return bytes of shape (height, width, 1 or 3), grey or RGB, as a PNG file.

    PNG specification, third edition, §5 and §11: a signature, then chunks of length, type, data and CRC-32; each
    line of the image begins with its filter, here 0 for none.
    """
    height, width, channels = pixels.shape
    header = struct.pack(">IIBBBBB", width, height, 8, 0 if channels == 1 else 2, 0, 0, 0)
    lines = pixels.reshape(height, width * channels)
    raw = np.concatenate([np.zeros((height, 1), np.uint8), lines], axis=1).tobytes()
    chunks = ((b"IHDR", header), (b"IDAT", zlib.compress(raw, 9)), (b"IEND", b""))
    return b"\x89PNG\r\n\x1a\n" + b"".join(
        struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data)) for kind, data in chunks
    )


def data_uri(pixels: np.ndarray) -> str:
    """Return the image as the address of an `img` that needs no file."""
    return "data:image/png;base64," + base64.b64encode(png(pixels)).decode()
