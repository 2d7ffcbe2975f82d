"""Solvers of SUNDIALS as an equilib plugin, through scikit-sundae, on the host: each sample is a call of its own."""

from __future__ import annotations

from collections.abc import Iterable
from importlib.util import find_spec

from equilib.plugin import Capabilities, IntegratorEntry, SolverEntry, hookimpl

MISSING = "scikit-sundae is not installed; pip install 'equilib[sundials]'"

NO_KINSOL = (
    "no release of scikit-sundae up to 1.2.0 wraps KINSOL; scipy:krylov and newton-gmres are Newton-Krylov methods too"
)


@hookimpl
def equilib_solvers() -> Iterable[SolverEntry]:
    """Yield `sundials:cvode`, and `sundials:kinsol` as what cannot be had yet."""
    missing = "" if find_spec("sksundae") else MISSING
    # A time step is at most a few time units, of which a solve takes seven or more.
    capabilities = Capabilities(least_steps=100)
    yield SolverEntry(
        name="sundials:cvode",
        factory="equilib_sundials.cvode:CVODE",
        summary="Steady state of z' = f(z) − z by CVODE: BDF or Adams methods of variable order",
        advice=(
            "For flows with eigenvalues far to the left of the imaginary axis, where explicit steppers crawl, and, "
            "with an iterative `linear_solver`, also for large states, whose products J·v are then difference "
            "quotients of f. It converges where the eigenvalues λ of the Jacobian have Re λ < 1: also where f is "
            "expansive. If the residual hovers, lower `step_rtol`. The states travel to the host and back with every "
            "evaluation, and CVODE computes in float64."
        ),
        capabilities=capabilities,
        adjoint="implicit",
        unavailable=missing,
    )
    yield SolverEntry(
        name="sundials:kinsol",
        factory="equilib_sundials.kinsol:KINSOL",
        summary="KINSOL: Newton-Krylov, Picard and Anderson iteration of SUNDIALS",
        advice="Its methods can be had as `scipy:krylov` or `newton-gmres`, `picard`, and `anderson`.",
        capabilities=capabilities,
        adjoint="implicit",
        unavailable=missing or NO_KINSOL,
    )


@hookimpl
def equilib_integrators() -> Iterable[IntegratorEntry]:
    """Yield `sundials:cvode`."""
    yield IntegratorEntry(
        name="sundials:cvode",
        factory="equilib_sundials.integrator:CVODEIntegrator",
        summary="CVODE: BDF or Adams methods of variable order",
        advice=(
            "For stiff equations, also large ones: its linear solver is iterative, with products by difference "
            "quotients. `method=adams` is for equations that are not stiff. It runs on the host in float64 with the "
            "error norm of SUNDIALS; there is no discrete adjoint. Its errors are somewhat larger than the tolerance."
        ),
        order=5,
        unavailable="" if find_spec("sksundae") else MISSING,
    )
