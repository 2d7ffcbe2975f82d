"""Newton-GMRES as an equilib plugin."""

from __future__ import annotations

from collections.abc import Iterable

from equilib.plugin import Capabilities, SolverEntry, hookimpl


@hookimpl
def equilib_solvers() -> Iterable[SolverEntry]:
    """Yield the solver `newton-gmres`."""
    yield SolverEntry(
        name="newton-gmres",
        factory="equilib_newton_gmres.solver:NewtonGMRES",
        summary="Inexact Newton with GMRES, matrix-free, globalized by a line search or a trust region",
        advice=(
            "The robust choice: it converges where f is expansive and fixed-point iterations diverge, and in few "
            "steps, each of which costs an evaluation of f and some products J·v. Prefer a quasi-Newton or Anderson "
            "method where f contracts well. If it stalls, the line search found no descent: try "
            "`globalization=trust-region`, another initial guess, or regularise the Jacobian. GMRES begins with "
            "`linear_solver.restart` products a step; where they bring little, it may take four times as many."
        ),
        capabilities=Capabilities(needs_jvp=True),
    )
