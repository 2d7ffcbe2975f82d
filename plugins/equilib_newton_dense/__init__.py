"""Newton's method with a dense Jacobian for each sample, as an equilib plugin."""

from __future__ import annotations

from collections.abc import Iterable

from equilib.plugin import Capabilities, SolverEntry, hookimpl


@hookimpl
def equilib_solvers() -> Iterable[SolverEntry]:
    """Yield the solver `newton-dense`."""
    yield SolverEntry(
        name="newton-dense",
        factory="equilib_newton_dense.solver:NewtonDense",
        summary="Newton's method with the dense Jacobian of each sample, for small states",
        advice=(
            "For states of up to some hundred elements: a step costs one product J·v per element and a factorization "
            "of that size for each sample, and it converges quadratically, whatever the conditioning. It refuses "
            "states beyond `largest`: for those take `newton-gmres`. If it stalls, the residual has a minimum that is "
            "no fixed point: try another initial guess, or `globalization=none`, which may jump out of it."
        ),
        capabilities=Capabilities(needs_jvp=True),
    )
