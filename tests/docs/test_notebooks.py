"""Notebooks of the documentation run from the top to the bottom, and hold no outputs."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from tests.docs.test_website import DOCS

matplotlib = pytest.importorskip("matplotlib")
NOTEBOOKS = sorted((DOCS / "notebooks").glob("*.ipynb"))


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_a_notebook_runs(path: Path):
    """Each cell runs after the others; the last line of one, where it is an expression, shows itself."""
    matplotlib.use("Agg")
    names: dict[str, Any] = {}
    cells = [each for each in json.loads(path.read_text(encoding="utf-8"))["cells"] if each["cell_type"] == "code"]
    assert len(cells) > 2
    for cell in cells:
        assert cell["outputs"] == []
        exec("".join(cell["source"]), names)
    assert names["found"]._repr_html_().startswith("<table>")
    assert max(abs(each - names["gradients"]["anderson"]).max() for each in names["gradients"].values()) < 1e-7
    matplotlib.pyplot.close("all")
