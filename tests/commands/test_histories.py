"""The curves of a comparison."""

from __future__ import annotations

from equilib.commands.histories import histories
from equilib.plugin.registry import Registry
from equilib.runs.request import RunRequest


def test_a_solver_that_fails_costs_its_own_curve_only() -> None:
    """What keeps a solver from having a curve is told, and raises nothing."""
    curves, missing = histories(RunRequest(experiment="nowhere"), Registry(), ["picard"], None)
    assert curves == []
    assert missing["picard"].startswith("no experiment 'nowhere'")
