"""The PNG files, and the small images in the page."""

from __future__ import annotations

import struct
import sys
import zlib
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from equilib.cli import main
from equilib.report.bitmap import png

CHARTS = {"loss", "accuracy", "nfe", "products", "residual", "unconverged", "trace"}


def decode(content: bytes, channels: int) -> np.ndarray:
    """Read a PNG file whose lines have no filter, as the specification says."""
    width, height = struct.unpack(">II", content[16:24])
    start = content.index(b"IDAT")
    size = int.from_bytes(content[start - 4 : start], "big")
    data, check = content[start + 4 : start + 4 + size], content[start + 4 + size : start + 8 + size]
    assert int.from_bytes(check, "big") == zlib.crc32(b"IDAT" + data)
    lines = np.frombuffer(zlib.decompress(data), np.uint8).reshape(height, 1 + width * channels)
    assert not lines[:, 0].any()
    return lines[:, 1:].reshape(height, width, channels)


@pytest.mark.parametrize("channels", [1, 3])
def test_an_image_is_a_png_of_its_bytes(rng: np.random.Generator, channels: int) -> None:
    """What is written is read again, by the specification and by Pillow where it is installed."""
    pixels = rng.integers(0, 256, (5, 7, channels), np.uint8)
    content = png(pixels)
    assert np.array_equal(decode(content, channels), pixels)
    image = pytest.importorskip("PIL.Image")
    import io

    assert np.array_equal(np.asarray(image.open(io.BytesIO(content))).reshape(pixels.shape), pixels)


def test_every_chart_is_a_file(runs: Any, tmp_path: Path) -> None:
    """With Matplotlib each chart, the confusion matrix and the images are PNG files."""
    pytest.importorskip("matplotlib")
    assert main(["report", str(runs.newton), "--out", str(tmp_path)]) == 0
    files = {path.stem: path.read_bytes() for path in tmp_path.glob("*.png")}
    assert CHARTS | {"confusion", "images"} <= set(files)
    assert all(content.startswith(b"\x89PNG") for content in files.values())


def test_pictures_of_an_earlier_report_go_and_others_stay(runs: Any, tmp_path: Path) -> None:
    """A second report leaves none of the first one's pictures behind, and touches no file of anybody else."""
    pytest.importorskip("matplotlib")
    (tmp_path / "mine.png").write_bytes(png(np.zeros((2, 2, 1), np.uint8)))
    assert main(["report", str(runs.newton), "--out", str(tmp_path), "--limit", "5"]) == 0
    assert (tmp_path / "confusion.png").exists()
    assert main(["report", str(runs.newton), "--out", str(tmp_path), "--limit", "0"]) == 0
    assert {path.stem for path in tmp_path.glob("*.png")} == (CHARTS - {"trace"}) | {"mine"}


def test_without_matplotlib_there_is_the_page(
    runs: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """The page is the same to the byte, and one sentence names the extra."""
    assert main(["report", str(runs.newton), "--out", str(tmp_path / "with"), "--limit", "5"]) == 0
    monkeypatch.setitem(sys.modules, "matplotlib.figure", None)
    capsys.readouterr()
    assert main(["report", str(runs.newton), "--out", str(tmp_path / "without"), "--limit", "5"]) == 0
    assert 'pip install "equilib[plots]"' in capsys.readouterr().out
    assert [path.name for path in (tmp_path / "without").iterdir()] == ["report.html"]
    pages = [(tmp_path / name / "report.html").read_bytes() for name in ("with", "without")]
    assert pages[0] == pages[1]
