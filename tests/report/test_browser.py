"""The page in a browser without a network."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.report.reading import report

NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
CHROMIUM = next(filter(None, map(shutil.which, NAMES)), None)

pytestmark = pytest.mark.skipif(CHROMIUM is None, reason=f"none of {', '.join(NAMES)} is installed")


def open_page(page: Path, folder: Path) -> tuple[str, Path]:
    """Render a page; return what Chromium logged about it, and the screenshot."""
    assert CHROMIUM is not None
    picture = folder / "page.png"
    command = [
        *(CHROMIUM, "--headless", "--no-sandbox", "--disable-gpu", "--hide-scrollbars", "--window-size=1280,3000"),
        *("--host-resolver-rules=MAP * ~NOTFOUND", "--enable-logging=stderr", "--v=0", "--no-first-run"),
        *(f"--user-data-dir={folder / 'profile'}", f"--screenshot={picture}", page.as_uri()),
    ]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=True)
    return "\n".join(line for line in done.stderr.splitlines() if "CONSOLE" in line), picture


def test_the_page_opens_without_network_and_without_complaints(runs: Any, tmp_path: Path) -> None:
    """Chromium renders the page of two runs, and its console stays empty."""
    report(tmp_path, runs.newton, runs.anderson)
    console, picture = open_page(tmp_path / "report.html", tmp_path)
    assert console == ""
    image = pytest.importorskip("PIL.Image")
    with image.open(picture) as shot:
        assert shot.size == (1280, 3000)
        colours = np.unique(np.asarray(shot.convert("RGB")).reshape(-1, 3), axis=0)
    assert len(colours) > 100  # it is not blank


def test_a_complaint_would_be_seen(tmp_path: Path) -> None:
    """A page with a mistake in a script leaves a line on the console."""
    page = tmp_path / "bad.html"
    page.write_text("<!DOCTYPE html><title>bad</title><script>undefinedFunction()</script>", encoding="utf-8")
    assert "undefinedFunction" in open_page(page, tmp_path)[0]
