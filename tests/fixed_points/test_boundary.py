"""What f may do, in every solver: work in place, keep its buffers, raise, break down, ignore what it is given."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import array_api_strict as strict
import autograd.numpy as anp
import numpy as np
import pytest

from equilib import (
    FixedPointProblem,
    ImplicitAdjoint,
    JacobianFree,
    Picard,
    Solver,
    Status,
    Unrolled,
    ops,
    solve,
)
from equilib.errors import NoDerivativeError
from equilib.ode import SteadyState
from equilib_newton_gmres.solver import NewtonGMRES
from equilib_scipy.integrators import BDF, LSODA, RK45, Radau
from tests.installed import iterative_solvers, solvers

every_solver = pytest.mark.parametrize("solver", solvers())
OPTIONS: dict[str, Any] = {"rtol": 1e-6, "max_steps": 500, "on_failure": "record"}


def line(z: Any) -> Any:
    """f(z) = z/2 + 1, whose fixed point is 2."""
    return 0.5 * z + 1.0


# --- f that works in place


def scaled(z: Any) -> Any:
    """By operators."""
    z *= 0.5
    z += 1
    return z


def assigned(z: Any) -> Any:
    """By assignment."""
    z[...] = 0.5 * z + 1
    return z


def by_out(z: Any) -> Any:
    """By the arguments `out`."""
    return np.add(np.multiply(z, 0.5, out=z), 1, out=z)


def by_parts(z: Any) -> Any:
    """By views of samples."""
    for sample in z:
        sample *= 0.5
    z += 1
    return z


def by_shape(z: Any) -> Any:
    """By a view of another shape."""
    return scaled(z.reshape(-1)).reshape(z.shape)


IN_PLACE = (scaled, assigned, by_out, by_parts, by_shape, lambda z: scaled(z.T).T)


@every_solver
@pytest.mark.parametrize("f", IN_PLACE, ids=["operators", "assignment", "out", "samples", "a view", "a transpose"])
def test_f_cannot_change_what_it_is_given(solver: Solver, f: Callable[[Any], Any]):
    """It is read-only, as NumPy says, in a trace as well; the guess stays as it was."""
    z0 = np.zeros((2, 3))
    with pytest.raises(ValueError, match="read-only") as caught:
        solve(f, solver, z0, **OPTIONS)
    assert "which it must not change" in caught.value.__notes__[0]
    np.testing.assert_array_equal(z0, 0.0)


@pytest.mark.parametrize("solver", iterative_solvers())
def test_where_nothing_is_read_only_f_works_on_a_copy(solver: Solver):
    """Arrays of another library are copied before f gets them."""

    def f(z: Any) -> Any:
        z[...] = 0.5 * z + 1.0
        return z

    z0 = strict.zeros((2, 3))
    problem = FixedPointProblem(f, jvp=lambda z, v: 0.5 * v, vjp=lambda z, w: 0.5 * w)
    found = solve(problem, solver, z0, **OPTIONS)
    np.testing.assert_allclose(np.asarray(found.z), 2.0, rtol=1e-5)
    assert bool(strict.all(z0 == 0))


def test_f_cannot_change_its_inputs():
    """Neither in a solve nor in an adjoint's evaluations; the caller's arrays stay as they were."""

    def f(z: Any, tree: Any) -> Any:
        tree["x"] += z
        return tree["x"]

    x = np.ones((2, 3))
    with pytest.raises(ValueError, match="read-only"):
        solve(FixedPointProblem(f, {"x": x}), Picard(), np.zeros((2, 3)))
    np.testing.assert_array_equal(x, 1.0)
    assert x.flags.writeable


def test_products_cannot_change_what_they_are_given():
    """A Krylov basis would be lost if J·v were computed in place."""

    def jvp(z: Any, v: Any) -> Any:
        v *= 0.5
        return v

    with pytest.raises(ValueError, match="read-only"):
        solve(FixedPointProblem(line, jvp=jvp), NewtonGMRES(), np.zeros((2, 3)))


# --- f that keeps what it returns


class Buffered:
    """A map that returns the same array each time, and products that do."""

    def __init__(self) -> None:
        self.kept = {name: np.empty((3, 4)) for name in ("f", "jvp", "vjp")}
        self.matrix = np.diag([0.5, -0.3, 0.2, -0.1]) + 0.2 * np.eye(4, k=1)

    def f(self, z: Any) -> Any:
        """Return tanh(z A) + 1."""
        return np.add(np.tanh(z @ self.matrix), 1.0, out=self.kept["f"])

    def jvp(self, z: Any, v: Any) -> Any:
        """Return J·v."""
        return np.multiply(1 - np.tanh(z @ self.matrix) ** 2, v @ self.matrix, out=self.kept["jvp"])

    def vjp(self, z: Any, w: Any) -> Any:
        """Return Jᵀ·w."""
        return np.matmul((1 - np.tanh(z @ self.matrix) ** 2) * w, self.matrix.T, out=self.kept["vjp"])

    def problem(self, *, fresh: bool) -> FixedPointProblem:
        """Return the problem, with fresh arrays or with those that are kept."""
        last: Any = np.copy if fresh else lambda array: array
        return FixedPointProblem(
            lambda z: last(self.f(z)),
            jvp=lambda z, v: last(self.jvp(z, v)),
            vjp=lambda z, w: last(self.vjp(z, w)),
        )


@every_solver
def test_f_may_return_the_same_array_each_time(solver: Solver):
    """What solvers remember is not in f's buffers: iterates and solution are those of a map without."""
    z0 = np.random.default_rng(0).standard_normal((3, 4))
    fresh, kept = (solve(Buffered().problem(fresh=flag), solver, z0, **OPTIONS) for flag in (True, False))
    assert fresh.success
    np.testing.assert_array_equal(kept.z, fresh.z)
    np.testing.assert_array_equal(kept.trace, fresh.trace)


SENSITIVITIES = [ImplicitAdjoint(), ImplicitAdjoint(Picard()), Unrolled(9), Unrolled(9, None), JacobianFree()]


@pytest.mark.parametrize("sensitivity", SENSITIVITIES[:-1], ids=str)
def test_an_adjoint_may_get_the_same_array_each_time(sensitivity: Any):
    """The iterates of a loop, too, are its own."""

    def pulled(*, fresh: bool) -> np.ndarray:
        problem = Buffered().problem(fresh=fresh)
        z0 = np.zeros((3, 4))
        solution = solve(problem, Picard(), z0, rtol=1e-9, max_steps=200)
        found = sensitivity.pullback(problem, solution, np.ones((3, 4)))
        return found.solves[0].z

    np.testing.assert_array_equal(pulled(fresh=False), pulled(fresh=True))


@every_solver
@pytest.mark.parametrize("f", [lambda z: z, lambda z: z[...], lambda z: z.reshape(-1).reshape(z.shape)])
def test_f_may_return_what_it_was_given(solver: Solver, f: Callable[[Any], Any]):
    """Every point is a fixed point of the identity, also as a view; the solution is the guess."""
    z0 = np.arange(6.0).reshape(2, 3)
    found = solve(FixedPointProblem(f, jvp=lambda z, v: v, vjp=lambda z, w: w), solver, z0, **OPTIONS)
    np.testing.assert_array_equal(found.z, np.arange(6.0).reshape(2, 3))
    np.testing.assert_array_equal(found.residual, 0.0)


# --- f that raises, and libraries that do


class OwnError(Exception):
    """An error of f's own."""


@every_solver
@pytest.mark.parametrize("kind", [OwnError, ValueError, np.linalg.LinAlgError, ZeroDivisionError, KeyError, TypeError])
@pytest.mark.parametrize("at", [1, 3])
def test_what_f_raises_reaches_the_caller(solver: Solver, kind: type[Exception], at: int):
    """Unchanged, whatever solver called f, and whatever its kind says to libraries; a note says what f was given."""
    raised: list[Exception] = []
    calls = 0

    def f(z: Any) -> Any:
        nonlocal calls
        calls += 1
        if calls >= at:
            raised.append(kind("of f's own"))
            raise raised[-1]
        return ops.multiply(ops.cos(z), 0.9)

    with pytest.raises(kind, match="of f's own") as caught:
        solve(f, solver, np.zeros((2, 3)), rtol=1e-12)
    assert caught.value is raised[-1]


def breaking(z: Any) -> Any:
    """z/2 + 1, but nan in the first of three samples beyond 1.5, as of a logarithm."""
    first = np.array([[1.0], [0.0], [0.0]])
    return anp.log(1.5 - first * z) * 0.0 * first + line(z)


@every_solver
def test_a_region_of_nan_ends_one_sample(solver: Solver):
    """The others converge; the first has a status, and a finite iterate outside of the region."""
    found = solve(breaking, solver, np.zeros((3, 2)), **OPTIONS)
    assert found.converged.tolist() == [False, True, True]
    assert found.status[0] in (Status.NONFINITE, Status.STALLED, Status.MAX_STEPS)
    np.testing.assert_allclose(found.z[1:], 2.0, rtol=1e-4)
    assert np.isfinite(found.z).all()
    assert (found.z[0] <= 1.5).all()


@pytest.mark.parametrize("integrator", [BDF(), Radau(), LSODA(), RK45()])
@pytest.mark.parametrize("at", [0, 1, 2])
def test_an_integrator_that_breaks_down_leaves_a_status(integrator: Any, at: int):
    """SciPy's exceptions, which nan causes inside it, become the sample's NONFINITE and do not reach the others."""

    def f(z: Any) -> Any:
        return anp.where(np.arange(3)[:, None] == at, anp.sqrt(1.0 - z) + z + 1.0, line(z))

    found = solve(f, SteadyState(integrator), np.zeros((3, 2)), **OPTIONS)
    assert [status is Status.NONFINITE for status in found.status] == [row == at for row in range(3)]
    assert found.converged.sum() == 2


# --- derivatives that are zero, or that f hides


@every_solver
def test_f_may_be_a_constant(solver: Solver):
    """Its derivative is zero and it is the fixed point."""
    constant = np.arange(6.0).reshape(2, 3)
    found = solve(lambda z: constant, solver, np.zeros((2, 3)), **OPTIONS)
    assert found.success
    np.testing.assert_allclose(found.z, constant, atol=1e-4)


@pytest.mark.parametrize("sensitivity", SENSITIVITIES, ids=str)
def test_the_cotangent_of_what_f_ignores_is_zero(sensitivity: Any):
    """Whether it is z, an input, or a leaf of one."""
    x, spare = np.full((2, 3), 0.5), {"used": np.ones(3), "ignored": np.ones((2, 2))}
    problem = FixedPointProblem(lambda z, x, tree, other: x * tree["used"], x, spare, np.ones(4))
    solution = solve(problem, NewtonGMRES(), np.zeros((2, 3)))
    inputs = sensitivity.pullback(problem, solution, np.ones((2, 3))).inputs
    np.testing.assert_allclose(inputs[0], 1.0)
    np.testing.assert_allclose(inputs[1]["used"], [1.0, 1.0, 1.0])
    np.testing.assert_array_equal(inputs[1]["ignored"], np.zeros((2, 2)))
    np.testing.assert_array_equal(inputs[2], np.zeros(4))


JOINED = {
    "stack": lambda z: np.stack([0.5 * z[:, 0] + 1, 0.2 * z[:, 1]], axis=1),
    "concatenate": lambda z: np.concatenate([0.5 * z[:, :1] + 1, 0.2 * z[:, 1:]], axis=1),
    "hstack": lambda z: np.hstack([0.5 * z[:, :1] + 1, 0.2 * z[:, 1:]]),
    "array": lambda z: np.array([0.5 * z[:, 0] + 1, 0.2 * z[:, 1]]).T,
    "where": lambda z: np.where(z > 0, 0.5 * z, 0.2 * z),
}


@pytest.mark.parametrize("name", JOINED)
def test_pieces_joined_by_numpy_are_told_from_a_wrong_dtype(name: str):
    """A trace makes objects of them: the error says which functions join traced arrays, and anderson needs none."""
    with pytest.raises(NoDerivativeError, match=r"take np\.stack, .* from autograd\.numpy or equilib\.ops"):
        solve(JOINED[name], NewtonGMRES(), np.zeros((3, 2)))
    assert solve(JOINED[name], Picard(), np.zeros((3, 2))).success


def test_pieces_joined_by_autograd_are_traced():
    """The advice helps."""
    f = lambda z: anp.stack([0.5 * z[:, 0] + 1, 0.2 * z[:, 1]], axis=1)  # noqa: E731
    np.testing.assert_allclose(solve(f, NewtonGMRES(), np.zeros((3, 2)), rtol=1e-9).z, [[2.0, 0.0]] * 3, atol=1e-7)
