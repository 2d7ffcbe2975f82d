"""The plan to a thousand ranks reckons with what the other pages say."""

from __future__ import annotations

import re
from pathlib import Path

from benchmarks.ranks_model import MODELS, planned

ROOT = Path(__file__).parents[2]


def test_the_tutorial_of_the_plan_is_that_of_the_gpu() -> None:
    """A batch of Newton-GMRES takes as long in the plan as in the model of the H200 in docs/gpu.md."""
    row = re.search(r"^\| newton-gmres \|[^|]*\| ([\d.]+) \| ([\d.]+) \|", (ROOT / "docs/gpu.md").read_text(), re.M)
    assert row is not None
    tutorial = MODELS["tutorial"]
    assert [1e-3 * float(each) for each in row.groups()] == [tutorial.host, tutorial.device]


def test_the_tables_of_the_plan_are_those_of_its_model() -> None:
    """The page of results holds what the model gives today."""
    assert "\n".join(planned()) in (ROOT / "benchmarks/results/ranks.md").read_text()
