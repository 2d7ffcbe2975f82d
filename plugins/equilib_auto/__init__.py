"""A polyalgorithm as an equilib plugin: it measures, chooses, and falls back."""

from __future__ import annotations

from collections.abc import Iterable

from equilib.plugin import Capabilities, SolverEntry, hookimpl


@hookimpl
def equilib_solvers() -> Iterable[SolverEntry]:
    """Yield the solver `auto`."""
    yield SolverEntry(
        name="auto",
        factory="equilib_auto.solver:Auto",
        summary="Anderson mixing where it is fast enough, else Newton's method, chosen for each sample by measurement",
        advice=(
            "When you do not know your map, or it changes while training: samples that contract cost what `anderson` "
            "costs, the others go on with Newton's method and a line search, and where that finds no descent, without "
            "one from the initial guess. The state tells which method finished each sample. Once all of them end with "
            "the same one, choose that. Give it steps: each method that fails has used some."
        ),
        capabilities=Capabilities(needs_jvp=True),
    )
