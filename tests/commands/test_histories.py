"""The picture of a comparison, and the curves in it."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from equilib.commands.histories import Curve, draw, histories
from equilib.plugin.registry import Registry
from equilib.runs.request import RunRequest

CURVE = Curve(solver="picard", cost=[1, 2, 4], residual=[1.0, 0.1, 0.01], converged=2, samples=2)


def test_the_picture_is_a_png(tmp_path: Path) -> None:
    """Any number of curves makes a picture, a single one too."""
    pytest.importorskip("matplotlib", reason="the picture needs Matplotlib (equilib[plots])")
    for count in (1, 25):
        assert draw([CURVE] * count, tmp_path / "residual.png")
        assert (tmp_path / "residual.png").read_bytes().startswith(b"\x89PNG")


def test_without_matplotlib_there_is_none(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where Matplotlib cannot be imported nothing is drawn, and that is told."""
    monkeypatch.setitem(sys.modules, "matplotlib.figure", None)
    assert not draw([CURVE], tmp_path / "residual.png")
    assert list(tmp_path.iterdir()) == []


def test_a_solver_that_fails_costs_its_own_curve_only() -> None:
    """What keeps a solver from having a curve is told, and raises nothing."""
    curves, missing = histories(RunRequest(experiment="nowhere"), Registry(), ["picard"], None)
    assert curves == []
    assert missing["picard"].startswith("no experiment 'nowhere'")
