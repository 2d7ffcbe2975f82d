"""Solvers of SUNDIALS as an equilib plugin, through scikit-sundae, on the host: each sample is a call of its own."""

from __future__ import annotations

from collections.abc import Iterable
from importlib.util import find_spec

from equilib.plugin import IntegratorEntry, SolverEntry, hookimpl

MISSING = "scikit-sundae is not installed; pip install 'equilib[sundials]'"

NO_KINSOL = (
    "no release of scikit-sundae up to 1.2.0 wraps KINSOL; scipy:krylov and newton-gmres are Newton-Krylov methods too"
)


@hookimpl
def equilib_solvers() -> Iterable[SolverEntry]:
    """Yield `sundials:kinsol` as what cannot be had yet."""
    yield SolverEntry(
        name="sundials:kinsol",
        factory="equilib_sundials.kinsol:KINSOL",
        summary="KINSOL: Newton-Krylov, Picard and Anderson iteration of SUNDIALS",
        advice="Its methods can be had as `scipy:krylov` or `newton-gmres`, `picard`, and `anderson`.",
        unavailable=NO_KINSOL if find_spec("sksundae") else MISSING,
    )


@hookimpl
def equilib_integrators() -> Iterable[IntegratorEntry]:
    """Yield `sundials:cvode`."""
    yield IntegratorEntry(
        name="sundials:cvode",
        factory="equilib_sundials.cvode:CVODE",
        summary="CVODE: BDF or Adams methods of variable order",
        advice=(
            "For stiff equations, also large ones: beyond 100 elements its linear solver is iterative, with products "
            "by difference quotients. `method=adams` is for equations that are not stiff. The states travel to the "
            "host and back with every evaluation, and CVODE computes in float64, with the error norm of SUNDIALS; "
            "there is no discrete adjoint. Its errors are somewhat larger than the tolerance. Where y must not "
            "be negative, as in Robertson's reaction, and comes close to atol, it may blow up: take a smaller atol."
        ),
        order=5,
        # As the tolerance of its steps does not follow the residual at once, a smaller one.
        steady={"step_rtol": 0.01, "first_step": 0.5},
        unavailable="" if find_spec("sksundae") else MISSING,
    )
