from __future__ import annotations

from types import ModuleType
from typing import Any

import numpy as np
import pytest

from equilib import FixedPointProblem, Status, solve
from equilib.fixed_points.evaluator import Evaluator
from equilib.numerics.bicgstab import BiCGStab
from equilib.numerics.forcing import tightened
from equilib.numerics.line_search import NewtonPoint
from equilib.options import OptionError
from equilib_newton_gmres.solver import NewtonGMRES
from equilib_newton_gmres.trust_region import Dogleg, trust_region
from tests.arrays_under_test import lift, lower
from tests.plugins.solver_laws import SolverLaws, solve_map
from tests.problems import SINGULAR, SIZE, STEEP, TANH


class TestTrustRegion(SolverLaws):
    """The laws of every solver, with a trust region."""

    solver = NewtonGMRES(globalization="trust-region")
    derivatives = ("jvp", "vjp")
    without_fixed_point = (Status.STALLED,)


class TestNoGlobalization(SolverLaws):
    """The laws of every solver, with plain inexact Newton steps."""

    solver = NewtonGMRES(globalization="none")
    derivatives = ("jvp",)


class TestBiCGStab(SolverLaws):
    """The laws of every solver, with BiCGStab as the linear solver."""

    solver = NewtonGMRES(BiCGStab())
    derivatives = ("jvp",)
    without_fixed_point = (Status.STALLED,)


def start(xp: ModuleType = np) -> tuple[Evaluator, NewtonPoint, np.ndarray]:
    """Return an evaluator, a point of it, and the exact Newton step there."""
    z = STEEP.z0 + 0.3
    f = Evaluator(STEEP.problem(xp), lift(xp, z))
    J = np.stack([STEEP.jvp(z, np.broadcast_to(e, z.shape), STEEP.bias) for e in np.eye(SIZE)], axis=2)
    residual = STEEP.f(z, STEEP.bias) - z
    newton = np.linalg.solve(np.eye(SIZE) - J, residual[:, :, None])[:, :, 0]
    return f, NewtonPoint.at(f, lift(xp, z)), newton


def test_the_dogleg_by_its_definition(xp: ModuleType):
    """Steps have the length of the radius; at its ends the dogleg is steepest descent and Newton's step."""
    f, point, newton = start(xp)
    dogleg = Dogleg.of(point, lift(xp, newton))
    p = lower(dogleg.descent)
    lengths = np.linalg.norm(newton, axis=1)
    decreases = [np.zeros(len(p))]
    for share in (1e-3, 0.05, 0.3, 0.7, 0.999):
        radius = share * lengths
        a, b = dogleg.weights(radius)
        s = a[:, None] * p + b[:, None] * newton
        np.testing.assert_allclose(np.linalg.norm(s, axis=1), radius, rtol=1e-9)
        z, bias = lower(point.z), STEEP.bias
        left = lower(point.residual) - (s - STEEP.jvp(z, s, bias))
        np.testing.assert_allclose(dogleg.remaining(a, b), np.linalg.norm(left, axis=1), rtol=1e-7)
        decreases.append(point.norm - dogleg.remaining(a, b))
    assert np.all(np.diff(decreases, axis=0) > 0), "the model falls along the dogleg"
    a, b = dogleg.weights(1e-6 * lengths)
    assert np.all(b == 0)
    r = lower(point.residual)
    np.testing.assert_allclose(p, r - STEEP.vjp(lower(point.z), r, STEEP.bias), rtol=1e-12)
    a, b = dogleg.weights(2 * lengths)
    assert a.tolist() == [0.0] * 5
    assert b.tolist() == [1.0] * 5
    assert (f.counts.njvp, f.counts.nvjp) == (2, 1)


def test_the_radius_follows_the_model():
    """It shrinks to a quarter of the step where the model was wrong, and doubles at its edge where it was right."""
    problem = FixedPointProblem(
        lambda z: z - np.arctan(z), jvp=lambda z, v: v - v / (1 + z * z), vjp=lambda z, w: w - w / (1 + z * z)
    )
    z = np.array([[10.0], [0.2]])
    f = Evaluator(problem, z)
    point = NewtonPoint.at(f, z)
    newton = point.residual * (1 + point.z**2)
    forcing = np.zeros(2)
    new, rejected, radius = trust_region(f, point, newton, forcing=forcing, radius=np.array([np.inf, 0.01]), shrinks=8)
    assert not rejected.any()
    assert np.all(np.abs(new.z) < np.abs(point.z))
    np.testing.assert_allclose(radius[1], 0.02)
    np.testing.assert_allclose(point.z[1] - new.z[1], 0.01, rtol=1e-6)
    quarters = np.log(radius[0] / np.abs(newton[0, 0])) / np.log(0.25)
    np.testing.assert_allclose(quarters, round(quarters), atol=0.6)


def test_it_saves_newton_from_diverging():
    """On z = z − arctan z from 10 plain Newton runs away; both globalizations converge."""
    problem = FixedPointProblem(
        lambda z: z - np.arctan(z), jvp=lambda z, v: v - v / (1 + z * z), vjp=lambda z, w: w - w / (1 + z * z)
    )
    z0 = np.array([[10.0], [0.5]])
    options: dict[str, Any] = {"rtol": 0.0, "atol": 1e-10, "on_failure": "record"}
    for globalization, expected in [
        ("line-search", [True, True]),
        ("trust-region", [True, True]),
        ("none", [False, True]),
    ]:
        solution = solve(problem, NewtonGMRES(globalization=globalization), z0, **options)
        assert solution.converged.tolist() == expected, globalization


def test_a_singular_jacobian_is_no_obstacle():
    """Where I − J is singular, the equation is solved along what is regular."""
    assert solve_map(SINGULAR, NewtonGMRES(globalization="trust-region"), rtol=1e-9).success


def test_without_trouble_all_three_are_newtons_method():
    """On a contraction no step is changed: iterates are bit for bit the same, and no product Jᵀ·w is spent."""
    found = [solve_map(TANH, NewtonGMRES(globalization=g), rtol=1e-9) for g in ("line-search", "trust-region", "none")]
    for solution in found[1:]:
        np.testing.assert_array_equal(solution.z, found[0].z)
        assert (solution.nfe, solution.njvp, solution.nvjp) == (found[0].nfe, found[0].njvp, 0)


def test_steps_that_achieve_little_are_solved_for_tightly():
    """Where the residual was not halved, or is nan, the next forcing term is at most 1 %; elsewhere it stays."""
    norm, before = np.array([0.5, 0.51, 0.9, np.nan]), np.ones(4)
    assert tightened(np.array([0.9, 0.9, 1e-3, 0.9]), norm, before).tolist() == [0.9, 0.01, 1e-3, 0.01]


def test_an_unknown_globalization_is_refused():
    """The error lists the three."""
    with pytest.raises(OptionError, match=r"globalization.*'line-search', 'trust-region', 'none'"):
        NewtonGMRES(globalization="linesearch")
