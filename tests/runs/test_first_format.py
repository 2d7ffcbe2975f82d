"""A run of the first format, recorded at 4f50af3 and killed in its last epoch."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from equilib.cli import main
from equilib.runs.record import RecordedRun

RECORDED = Path(__file__).parent / "first_format"


def test_it_goes_on_with_the_criterion_it_began_with(tmp_path: Path) -> None:
    """Its solves end where ‖f(z) − z‖ is small beside ‖z‖, as many evaluations later as then."""
    run = tmp_path / "run"
    shutil.copytree(RECORDED, run)
    then = RecordedRun.read(run).epochs[-1]
    assert main(["resume", str(run), "--quiet"]) == 0
    now = RecordedRun.read(run)
    assert now.facts["method"]["solve"]["criterion"] == "residual"
    assert now.facts["format"] == 2
    assert now.epochs[-1]["epoch"] == then["epoch"] == 4
    for name in "loss", "test_squared_error", "forward_nfe", "residual", "adjoint_nfe":
        assert now.epochs[-1][name] == pytest.approx(then[name], rel=1e-3)
    assert json.loads((run / "run.json").read_text("utf-8"))["status"] == "finished"
