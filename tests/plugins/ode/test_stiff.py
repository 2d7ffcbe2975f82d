"""The methods for stiff equations: what they cost and how exact they are, their linear equations, their gradients."""

from __future__ import annotations

import json
from dataclasses import fields, replace
from types import ModuleType
from typing import Any

import numpy as np
import pytest

from benchmarks.request import RESULTS
from benchmarks.stiff_problems import PROBLEMS, StiffProblem
from equilib import ops
from equilib.arrays import array_namespace
from equilib.autodiff import jvp, value_and_grad
from equilib.fixed_points.linearization import Linearization
from equilib.models.neural_ode import evolve
from equilib.numerics.gmres import GMRES
from equilib.ode import OdeOptions, OdeProblem, OdeSolution, OdeStatus, integrate
from equilib.ode.adjoints import Backsolve, Discrete, Gauss, Interpolating
from equilib.ode.newton import UNSOLVED
from equilib_ode.auto import Auto
from equilib_ode.bdf import BDF
from equilib_ode.kencarp47 import KenCarp47
from equilib_ode.tsit5 import Tsit5
from tests.arrays_under_test import lift, lower
from tests.initial_value_problems import Constant, forced, reference

METHODS = [KenCarp47(), BDF(), Auto()]
every_method = pytest.mark.parametrize("method", METHODS, ids=lambda method: type(method).__name__)
SMALL = [problem for problem in PROBLEMS if problem.y0.size < 10]


def integrated(problem: StiffProblem, method: Any, rtol: float = 1e-3, **options: Any) -> OdeSolution:
    """Return the solution of a stiff problem by a batch of one."""
    given = {"rtol": rtol, "atol": rtol * problem.atol, **options}
    return integrate(problem.problem(), problem.y0[None], [0, problem.end], method, **given)


@every_method
@pytest.mark.parametrize("problem", SMALL, ids=str)
def test_the_published_solutions_are_reached(problem: StiffProblem, method: Any) -> None:
    """At 1e-3 the end is right to a hundred tolerances, in some hundred steps."""
    found = integrated(problem, method)
    assert found.success, found.failure_report()
    solution = problem.reference()
    error = np.abs(found.y[-1, 0] - solution) / (1e-3 * (problem.atol + np.abs(solution)))
    assert error.max() < 100
    assert found.accepted[0] < 1000


@every_method
def test_a_step_sees_what_f_did_before_its_first_implicit_stage(method: Any) -> None:
    """Y' = 0 until t = 6.1, then 1: from steps that grew at rest it is 3.9 at t = 10, to a hundred tolerances."""

    def linearize(f: Any, t: Any, y: Any) -> Linearization:
        return Linearization(value=f(t, y), jvp=lambda v: 0 * v, vjp=lambda w: 0 * w, inputs_vjp=lambda w: ())

    problem = OdeProblem(lambda t, y: (t > 6.1) + 0 * y, linearize=linearize)
    found = integrate(problem, np.zeros((1, 1)), [0, 10], method, rtol=1e-6, atol=1e-6)
    assert found.y[-1, 0, 0] == pytest.approx(3.9, abs=100 * 1e-6 * 4.9)


@every_method
def test_half_precision_ends_at_the_end_or_honestly(method: Any) -> None:
    """The slope of a step of 1e-6 is finite though 1/h is not in half precision: no status says that f was not."""
    rates = np.geomspace(0.1, 1e3, 150).astype("float16")
    start, options = np.ones((1, 150), dtype="float16"), {"rtol": 1e-3, "max_steps": 300, "on_failure": "record"}
    found = integrate(lambda t, y: ops.multiply(-rates, y), start, [0, 1], method, **options)
    assert found.status[0] is not OdeStatus.NONFINITE
    if found.success:
        rounding = found.accepted[0] * 2.0**-12  # half a unit below 1 a step
        np.testing.assert_allclose(found.y[1, 0], np.exp(-rates.astype(float)), atol=rounding)


def _decays(rates: np.ndarray) -> OdeProblem:
    """Return y' = r (cos t − y), r of shape (batch, size), for any array library."""

    def f(t: Any, y: Any, r: Any) -> Any:
        return r * (array_namespace(y).cos(t) - y)

    def linearize(f: Any, t: Any, y: Any, r: Any) -> Linearization:
        return Linearization(value=f(t, y, r), jvp=lambda v: -r * v, vjp=lambda w: -r * w, inputs_vjp=lambda w: (r,))

    return OdeProblem(f, rates, linearize=linearize)


@every_method
@pytest.mark.parametrize("solver", ["lu", "gmres"])
def test_each_sample_has_its_own_stiffness(xp: ModuleType, method: Any, solver: str) -> None:
    """Samples step by themselves: one of rate 1e6 costs no more than its own steps, on every array library."""
    rates, y0 = np.array([[1.0, 2.0], [1e6, 1.0]]), np.zeros((2, 2))
    chosen = type(method)(linear_solver=GMRES()) if solver == "gmres" else method
    problem = _decays(lift(xp, rates))
    found = integrate(problem, lift(xp, y0), [0.0, 1.0], chosen, rtol=1e-4, atol=1e-4, per_sample=True)
    exact = (rates**2 * np.cos(1) + rates * np.sin(1) - rates**2 * np.exp(-rates)) / (1 + rates**2)
    np.testing.assert_allclose(lower(found.y[1, ...]), exact, atol=3e-3)
    assert found.success
    assert found.accepted.max() < 200
    assert found.njvp > 0


@every_method
def test_gmres_and_lu_take_the_same_steps(method: Any) -> None:
    """How the linear equations are solved is no part of the method: the answers agree within some tolerances."""
    y0 = np.array([[1.0, 0.3, -0.5], [0.2, 0.9, 2.0]])
    lu, gmres = (
        integrate(forced_by_ops, y0, [0, 3], type(method)(linear_solver=solver), rtol=1e-5, atol=1e-7)
        for solver in (None, GMRES())
    )
    np.testing.assert_allclose(gmres.y, lu.y, atol=5e-5)
    np.testing.assert_allclose(lu.y[1], reference(forced, y0, [0, 3])[1], atol=1e-4)


def forced_by_ops(t: Any, y: Any) -> Any:
    """Return `forced` by operations that can be traced."""
    return ops.add(ops.multiply(-0.5, ops.multiply(y, y)), np.cos(t) / (1 + t))


def field(t: Any, y: Any, params: Any) -> Any:
    """Return a stiff field with a slow manifold: −200 (y − tanh(y W + b)) − 0.3 sin(t) y."""
    slow = ops.tanh(ops.add(ops.matmul(y, params["weight"]), params["bias"]))
    return ops.subtract(ops.multiply(-200.0, ops.subtract(y, slow)), ops.multiply(y, 0.3 * np.sin(t)))


def arguments() -> tuple[np.ndarray, dict[str, np.ndarray], np.ndarray]:
    """Return an initial value, parameters, and the weights of a loss."""
    rng = np.random.default_rng(4)
    params = {"weight": 0.3 * rng.standard_normal((3, 3)), "bias": 0.3 * rng.standard_normal(3)}
    return 0.3 * rng.standard_normal((2, 3)), params, rng.standard_normal((3, 2, 3))


def gradients(way: Any, method: Any, times: Any = (0.0, 0.004, 0.01), **options: Any) -> tuple[np.ndarray, Any]:
    """Return the gradient along three directions, and the loss as a function of how far to go along them."""
    y0, params, weights = arguments()
    rng = np.random.default_rng(5)
    along = [rng.standard_normal(each.shape) for each in (y0, params["weight"], params["bias"])]

    def loss(given: Any) -> Any:
        start, theta = given
        found = evolve(field, start, times, theta, integrator=method, adjoint=way, options=OdeOptions(**options))
        return ops.sum(ops.multiply(found.y, weights))

    def moved(steps: np.ndarray) -> float:
        theta = {"weight": params["weight"] + steps[1] * along[1], "bias": params["bias"] + steps[2] * along[2]}
        return float(loss((y0 + steps[0] * along[0], theta)))

    _, (y_bar, bars) = value_and_grad(loss)((y0, params))
    found = [np.sum(bar * way) for bar, way in zip((y_bar, bars["weight"], bars["bias"]), along, strict=True)]
    return np.array(found), moved


def by_differences(moved: Any, step: float) -> np.ndarray:
    """Return the derivatives along the three directions by central differences."""
    return np.array([(moved(e) - moved(-e)) / (2 * step) for e in step * np.eye(3)])


@every_method
@pytest.mark.parametrize("solver", ["lu", "gmres"])
@pytest.mark.parametrize("per_sample", [False, True])
def test_the_discrete_gradient_is_that_of_the_steps(method: Any, solver: str, per_sample: bool) -> None:
    """With step sizes that are fixed it is the derivative of what was computed, to the tolerance of the stages."""

    class Fixed(type(method)):  # type: ignore[misc]
        """The same method with steps of one size."""

        controller = Constant()

    options = {each.name: getattr(method, each.name) for each in fields(method)}
    fixed = Fixed(**{**options, "linear_solver": GMRES() if solver == "gmres" else None})
    settings = {"rtol": 1e-13, "atol": 1e-12, "first_step": 0.001, "per_sample": per_sample}
    found, moved = gradients(Discrete(), accepting(fixed), (0.0, 0.0034, 0.01), **settings)
    np.testing.assert_allclose(found, by_differences(moved, 1e-4), rtol=1e-6, atol=1e-8)


def accepting(method: Any) -> Any:
    """Return a method whose errors are all acceptable."""

    class Accepting(type(method)):  # type: ignore[misc]
        """The same method, content with any error."""

        def attempt(self, flow: Any, start: Any, h: Any, memory: Any) -> Any:
            tried = super().attempt(flow, start, h, memory)
            assert (tried.error != UNSOLVED).all()
            return replace(tried, error=np.minimum(tried.error, 1.0), factor=None)

    return Accepting(**{each.name: getattr(method, each.name) for each in fields(method)})


@every_method
def test_all_ways_give_the_gradient(method: Any) -> None:
    """At a tight tolerance each adjoint gives the gradient; backwards it is integrated by the method itself."""
    _, moved = gradients(Discrete(), Tsit5(), rtol=1e-10, atol=1e-10)
    differences = by_differences(moved, 1e-5)
    for way in (Discrete(), Interpolating(), Gauss()):
        found, _ = gradients(way, method, rtol=1e-8, atol=1e-9)
        np.testing.assert_allclose(found, differences, rtol=1e-6, atol=1e-6, err_msg=str(way))


@every_method
def test_the_state_can_be_integrated_back(method: Any) -> None:
    """Backsolve's equation is solved by an implicit method as well, where the flow is not stiff."""
    y0, weights = np.array([[0.5, -0.2]]), np.array([[[0.0, 0.0]], [[1.0, -2.0]]])

    def loss(rate: Any, way: Any, integrator: Any) -> Any:
        found = evolve(
            lambda t, y, r: ops.tanh(ops.multiply(r, y)),
            y0,
            [0.0, 1.0],
            rate,
            integrator=integrator,
            adjoint=way,
            options=OdeOptions(rtol=1e-8, atol=1e-9),
        )
        return ops.sum(ops.multiply(found.y, weights))

    rate = np.array([0.8, -1.5])
    back, exact = (
        value_and_grad(lambda r: loss(r, way, each))(rate)[1]  # noqa: B023
        for way, each in ((Backsolve(), method), (Discrete(), Tsit5()))
    )
    np.testing.assert_allclose(back, exact, rtol=1e-6)


@every_method
@pytest.mark.parametrize("solver", ["lu", "gmres"])
def test_implicit_steps_have_second_derivatives(method: Any, solver: str) -> None:
    """The discrete gradient can be differentiated forward: its derivative is that by differences."""
    chosen = type(method)(linear_solver=GMRES() if solver == "gmres" else None)
    y0, weights = np.array([[0.5, -0.2]]), np.array([[[0.0, 0.0]], [[1.0, -2.0]]])

    def loss(rate: Any) -> Any:
        def pull(t: Any, y: Any, r: Any) -> Any:
            return ops.subtract(ops.tanh(ops.multiply(r, y)), ops.multiply(5.0, y))

        options = OdeOptions(rtol=0.0, atol=1e-11, first_step=0.1, on_failure="record", max_steps=4)
        found = evolve(
            pull, y0, [0.0, 0.2], rate, integrator=chosen_at_fixed_steps, adjoint=Discrete(), options=options
        )
        return ops.sum(ops.multiply(found.y, weights))

    class Fixed(type(chosen)):  # type: ignore[misc]
        """The same method with steps of one size."""

        controller = Constant()

    chosen_at_fixed_steps = accepting(Fixed(linear_solver=chosen.linear_solver))
    rate, along = np.array([0.8, -1.5]), np.array([0.3, 1.1])
    gradient = lambda r: value_and_grad(loss)(r)[1]  # noqa: E731
    _, second = jvp(gradient, (rate,), (along,))
    differences = (gradient(rate + 1e-5 * along) - gradient(rate - 1e-5 * along)) / 2e-5
    np.testing.assert_allclose(second, differences, rtol=1e-6, atol=1e-8)


@every_method
@pytest.mark.parametrize("solver", ["lu", "gmres"])
def test_a_batch_that_steps_as_one_may_be_one_system(method: Any, solver: str) -> None:
    """Where f mixes samples they are solved for as one, in as many steps, and with the gradient."""
    chosen = type(method)(linear_solver=GMRES() if solver == "gmres" else None)
    rates, start = np.array([1.0, 30.0, 400.0]), np.array([0.3, -1.0, 0.5])

    def mixed(t: Any, y: Any, r: Any) -> Any:
        neighbours = ops.stack([ops.getitem(y, 1), ops.getitem(y, 2), ops.getitem(y, 0)])
        return ops.multiply(r, ops.subtract(ops.tanh(neighbours), y))

    def loss(r: Any, method: Any, *, apart: bool) -> Any:
        def f(t: Any, y: Any, r: Any) -> Any:
            return ops.reshape(mixed(t, ops.reshape(y, (3,)), r), (1, 3)) if apart else mixed(t, y, r)

        options = OdeOptions(rtol=1e-6, atol=1e-7)
        found = evolve(
            f, start[None] if apart else start, [0.0, 0.5], r, integrator=method, adjoint=Discrete(), options=options
        )
        steps.append(int(found.solution.accepted.max()))
        return ops.sum(ops.multiply(found.y, found.y))

    steps: list[int] = []
    (value, bar), (known, its) = (
        value_and_grad(lambda r: loss(r, each, apart=apart))(rates)  # noqa: B023
        for each, apart in ((chosen, False), (Tsit5(), True))
    )
    assert value == pytest.approx(known, rel=1e-4)
    np.testing.assert_allclose(bar, its, rtol=1e-3, atol=1e-6)
    loss(rates, chosen, apart=True)
    assert steps[0] <= 1.1 * steps[2]


def test_the_committed_table_has_at_most_twice_scipys_work() -> None:
    """On the stiff set kencarp47 stays below twice Radau's work, bdf below twice BDF's, to a hundred tolerances."""
    rows = json.loads((RESULTS / "stiff.json").read_text(encoding="utf-8"))["rows"]
    assert len(rows) == 17
    for row in rows:
        found = row["methods"]
        for ours, theirs in (("kencarp47", "Radau"), ("bdf", "BDF")):
            assert found[ours]["work"] <= 2 * found[f"SciPy {theirs}"]["work"], (row["problem"], row["rtol"], ours)
            assert found[ours]["error"] < 100
