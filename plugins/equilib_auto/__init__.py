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
        summary="Broyden's method where it is fast, else Newton's and others, chosen for each sample by measurement",
        advice=(
            "When you do not know your map, or it changes while training: samples that contract cost what `lbroyden` "
            "costs, and need no derivative; the others go on with Newton–GMRES, then with the flow z' = f(z) − z, "
            "spectral steps and more, each as long as it makes progress. The state tells which method finished each "
            "sample. Once all of them end with the same one, choose that. Give it steps: each method that fails has "
            "used some."
        ),
        capabilities=Capabilities(needs_jvp=True),
    )
