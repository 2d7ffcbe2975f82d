"""Derivatives of initial value problems: each way against finite differences, and against the others."""

from __future__ import annotations

from collections.abc import Callable
from types import ModuleType
from typing import Any

import numpy as np
import pytest

from equilib import ops
from equilib.autodiff import value_and_grad
from equilib.fixed_points.evaluator import Counts, counted
from equilib.fixed_points.linearization import Linearization
from equilib.ode.adjoints import Backsolve, Discrete, Gauss, Interpolating
from equilib.ode.adjoints.augmented_state import Packing
from equilib.ode.evolution import evolve
from equilib.ode.flow import FlowPoint, tolerance_norm
from equilib.ode.integration import integrate
from equilib.ode.integrator import StagedIntegrator
from equilib.ode.problem import OdeProblem
from equilib.ode.solution import OdeOptions
from equilib_ode.bs3 import BogackiShampine3
from equilib_ode.kencarp47 import KenCarp47
from equilib_ode.tsit5 import Tsit5
from equilib_ode.vcab3 import VCAB3
from equilib_ode.vcabm import VCABM
from tests.arrays_under_test import lift, lower
from tests.initial_value_problems import Constant, Heun

TIMES = [0.0, 0.4, 1.1, 2.0]
WAYS = [Interpolating(), Gauss(), Backsolve(), Discrete()]
every_way = pytest.mark.parametrize("way", WAYS, ids=lambda way: type(way).__name__)


def field(t: Any, y: Any, params: Any) -> Any:
    """Return tanh(y W + b) − 0.3 sin(t) y: nonlinear, and dependent on time."""
    inner = ops.add(ops.matmul(y, params["weight"]), params["bias"])
    return ops.subtract(ops.tanh(inner), ops.multiply(y, 0.3 * np.sin(t)))


@pytest.fixture
def arguments(rng: np.random.Generator) -> tuple[Any, ...]:
    """Return an initial value, parameters, and the weights of a loss of y at `TIMES`."""
    params = {"weight": 0.5 * rng.standard_normal((3, 3)), "bias": 0.3 * rng.standard_normal(3)}
    return rng.standard_normal((2, 3)), params, rng.standard_normal((4, 2, 3))


def loss_of(way: Any, integrator: Any, weights: Any, times: Any = TIMES, **options: Any) -> Callable[[Any], Any]:
    """Return the loss Σ weights · y as a function of (y0, parameters)."""

    def loss(arguments: Any) -> Any:
        y0, params = arguments
        settings = OdeOptions(**options)
        evolution = evolve(field, y0, times, params, integrator=integrator, adjoint=way, options=settings)
        return ops.sum(ops.multiply(evolution.y, weights))

    return loss


def flat(gradient: Any) -> np.ndarray:
    """Return a gradient with respect to (y0, parameters) as one vector."""
    y0, params = gradient
    return np.concatenate([np.ravel(part) for part in (y0, params["weight"], params["bias"])])


def by_differences(loss: Callable[[Any], Any], y0: np.ndarray, params: Any, step: float = 1e-5) -> np.ndarray:
    """Return the gradient by central differences."""
    point = flat((y0, params))
    shapes = (y0.shape, params["weight"].shape, params["bias"].shape)
    cuts = np.cumsum([np.prod(shape) for shape in shapes])[:-1]

    def at(vector: np.ndarray) -> float:
        first, weight, bias = (part.reshape(s) for part, s in zip(np.split(vector, cuts), shapes, strict=True))
        return float(loss((first, {"weight": weight, "bias": bias})))

    return np.array([(at(point + e) - at(point - e)) / (2 * step) for e in step * np.eye(point.size)])


def test_gradients_are_those_of_finite_differences(arguments: tuple[Any, ...]) -> None:
    """At a tight tolerance each way gives the gradient of the solution, outputs on the way included."""
    y0, params, weights = arguments
    settings = {"rtol": 1e-7, "atol": 1e-7}
    differences = by_differences(loss_of(Discrete(), Tsit5(), weights, **settings), y0, params)
    for way in WAYS:
        _, gradient = value_and_grad(loss_of(way, Tsit5(), weights, **settings))((y0, params))
        np.testing.assert_allclose(flat(gradient), differences, atol=5e-6, err_msg=str(way))


@pytest.mark.parametrize(
    ("integrator", "per_sample"),
    [(Tsit5(), False), (BogackiShampine3(), True), (VCAB3(), True), (VCABM(), False), (VCABM(), True)],
    ids=str,
)
def test_the_ways_agree(integrator: Any, per_sample: bool, arguments: tuple[Any, ...]) -> None:
    """All ways give one gradient, within some tolerances, by every integrator and in either way of stepping."""
    y0, params, weights = arguments
    gradients = [
        flat(
            value_and_grad(loss_of(way, integrator, weights, rtol=1e-4, atol=1e-4, per_sample=per_sample))(
                (y0, params)
            )[1]
        )
        for way in WAYS
    ]
    for gradient in gradients[1:]:
        np.testing.assert_allclose(gradient, gradients[0], atol=5e-3)


@pytest.mark.parametrize("integrator", [Tsit5(), BogackiShampine3(), VCAB3(), VCABM(max_order=4), Heun()], ids=str)
def test_the_discrete_way_is_exact_for_the_steps_taken(integrator: Any, arguments: tuple[Any, ...]) -> None:
    """With step sizes that are fixed it gives the finite differences of the computed y, however rough that is."""
    y0, params, weights = arguments

    class Fixed(type(integrator)):  # type: ignore[misc]
        """The same method with steps of one size."""

        controller = Constant()

    settings: dict[str, Any] = {"rtol": 0.0, "atol": 1e6, "first_step": 0.3}
    integrator_ = Fixed(max_order=4) if isinstance(integrator, VCABM) else Fixed()
    rough, exact = (loss_of(way, integrator_, weights, **settings) for way in (Interpolating(), Discrete()))
    differences = by_differences(exact, y0, params)
    np.testing.assert_allclose(flat(value_and_grad(exact)((y0, params))[1]), differences, atol=1e-8)
    assert np.abs(flat(value_and_grad(rough)((y0, params))[1]) - differences).max() > 1e-6


@pytest.mark.parametrize("per_sample", [False, True])
@pytest.mark.parametrize("times", [TIMES, [2.0, 1.5, 0.0]], ids=["forward", "backward"])
@pytest.mark.parametrize("method", [Tsit5, KenCarp47], ids=lambda each: each.__name__)
def test_going_back_through_the_stages_is_tracing_the_step(
    method: type[Any], per_sample: bool, times: list[float], arguments: tuple[Any, ...]
) -> None:
    """A Runge-Kutta method's own way back gives what its traced steps give, where samples rest and reject as well."""
    y0, params, weights = arguments

    class Traced(method):  # type: ignore[misc]
        """The same method without a way back of its own."""

        pull_step = None

    assert isinstance(method(), StagedIntegrator)
    assert not isinstance(Traced(), StagedIntegrator)
    y0 = y0 * np.array([[4.0], [0.1]])
    settings: dict[str, Any] = {"rtol": 1e-4, "atol": 1e-4, "first_step": 1.8, "per_sample": per_sample}
    staged, traced = (
        flat(value_and_grad(loss_of(Discrete(), each, weights[: len(times)], times, **settings))((y0, params))[1])
        for each in (method(), Traced())
    )
    np.testing.assert_allclose(staged, traced, rtol=1e-12, atol=1e-14)


@pytest.mark.parametrize("integrator", [VCAB3(), Tsit5()], ids=str)
def test_samples_that_rest_do_not_leak(integrator: Any, arguments: tuple[Any, ...]) -> None:
    """Where samples step and reject by themselves, the discrete gradient of one does not know the other."""
    _, params, _ = arguments
    y0 = np.array([[8.0, -8.0, 3.0], [0.1, 0.0, 0.0]])
    weights = np.stack([np.zeros((2, 3)), np.ones((2, 3))])

    def gradient(rows: slice) -> np.ndarray:
        loss = loss_of(
            Discrete(), integrator, weights[:, rows], [0.0, 3.0], per_sample=True, rtol=1e-4, atol=1e-4, first_step=2.0
        )
        value = value_and_grad(loss)((y0[rows], params))[1][0]
        assert isinstance(value, np.ndarray)
        return value

    together = gradient(slice(0, 2))
    for sample in (0, 1):
        np.testing.assert_allclose(together[sample], gradient(slice(sample, sample + 1))[0], rtol=1e-9)


@every_way
def test_any_array_library_with_its_own_derivative(xp: ModuleType, way: Any) -> None:
    """With a linearization by hand nothing is traced but the steps: y' = −θ y has ∂y(t)/∂θ = −t y, in float32 too."""
    for dtype, precision in (("float64", 1e-4), ("float32", 1e-3)):
        theta, y0 = lift(xp, np.array([0.7]), dtype), lift(xp, np.array([[1.0, 2.0], [0.5, -1.0]]), dtype)

        def linearize(f: Any, t: Any, y: Any, theta: Any) -> Linearization:
            return Linearization(
                value=f(t, y, theta),
                jvp=lambda v: -theta * v,
                vjp=lambda w: -theta * w,
                inputs_vjp=lambda w: (xp.reshape(-xp.sum(y * w), (1,)),),
            )

        problem = OdeProblem(lambda t, y, theta: -theta * y, theta, linearize=linearize)
        found = integrate(problem, y0, [0, 0.5, 2], Tsit5(), rtol=1e-5, atol=1e-5, dense=way.needs.trajectory)
        pulled = way.pullback(problem, found, xp.ones_like(found.y))
        assert pulled.start.dtype == pulled.inputs[0].dtype == y0.dtype
        decay = np.exp(-0.7 * np.array([0, 0.5, 2]))
        np.testing.assert_allclose(lower(pulled.start), np.full((2, 2), decay.sum()), rtol=precision)
        expected = -(np.array([0, 0.5, 2]) * decay).sum() * lower(y0).sum()
        np.testing.assert_allclose(lower(pulled.inputs[0]), [expected], rtol=precision)


@every_way
def test_small_cotangents_have_relative_accuracy(way: Any, arguments: tuple[Any, ...]) -> None:
    """A loss scaled by 1e-9 has the gradient scaled by 1e-9: no absolute tolerance swallows it."""
    y0, params, weights = arguments
    settings: dict[str, Any] = {"rtol": 1e-6, "atol": 1e-6}
    large = flat(value_and_grad(loss_of(way, Tsit5(), weights, **settings))((y0, params))[1])
    small = flat(value_and_grad(loss_of(way, Tsit5(), 1e-9 * weights, **settings))((y0, params))[1])
    np.testing.assert_allclose(1e9 * small, large, rtol=1e-6, atol=1e-9)


@every_way
def test_a_failed_integration_has_no_derivative(way: Any) -> None:
    """Where the forward solution did not reach the end the cotangents are nan, not numbers that look right."""
    problem = OdeProblem(lambda t, y, theta: ops.multiply(ops.multiply(y, y), theta), np.ones((1, 1)))
    found = integrate(problem, np.ones((1, 1)), [0, 2], Tsit5(), on_failure="record", dense=True)
    pulled = way.pullback(problem, found, np.ones_like(found.y))
    assert np.isnan(pulled.start).all()
    assert np.isnan(pulled.inputs[0]).all()


def test_backward_counts_and_integrations_are_reported(arguments: tuple[Any, ...]) -> None:
    """A backward pass is counted, and a pullback tells how its integrations went."""
    y0, params, weights = arguments
    problem = OdeProblem(field, params)
    found = integrate(problem, y0, TIMES, Tsit5(), dense=True)
    counts = {type(way): Counts() for way in WAYS}
    solves = {type(way): way.pullback(counted(problem, counts[type(way)]), found, weights).solves for way in WAYS}
    for way in (Interpolating, Gauss, Backsolve):
        assert len(solves[way]) == 3
        assert all(each.success for each in solves[way])
        assert counts[way].nvjp >= sum(each.nfe for each in solves[way])
    assert solves[Discrete] == ()
    # Of the seven derivatives of a step the first is the last of the step before; the very last is used by nothing.
    assert counts[Discrete].nvjp == 6 * int(found.accepted[0])


def test_integer_inputs_have_no_cotangent() -> None:
    """An input that is not floating is passed through, with zeros for a cotangent."""
    index = np.array([1, 2])
    problem = OdeProblem(lambda t, y, index, rate: ops.multiply(y, index.sum() * rate), index, np.array([0.5]))
    found = integrate(problem, np.array([[1.0, 2.0]]), [0, 1], Tsit5(), dense=True)
    for way in WAYS:
        pulled = way.pullback(problem, found, np.ones_like(found.y))
        assert pulled.inputs[0].dtype == index.dtype
        assert np.all(np.isfinite(pulled.inputs[1]))


def test_the_error_of_an_integral_does_not_shorten_steps() -> None:
    """The seminorm of a packed state sees the adjoint alone, and packing loses nothing on the way there and back."""
    y, params = np.arange(6.0).reshape(2, 3), {"weight": np.ones((3, 2)), "count": np.array([1, 2])}
    packing = Packing(y, 1, (params,))
    packed = packing.pack((y,), ({"weight": 5 * np.ones((3, 2)), "count": np.zeros(2)},))
    assert packed.shape == (1, 12)
    np.testing.assert_array_equal(packing.states(packed)[0], y)
    np.testing.assert_array_equal(packing.unpack(packed)[1][0]["weight"], 5 * np.ones((3, 2)))
    norm = packing.seminorm(tolerance_norm(0.0, 1.0, 1))
    error = np.concatenate((np.full((1, 6), 2.0), np.full((1, 6), 1e9)), axis=1)
    assert norm(error, FlowPoint(np.zeros(1), packed, packed), packed) == [2.0]


def test_integrals_do_not_shorten_the_first_step(arguments: tuple[Any, ...]) -> None:
    """Where an adjoint begins, the cotangents of the parameters are zero and steep, and nothing depends on them."""
    y0, params, weights = arguments
    found = integrate(OdeProblem(field, params), y0, TIMES, Tsit5(), rtol=1e-5, atol=1e-5, dense=True)
    with_integrals, alone = (way.pullback(OdeProblem(field, params), found, weights) for way in (WAYS[0], WAYS[1]))
    for packed, plain in zip(with_integrals.solves, alone.solves, strict=True):
        assert packed.nfe == plain.nfe
