"""A linearization that the solver has made already is not made again."""

from __future__ import annotations

from dataclasses import dataclass, replace
from types import ModuleType
from typing import Any

import numpy as np
import pytest

from equilib import ImplicitAdjoint, Picard, Sensitivity, Solver, ops
from equilib.adjoints.linearizations import LastLinearization
from equilib.arrays.trees import tree_leaves
from equilib.autodiff import value_and_grad
from equilib.layers import Dense
from equilib.models import DeepEquilibrium
from equilib_anderson.solver import Anderson
from equilib_newton_gmres.solver import NewtonGMRES
from tests.arrays_under_test import lift, lower
from tests.models.networks import TIGHT
from tests.models.small import CELL, drawn


@dataclass(frozen=True)
class Watched(Dense):
    """A dense layer that notes the size of each batch it is applied to."""

    sizes: Any = None

    def __call__(self, params: Any, x: Any) -> Any:
        """Note the size of the batch, and apply the layer."""
        self.sizes.append(x.shape[0])
        return super().__call__(params, x)


def gradient(solver: Solver, x: Any, sensitivity: Sensitivity | None = None, **options: Any) -> tuple[Any, Any, Any]:
    """Return the gradient of Σ z*, the record, and the sizes of the batches on which f was evaluated."""
    sizes: list[int] = []
    cell = replace(CELL, recur=Watched(5, 5, sizes=sizes))
    deq = DeepEquilibrium(cell, solver, sensitivity=sensitivity, options=replace(TIGHT, **options))
    kept = []

    def loss(params: Any) -> Any:
        kept.append(deq(params, x))
        return ops.sum(kept[0].z)

    found = value_and_grad(loss)(drawn(deq))[1]
    return found, kept[0], sizes


@pytest.mark.parametrize("sensitivity", [None, ImplicitAdjoint(), ImplicitAdjoint(Picard(), max_steps=500)], ids=str)
def test_newtons_last_linearization_is_the_adjoints(sensitivity: Sensitivity | None, rng: np.random.Generator):
    """Forward and backward, f is evaluated as often as the solve counts, and once more after another solver."""
    x = rng.standard_normal((3, 4))
    by_newton, record, sizes = gradient(NewtonGMRES(), x, sensitivity, compact=0.0)
    assert len(sizes) == record.nfe
    by_anderson, record, sizes = gradient(Anderson(), x, sensitivity, compact=0.0)
    assert len(sizes) == record.nfe + 1
    for one, other in zip(tree_leaves(by_newton), tree_leaves(by_anderson), strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-10, atol=1e-13)


def test_where_samples_left_the_batch_all_are_linearized_together(rng: np.random.Generator):
    """The last linearization is then that of some samples; the gradient is the one without removals."""
    x = rng.standard_normal((6, 4)) * 10.0 ** np.arange(-5, 1)[:, None]
    # Solved exactly, a step is enough where x is so small that f is nearly linear.
    solver = NewtonGMRES(forcing=1e-12)
    whole, record, _ = gradient(solver, x, compact=0.0)
    found, removed, sizes = gradient(solver, x, compact=1.0)
    assert removed.solution is not None
    assert removed.solution.sample_nfe < record.nfe * 6
    assert sizes[-1] == 6
    for one, other in zip(tree_leaves(found), tree_leaves(whole), strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-10, atol=1e-13)


def test_only_the_same_point_and_inputs_are_remembered(xp: ModuleType, rng: np.random.Generator):
    """An equal z with the same inputs gives the same linearization; another z, or other inputs, a new one."""
    calls: list[int] = []

    def f(z: Any, b: Any) -> Any:
        calls.append(1)
        return ops.tanh(ops.add(z, b))

    z, b, again = (lift(xp, rng.standard_normal((2, 3))) for _ in range(3))
    linearize = LastLinearization()
    first = linearize(f, z, b)
    assert linearize(f, lift(xp, lower(z)), b) is first
    assert len(calls) == 1
    for other in ((z, again), (again, b), (z[:1, ...], b[:1, ...])):
        found = linearize(f, *other)
        np.testing.assert_allclose(lower(found.value), np.tanh(lower(other[0]) + lower(other[1])), rtol=1e-14)
    assert len(calls) == 4
