"""The laws that every differentiable operation obeys, on every case of the table."""

from __future__ import annotations

from types import ModuleType

import autograd
import numpy as np
import pytest

from equilib import ops
from equilib.autodiff import linearize
from tests.arrays_under_test import distance, lift, lower
from tests.ops.case import Case
from tests.ops.cases import CASES
from tests.ops.derivatives import (
    all_derivatives,
    central_difference,
    forward_over_reverse,
    gradient,
    like,
    reverse_over_reverse,
)

each_case = pytest.mark.parametrize("case", CASES, ids=str)


def test_every_operation_has_a_case():
    """The table covers the public operations, and nothing else."""
    assert {case.operation for case in CASES} == set(ops.__all__)


@each_case
def test_value(case: Case, rng: np.random.Generator):
    """An operation computes what its formula says."""
    args = case.draw(rng)
    assert distance(case.call(*args), case.reference(*args)) < 1e-12


@each_case
def test_jvp_is_the_derivative(case: Case, rng: np.random.Generator):
    """J·v is the limit of the difference quotient, for each argument."""
    args = case.draw(rng)
    linear = linearize(case.call, *args)
    for argnum, direction in enumerate(like(args, rng)):
        directions = tuple(direction if k == argnum else np.zeros_like(arg) for k, arg in enumerate(args))
        expected = central_difference(case.call, args, directions)
        assert distance(linear.jvp(direction, argnum), expected) < 1e-6


@each_case
def test_vjp_is_the_transpose(case: Case, rng: np.random.Generator):
    """⟨J·v, w⟩ = ⟨v, Jᵀ·w⟩ for each argument."""
    args = case.draw(rng)
    linear = linearize(case.call, *args)
    (w,) = like((linear.value,), rng)
    pulled = linear.vjp(w, tuple(range(len(args))))
    for argnum, (v, grad) in enumerate(zip(like(args, rng), pulled, strict=True)):
        assert np.shape(grad) == np.shape(v)
        left, right = np.sum(linear.jvp(v, argnum) * w), np.sum(v * grad)
        assert abs(left - right) <= 1e-10 * (1 + np.linalg.norm(v) * np.linalg.norm(grad))


@each_case
def test_vjp_agrees_with_autograd(case: Case, rng: np.random.Generator):
    """The same rules give the same pullback when autograd itself drives them."""
    args = case.draw(rng)
    linear = linearize(case.call, *args)
    (w,) = like((linear.value,), rng)
    for argnum, grad in enumerate(linear.vjp(w, tuple(range(len(args))))):
        through_autograd, _ = autograd.make_vjp(case.call, argnum)(*args)
        assert distance(grad, through_autograd(w)) < 1e-14


@each_case
def test_second_derivative(case: Case, rng: np.random.Generator):
    """A rule can itself be differentiated: the Hessian, by both routes, is the derivative of the gradient."""
    args = case.draw(rng)
    (weight,) = like((case.call(*args),), rng)
    directions = like(args, rng)
    forward = forward_over_reverse(case, weight, args, directions)
    backward = reverse_over_reverse(case, weight, args, directions)
    grad = gradient(case, weight)
    for k in range(len(args)):
        expected = central_difference(lambda *at, k=k: grad(at)[k], args, directions)
        assert distance(forward[k], expected) < 1e-6
        assert distance(backward[k], expected) < 1e-6


@each_case
def test_float32_stays_float32(case: Case, xp: ModuleType, rng: np.random.Generator):
    """Single precision in, single precision out: the value, J·v, Jᵀ·w and the Hessian's products."""
    args = lift(xp, case.draw(rng), "float32")
    linear = linearize(case.call, *args)
    (w,) = lift(xp, like((lower(linear.value),), rng), "float32")
    directions = lift(xp, like(args, rng), "float32")
    weight = lower(w)
    results = [linear.value, *linear.vjp(w, tuple(range(len(args))))]
    results += [linear.jvp(direction, k) for k, direction in enumerate(directions)]
    results += forward_over_reverse(case, weight, args, directions)
    results += reverse_over_reverse(case, weight, args, directions)
    assert all(result.dtype == xp.float32 for result in results)


@each_case
def test_every_library_agrees_with_numpy(case: Case, xp: ModuleType, rng: np.random.Generator):
    """The value, J·v, Jᵀ·w and the Hessian's products are the same numbers on every array library."""
    args = case.draw(rng)
    (w,) = like((case.call(*args),), rng)
    directions = like(args, rng)
    expected = all_derivatives(case, args, w, directions)
    actual = all_derivatives(case, lift(xp, args), lift(xp, w), lift(xp, directions))
    for name, value in expected.items():
        assert distance(actual[name], value) < 1e-12, name
