"""Anderson mixing as an equilib plugin."""

from __future__ import annotations

from collections.abc import Iterable

from equilib.plugin import SolverEntry, hookimpl


@hookimpl
def equilib_solvers() -> Iterable[SolverEntry]:
    """Yield the solver `anderson`."""
    yield SolverEntry(
        name="anderson",
        factory="equilib_anderson.solver:Anderson",
        summary="Anderson mixing: Picard iteration with a memory, one evaluation a step",
        advice=(
            "The first choice where f contracts, slowly or in circles, and evaluations are what costs: on a linear "
            "f it is as fast as GMRES. It needs no derivative. Where f is strongly nonlinear or expansive, "
            "`newton-gmres` is safer. If the residual jumps up and down, lower `mixing` or `memory`; if it stalls "
            "near rounding, raise `regularization`."
        ),
    )
