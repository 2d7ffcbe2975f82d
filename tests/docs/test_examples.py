"""The programs of docs/examples: short, found from the page about models, and true."""

from __future__ import annotations

import runpy
from pathlib import Path

import pytest

from tests.docs.test_docs import REPOSITORY

LINES = 25
EXAMPLES = sorted((REPOSITORY / "docs" / "examples").glob("*.py"))
OURS = [path for path in EXAMPLES if not path.stem.startswith(("torch", "jax"))]  # the others are of tests/embed
USES = "table sequence attention graph tuple_state lasso bratu double_precision recorded_run plot"


def test_each_use_has_a_program_that_the_page_shows():
    """What the page about models says of programs names all of them, and there is one for each use."""
    text = (REPOSITORY / "docs" / "your-own-model.md").read_text(encoding="utf-8")
    assert {path.stem for path in OURS} == set(USES.split())
    assert [path.name for path in OURS if f"](examples/{path.name})" not in text] == []


@pytest.mark.parametrize("path", OURS, ids=lambda path: path.stem)
@pytest.mark.filterwarnings("error")
def test_a_program_runs_in_few_lines(path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """It has 25 lines at most, blank ones aside; what it asserts holds, and no solve warns."""
    if path.stem == "plot":
        pytest.importorskip("matplotlib").use("Agg")
    if path.stem in ("table", "recorded_run"):
        pytest.importorskip("sklearn")
    monkeypatch.chdir(tmp_path)
    assert len([line for line in path.read_text(encoding="utf-8").splitlines() if line.strip()]) <= LINES
    runpy.run_path(str(path), run_name="__main__")
