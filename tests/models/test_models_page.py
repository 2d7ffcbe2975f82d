"""The page about models is true."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

import equilib.models
from tests.docs.test_docs import blocks

PAGE = Path(__file__).parents[2] / "docs" / "models.md"


def test_its_programs_run(capsys: pytest.CaptureFixture[str]):
    """One after the other, as they stand, they give what the page says: shapes, no evaluations, other masks."""
    names: dict = {}
    for program in blocks(PAGE, "python"):
        exec(program, names)
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].startswith("(4, 3) (4, 8) ")
    assert lines[1] == "(4, 3) 0"
    assert lines[2] == "(2, 12, 30) (Status.CONVERGED, Status.CONVERGED)"
    assert int(lines[3]) < 20
    assert lines[4] == "[(2, 8, 8, 4), (2, 4, 4, 6)] (Status.CONVERGED, Status.CONVERGED)"
    assert lines[5].endswith(" [(2, 8, 8, 4), (2, 4, 4, 6)]")
    assert np.isfinite(names["value"])
    assert not np.array_equal(names["in_training"], names["at_inference"])


def test_it_names_every_model():
    """Every class and function that the package exports, protocols of its inner workings aside, stands on the page."""
    text = PAGE.read_text(encoding="utf-8")
    aside = {"Equilibrium", "Evolution", "InitialGuess", "Joins", "ZeroGuess", "evolve"}
    assert {name for name in equilib.models.__all__ if name not in text} <= aside
