"""Linear solvers as an equilib plugin: GMRES and BiCGStab for each sample, and the array library's GMRES."""

from __future__ import annotations

from collections.abc import Iterable

from equilib.plugin import LinearSolverEntry, SensitivityEntry, hookimpl


@hookimpl
def equilib_linear_solvers() -> Iterable[LinearSolverEntry]:
    """Yield `gmres`, `bicgstab` and `library`."""
    yield LinearSolverEntry(
        name="gmres",
        factory="equilib.numerics.gmres:GMRES",
        summary="GMRES, each sample by itself, for one cycle",
        advice=(
            "The default: smooth and dependable. It keeps an array for each product of a cycle, `restart` of them at "
            "most; where it ends there without effect, raise `restart`."
        ),
    )
    yield LinearSolverEntry(
        name="bicgstab",
        factory="equilib.numerics.bicgstab:BiCGStab",
        summary="BiCGStab, each sample by itself: two products in an iteration, and a handful of arrays",
        advice="Where the arrays of GMRES do not fit into memory; it converges less smoothly.",
    )
    yield LinearSolverEntry(
        name="library",
        factory="equilib_linear_solvers.library:LibraryGMRES",
        summary="The GMRES of SciPy or CuPy on the batch as one system",
        advice=(
            "To compare with `gmres`. The samples of a batch share one Krylov space, so an answer depends, within its "
            "tolerance, on the other samples."
        ),
        couples_samples=True,
        backends=("numpy", "cupy"),
    )


@hookimpl
def equilib_sensitivities() -> Iterable[SensitivityEntry]:
    """Yield `gmres`."""
    yield SensitivityEntry(
        name="gmres",
        factory="equilib.adjoints.implicit:ImplicitAdjoint",
        summary="Solve w = Jᵀw + g at the fixed point by GMRES: implicit:linear_solver=gmres",
        preset={"linear_solver": "gmres"},
    )
