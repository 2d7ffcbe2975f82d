"""Pseudo-transient continuation as an equilib plugin."""

from __future__ import annotations

from collections.abc import Iterable

from equilib.plugin import Capabilities, SolverEntry, hookimpl


@hookimpl
def equilib_solvers() -> Iterable[SolverEntry]:
    """Yield the solver `pseudo-transient`."""
    yield SolverEntry(
        name="pseudo-transient",
        factory="equilib_pseudo_transient.solver:PseudoTransient",
        summary="Implicit Euler on z' = f(z) − z with time steps that grow as the residual falls",
        advice=(
            "Where Newton's method fails from a poor guess and the flow z' = f(z) − z runs into the fixed point: it "
            "follows the flow at first and ends as Newton's method. Lower `time_step` where it goes astray, raise it "
            "where it dawdles. Fixed points that the flow leaves (an eigenvalue of J beyond 1) are not for it: take "
            "`newton-gmres`."
        ),
        capabilities=Capabilities(needs_jvp=True),
    )
