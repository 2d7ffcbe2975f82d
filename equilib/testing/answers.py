"""Laws about the answers of a solver: right, to the tolerance that was asked for, and honest where there is none."""

# ruff: noqa: D401 - the docstring of a law is the reason why it must hold

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np

from equilib.fixed_points.options import NORMS
from equilib.fixed_points.solution import Solution, Status
from equilib.fixed_points.solve import rearranged, solve
from equilib.testing.check import require
from equilib.testing.gradients import cotangent_for, directional_derivative, inner_product, variation
from equilib.testing.maps import DENSE, DRIFTING, EXPANSIVE, HUGE, IMAGES, LINEAR, NO_FIXED_POINT, TINY, KnownMap
from equilib.testing.subject import SolverSubject, difference, skip


def finds_dense_fixed_points(subject: SolverSubject) -> None:
    """On a contraction there is one answer, and every solver must find it."""
    _finds(subject, LINEAR)
    _finds(subject, DENSE)


def finds_fixed_points_of_images(subject: SolverSubject) -> None:
    """A state may have any shape behind the batch axis; a sample is all of it."""
    _finds(subject, IMAGES)


def finds_a_fixed_point_without_a_batch(subject: SolverSubject) -> None:
    """With batched=False the whole array is one system."""
    known = DENSE.take([2])
    problem = rearranged(subject.problem(known), lambda z: z[0], lambda z: z[None])
    solution = subject.solve_problem(problem, known.start()[0], rtol=1e-8, batched=False)
    require(solution.success, f"it did not converge: {solution.failure_report()}")
    _is_right(known, replace(solution, z=solution.z[None]))


def honours_the_tolerance(subject: SolverSubject) -> None:
    """Who asks for a tolerance gets it, in the norm that was asked for, and a looser one costs no more."""
    spent: dict[float, int] = {}
    for rtol in (1e-2, 1e-5, 1e-8):
        spent[rtol] = _honoured(subject, rtol=rtol, atol=1e-12)
        less = min(spent.values())
        require(spent[rtol] >= max(spent.values()), f"rtol={rtol} took {spent[rtol]} evaluations, a looser one more")
    require(less < spent[1e-8], f"rtol=1e-2 took {less} evaluations, as many as 1e-8: it does not see the tolerance")
    few = _honoured(subject, rtol=0.0, atol=1e-3)
    require(
        few <= spent[1e-5], f"atol=1e-3 alone took {few} evaluations, rtol=1e-5 {spent[1e-5]}: it does not see atol"
    )
    _honoured(subject, rtol=1e-6, norm="max")


def _honoured(subject: SolverSubject, *, norm: str = "rms", **tolerance: Any) -> int:
    """Require that one tolerance is met, and return the evaluations that it took."""
    asked = ", ".join(f"{name}={value}" for name, value in tolerance.items())
    solution = subject.solve(DENSE, norm=norm, **tolerance)
    require(solution.success, f"with {asked} in the norm {norm}: {solution.failure_report()}")
    size = NORMS[norm]
    allowed = tolerance.get("atol", 0.0) + tolerance["rtol"] * size(solution.z)
    worst = float(np.max(size(_residual(DENSE, solution.z)) / allowed))
    require(worst <= 1 + 1e-6, f"with {asked} ‖f(z) − z‖ is {worst:.2g} times what was allowed")
    return solution.nfe


def does_not_depend_on_units(subject: SolverSubject) -> None:
    """Tolerances are relative: a state of size 1e-6 or 1e+6 is as good as one of size 1."""
    for known in (TINY, HUGE):
        solution = subject.solve(known, rtol=1e-6, atol=0.0)
        require(solution.success, f"on {known}: {solution.failure_report()}")


def is_honest_where_f_expands(subject: SolverSubject) -> None:
    """Where fixed-point iteration diverges the answer is right, or the status says that it is none."""
    solution = subject.solve(EXPANSIVE, rtol=1e-6, max_steps=100)
    error = np.max(np.abs(solution.z - EXPANSIVE.solution), axis=1)
    wrong = solution.converged & ~(error < 1e-3)
    require(not wrong.any(), f"it calls an error of {np.max(error[wrong], initial=0.0):.2e} converged")
    require(np.isfinite(solution.z).all(), "what it returns is not finite")


def is_honest_without_a_fixed_point(subject: SolverSubject) -> None:
    """Nobody can solve z = z + √(1 + z²); the solver must end, not raise, and not claim to have."""
    solution = subject.solve(NO_FIXED_POINT, max_steps=60)
    require(not solution.converged.any(), "it claims to have solved z = z + √(1 + z²)")
    require(np.isfinite(solution.z).all(), "what it returns is not finite")


def is_honest_where_z_drifts_away(subject: SolverSubject) -> None:
    """Where f(z) − z is bounded every residual is small beside a large z, so a claim needs the fixed point itself."""
    for known in DRIFTING:
        solution = subject.solve(known, max_steps=40)
        away = np.inf if known.solution is None else np.max(np.abs(solution.z - known.solution), axis=1)
        wrong = solution.converged & ~(away < 0.1)
        size, residual = (float(np.max(np.abs(each[wrong]), initial=0.0)) for each in (solution.z, solution.residual))
        require(not wrong.any(), f"on {known} it calls a z of size {size:.2g} converged; f(z) − z is {residual:.2g}")
        require(np.isfinite(solution.z).all(), f"on {known} what it returns is not finite")


def survives_a_map_that_returns_nan(subject: SolverSubject) -> None:
    """A map that returns nan is the user's mistake: a status, not a crash."""
    known = replace(DENSE, bias=np.full_like(DENSE.bias, np.nan))
    solution = subject.solve(known, max_steps=10)
    require(set(solution.status) == {Status.NONFINITE}, f"the status is {_statuses(solution)}, not NONFINITE")


def survives_a_map_that_turns_nan(subject: SolverSubject) -> None:
    """nan may come on the way, as from a logarithm of less than zero: it is no residual, and nobody has converged."""
    problem = DENSE.turning_nan(slice(None), derivatives=bool(subject.needs))
    solution = subject.solve_problem(problem, DENSE.start(), rtol=1e-8, max_steps=10)
    claims = "where f returned nan from the third call on"
    require(not solution.converged.any(), f"it claims to have converged {claims}")
    gap = np.nan_to_num(np.abs(solution.residual - _residual(DENSE, solution.z)))
    require(gap.max() < 1e-9, f"it reports a residual that is off by {gap.max():.1e} {claims}")
    require(np.isfinite(solution.z).all(), "what it returns is not finite, though f(z0) was")


def differentiates_through_its_default_adjoint(subject: SolverSubject) -> None:
    """A solver is for training: its adjoint must take what the solver leaves, and give the gradient."""
    if not subject.exact:
        skip("its default adjoint is declared to be approximate")
    problem = DENSE.problem()
    solution = solve(problem, subject.fresh(), DENSE.start(), rtol=1e-9, max_steps=500, on_failure="record")
    require(solution.success, f"it did not converge: {solution.failure_report()}")
    cotangent, direction = cotangent_for(DENSE), variation(DENSE)
    pulled = subject.adjoint().pullback(problem, solution, cotangent)
    found = inner_product(pulled.inputs[0], direction)
    expected = directional_derivative(DENSE, cotangent, direction)
    error = abs(found - expected) / abs(expected)
    require(error < 1e-6, f"along one direction {found:.9g}, finite differences {expected:.9g}")


def _finds(subject: SolverSubject, known: KnownMap) -> None:
    solution = subject.solve(known, rtol=1e-8)
    require(solution.success, f"on {known}: {solution.failure_report()}")
    _is_right(known, solution)


def _is_right(known: KnownMap, solution: Solution) -> None:
    error = difference(solution.z, known.solution)
    # These maps contract by at least 0.7, so that the error is some four times the residual.
    require(error < 1e-6, f"on {known} the error is {error:.2e} at a tolerance of 1e-8")


def _residual(known: KnownMap, z: Any) -> Any:
    return known(z, known.inputs()) - z


def _statuses(solution: Solution) -> str:
    return ", ".join(sorted({status.name for status in solution.status}))
