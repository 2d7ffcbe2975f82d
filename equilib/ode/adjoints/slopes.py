"""Slopes of a backward pass: f with its pullback, which adds up the cotangents of the inputs."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from equilib.arrays import Array, Tree, tree_leaves, tree_unflatten, zeros_like
from equilib.fixed_points.linearization import Linearization
from equilib.ode.adjoints.course import Course
from equilib.ode.problem import OdeProblem


class Slopes:
    """The right-hand side of a problem, near the points of one backward pass through the steps of a solution."""

    def __init__(self, problem: OdeProblem, course: Course) -> None:
        self._problem, self._course = problem, course
        self._sums = [zeros_like(leaf) for leaf in tree_leaves(problem.inputs)]

    def linearize(self, t: np.ndarray, y: Array) -> tuple[Linearization, Callable[[Array], Array]]:
        """Return f linearized at (t, y), and the map w ↦ (∂f/∂y)ᵀ w.

        Each use of the map adds (∂f/∂inputs)ᵀ w to the cotangents; the linearization's own products add nothing.
        """
        linear = self._problem.linearize_at(self._course.inside(t), y)

        def pull(cotangent: Array) -> Array:
            y_bar, inputs_bar = linear.pull(cotangent)
            self._sums = [total + part for total, part in zip(self._sums, tree_leaves(inputs_bar), strict=True)]
            return y_bar

        return linear, pull

    def inputs_bar(self) -> tuple[Tree, ...]:
        """Return the cotangents of the inputs so far."""
        return tuple(tree_unflatten(self._problem.inputs, self._sums))
