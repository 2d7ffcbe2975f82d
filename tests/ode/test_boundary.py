"""What f may do to an integration, and wrong arguments of one."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from equilib import FixedPointProblem, ImplicitAdjoint, Picard, integrate, ops, solve
from equilib.autodiff import IndependentError, value_and_grad
from equilib.errors import UserError
from equilib.fixed_points.linearization import Linearization
from equilib.ode import OdeOptions, OdeProblem, OdeStatus, SteadyState
from equilib.ode.adjoints import Backsolve, Discrete, Gauss, Interpolating
from equilib.ode.evolution import evolve
from equilib.plugin import IntegratorEntry
from equilib.plugin.choosing import build_named
from equilib.plugin.registry import Registry
from equilib_ode.tsit5 import Tsit5
from equilib_scipy.integrators import BDF, LSODA, RK45, Radau
from tests.names import named

REGISTRY = Registry.discover()
NAMES = [each.entry.name for each in REGISTRY.provided(IntegratorEntry) if not each.entry.unavailable]
every_integrator = pytest.mark.parametrize(
    "integrator", [pytest.param(build_named(REGISTRY, IntegratorEntry, name).part, id=name) for name in NAMES]
)
Y0, T = np.full((2, 3), 2.0), [0.0, 1.0]


def decay(t: Any, y: Any) -> Any:
    """Return −y."""
    return -y


@every_integrator
def test_f_cannot_change_the_state(integrator: Any):
    """It is read-only, and the initial value stays as it was."""

    def f(t: Any, y: Any) -> Any:
        y *= -1.0
        return y

    y0 = Y0.copy()
    with pytest.raises(ValueError, match="read-only") as caught:
        integrate(f, y0, T, integrator)
    assert caught.value.__notes__ == [
        "f(t, y) was given t of shape (1, 1) and y of shape (2, 3) and dtype float64, which it must not change",
        "return a new array, or write into one of your own",
    ]
    np.testing.assert_array_equal(y0, Y0)


@every_integrator
@pytest.mark.parametrize("per_sample", [False, True])
def test_f_may_return_the_same_array_each_time(integrator: Any, per_sample: bool):
    """The stages of a step are an integrator's own."""
    buffer = np.empty((2, 3))

    def linearize(f: Any, t: Any, y: Any) -> Linearization:
        return Linearization(value=f(t, y), jvp=lambda v: -t * v, vjp=lambda w: -t * w, inputs_vjp=lambda w: ())

    kept, fresh = (
        integrate(OdeProblem(f, linearize=linearize), Y0, T, integrator, per_sample=per_sample)
        for f in (lambda t, y: np.multiply(y, -t, out=buffer), lambda t, y: -t * y)
    )
    np.testing.assert_array_equal(kept.y, fresh.y)


@every_integrator
def test_f_may_return_the_state_itself(integrator: Any):
    """The solution of y' = y is an exponential."""
    found = integrate(lambda t, y: y, Y0, T, integrator, rtol=1e-6, atol=1e-9).y[-1]
    # A hundred steps of Euler's are no more exact.
    np.testing.assert_allclose(found, 2 * np.e, rtol=1e-2 if integrator.order == 1 else 1e-4)


@every_integrator
@pytest.mark.parametrize("kind", [ValueError, np.linalg.LinAlgError, ZeroDivisionError, KeyError, RuntimeError])
def test_what_f_raises_reaches_the_caller(integrator: Any, kind: type[Exception]):
    """Unchanged, also through a library."""
    raised: list[Exception] = []

    def f(t: Any, y: Any) -> Any:
        if np.max(t) > 0:
            raised.append(kind("of f's own"))
            raise raised[-1]
        return -y

    with pytest.raises(kind, match="of f's own") as caught:
        integrate(f, Y0, T, integrator)
    assert caught.value is raised[-1]


@pytest.mark.parametrize("integrator", [BDF(), Radau(), LSODA(), RK45()], ids=str)
def test_a_library_that_breaks_down_leaves_a_status(integrator: Any):
    """Where y' is nan beyond a time, in one sample, the others finish."""
    first = np.array([[1.0], [0.0]])

    def f(t: Any, y: Any) -> Any:
        return np.where(first * t > 0.5, np.nan, -y)

    found = integrate(f, Y0, T, integrator, per_sample=True, on_failure="record")
    assert found.status[0] in (OdeStatus.NONFINITE, OdeStatus.STEP_TOO_SMALL)
    assert found.status[1] is OdeStatus.FINISHED


@pytest.mark.parametrize("sensitivity", [Interpolating(), Backsolve(), Gauss(), Discrete()], ids=str)
def test_the_cotangent_of_what_f_ignores_is_zero(sensitivity: Any):
    """Of y, whose derivative is then that of the initial value, and of a parameter, which is named unless allowed."""

    def loss(tree: Any) -> Any:
        found = evolve(
            lambda t, y, p: p["slope"] * np.ones((2, 3)), tree["y0"], T, tree, integrator=Tsit5(), adjoint=sensitivity
        )
        return ops.sum(found.output)

    tree = {"y0": Y0, "slope": np.full((2, 3), 0.5), "ignored": np.ones(4)}
    with pytest.raises(IndependentError, match="at 'ignored'"):
        value_and_grad(loss)(tree)
    _, gradient = value_and_grad(loss, allow_unused=True)(tree)
    np.testing.assert_allclose(gradient["y0"], 1.0)
    np.testing.assert_allclose(gradient["slope"], 1.0, rtol=1e-6)
    np.testing.assert_array_equal(gradient["ignored"], 0.0)


@pytest.mark.parametrize(
    ("arguments", "kind", "sentence"),
    [
        ((decay, Y0, T, "tsit6"), UserError, "no integrator 'tsit6'. Did you mean 'tsit5'"),
        ((decay, Y0, T, Tsit5), TypeError, r"integrator must be an integrator, not a class; write Tsit5\(\.\.\.\)"),
        ((decay, Y0, T, Picard()), TypeError, "integrator must be an integrator, got a Picard"),
        ((decay, Y0, T, SteadyState(Tsit5())), TypeError, "integrator must be an integrator, got a SteadyState"),
        ((decay, Y0, T, None), TypeError, "integrator must be an integrator, got None"),
        (
            (decay, Y0, Y0, Tsit5()),
            ValueError,
            r"t of shape \(2, 3\) is a grid for each sample: .* \(..., 2\), with per",
        ),
        ((decay, T, T, Tsit5()), TypeError, "y0 must be an array, such as .*, got a list"),
        ((Y0, decay, T, Tsit5()), TypeError, "y0 must be an array, .*, got a function"),
        ((None, Y0, T, Tsit5()), TypeError, "f must be a map of t and y, got None"),
        ((FixedPointProblem(np.cos), Y0, T, Tsit5()), TypeError, "f must be a map of t and y, got a FixedPointProblem"),
        ((decay, Y0.astype(int), T, Tsit5()), TypeError, "y0 must hold floating-point numbers, it is of int64"),
        ((decay, Y0 * 1j, T, Tsit5()), TypeError, "y0 must be real, it is of complex128; stack the real"),
        ((decay, np.float64(1.0), T, Tsit5()), ValueError, "y0 needs a batch axis"),
        ((decay, Y0, 1.0, Tsit5()), ValueError, "t must be two or more finite times, .* got 1.0"),
        ((decay, Y0, None, Tsit5()), ValueError, "t must be two or more finite times, .* got None"),
        ((decay, Y0, "now", Tsit5()), ValueError, "t must be two or more finite times, .* got 'now'"),
        ((decay, Y0, [0.0, 1.0, 0.9], Tsit5()), ValueError, "t must be two or more finite times"),
        ((decay, Y0, T, Tsit5(), 1e-6), TypeError, "options must be an OdeOptions, got a float"),
        (
            (lambda y, t: -y, Y0, T, Tsit5()),
            ValueError,
            r"f must keep the shape of y: .* became \(1, 1\); f\(t, y\)",
        ),
        ((lambda t, y: None, Y0, T, Tsit5()), TypeError, "f must return .*, it returned NoneType; is its return"),
        ((lambda t, y: [y], Y0, T, Tsit5()), TypeError, "f must return .*, it returned list"),
        (
            (lambda t, y: y.astype("f"), Y0, T, Tsit5()),
            ValueError,
            "f must keep the dtype of y: .* became float32",
        ),
    ],
    ids=range(22),
)
def test_wrong_arguments(arguments: tuple[Any, ...], kind: type[Exception], sentence: str):
    """Each is answered by one sentence that names it."""
    with pytest.raises(kind, match=f"^{sentence}"):
        integrate(*arguments)


def test_wrong_arguments_of_a_pullback():
    """Problem, solution and cotangent are what they are called."""
    problem = OdeProblem(decay)
    solution = integrate(problem, Y0, T, Tsit5(), dense=True, states=True)
    fixed = FixedPointProblem(np.cos)
    for sensitivity in (Interpolating(), Backsolve(), Gauss(), Discrete()):
        with pytest.raises(TypeError, match="problem must be an OdeProblem, got a FixedPointProblem"):
            sensitivity.pullback(fixed, solve(fixed, Picard(), Y0), Y0)  # type: ignore[arg-type]
        with pytest.raises(ValueError, match=r"the cotangent must be like the solution, .* shape \(2, 2, 3\)"):
            sensitivity.pullback(problem, solution, Y0)
    with pytest.raises(TypeError, match="got an OdeProblem; the sensitivity is one of FixedPointProblems"):
        ImplicitAdjoint().pullback(problem, solution, Y0)  # type: ignore[arg-type]


@pytest.mark.parametrize("wrong", [Interpolating, "shine", OdeOptions()], ids=named)
def test_a_sensitivity_that_is_none(wrong: Any):
    """A class, or something else is refused where an integration begins, and the name of another kind of adjoint."""
    with pytest.raises((TypeError, UserError), match=r"must be a sensitivity|'shine' differentiates a fixed"):
        evolve(decay, Y0, T, integrator=Tsit5(), adjoint=wrong)
