"""Derivatives with respect to what f closes over."""

from __future__ import annotations

from functools import partial
from typing import Any

import numpy as np
import pytest

from equilib import fixed_point, odeint, ops
from equilib.autodiff import linearize, value_and_grad
from tests.awkward_objects import AWKWARD, Raising
from tests.models.hessians import MODES, by_differences, off

_rng = np.random.default_rng(7)
W, U, Z0 = 0.3 * _rng.standard_normal((4, 4)), _rng.standard_normal((3, 4)), np.zeros((3, 4))
TIGHT: dict[str, Any] = {"rtol": 1e-13, "max_steps": 99, "solver": "newton-gmres"}


def step(z: Any, w: Any, u: Any) -> Any:
    """Return tanh(z W + u)."""
    return ops.tanh(z @ w + u)


def given(w: Any, u: Any) -> Any:
    """Return a loss of the fixed point whose f is given all."""
    return ops.sum(ops.sin(fixed_point(step, Z0, w, u, **TIGHT)))


def variable(w: Any, u: Any) -> Any:
    """Return the same of an f that closes over one and is given the other."""
    return ops.sum(ops.sin(fixed_point(lambda z, u: step(z, w, u), Z0, u, **TIGHT)))


def nested(w: Any, u: Any) -> Any:
    """Return the same of an f that calls a function which closes over a tree, and over another function."""
    params = {"w": [w], "name": "w", "act": lambda x: ops.tanh(x + u)}

    def layer(z: Any) -> Any:
        return params["act"](z @ params["w"][0])

    return ops.sum(ops.sin(fixed_point(lambda z: layer(z), Z0, **TIGHT)))


def default(w: Any, u: Any) -> Any:
    """Return the same of an f with defaults."""

    def f(z: Any, w: Any = w, *, u: Any = u) -> Any:
        return step(z, w, u)

    return ops.sum(ops.sin(fixed_point(f, Z0, **TIGHT)))


def bound(w: Any, u: Any) -> Any:
    """Return the same of a partial."""
    return ops.sum(ops.sin(fixed_point(partial(step, w=w, u=u), Z0, **TIGHT)))


@pytest.mark.parametrize("loss", [variable, nested, default, bound], ids=lambda loss: loss.__name__)
def test_what_f_closes_over_is_differentiated_like_an_input(loss: Any):
    """Value, gradient, tangent and H·v are those of inputs."""
    for place, v in ((0, W.T), (1, U[::-1])):
        one, other = ((lambda x, f=f, place=place: f(*((x, U), (W, x))[place])) for f in (loss, given))
        x = (W, U)[place]
        (value, gradient), (expected, by_input) = value_and_grad(one)(x), value_and_grad(other)(x)
        assert value == expected
        np.testing.assert_allclose(gradient, by_input, rtol=1e-9, atol=1e-12)
        assert linearize(one, x).jvp(v) == pytest.approx(float(np.sum(by_input * v)), rel=1e-9)
    for multiply in MODES.values():
        assert off(multiply(lambda w: loss(w, U), W, W.T), by_differences(lambda w: given(w, U), W, W.T)) < 1e-6


def test_what_is_no_array_is_shared_with_the_original():
    """Lists and counters that f writes into are the user's own; a function may call itself."""
    calls: list[int] = []
    count = 0

    def loss(w: Any) -> Any:
        def f(z: Any, depth: int = 1) -> Any:
            nonlocal count
            count += 1
            calls.append(depth)
            return step(f(z, 0), w, U) if depth else step(z, w, U)

        return ops.sum(ops.sin(fixed_point(f, Z0, **TIGHT)))

    gradient = value_and_grad(loss)(W)[1]
    np.testing.assert_allclose(gradient, value_and_grad(lambda w: given(w, U))(W)[1], rtol=1e-8)
    assert count == len(calls) > 4


@pytest.mark.parametrize("kind", AWKWARD, ids=lambda each: each.__name__)
def test_objects_may_raise_or_answer_anything_for_an_attribute(kind: Any):
    """What f closes over need not answer as objects do; a dictionary of a type of its own stays of that type."""

    def loss(w: Any) -> Any:
        held = kind(w=W if kind is Raising else w)  # which is looked into where it is a dictionary
        return ops.sum(ops.sin(fixed_point(lambda z: step(z, held.w, U), Z0, **TIGHT)))

    expected = np.zeros_like(W) if kind is Raising else value_and_grad(lambda w: given(w, U))(W)[1]
    np.testing.assert_allclose(value_and_grad(lambda w: loss(w) + 0 * ops.sum(w))(W)[1], expected, rtol=1e-9)
    assert not fixed_point(Raising(), Z0).any()


def test_aux_and_samples_without_the_axis():
    """With has_aux and batched_inputs the array in the closure has the gradient of an input."""

    def loss(w: Any) -> Any:
        z, aux = fixed_point(
            lambda z, u: (step(z, w, u), ops.sum(w)), Z0, U, has_aux=True, batched_inputs=(True,), **TIGHT
        )
        return ops.sum(ops.sin(z)) + aux

    gradient = value_and_grad(loss)(W)[1]
    np.testing.assert_allclose(gradient, value_and_grad(lambda w: given(w, U))(W)[1] + 1, rtol=1e-9)


def test_an_integration_whose_f_closes_over_its_rates():
    """`odeint` differentiates by them as by inputs."""
    one, other = (
        value_and_grad(lambda w, f=f: ops.sum(ops.sin(f(w))))(W)[1]
        for f in (
            lambda w: odeint(lambda t, y: y @ w, U, [0, 1], rtol=1e-8),
            lambda w: odeint(lambda t, y, w: y @ w, U, [0, 1], w, rtol=1e-8),
        )
    )
    np.testing.assert_allclose(one, other, rtol=1e-12)
