from __future__ import annotations

from dataclasses import dataclass
from types import ModuleType
from typing import Any

import numpy as np
import pytest

from equilib import FixedPointProblem, Linearization, Picard, Solver, Status, ops, solve
from equilib.arrays.trees import tree_leaves, tree_map
from equilib.autodiff import value_and_grad
from equilib.fixed_points.compaction import SharedStateError, put_samples, take_samples
from equilib.fixed_points.options import SolveOptions
from equilib.layers import Chain, Dense
from equilib.models import DeepEquilibrium, InjectedCell
from equilib_anderson.solver import Anderson
from equilib_auto.solver import Auto, AutoState
from equilib_broyden.full import Broyden
from equilib_broyden.limited import LimitedMemoryBroyden
from equilib_broyden.shine import Shine
from equilib_newton_gmres.solver import NewtonGMRES
from tests.arrays_under_test import lift, lower

BATCH, SIZE = 8, 4


def test_a_state_that_cannot_be_taken_apart_is_refused():
    """Arrays without the batch axis and functions are refused, with what to do; plain values pass."""
    rows = np.array([0, 2])
    with pytest.raises(SharedStateError, match=r"of shape \(2,\), is not the batch of 3; arrange it so"):
        take_samples((np.zeros((3, 2)), np.zeros(2)), rows, batch=3)
    with pytest.raises(SharedStateError, match=r"holds a function, .* the solver's `restrict`"):
        take_samples({"f": lambda: 0}, rows, batch=3)
    plain = (1, 2.5, True, None, "text", Status.RUNNING, np.float64(3.0))
    assert take_samples(plain, rows, batch=3) == plain


def test_putting_back_is_the_inverse_of_taking(xp: ModuleType):
    """What was taken and changed is found in its place, the rest as it was; what grew is filled with zeros."""

    @dataclass(frozen=True)
    class History:
        count: int
        pairs: tuple[Any, ...]
        products: np.ndarray
        nothing: None = None

    rows = np.array([2, 0])
    whole = History(1, (lift(xp, np.arange(6.0).reshape(3, 2)),), np.ones((3, 1)))
    part = take_samples(whole, rows, batch=3)
    np.testing.assert_array_equal(lower(part.pairs[0]), [[4.0, 5.0], [0.0, 1.0]])
    grown = History(2, (part.pairs[0] + 10.0, part.pairs[0] * 0.0 + 7.0), np.full((2, 2), 5.0))
    found = put_samples(whole, grown, rows, batch=3)
    assert found.count == 2
    np.testing.assert_array_equal(lower(found.pairs[0]), [[10.0, 11.0], [2.0, 3.0], [14.0, 15.0]])
    np.testing.assert_array_equal(lower(found.pairs[1]), [[7.0, 7.0], [0.0, 0.0], [7.0, 7.0]])
    np.testing.assert_array_equal(found.products, [[5.0, 5.0], [1.0, 0.0], [5.0, 5.0]])
    assert put_samples(whole, part, rows, batch=3).count == 1


def test_linearizations_are_put_together_by_samples():
    """The products of a linearization that lost samples on the way are those of each sample's own point."""
    slopes = np.array([[2.0], [3.0], [4.0]])

    def linear(a: np.ndarray) -> Linearization:
        return Linearization(value=a, jvp=lambda v: a * v, vjp=lambda w: 10 * a * w, inputs_vjp=lambda w: ())

    joined = put_samples(linear(slopes), linear(-slopes[[1]]), np.array([1]), batch=3)
    ones = np.ones((3, 1))
    np.testing.assert_array_equal(joined.value[:, 0], [2.0, -3.0, 4.0])
    np.testing.assert_array_equal(joined.jvp(ones)[:, 0], [2.0, -3.0, 4.0])
    np.testing.assert_array_equal(joined.vjp(ones)[:, 0], [20.0, -30.0, 40.0])
    with pytest.raises(TypeError, match="linearize the problem again"):
        joined.inputs_vjp(ones)


# --- what reuses the state


@pytest.mark.parametrize("solver", [Broyden(jacobian="identity"), LimitedMemoryBroyden()], ids=str)
@pytest.mark.parametrize("refine", [0, 3])
def test_shine_reuses_what_all_samples_learned(solver: Solver, refine: int, rng: np.random.Generator):
    """After removals SHINE has the inverse Jacobian of every sample: its w is that without removals, bit for bit."""
    # An even number of numbers: old kernels round a product by where a sample begins, at a multiple of 16 bytes or not.
    gains = np.linspace(0.05, 0.95, 12)[:, None] * np.array([1.0, 0.5, 0.7, 0.9])
    problem = FixedPointProblem(lambda z, a: ops.multiply(a, ops.cos(z)), gains, batched_inputs=(True,))
    cotangent = rng.standard_normal(gains.shape)
    found = []
    for share in (0.0, 0.5, 1.0):
        solution = solve(problem, solver, np.zeros_like(gains), rtol=1e-9, compact=share)
        assert (solution.sample_nfe < 12 * solution.nfe) == (share > 0)
        adjoint = Shine(refine).pullback(problem, solution, cotangent).solves[0]
        assert adjoint is not None
        found.append(adjoint.z)
    for other in found[1:]:
        np.testing.assert_array_equal(other, found[0])
    assert np.all(np.linalg.norm(found[0] - cotangent, axis=1) > 1e-4), "every sample should have learned something"


def test_auto_still_tells_who_finished():
    """The method that finished each sample is known, also of those that were removed on the way."""
    slopes = np.array([[0.1], [-3.0], [0.2], [-2.0]])
    problem = FixedPointProblem(
        lambda z, a: ops.add(ops.multiply(a, z), 1.0), slopes, jvp=lambda z, v, a: a * v, batched_inputs=(True,)
    )
    states = [solve(problem, Auto(memory=1), np.zeros((4, 1)), rtol=1e-10, compact=each).state for each in (0.0, 1.0)]
    assert all(isinstance(state, AutoState) for state in states)
    assert states[0].finished_by == states[1].finished_by


def gradient(deq: DeepEquilibrium, params: Any, x: np.ndarray) -> list[np.ndarray]:
    """Return the derivative of the sum of squares of z* with respect to all parameters."""

    def loss(p: Any) -> Any:
        z = deq(p, x).z
        return ops.sum(ops.multiply(z, z))

    return tree_leaves(value_and_grad(loss)(params)[1])


@pytest.mark.parametrize("solver", [Picard(), NewtonGMRES(), LimitedMemoryBroyden(), Anderson()], ids=str)
def test_gradients_of_a_model_do_not_change(solver: Solver, rng: np.random.Generator):
    """A deep equilibrium model goes on without its finished samples, and its gradient is the same."""
    cell = InjectedCell(Dense(3, SIZE), Dense(SIZE, SIZE), Chain(ops.tanh))
    x = rng.standard_normal((BATCH, 3)) * np.linspace(0.0, 30.0, BATCH)[:, None]
    models = [
        DeepEquilibrium(cell, solver, options=SolveOptions(rtol=1e-10, max_steps=300, compact=share))
        for share in (0.0, 1.0)
    ]
    params = tree_map(lambda leaf: leaf.astype(np.float64), models[0].init(rng))
    whole, found = (deq(params, x).solution for deq in models)
    assert whole is not None
    assert found is not None
    assert found.sample_nfe < found.nfe * BATCH
    assert whole.sample_nfe == whole.nfe * BATCH
    for mine, theirs in zip(*(gradient(deq, params, x) for deq in models), strict=True):
        np.testing.assert_allclose(theirs, mine, rtol=1e-7, atol=1e-9)
