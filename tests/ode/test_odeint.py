"""`odeint`, the differentiable integration of a plain function."""

from __future__ import annotations

import subprocess
import sys
from typing import Any

import numpy as np
import pytest

from equilib import evolve, integrate, odeint, ops
from equilib.autodiff import linearize, value_and_grad
from equilib.errors import UserError
from equilib.ode import Event
from equilib.ode.adjoints import Discrete
from equilib_ode.tsit5 import Tsit5

TIMES = [0.0, 0.5, 1.0]
A = np.array([[-0.5, 1.0], [-1.0, -0.2]])
Y0 = np.array([[1.0, 0.0], [0.3, -0.7]])


def f(t: Any, y: Any, a: Any) -> Any:
    """Return y A."""
    return y @ a


def test_it_is_the_integration_with_a_derivative():
    """Values are those of `integrate`; a name and its object are the same."""
    plain = integrate(lambda t, y: y @ A, Y0, TIMES, Tsit5(), rtol=1e-6)
    assert np.array_equal(odeint(f, Y0, TIMES, A, rtol=1e-6), plain.y)
    found = evolve(f, Y0, TIMES, A, integrator=Tsit5(), rtol=1e-6)
    assert np.array_equal(found.y, plain.y)
    assert found.nfe == plain.nfe
    other = integrate(lambda t, y: y @ A, Y0, TIMES, "rk4:steps=30")
    assert np.array_equal(odeint(f, Y0, TIMES, A, integrator="rk4:steps=30"), other.y)


def test_a_system_without_a_batch_axis():
    """With batched=False y0 is one system, of any tree; t is a number, and gradients agree with differences."""

    def g(t: Any, y: Any, a: Any) -> Any:
        assert t.shape == ()
        return {"x": y["v"] @ a, "v": -y["x"] * t}

    def loss(a: Any, y0: Any) -> Any:
        y = odeint(g, y0, TIMES, a, batched=False, rtol=1e-9, atol=1e-9)
        assert y["x"].shape == (3, 2)
        return ops.sum(ops.sin(y["x"])) + ops.sum(y["v"][-1])

    y0 = {"x": Y0[0], "v": Y0[1]}
    gradient, step = value_and_grad(loss)(A, y0)[1], 1e-5
    difference = (loss(A + step * A.T, y0) - loss(A - step * A.T, y0)) / (2 * step)
    assert float(np.sum(gradient * A.T)) == pytest.approx(float(difference), rel=1e-6)
    alone = odeint(f, Y0[0], TIMES, A, batched=False)
    np.testing.assert_array_equal(alone, odeint(f, Y0[:1], TIMES, A)[:, 0])
    np.testing.assert_allclose(odeint(lambda t, y: -y, np.array(1.0), [0, 1], batched=False)[-1], np.exp(-1), rtol=1e-3)


def test_events_of_a_system_without_a_batch_axis():
    """g returns a number; the record is that of one sample."""
    fall = lambda t, y: {"h": y["v"], "v": -10 + 0 * y["v"]}  # noqa: E731
    start = {"h": np.array(5.0), "v": np.array(0.0)}
    (impact,) = evolve(fall, start, [0, 5], batched=False, events=[Event(lambda t, y: y["h"])], rtol=1e-8).events
    np.testing.assert_allclose(impact.t, [[1.0]], rtol=1e-6)
    np.testing.assert_allclose(impact.y["v"], [-10.0], rtol=1e-6)


def test_the_adjoint_is_a_name_or_an_object():
    """`discrete` has tangents; another kind of adjoint is refused by name."""
    loss = lambda a, way: ops.sum(ops.sin(odeint(f, Y0, TIMES, a, adjoint=way)))  # noqa: E731
    by_name, by_object = (value_and_grad(lambda a, way=way: loss(a, way))(A)[1] for way in ("discrete", Discrete()))
    np.testing.assert_array_equal(by_name, by_object)
    slope = linearize(lambda a: loss(a, "discrete"), A).jvp(A.T)
    assert slope == pytest.approx(float(np.sum(by_name * A.T)), rel=1e-9)
    with pytest.raises(UserError, match="adjoint 'shine' differentiates a fixed point"):
        odeint(f, Y0, TIMES, A, adjoint="shine")
    with pytest.raises(UserError, match=r"no integrator 'tsit6'. Did you mean 'tsit5'\?"):
        odeint(f, Y0, TIMES, A, integrator="tsit6")
    for misplaced in ("tsit5", Tsit5()):
        with pytest.raises(TypeError, match=r"what follows t are inputs of f, got .*; write integrator="):
            odeint(f, Y0, TIMES, misplaced, A)
    with pytest.raises(TypeError, match="odeint has no option 'rtoll'"):
        odeint(f, Y0, TIMES, A, rtoll=1e-3)


def test_it_is_imported_without_autograd():
    """`from equilib import odeint` loads no automatic differentiation."""
    program = "import sys; from equilib import odeint; print('autograd' in sys.modules)"
    result = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert result.stdout.strip() == "False"
