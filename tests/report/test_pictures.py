"""The PNG files, and the libraries that draw them."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from equilib.cli import main
from tests.programs import equilib

CHARTS = {"loss", "accuracy", "gradient", "nfe", "products", "residual", "unconverged", "trace"}


def test_every_chart_is_a_file(runs: Any, tmp_path: Path) -> None:
    """Each chart of the page is a PNG file."""
    assert main(["report", str(runs.newton), "--out", str(tmp_path)]) == 0
    files = {path.stem: path.read_bytes() for path in tmp_path.glob("*.png")}
    assert set(files) == CHARTS
    assert all(content.startswith(b"\x89PNG") for content in files.values())


def test_pictures_of_an_earlier_report_go_and_others_stay(runs: Any, tmp_path: Path) -> None:
    """A second report leaves none of the first one's pictures behind, and touches no file of anybody else."""
    Image.new("L", (2, 2)).save(tmp_path / "mine.png")
    assert main(["report", str(runs.newton), "--out", str(tmp_path), "--limit", "5"]) == 0
    assert (tmp_path / "trace.png").exists()
    assert main(["report", str(runs.newton), "--out", str(tmp_path), "--limit", "0"]) == 0
    assert {path.stem for path in tmp_path.glob("*.png")} == (CHARTS - {"trace"}) | {"mine"}


@pytest.mark.parametrize("library", ["matplotlib.figure", "jinja2"])
def test_a_library_that_is_missing_is_named_with_what_installs_it(
    runs: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], library: str
) -> None:
    """Nothing is written, and one sentence names the extra."""
    monkeypatch.setitem(sys.modules, library, None)
    assert main(["report", str(runs.newton), "--out", str(tmp_path / "out")]) == 2
    error = capsys.readouterr().err
    assert library in error
    assert 'pip install "equilib[experiments]"' in error
    assert error.count("\n") == 1
    assert not (tmp_path / "out").exists()


def test_a_backend_of_matplotlib_that_is_none_is_named_with_its_variable(runs: Any, tmp_path: Path) -> None:
    """What Matplotlib refuses as it is imported is one sentence about the environment, and nothing is written."""
    done = equilib("report", str(runs.newton), "--out", "out", cwd=tmp_path, MPLBACKEND="none-such")
    assert done.returncode == 2
    assert done.stderr.startswith(
        "error: drawing needs matplotlib, which refuses MPLBACKEND=none-such in the environment (Key backend: "
    )
    assert done.stderr.endswith("); unset MPLBACKEND, or correct it\n")
    assert not (tmp_path / "out").exists()
