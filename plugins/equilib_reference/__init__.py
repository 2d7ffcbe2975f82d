"""The core's own solver and sensitivities, registered like everybody else's."""

from __future__ import annotations

from collections.abc import Iterable

from equilib.plugin import Capabilities, SensitivityEntry, SolverEntry, hookimpl


@hookimpl
def equilib_solvers() -> Iterable[SolverEntry]:
    """Yield the solver `picard`."""
    yield SolverEntry(
        name="picard",
        factory="equilib.fixed_point:Picard",
        summary="Damped fixed-point iteration z ← f(z)",
        advice=(
            "The cheapest step there is: one evaluation of f. It converges where f contracts, at the rate of the "
            "spectral radius of its Jacobian, and diverges where that exceeds one. Use it as the baseline; where it "
            "needs more than some 15 steps, a method with memory needs fewer."
        ),
        capabilities=Capabilities(needs_jvp=False, needs_vjp=False, couples_samples=False, backends=("any",)),
        adjoint="implicit",
    )


@hookimpl
def equilib_sensitivities() -> Iterable[SensitivityEntry]:
    """Yield the core's sensitivities."""
    yield SensitivityEntry(
        name="implicit",
        factory="equilib.sensitivity:ImplicitAdjoint",
        summary="Solve w = Jᵀw + g at the fixed point by GMRES",
        exact=True,
    )
    yield SensitivityEntry(
        name="jacobian-free",
        factory="equilib.sensitivity:JacobianFree",
        summary="Take w = g, as if the Jacobian were zero",
        exact=False,
    )
    yield SensitivityEntry(
        name="unrolled",
        factory="equilib.sensitivity:Unrolled",
        summary="Differentiate Picard iteration from the initial guess",
        exact=False,
    )
