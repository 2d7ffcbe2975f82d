"""The picture of a comparison."""

from __future__ import annotations

from pathlib import Path

import pytest

from equilib.commands.histories import Curve
from equilib.report.curves import comparison_chart
from equilib.report.drawing import save_charts


@pytest.mark.parametrize("count", [1, 25])
@pytest.mark.parametrize("last", [4, 4000])
def test_a_comparison_is_a_picture(tmp_path: Path, count: int, last: int) -> None:
    """Any number of solvers makes a PNG file, and any cost."""
    curve = Curve(solver="picard", cost=[1, 2, last], residual=[1.0, 0.1, 0.01], converged=2, samples=2)
    save_charts([comparison_chart([curve] * count, "residual")], tmp_path, single=False)
    assert (tmp_path / "residual.png").read_bytes().startswith(b"\x89PNG")
