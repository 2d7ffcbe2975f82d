"""Linearizations that are kept for the adjoint, and what they tell about which inputs count."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple

from equilib.arrays import Array, Tree, array_namespace, tree_leaves
from equilib.fixed_points.linearization import Linearization
from equilib.fixed_points.problem import FixedPointProblem, Problem


class _Point(NamedTuple):
    z: Array
    inputs: tuple[Tree, ...]
    linear: Linearization


def leaves_of_used(problem: Problem, cotangents: tuple[Tree, ...]) -> Sequence[Array | None]:
    """Return the leaves of the cotangents of a problem's inputs, None for those on which f does not depend.

    Training takes a parameter that none arrives at for a mistake. What f depends on is read off one linearization;
    a cotangent that another one made is kept.
    """
    leaves, known = tree_leaves(cotangents), problem.derivatives
    used = known.used() if isinstance(known, LastLinearization | Noted) else None
    if used is None:
        return leaves
    return [
        leaf if depends or array_namespace(leaf).any(leaf != 0) else None
        for leaf, depends in zip(leaves, used, strict=True)
    ]


class Noted:
    """`linearize` of a problem, given another, which notes what f depends on where it is first linearized."""

    def __init__(self, linearize: Callable[..., Linearization]) -> None:
        self._linearize = linearize
        self._used: Sequence[bool] | None = None

    def used(self) -> Sequence[bool] | None:
        """Tell for each leaf of the inputs whether f depended on it; None where that is not known."""
        return self._used

    def __call__(self, f: Callable[..., Array], *at: Tree) -> Linearization:
        """Return f's linearization."""
        linear = self._linearize(f, *at)
        if self._used is None and linear.used is not None:
            self._used = linear.used()
        return linear


class LastLinearization:
    """`linearize` of a `FixedPointProblem`, by automatic differentiation, which knows its last result.

    A solver of Newton's kind ends where it has just linearized f, unless samples left the batch on the way. There a
    linearization costs no evaluation, though one is counted.
    """

    automatic = True

    def __init__(self) -> None:
        self._last: _Point | None = None

    def used(self) -> Sequence[bool] | None:
        """Tell for each leaf of the inputs whether f depended on it; None where that is not known."""
        linear = None if self._last is None else self._last.linear
        return None if linear is None or linear.used is None else linear.used()

    def __call__(self, f: Callable[..., Array], z: Array, *inputs: Tree) -> Linearization:
        """Return f's linearization at z."""
        last = self._last
        if last is not None and _same(last, z, inputs):
            return last.linear
        # Two of them at once would be too much for the memory.
        last = self._last = None
        linear = FixedPointProblem(f, *inputs).linearize(z)
        self._last = _Point(z, inputs, linear)
        return linear


def _same(last: _Point, z: Array, inputs: tuple[Tree, ...]) -> bool:
    if any(one is not other for one, other in zip(last.inputs, inputs, strict=True)) or last.z.shape != z.shape:
        return False
    return last.z is z or bool(array_namespace(z).all(last.z == z))
