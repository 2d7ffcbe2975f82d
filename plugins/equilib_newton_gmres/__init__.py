"""Newton-GMRES as an equilib plugin: the solver, and the adjoint that uses the same linear solvers."""

from __future__ import annotations

from collections.abc import Iterable

from equilib.plugin import Capabilities, SensitivityEntry, SolverEntry, hookimpl


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
            "`globalization=trust-region`, another initial guess, or regularise the Jacobian. If GMRES ends at "
            "`restart` products without effect, raise `restart`. `linear_solver=library` couples the samples of a "
            "batch within the tolerance, and works on NumPy and CuPy arrays only."
        ),
        capabilities=Capabilities(needs_jvp=True, needs_vjp=False, couples_samples=False, backends=("any",)),
        adjoint="gmres",
    )


@hookimpl
def equilib_sensitivities() -> Iterable[SensitivityEntry]:
    """Yield the adjoint `gmres`."""
    yield SensitivityEntry(
        name="gmres",
        factory="equilib_newton_gmres.adjoint:GMRESAdjoint",
        summary="The implicit adjoint (I − Jᵀ) w = g solved by GMRES",
        exact=True,
    )
