from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from equilib import ops
from equilib.autodiff import value_and_grad
from equilib.layers import Chain, Conv
from equilib.models import DeepEquilibrium, InjectedCell, OneStepGuess
from equilib_newton_gmres.solver import NewtonGMRES
from tests.models.networks import (
    TIGHT,
    dense_jacobian,
    gradient_by_differences,
    largest_difference,
)
from tests.models.small import drawn


def with_estimate(depth: int = 0) -> tuple[DeepEquilibrium, Any]:
    """Return a model whose state has another shape than its input, and estimates ‖J‖²."""
    cell = InjectedCell(Conv(1, 2, (3, 3), stride=2), Conv(2, 2, (3, 3), padding="same"), Chain(ops.tanh))
    deq = DeepEquilibrium(cell, NewtonGMRES(), OneStepGuess(), options=TIGHT, fixed_depth=depth, jacobian_loss=True)
    return deq, drawn(deq)


@pytest.mark.parametrize("depth", [0, 3])
def test_the_estimate_is_that_of_hutchinson(depth: int, rng: np.random.Generator):
    """With v from the generator it is ‖Jᵀv‖² / size, by the dense J at z*; x and z may have different shapes."""
    deq, params = with_estimate(depth)
    x = rng.standard_normal((2, 5, 7, 1))
    found = deq(params, x, rng=np.random.default_rng(8))
    assert found.z.shape == (2, 2, 3, 2)
    u = deq.cell.inject(params["cell"], x)
    J = dense_jacobian(lambda z: deq.cell.step(params["cell"], z, u), found.z)
    v = np.random.default_rng(8).standard_normal(found.z.shape).ravel()
    assert float(found.jacobian_loss) == pytest.approx(np.sum((J.T @ v) ** 2) / v.size, rel=1e-12)


def test_the_estimate_is_right_on_average():
    """Its mean over many v is ‖J‖²_F / size of one sample, whatever the batch: here one sample, many times over."""
    deq, params = with_estimate()
    copies = 3000
    x = np.random.default_rng(0).standard_normal((1, 5, 7, 1))
    one = deq(params, x, rng=np.random.default_rng(1))
    u = deq.cell.inject(params["cell"], x)
    J = dense_jacobian(lambda z: deq.cell.step(params["cell"], z, u), one.z)
    exact = np.sum(J**2) / one.z.size
    estimate = float(deq(params, np.repeat(x, copies, axis=0), rng=np.random.default_rng(2)).jacobian_loss)
    # For normal v the variance of ‖Jᵀv‖² is 2‖J Jᵀ‖²_F.
    deviation = np.sqrt(2 * np.sum((J @ J.T) ** 2) / copies) / one.z.size
    assert abs(estimate - exact) < 4 * deviation
    assert deviation < 0.03 * exact


@pytest.mark.parametrize("depth", [0, 3])
def test_the_estimate_is_differentiable(depth: int, rng: np.random.Generator):
    """With the same random numbers its gradient, through z* too, agrees with central differences."""
    deq, params = with_estimate(depth)
    x = rng.standard_normal((2, 5, 5, 1))
    loss = lambda both: deq(*both, rng=np.random.default_rng(4)).jacobian_loss  # noqa: E731
    grad = value_and_grad(loss)((params, x))[1]
    assert largest_difference(grad, gradient_by_differences(loss, (params, x))) < 1e-6
    assert float(np.max(np.abs(grad[1]))) > 1e-4, "the estimate depends on x through z*"


def test_the_estimate_needs_random_numbers(rng: np.random.Generator):
    """Without a generator, as in inference, there is none; another generator gives another one."""
    deq, params = with_estimate()
    x = rng.standard_normal((1, 5, 5, 1))
    assert deq(params, x).jacobian_loss is None
    first, again, other = (float(deq(params, x, rng=np.random.default_rng(seed)).jacobian_loss) for seed in (1, 1, 2))
    assert first == again != other
