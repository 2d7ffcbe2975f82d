"""The product that certifies an adjoint, and the cotangents that come with it."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import product
from typing import Any

import numpy as np
import pytest

from equilib import FixedPointProblem, Linearization, solve
from equilib.adjoints.implicit import ImplicitAdjoint
from equilib.fixed_points.picard import Picard

RNG = np.random.default_rng(0)
J = 0.5 * np.linalg.qr(RNG.standard_normal((4, 4)))[0]
X = RNG.standard_normal((3, 4))
RATES = np.array([[1.0], [0.5], [0.1]])
"""Shares of J, by which samples end at different steps."""


class Passes:
    """The problem z = rate · J z + x with all products, which counts the passes that each takes."""

    def __init__(self, wrong: float = 1.0, rates: np.ndarray = RATES) -> None:
        self.names: list[str] = []
        self.rates = rates
        self.wrong = wrong  # factor of the first product that is expected to be the last

    def __call__(self, f: Any, z: np.ndarray, x: np.ndarray) -> Linearization:
        """Return all products at z, of which the cotangent of x is w."""

        def vjp(w: np.ndarray, name: str = "vjp") -> np.ndarray:
            self.names.append(name)
            return (self.wrong if self.names.count("both") == 1 and name == "both" else 1.0) * self.rates * (w @ J)

        def inputs_vjp(w: np.ndarray) -> Any:
            self.names.append("inputs")
            return (w.copy(),)

        both = lambda w: (vjp(w, "both"), (w.copy(),))  # noqa: E731
        jvp = lambda v: self.rates * (v @ J.T)  # noqa: E731
        return Linearization(value=f(z, x), jvp=jvp, vjp=vjp, inputs_vjp=inputs_vjp, both_vjps=both)


def pulled(passes: Passes, rtol: float, criterion: str = "distance") -> tuple[np.ndarray, Any]:
    """Return the cotangent of x, and how the adjoint equation was solved."""
    problem = FixedPointProblem(lambda z, x: RATES * (z @ J.T) + x, X, linearize=passes)
    solution = solve(problem, "newton-dense", np.zeros_like(X), rtol=1e-12, criterion=criterion)
    passes.names.clear()
    found = ImplicitAdjoint(Picard(), rtol=rtol).pullback(problem, solution, np.ones_like(X))
    return found.inputs[0], found.solves[0]


@pytest.mark.parametrize("criterion", ["residual", "distance"])
def test_cotangents_come_with_the_last_product(criterion: str):
    """The last of the products brings what the inputs get, at the w that every sample ended at."""
    passes = Passes()
    bar, solve = pulled(passes, 1e-6, criterion)
    assert len(set(solve.steps)) == 3
    assert passes.names == ["vjp"] * (solve.nfe - 1) + ["both"]
    assert np.array_equal(bar, solve.z)
    exact = np.stack([np.linalg.solve(np.eye(4) - rate * J.T, np.ones(4)) for rate in RATES[:, 0]])
    assert np.allclose(bar, exact, rtol=1e-5)


def test_a_solve_that_ends_elsewhere_has_a_pass_of_its_own():
    """Where residuals do not fall as they did, cotangents are those of the w that was reached in the end."""
    passes = Passes(30.0)
    bar, solve = pulled(passes, 1e-2)
    assert "vjp" in passes.names[passes.names.index("both") :]
    assert np.array_equal(bar, solve.z)
    passes = Passes()
    bar, solve = pulled(passes, 0.9)  # at once
    assert passes.names == ["vjp"] * solve.nfe + ["inputs"]
    assert np.array_equal(bar, solve.z)


@dataclass
class Overwritten:
    """An iterate that its solver changes in place, and its residual."""

    z: np.ndarray
    residual: np.ndarray


class InPlace:
    """Picard iteration in one buffer."""

    def init(self, f: Any, z0: np.ndarray) -> Overwritten:
        """Start."""
        z = z0.copy()
        return Overwritten(z, f.residual(z))

    def step(self, f: Any, state: Overwritten) -> Overwritten:
        """Iterate once."""
        z = state.z
        z += state.residual
        return Overwritten(z, f.residual(z))


def test_a_solver_may_overwrite_its_iterates():
    """Cotangents are those of the w that is returned, where a solver goes on in the buffer that was pulled back."""
    start = np.zeros((1, 4))
    for steps, wrong, rtol in product(range(1, 9), (0.3, 3.0, 30.0), (0.1, 1e-2, 1e-3)):
        passes = Passes(wrong, RATES[:1])
        problem = FixedPointProblem(lambda z, x: z @ J.T + x, X[:1], linearize=passes)
        solution = solve(problem, "newton-dense", start, rtol=1e-12, criterion="residual")
        found = ImplicitAdjoint(InPlace(), rtol=rtol, max_steps=steps).pullback(problem, solution, np.ones_like(start))
        assert np.array_equal(found.inputs[0], found.solves[0].z)
