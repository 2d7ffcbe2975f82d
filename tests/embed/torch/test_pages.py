"""The pages about PyTorch are true: their programs run."""

from __future__ import annotations

import runpy
from pathlib import Path

import pytest

from tests.digits import write_digits
from tests.docs.test_docs import REPOSITORY, blocks

torch = pytest.importorskip("torch", reason="PyTorch is not installed")


@pytest.mark.parametrize("page", ["pytorch.md", "from-torchdeq.md"])
def test_programs_of_a_page_run(page: str):
    """The programs of a page run one after the other, without a warning."""
    names: dict = {"__name__": "page"}
    for program in blocks(REPOSITORY / "docs" / page, "python"):
        exec(program, names)
    assert names["torch"] is torch


def test_the_example_trains(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """The program of the tutorial's network trains on whatever digits there are."""
    write_digits(tmp_path / "mnist", train=50, test=4)
    monkeypatch.setenv("EQUILIB_DATA_DIR", str(tmp_path))
    program = runpy.run_path(str(REPOSITORY / "docs" / "examples" / "torch_mnist.py"))
    assert 0 <= program["main"](images=32, epochs=1) <= 1
