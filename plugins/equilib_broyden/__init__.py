"""Broyden's method as an equilib plugin: with the full inverse, with a limited memory, and its inverse as adjoint."""

from __future__ import annotations

from collections.abc import Iterable

from equilib.plugin import Capabilities, SensitivityEntry, SolverEntry, hookimpl


@hookimpl
def equilib_solvers() -> Iterable[SolverEntry]:
    """Yield the solvers `broyden` and `lbroyden`."""
    yield SolverEntry(
        name="broyden",
        factory="equilib_broyden.full:Broyden",
        summary="Good Broyden with the full inverse Jacobian of each sample, for small states",
        advice=(
            "For states of up to some hundred elements: its memory is the square of that for each sample (it refuses "
            "states beyond `largest`). A step is one evaluation, and it learns expansive maps that Picard iteration "
            "cannot solve. Only where two steps in a row have to be taken back it asks for the true Jacobian, one "
            "product J·v per element, and goes on without where f has no derivative; `jacobian=identity` never asks. "
            "With `jacobian=products` it starts from the true Jacobian, which pays on strongly nonlinear maps. For "
            "large states take `lbroyden` or `anderson`."
        ),
        capabilities=Capabilities(needs_jvp=True),
    )
    yield SolverEntry(
        name="lbroyden",
        factory="equilib_broyden.limited:LimitedMemoryBroyden",
        summary="Good Broyden with a limited memory, one evaluation a step",
        advice=(
            "For large states where f contracts or nearly so: one evaluation a step, two arrays of memory for each of "
            "the last `memory` steps; lower it where they do not fit, at the price of evaluations. It needs no "
            "derivative, and the adjoint `shine` can reuse what it learned. Where f is strongly nonlinear take "
            "`newton-gmres`."
        ),
    )


@hookimpl
def equilib_sensitivities() -> Iterable[SensitivityEntry]:
    """Yield the adjoint `shine`."""
    yield SensitivityEntry(
        name="shine",
        factory="equilib_broyden.shine:Shine",
        summary="Reuse the inverse Jacobian that the forward Broyden solve learned, optionally refined",
        advice=(
            "Nearly free: no product Jᵀ·w without `refine`. The gradient is as good as what the forward solve happened "
            "to learn, so check it (it was within half a percent of accuracy on CIFAR-10, worse on ImageNet); five "
            "refinement steps lost nothing there. It needs `broyden` or `lbroyden` as the solver."
        ),
        exact=False,
        solvers=("broyden", "lbroyden"),
    )
