from __future__ import annotations

from dataclasses import FrozenInstanceError
from types import ModuleType
from typing import Any

import numpy as np
import pytest

from equilib import FixedPointProblem, ImplicitAdjoint, Linearization, Picard, ops, solve
from equilib.errors import NoDerivativeError
from equilib_newton_gmres.solver import NewtonGMRES
from tests.arrays_under_test import lift, lower
from tests.problems import REGULAR, STEEP, TANH, KnownMap

STEP = 1e-6


@pytest.mark.parametrize("known", [*REGULAR, STEEP], ids=str)
def test_known_maps_are_known(known: KnownMap, rng: np.random.Generator):
    """The fixed points that other tests rely on are fixed points, and the products by hand are derivatives."""
    assert known.solution is not None
    np.testing.assert_allclose(known.f(known.solution, known.bias), known.solution, atol=1e-13)
    z, v, w = (rng.standard_normal(known.z0.shape) for _ in range(3))
    z = known.solution + 0.1 * z
    change = (known.f(z + STEP * v, known.bias) - known.f(z - STEP * v, known.bias)) / (2 * STEP)
    np.testing.assert_allclose(known.jvp(z, v, known.bias), change, rtol=1e-6, atol=1e-6)
    np.testing.assert_allclose(np.sum(change * w), np.sum(v * known.vjp(z, w, known.bias)), rtol=1e-6)


@pytest.mark.parametrize("known", [*REGULAR, STEEP], ids=str)
def test_automatic_linearization_is_that_by_hand(known: KnownMap, xp: ModuleType, rng: np.random.Generator):
    """Without jvp and vjp, f is differentiated: its value, J·v and Jᵀ·w agree with those given."""
    z, v = (lift(xp, rng.standard_normal(known.z0.shape)) for _ in range(2))
    by_hand, traced = (known.problem(xp, by_hand=flag).linearize(z) for flag in (True, False))
    for pair in [(by_hand.value, traced.value), (by_hand.jvp(v), traced.jvp(v)), (by_hand.vjp(v), traced.vjp(v))]:
        np.testing.assert_allclose(lower(pair[0]), lower(pair[1]), rtol=1e-11, atol=1e-12)


def test_cotangents_of_the_inputs_keep_their_structure(rng: np.random.Generator):
    """`inputs_vjp` returns one tree for each input, shaped like it."""
    W, b = rng.standard_normal((3, 3)), rng.standard_normal((2, 3))
    problem = FixedPointProblem(
        lambda z, p, x: ops.tanh(ops.add(ops.matmul(z, p["layers"][0]), ops.add(p["bias"], x))),
        {"bias": b[0], "layers": [W]},
        b,
    )
    z, w = rng.standard_normal((2, 2, 3))
    linear = problem.linearize(z)
    params, x = linear.inputs_vjp(w)
    slope = 1 - np.tanh(z @ W + b[0] + b) ** 2
    assert list(params) == ["bias", "layers"]
    np.testing.assert_allclose(params["layers"][0], z.T @ (slope * w))
    np.testing.assert_allclose(params["bias"], np.sum(slope * w, axis=0))
    np.testing.assert_allclose(x, slope * w)


def test_a_problem_is_the_same_after_a_solve():
    """A problem is a statement: no solve and no gradient leaves a trace on it, and nobody can change it."""
    problem = TANH.problem(by_hand=False)
    before = dict(vars(problem))
    solution = solve(problem, NewtonGMRES(), TANH.z0)
    ImplicitAdjoint().pullback(problem, solution, np.ones_like(TANH.z0))
    assert vars(problem) == before
    with pytest.raises(FrozenInstanceError):
        problem.f = np.cos  # type: ignore[misc]


def test_a_restriction_is_the_problem_of_some_samples(rng: np.random.Generator):
    """Values and products are those of the samples in their order."""
    weight = rng.standard_normal((4, 4))
    own = {"bias": rng.standard_normal((5, 4)), "more": [rng.standard_normal((5, 1))]}
    f = lambda z, W, u: ops.tanh(ops.add(ops.matmul(z, W), ops.multiply(u["bias"], u["more"][0])))  # noqa: E731
    problem = FixedPointProblem(f, weight, own, batched_inputs=(False, True))
    z, v = rng.standard_normal((2, 5, 4))
    rows = np.array([3, 0])
    part = problem.restricted(rows)
    whole, linear = problem.linearize(z), part.linearize(z[rows])
    np.testing.assert_allclose(linear.value, whole.value[rows], rtol=1e-13)
    np.testing.assert_allclose(linear.jvp(v[rows]), whole.jvp(v)[rows], rtol=1e-13)
    np.testing.assert_allclose(part.restricted(np.array([1]))(z[[0]]), whole.value[[0]], rtol=1e-13)
    assert part.batched_inputs == (False, True)


def test_a_missing_product_is_asked_for_by_name():
    """Who gave one product and needs the other is told which one."""
    z = np.zeros((1, 2))
    only_vjp = FixedPointProblem(np.cos, vjp=lambda z, w: -np.sin(z) * w)
    assert solve(only_vjp, Picard(), z).success
    with pytest.raises(NoDerivativeError, match=r"FixedPointProblem\(\.\.\., jvp=\.\.\.\), called as jvp\(z, v"):
        solve(only_vjp, NewtonGMRES(), z)
    only_jvp = FixedPointProblem(np.cos, jvp=lambda z, v: -np.sin(z) * v)
    solution = solve(only_jvp, NewtonGMRES(), z)
    with pytest.raises(NoDerivativeError, match=r"vjp=\.\.\."):
        ImplicitAdjoint().pullback(only_jvp, solution, np.ones((1, 2)))
    both = FixedPointProblem(
        lambda z, s: np.cos(s * z),
        1.0,
        jvp=lambda z, v, s: -s * np.sin(s * z) * v,
        vjp=lambda z, w, s: -s * np.sin(s * z) * w,
    )
    with pytest.raises(NoDerivativeError, match=r"inputs_vjp=\.\.\.\), called as inputs_vjp\(z, w"):
        ImplicitAdjoint().pullback(both, solve(both, NewtonGMRES(), z), np.ones_like(z))


def test_products_by_hand_give_the_gradient_of_automatic_ones():
    """vjp and inputs_vjp, for a map that nothing can trace, are all that an adjoint needs."""
    weight, bias, g = np.array([[0.2, 0.5], [-0.3, 0.1]]), {"b": np.array([1.0, -1.0])}, np.array([[1.0, 2.0]])
    slope = lambda z, w, b: 1 - np.tanh(z @ w + b["b"]) ** 2  # noqa: E731
    by_hand = FixedPointProblem(
        lambda z, w, b: np.tanh(np.asarray(z) @ w + b["b"]),
        weight,
        bias,
        vjp=lambda z, g, w, b: (g * slope(z, w, b)) @ w.T,
        inputs_vjp=lambda z, g, w, b: (z.T @ (g * slope(z, w, b)), {"b": np.sum(g * slope(z, w, b), axis=0)}),
    )
    automatic = FixedPointProblem(lambda z, w, b: ops.tanh(z @ w + b["b"]), weight, bias)
    found, expected = (
        ImplicitAdjoint().pullback(each, solve(each, Picard(), np.zeros((1, 2)), rtol=1e-12, max_steps=99), g).inputs
        for each in (by_hand, automatic)
    )
    np.testing.assert_allclose(found[0], expected[0], rtol=1e-9)
    np.testing.assert_allclose(found[1]["b"], expected[1]["b"], rtol=1e-9)
    wrong = FixedPointProblem(lambda z, s: np.cos(z), 1.0, vjp=lambda z, w, s: w, inputs_vjp=lambda z, w, s: w)
    with pytest.raises(TypeError, match="must return a tuple with one tree for each of 1 inputs"):
        wrong.linearize(g).inputs_vjp(g)


def test_what_cannot_be_traced_is_told_from_what_is_wrong():
    """A map that NumPy alone can evaluate has no derivative, and the error says what to do; its own errors stay."""
    z = np.ones((1, 2))
    with pytest.raises(NoDerivativeError, match=r"cannot be traced \(.*ArrayBox.*ops or autograd.numpy, or give"):
        FixedPointProblem(lambda z: np.cos(np.asarray(z))).linearize(z)
    with pytest.raises(NoDerivativeError, match="f joined traced arrays by a function of NumPy's own"):
        FixedPointProblem(np.ones_like).linearize(z)
    with pytest.raises(ValueError, match=r"mismatch|cannot be broadcast|could not be broadcast") as caught:
        FixedPointProblem(lambda z: z + np.ones(3)).linearize(z)
    assert not isinstance(caught.value, NoDerivativeError)


def test_a_linearization_may_be_given():
    """`linearize` replaces automatic differentiation, and receives f, z and the inputs."""
    seen: list[Any] = []

    def by_formula(f: Any, z: Any, scale: float) -> Linearization:
        seen.append(scale)
        slope = -scale * np.sin(scale * z)
        return Linearization(
            value=f(z, scale),
            jvp=lambda v: slope * v,
            vjp=lambda w: slope * w,
            inputs_vjp=lambda w: (np.sum(-z * np.sin(scale * z) * w),),
        )

    problem = FixedPointProblem(lambda z, scale: np.cos(scale * z), 0.8, linearize=by_formula)
    solution = solve(problem, NewtonGMRES(), np.zeros((1, 1)), rtol=1e-12)
    pulled = ImplicitAdjoint().pullback(problem, solution, np.ones((1, 1)))
    assert set(seen) == {0.8}
    h = 1e-6
    there, back = (
        solve(lambda z, s=s: np.cos(s * z), Picard(), np.zeros((1, 1)), rtol=1e-14, max_steps=200).z[0, 0]
        for s in (0.8 + h, 0.8 - h)
    )
    assert pulled.inputs[0] == pytest.approx((there - back) / (2 * h), rel=1e-7)
