"""The reversible relaxation of two coupled states as an equilib plugin: solver and adjoint."""

from __future__ import annotations

from collections.abc import Iterable

from equilib.plugin import SensitivityEntry, SolverEntry, hookimpl


@hookimpl
def equilib_solvers() -> Iterable[SolverEntry]:
    """Yield the solver `revdeq`."""
    yield SolverEntry(
        name="revdeq",
        factory="equilib_revdeq.solver:RevDEQ",
        summary="Relaxation of two coupled states, whose steps can be taken back",
        advice=(
            "Where the gradient should be that of the steps that were taken, also of few, far from converged: its "
            "adjoint `reversible` takes them back, in memory that does not grow with them. A step is two evaluations; "
            "it converges where f contracts, in about twice the evaluations of `picard`. With a larger `beta` it needs "
            "fewer steps, and fewer can be taken back at a time. Where only the fixed point counts take `anderson`."
        ),
        adjoint="reversible",
    )


@hookimpl
def equilib_sensitivities() -> Iterable[SensitivityEntry]:
    """Yield the adjoint `reversible`."""
    yield SensitivityEntry(
        name="reversible",
        factory="equilib_revdeq.reversible:Reversible",
        summary="Take back the steps of revdeq, and carry the cotangent along",
        advice=(
            "The gradient of the steps, to rounding, and of the fixed point as far as they converged; also that of the "
            "initial guess. It costs two linearizations a step and keeps a handful of states, whatever the number of "
            "steps. It needs `revdeq` as the solver."
        ),
        exact=False,
        solvers=("revdeq",),
    )
