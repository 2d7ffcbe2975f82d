"""A linearization evaluates its function once and applies the derivative as often as it is asked to."""

from __future__ import annotations

from collections import Counter
from types import ModuleType
from typing import Any

import numpy as np
import pytest

from equilib import ops
from equilib.autodiff import jvp, linearize, vjp
from tests.arrays_under_test import distance, lift, lower
from tests.autodiff.probes import counted


def test_products_with_a_known_jacobian(xp: ModuleType, rng: np.random.Generator):
    """For f(x) = tanh(A x), J·v = (1 − f²) A v and Jᵀ·w = Aᵀ ((1 − f²) w)."""
    A, x, v, w = (rng.standard_normal(shape) for shape in [(3, 4), (4, 1), (4, 1), (3, 1)])
    linear = linearize(lambda x: ops.tanh(ops.matmul(lift(xp, A), x)), lift(xp, x))
    slope = 1 - np.tanh(A @ x) ** 2
    assert distance(linear.value, np.tanh(A @ x)) < 1e-14
    assert distance(linear.jvp(lift(xp, v)), slope * (A @ v)) < 1e-14
    assert distance(linear.vjp(lift(xp, w))[0], A.T @ (slope * w)) < 1e-14


def test_replays_evaluate_and_stage_once():
    """However often J·v and Jᵀ·w are applied, f is evaluated once and its rules are computed once."""
    counts: Counter[str] = Counter()
    linear = linearize(counted(counts), np.ones(2))
    for _ in range(3):
        linear.jvp(np.ones(2))
        linear.vjp(np.ones(2))
    assert counts == {"evaluations": 1, "rules": 1, "pushes": 3, "pulls": 3}


def test_nothing_is_staged_before_it_is_needed():
    """A linearization that is never applied computes no rule."""
    counts: Counter[str] = Counter()
    linearize(counted(counts), np.ones(2))
    assert counts == {"evaluations": 1}


def test_replays_are_the_same_to_the_bit(rng: np.random.Generator):
    """Repeated products, with others in between, have equal bits."""
    x, weight = rng.standard_normal((2, 5, 5, 3)), rng.standard_normal((3, 3, 3, 3))

    def cell(x: Any, weight: Any) -> Any:
        y = ops.conv2d(x, weight, (1, 1), ((1, 1), (1, 1)))
        return ops.tanh(ops.group_norm(y, 3) + x)

    linear = linearize(cell, x, weight)
    v, w = rng.standard_normal(x.shape), rng.standard_normal(x.shape)
    first = linear.jvp(v), linear.vjp(w, (0, 1))
    linear.jvp(w)
    linear.vjp(v)
    again = linear.jvp(v), linear.vjp(w, (0, 1))
    np.testing.assert_array_equal(first[0], again[0])
    np.testing.assert_array_equal(first[1][0], again[1][0])
    np.testing.assert_array_equal(first[1][1], again[1][1])
    np.testing.assert_array_equal(linear.vjp(w)[0], first[1][0])


def test_only_the_path_asked_for_is_computed():
    """A product with respect to one argument costs nothing on the way to another."""
    state, weight = Counter(), Counter()
    of_state, of_weight = counted(state), counted(weight)
    linear = linearize(lambda z, w: of_state(z) * of_weight(w), np.ones(2), np.ones(2))
    linear.vjp(np.ones(2))
    linear.jvp(np.ones(2), argnum=0)
    assert (state["pulls"], state["pushes"]) == (1, 1)
    assert weight == {"evaluations": 1}
    linear.vjp(np.ones(2), argnums=(0, 1))
    assert (state["pulls"], weight["pulls"]) == (2, 1)


def test_dead_code_is_not_replayed():
    """An operation whose result is not returned is not differentiated."""
    counts: Counter[str] = Counter()
    unused = counted(counts)

    def f(x: Any) -> Any:
        unused(x)
        return x * 2.0

    linear = linearize(f, np.ones(2))
    linear.jvp(np.ones(2))
    linear.vjp(np.ones(2))
    assert counts == {"evaluations": 1}


def test_trees_in_and_out(xp: ModuleType):
    """Arguments, values, tangents and cotangents are trees; each product has the structure it should have."""
    args = lift(xp, {"a": np.array([1.0, 2.0]), "rest": [np.array([3.0, 4.0]), None]})
    linear = linearize(lambda t: (t["a"] * t["rest"][0], {"twice": t["a"] * 2.0}), args)
    tangent = lift(xp, {"a": np.array([1.0, 0.0]), "rest": [np.array([0.0, 1.0]), None]})
    product, twice = lower(linear.jvp(tangent))
    assert product.tolist() == [3.0, 2.0]
    assert twice["twice"].tolist() == [2.0, 0.0]
    (pulled,) = lower(linear.vjp(lift(xp, (np.array([1.0, 1.0]), {"twice": np.array([1.0, 0.0])}))))
    assert pulled["a"].tolist() == [5.0, 4.0]
    assert pulled["rest"][0].tolist() == [1.0, 2.0]
    assert pulled["rest"][1] is None


def test_cotangents_are_matched_by_key():
    """The order in which a dict of cotangents or tangents was written down does not matter."""
    linear = linearize(lambda t: {"x": t["p"] * 2.0, "y": t["q"] * 5.0}, {"p": np.ones(1), "q": np.ones(1)})
    (pulled,) = linear.vjp({"y": np.ones(1), "x": np.zeros(1)})
    assert (pulled["p"], pulled["q"]) == (0.0, 5.0)
    pushed = linear.jvp({"q": np.ones(1), "p": np.zeros(1)})
    assert (pushed["x"], pushed["y"]) == (0.0, 5.0)


@pytest.mark.parametrize("wrong", [{"x": np.ones(1)}, {"x": np.ones(1), "z": np.ones(1)}, np.ones(1)])
def test_a_cotangent_of_another_structure_is_refused(wrong: Any):
    """A cotangent must have the structure of the value."""
    linear = linearize(lambda x: {"x": x, "y": x * 2.0}, np.ones(1))
    with pytest.raises(ValueError, match="the trees differ"):
        linear.vjp(wrong)


def test_outputs_may_be_inputs_constants_and_repeated():
    """An input returned as it is has the derivative 1, a constant 0, and a result returned twice counts twice."""

    def f(x: Any) -> Any:
        y = x * 3.0
        return x, y, y, np.array([7.0])

    linear = linearize(f, np.array([2.0]))
    one = np.ones(1)
    assert [float(part[0]) for part in linear.jvp(one)] == [1.0, 3.0, 3.0, 0.0]
    assert linear.vjp((one, one, one, one))[0] == 7.0


def test_an_input_used_many_times_sums_its_cotangents(xp: ModuleType):
    """The cotangents of all uses of an array add up, and the caller's cotangent is left alone."""
    x, w = lift(xp, np.array([2.0, 3.0])), lift(xp, np.array([1.0, 10.0]))
    linear = linearize(lambda x: x + x * x + x + x, x)
    assert lower(linear.vjp(w)[0]).tolist() == [7.0, 90.0]
    assert lower(linear.jvp(w)).tolist() == [7.0, 90.0]
    assert lower(w).tolist() == [1.0, 10.0]


def test_leaves_that_are_not_floating_pass_through():
    """Integers, booleans and text reach f as the objects they are, and get zeros for a gradient."""
    labels, flag = np.array([1, 0]), "same"
    seen = []

    def f(tree: Any) -> Any:
        seen.append((tree["labels"], tree["flag"]))
        return tree["x"] * tree["labels"]

    linear = linearize(f, {"x": np.ones(2), "labels": labels, "flag": flag})
    assert seen[0][0] is labels
    assert seen[0][1] is flag
    (pulled,) = linear.vjp(np.ones(2))
    np.testing.assert_array_equal(pulled["labels"], [0, 0])
    assert pulled["labels"].dtype == labels.dtype
    np.testing.assert_array_equal(pulled["x"], labels)


def test_python_floats_are_differentiable():
    """A Python float is an array of no axes."""
    linear = linearize(lambda x: x * x, 3.0)
    assert linear.jvp(1.0) == 6.0
    assert linear.vjp(1.0) == (6.0,)


def test_jvp_and_vjp_of_all_arguments(rng: np.random.Generator):
    """`jvp` adds up the contributions of all arguments, `vjp` pulls back to each of them."""
    x, y, v, u, w = rng.standard_normal((5, 3))
    value, product = jvp(ops.multiply, (x, y), (v, u))
    assert distance(value, x * y) == 0
    assert distance(product, v * y + x * u) < 1e-15
    value, pullback = vjp(ops.multiply, x, y)
    assert distance(value, x * y) == 0
    assert distance(pullback(w)[0], w * y) == 0
    assert distance(pullback(w)[1], w * x) == 0


def test_a_derivative_may_be_zero():
    """That of what an input, a leaf of it, or all inputs have no influence on, forward and back."""
    x = {"used": np.ones(2), "spare": np.ones(2)}
    f = lambda tree, other: tree["used"] * 2.0  # noqa: E731
    linear = linearize(f, x, np.ones(3))
    (back, other), (_, pull) = linear.vjp(np.ones(2), (0, 1)), vjp(f, x, np.ones(3))
    for found in (back, pull(np.ones(2))[0]):
        np.testing.assert_array_equal(found["used"], [2.0, 2.0])
        np.testing.assert_array_equal(found["spare"], [0.0, 0.0])
    np.testing.assert_array_equal(other, np.zeros(3))
    np.testing.assert_array_equal(
        jvp(f, (x, np.ones(3)), ({"used": np.zeros(2), "spare": np.ones(2)}, np.ones(3)))[1], 0
    )
    nothing = linearize(lambda z, x: x * 2.0, np.ones(2), np.ones(2))
    np.testing.assert_array_equal(nothing.jvp(np.ones(2)), 0)
    np.testing.assert_array_equal(nothing.vjp(np.ones(2))[0], 0)


def test_a_vector_of_another_shape_is_refused():
    """A tangent is like its argument, a cotangent like the value: broadcasting would make it another question."""
    linear = linearize(lambda x: ops.matmul(x["a"], np.ones((3, 2))), {"a": np.ones((4, 3))})
    with pytest.raises(ValueError, match=r"a cotangent must have the shape of what .*, \(4, 2\), it has \(2,\)"):
        linear.vjp(np.ones(2))
    with pytest.raises(ValueError, match=r"a tangent must have the shape of what .*, \(4, 3\), it has \(\)"):
        linear.jvp({"a": 1.0})
