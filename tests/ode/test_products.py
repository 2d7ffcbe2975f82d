"""Equations with one linearization: what is known from earlier products is not computed again."""

from __future__ import annotations

from types import ModuleType
from typing import Any

import numpy as np
import pytest

from equilib import GMRES
from equilib.arrays import array_namespace
from equilib.fixed_points.linearization import Linearization
from equilib.numerics.bicgstab import BiCGStab
from equilib.numerics.linear_solver import LinearSolver
from equilib.ode import products
from equilib.ode.products import Products
from tests.arrays_under_test import constant_like, lift, lower

BATCH, SIZE = 3, 24
EVERY = np.ones(BATCH, bool)
C = np.array([0.3, 1.0, 4.0])


class Decay:
    """Linearizations J, each sample's with its own rates from 1 to 100 of decay, that count their products."""

    def __init__(self, rng: np.random.Generator, xp: ModuleType = np, dtype: str = "float64") -> None:
        modes = np.linalg.qr(rng.standard_normal((BATCH, SIZE, SIZE)))[0]
        self.matrix = -modes * np.geomspace(1, 100, SIZE) @ np.swapaxes(modes, 1, 2)
        self.calls = 0
        value = lift(xp, np.zeros((BATCH, 2, SIZE // 2)), dtype)
        self.linear = Linearization(value=value, jvp=self._jvp, vjp=self._jvp, inputs_vjp=lambda w: ())

    def _jvp(self, v: Any) -> Any:
        self.calls += 1
        xp = array_namespace(v)
        return xp.reshape(xp.matmul(constant_like(self.matrix, v), xp.reshape(v, (BATCH, SIZE, 1))), v.shape)

    def residuals(self, x: Any, b: Any, c: np.ndarray) -> np.ndarray:
        """Return ‖b − x + c J x‖ / ‖b‖ of each sample."""
        rows, right = (lower(each).reshape(BATCH, SIZE).astype(float) for each in (x, b))
        left = right - rows + c[:, None] * np.einsum("bij,bj->bi", self.matrix, rows)
        return np.asarray(np.linalg.norm(left, axis=1) / np.linalg.norm(right, axis=1))


def right_hand_side(rng: np.random.Generator, like: Any) -> Any:
    """Draw one for each sample, of sizes that differ by orders of magnitude."""
    return constant_like(rng.standard_normal(like.shape) * np.array([1e-6, 1.0, 1e4])[:, None, None], like)


def solved(known: tuple[Linearization, Products], c: np.ndarray, b: Any, rtol: float = 1e-3, **kept: Any) -> Any:
    """Solve for all samples by GMRES, or as given, with a linearization and what is known of it."""
    solver: LinearSolver = kept.get("solver", GMRES(60))
    linear, kept_products = known
    return kept_products.solve(linear, solver, c, b, rtol=np.full(BATCH, rtol), active=kept.get("active", EVERY))


@pytest.mark.parametrize(
    ("solver", "dtype"),
    [(GMRES(60), "float64"), (GMRES(60), "float32"), (BiCGStab(), "float64")],  # in float32 rounding may break it down
    ids=lambda part: part if isinstance(part, str) else type(part).__name__,
)
def test_each_equation_is_solved_to_its_tolerance(
    xp: ModuleType, rng: np.random.Generator, solver: LinearSolver, dtype: str
) -> None:
    """Whatever was solved before, with other c, each sample's residual is as small as was asked, in b's dtype."""
    decay = Decay(rng, xp, dtype)
    known = (decay.linear, Products())
    for c in (C, C[::-1], 0.1 * C):
        b = right_hand_side(rng, decay.linear.value)
        x = solved(known, c, b, solver=solver)
        assert x.dtype == b.dtype
        assert (decay.residuals(x, b, c) < 2e-3).all()


def test_the_first_solution_is_that_of_the_solver(rng: np.random.Generator) -> None:
    """Where nothing is known yet, GMRES makes the same products and finds the same x."""
    decay = Decay(rng)
    b, factor = right_hand_side(rng, decay.linear.value), C[:, None, None]
    x, ours = solved((decay.linear, Products()), C, b), decay.calls
    alone = GMRES(60).solve(lambda v: v - decay.linear.jvp(v) * factor, b, rtol=np.full(BATCH, 1e-3), active=EVERY)
    assert decay.calls == 2 * ours
    np.testing.assert_allclose(x / factor, alone / factor, rtol=1e-9, atol=1e-12 * np.abs(b).max(axis=(1, 2)).min())


def test_what_was_solved_once_takes_no_product(xp: ModuleType, rng: np.random.Generator) -> None:
    """The same equation, a multiple of it, and the sum of two take none; with another c fewer than at first."""
    decay = Decay(rng, xp)
    known, (b, other) = (decay.linear, Products()), (right_hand_side(rng, decay.linear.value) for _ in range(2))
    solved(known, C, b)
    first = decay.calls
    solved(known, C, other)
    calls = decay.calls
    for again in (b, -3 * other, b + other):
        assert (decay.residuals(solved(known, C, again, rtol=2e-3), again, C) < 2.1e-3).all()
    assert decay.calls == calls
    solved(known, 1.2 * C, b)
    assert decay.calls - calls < first / 2


def test_nothing_is_kept_across_another_linearization(rng: np.random.Generator) -> None:
    """Samples with a new J are solved with its products alone, the others without any."""
    decay, new = Decay(rng), Decay(rng)
    known, b = (decay.linear, Products()), right_hand_side(rng, decay.linear.value)
    old = solved(known, C, b)
    renewed = np.array([False, True, False])
    new.matrix[~renewed] = decay.matrix[~renewed]
    mixed = (new.linear, known[1].renewed(renewed))
    x = solved(mixed, C, b, active=~renewed)
    assert new.calls == 0
    np.testing.assert_allclose(x[~renewed], old[~renewed], rtol=1e-12)
    assert not x[renewed].any()
    solved(mixed, C, b)
    partly = new.calls
    np.testing.assert_array_equal(
        solved((new.linear, known[1].renewed(EVERY)), C, b), solved((new.linear, Products()), C, b)
    )
    assert partly > 0
    assert (new.residuals(solved(mixed, C, b), b, C) < 1e-3 * (1 + 1e-6)).all()


def test_a_sample_does_not_depend_on_its_neighbours(rng: np.random.Generator, monkeypatch: pytest.MonkeyPatch) -> None:
    """When few columns are kept, they are as many as for a sample alone, and x is the same to rounding."""
    monkeypatch.setattr(products, "MANY", 18)
    monkeypatch.setattr(products, "FEW", 4)
    decay, alone = Decay(rng), Decay(np.random.default_rng(0))
    alone.matrix = decay.matrix
    together, single = (decay.linear, Products()), (alone.linear, Products())
    only = np.array([False, True, False])
    for active in (EVERY, ~only, ~only, ~only, only, EVERY, EVERY, EVERY):
        b = right_hand_side(rng, decay.linear.value)
        x = solved(together, C, b, active=active)
        if active[1]:
            np.testing.assert_allclose(x[1], solved(single, C, b, active=only)[1], rtol=1e-6, atol=1e-9)


@pytest.mark.parametrize("broken", [np.nan, np.inf])
def test_what_is_not_finite_stays_in_its_sample(rng: np.random.Generator, broken: float) -> None:
    """A sample whose b or J is not finite leaves the others as they are, then and later; its x is zero for such a b."""
    decay = Decay(rng)
    known, b = (decay.linear, Products()), right_hand_side(rng, decay.linear.value)
    decay.matrix[0] = broken
    with np.errstate(invalid="ignore"):
        solved(known, C, b)
        b[2, 0, 0] = broken
        x = solved(known, C, b)
    assert not x[2].any()
    assert decay.residuals(x[1:2].repeat(BATCH, 0), b[1:2].repeat(BATCH, 0), C[1:2].repeat(BATCH))[1] < 1e-3 * (
        1 + 1e-6
    )
