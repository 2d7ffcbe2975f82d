"""The spectral residual method DF-SANE as an equilib plugin."""

from __future__ import annotations

from collections.abc import Iterable

from equilib.plugin import SolverEntry, hookimpl


@hookimpl
def equilib_solvers() -> Iterable[SolverEntry]:
    """Yield the solver `dfsane`."""
    yield SolverEntry(
        name="dfsane",
        factory="equilib_dfsane.solver:DFSane",
        summary="Spectral residual steps with a non-monotone line search, without derivatives or history",
        advice=(
            "Where memory is short: it keeps one old iterate, and needs neither derivatives nor a linear solve, yet "
            "goes on where Picard iteration diverges, since it may step against the residual. One real step length is "
            "little help where J rotates. On maps that contract `anderson` needs fewer evaluations. If the line "
            "search gives up, raise `history`, or take `newton-gmres`."
        ),
    )
