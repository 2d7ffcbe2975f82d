from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
import scipy.optimize

import equilib_scipy
from equilib import FixedPointProblem, Status, solve
from equilib.fixed_points.solver import WholeSolver
from equilib.ode import SteadyState
from equilib.options import OptionError
from equilib.plugin import SolverEntry
from equilib.plugin.registry import Registry
from equilib_scipy.dfsane import DFSane
from equilib_scipy.integrators import BDF, LSODA, RK45, Radau
from equilib_scipy.minpack import Hybr, LevenbergMarquardt
from equilib_scipy.nonlin import Anderson, Broyden1, Krylov
from tests.plugins.lockstep_laws import BridgeLaws, loaded
from tests.plugins.solver_laws import SolverLaws, solve_map
from tests.problems import EXPANSIVE, NO_FIXED_POINT, ROTATION, SINGULAR, STEEP, TANH, KnownMap

REGISTRY = Registry()
REGISTRY.register(equilib_scipy, name="scipy")
SOLVERS = loaded(REGISTRY)


@pytest.mark.parametrize("solver", SOLVERS.values(), ids=SOLVERS)
class TestBridges(BridgeLaws):
    """The laws of every bridge."""


class TestHybr(SolverLaws):
    """The laws of every solver."""

    solver = Hybr()
    derivatives = ("jvp",)
    without_fixed_point = (Status.STALLED,)


class TestKrylov(SolverLaws):
    """The laws of every solver."""

    solver = Krylov()
    without_fixed_point = (Status.STALLED,)


def test_every_method_of_scipy_is_there():
    """Each method that `scipy.optimize.root` documents, and each of five steppers, is an entry."""
    roots = {"hybr", "lm", "broyden1", "broyden2", "anderson", "linearmixing", "diagbroyden"}
    roots |= {"excitingmixing", "krylov", "df-sane"}
    assert all(f"'{name}'" in scipy.optimize.root.__doc__ for name in roots)
    steppers = {"rk45", "dop853", "lsoda", "bdf", "radau"}
    assert set(SOLVERS) == {f"scipy:{name}" for name in roots | steppers}


@pytest.mark.parametrize("name", SOLVERS)
def test_capabilities_are_what_is_used(name):
    """Products J·v are used by those only that say so, all have a loop of their own and take any array library."""
    entry, solution = REGISTRY.get(SolverEntry, name), solve_map(TANH, SOLVERS[name], rtol=1e-6)
    assert entry.capabilities.needs_jvp or solution.njvp == 0
    assert isinstance(SOLVERS[name], WholeSolver)
    assert entry.capabilities.backends == ("any",)
    assert entry.advice.endswith(".")


@pytest.mark.parametrize(
    "solver",
    [
        Hybr(),
        Broyden1(),
        Krylov(),
        Krylov(linear_solver="gmres"),
        *(SteadyState(each, step_rtol=0.01) for each in (Radau(), BDF())),
    ],
    ids=str,
)
@pytest.mark.parametrize("known", [STEEP, ROTATION], ids=str)
def test_harder_maps(solver: WholeSolver, known: KnownMap):
    """Where Picard iteration diverges or is slow, the methods with a Jacobian, or one in effect, converge."""
    solution = solve_map(known, solver, rtol=1e-8)
    assert solution.success, solution


@pytest.mark.parametrize(
    "cls",
    [Hybr, LevenbergMarquardt, lambda **options: SteadyState(BDF(**options)), lambda **o: SteadyState(Radau(**o))],
    ids=["hybr", "lm", "bdf", "radau"],
)
@pytest.mark.parametrize("dtype", ["float64", "float32"])
def test_difference_quotients_replace_products(cls: Callable[..., WholeSolver], dtype: str):
    """Without derivatives the same fixed points are found, in either precision, with no product."""
    rtol = {"float64": 1e-8, "float32": 1e-4}[dtype]
    by_products, by_quotients = (
        solve_map(EXPANSIVE, cls(jacobian=kind), dtype=dtype, rtol=rtol) for kind in ("exact", "difference")
    )
    assert by_products.success
    assert by_quotients.success
    assert by_products.njvp > 0
    assert by_quotients.njvp == 0
    np.testing.assert_allclose(by_quotients.z, EXPANSIVE.solution, atol=1e2 * rtol)


def test_a_dense_jacobian_is_refused_for_large_samples():
    """The error says how large, which option would allow it, and what to use instead."""
    for solver in (Hybr(largest=10), SteadyState(BDF(largest=10))):
        with pytest.raises(ValueError, match=r"11×11.*largest=10.*scipy:(krylov|dop853)"):
            solve(np.cos, solver, np.zeros((2, 11)))


def test_hybr_is_scipys_own(rng: np.random.Generator):
    """A sample's answer at a tolerance that is out of reach is that of `scipy.optimize.root` itself, bit for bit."""
    bias = rng.standard_normal((1, 4))
    f = lambda z, b: np.tanh(2 * z[..., ::-1] + b)  # noqa: E731
    known = KnownMap("swap", f=f, jvp=lambda z, v, b: (1 - f(z, b) ** 2) * 2 * v[..., ::-1], vjp=f, bias=bias,
                     z0=np.zeros((1, 4)), solution=None)  # fmt: skip
    solution = solve_map(known, Hybr(), rtol=0.0, atol=1e-300)
    own = scipy.optimize.root(
        lambda z: f(z, bias[0]) - z,
        np.zeros(4),
        jac=lambda z: np.stack([known.jvp(z, e, bias[0]) - e for e in np.eye(4)], axis=1),
        options={"xtol": 0.0, "maxfev": 401},
    )
    assert np.max(np.abs(own.x - solution.z[0])) < 1e-14
    assert solution.status[0] is (Status.CONVERGED if not own.fun.any() else Status.STALLED)


def test_the_messages_are_scipys():
    """The state tells in SciPy's words how each sample's call ended."""
    state = solve_map(NO_FIXED_POINT, Hybr()).state
    assert len(state.messages) == 5
    assert all("not making good progress" in message for message in state.messages)
    assert state.failed.all()


def test_running_out_of_steps_is_not_giving_up():
    """Where max_steps ends the method, the status says so, and the best iterate is better than the guess."""
    for solver in (
        Hybr(),
        LevenbergMarquardt(),
        Broyden1(),
        Anderson(),
        Krylov(inner_steps=1),
        DFSane(),
        SteadyState(RK45()),
    ):
        solution = solve_map(STEEP, solver, rtol=1e-12, max_steps=2)
        assert set(solution.status) == {Status.MAX_STEPS}, solution
        assert np.all(solution.residual_norm <= solution.trace[0])


def test_levenberg_marquardt_solves_a_singular_system():
    """Where I − J is singular and there is a space of fixed points, one of them is found."""
    assert solve_map(SINGULAR, LevenbergMarquardt(), rtol=1e-8).success


def test_the_first_step_is_picards():
    """With α = 1 the first Jacobian is −I: the second point that is evaluated is f(z₀)."""
    for solver in (Broyden1(line_search=None), Anderson(line_search=None), DFSane()):
        tried = []
        problem = lambda z: (tried.append(z), TANH.f(z, TANH.bias))[1]  # noqa: B023, E731
        solve(problem, solver, TANH.z0, max_steps=1, rtol=1e-12, on_failure="record")
        np.testing.assert_allclose(tried[2], TANH.f(TANH.z0, TANH.bias), rtol=1e-14)


def test_lsoda_turns_stiff_where_it_pays():
    """On a flow with an eigenvalue of −2000 it uses Jacobians and needs few steps, and the answer is right."""
    rates = np.array([1.0, 2000.0])
    f = lambda z: z - rates * (z - 0.5)  # noqa: E731
    problem = FixedPointProblem(f, jvp=lambda z, v: v - rates * v)
    solution = solve(problem, SteadyState(LSODA(), step_rtol=0.01), np.zeros((3, 2)), rtol=1e-6, max_steps=400)
    np.testing.assert_allclose(solution.z, 0.5, rtol=1e-5)
    assert solution.njvp > 0


@pytest.mark.parametrize(
    ("cls", "options"),
    [
        (Hybr, {"factor": 1000.0}),
        (Hybr, {"jacobian": "exakt"}),
        (Broyden1, {"alpha": 0.0}),
        (Broyden1, {"line_search": "armij"}),
        (Krylov, {"inner_steps": 0}),
        (DFSane, {"longest_step": 0.5}),
        (BDF, {"largest": 0}),
    ],
)
def test_options_out_of_range_are_refused(cls, options):
    """An option that makes no sense is named."""
    with pytest.raises(OptionError, match=next(iter(options))):
        cls(**options)


def test_every_option_reaches_scipy():
    """SciPy accepts each option at a value that is not the default."""
    for solver in (
        Broyden1(alpha=None, max_rank=3, reduction="svd"),
        Broyden1(alpha=0.5, max_rank=2, reduction="simple", line_search="wolfe"),
        Anderson(alpha=None, memory=2, regularization=0.1, line_search=None),
        *(Krylov(linear_solver=name, inner_steps=8) for name in ("gmres", "bicgstab", "cgs", "tfqmr")),
        Krylov(outer_k=2, width=1e-7),
        DFSane(line_search="cheng", memory=3, longest_step=5.0),
        SteadyState(RK45(), step_rtol=0.05, first_step=0.1, largest_step=1.0),
    ):
        assert solve_map(TANH, solver, rtol=1e-6).success, solver
