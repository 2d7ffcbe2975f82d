"""The page about JAX: its code runs as it stands."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest

from tests.embed.jax.cells import jax  # noqa: F401  skips where there is none

PAGE = Path(__file__).parents[3] / "docs" / "jax.md"


def test_the_page_runs(capsys: pytest.CaptureFixture[str]):
    """All blocks of the page run, one after the other, the model within 25 lines."""
    pytest.importorskip("equinox", reason="Equinox is not installed")
    pytest.importorskip("flax", reason="Flax is not installed")
    blocks = re.findall(r"^```python\n(.*?)^```$", PAGE.read_text("utf-8"), re.DOTALL | re.MULTILINE)
    names: dict[str, Any] = {"__name__": "page"}
    for block in blocks:
        exec(compile(block, str(PAGE), "exec"), names)
    shown = capsys.readouterr().out
    assert "32 of 32 converged" in shown
    assert "NewtonGMRES is driven by the host" in shown
    assert names["value"] < 0.2
    (model,) = [block for block in blocks if "class Cell" in block]
    assert len([line for line in model.splitlines() if line.strip()]) <= 25
