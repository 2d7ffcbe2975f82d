"""Solutions as differentiable functions: of where the solve starts, and of the inputs."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TypeVar

from equilib.adjoints.sensitivity import Pullback
from equilib.arrays import Array, Tree, tree_leaves, zeros_like
from equilib.autodiff import static_value
from equilib.autodiff.custom import with_pullback
from equilib.fixed_points.solution import BatchSolution

S = TypeVar("S", bound=BatchSolution)


def differentiable(
    value: Array,
    start: Array,
    inputs: tuple[Tree, ...],
    pull: Callable[[Array], Pullback[S]],
    leaves: Callable[[tuple[Tree, ...]], Sequence[Array | None]] = tree_leaves,
) -> tuple[Array, list[S]]:
    """Return `value` with a derivative, and the list to which each backward pass adds its solves.

    Parameters
    ----------
    value : array
        Of a solution, a constant.
    start : array
        The initial guess or value; it may be traced.
    inputs : tuple of trees of arrays
        They may be traced.
    pull : callable
        Maps the cotangent of `value` to those of the start and the inputs, as a sensitivity does.
    leaves : callable
        Maps the cotangents of the inputs to those of their leaves, None where there is none.
    """
    adjoints: list[S] = []

    def pullback(cotangent: Array) -> Sequence[Array | None]:
        pulled = pull(cotangent)
        adjoints.extend(pulled.solves)
        constant = static_value(start)
        bar = zeros_like(constant) if pulled.start is None else pulled.start
        return [bar, *leaves(pulled.inputs)]

    return with_pullback(value, pullback, start, *tree_leaves(inputs)), adjoints
